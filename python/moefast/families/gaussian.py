"""Normal responses."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.special import ndtr, ndtri

from moefast._typing import Floats
from moefast.families.family import Family, Predictors
from moefast.samples import RowTerms

__all__ = ["GAUSSIAN", "Gaussian"]


class Gaussian(Family):
    r"""Normal: :math:`y \sim N(\eta, s^2)`. With a link the mean is :math:`g(\eta)`."""

    name = "gaussian"
    is_location = True
    absorbs_offset = True
    has_scale = True
    _one: ClassVar[Gaussian]

    def __new__(cls) -> Gaussian:
        """There is one: copies and pickles are the same object, so that ``family is GAUSSIAN`` asks for it."""
        if "_one" not in vars(cls):
            cls._one = super().__new__(cls)
        return cls._one

    @property
    def core(self) -> None:
        """The kernel of the E-step knows it."""
        return None

    def check(self, y: Floats, terms: RowTerms) -> None:
        """Every y will do."""
        self.refuse_terms(terms)

    def first_predictor(self, y: Floats, terms: RowTerms) -> Floats:
        """Return y."""
        return y

    def mean(self, of: Predictors) -> Floats:
        """Return eta."""
        return of.eta

    def std(self, of: Predictors) -> Floats:
        """Return s."""
        return np.broadcast_to(of.sigma, of.eta.shape)

    def log_density(self, of: Predictors, y: Floats) -> Floats:
        """Return -z^2 / 2 - log(s sqrt(2 pi))."""
        z = (y - of.eta) / of.sigma
        return np.asarray(-0.5 * z**2 - np.log(of.sigma) - 0.5 * np.log(2 * np.pi))

    def cdf(self, of: Predictors, y: Floats) -> Floats:
        """Return Phi(z)."""
        return np.asarray(ndtr((y - of.eta) / of.sigma))

    def quantile(self, of: Predictors, level: float) -> Floats:
        """Return eta + s z."""
        return np.asarray(of.eta + of.sigma * ndtri(level))

    def draw(self, of: Predictors, rng: np.random.Generator) -> Floats:
        """Return normal draws."""
        return np.asarray(of.eta + of.sigma * rng.normal(size=of.eta.shape))


GAUSSIAN = Gaussian()
