"""What a fitted mixture of experts answers: predictions, probabilities, likelihoods."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted, validate_data

from moefast._typing import Floats
from moefast.links import Link
from moefast.mixture import GatedExperts
from moefast.randomness import RandomState, get_generator
from moefast.search.report import FitReport
from moefast.validation import check_features, check_levels, check_number, check_response, check_weights

__all__ = ["MixturePredictions", "aic", "bic", "in_range"]


class MixturePredictions:
    """The methods of a fitted estimator; it brings the attributes with a trailing underscore."""

    # What fit sets: the parameters (`_set_parameters`), the figures of the fit, and what scikit-learn keeps of X.
    mixture_: GatedExperts
    coef_: Floats
    intercept_: Floats
    gate_coef_: Any
    gate_intercept_: Any
    sigma_: Floats
    link_: Link
    shares_: Floats
    log_likelihood_: float
    aic_: float
    bic_: float
    icl_: float
    entropy_: float
    n_samples_fit_: int
    n_parameters_: int
    training_weight_: float
    response_std_: float
    n_iter_: int
    converged_: bool
    fit_report_: FitReport
    separated_gates_: tuple[tuple[int, int], ...] | None
    n_features_in_: int
    feature_names_in_: npt.NDArray[Any]

    def _set_parameters(self, mixture: GatedExperts) -> None:
        """Set the fitted parameters."""
        self.mixture_, self.link_ = mixture, mixture.link
        self.coef_, self.intercept_, self.sigma_ = mixture.coef, mixture.intercept, mixture.sigma
        self.gate_coef_, self.gate_intercept_ = mixture.gate_coef, mixture.gate_intercept

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return E[y | x], and with `return_std` the standard deviation of y given x.

        Parameters
        ----------
        X : array-like of shape (n, d)
        return_std : bool

        Returns
        -------
        mean : ndarray of shape (n,)
        std : ndarray of shape (n,)
            Only with `return_std`.
        """
        X = self._checked_features(X)
        mean = in_range(self.mixture_.mean, X)
        return (mean, in_range(self.mixture_.std, X)) if return_std else mean

    def predict_gates(self, X: Any) -> Floats:
        """Return the gates p_i(x): how likely each expert is before y is seen, shape (n, k)."""
        X = self._checked_features(X)
        return in_range(self.mixture_.gates, X)

    def responsibilities(self, X: Any, y: Any) -> Floats:
        """Return P(expert i | x, y): how likely each expert is after y is seen, shape (n, k)."""
        X, y = self._checked_samples(X, y)
        return in_range(self.mixture_.responsibilities, X, y)

    def predict_experts(self, X: Any) -> Floats:
        """Return what each expert predicts, g(a_i.x + b_i), shape (n, k)."""
        X = self._checked_features(X)
        return in_range(self.mixture_.expert_means, X)

    def assign(self, X: Any, y: Any = None) -> npt.NDArray[np.intp]:
        """Return the likeliest expert of each row, before y is seen or, where it is given, after; shape (n,)."""
        likely = self.predict_gates(X) if y is None else self.responsibilities(X, y)
        return np.asarray(likely.argmax(axis=1))

    def predict_quantile(self, X: Any, q: Any) -> Floats:
        """Return quantiles of y given x, exact for the mixture.

        Parameters
        ----------
        X : array-like of shape (n, d)
        q : float or array-like of shape (m,)
            Probabilities above 0 and below 1.

        Returns
        -------
        ndarray of shape (n,), or (n, m) for several q
            The y below which the mixture has probability q. Between laws so far apart that nothing lies between
            them to rounding, the quantile that falls into the gap may be any point of it.

        Raises
        ------
        ValueError, TypeError
            When q is no probability.
        """
        levels = check_levels("q", q)
        X = self._checked_features(X)
        values = in_range(lambda rows: self.mixture_.quantile(rows, np.atleast_1d(levels)), X)
        return values if levels.ndim else values[:, 0]

    def predict_interval(self, X: Any, level: float = 0.9) -> Floats:
        """Return the interval that leaves the same probability out on both sides, shape (n, 2).

        `level` is the probability of the interval. Where the law of y has two humps it reaches over both and what
        lies between: ``log_density`` on a grid shows it.
        """
        check_number("level", level)
        check_levels("level", level)
        return self.predict_quantile(X, [0.5 * (1.0 - level), 0.5 * (1.0 + level)])

    def cdf(self, X: Any, y: Any) -> Floats:
        """Return P(Y <= y | x) for each row, shape (n,): uniform on responses that follow the model."""
        X, y = self._checked_samples(X, y)
        return in_range(self.mixture_.cdf, X, y)

    def log_density(self, X: Any, y_grid: Any) -> Floats:
        """Return log P(y | x) for each row of X and each y of a grid, shape (n, len(y_grid)).

        :meth:`score_samples` takes one y for each row.
        """
        X, grid = self._checked_features(X), check_response(y_grid, np.size(y_grid), "y_grid")
        return in_range(lambda rows: self.mixture_.log_density_grid(rows, grid), X)

    def score_samples(self, X: Any, y: Any) -> Floats:
        """Return log P(y | x) for each row, shape (n,)."""
        X, y = self._checked_samples(X, y)
        return in_range(self.mixture_.log_density, X, y)

    def log_likelihood(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the sum of log P(y | x) over the rows, with their weights."""
        values = self.score_samples(X, y)
        return float(values @ check_weights(sample_weight, len(values)))

    def aic(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return Akaike's criterion, 2 (number of parameters) - 2 log-likelihood."""
        return aic(self.log_likelihood(X, y, sample_weight), self.n_parameters_)

    def bic(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return Schwarz's criterion, log(n) (number of parameters) - 2 log-likelihood.

        n is the sum of the weights.
        """
        log_likelihood = self.log_likelihood(X, y, sample_weight)
        return bic(log_likelihood, self.n_parameters_, float(check_weights(sample_weight, len(X)).sum()))

    def sample(self, X: Any, random_state: RandomState = None) -> Floats:
        """Draw one response for each row of X from the fitted model, shape (n,).

        Raises
        ------
        OverflowError
            When a draw leaves the range of float64; the row is named.
        """
        rng = get_generator(random_state)
        X = self._checked_features(X)
        return in_range(lambda rows: self.mixture_.draw(rows, rng), X)

    def _checked_features(self, X: Any) -> Floats:
        check_is_fitted(self)
        return check_features(X, partial(validate_data, self, reset=False))

    def _checked_samples(self, X: Any, y: Any) -> tuple[Floats, Floats]:
        X = self._checked_features(X)
        return X, check_response(y, len(X))


def aic(log_likelihood: float, n_parameters: int) -> float:
    """Return Akaike's criterion."""
    return 2.0 * n_parameters - 2.0 * log_likelihood


def bic(log_likelihood: float, n_parameters: int, n: float) -> float:
    """Return Schwarz's criterion for n rows."""
    return float(np.log(n) * n_parameters - 2.0 * log_likelihood)


def in_range(compute: Callable[..., Floats], X: Floats, *y: Floats) -> Floats:
    """Return compute(X, *y), or raise OverflowError naming the row for which it left the range of float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = compute(X, *y)
    good = np.isfinite(values).reshape(len(X), -1).all(axis=1)
    if not good.all():
        row = int(np.argmin(good))
        raise OverflowError(
            f"row {row} is too far from the training data, or these are too near the ends of the range: its "
            f"result leaves the range of float64 (largest |x| {np.abs(X[row]).max():.3g}, in X column "
            f"{int(np.abs(X[row]).argmax())})"
        )
    return values
