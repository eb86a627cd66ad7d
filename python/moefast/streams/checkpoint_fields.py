"""What the stages in a checkpoint may hold: each field has a type, a shape and a range, and is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from moefast.file_fields import (
    LARGEST,
    Anything,
    Choice,
    Compound,
    Field,
    Listing,
    Number,
    Record,
    Text,
    Whole,
    short,
)
from moefast.sources.batch import LARGEST_WEIGHT
from moefast.streams.sum_tree import FAN_IN

__all__ = [
    "LABELS",
    "LARGEST_PARAMETER",
    "PARTIAL",
    "Entry",
    "First",
    "Levels",
    "Like",
    "Sample",
    "heavy_rows",
    "weighed",
]

LARGEST_PARAMETER = 1e150
"""In standard units: squares stay in range."""

# Of the sum of all weights.
_LARGEST_TOTAL = 1e100


@dataclass(frozen=True)
class _Values(Compound):
    """An array of numbers from `low` to `high`; None in its shape is any length."""

    shape: tuple[int | None, ...]
    low: float = -LARGEST
    high: float = LARGEST
    dtype: str = "float64"

    def check(self, name: str, value: object) -> None:
        """Raise ValueError that says what it is in place of that."""
        if not isinstance(value, np.ndarray) or value.dtype != self.dtype or value.ndim != len(self.shape):
            raise ValueError(f"{name} must be {self}, got {_kind(value)}")
        if any(wanted not in (None, got) for wanted, got in zip(self.shape, value.shape, strict=True)):
            raise ValueError(f"{name} must be {self}, got {_kind(value)}")
        bad = ~((value >= self.low) & (value <= self.high))  # NaN is in no range
        if bad.any():
            raise ValueError(f"{name} must be {self}, has {value[bad][0]}")

    def __str__(self) -> str:
        shape = ", ".join("any" if length is None else str(length) for length in self.shape)
        ends = "" if self.low == -LARGEST else f" not below {self.low:g}"
        return f"an array ({shape}) of {self.dtype}{ends}"


@dataclass(frozen=True)
class _Table(Compound):
    """A record some of whose arrays have a row for the same things."""

    record: Record
    rows: tuple[str, ...]

    def check(self, name: str, value: object) -> None:
        """Raise ValueError that names the field to blame."""
        self.record.check(name, value)
        assert isinstance(value, Mapping)
        lengths = {row: len(value[row]) for row in self.rows}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"{name} must have as many {' as '.join(self.rows)}, got {lengths}")

    def __str__(self) -> str:
        return str(self.record)


@dataclass(frozen=True, eq=False)
class Like(Compound):
    """What has the structure of a value: arrays of its shapes, and numbers, in its dicts, tuples and lists.

    Attributes
    ----------
    value : dict, tuple, list, ndarray, float, int or None
    high : float
        The largest number, of either sign; infinity where NaN will do, too, as in sums at a bad start.
    low : dict
        The least number of some fields, by name.
    """

    value: Any
    high: float = LARGEST
    low: Mapping[str, float] = field(default_factory=dict)

    def check(self, name: str, value: object) -> None:
        """Raise ValueError that names the part to blame."""
        self._check(name, self.value, value)

    def _check(self, name: str, wanted: Any, got: Any) -> None:
        if isinstance(wanted, Mapping):
            if not isinstance(got, Mapping) or wanted.keys() != got.keys():
                raise ValueError(f"{name} must have the fields {', '.join(wanted)}, got {_kind(got)}")
            for key, part in wanted.items():
                self._check(f"{name}.{key}", part, got[key])
        elif isinstance(wanted, (list, tuple)):
            if not isinstance(got, (list, tuple)) or len(wanted) != len(got):
                raise ValueError(f"{name} must be a list of {len(wanted)}, got {_kind(got)}")
            for i, (part, of_got) in enumerate(zip(wanted, got, strict=True)):
                self._check(f"{name}[{i}]", part, of_got)
        elif wanted is None:
            if got is not None:
                raise ValueError(f"{name} must be null, got {_kind(got)}")
        else:
            self._numbers(name, wanted, got, self.low.get(name.rpartition(".")[2], -self.high))

    def _numbers(self, name: str, wanted: Any, got: Any, low: float) -> None:
        finite = low > -np.inf
        if isinstance(wanted, np.ndarray):
            rule = _Values(wanted.shape, low, min(self.high, LARGEST), str(wanted.dtype))
            if finite:
                rule.check(name, got)
            elif not isinstance(got, np.ndarray) or (got.shape, got.dtype) != (wanted.shape, wanted.dtype):
                raise ValueError(f"{name} must be {rule}, got {_kind(got)}")
        elif not (Number(low, self.high).fits(got) or (not finite and isinstance(got, float))):
            raise ValueError(f"{name} must be a number, got {_kind(got)}")

    def __str__(self) -> str:
        return _kind(self.value)


@dataclass(frozen=True, eq=False)
class Entry(Compound):
    """An entry of a `PassLog`.

    Attributes
    ----------
    parameters : tuple of ndarray
        What they are like.
    sums : dict of dict
        By kind, what sums are like.
    """

    parameters: Any
    sums: Mapping[Any, Any]

    def check(self, name: str, value: object) -> None:
        """Raise ValueError that names the field to blame."""
        of_pass: dict[str, Field] = {
            "number": Whole(),
            "parameters": Like(self.parameters, LARGEST_PARAMETER**2),
            "kind": Choice(tuple(self.sums)),
        }
        Record({**of_pass, "sums": Anything()}).check(name, value)
        assert isinstance(value, Mapping)
        Like(self.sums[value["kind"]], np.inf, {"totals": 0.0}).check(f"{name}.sums", value["sums"])
        total = np.sum(np.minimum(value["sums"]["totals"], _LARGEST_TOTAL))
        if not 1.0 / _LARGEST_TOTAL <= total < _LARGEST_TOTAL:
            raise ValueError(f"{name}.sums.totals must be weights of rows, add up to {total:g}")

    def __str__(self) -> str:
        return "a pass"


@dataclass(frozen=True, eq=False)
class Levels(Compound):
    """The levels of a `SumTree`.

    Attributes
    ----------
    term : Field
    n_parts : int
        How many terms it has taken.
    """

    term: Field
    n_parts: int

    def check(self, name: str, value: object) -> None:
        """Raise ValueError that names the term to blame."""
        Listing(Listing(self.term)).check(name, value)
        sizes = [len(level) for level in _entries(value)]
        if max(sizes, default=0) >= FAN_IN or sum(n * FAN_IN**i for i, n in enumerate(sizes)) != self.n_parts:
            raise ValueError(f"{name} must be the sums of {self.n_parts} parts, got {sizes} of them by level")

    def __str__(self) -> str:
        return "sums by level"


@dataclass(frozen=True)
class _Labels(Compound):
    """Texts, or numbers, in increasing order."""

    def check(self, name: str, value: object) -> None:
        """Raise ValueError that names the entry to blame."""
        texts = isinstance(value, list) and isinstance(value[0] if value else 0, str)
        Listing(Text() if texts else Number(), least=1).check(name, [_number(entry) for entry in _entries(value)])
        entries = _entries(value)
        if entries != sorted(set(entries)):
            raise ValueError(f"{name} must be in increasing order, got {entries[:5]}")

    def __str__(self) -> str:
        return "a list of labels"


def _entries(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _number(label: Any) -> Any:
    return int(label) if isinstance(label, bool) else label


LABELS = _Labels()
"""Those of the target."""


@dataclass(frozen=True, eq=False)
class Sample(Compound):
    """A `PrioritySample`.

    Attributes
    ----------
    n_drawn : int
    ends : (ndarray, ndarray) of shape (c,)
        Smallest and largest value of each column among all rows.
    """

    n_drawn: int
    ends: tuple[Any, Any]

    def check(self, name: str, value: object) -> None:
        """Raise ValueError that names the field to blame."""
        fields: dict[str, Field] = {
            "n_drawn": Whole(self.n_drawn, self.n_drawn),
            "hashes": _Values((None,), dtype="uint64"),
            "rows": _Values((None, len(self.ends[0]))),
            "weight": _Values((None,), 5e-324, LARGEST_WEIGHT),
            "count": _Values((None,), 1.0, 2.0**63),
        }
        _Table(Record(fields), ("hashes", "rows", "weight", "count")).check(name, value)
        assert isinstance(value, Mapping)
        rows, (low, high) = value["rows"], self.ends
        if ((rows < low) | (rows > high)).any():
            raise ValueError(f"{name}.rows must be among the values that the first pass has seen")

    def __str__(self) -> str:
        return "a sample"


@dataclass(frozen=True)
class First(Compound):
    """A `FirstPass` over rows with so many columns; a part without rows has no least value.

    Attributes
    ----------
    n_drawn, width : int
    """

    n_drawn: int
    width: int

    def check(self, name: str, value: object) -> None:
        """Raise ValueError that names the field to blame."""
        each = (self.width,)
        fields: dict[str, Field] = {
            "n_rows": Whole(),
            "n_read": Whole(),
            "weight": Number(0.0),
            "density_weight": Number(0.0),
            "mean": _Values(each),
            "deviation": _Values(each, 0.0),
            "low": _Values(each, -np.inf, np.inf),
            "high": _Values(each, -np.inf, np.inf),
            "sample": Anything(),
        }
        Record(fields).check(name, value)
        assert isinstance(value, Mapping)
        Sample(self.n_drawn, (value["low"], value["high"])).check(f"{name}.sample", value["sample"])

    def __str__(self) -> str:
        return "an object"


def heavy_rows() -> Field:
    """Return the field of `HeavyRows`."""
    fields: dict[str, Field] = {
        "limit": Whole(1),
        "hashes": _Values((None,), dtype="uint64"),
        "weight": _Values((None,), 0.0),
    }
    return _Table(Record(fields), ("hashes", "weight"))


_OF_PARTIAL: dict[str, Field] = {
    "name": Text(),
    "of_pass": Anything(),
    "n_parts": Whole(1),
    "levels": Listing(Listing(Anything())),
}
PARTIAL = Record(_OF_PARTIAL)
"""A sum over parts that stopped; :class:`Levels` has the rest."""


def weighed(n_candidates: int, width: int) -> Field:
    """Return the field of `Weighed`."""
    fields: dict[str, Field] = {
        "weight": _Values((n_candidates,), 0.0),
        "found": _Values((None,), 0, n_candidates - 1, np.dtype(np.intp).name),
        "rows": _Values((None, width)),
    }
    return _Table(Record(fields), ("found", "rows"))


def _kind(value: object) -> str:
    """Say what a value is, in a few words."""
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} of {value.dtype}"
    if isinstance(value, Mapping):
        return f"the fields {', '.join(map(str, value))}"[:80]
    return short(value)
