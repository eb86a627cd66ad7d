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

    @property
    def t(self) -> Floats:
        """The response, shape (n,)."""

    @property
    def row_value(self) -> Floats:
        """A number for each row, (n,), the same where the response, and all that goes with it, is the same."""


def row_phase(samples: StandardRows, rng: np.random.Generator) -> Floats:
    """Return a number in [0, 1) for each row that depends on its values (z, t) alone."""
    wave = _FREQUENCY * rng.normal(size=samples.features.shape[1] + 1)
    phase = samples.features.linear_form(wave[:-1])
    phase += samples.t * wave[-1]
    phase += rng.uniform()
    return np.mod(phase, 1.0, out=phase)


def rounded_phase(samples: StandardRows, rng: np.random.Generator) -> Floats:
    """Return :func:`row_phase` without the digits that rounding may change: one number for equal rows."""
    return np.asarray(np.round(row_phase(samples, rng), _DIGITS))


def row_groups(samples: StandardRows) -> npt.NDArray[np.intp] | None:
    """Return a number 0, 1, ... for each row, the same for rows of the same values; None where all rows differ."""
    groups = _core.equal_rows(samples.features.values, samples.row_value)
    return None if groups is None else groups.astype(np.intp, copy=False)
