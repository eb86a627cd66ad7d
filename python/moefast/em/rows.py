"""Rows by their values: what is drawn for a row depends on nothing else, and equal rows are found.

So neither the order of the rows nor writing a row twice (weight 2 or two copies) changes a start.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

import moefast._core as _core
from moefast._typing import Floats
from moefast.em.standard_features import StandardFeatures
from moefast.groups import RowGroups

__all__ = ["StandardRows", "rounded_phase", "row_groups", "row_phase"]


# Cycles per standard deviation of the wave whose phase decides a row's place: fast enough that neighbours
# are independent, slow enough that rounding moves practically no row.
_FREQUENCY = 1000.0
# Phases that agree to so many digits are those of equal rows.
_DIGITS = 9


class StandardRows(Protocol):
    """Rows in standard units."""

    features: StandardFeatures
    """Of shape (n, d)."""

    groups: RowGroups | None
    """Of rows that share an expert."""

    @property
    def t(self) -> Floats:
        """The response, shape (n,), or (n, q)."""

    @property
    def row_value(self) -> Floats:
        """A number for each row, (n,), the same where the response, and all that goes with it, is the same."""


def row_phase(samples: StandardRows, rng: np.random.Generator) -> Floats:
    """Return a number in [0, 1) for each row that depends on its values (z, t) alone.

    Rows of a group have the same number, which depends on the values of all of them.
    """
    d, t = samples.features.shape[1], samples.t
    wave = _FREQUENCY * rng.normal(size=d + (1 if t.ndim == 1 else t.shape[1]))
    phase = samples.features.linear_form(wave[:d])
    phase += t * wave[d] if t.ndim == 1 else (t * wave[d:]).sum(axis=1)
    phase += rng.uniform()
    phase -= np.floor(phase)  # as np.mod, which takes ten times as long
    if samples.groups is not None:
        phase = samples.groups.spread(np.mod(samples.groups.sums(phase), 1.0))
    return phase


def rounded_phase(samples: StandardRows, rng: np.random.Generator) -> Floats:
    """Return :func:`row_phase` without the digits that rounding may change: one number for equal rows."""
    return np.asarray(np.round(row_phase(samples, rng), _DIGITS))


def row_groups(samples: StandardRows) -> npt.NDArray[np.intp] | None:
    """Return a number 0, 1, ... for each row, the same for rows of the same values; None where all rows differ.

    Of rows in groups those are the same that are equal and stand in groups of the same rows.
    """
    found = _core.equal_rows(samples.features.values, samples.row_value)
    if found is None:
        return None
    numbers = found.astype(np.intp, copy=False)
    return numbers if samples.groups is None else _equal_groups(samples.groups, numbers)


def _equal_groups(groups: RowGroups, numbers: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return a number for each row, the same for equal rows of equal groups; `numbers` are those of equal rows."""
    within = numbers[np.lexsort((numbers, groups.of_rows))]  # of each group in increasing order
    kinds, n_kinds = np.empty(groups.n_groups, dtype=np.intp), 0
    for size in np.unique(groups.sizes):
        alike = np.flatnonzero(groups.sizes == size)
        contents = within[groups.rows_of(alike)].reshape(len(alike), size)
        _, kinds_here = np.unique(contents, axis=0, return_inverse=True)
        kinds[alike] = n_kinds + kinds_here.reshape(-1)
        n_kinds = int(kinds[alike].max()) + 1
    pairs = groups.spread(kinds) * (int(numbers.max()) + 1) + numbers
    return np.asarray(np.unique(pairs, return_inverse=True)[1], dtype=np.intp)
