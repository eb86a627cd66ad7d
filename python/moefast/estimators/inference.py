"""The estimators' question how sure they are."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

from moefast.em.options import EmOptions
from moefast.estimators.prediction import MixturePredictions
from moefast.inference.infer import infer
from moefast.inference.result import InferenceResult

__all__ = ["MixtureInference"]


class MixtureInference(MixturePredictions):
    """The method of a fitted estimator."""

    # set by the estimator
    noise: Literal["per_expert", "shared"]
    fit_intercept: bool
    fit_gate_intercept: bool

    @abstractmethod
    def _checked_parameters(self) -> EmOptions:
        """Check the constructor's parameters."""

    def inference(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        cov_type: Literal["robust", "nonrobust", "cluster"] = "robust",
        groups: Any = None,
    ) -> InferenceResult:
        """Return standard errors, tests and intervals of the fitted parameters.

        Parameters
        ----------
        X : array-like of shape (n, d)
            The data of the fit, like `y` and `sample_weight`.
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), optional
            A weight counts as so many copies of its row.
        cov_type : {"robust", "nonrobust", "cluster"}
            "robust" (sandwich) is right also where the noise of the experts is not normal or not constant.
            "nonrobust" (observed information) needs the model to be right. "cluster" allows for rows that depend
            on each other within `groups`.
        groups : array-like of shape (n,), optional
            A label for each row, for "cluster" alone.

        Returns
        -------
        InferenceResult

        Raises
        ------
        TypeError, ValueError
            For bad input, a hierarchical model, or a fit with ``polish=False``.

        Warns
        -----
        DegenerateDataWarning
            For each of the result's `messages`: experts with too few rows, separated gates and other parameters
            without a finite estimate, whose standard errors are NaN.
        """
        X, y = self._checked_samples(X, y)
        options = self._checked_parameters()
        return infer(self, X, y, sample_weight, options=options, cov_type=cov_type, groups=groups)
