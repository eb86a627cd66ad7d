"""The estimator: one ``fit`` from a table to a mixture of experts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from moefast import l4
from moefast.degenerate import most_extreme_column, warn_of_degenerate_data
from moefast.em import EmFit, EmOptions, EmProblem
from moefast.exceptions import DegenerateDataWarning
from moefast.gating import gates_of_problem
from moefast.links import Link, get_link
from moefast.prediction import MixturePredictions
from moefast.randomness import RandomState, get_generator
from moefast.search import FitReport, StartReport, race
from moefast.spectral import recover_from_samples
from moefast.starts import portfolio
from moefast.summary import summary_text
from moefast.validation import (
    check_choice,
    check_finite,
    check_integer,
    check_response,
    check_weights,
    column_names,
    drop_weightless,
    explain_conversion,
    refuse_dates_and_masks,
)

__all__ = ["MixtureOfExpertsRegressor"]

Floats: TypeAlias = npt.NDArray[np.float64]


class MixtureOfExpertsRegressor(MixturePredictions, RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    r"""Mixture of experts: a response that follows different laws in different regions of the input.

    .. math::

        P(y \mid x) = \sum_i p_i(x)\, N(y \mid g(a_i \cdot x + b_i), s_i^2), \qquad
        p(x) = \mathrm{softmax}(W x + c)

    Fitted by maximum likelihood: expert directions from third-order cross moments (a spectral start) and
    random assignments (random parameters where there is a link) race in short EM runs, and the best goes on by
    EM until it settles.

    Parameters
    ----------
    n_experts : int
        k. One expert is least squares.
    link : str, Link or callable
        g: "linear", "sigmoid", "tanh", "relu", "leaky_relu", "softplus", "gelu", "silu", a
        :class:`moefast.links.Link` with derivative and breakpoints, or any vectorised function. Links other than
        "linear", "relu" and "leaky_relu" take y in the units it has.
    noise : {"per_expert", "shared"}
        Each expert has an s_i of its own, or all have one.
    fit_intercept : bool
        Experts have intercepts b_i.
    fit_gate_intercept : bool
        Gates have intercepts c_i.
    start : {"auto", "spectral", "l4", "random"}
        What races: spectral and random starts, or one kind; "l4" is method 2 of the papers, see :mod:`moefast.l4`.
    polish : bool
        False stops after the gates: experts from the moments alone, as in the ICML 2019 paper, or from the L4
        loss, as in the AISTATS 2020 paper, with ``start="l4"``.
    n_init : int or "auto"
        How many starts race. With ``start="auto"`` about a fifth of them are spectral.
    max_iter : int
        EM iterations of the winner at most.
    tol : float
        EM stops when an iteration raises the mean log-likelihood, in standard units, by no more than this
        relative to max(1, its absolute value).
    alpha : float
        Ridge of the experts, on coefficients in standard units: with one expert it is that of
        :class:`sklearn.linear_model.Ridge` on standardised columns.
    gate_alpha : float or "auto"
        Ridge of the gates in standard units. "auto" is :data:`moefast.em.GATE_ALPHA_AUTO`, just enough
        to keep the gate of separable regions finite.
    noise_floor : float
        Smallest s_i in standard deviations of y. It keeps the likelihood, which is unbounded when an expert
        fits few points exactly, finite.
    time_budget : float, optional
        Seconds after which no further start is begun. The only option whose result depends on the machine.
    random_state : int, Generator, RandomState or None
    n_threads : int or None
        None means the CPUs this process may use. The result does not depend on it.
    verbose : int
        1 shows a progress bar.

    Attributes
    ----------
    coef_ : ndarray of shape (k, d)
        a_i, in the units of the data, like all below. Experts stand in decreasing order of the weight of
        the rows they are responsible for.
    intercept_ : ndarray of shape (k,)
    gate_coef_ : ndarray of shape (k, d)
        The last row is 0.
    gate_intercept_ : ndarray of shape (k,)
        The last entry is 0.
    sigma_ : ndarray of shape (k,)
    link_ : Link
    shares_ : ndarray of shape (k,)
        Share of the weight each expert is responsible for.
    log_likelihood_ : float
        Of the training data: natural log, summed with the sample weights, all constants included.
    n_iter_ : int
    converged_ : bool
    fit_report_ : FitReport
    n_samples_fit_, n_parameters_ : int
        Training rows of positive weight, and free parameters as AIC and BIC count them.
    training_weight_, response_std_ : float
        Sum of the weights and standard deviation of the training response.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had column names.

    Notes
    -----
    Bad input raises ValueError, TypeError or OverflowError naming the column. Constant or collinear columns,
    fewer rows than parameters and collapsed experts give a DegenerateDataWarning and finite coefficients;
    not converging gives a ConvergenceWarning and ``converged_ = False``.

    References
    ----------
    Makkuva, Oh, Kannan, Viswanath, "Breaking the gridlock in Mixture-of-Experts", ICML 2019; "Learning in Gated
    Neural Networks", AISTATS 2020.

    Examples
    --------
    >>> from moefast import MixtureOfExpertsRegressor
    >>> from moefast.datasets import make_moe
    >>> X, y, truth = make_moe(2000, 4, 2, random_state=1)
    >>> model = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> model.converged_, model.sigma_.round(2)
    (True, array([0.1, 0.1]))
    """

    def __init__(
        self,
        n_experts: int = 2,
        *,
        link: str | Link | Callable[[Any], Any] = "linear",
        noise: Literal["per_expert", "shared"] = "per_expert",
        fit_intercept: bool = True,
        fit_gate_intercept: bool = True,
        start: Literal["auto", "spectral", "l4", "random"] = "auto",
        polish: bool = True,
        n_init: int | Literal["auto"] = "auto",
        max_iter: int = 1000,
        tol: float = 1e-8,
        alpha: float = 0.0,
        gate_alpha: float | Literal["auto"] = "auto",
        noise_floor: float = 0.02,
        time_budget: float | None = None,
        random_state: RandomState = None,
        n_threads: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_experts = n_experts
        self.link = link
        self.noise = noise
        self.fit_intercept = fit_intercept
        self.fit_gate_intercept = fit_gate_intercept
        self.start = start
        self.polish = polish
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.alpha = alpha
        self.gate_alpha = gate_alpha
        self.noise_floor = noise_floor
        self.time_budget = time_budget
        self.random_state = random_state
        self.n_threads = n_threads
        self.verbose = verbose

    # ---- fitting ---------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MixtureOfExpertsRegressor:
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
        MixtureOfExpertsRegressor
            Itself.

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
        options, link = self._checked_parameters()
        names = column_names(X)
        given, response = X, y
        refuse_dates_and_masks(X, "X")
        refuse_dates_and_masks(y, "y")
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                X, y = validate_data(
                    self, X, y, dtype=np.float64, ensure_all_finite=False, y_numeric=True, multi_output=False
                )
        except (TypeError, ValueError) as error:
            raise explain_conversion(given, error, response) from None
        check_finite(X, names)
        y = check_response(y, len(X))
        X, y, weights = drop_weightless(X, y, check_weights(sample_weight, len(y)))
        if len(y) < self.n_experts:
            raise ValueError(
                f"n_samples={len(y)} rows of positive weight are fewer than n_experts={self.n_experts}; "
                "ask for fewer experts or give more data"
            )
        self._fit(X, y, weights, options, link, names)

    def _fit(
        self, X: Floats, y: Floats, weights: Floats, options: EmOptions, link: Link, names: list[str] | None
    ) -> None:
        """Choose the way, run it, and only then set the fitted attributes."""
        rng = get_generator(self.random_state)
        problem = EmProblem(X, y, weights, options, link)
        n_parameters = self._count_parameters(X.shape[1])
        warn_of_degenerate_data(problem, n_parameters, names)
        if self.polish:
            starts = portfolio(
                problem,
                int(self.n_experts),
                start=self.start,
                n_init=self.n_init,
                n_parameters=n_parameters,
                rng=rng,
            )
            fit, report = race(problem, starts, time_budget=self.time_budget, verbose=self.verbose)
            fit = problem.to_units(fit)
        else:
            fit, report = self._fit_unpolished(problem, X, y, link, rng)
        order = _canonical_order(fit)
        report = replace(
            report, collapsed=tuple(sorted(int(np.flatnonzero(order == i)[0]) for i in report.collapsed))
        )
        mixture = fit.mixture.ordered(order)
        parameters = (
            mixture.coef,
            mixture.intercept,
            mixture.gate_coef,
            mixture.gate_intercept,
            mixture.sigma,
        )
        if not all(np.isfinite(p).all() for p in parameters) or not np.isfinite(fit.log_likelihood):
            raise OverflowError(
                "the coefficients leave the range of float64 in the units of the data; rescale "
                f"{most_extreme_column(problem, names)}"
            )
        self.coef_, self.intercept_ = mixture.coef, mixture.intercept
        self.gate_coef_, self.gate_intercept_ = mixture.gate_coef, mixture.gate_intercept
        self.sigma_, self.link_ = mixture.sigma, link
        self.shares_ = fit.totals[order] / fit.totals.sum()
        self.log_likelihood_ = float(fit.log_likelihood)
        self.n_iter_ = fit.n_iter
        self.converged_ = fit.converged
        self.fit_report_ = report
        self.n_samples_fit_, self.n_parameters_ = len(problem.t), n_parameters
        self.training_weight_ = problem.total_weight
        self.response_std_ = problem.response_std
        if not self.converged_:
            warnings.warn(
                f"EM did not settle ({fit.status} after {fit.n_iter} iterations); raise max_iter or tol",
                ConvergenceWarning,
                stacklevel=4,
            )
        if report.collapsed:
            who = ", ".join(str(i) for i in report.collapsed)
            warnings.warn(
                f"expert(s) {who} collapsed: noise at the floor or fewer than d + 2 rows; use fewer experts, "
                'noise="shared" or more data',
                DegenerateDataWarning,
                stacklevel=4,
            )

    def _fit_unpolished(
        self, problem: EmProblem, X: Floats, y: Floats, link: Link, rng: np.random.Generator
    ) -> tuple[EmFit, FitReport]:
        """Experts from the moments, gates by EM with the experts frozen."""
        recover = l4.recover_from_samples if self.start == "l4" else recover_from_samples
        experts = recover(
            X,
            y,
            problem.weights,
            int(self.n_experts),
            link=link,
            fit_intercept=self.fit_intercept,
            random_state=rng,
            n_threads=self.n_threads,
        )
        fit = gates_of_problem(problem, X, experts, max(experts.sigma, 1e-300), update_noise=True)
        fit = replace(fit, status="converged" if fit.converged and experts.converged else "iteration_limit")
        kind = "L4" if self.start == "l4" else "spectral"
        start = StartReport(f"{kind}, unpolished", fit.log_likelihood, fit.n_iter, fit.status, fit.collapsed)
        return fit, FitReport((start,), chosen=0, collapsed=fit.collapsed)

    def _checked_parameters(self) -> tuple[EmOptions, Link]:
        for name, value in (("n_experts", self.n_experts), ("n_init", self.n_init)):
            if name == "n_init" and isinstance(value, str):
                check_choice(name, value, ("auto",))
            else:
                check_integer(name, value)
        check_choice("start", self.start, ("auto", "spectral", "l4", "random"))
        budget = self.time_budget
        number = isinstance(budget, (int, float, np.integer, np.floating)) and not isinstance(budget, bool)
        if budget is not None and not (number and 0 < budget < np.inf):
            raise ValueError(f"time_budget must be a positive number of seconds or None, got {budget!r}")
        link = get_link(self.link)
        if not self.polish and self.start == "random":
            raise ValueError('start="random" needs polish=True: without EM there is nothing to learn the experts')
        return (
            EmOptions(
                noise=self.noise,
                fit_intercept=self.fit_intercept,
                fit_gate_intercept=self.fit_gate_intercept,
                alpha=self.alpha,
                gate_alpha=self.gate_alpha,
                noise_floor=self.noise_floor,
                max_iter=self.max_iter,
                tol=self.tol,
                n_threads=self.n_threads,
            ),
            link,
        )

    def _count_parameters(self, d: int) -> int:
        k = int(self.n_experts)
        experts = k * (d + bool(self.fit_intercept))
        gates = (k - 1) * (d + bool(self.fit_gate_intercept))
        return experts + gates + (1 if self.noise == "shared" else k)

    def summary(self) -> str:
        """Return a table of experts and gates by column name, with the figures of the fit."""
        check_is_fitted(self)
        return summary_text(self)


def _canonical_order(fit: EmFit) -> npt.NDArray[np.intp]:
    """Order experts by decreasing share, so that labels do not change with the seed; ties by coefficients."""
    keys = [*fit.mixture.coef.T[::-1], fit.mixture.intercept, -np.round(fit.totals / fit.totals.sum(), 6)]
    return np.lexsort(keys)
