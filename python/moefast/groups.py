"""Rows in groups, each of one expert: a subject that was seen more than once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats

__all__ = ["RowGroups", "group_labels", "missing_labels"]


@dataclass(frozen=True, eq=False)
class RowGroups:
    """Which rows belong together, for rows that are sorted by group.

    Attributes
    ----------
    starts : ndarray of shape (G + 1,), int64
        Rows starts[g] .. starts[g + 1] - 1 are those of group g.
    labels : ndarray of shape (G,)
        What the user calls the groups.
    order : ndarray of shape (n,), intp
        Where the rows stood, among those of positive weight, before they were sorted.
    """

    starts: npt.NDArray[np.int64]
    labels: npt.NDArray[Any]
    order: npt.NDArray[np.intp]

    @classmethod
    def of(cls, labels: npt.NDArray[Any]) -> RowGroups:
        """Return the groups of rows with these labels, shape (n,), once sorted by `order`.

        Raises
        ------
        TypeError
            For labels that cannot be compared with each other.
        """
        try:
            found, numbers = np.unique(labels, return_inverse=True)
        except TypeError as error:
            raise TypeError(f"groups must be labels of one kind: {error}") from None
        sizes = np.bincount(numbers, minlength=len(found))
        return cls(np.append(0, np.cumsum(sizes)), found, np.argsort(numbers, kind="stable"))

    @property
    def n_groups(self) -> int:
        """G."""
        return len(self.labels)

    def name(self, group: int) -> str:
        """Return what a message calls a group."""
        label = self.labels[group]
        return repr(label.item() if isinstance(label, np.generic) else label)

    @property
    def first(self) -> npt.NDArray[np.int64]:
        """The first row of each group, shape (G,)."""
        return self.starts[:-1]

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """How many rows each group has, shape (G,)."""
        return np.diff(self.starts)

    @cached_property
    def of_rows(self) -> npt.NDArray[np.intp]:
        """The group of each row, 0 .. G - 1, shape (n,)."""
        return np.repeat(np.arange(self.n_groups), self.sizes)

    def sums(self, values: Floats) -> Floats:
        """Return the sums over the rows of each group: (n, ...) becomes (G, ...)."""
        return np.asarray(np.add.reduceat(values, self.first, axis=0))

    def spread(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what belongs to each group for each of its rows: (G, ...) becomes (n, ...)."""
        return np.repeat(values, self.sizes, axis=0)

    def means(self, values: Floats) -> Floats:
        """Return the mean of each group for each of its rows: (n, ...) stays (n, ...)."""
        sizes = self.sizes.reshape(-1, *[1] * (values.ndim - 1))
        return self.spread(self.sums(values) / sizes)

    def rows_of(self, groups: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return the rows of some groups, one group after the other as they are given."""
        sizes = self.sizes[groups]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return np.asarray(np.repeat(self.first[groups], sizes) + within, dtype=np.intp)

    def take(self, groups: npt.NDArray[np.intp]) -> RowGroups:
        """Return some groups, for the rows that :meth:`rows_of` has; one that appears twice becomes two."""
        starts = np.append(0, np.cumsum(self.sizes[groups]))
        return RowGroups(starts, np.arange(len(groups)), np.arange(starts[-1], dtype=np.intp))

    def subset(self, rows: npt.NDArray[np.bool_]) -> RowGroups:
        """Return the groups of some of the rows, a mask of shape (n,)."""
        left = self.sums(rows.astype(np.int64))
        kept = left > 0
        return RowGroups(np.append(0, np.cumsum(left[kept])), self.labels[kept], self.order[rows])

    def varying(self, values: npt.NDArray[Any]) -> int | None:
        """Return the first group whose rows have different values, shape (n,); None where there is none."""
        differs = values != self.spread(values[self.first])
        return int(self.of_rows[np.argmax(differs)]) if differs.any() else None


def group_labels(groups: Any, n_samples: int) -> npt.NDArray[Any]:
    """Return a label for each row, shape (n_samples,): numbers, texts, or anything of one kind.

    Raises
    ------
    ValueError
        For a wrong shape or a missing label; its row is named.
    """
    if np.ma.is_masked(groups):
        raise ValueError("groups has masked values; give every row a label or remove it")
    labels = np.asarray(groups)
    if labels.shape != (n_samples,):
        raise ValueError(f"groups must have one label per row: expected ({n_samples},), got {labels.shape}")
    missing = missing_labels(labels)
    if missing.any():
        raise ValueError(f"groups has no label at row {int(np.argmax(missing))}")
    return labels


def missing_labels(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether a label is None, NaN, NaT or pandas' NA."""
    if labels.dtype.kind != "O":
        return np.asarray(labels != labels)

    def is_missing(value: Any) -> bool:
        try:
            return value is None or bool(value != value)
        except TypeError:  # pandas' NA is neither equal nor unequal to anything
            return True

    return np.array([is_missing(value) for value in labels.tolist()], dtype=np.bool_)
