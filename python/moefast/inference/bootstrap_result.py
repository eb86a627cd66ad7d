"""What the bootstrap finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from moefast._typing import Floats
from moefast.inference.bootstrap import Replicates
from moefast.inference.estimate import MeanPrediction, normal_interval, parameter_frame
from moefast.mixture import Mixture
from moefast.validation import check_choice, check_number

if TYPE_CHECKING:
    from moefast.inference.result import InferenceResult

__all__ = ["BootstrapResult"]

# The interquartile range of a standard normal variable.
_NORMAL_QUARTILES = 1.3489795003921634


def robust_spread(values: Floats) -> Floats:
    """Return the standard deviation of each column by its interquartile range, which stray refits do not move."""
    low, high = np.quantile(values, [0.25, 0.75], axis=0)
    return np.asarray((high - low) / _NORMAL_QUARTILES)


@dataclass(frozen=True, eq=False, repr=False)
class BootstrapResult:
    """Standard errors and intervals from refits to resampled data; made by :meth:`InferenceResult.bootstrap`.

    Parameters and their order are those of the :class:`InferenceResult`; what the data do not determine is NaN.

    Attributes
    ----------
    result : InferenceResult
    refits : Replicates
        In standard units, with their `messages`, and for cold ones with `n_better`: in how many of them random
        starts found a better optimum than the fit led to. Where that happens often no interval is honest.

    Examples
    --------
    >>> from moefast import MixtureOfExpertsRegressor
    >>> from moefast.datasets import make_moe
    >>> X, y, truth = make_moe(1000, 2, 2, noise=0.3, random_state=1)
    >>> model = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> bootstrap = model.inference(X, y).bootstrap(n_replicates=100, random_state=0)
    >>> bootstrap.replicates.shape, bootstrap.conf_int().shape
    ((100, 11), (11, 2))
    """

    result: InferenceResult
    refits: Replicates

    def __repr__(self) -> str:
        o = self.refits.options
        return f"<BootstrapResult: {o.n_replicates} {o.kind} replicates, {o.start} starts>"

    @property
    def names(self) -> list[tuple[str, str]]:
        """What each parameter belongs to, and its name there."""
        return self.result.names

    @property
    def params(self) -> Floats:
        """The model's estimates, shape (P,)."""
        return self.result.params

    @property
    def replicates(self) -> Floats:
        """The refits' parameters in the units of the data, shape (n_replicates, P)."""
        M, T, constant = self.result.to_units
        return np.asarray(self.refits.theta @ (T @ M).T + constant)

    @property
    def bse(self) -> Floats:
        """Standard errors, shape (P,): the interquartile range of the refits as that of a normal variable."""
        return np.where(self.result.estimable, robust_spread(self.replicates), np.nan)

    def conf_int(self, alpha: float = 0.05, method: Literal["normal", "percentile"] = "normal") -> Floats:
        """Return confidence intervals of level 1 - alpha, shape (P, 2).

        Parameters
        ----------
        alpha : float
        method : {"normal", "percentile"}
            The estimates and their standard errors, which covered better, or quantiles of the refits.
        """
        check_choice("method", method, ("normal", "percentile"))
        if method == "normal":
            return normal_interval(self.params, self.bse, alpha)
        check_number("alpha", alpha, low=0.0, open_low=True, high=1.0)
        interval = np.quantile(self.replicates, [alpha / 2, 1 - alpha / 2], axis=0).T
        return np.where(self.result.estimable[:, None], interval, np.nan)

    def sigma_conf_int(self, alpha: float = 0.05, method: Literal["normal", "percentile"] = "normal") -> Floats:
        """Return confidence intervals of the experts' noise s_i, shape (k, 2), or (1, 2) where it is shared."""
        return np.asarray(np.exp(self.conf_int(alpha, method)[self.result.checked_noise]))

    def shape_conf_int(self, alpha: float = 0.05, method: Literal["normal", "percentile"] = "normal") -> Floats:
        """Return confidence intervals of the experts' shapes, shape (k, 2), or (1, 2) where they are shared."""
        return np.asarray(np.exp(self.conf_int(alpha, method)[self.result.checked_shapes]))

    def summary_frame(self, alpha: float = 0.05) -> Any:
        """Return a pandas DataFrame: estimate, standard error and interval of each parameter."""
        return parameter_frame(self.names, {"coef": self.params, "std err": self.bse}, self.conf_int(alpha), alpha)

    def mixtures(self) -> list[Mixture]:
        """Return the refits as mixtures in the units of the data."""
        fit = self.result.fit
        layout, link, family = fit.precision.layout, fit.mixture.link, fit.mixture.family
        units = fit.problem.standardisation
        return [layout.mixture(theta, link, family).to_units(units) for theta in self.refits.theta]

    def predict(self, X: Any, *, offset: Any = None, n_trials: Any = None) -> MeanPrediction:
        """Return E[y | x] with standard errors, those of the refits' means.

        Parameters
        ----------
        X : array-like of shape (n, d)
        offset, n_trials : float or array-like of shape (n,), optional
            As for the model's own `predict`.

        Returns
        -------
        MeanPrediction
        """
        X, terms = self.result.checked_rows(X, offset, n_trials)
        means = np.array([mixture.mean(X, terms) for mixture in self.mixtures()])
        return MeanPrediction(self.result.mixture.mean(X, terms), robust_spread(means))
