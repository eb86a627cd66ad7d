"""Folds of a cross-validation: from what scikit-learn understands by `cv` to rows, or groups, of the samples."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from moefast.samples import Samples
from moefast.selection.cross_validation import Split, k_folds
from moefast.validation import check_integer

__all__ = ["checked_folds"]


def checked_folds(cv: Any, samples: Samples, rows: npt.NDArray[np.bool_], data: Any, seed: int) -> list[Split]:
    """Return pairs of what to fit on and what to hold out: rows, or groups of rows.

    Parameters
    ----------
    cv : int, splitter of scikit-learn or iterable
        A number of folds, drawn at random, of whole groups where there are any; else what splits all rows, those
        of weight zero too.
    samples : Samples
    rows : ndarray of shape (n,), bool
        Which of the rows given are in the samples.
    data : (X, y, groups)
        As given, for a splitter.
    seed : int

    Raises
    ------
    ValueError, TypeError
        For what does not split; for a split that tears a group apart, or leaves nothing on one side.
    """
    if isinstance(cv, (int, np.integer)) and not isinstance(cv, bool):
        check_integer("cv", cv, low=2)
        unit = "rows" if samples.groups is None else "groups"
        if cv > samples.n_units:
            raise ValueError(
                f"cv={cv} is more than n_samples={samples.n_units} {unit} of positive weight; take fewer folds"
            )
        return k_folds(samples.n_units, int(cv), seed)
    if isinstance(cv, (str, bytes)) or not (hasattr(cv, "split") or np.iterable(cv)):
        raise TypeError(f"cv must be a number of folds, a splitter or pairs of rows, got {cv!r}")
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "The groups parameter is ignored", UserWarning
        )  # they are the model's too
        pairs = list(cv.split(*data) if hasattr(cv, "split") else cv)
    if not pairs:
        raise ValueError("cv has no splits; give at least one")
    units = _units_of(samples, rows)
    return [_split(number, pair, units, len(rows)) for number, pair in enumerate(pairs)]


def _units_of(samples: Samples, rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return the row of the samples, or the group, of each row given; -1 for those of weight zero."""
    units = np.full(len(rows), -1, dtype=np.intp)
    kept = np.flatnonzero(rows)
    if samples.groups is None:
        units[kept] = np.arange(len(kept))
    else:
        units[kept[samples.groups.order]] = samples.groups.of_rows
    return units


def _split(number: int, pair: Any, units: npt.NDArray[np.intp], n_rows: int) -> Split:
    """Return a split of units from one of rows."""
    if isinstance(pair, (str, bytes)) or not np.iterable(pair) or len(pair := list(pair)) != 2:
        raise TypeError(
            f"split {number} of cv must be a pair, of rows to fit on and rows to hold out, got {pair!r}; "
            "for a number of folds give the number alone, as in cv=5"
        )
    sides = []
    for side in pair:
        side = np.asarray(side)
        if side.dtype == bool:
            side = np.flatnonzero(side)
        if side.size == 0:
            continue
        if side.ndim != 1 or not np.issubdtype(side.dtype, np.integer):
            raise ValueError(f"split {number} of cv must be a pair of positions of rows, got {side!r}")
        if not 0 <= side.min() <= side.max() < n_rows:
            raise ValueError(f"split {number} of cv has positions beyond the {n_rows} rows")
        found = np.unique(units[side])
        sides.append(found[found >= 0])
    if len(sides) != 2 or not all(map(len, sides)):
        raise ValueError(f"split {number} of cv must have rows of positive weight on both sides")
    both = np.intersect1d(sides[0], sides[1])
    if len(both):
        raise ValueError(
            f"split {number} of cv fits and holds out the same rows or group; rows of a group stay together"
        )
    return sides[0], sides[1]
