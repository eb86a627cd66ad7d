"""Positive responses whose spread grows with their mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import gammainc, gammaincinv, gammaln

from moefast._typing import Floats
from moefast.families.family import Family, Predictors
from moefast.samples import RowTerms

__all__ = ["Gamma"]


class Gamma(Family):
    r"""Positive numbers: :math:`\log E[y] = \eta`, variance :math:`\mu^2 / a` with the shape :math:`a`, fitted."""

    name = "gamma"
    initial_shape = 2.0
    # Where the core stops: y is its mean to four digits.
    largest_shape = 1e8

    @property
    def shape_name(self) -> str:
        """The shape."""
        return "shape"

    @property
    def core(self) -> tuple[str]:
        """Built in."""
        return ("gamma",)

    def check(self, y: Floats, terms: RowTerms) -> None:
        """Refuse what is not positive."""
        self.refuse_terms(terms)
        self.refuse(~(y > 0), y, "positive")

    def has_collapsed(self, shape: Floats) -> npt.NDArray[np.bool_]:
        """At the largest shape."""
        return np.asarray(shape >= self.largest_shape * (1 - 1e-9))

    def row_term(self, y: Floats, terms: RowTerms) -> Floats:
        """Return log y."""
        return np.asarray(np.log(y))

    def first_predictor(self, y: Floats, terms: RowTerms) -> Floats:
        """Return log y."""
        return np.asarray(np.log(y))

    def mean(self, of: Predictors) -> Floats:
        """Return exp(eta)."""
        return np.asarray(np.exp(of.eta))

    def std(self, of: Predictors) -> Floats:
        """Return mu / sqrt(a)."""
        return np.asarray(np.exp(of.eta) / np.sqrt(of.shape))

    def log_density(self, of: Predictors, y: Floats) -> Floats:
        """Return a log a - log Gamma(a) - log y + a (log q - q), q = y / mu."""
        a = of.shape
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            log_y = np.log(np.where(y > 0, y, np.nan))
            log_q = log_y - of.eta
            value = a * np.log(a) - gammaln(a) - log_y + a * (log_q - np.exp(log_q))
        return np.where(y > 0, value, -np.inf)

    def cdf(self, of: Predictors, y: Floats) -> Floats:
        """Return P(Y <= y)."""
        return np.asarray(gammainc(of.shape, of.shape * np.maximum(y, 0.0) * np.exp(-of.eta)))

    def quantile(self, of: Predictors, level: float) -> Floats:
        """Return the y below which there is so much."""
        return np.asarray(gammaincinv(of.shape, level) * np.exp(of.eta) / of.shape)

    def draw(self, of: Predictors, rng: np.random.Generator) -> Floats:
        """Return draws of the gamma distribution."""
        shape = np.broadcast_to(of.shape, of.eta.shape)
        return np.asarray(rng.gamma(shape) * np.exp(of.eta) / shape)
