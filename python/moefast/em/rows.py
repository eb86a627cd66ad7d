"""Rows by their values: what is drawn for a row depends on nothing else, and equal rows are found.

So neither the order of the rows nor writing a row twice (weight 2 or two copies) changes a start.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

import moefast._core as _core
from moefast._typing import Floats

__all__ = ["StandardRows", "rounded_phase", "row_groups", "row_phase"]


# Cycles per standard deviation of the wave whose phase decides a row's place: fast enough that neighbours
# are independent, slow enough that rounding moves practically no row.
_FREQUENCY = 1000.0
# Phases that agree to so many digits are those of equal rows.
_DIGITS = 9


class StandardRows(Protocol):
    """Standard features `Z` of shape (n, d) and the standard response `t` of shape (n,)."""

    Z: Floats
    t: Floats


def row_phase(samples: StandardRows, rng: np.random.Generator) -> Floats:
    """Return a number in [0, 1) for each row that depends on its values (z, t) alone."""
    wave = _FREQUENCY * rng.normal(size=samples.Z.shape[1] + 1)
    return np.asarray(np.mod(samples.Z @ wave[:-1] + samples.t * wave[-1] + rng.uniform(), 1.0))


def rounded_phase(samples: StandardRows, rng: np.random.Generator) -> Floats:
    """Return :func:`row_phase` without the digits that rounding may change: one number for equal rows."""
    return np.asarray(np.round(row_phase(samples, rng), _DIGITS))


def row_groups(samples: StandardRows) -> npt.NDArray[np.intp]:
    """Return a number 0, 1, ... for each row, the same for rows of the same values."""
    return np.asarray(_core.equal_rows(samples.Z, samples.t), dtype=np.intp)
