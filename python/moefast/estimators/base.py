"""What the estimators have in common: `fit`, from checked samples to fitted attributes and warnings."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from moefast.em.options import EmOptions
from moefast.estimators.features import Features, check_features, feature_columns
from moefast.estimators.given_start import GivenStart, StartParameter, Wanted, check_start, given_start
from moefast.estimators.inference import MixtureInference
from moefast.estimators.model_data import kept_unless_done, terms_of
from moefast.estimators.outcome import Outcome
from moefast.estimators.prediction import MixturePredictions, aic, bic
from moefast.estimators.summary import GateTable, Inference, Membership, Summary, response_name
from moefast.families import GAUSSIAN, Family
from moefast.formulas.design import check_formula_alone
from moefast.gate_basis import FittedGateBasis, GateBasis
from moefast.links import Link
from moefast.randomness import RandomState
from moefast.samples import Samples
from moefast.validation import check_choice, check_integer, check_verbose, check_weights

__all__ = ["MixtureEstimator"]

Estimator = TypeVar("Estimator", bound="MixtureEstimator")


class MixtureEstimator(MixtureInference, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """An estimator of a mixture with linear experts and gates of any form, fitted by EM from many starts."""

    expert_features: Features
    gate_features: Features
    gate_basis: GateBasis = "linear"
    noise: Literal["per_expert", "shared"]
    fit_intercept: bool
    fit_gate_intercept: bool
    start: StartParameter
    n_init: int | Literal["auto"]
    max_iter: int
    tol: float
    alpha: float
    alpha_towards: Literal["zero", "mean"] = "zero"
    l1_ratio: float = 0.0
    gate_alpha: float | Literal["auto"]
    noise_floor: float
    time_budget: float | None
    random_state: RandomState
    n_threads: int | None
    verbose: int

    def fit(
        self: Estimator,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        n_trials: Any = None,
        groups: Any = None,
    ) -> Estimator:
        """Fit the mixture.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Read in place where it is a large array: no other thread may change it meanwhile. With a formula a data
            frame with the columns that the formula reads.
        y : array-like of shape (n,)
            May be left out with a formula that has a response.
        sample_weight : array-like of shape (n,), optional
            Not negative. A weight of zero is the same as leaving the row out, an integer weight the same as
            repeating it: with `groups`, as repeating the whole group, whose rows have to have the same weight.
        offset : float or array-like of shape (n,), optional
            Added to the predictor a_i.x + b_i of every expert, with linear experts. For counts of an exposure
            (time at risk, area) it is the logarithm of the exposure.
        n_trials : int or array-like of shape (n,), optional
            For ``family="binomial"``: of how many y counts the successes.
        groups : array-like of shape (n,), optional
            A label for each row, numbers or texts: all rows of a group, such as one subject seen several times,
            are of one expert. Gates then see columns that are the same in all rows of a group, which
            `gate_features` name. For flat gates.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError, OverflowError
            For parameters out of range and bad data; the message names the culprit.
        """
        with kept_unless_done(self):
            for warning in self._checked_fit(X, y, sample_weight, offset, n_trials, groups):
                warnings.warn(warning, stacklevel=2)
        return self

    def _prepared(
        self, X: Any, y: Any, sample_weight: Any, offset: Any, n_trials: Any, groups: Any
    ) -> tuple[Samples, EmOptions]:
        """Return the checked samples of a fit and its settings."""
        options = self._checked_parameters()
        terms = terms_of(X, offset, n_trials)
        self._learn_formula(X, sample_weight)
        samples = self._samples(X, y, sample_weight, terms=terms, groups=groups, fit=True)
        self._check_response(samples)
        options = self._with_columns(options, samples)
        self.gate_basis_ = FittedGateBasis.learn(self.gate_basis, samples, options.gate_columns)
        return self._with_basis(samples, options)

    def _checked_fit(
        self, X: Any, y: Any, sample_weight: Any, offset: Any, n_trials: Any, groups: Any
    ) -> list[Warning]:
        samples, options = self._prepared(X, y, sample_weight, offset, n_trials, groups)
        k, asked_for = self._asked_for()
        if samples.n_units < k:
            units = f"n_samples={samples.n_rows} rows" if samples.groups is None else f"{samples.n_units} groups"
            raise ValueError(
                f"{units} of positive weight are fewer than {asked_for}; ask for fewer experts or give more data"
            )
        start = None
        if not isinstance(self.start, str):
            rows = check_weights(sample_weight, self._n_rows(X)) > 0
            q = self._family(samples.n_responses).n_predictors
            names = getattr(self, "feature_names_in_", None)
            wanted = Wanted(k, *self._link_and_branches(), samples.n_features, names, q)
            start = given_start(self.start, rows, wanted)
            start = start if samples.groups is None else start.in_order(samples.groups.order)
        outcome = self._fit(samples, options, start)
        of_formula = None if self.formula_ is None else self.formula_.response_name
        self._take(outcome, samples, response_name(y) if of_formula is None else of_formula)
        return outcome.warnings(samples)

    def _take(self, outcome: Outcome, samples: Samples, target_name: str | None) -> None:
        """Set the fitted attributes."""
        outcome.refuse_infinite(samples)
        self._set_parameters(outcome.mixture)
        self.n_responses_, self.response_names_ = samples.n_responses, samples.response_names
        self.target_name_ = target_name
        self.membership_ = Membership.of(outcome.mixture, samples)
        self._set_figures(outcome)

    def _with_columns(self, options: EmOptions, samples: Samples) -> EmOptions:
        """Return the options with the columns that experts and gates see."""
        if self.formula_ is not None:
            return replace(options, **self.formula_.settings)
        return replace(
            options,
            expert_columns=feature_columns("expert_features", self.expert_features, samples),
            gate_columns=feature_columns("gate_features", self.gate_features, samples),
        )

    def _check_response(self, samples: Samples) -> None:
        """Raise ValueError for a response, an offset or trials that the model does not know."""
        family, link = self._family(samples.n_responses), self._link_and_branches()[0]
        if samples.terms.offset is not None and not link.is_linear:
            raise ValueError(f"offset needs link='linear', got {link.name!r}")
        family.check(samples.y, samples.terms)

    def _family(self, n_responses: int = 1) -> Family:
        """Return the family of the response, or raise ValueError for several."""
        if n_responses > 1:
            raise ValueError(
                f"y has {n_responses} columns: several responses are for MixtureOfExpertsRegressor; take it, or "
                "fit a model for each column"
            )
        return GAUSSIAN

    @abstractmethod
    def _checked_parameters(self) -> EmOptions:
        """Check the constructor's parameters."""

    @abstractmethod
    def _asked_for(self) -> tuple[int, str]:
        """Return the number of experts and how to call it in an error."""

    @abstractmethod
    def _link_and_branches(self) -> tuple[Link, tuple[int, ...] | None]:
        """Return the link of the experts, and the branches of a tree of gates."""

    @abstractmethod
    def _fit(self, samples: Samples, options: EmOptions, start: GivenStart | None) -> Outcome:
        """Search on checked samples, or run EM from a given start; attributes are set elsewhere."""

    def __sklearn_clone__(self) -> Any:
        """Return an estimator with the same parameters; one that is given as a start stays fitted."""
        copy = super().__sklearn_clone__()
        if isinstance(self.start, MixturePredictions):
            copy.start = self.start
        return copy

    def _em_options(self, starts: Sequence[str]) -> EmOptions:
        """Check the parameters of starts and EM and return the latter."""
        if isinstance(self.n_init, str):
            check_choice("n_init", self.n_init, ("auto",))
        else:
            check_integer("n_init", self.n_init)
        check_start(self.start, starts)
        check_verbose(self.verbose)
        check_features("expert_features", self.expert_features)
        check_features("gate_features", self.gate_features)
        check_formula_alone(self.get_params(deep=False))
        budget = self.time_budget
        number = isinstance(budget, (int, float, np.integer, np.floating)) and not isinstance(budget, bool)
        if budget is not None and not (number and 0 < budget < np.inf):
            raise ValueError(f"time_budget must be a positive number of seconds or None, got {budget!r}")
        return EmOptions(
            noise=self.noise,
            fit_intercept=self.fit_intercept,
            fit_gate_intercept=self.fit_gate_intercept,
            alpha=self.alpha,
            alpha_towards=self.alpha_towards,
            l1_ratio=self.l1_ratio,
            gate_alpha=self.gate_alpha,
            noise_floor=self.noise_floor,
            max_iter=self.max_iter,
            tol=self.tol,
            n_threads=self.n_threads,
        )

    def _set_figures(self, outcome: Outcome) -> None:
        """Set what a fit tells of itself."""
        problem, fit = outcome.problem, outcome.fit
        self.shares_ = fit.totals[outcome.order] / fit.totals.sum()
        self.log_likelihood_ = float(fit.log_likelihood)
        self.n_samples_fit_, self.n_parameters_ = problem.n_rows, outcome.n_parameters
        self.n_groups_fit_ = problem.n_units
        self.training_weight_, self.response_std_ = problem.total_unit_weight, problem.response_std
        self._set_criteria()
        self.n_iter_, self.converged_ = fit.n_iter, outcome.converged
        self.fit_report_ = replace(outcome.report, collapsed=outcome.collapsed)
        self.separated_gates_ = outcome.separated_gates

    def _set_criteria(self) -> None:
        """Set the information criteria, which follow from what has been set already."""
        self.aic_ = aic(self.log_likelihood_, self.n_parameters_)
        self.bic_ = bic(self.log_likelihood_, self.n_parameters_, self.training_weight_)
        self.entropy_ = self.membership_.entropy
        self.icl_ = self.bic_ + 2.0 * self.entropy_

    def summary(self, inference: Inference | None = None) -> Summary:
        """Return what the fit says of itself: print it, or take its tables as data frames.

        Parameters
        ----------
        inference : Inference, optional
            Of this fit: then coefficients stand with their standard errors, tests and intervals.

        Returns
        -------
        Summary
        """
        check_is_fitted(self)
        return Summary.of(self, *self._names_and_gates(), inference)

    @abstractmethod
    def _names_and_gates(self) -> tuple[list[str], list[GateTable]]:
        """Return what the summary calls the experts, and its tables of gates."""
