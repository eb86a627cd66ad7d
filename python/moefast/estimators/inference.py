"""The estimators' question how sure they are."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from sklearn.utils.validation import check_is_fitted

from moefast.em.options import EmOptions
from moefast.estimators.model_data import terms_of
from moefast.estimators.prediction import MixturePredictions
from moefast.inference.covariance import check_groups
from moefast.inference.infer import infer
from moefast.inference.result import InferenceResult
from moefast.samples import Samples
from moefast.validation import check_weights

__all__ = ["MixtureInference"]


class MixtureInference(MixturePredictions):
    """The method of a fitted estimator."""

    @abstractmethod
    def _checked_parameters(self) -> EmOptions:
        """Check the constructor's parameters."""

    @abstractmethod
    def _with_columns(self, options: EmOptions, samples: Samples) -> EmOptions:
        """Return the options with the columns that experts and gates see."""

    def _with_basis(self, samples: Samples, options: EmOptions) -> tuple[Samples, EmOptions]:
        """Return the samples with the functions of the gates, and the options by which only gates see them."""
        basis = self.gate_basis_
        if basis is None:
            return samples, options
        experts = tuple(range(basis.n_features)) if options.expert_columns is None else options.expert_columns
        options = replace(options, expert_columns=experts, gate_columns=basis.gate_columns)
        return basis.of_samples(samples), options

    def inference(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        cov_type: Literal["robust", "nonrobust", "cluster"] = "robust",
        groups: Any = None,
        offset: Any = None,
        n_trials: Any = None,
    ) -> InferenceResult:
        """Return standard errors, tests and intervals of the fitted parameters.

        Parameters
        ----------
        X : array-like of shape (n, d)
            The data of the fit, like `y` and `sample_weight`.
        y : array-like of shape (n,)
            May be left out with a formula.
        sample_weight : array-like of shape (n,), optional
            A weight counts as so many copies of its row.
        cov_type : {"robust", "nonrobust", "cluster"}
            "robust" (sandwich) is right also where the noise of the experts is not normal or not constant.
            "nonrobust" (observed information) needs the model to be right. "cluster" allows for rows that depend
            on each other within `groups`.
        groups : array-like of shape (n,), optional
            A label for each row. For "cluster"; and for a model that was fitted with groups those of the fit, of
            which each counts as one observation, whatever depends on what within it: there "robust" is by group.
        offset, n_trials : float or array-like of shape (n,), optional
            Those of the fit.

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
        check_is_fitted(self)
        terms = terms_of(X, offset, n_trials)
        if self.n_groups_fit_ < self.n_samples_fit_:
            if groups is None:
                raise ValueError("the model was fitted with groups, so inference needs them: give the same groups")
            if cov_type == "cluster":
                raise ValueError(
                    'cov_type="cluster" is for models without groups; for one fitted with groups take "robust", '
                    "which is by group"
                )
            check_groups(cov_type, None, np.ones(0))
            samples, of_rows = self._samples(X, y, sample_weight, terms=terms, groups=groups), None
        else:
            samples = self._samples(X, y, sample_weight, terms=terms)
            of_rows = check_groups(cov_type, groups, check_weights(sample_weight, self._n_rows(X)))
        self.mixture_.family.check(samples.y, samples.terms)
        options = self._with_columns(self._checked_parameters(), samples)
        samples, options = self._with_basis(samples, options)
        return infer(self, samples, of_rows, options=options, cov_type=cov_type)
