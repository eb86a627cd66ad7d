r"""Quantiles of mixtures of normal distributions, one mixture a row, by safeguarded Newton steps on all rows.

.. math::

    F(y) = \sum_i p_i \Phi\!\left(\frac{y - m_i}{s_i}\right) = q

The root lies between the smallest and the largest of the components' own quantiles
:math:`m_i + s_i \Phi^{-1}(q)`: at the one every component has at most q below it, at the other at least q.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from moefast._typing import Floats

__all__ = ["mixture_cdf", "mixture_quantile"]

# Of the smallest s of a row: a root is known when a step, or what is left of the bracket, is shorter.
_TOLERANCE = 1e-11
# A bracket as wide as float64 allows is halved to one number in about 1100 steps (2100 with denormals).
_MOST_STEPS = 2200


def mixture_cdf(proportions: Floats, means: Floats, sigma: Floats, y: Floats) -> Floats:
    """Return F(y), shape (n,); proportions and means have shape (n, k), sigma (k,), y (n,)."""
    return np.asarray(np.sum(proportions * ndtr((y[:, None] - means) / sigma), axis=1))


def mixture_quantile(proportions: Floats, means: Floats, sigma: Floats, level: float) -> Floats:
    """Return the y with F(y) = `level`, shape (n,).

    Where F is flat to rounding, between components far apart, any y of the flat part may come back.

    Parameters
    ----------
    proportions : ndarray of shape (n, k)
        Rows add up to 1.
    means : ndarray of shape (n, k)
        What belongs to a proportion of 0 is not looked at.
    sigma : ndarray of shape (k,)
    level : float
        Above 0 and below 1.

    Returns
    -------
    ndarray of shape (n,)
        NaN where a component leaves the range of float64.
    """
    used = proportions > 0
    with np.errstate(over="ignore"):
        own = np.where(used, means + sigma * ndtri(level), 0.0)
    low = np.where(used, own, np.inf).min(axis=1)
    high = np.where(used, own, -np.inf).max(axis=1)
    found = np.full(len(own), np.nan)
    finite = np.isfinite(low) & np.isfinite(high)
    found[finite] = low[finite]  # exact where the components agree
    rows = np.flatnonzero(finite & (low < high))
    if len(rows) > 0:
        means = np.where(used, means, 0.0)
        start = np.clip(np.sum(proportions * own, axis=1), low, high)
        smallest = np.where(used, sigma, np.inf).min(axis=1)
        state = _Roots(proportions[rows], means[rows], sigma, level, start[rows], low[rows], high[rows])
        found[rows] = state.solve(_TOLERANCE * smallest[rows])
    return found


class _Roots:
    """The rows still to be solved; those that are done are left out, so that each step costs what it must."""

    def __init__(
        self, proportions: Floats, means: Floats, sigma: Floats, level: float, y: Floats, low: Floats, high: Floats
    ) -> None:
        self.proportions, self.means, self.sigma, self.level = proportions, means, sigma, level
        self.y, self.low, self.high = y, low, high

    def solve(self, tolerance: Floats) -> Floats:
        """Return the roots, shape (n,)."""
        found, rows = self.y.copy(), np.arange(len(self.y))
        with np.errstate(over="ignore"):
            last = self.high - self.low  # the length of the step before
        for _ in range(_MOST_STEPS):
            excess, density = self._excess_and_density()
            self.low = np.where(excess < 0, self.y, self.low)
            self.high = np.where(excess > 0, self.y, self.high)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                step = excess / density
                newton = self.y - step
                good = (newton >= self.low) & (newton <= self.high) & (np.abs(step) <= 0.5 * last)
            y = np.where(good, newton, 0.5 * self.low + 0.5 * self.high)
            last = np.abs(y - self.y)
            precise = np.maximum(tolerance, 2.0 * np.spacing(np.abs(y)))
            with np.errstate(over="ignore"):
                settled = np.where(good, last, self.high - self.low) <= precise
            exact = excess == 0
            found[rows] = np.where(exact, self.y, y)
            going = ~(settled | exact)
            if not going.any():
                break
            self.y, last = y, last[going]
            rows, tolerance = rows[going], tolerance[going]
            self._keep(going)
        return found

    def _keep(self, rows: npt.NDArray[np.bool_]) -> None:
        self.proportions, self.means = self.proportions[rows], self.means[rows]
        self.y, self.low, self.high = self.y[rows], self.low[rows], self.high[rows]

    def _excess_and_density(self) -> tuple[Floats, Floats]:
        """Return F(y) - level and the density.

        Of each component the smaller tail is taken, and of the two sides of the equation the one on which `level`
        or 1 - `level` is small, so that neither far tails nor the gap between components far apart cancel.
        """
        z = (self.y[:, None] - self.means) / self.sigma
        below = z > 0
        tail = self.proportions * ndtr(-np.abs(z))
        tails = np.sum(np.where(below, -tail, tail), axis=1)
        if self.level <= 0.5:
            excess = np.sum(np.where(below, self.proportions, 0.0), axis=1) - self.level + tails
        else:
            excess = (1.0 - self.level) - np.sum(np.where(below, 0.0, self.proportions), axis=1) + tails
        with np.errstate(over="ignore"):  # z^2
            density = np.sum(self.proportions * np.exp(-0.5 * z**2) / self.sigma, axis=1) / np.sqrt(2.0 * np.pi)
        return excess, density
