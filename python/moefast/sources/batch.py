"""Some rows of a data set, by columns, checked, as views of what pyarrow has read wherever that is possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from moefast._typing import AnyFloats, Floats
from moefast.samples import NO_TERMS, RowTerms
from moefast.sources.columns import SourceError, label_numbers, labels_of, numbers

__all__ = ["LARGEST_WEIGHT", "Batch", "Columns", "SourceError", "changed", "place"]


LARGEST_WEIGHT = 1e80
"""Of a row: sums of weights, and of their products with squares, stay in range."""


def place(label: str, what: str, groups: Sequence[tuple[int, int]], row: int) -> str:
    """Say where a row of a part stands; `groups` are number and rows of each of its groups, in order."""
    for number, rows in groups:
        if row < rows or (number, rows) == groups[-1]:
            return f"{label}, {what} {number} (row {row} of it)"
        row -= rows
    return f"{label}, row {row}"


def changed(label: str) -> SourceError:
    """Return the error for a part that is no longer what it was."""
    return SourceError(f"{label} has changed since the data set was opened: every pass has to see the same rows")


@dataclass(frozen=True)
class Columns:
    """What the columns of a data set are for, by name.

    Attributes
    ----------
    features : tuple of str
    target : str or None
    further_targets : tuple of str
        Where there are several responses: those after the first.
    weights : str or None
    offset, n_trials : str or None
    absorbs_offset : bool
        Whether the response is y - offset, and there is none beside it.
    labels : tuple or None
        Of a target that is of classes: all that there may be, in order; it is read as their numbers. Empty where
        they are still to be learnt.
    """

    features: tuple[str, ...]
    target: str | None = None
    weights: str | None = None
    offset: str | None = None
    n_trials: str | None = None
    further_targets: tuple[str, ...] = ()
    absorbs_offset: bool = False
    labels: tuple[Any, ...] | None = None

    @property
    def roles(self) -> dict[str, str]:
        """The columns that are no features, by what they are for."""
        roles = ("target", "weights", "offset", "n_trials")
        return {role: getattr(self, role) for role in roles if getattr(self, role) is not None}

    @property
    def width(self) -> int:
        """How many columns :attr:`Batch.columns` has, with a response."""
        return len(self.features) + self.n_responses + len(self.terms)

    @property
    def n_responses(self) -> int:
        """How many targets there are."""
        return 1 + len(self.further_targets)

    @property
    def terms(self) -> tuple[str, ...]:
        """Offset and trials, those of them that batches have."""
        left_out = ("target", "weights", *(("offset",) if self.absorbs_offset else ()))
        return tuple(role for role in self.roles if role not in left_out)

    @property
    def all(self) -> list[str]:
        """Every column that is read, once."""
        return list(dict.fromkeys([*self.features, *self.roles.values(), *self.further_targets]))


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows.

    Attributes
    ----------
    features : list of ndarray of shape (n,), float64 or float32
    y, sample_weight : ndarray of shape (n,), float64
        Of length 0 and ones where the columns have none; several responses are of shape (n, q), each contiguous.
        Weights are positive: other rows have been left out.
    n_read : int
        Rows that were read, those of weight zero too.
    terms : RowTerms
        Offset and trials, where there are columns of these.
    labels : set
        Those of the target, where they are to be learnt.
    """

    features: list[AnyFloats]
    y: Floats
    sample_weight: Floats
    n_read: int
    terms: RowTerms = NO_TERMS
    labels: frozenset[Any] = frozenset()

    @property
    def columns(self) -> list[AnyFloats]:
        """Everything that is known of rows but their weight: what makes them equal."""
        return [*self.features, *(self.y.T if self.y.ndim == 2 else [self.y]), *self.terms.given]

    @property
    def n_rows(self) -> int:
        """How many there are."""
        return len(self.sample_weight)

    @classmethod
    def of(cls, table: Any, columns: Columns, where: Callable[[int], str]) -> Batch:
        """Return the rows of a pyarrow RecordBatch or Table.

        Parameters
        ----------
        table : pyarrow.RecordBatch or pyarrow.Table
        columns : Columns
        where : callable
            Says for a row of the table where it is: "data.parquet, row group 3".

        Raises
        ------
        SourceError
            For columns that are missing, no numbers, or have missing or infinite values, and for negative weights.
        """
        n = int(table.num_rows)
        if columns.labels == ():
            assert columns.target is not None
            return cls([], np.zeros(0), np.ones(n), n, labels=labels_of(table, columns.target, where))
        arrays: dict[str, AnyFloats] = {}
        for name in columns.all:
            if name == columns.target and columns.labels is not None:
                arrays[name] = label_numbers(table, name, columns.labels, where)
                continue
            arrays[name] = numbers(table, name, where)
            _refuse_bad(arrays[name], name, where)
        of_role = {role: np.asarray(arrays[name], dtype=np.float64) for role, name in columns.roles.items()}
        y, w = of_role.get("target", np.zeros(0)), of_role.get("weights", np.ones(n))
        if columns.absorbs_offset and columns.offset is not None:
            y = y - of_role["offset"]
        if columns.further_targets:
            y = np.array([y, *(arrays[name] for name in columns.further_targets)], dtype=np.float64).T
        terms = RowTerms(*(of_role[role] if role in columns.terms else None for role in ("offset", "n_trials")))
        features = [arrays[name] for name in columns.features]
        if columns.weights is not None:
            if (w < 0).any():
                row = int(np.argmax(w < 0))
                raise SourceError(
                    f"{where(row)}: weights {columns.weights!r} must not be negative, got {w[row]:g}"
                )
            if n and w.max() > LARGEST_WEIGHT:
                row = int(np.argmax(w))
                raise SourceError(
                    f"{where(row)}: weights {columns.weights!r} must be at most {LARGEST_WEIGHT:g}, got "
                    f"{w[row]:g}; scale them"
                )
            keep = w > 0
            if not keep.all():
                features, w = [np.ascontiguousarray(x[keep]) for x in features], w[keep]
                y, terms = np.ascontiguousarray(y.T[..., keep]).T if len(y) else y, terms[keep]
        return cls(features, y, w, n, terms if terms.given else NO_TERMS)


def _refuse_bad(values: AnyFloats, name: str, where: Callable[[int], str]) -> None:
    """Raise SourceError for values that are not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum(dtype=np.float64)):  # one fast pass; a sum that overflows is looked at below
            return
    bad: npt.NDArray[np.bool_] = ~np.isfinite(values)
    if bad.any():
        row = int(np.argmax(bad))
        what = "NaN" if np.isnan(values[row]) else "infinity"
        raise SourceError(
            f"{where(row)}: column {name!r} has {int(bad.sum())} value(s) that are not finite, first {what}, "
            "in the rows read with it; remove or fill these"
        )
