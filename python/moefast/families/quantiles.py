r"""Quantiles of mixtures of laws of a family, one mixture a row, by bisection on all rows.

The smallest y with :math:`F(y) = \sum_i p_i F_i(y) \geq q` lies between the smallest and the largest of the
components' own quantiles. Mixtures of normal laws have a faster way, :mod:`moefast.quantiles`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.families.family import Family, Predictors

__all__ = ["family_quantile"]

# Halvings of a bracket: of any two numbers of float64 they leave neighbours.
_MOST_HALVINGS = 2200


def family_quantile(family: Family, proportions: Floats, of: Predictors, level: float) -> Floats:
    """Return the quantile at `level` for each row, shape (n,); NaN where a component leaves the range of float64.

    Parameters
    ----------
    family : Family
    proportions : ndarray of shape (n, k)
        Rows add up to 1.
    of : Predictors
        What belongs to a proportion of 0 is not looked at.
    level : float
        Above 0 and below 1.
    """
    used = proportions > 0
    with np.errstate(over="ignore"):
        own = np.where(used, family.quantile(of, level), 0.0)
    low = np.where(used, own, np.inf).min(axis=1)
    high = np.where(used, own, -np.inf).max(axis=1)
    finite = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(finite, low, 0.0), np.where(finite, high, 0.0)

    def reached(y: Floats) -> npt.NDArray[np.bool_]:
        return np.asarray(np.sum(proportions * family.cdf(of, y[:, None]), axis=1) >= level, dtype=bool)

    step = 1.0 if family.is_discrete else 0.0
    # F(high) >= level for certain, F(low) >= level only where it is the answer.
    high = np.where(reached(low), low, high)
    for _ in range(_MOST_HALVINGS):
        middle = 0.5 * low + 0.5 * high
        if family.is_discrete:
            middle = np.floor(middle)
        going = np.asarray((high - low > step) & (middle > low) & (middle < high), dtype=bool)
        if not going.any():
            break
        above = reached(middle)
        high = np.where(going & above, middle, high)
        low = np.where(going & ~above, middle, low)
    return np.where(finite, high, np.nan)
