"""Counts that vary more than those of Poisson."""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, gammaln

from moefast._typing import Floats
from moefast.families.family import Predictors
from moefast.families.poisson import CountFamily, draw_counts

__all__ = ["NegativeBinomial"]


class NegativeBinomial(CountFamily):
    r"""Counts: :math:`\log E[y] = \eta`, variance :math:`\mu + \mu^2 / \theta` with the size :math:`\theta`.

    The size is fitted, between exp(-4) and exp(8), where the law is that of Poisson.
    """

    name = "negative_binomial"
    initial_shape = 5.0

    @property
    def shape_name(self) -> str:
        """The size."""
        return "size"

    @property
    def core(self) -> tuple[str]:
        """Built in."""
        return ("negative_binomial",)

    def std(self, of: Predictors) -> Floats:
        """Return the root of mu + mu^2 / size."""
        mu = self.mean(of)
        return np.asarray(np.sqrt(mu + mu**2 / of.shape))

    def log_density(self, of: Predictors, y: Floats) -> Floats:
        """Return the logarithm of the probability of y."""
        possible = self.is_possible(y)
        y = np.where(possible, y, 0.0)
        size, rest = of.shape, np.logaddexp(0.0, of.eta - np.log(of.shape))  # log(1 + mu / size)
        constant = gammaln(y + size) - gammaln(size) - gammaln(y + 1.0)
        return np.where(possible, constant + y * (of.eta - np.log(size)) - (y + size) * rest, -np.inf)

    def cdf(self, of: Predictors, y: Floats) -> Floats:
        """Return P(Y <= y)."""
        share = of.shape / (of.shape + self.mean(of))
        below = betainc(of.shape, np.floor(np.maximum(y, 0.0)) + 1.0, share)
        return np.where(y >= 0, below, 0.0)

    def quantile(self, of: Predictors, level: float) -> Floats:
        """Return the smallest count that is large enough."""
        from scipy.stats import nbinom

        return np.asarray(nbinom.ppf(level, of.shape, of.shape / (of.shape + self.mean(of))))

    def draw(self, of: Predictors, rng: np.random.Generator) -> Floats:
        """Return counts of Poisson around means that have a gamma distribution."""
        size = np.broadcast_to(of.shape, of.eta.shape)
        return draw_counts(self.mean(of) * rng.gamma(size) / size, rng)
