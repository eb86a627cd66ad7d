"""The estimator: one ``fit`` from a table to a mixture of experts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from moefast.em.fit import EmFit
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.estimators.base import MixtureEstimator
from moefast.estimators.dataset_fit import DatasetFit
from moefast.estimators.features import Features, check_features
from moefast.estimators.given_start import StartParameter
from moefast.estimators.marginal import MarginalModels
from moefast.families import GAUSSIAN, Family, MultivariateGaussian, get_family
from moefast.gate_basis import GATE_BASES, GateBasis
from moefast.gating.fit import gates_of_problem
from moefast.l4 import recover as l4
from moefast.links import Link, get_link
from moefast.mixture import Mixture
from moefast.moments.options import MomentOptions
from moefast.randomness import RandomState
from moefast.samples import Samples
from moefast.search.report import FitReport, StartReport
from moefast.spectral.recover import recover_from_samples
from moefast.validation import check_choice, check_flag, check_integer

__all__ = ["MixtureOfExpertsRegressor"]

# Of the experts' ridge, in standard units: with this much they differ by a millionth of their noise.
_MOST_TOWARDS_MEAN = 1e12


class MixtureOfExpertsRegressor(MarginalModels, DatasetFit):
    r"""Mixture of experts: a response that follows different laws in different regions of the input.

    .. math::

        P(y \mid x) = \sum_i p_i(x)\, N(y \mid g(a_i \cdot x + b_i), s_i^2), \qquad
        p(x) = \mathrm{softmax}(W x + c)

    Several responses, y of shape (n, q), have experts :math:`N_q(y \mid A_i x + b_i, \Sigma_i)`.

    Fitted by maximum likelihood. Short runs of EM from starts of many kinds (third-order cross moments, random
    hyperplanes, centres, trees, regressions; :mod:`moefast.search.assignments`) compete by successive halving;
    from the best of them moves out of local optima, among them split and merge (:mod:`moefast.search.moves`), go
    on as long as they help; the best of all goes on by EM until it settles. With a link, two spectral starts and
    eight random ones compete, without moves. :mod:`moefast.search.best_optimum` tells the way.

    Parameters
    ----------
    n_experts : int
        Their number k. One is least squares.
    family : str or Family
        The law of y around the linear predictor :math:`\eta_i = a_i \cdot x + b_i`: "gaussian"; "student_t", for
        outliers; "poisson" and "negative_binomial", for counts, and "gamma", for positive y, whose mean is
        :math:`\exp(\eta)`; "binomial", with `n_trials` in ``fit``, and "bernoulli", whose log odds are
        :math:`\eta`; "tobit", for y that is censored at 0; or an object of :mod:`moefast.families`, such as
        ``StudentT(df=4)``, ``Tobit(lower=0, upper=10)`` or a ``CustomFamily`` of your own.
    link : str, Link or callable
        For ``family="gaussian"``, g: "linear", "sigmoid", "tanh", "relu", "leaky_relu", "softplus", "gelu",
        "silu", a :class:`moefast.links.Link` with derivative and breakpoints, or any vectorised function. Links
        other than "linear", "relu" and "leaky_relu" take y in the units it has. The noise stays normal: "sigmoid"
        is no logistic regression, which is ``family="bernoulli"``.
    formula : str, optional
        ``"y ~ x1 + C(x2) | z1"``: response, terms of the experts, terms of the gates; without a bar the gates have
        those of the experts. X then stands for a data frame in all methods, y may be left out, and the features
        and intercepts of experts and gates are the formula's affair (docs/formulas.md). Needs formulaic.
    expert_features, gate_features : sequence of str, int or bool, optional
        The columns that experts and gates see: names, positions or a mask of the columns of X. Default: all. The
        coefficients of the others are 0. ``gate_features=[]`` makes gates constant: a mixture of regressions.
    gate_basis : {"linear", "quadratic", "spline"}
        What the log-odds of gates are made of: their columns, whose regions are wedges; these with squares and
        products; or a quadratic spline with four knots of each. The functions stand behind the columns of X, in
        ``gate_coef_`` and, with 0, in ``coef_``; a quadratic or spline gate wants a `gate_alpha` of about 1.
    common_features : sequence of str, int or bool, optional
        Columns, of those that experts see, whose coefficients all experts have in common: effects that do not
        depend on the expert. Default: none. A coefficient that is known is fixed by ``offset`` in ``fit``.
    noise : {"per_expert", "shared"}
        Each expert has an s_i, a shape of its law, or a covariance, of its own, or all have one.
    covariance_type : {"full", "diag"}
        For several responses, y of shape (n, q): experts have any covariance of them, or one without correlations.
        As in :class:`sklearn.mixture.GaussianMixture`, whose "tied" is "full" with ``noise="shared"``.
    fit_intercept : bool
        Experts have intercepts b_i.
    fit_gate_intercept : bool
        Gates have intercepts c_i.
    start : {"auto", "spectral", "l4", "random"}, array-like, fitted estimator or Mixture
        "auto" searches as said above. Starts of one other kind compete, without moves: "random" with ``n_init=1``
        is the plain EM of textbooks, "l4" method 2 of the papers, see :mod:`moefast.l4`. From a start that is
        given EM runs to its end, with no search, and `n_init` says nothing: responsibilities of shape (n, k) or
        labels 0 .. k - 1 of shape (n,), for linear experts; a fitted model, which stays fitted in clones; or its
        ``mixture_``. Rows of weight zero are left out of it. At a model of linear experts, or a mixture, with one
        expert fewer or more than `n_experts` begins a search shorter than that of "auto": with every expert split,
        or every pair of experts merged, and random starts besides; `n_init` says nothing there either.
    polish : bool
        False stops after the gates: experts from the moments alone, as in the ICML 2019 paper, or from the L4
        loss, as in the AISTATS 2020 paper, with ``start="l4"``.
    n_init : int or "auto"
        "auto" leaves it to the search: its work grows with k, and it ends early when, by what independent climbs
        have found, going on is not expected to bring much. A number of starts compete without moves; with
        ``start="auto"`` about a fifth of them are spectral, the others random assignments.
    max_iter : int
        EM iterations at most from a start, or from the last move that helped.
    tol : float
        EM stops when an iteration raises the mean log-likelihood, in standard units, by no more than this
        relative to max(1, its absolute value).
    alpha : float
        Ridge of the experts, on coefficients in standard units: with one expert it is that of
        :class:`sklearn.linear_model.Ridge` on standardised columns. Where an expert may be certain of its rows
        (counts, binomial, tobit) it is at least :data:`moefast.em.options.EXPERT_ALPHA_LEAST`, which keeps its
        coefficients finite.
    alpha_towards : {"zero", "mean"}
        Where `alpha` pulls the slopes of the experts: each to 0, or to their mean, in which one of less noise
        counts more (the weights are 1 / s_i^2). An expert of few rows is then like the others, and under a large
        `alpha` all have the slopes of one regression. The mean is free, and so is a single expert.
    l1_ratio : float
        How much of `alpha`, 0 to 1, is a lasso, as in :class:`sklearn.linear_model.ElasticNet`: above 0 an expert
        uses few columns, and the coefficients of the others are 0. Not with `alpha_towards` "mean" or
        `common_features`.
    gate_alpha : float or "auto"
        Ridge of the gates in standard units. "auto" is :data:`moefast.em.GATE_ALPHA_AUTO`, just enough
        to keep the gate of separable regions finite, whatever the unit of the sample weights. A number is, like
        `alpha`, taken off the weighted log-likelihood as it is: weight 2 counts as two rows. Intercepts are free.
    noise_floor : float
        Smallest s_i in standard deviations of y. It keeps the likelihood, which is unbounded when an expert
        fits few points exactly, finite.
    time_budget : float, optional
        Seconds. The search goes on, or is cut, until they are spent, by fresh starts and moves; then the best is
        run until it settles, or for as long again. Without moves they only end the making of further starts. The
        only option whose result depends on the machine.
    random_state : int, Generator, RandomState or None
    n_threads : int or None
        None means the CPUs this process may use. The result does not depend on it.
    verbose : int
        1 shows a progress bar where standard error is a terminal.

    Attributes
    ----------
    coef_ : ndarray of shape (k, d), or (k, q, d) for q responses
        a_i, in the units of the data, like all below. Experts stand in decreasing order of the weight of
        the rows they are responsible for.
    intercept_ : ndarray of shape (k,), or (k, q)
    gate_coef_ : ndarray of shape (k, d)
        The last row is 0.
    gate_intercept_ : ndarray of shape (k,)
        The last entry is 0.
    sigma_ : ndarray of shape (k,), or (k, q)
        s_i; 1 for families without a scale.
    covariance_ : ndarray of shape (k, q, q), or None
        Of several responses, the squares of ``sigma_`` on its diagonal.
    shape_ : ndarray of shape (k,)
        Shapes of the gamma, sizes of the negative binomial, degrees of freedom of Student's t; 1 for others.
    family_ : Family
    link_ : Link
    shares_ : ndarray of shape (k,)
        Share of the weight each expert is responsible for.
    mixture_ : Mixture
        All parameters together.
    log_likelihood_ : float
        Of the training data: natural log, summed with the sample weights, all constants included.
    aic_, bic_ : float
        Akaike's and Schwarz's criterion on the training data; the latter counts the sum of the weights as n, and
        groups, not their rows, where there are any.
    entropy_ : float
        Of the responsibilities r, :math:`-\sum_n w_n \sum_i r_{ni} \log r_{ni}`: 0 where every row clearly belongs
        to one expert.
    icl_ : float
        Integrated completed likelihood, BIC + 2 entropy (Biernacki, Celeux, Govaert 2000). Low where experts are
        few, good and clearly apart. That of R's flexmix and mclust puts the likeliest expert of each row in place
        of the responsibilities, which makes it smaller where experts overlap.
    n_iter_ : int
        Since the start, or since the last move that helped.
    converged_ : bool
    membership_ : Membership
        How many rows each expert has, and how sharply experts are told apart.
    target_name_ : str or None
        The name of y, where it has one.
    n_responses_ : int
        q.
    response_names_ : tuple of str or None
        The names of several responses, where they have any.
    fit_report_ : FitReport
    separated_gates_ : tuple of (int, int), or None
        Coefficients of gates without a finite estimate, by expert and column; column d is the intercept. Such a
        gate has the probabilities 0 and 1 on both sides of a border without rows, the likelihood rises for ever
        as it steepens, and the ridge `gate_alpha` alone stops it. None where nobody looked: under a ridge that
        was chosen strong, and among hundreds of parameters.
    n_samples_fit_, n_parameters_ : int
        Training rows of positive weight, and free parameters as AIC and BIC count them: coefficients that linear
        dependence of the columns leaves undetermined do not count.
    n_groups_fit_ : int
        Groups of rows that share an expert; ``n_samples_fit_`` where each row is by itself.
    training_weight_, response_std_ : float
        Sum of the weights, of groups where there are any, and standard deviation of the training response; of
        several responses that of each, of shape (q,).
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had column names. With a formula those of the design matrix, as coefficients have them.
    formula_ : FittedFormula or None
        What the fit has learnt for the formula: levels of categories, centres, knots.
    gate_basis_ : FittedGateBasis or None
        The functions of the gates behind the columns of X, where there are any.

    Notes
    -----
    Bad input raises ValueError, TypeError or OverflowError naming the column. Constant or collinear columns,
    fewer rows than parameters, separated gates and collapsed experts give a DegenerateDataWarning and finite
    coefficients;
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

    mixture_: Mixture

    def __init__(
        self,
        n_experts: int = 2,
        *,
        family: str | Family = "gaussian",
        link: str | Link | Callable[[Any], Any] = "linear",
        formula: str | None = None,
        expert_features: Features = None,
        gate_features: Features = None,
        gate_basis: GateBasis = "linear",
        common_features: Features = None,
        noise: Literal["per_expert", "shared"] = "per_expert",
        covariance_type: Literal["full", "diag"] = "full",
        fit_intercept: bool = True,
        fit_gate_intercept: bool = True,
        start: StartParameter = "auto",
        polish: bool = True,
        n_init: int | Literal["auto"] = "auto",
        max_iter: int = 1000,
        tol: float = 1e-8,
        alpha: float = 0.0,
        alpha_towards: Literal["zero", "mean"] = "zero",
        l1_ratio: float = 0.0,
        gate_alpha: float | Literal["auto"] = "auto",
        noise_floor: float = 0.02,
        time_budget: float | None = None,
        random_state: RandomState = None,
        n_threads: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_experts = n_experts
        self.family = family
        self.link = link
        self.formula = formula
        self.expert_features = expert_features
        self.gate_features = gate_features
        self.gate_basis = gate_basis
        self.common_features = common_features
        self.noise = noise
        self.covariance_type = covariance_type
        self.fit_intercept = fit_intercept
        self.fit_gate_intercept = fit_gate_intercept
        self.start = start
        self.polish = polish
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.alpha = alpha
        self.alpha_towards = alpha_towards
        self.l1_ratio = l1_ratio
        self.gate_alpha = gate_alpha
        self.noise_floor = noise_floor
        self.time_budget = time_budget
        self.random_state = random_state
        self.n_threads = n_threads
        self.verbose = verbose

    def _unpolished(
        self, problem: EmProblem, samples: Samples, rng: np.random.Generator
    ) -> tuple[EmFit, FitReport]:
        """Experts from the moments, gates by EM with the experts frozen."""
        recover = l4.recover_from_samples if self.start == "l4" else recover_from_samples
        options = MomentOptions(
            problem.link, fit_intercept=problem.options.fit_intercept, n_threads=self.n_threads
        )
        samples = replace(samples, X=samples.X.astype(np.float64, copy=False))  # moments in double precision
        design, k = problem.expert_design, int(self.n_experts)
        seen = samples if design.columns is None else samples.of_columns(design.columns)
        experts = recover(seen, k, options, random_state=rng)
        coef = design.spread(experts.coef)
        frozen = Mixture(coef, experts.intercept, np.zeros_like(coef), np.zeros(k), np.ones(k), experts.link)
        fit = gates_of_problem(problem, samples.X, frozen, max(experts.sigma, 1e-300), update_noise=True)
        fit = replace(fit, status="converged" if fit.converged and experts.converged else "iteration_limit")
        kind = "L4" if self.start == "l4" else "spectral"
        start = StartReport(f"{kind}, unpolished", "", fit.log_likelihood, fit.n_iter, fit.status, fit.collapsed)
        return fit, FitReport((start,), chosen=0, collapsed=fit.collapsed)

    def _checked_parameters(self) -> EmOptions:
        check_integer("n_experts", self.n_experts)
        options = self._em_options(("auto", "spectral", "l4", "random"))
        check_choice("covariance_type", self.covariance_type, ("full", "diag"))
        if self.alpha_towards == "mean" and self.alpha > _MOST_TOWARDS_MEAN:
            raise ValueError(
                f"alpha must be at most {_MOST_TOWARDS_MEAN:g} with alpha_towards='mean', got {self.alpha}: "
                "beyond, rounding hides the mean; experts of common slopes are common_features"
            )
        check_flag("polish", self.polish)
        link, family = get_link(self.link), self._family()
        if family != GAUSSIAN:
            if not link.is_linear:
                raise ValueError(
                    f"link must be 'linear' for family={family.name!r}, which has its own, got {link.name!r}"
                )
            if (isinstance(self.start, str) and self.start in ("spectral", "l4")) or not self.polish:
                raise ValueError(
                    f"start='spectral', start='l4' and polish=False need family='gaussian', got {family.name!r}"
                )
        check_choice("gate_basis", self.gate_basis, GATE_BASES)
        check_features("common_features", self.common_features)
        if self.common_features is not None and not (link.is_linear and self.polish):
            raise ValueError("common_features need link='linear' and polish=True")
        if not self.polish and not isinstance(self.start, str):
            raise ValueError("a start that is given needs polish=True: without EM nothing is done with it")
        if not self.polish and self.start == "random":
            raise ValueError('start="random" needs polish=True: without EM there is nothing to learn the experts')
        return options

    def _as_regressor(self) -> MixtureEstimator:
        """Return the fitted regressor that this is, or has chosen."""
        return self

    def _family(self, n_responses: int = 1) -> Family:
        family = get_family(self.family)
        if isinstance(family, MultivariateGaussian):
            raise ValueError(
                f"family must be the law of one response, got {family.name!r}: with several columns of y "
                "'gaussian' is it, covariance_type says which"
            )
        if n_responses == 1:
            return family
        refused = {
            f"family={family.name!r}": family != GAUSSIAN,
            f"link={get_link(self.link).name!r}": not get_link(self.link).is_linear,
            "common_features": self.common_features is not None,
            f"start={self.start!r}": isinstance(self.start, str) and self.start in ("spectral", "l4"),
            "polish=False": not self.polish,
            f"alpha_towards={self.alpha_towards!r}": self.alpha_towards != "zero" and self.alpha > 0,
            f"l1_ratio={self.l1_ratio!r}": self.l1_ratio > 0 and self.alpha > 0,
        }
        for what, given in refused.items():
            if given:
                raise ValueError(
                    f"{what} is for one response, y has {n_responses} columns: leave it out, or fit a model for "
                    "each column"
                )
        return MultivariateGaussian(n_responses, self.covariance_type)

    def _link(self) -> Link:
        return get_link(self.link)

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn wants to know: y may have several columns where they are normal."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = self.family in ("gaussian", GAUSSIAN) and self.link == "linear"
        return tags
