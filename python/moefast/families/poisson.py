"""Counts."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, pdtr

from moefast._typing import Floats
from moefast.families.family import Family, Predictors
from moefast.samples import RowTerms

__all__ = ["CountFamily", "Poisson", "draw_counts"]

# Of a count of 0, whose logarithm is not finite: that of R's glm.
_FIRST_SHIFT = 0.1
# Mean above which counts are drawn as normal numbers: they are, to nine digits.
_LARGE = 1e18


class CountFamily(Family):
    """Whole numbers from 0 on, whose mean is exp(eta)."""

    is_discrete = True
    may_be_sure = True

    def check(self, y: Floats, terms: RowTerms) -> None:
        """Refuse what is no count."""
        self.refuse_terms(terms)
        self.refuse(~self.is_possible(y), y, "whole numbers not below 0")

    def row_term(self, y: Floats, terms: RowTerms) -> Floats:
        """Return -log y!."""
        return np.asarray(-gammaln(y + 1.0))

    def first_predictor(self, y: Floats, terms: RowTerms) -> Floats:
        """Return log(y + 0.1)."""
        return np.asarray(np.log(y + _FIRST_SHIFT))

    def mean(self, of: Predictors) -> Floats:
        """Return exp(eta)."""
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(of.eta))


class Poisson(CountFamily):
    r"""Counts: :math:`\log E[y] = \eta`, the variance is the mean.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.families import Poisson, Predictors
    >>> of = Predictors(np.array([[np.log(2.0)]]), np.ones(1), np.ones(1))
    >>> Poisson().mean(of).round(3), Poisson().quantile(of, 0.5)
    (array([[2.]]), array([[2.]]))
    """

    name = "poisson"

    @property
    def core(self) -> tuple[str]:
        """Built in."""
        return ("poisson",)

    def std(self, of: Predictors) -> Floats:
        """Return the root of the mean."""
        return np.asarray(np.exp(0.5 * of.eta))

    def log_density(self, of: Predictors, y: Floats) -> Floats:
        """Return y eta - exp(eta) - log y!."""
        possible = self.is_possible(y)
        y = np.where(possible, y, 0.0)
        return np.where(possible, y * of.eta - self.mean(of) - gammaln(y + 1.0), -np.inf)

    def cdf(self, of: Predictors, y: Floats) -> Floats:
        """Return P(Y <= y)."""
        return np.where(y >= 0, pdtr(np.floor(np.maximum(y, 0.0)), np.exp(of.eta)), 0.0)

    def quantile(self, of: Predictors, level: float) -> Floats:
        """Return the smallest count that is large enough."""
        from scipy.stats import poisson

        return np.asarray(poisson.ppf(level, np.exp(of.eta)))

    def draw(self, of: Predictors, rng: np.random.Generator) -> Floats:
        """Return counts."""
        return draw_counts(self.mean(of), rng)


def draw_counts(mean: Floats, rng: np.random.Generator) -> Floats:
    """Return counts of Poisson; of means so large that numpy has none, normal ones."""
    large = mean > _LARGE
    counts = rng.poisson(np.where(large, 1.0, mean)).astype(np.float64)
    if not large.any():
        return counts
    finite = np.where(np.isfinite(mean), mean, 1.0)
    normal = np.floor(finite + np.sqrt(finite) * rng.standard_normal(size=np.shape(mean)))
    return np.where(large, np.where(np.isfinite(mean), normal, np.inf), counts)
