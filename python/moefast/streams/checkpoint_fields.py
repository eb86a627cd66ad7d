"""What the stages in a checkpoint may hold: each field has a type, a shape and a range, and is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from moefast.file_fields import Anything, Choice, Compound, Field, Listing, Number, Record, Text, Whole
from moefast.streams.sum_tree import FAN_IN

__all__ = ["LABELS", "PARTIAL", "Entry", "Levels", "Like", "first_pass", "heavy_rows", "sample", "weighed"]

_LARGEST = 1.7976931348623157e308


@dataclass(frozen=True)
class _Values(Compound):
    """An array of numbers from `low` to `high`; None in its shape is any length."""

    shape: tuple[int | None, ...]
    low: float = -_LARGEST
    high: float = _LARGEST
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
        ends = "" if self.low == -_LARGEST else f" not below {self.low:g}"
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
    finite : bool
        Whether numbers have to be finite. Sums of an E-step at a bad start need not be.
    positive : tuple of str
        Fields whose numbers are positive.
    """

    value: Any
    finite: bool = True
    positive: tuple[str, ...] = ()

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
            positive = name.rpartition(".")[2] in self.positive
            self._numbers(name, wanted, got, 5e-324 if positive else -_LARGEST)

    def _numbers(self, name: str, wanted: Any, got: Any, low: float) -> None:
        if isinstance(wanted, np.ndarray):
            rule = _Values(wanted.shape, low, dtype=str(wanted.dtype))
            if self.finite:
                rule.check(name, got)
            elif not isinstance(got, np.ndarray) or (got.shape, got.dtype) != (wanted.shape, wanted.dtype):
                raise ValueError(f"{name} must be {rule}, got {_kind(got)}")
        else:
            finite = Number(low)
            if not (finite.fits(got) or (not self.finite and isinstance(got, float))):
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
            "parameters": Like(self.parameters),
            "kind": Choice(tuple(self.sums)),
        }
        Record({**of_pass, "sums": Anything()}).check(name, value)
        assert isinstance(value, Mapping)
        Like(self.sums[value["kind"]], finite=False).check(f"{name}.sums", value["sums"])

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


def sample(n_drawn: int, width: int) -> Field:
    """Return the field of a `PrioritySample` of rows of some width."""
    fields: dict[str, Field] = {
        "n_drawn": Whole(n_drawn, n_drawn),
        "hashes": _Values((None,), dtype="uint64"),
        "rows": _Values((None, width)),
        "weight": _Values((None,), 0.0),
        "count": _Values((None,), 1.0),
    }
    return _Table(Record(fields), ("hashes", "rows", "weight", "count"))


def first_pass(n_drawn: int, width: int) -> Field:
    """Return the field of a `FirstPass`; a part without rows has no least value."""
    finite, any_number = _Values((width,)), _Values((width,), -np.inf, np.inf)
    return Record(
        {
            "n_rows": Whole(),
            "n_read": Whole(),
            "weight": Number(0.0),
            "density_weight": Number(0.0),
            "mean": finite,
            "deviation": _Values((width,), 0.0),
            "low": any_number,
            "high": any_number,
            "sample": sample(n_drawn, width),
        }
    )


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
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
