"""Several normal responses with a covariance."""

from __future__ import annotations

import numpy as np

from moefast._typing import Floats
from moefast.families.family import Family, Predictors
from moefast.families.gaussian import GAUSSIAN
from moefast.samples import RowTerms

__all__ = ["MultivariateGaussian"]

# Squares of values that spread by more, or by less than its inverse, lose their digits in float64.
_WIDEST = 1e150


class MultivariateGaussian(Family):
    r"""Normal responses: :math:`y \sim N_q(\eta, \Sigma)`, with a predictor for each.

    Distribution functions and quantiles are those of each response by itself.

    Parameters
    ----------
    n_responses : int
        q.
    covariance_type : {"full", "diag"}
        Any covariance, or one without correlations.
    """

    name = "gaussian"
    is_location = True
    has_scale = True
    has_covariance = True

    def __init__(self, n_responses: int, covariance_type: str = "full") -> None:
        self.n_responses, self.covariance_type = n_responses, covariance_type

    def __repr__(self) -> str:
        return f"MultivariateGaussian({self.n_responses}, {self.covariance_type!r})"

    @property
    def n_predictors(self) -> int:
        """One for each response."""
        return self.n_responses

    @property
    def n_scales(self) -> int:
        """Variances, and covariances of a full matrix."""
        q = self.n_responses
        return q if self.covariance_type == "diag" else q * (q + 1) // 2

    @property
    def in_words(self) -> str:
        """With the number of responses."""
        kind = "uncorrelated" if self.covariance_type == "diag" else "correlated"
        return f"{self.n_responses} {kind} responses"

    @property
    def core(self) -> tuple[str, int, bool]:
        """Built in."""
        return ("multivariate_normal", self.n_responses, self.covariance_type == "diag")

    def check(self, y: Floats, terms: RowTerms) -> None:
        """Every y will do whose covariances float64 holds."""
        self.refuse_terms(terms)
        width = y.max(axis=0) / 2 - y.min(axis=0) / 2
        bad = np.flatnonzero((width > _WIDEST) | ((width > 0) & (width < 1 / _WIDEST)))
        if len(bad):
            j = int(bad[0])
            raise OverflowError(
                f"y column {j} has a standard deviation of about {width[j]:.3g}, whose square leaves the range of "
                "float64; rescale y"
            )

    def first_predictor(self, y: Floats, terms: RowTerms) -> None:
        """There is none: the first step is least squares."""
        return None

    def indicators(self, y: Floats) -> Floats:
        """Return y."""
        return y

    def expected_indicators(self, of: Predictors) -> Floats:
        """Return eta."""
        return of.eta

    def mean(self, of: Predictors) -> Floats:
        """Return eta, (n, k, q)."""
        return of.eta

    def std(self, of: Predictors) -> Floats:
        """Return the square roots of the variances, (n, k, q)."""
        return np.broadcast_to(of.sigma, of.eta.shape)

    def log_density(self, of: Predictors, y: Floats) -> Floats:
        """Return -z'z / 2 - log det L - q / 2 log 2 pi with the covariance L L' and z = L^-1 (y - eta), (n, k)."""
        # The scale goes first: squares of very large or small units would leave the range.
        L = np.linalg.cholesky(_correlation(of))
        whitening = np.linalg.inv(L)
        z = np.einsum("...rc,...c->...r", whitening, (y - of.eta) / of.sigma)
        log_det = np.log(np.diagonal(L, axis1=-2, axis2=-1)).sum(axis=-1) + np.log(of.sigma).sum(axis=-1)
        return np.asarray(-0.5 * (z**2).sum(axis=-1) - log_det - 0.5 * self.n_responses * np.log(2 * np.pi))

    def cdf(self, of: Predictors, y: Floats) -> Floats:
        """Return Phi of each response by itself, (n, k, q)."""
        return GAUSSIAN.cdf(of, y)

    def quantile(self, of: Predictors, level: float) -> Floats:
        """Return the quantile of each response by itself, (n, k, q)."""
        return GAUSSIAN.quantile(of, level)

    def draw(self, of: Predictors, rng: np.random.Generator) -> Floats:
        """Return normal draws, (n, k, q)."""
        z = rng.normal(size=of.eta.shape)
        return np.asarray(
            of.eta + of.sigma * np.einsum("...rc,...c->...r", np.linalg.cholesky(_correlation(of)), z)
        )


def _correlation(of: Predictors) -> Floats:
    """Return the correlations of the responses, of the experts in question."""
    assert of.covariance is not None
    return np.asarray(of.covariance / of.sigma[..., :, None] / of.sigma[..., None, :])
