"""What the estimators have in common: checks on the way in, figures and warnings on the way out."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from moefast._typing import Floats
from moefast.em.finite import refuse_infinite
from moefast.em.fit import FitResult
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.estimators.degenerate_data import misses_constant
from moefast.estimators.prediction import MixturePredictions
from moefast.estimators.summary import GateTable, Inferred, Membership, Summary, response_name
from moefast.exceptions import DegenerateDataWarning
from moefast.randomness import RandomState
from moefast.samples import Samples
from moefast.search.report import FitReport
from moefast.validation import (
    check_choice,
    check_finite,
    check_integer,
    check_response,
    check_verbose,
    check_weights,
    column_names,
    explain_conversion,
    refuse_misread,
    weighted_samples,
)

__all__ = ["MixtureEstimator"]

Estimator = TypeVar("Estimator", bound="MixtureEstimator")


class MixtureEstimator(MixturePredictions, RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """An estimator of a mixture with linear experts and gates of any form, fitted by EM from many starts."""

    noise: Literal["per_expert", "shared"]
    fit_intercept: bool
    fit_gate_intercept: bool
    start: str
    n_init: int | Literal["auto"]
    max_iter: int
    tol: float
    alpha: float
    gate_alpha: float | Literal["auto"]
    noise_floor: float
    time_budget: float | None
    random_state: RandomState
    n_threads: int | None
    verbose: int

    def fit(self: Estimator, X: Any, y: Any, sample_weight: Any = None) -> Estimator:
        """Fit the mixture.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), optional
            Not negative. A weight of zero is the same as leaving the row out, an integer weight the same as
            repeating it.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError, OverflowError
            For parameters out of range and bad data; the message names the culprit.
        """
        before = dict(vars(self))
        try:
            self._checked_fit(X, y, sample_weight)
        except BaseException:  # also Ctrl-C: an earlier fit stays as it was
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def _checked_fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        options = self._checked_parameters()
        names = column_names(X)
        given, response = X, y
        refuse_misread(X, "X")
        refuse_misread(y, "y")
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                X, y = validate_data(
                    self, X, y, dtype=np.float64, ensure_all_finite=False, y_numeric=True, multi_output=False
                )
        except (TypeError, ValueError) as error:
            raise explain_conversion(given, error, response) from None
        check_finite(X, names)
        y = check_response(y, len(X))
        samples = weighted_samples(X, y, check_weights(sample_weight, len(y)), names)
        y = samples.y
        k, asked_for = self._asked_for()
        if len(y) < k:
            raise ValueError(
                f"n_samples={len(y)} rows of positive weight are fewer than {asked_for}; "
                "ask for fewer experts or give more data"
            )
        self._fit(samples, options)
        self.target_name_, self.membership_ = response_name(response), Membership.of(self.mixture_, samples)

    @abstractmethod
    def _checked_parameters(self) -> EmOptions:
        """Check the constructor's parameters."""

    @abstractmethod
    def _asked_for(self) -> tuple[int, str]:
        """Return the number of experts and how to call it in an error."""

    @abstractmethod
    def _fit(self, samples: Samples, options: EmOptions) -> None:
        """Fit on checked samples, and only at the end set the fitted attributes."""

    def _em_options(self, starts: Sequence[str]) -> EmOptions:
        """Check the parameters of starts and EM and return the latter."""
        if isinstance(self.n_init, str):
            check_choice("n_init", self.n_init, ("auto",))
        else:
            check_integer("n_init", self.n_init)
        check_choice("start", self.start, starts)
        check_verbose(self.verbose)
        budget = self.time_budget
        number = isinstance(budget, (int, float, np.integer, np.floating)) and not isinstance(budget, bool)
        if budget is not None and not (number and 0 < budget < np.inf):
            raise ValueError(f"time_budget must be a positive number of seconds or None, got {budget!r}")
        return EmOptions(
            noise=self.noise,
            fit_intercept=self.fit_intercept,
            fit_gate_intercept=self.fit_gate_intercept,
            alpha=self.alpha,
            gate_alpha=self.gate_alpha,
            noise_floor=self.noise_floor,
            max_iter=self.max_iter,
            tol=self.tol,
            n_threads=self.n_threads,
        )

    def _count_parameters(self, d: int, k: int, n_gates: int) -> int:
        """Count free parameters of k experts and of gates with `n_gates` free rows."""
        experts = k * (d + bool(self.fit_intercept))
        gates = n_gates * (d + bool(self.fit_gate_intercept))
        return experts + gates + (1 if self.noise == "shared" else k)

    def _set_figures(
        self,
        problem: EmProblem,
        fit: FitResult,
        report: FitReport,
        order: npt.NDArray[np.intp],
        parameters: Sequence[Floats],
        n_parameters: int,
        names: Sequence[str] | None,
    ) -> None:
        """Set what every fit tells of itself, and warn; experts come to stand in the order given.

        `fit` and `parameters`, all that are found, are in the units of the data.
        """
        refuse_infinite(problem, parameters, fit.log_likelihood, names)
        self.shares_ = fit.totals[order] / fit.totals.sum()
        self.log_likelihood_ = float(fit.log_likelihood)
        self.n_iter_ = fit.n_iter
        missed = misses_constant(problem, fit)
        self.converged_ = fit.converged and not missed
        collapsed = tuple(int(i) for i in np.flatnonzero(np.isin(order, report.collapsed)))
        self.fit_report_ = replace(report, collapsed=collapsed)
        self.n_samples_fit_, self.n_parameters_ = problem.n_rows, n_parameters
        self.training_weight_ = problem.total_weight
        self.response_std_ = problem.response_std
        if missed:
            warnings.warn(
                f"y is constant at {problem.y_level:.6g}, and the fit does not reach it: link "
                f"{problem.link.name!r} does not take this value, or all starts got stuck; take another link "
                "or raise n_init",
                ConvergenceWarning,
                stacklevel=5,  # the caller of fit
            )
        if not fit.converged:
            raised = "time_budget, max_iter" if report.out_of_time else "max_iter"
            warnings.warn(
                f"EM did not settle ({fit.status} after {fit.n_iter} iterations); raise {raised} or tol",
                ConvergenceWarning,
                stacklevel=5,  # the caller of fit
            )
        if collapsed:
            who = ", ".join(str(i) for i in collapsed)
            warnings.warn(
                f"expert(s) {who} collapsed: noise at the floor or fewer than d + 2 different rows; use fewer "
                'experts, noise="shared" or more data',
                DegenerateDataWarning,
                stacklevel=5,
            )

    def summary(self, inference: Inferred | None = None) -> Summary:
        """Return what the fit says of itself: print it, or take its tables as data frames.

        Parameters
        ----------
        inference : mapping, optional
            Standard error, z and p value by block, component and term, as in
            ``{("experts", "expert 0", "x0"): (0.1, 9.8, 0.0)}``.

        Returns
        -------
        Summary
        """
        check_is_fitted(self)
        return Summary.of(self, *self._names_and_gates(), inference)

    @abstractmethod
    def _names_and_gates(self) -> tuple[list[str], list[GateTable]]:
        """Return what the summary calls the experts, and its tables of gates."""
