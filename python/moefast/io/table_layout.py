"""How a CSV file is written, and what it looks like when it was read in another way than it was written."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

__all__ = ["TableLayout", "likely_layout"]

_SEPARATORS = (",", ";", "\t", "|")
_COMMENTS = ("#", "%")
_MOST_TITLE_LINES = 10
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class TableLayout:
    r"""How a CSV file is written.

    Parameters
    ----------
    separator : str
        Between the fields: one character; the two characters ``\t`` stand for a tab.
    decimal : str
        The decimal mark.
    skip_rows : int
        Lines above the header that are no part of the table.
    comment : str or None
        Begins what is to be left out up to the end of the line.

    Raises
    ------
    ValueError
        When these are no single characters or clash.
    """

    separator: str = ","
    decimal: str = "."
    skip_rows: int = 0
    comment: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "separator", {"\\t": "\t"}.get(self.separator, self.separator))
        marks = {"separator": self.separator, "decimal": self.decimal, "comment": self.comment}
        for name, mark in marks.items():
            if mark is not None and (len(mark) != 1 or not mark.isascii() or mark in '"\r\n'):
                tab = " or \\t" if name == "separator" else ""
                raise ValueError(
                    f"{name} must be one ASCII character{tab}, no quote and no line end, got {mark!r}"
                )
        if self.decimal.isalnum() or self.decimal in "+- \t":
            raise ValueError(
                f"decimal must be a mark such as . or , that is no part of a number, got {self.decimal!r}"
            )
        # Separator and decimal mark may be the same where fields with decimals are quoted.
        for one, other in (("separator", "comment"), ("decimal", "comment")):
            if marks[one] == marks[other]:
                raise ValueError(f"{one} and {other} cannot both be {marks[one]!r}")
        if self.skip_rows < 0:
            raise ValueError(f"skip_rows must not be negative, got {self.skip_rows}")

    def seen_from(self, given: TableLayout) -> str:
        """Say in words in what this layout differs from the one given."""
        said = []
        if self.separator != given.separator:
            said.append(f"{_NAMES.get(self.separator, repr(self.separator))} between the fields")
        if self.decimal != given.decimal:
            said.append(f"decimal {_NAMES[self.decimal]}" if self.decimal == "," else "decimal points")
        if self.skip_rows != given.skip_rows:
            said.append(f"{self.skip_rows} line(s) above the header")
        if self.comment != given.comment and self.comment is not None:
            said.append(f"comments that begin with {self.comment}")
        return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def likely_layout(lines: Sequence[str], given: TableLayout) -> TableLayout | None:
    """Return the layout in which these first lines make a table, if they do so better than in the one given.

    Parameters
    ----------
    lines : sequence of str
        Without their ends.
    given : TableLayout

    Returns
    -------
    TableLayout or None
        The one with most columns of numbers; among equals the one that changes least. None when that is `given`.
    """
    best, most = None, max(0, _columns_of_numbers(lines, given))
    for layout in _candidates(lines, given):
        found = _columns_of_numbers(lines, layout)
        if found > most:
            best, most = layout, found
    return best


def _candidates(lines: Sequence[str], given: TableLayout) -> Iterator[TableLayout]:
    """Layouts from the least changed on."""
    comments = [given.comment, *(c for c in _COMMENTS if c != given.comment and any(c in line for line in lines))]
    separators = [given.separator, *(s for s in _SEPARATORS if s != given.separator)]
    decimals = [given.decimal, *(d for d in ".," if d != given.decimal)]
    skips = [given.skip_rows, *(n for n in range(min(_MOST_TITLE_LINES, len(lines)) + 1) if n != given.skip_rows)]
    places = product(*(range(len(values)) for values in (skips, comments, separators, decimals)))
    for i, j, k, m in sorted(places, key=lambda place: (len(place) - place.count(0), place)):
        if comments[j] not in (separators[k], decimals[m]):
            yield TableLayout(separators[k], decimals[m], skips[i], comments[j])


def _columns_of_numbers(lines: Sequence[str], layout: TableLayout) -> int:
    """Count the columns of numbers below a header of different names; -1 where rows and header do not agree."""
    kept = lines[layout.skip_rows :]
    if layout.comment is not None:
        kept = [line.split(layout.comment)[0] for line in kept]
    try:
        rows = list(csv.reader([line for line in kept if line.strip()], delimiter=layout.separator))
    except csv.Error:
        return -1
    if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
        return -1
    names, mark = [name.strip() for name in rows[0]], re.escape(layout.decimal)
    number = re.compile(rf"\s*[+-]?(\d+({mark}\d*)?|{mark}\d+)([eE][+-]?\d+)?\s*")
    if len(set(names)) < len(names) or any(not name or number.fullmatch(name) for name in names):
        return -1
    return sum(all(number.fullmatch(field) for field in column) for column in zip(*rows[1:], strict=True))
