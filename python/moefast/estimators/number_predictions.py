"""What a fitted mixture says of a response that is a number: mean, spread, quantiles, density, draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from moefast._typing import Floats
from moefast.calibration import Calibration
from moefast.estimators.dataset_predictions import DatasetPredictions
from moefast.estimators.prediction import MixturePredictions, in_range
from moefast.families import Gaussian
from moefast.mixture import GatedExperts
from moefast.power_of_two import over_power_of_two
from moefast.randomness import RandomState, get_generator
from moefast.repeated import draw_groups
from moefast.validation import (
    check_flag,
    check_levels,
    check_number,
    check_response,
    check_responses,
    check_weights,
)

__all__ = ["NumberPredictions"]


class NumberPredictions(DatasetPredictions, RegressorMixin, MixturePredictions):  # type: ignore[misc]  # scikit-learn is untyped
    """The methods of a fitted regressor."""

    calibration_: Calibration | None = None

    def _set_parameters(self, mixture: GatedExperts, calibration: Calibration | None = None) -> None:
        """Set the fitted parameters, and what rows held out say of the intervals of their law."""
        super()._set_parameters(mixture)
        self.calibration_ = calibration

    def predict(self, X: Any, return_std: bool = False, *, offset: Any = None, n_trials: Any = None) -> Any:
        """Return E[y | x], and with `return_std` the standard deviation of y given x.

        Parameters
        ----------
        X : array-like of shape (n, d)
        return_std : bool
        offset, n_trials : float or array-like of shape (n,), optional
            Of these rows, as in ``fit``; without them 0 and 1.

        Returns
        -------
        mean : ndarray of shape (n,)
        std : ndarray of shape (n,)
            Only with `return_std`. Infinite where an expert is Student's t of at most two degrees of freedom.
        """
        X, terms = self._checked_rows(X, offset, n_trials)
        mean = in_range(self.mixture_.mean, X, terms=terms)
        if not return_std:
            return mean
        if self.mixture_.family.has_outliers:  # their spread may be infinite
            return mean, self.mixture_.std(X, terms)
        return mean, in_range(self.mixture_.std, X, terms=terms)

    def predict_experts(self, X: Any, *, offset: Any = None, n_trials: Any = None) -> Floats:
        """Return what each expert expects of y, g(a_i.x + b_i) for normal responses, shape (n, k)."""
        X, terms = self._checked_rows(X, offset, n_trials)
        return in_range(self.mixture_.expert_means, X, terms=terms)

    def predict_quantile(
        self, X: Any, q: Any, *, offset: Any = None, n_trials: Any = None, calibrated: bool = True
    ) -> Floats:
        """Return quantiles of y given x, exact for the mixture.

        Parameters
        ----------
        X : array-like of shape (n, d)
        q : float or array-like of shape (m,)
            Probabilities above 0 and below 1.
        offset, n_trials : float or array-like of shape (n,), optional
            As in :meth:`predict`.
        calibrated : bool
            Whether those at q and 1 - q have between them as many rows held out as they should, where the fit has
            held rows out (``calibration_``). Otherwise, and always without such rows, they are those of the law
            itself, of which :meth:`cdf` is the inverse. The median is the same.

        Returns
        -------
        ndarray of shape (n,), or (n, m) for several q
            The smallest y up to which the mixture has probability q, for counts a whole number. Between laws so
            far apart that nothing lies between them to rounding, the quantile that falls into the gap may be any
            point of it.

        Raises
        ------
        ValueError, TypeError
            When q is no probability.
        """
        levels = check_levels("q", q)
        check_flag("calibrated", calibrated)
        X, terms = self._checked_rows(X, offset, n_trials)
        own = np.atleast_1d(levels)
        if calibrated and self.calibration_ is not None:
            own = self.calibration_.levels(own)
        values = in_range(lambda rows: self.mixture_.quantile(rows, own, terms), X)
        return values if levels.ndim else values[:, 0]

    def predict_interval(
        self, X: Any, level: float = 0.9, *, offset: Any = None, n_trials: Any = None, calibrated: bool = True
    ) -> Floats:
        """Return the interval that leaves the same probability out on both sides, shape (n, 2).

        `level` is the probability of the interval, with `calibrated` by the rows held out, where the fit has held
        some out, otherwise by the law itself: it is from one :meth:`predict_quantile` to another. Where the law of
        y has two humps it reaches over both and what lies between: ``log_density`` on a grid shows it.
        """
        check_number("level", level)
        check_levels("level", level)
        levels = [0.5 * (1.0 - level), 0.5 * (1.0 + level)]
        return self.predict_quantile(X, levels, offset=offset, n_trials=n_trials, calibrated=calibrated)

    def cdf(self, X: Any, y: Any = None, *, offset: Any = None, n_trials: Any = None) -> Floats:
        """Return P(Y <= y | x) for each row, (n,): uniform on continuous responses that follow the model."""
        X, y, terms = self._checked_samples(X, y, offset, n_trials)
        return in_range(self.mixture_.cdf, X, y, terms=terms)

    def log_density(self, X: Any, y_grid: Any, *, offset: Any = None, n_trials: Any = None) -> Floats:
        """Return log P(y | x) for each row of X and each y of a grid, shape (n, len(y_grid)).

        :meth:`score_samples` takes one y for each row.
        """
        if getattr(self, "n_responses_", 1) > 1:
            raise ValueError(
                "log_density takes a grid of one response; take marginal(name).log_density, or "
                "score_samples(X, y) for rows of all responses"
            )
        (X, terms), grid = (
            self._checked_rows(X, offset, n_trials),
            check_response(y_grid, np.size(y_grid), "y_grid"),
        )
        if isinstance(self.mixture_.family, Gaussian):
            return in_range(lambda rows: self.mixture_.log_density_grid(rows, grid, terms), X)
        return self.mixture_.log_density_grid(X, grid, terms)  # 0 where the family cannot have a y: log 0 is right

    def sample(
        self,
        X: Any,
        random_state: RandomState = None,
        *,
        offset: Any = None,
        n_trials: Any = None,
        groups: Any = None,
    ) -> Floats:
        """Draw one response for each row of X from the fitted model, shape (n,).

        With `groups`, a label for each row as in `fit`, an expert is drawn for each group.

        Raises
        ------
        OverflowError
            When a draw leaves the range of float64; the row is named.
        """
        rng = get_generator(random_state)
        X, terms = self._checked_rows(X, offset, n_trials)
        of_rows = self._checked_groups(groups, X)
        if of_rows is None:
            return in_range(lambda rows: self.mixture_.draw(rows, rng, terms), X)
        order = of_rows.order
        drawn = in_range(lambda rows: draw_groups(self.mixture_, rows, of_rows, rng, terms[order]), X[order])
        y = np.empty_like(drawn)
        y[order] = drawn
        return y

    def score(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None, n_trials: Any = None
    ) -> float:
        """Return R^2 of the predictions; y may be left out with a formula that has a response.

        With a response such as log(y) it is that of log(y).
        """
        from sklearn.metrics import r2_score  # loads much that fitting does not need

        check_is_fitted(self)
        predicted = self.predict(X, offset=offset, n_trials=n_trials)
        y = check_responses(self._response(X, y), len(predicted), 1 if predicted.ndim == 1 else predicted.shape[1])
        weights = None if sample_weight is None else check_weights(sample_weight, len(y))
        (y, predicted), _ = over_power_of_two(np.stack([y, predicted]), axis=(0, 1))
        return float(r2_score(y, predicted, sample_weight=weights))
