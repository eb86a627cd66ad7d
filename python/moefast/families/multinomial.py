"""Classes."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from moefast._typing import Floats
from moefast.families.family import Family, Predictors
from moefast.samples import RowTerms

__all__ = ["Multinomial"]


class Multinomial(Family):
    r"""One of C classes, written as 0 .. C - 1: an expert is a multinomial logistic regression.

    It has C - 1 predictors, :math:`\eta_c` the log odds of class c against class 0.

    Parameters
    ----------
    n_classes : int
        C, at least 2.
    """

    name = "multinomial"
    is_discrete = True

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes

    def __repr__(self) -> str:
        return f"Multinomial({self.n_classes})"

    @property
    def n_predictors(self) -> int:
        """C - 1."""
        return self.n_classes - 1

    @property
    def predicts(self) -> str:
        """The log odds of each class."""
        return "log odds"

    @property
    def in_words(self) -> str:
        """With the number of classes."""
        return f"{self.n_classes} classes"

    @property
    def core(self) -> tuple[str, int]:
        """Built in."""
        return ("multinomial", self.n_classes)

    def check(self, y: Floats, terms: RowTerms) -> None:
        """Refuse what is no class."""
        self.refuse_terms(terms)
        self.refuse(~np.isin(y, np.arange(self.n_classes)), y, f"a class from 0 to {self.n_classes - 1}")

    def first_predictor(self, y: Floats, terms: RowTerms) -> None:
        """There is none: experts are made from equal probabilities."""
        return None

    def indicators(self, y: Floats) -> Floats:
        """Return 1 where y is the class of the column, else 0."""
        return np.asarray(y[:, None] == np.arange(self.n_classes), dtype=np.float64)

    def expected_indicators(self, of: Predictors) -> Floats:
        """Return the probabilities of all classes."""
        return np.exp(self.log_probabilities(of))

    def log_probabilities(self, of: Predictors) -> Floats:
        """Return the logarithms of the probabilities of all classes, (n, k, C)."""
        first = np.zeros((*of.eta.shape[:-1], 1))
        return np.asarray(log_softmax(np.concatenate([first, of.eta], axis=-1), axis=-1))

    def log_density(self, of: Predictors, y: Floats) -> Floats:
        """Return the logarithm of the probability of class y."""
        classes = np.broadcast_to(np.asarray(y, dtype=np.intp), of.eta.shape[:-1])
        return np.asarray(np.take_along_axis(self.log_probabilities(of), classes[..., None], axis=-1)[..., 0])

    def draw(self, of: Predictors, rng: np.random.Generator) -> Floats:
        """Return classes."""
        below = np.cumsum(np.exp(self.log_probabilities(of)), axis=-1)
        u = rng.uniform(size=of.eta.shape[:-1])
        drawn = np.minimum((below < u[..., None]).sum(axis=-1), self.n_classes - 1)
        return np.asarray(drawn, dtype=np.float64)

    def mean(self, of: Predictors) -> Floats:
        """Raise ValueError: classes have no mean."""
        raise _no_number("mean")

    def std(self, of: Predictors) -> Floats:
        """Raise ValueError, likewise."""
        raise _no_number("standard deviation")

    def cdf(self, of: Predictors, y: Floats) -> Floats:
        """Raise ValueError, likewise."""
        raise _no_number("distribution function")

    def quantile(self, of: Predictors, level: float) -> Floats:
        """Raise ValueError, likewise."""
        raise _no_number("quantiles")


def _no_number(what: str) -> ValueError:
    return ValueError(f"classes have no {what}; ask for probabilities")
