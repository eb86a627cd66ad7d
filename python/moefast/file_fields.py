"""What the fields of a file may hold, as tables: each field has a type and a range, and is refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = [
    "LARGEST",
    "Anything",
    "Choice",
    "Compound",
    "Either",
    "Field",
    "Flag",
    "Listing",
    "Nothing",
    "Number",
    "Record",
    "Row",
    "Text",
    "Whole",
    "short",
]

LARGEST = 1.7976931348623157e308
"""Of float64."""


class Field(Protocol):
    """A rule for a value that came from JSON."""

    def fits(self, value: object) -> bool:
        """Whether the value has the type and is in the range."""

    def check(self, name: str, value: object) -> None:
        """Raise ValueError that names the field (or the part of it) to blame."""

    def __str__(self) -> str:
        """Say what the field must be."""


class _Simple:
    """A field without parts."""

    def fits(self, value: object) -> bool:
        raise NotImplementedError

    def check(self, name: str, value: object) -> None:
        if not self.fits(value):
            raise ValueError(f"{name} must be {self}, got {short(value)}")


def short(value: object) -> str:
    """Show a value in at most 60 letters."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


@dataclass(frozen=True)
class Number(_Simple):
    """A finite number from `low` to `high`, or above `low`."""

    low: float = -LARGEST
    high: float = LARGEST
    above: bool = False

    def fits(self, value: object) -> bool:
        """Whether it is such a number; NaN is in no range."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and not (self.above and value == self.low)  # type: ignore[operator]

    def __str__(self) -> str:
        parts = [f"above {self.low:g}" if self.above else f"not below {self.low:g}"] * (self.low > -LARGEST)
        parts += [f"at most {self.high:g}"] * (self.high < LARGEST)
        return " ".join(["a finite number", " and ".join(parts)]).strip()


@dataclass(frozen=True)
class Whole(_Simple):
    """A whole number from `low` to `high`; None is no limit."""

    low: int = 0
    high: int | None = 2**63 - 1

    def fits(self, value: object) -> bool:
        """Whether it is an int, which True is not, in the range."""
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= self.low
        return whole and (self.high is None or value <= self.high)  # type: ignore[operator]

    def __str__(self) -> str:
        return f"a whole number not below {self.low}" + ("" if self.high is None else f" nor above {self.high}")


@dataclass(frozen=True)
class Anything(_Simple):
    """No rule: another one follows."""

    def fits(self, value: object) -> bool:
        """Whether it is there."""
        return True

    def __str__(self) -> str:
        return "anything"


@dataclass(frozen=True)
class Text(_Simple):
    """Any text."""

    def fits(self, value: object) -> bool:
        """Whether it is a text."""
        return isinstance(value, str)

    def __str__(self) -> str:
        return "a text"


@dataclass(frozen=True)
class Choice(_Simple):
    """One of some texts."""

    choices: Sequence[str]

    def fits(self, value: object) -> bool:
        """Whether it is one of them."""
        return isinstance(value, str) and value in self.choices

    def __str__(self) -> str:
        return f"one of {', '.join(map(repr, self.choices))}"


@dataclass(frozen=True)
class Flag(_Simple):
    """True or False."""

    def fits(self, value: object) -> bool:
        """Whether it is a bool."""
        return isinstance(value, bool)

    def __str__(self) -> str:
        return "true or false"


@dataclass(frozen=True)
class Nothing(_Simple):
    """JSON's null."""

    def fits(self, value: object) -> bool:
        """Whether it is None."""
        return value is None

    def __str__(self) -> str:
        return "null"


@dataclass(frozen=True)
class Either(_Simple):
    """What fits one of two fields."""

    one: Field
    other: Field

    def fits(self, value: object) -> bool:
        """Whether it fits one of them."""
        return self.one.fits(value) or self.other.fits(value)

    def __str__(self) -> str:
        return f"{self.one} or {self.other}"


class Compound:
    """A field of parts, which are named in errors."""

    def fits(self, value: object) -> bool:
        """Whether all parts fit."""
        try:
            self.check("", value)
        except ValueError:
            return False
        return True

    def check(self, name: str, value: object) -> None:
        """Raise ValueError that names the part to blame."""
        raise NotImplementedError


@dataclass(frozen=True)
class Listing(Compound):
    """A list whose entries fit `entry`, of `length` entries where that is given and at least `least`."""

    entry: Field
    length: int | None = None
    least: int = 0

    def check(self, name: str, value: object) -> None:
        """Raise ValueError that names the entry to blame."""
        # asdict of a report has tuples where JSON has lists
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{name} must be {self}, got {type(value).__name__}")
        if len(value) != (len(value) if self.length is None else self.length) or len(value) < self.least:
            raise ValueError(f"{name} must be {self}, got {len(value)}")
        for i, entry in enumerate(value):
            self.entry.check(f"{name}[{i}]", entry)

    def __str__(self) -> str:
        size = "" if self.length is None and not self.least else f" of {self.length or f'at least {self.least}'}"
        return f"a list{size}"


@dataclass(frozen=True)
class Row(Compound):
    """A list with one entry for each of these rules."""

    entries: Sequence[Field]

    def check(self, name: str, value: object) -> None:
        """Raise ValueError that names the entry to blame."""
        if not isinstance(value, (list, tuple)) or len(value) != len(self.entries):
            raise ValueError(f"{name} must be {self}, got {short(value)}")
        for i, (rule, entry) in enumerate(zip(self.entries, value, strict=True)):
            rule.check(f"{name}[{i}]", entry)

    def __str__(self) -> str:
        return f"a list of {len(self.entries)}"


@dataclass(frozen=True)
class Record(Compound):
    """An object with these fields; those of `optional` may be missing, and others be there when it is `open`."""

    fields: Mapping[str, Field]
    optional: frozenset[str] = frozenset()
    open: bool = False

    def check(self, name: str, value: object) -> None:
        """Raise ValueError that names the field to blame."""
        if not isinstance(value, Mapping):
            raise ValueError(f"{name} must be {self}, got {type(value).__name__}")
        for field, rule in self.fields.items():
            where = f"{name}.{field}" if name else field
            if field in value:
                rule.check(where, value[field])
            elif field not in self.optional:
                raise ValueError(f"{where} is missing")
        unknown = [field for field in value if field not in self.fields]
        if unknown and not self.open:
            raise ValueError(f"{name or 'the content'} has an unknown field {unknown[0]!r}")

    def __str__(self) -> str:
        return "an object"
