"""What a fitted mixture of experts answers: predictions, probabilities, likelihoods."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from moefast._typing import Floats
from moefast.mixture import GatedExperts
from moefast.randomness import RandomState, get_generator
from moefast.validation import (
    check_finite,
    check_response,
    check_weights,
    column_names,
    explain_conversion,
    refuse_misread,
)

__all__ = ["MixturePredictions", "in_range"]


class MixturePredictions:
    """The methods of a fitted estimator; it brings the attributes with a trailing underscore."""

    # set by fit
    coef_: Floats
    n_features_in_: int
    n_samples_fit_: int
    n_parameters_: int
    fit_report_: Any

    @property
    @abstractmethod
    def mixture_(self) -> GatedExperts:
        """The fitted parameters."""

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

    @property
    def predict_proba(self) -> Callable[[Any], Floats]:
        """Call it with X for the gates p_i(x): how likely each expert is before y is seen, shape (n, k).

        Not there (AttributeError) before `fit`, and on a fit whose gates mean nothing: fewer rows than
        parameters, or all experts collapsed; ``mixture_.gate_proba(X)`` gives the bare numbers even then.
        (scikit-learn's checks want no such method on a regressor, and look for it on such fits.)
        """
        check_is_fitted(self)  # NotFittedError is an AttributeError
        if self.n_samples_fit_ < self.n_parameters_:
            raise AttributeError(
                f"predict_proba: {self.n_samples_fit_} rows do not determine the gates of a model with "
                f"{self.n_parameters_} parameters"
            )
        if len(self.fit_report_.collapsed) == len(self.coef_):
            raise AttributeError("predict_proba: all experts collapsed, so the gates mean nothing")
        return self._gate_proba

    def _gate_proba(self, X: Any) -> Floats:
        return in_range(self.mixture_.gate_proba, self._checked_features(X))

    def responsibilities(self, X: Any, y: Any) -> Floats:
        """Return P(expert i | x, y): how likely each expert is after y is seen, shape (n, k)."""
        return in_range(self.mixture_.responsibilities, *self._checked_samples(X, y))

    def score_samples(self, X: Any, y: Any = None) -> Floats:
        """Return log P(y | x) for each row, shape (n,).

        Without `y` the density is that of the model's own prediction ``predict(X)``, which tells how
        sharp the model is at each x.
        """
        return in_range(self.mixture_.log_density, *self._checked_samples(X, self.predict(X) if y is None else y))

    def log_likelihood(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the sum of log P(y | x) over the rows, with their weights."""
        values = in_range(self.mixture_.log_density, *self._checked_samples(X, y))
        return float(values @ check_weights(sample_weight, len(values)))

    def aic(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return Akaike's criterion, 2 (number of parameters) - 2 log-likelihood."""
        check_is_fitted(self)
        return 2.0 * self.n_parameters_ - 2.0 * self.log_likelihood(X, y, sample_weight)

    def bic(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return Schwarz's criterion, log(n) (number of parameters) - 2 log-likelihood.

        n is the sum of the weights.
        """
        check_is_fitted(self)
        log_likelihood = self.log_likelihood(X, y, sample_weight)
        n = check_weights(sample_weight, len(y)).sum()
        return float(np.log(n) * self.n_parameters_ - 2.0 * log_likelihood)

    def sample(self, X: Any, random_state: RandomState = None) -> Floats:
        """Draw one response for each row of X from the fitted model, shape (n,).

        Raises
        ------
        OverflowError
            When a draw leaves the range of float64; the row is named.
        """
        rng = get_generator(random_state)
        return in_range(lambda rows: self.mixture_.draw(rows, rng), self._checked_features(X))

    def _checked_features(self, X: Any) -> Floats:
        check_is_fitted(self)
        names, given = column_names(X), X
        refuse_misread(X, "X")
        try:
            X = validate_data(self, X, dtype=np.float64, ensure_all_finite=False, reset=False)
        except (TypeError, ValueError) as error:
            raise explain_conversion(given, error) from None
        check_finite(X, names)
        return np.asarray(X)

    def _checked_samples(self, X: Any, y: Any) -> tuple[Floats, Floats]:
        X = self._checked_features(X)
        return X, check_response(y, len(X))


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
