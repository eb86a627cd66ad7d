r"""Intervals that hold as many rows held out as they say.

A law says of a response how little of it lies as far out, on both sides together,

.. math::

    u = 2 \min\{F(y \mid x),\, 1 - F(y \mid x)\}.

If the law is right, a share t of the rows has u < t. If it is not, because noise has heavier or lighter tails
than the experts have, more or less than t lies outside an interval that should leave out t. Rows that the law has
not seen say how far to reach instead: to the u below which a share t of them lies. With n rows that is the
t (n + 1)-th smallest: then a further row lies outside with probability t whatever the law is (Chernozhukov,
Wuethrich, Zhu, "Distributional conformal prediction", PNAS 118, 2021, with their score
:math:`|2 F - 1| = 1 - u`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moefast._typing import Floats

__all__ = ["Calibration"]

# A map of more rows is kept at so many points, in proportion to each other.
_MOST_KNOTS = 500
# What lies outside of the law's own intervals at least and at most, so that quantiles stay finite.
_LEAST, _MOST = np.finfo(np.float64).tiny, 1.0 - np.finfo(np.float64).epsneg


@dataclass(frozen=True, eq=False)
class Calibration:
    """What intervals leave out, by rows held out and by the law itself.

    Between these points are straight lines, from 0 and 0 up to 1 and 1. So intervals of any probability are
    finite: those that reach beyond all rows leave out in proportion to what the law leaves out. The median stays.

    Attributes
    ----------
    left_out : ndarray of shape (m,)
        Shares of the rows, between 0 and 1 and increasing.
    by_law : ndarray of shape (m,)
        What the intervals that leave out as many leave out by the law, above 0, not decreasing, at most 1.
    """

    left_out: Floats
    by_law: Floats

    @classmethod
    def of(cls, below: Floats, weights: Floats) -> Calibration:
        """Learn from rows held out.

        Parameters
        ----------
        below : ndarray of shape (n,)
            F(y | x) of each; NaN where it left the range of float64, which counts as farthest out.
        weights : ndarray of shape (n,)
            Above 0. Their unit does not matter.

        Examples
        --------
        >>> import numpy as np
        >>> from scipy.special import ndtr
        >>> noise = 2.0 * np.random.default_rng(0).normal(size=999)  # twice that of the law
        >>> found = Calibration.of(ndtr(noise), np.ones(999))
        >>> found.levels(np.array([0.05, 0.5, 0.95])).round(3)  # of +-1.645, twice as far
        array([0.001, 0.5  , 0.999])
        """
        outside = np.clip(np.nan_to_num(2.0 * np.minimum(below, 1.0 - below), nan=0.0), _LEAST, 1.0)
        order = np.argsort(outside, kind="stable")
        weights = weights[order] / weights.max()
        total = weights.sum()
        n = total**2 / np.sum(weights**2)  # as many rows of one weight say as much
        middles = (np.cumsum(weights) - 0.5 * weights) / total
        left_out = (n * middles + 0.5) / (n + 1.0)  # j / (n + 1) of the j-th of n rows of one weight
        found = cls(left_out, outside[order])
        if len(order) <= _MOST_KNOTS:
            return found
        fewer = np.geomspace(left_out[0], left_out[-1], _MOST_KNOTS)
        return cls(fewer, found._by_law(fewer))

    def levels(self, q: Floats) -> Floats:
        """Return the levels of the law's quantiles that stand for those at `q`, between 0 and 1."""
        outside = self._by_law(2.0 * np.minimum(q, 1.0 - q))
        return np.clip(np.where(q < 0.5, 0.5 * outside, 1.0 - 0.5 * outside), _LEAST, _MOST)

    def _by_law(self, left_out: Floats) -> Floats:
        knots = np.concatenate([[0.0], self.left_out, [1.0]])
        return np.asarray(np.interp(left_out, knots, np.concatenate([[0.0], self.by_law, [1.0]])))
