"""Responses of which nothing is seen beyond a limit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtr, ndtri

from moefast._typing import Floats
from moefast.families.family import Family, Predictors
from moefast.samples import RowTerms

__all__ = ["Tobit"]


class Tobit(Family):
    r"""A censored normal response: :math:`y = \min(\max(y^*, l), u)` with :math:`y^* \sim N(\eta, s^2)`.

    What is predicted is y, not the y* behind it, of which eta is the mean.

    Parameters
    ----------
    lower, upper : float
        The limits l and u: -inf and inf where there is none.

    Raises
    ------
    ValueError
        Unless lower < upper.
    """

    name = "tobit"
    is_location = True
    has_scale = True
    may_be_sure = True

    def __init__(self, lower: float = 0.0, upper: float = np.inf) -> None:
        for name, value in (("lower", lower), ("upper", upper)):
            number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
            if not number or np.isnan(value):
                raise ValueError(f"{name} must be a number, -inf or inf, got {value!r}")
        if not lower < upper:
            raise ValueError(f"lower must be below upper, got lower={lower!r} and upper={upper!r}")
        self.lower, self.upper = lower, upper

    def __repr__(self) -> str:
        return f"Tobit(lower={self.lower}, upper={self.upper})"

    @property
    def predicts(self) -> str:
        """The response before it is censored."""
        return "y*"

    @property
    def in_words(self) -> str:
        """With the limits."""
        ends = [f"at {limit:g}" for limit in (self.lower, self.upper) if np.isfinite(limit)]
        return f"responses censored {' and '.join(ends)}"

    @property
    def core(self) -> tuple[str, float, float]:
        """Built in."""
        return ("tobit", float(self.lower), float(self.upper))

    def check(self, y: Floats, terms: RowTerms) -> None:
        """Refuse what lies beyond a limit."""
        self.refuse_terms(terms)
        self.refuse((y < self.lower) | (y > self.upper), y, f"from {self.lower:g} to {self.upper:g}")

    def first_predictor(self, y: Floats, terms: RowTerms) -> Floats:
        """Return y."""
        return y

    def in_units(self, shift: float, scale: float) -> Tobit:
        """Return the same with limits in other units."""
        return Tobit((self.lower - shift) / scale, (self.upper - shift) / scale)

    def at_limits(self, y: Floats, t: Floats, standard: Family) -> Floats:
        """Rounding must not free a y that is at a limit."""
        assert isinstance(standard, Tobit)
        return np.where(y <= self.lower, standard.lower, np.where(y >= self.upper, standard.upper, t))

    def is_density(self, y: Floats) -> npt.NDArray[np.bool_]:
        """Where y is seen."""
        return np.asarray((y > self.lower) & (y < self.upper))

    def _limits(self, of: Predictors) -> tuple[Floats, Floats]:
        return (self.lower - of.eta) / of.sigma, (self.upper - of.eta) / of.sigma

    def mean(self, of: Predictors) -> Floats:
        """Return E[y], the limits counted in."""
        low, high = self._limits(of)
        seen = ndtr(high) - ndtr(low)
        value = of.eta * seen + of.sigma * (_density(low) - _density(high))
        value += _times(self.lower, ndtr(low)) + _times(self.upper, ndtr(-high))
        return np.clip(value, self.lower, self.upper)  # far out rounding reaches beyond

    def std(self, of: Predictors) -> Floats:
        """Return the standard deviation of y, the limits counted in."""
        low, high = self._limits(of)
        # of z = (y - eta) / s
        first = _density(low) - _density(high) + _times(low, ndtr(low)) + _times(high, ndtr(-high))
        second = ndtr(high) - ndtr(low) + _times(low, _density(low)) - _times(high, _density(high))
        second += _times(low**2, ndtr(low)) + _times(high**2, ndtr(-high))
        return np.asarray(of.sigma * np.sqrt(np.maximum(second - first**2, 0.0)))

    def log_density(self, of: Predictors, y: Floats) -> Floats:
        """Return the logarithm of the density where y is seen, of the probability at the limits."""
        low, high = self._limits(of)
        z = (y - of.eta) / of.sigma
        value = -0.5 * z**2 - np.log(of.sigma) - 0.5 * np.log(2 * np.pi)
        value = np.where(y <= self.lower, log_ndtr(low), np.where(y >= self.upper, log_ndtr(-high), value))
        return np.where((y < self.lower) | (y > self.upper), -np.inf, value)

    def cdf(self, of: Predictors, y: Floats) -> Floats:
        """Return P(Y <= y)."""
        below = ndtr((y - of.eta) / of.sigma)
        return np.where(y < self.lower, 0.0, np.where(y >= self.upper, 1.0, below))

    def quantile(self, of: Predictors, level: float) -> Floats:
        """Return the y below which there is so much."""
        return np.asarray(np.clip(of.eta + of.sigma * ndtri(level), self.lower, self.upper))

    def draw(self, of: Predictors, rng: np.random.Generator) -> Floats:
        """Return normal draws as they are seen."""
        return np.asarray(np.clip(of.eta + of.sigma * rng.normal(size=of.eta.shape), self.lower, self.upper))


def _density(z: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))


def _times(limit: Floats | float, probability: Floats) -> Floats:
    """Return the product; 0 where a limit is infinite, and never reached."""
    finite = np.isfinite(limit)
    return np.where(finite, np.where(finite, limit, 0.0) * probability, 0.0)
