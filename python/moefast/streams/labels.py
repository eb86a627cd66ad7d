"""The pass that learns which classes there are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from moefast.sources.batch import Columns, SourceError

__all__ = ["Labels", "LabelsLook"]

# More are numbers, or names of rows.
_MOST = 1000


@dataclass(frozen=True)
class Labels:
    """Labels of some rows.

    Attributes
    ----------
    values : tuple
        In any order.
    target : str
        Their column.
    """

    values: tuple[Any, ...]
    target: str

    def merged(self, other: Labels) -> Labels:
        """Return those of both.

        Raises
        ------
        SourceError
            For very many, and for texts beside numbers.
        """
        values = set(self.values) | set(other.values)
        if len(values) > _MOST:
            raise SourceError(
                f"column {self.target!r} has more than {_MOST} labels; numbers are for MixtureOfExpertsRegressor"
            )
        if len({isinstance(value, str) for value in values}) > 1:
            raise SourceError(f"column {self.target!r} has texts and numbers as labels; make them of one kind")
        return replace(self, values=tuple(values))


@dataclass(frozen=True)
class LabelsLook:
    """The pass over the labels of a part; picklable.

    Attributes
    ----------
    target : str
    batch_rows : int
    """

    target: str
    batch_rows: int

    def __call__(self, part: Any) -> Labels:
        """Return those of the part."""
        found = Labels((), self.target)
        for batch in part.batches(Columns((), self.target, labels=()), self.batch_rows):
            found = found.merged(Labels(tuple(batch.labels), self.target))
        return found
