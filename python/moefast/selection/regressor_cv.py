"""The estimator that chooses its number of experts and its ridges by cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Literal, NoReturn

import numpy as np

from moefast.em.options import EmOptions
from moefast.estimators.base import MixtureEstimator
from moefast.estimators.features import Features
from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.estimators.summary import GateTable, Inference, Summary
from moefast.families import Family, get_family
from moefast.inference.result import InferenceResult
from moefast.randomness import RandomState, get_generator
from moefast.selection.gate_shape import FlatGates, GateShape, parameters_of
from moefast.selection.grid import ALPHAS, GATE_ALPHAS, NOISE_FLOORS, Grid
from moefast.selection.grid_search import (
    Walk,
    best_setting,
    differs_in,
    laws_others_choose,
    results_table,
    rival,
    scores_along_path,
)
from moefast.selection.noise_scale import refuse_noise_out_of_range, with_noise_times
from moefast.selection.path_branch import branch_of
from moefast.tasks import check_jobs
from moefast.validation import check_choice, check_flag, check_number, check_verbose

__all__ = ["MixtureOfExpertsRegressorCV"]

# And its inverse is the most: what is beyond is a slip, and variances have to stay in range.
_LEAST_NOISE_SCALE = 1e-6


class MixtureOfExpertsRegressorCV(MixtureOfExpertsRegressor):
    """Mixture of linear experts whose size and ridges are chosen by cross-validation.

    To :class:`MixtureOfExpertsRegressor` what :class:`sklearn.linear_model.RidgeCV` is to Ridge. Settings are
    compared by the log-likelihood of rows held out: in every fold a path of fits goes from one expert to two,
    three and on, every fit begun at one before. With each number of experts the ridges go from the best pair so
    far to neighbours in the grid as long as one is better. The path ends where the curve has clearly turned. Then
    the model is fitted to all rows with the chosen setting, by the full search:
    it is that fit, with all methods of :class:`MixtureOfExpertsRegressor`.

    Parameters
    ----------
    n_experts : "auto", int or iterable of int
        Numbers of experts that are compared. "auto": 1, 2, ... up to 20, as long as the training rows of a fold
        are as many as the parameters, those of the gates no more than 500 (fewer with more than 1000 rows), and
        the fits have not taken more than a few seconds (more with more rows).
    alphas : float or iterable of float
        Ridges of the experts, in standard units.
    gate_alphas : float, "auto" or iterable of these
        Ridges of the gates, in standard units.
    noise : {"per_expert", "shared"} or a sequence of these
    gate_basis : {"linear", "quadratic", "spline"} or a sequence of these
    branches : sequence of tuple of int, or None
        Trees of gates that are compared too, such as ``[(2, 2), (2, 3), (2, 2, 2)]``: the children of a node at
        each level, as in :class:`HierarchicalMixtureOfExpertsRegressor`, two or more at two levels or more. All
        that are named are tried, with linear gates, every kind of noise, and ridges as for flat gates, whose
        scores do not depend on them. Trees know no `family` but "gaussian", no groups, one response, no
        `common_features`, no `l1_ratio` and no `alpha_towards` but "zero". None: flat gates alone.
    alpha_towards : {"zero", "mean"} or a sequence of both
        Where the experts' ridges pull; see :class:`MixtureOfExpertsRegressor`.
    l1_ratio : float or sequence of float
        How much of them is a lasso, where they pull towards zero.
    cv : int, splitter or iterable
        Folds, drawn at random; a splitter of scikit-learn, which is given X, y and groups; or pairs of rows to fit
        on and to hold out. With `groups` in ``fit`` folds are made of whole groups.
    one_standard_error : bool
        Take the fewest experts whose best setting is at most one standard error of the best below it.
    noise_scale : float or "held-out"
        By what the noise of the predictions is multiplied. "held-out": the number for which rows held out are
        likeliest under the fits of their folds, 1 for families without a scale. 1 is maximum likelihood, whose
        laws are too narrow where there are few rows for each parameter.
    family, covariance_type, formula, expert_features, gate_features, common_features
        As for :class:`MixtureOfExpertsRegressor`.
    fit_intercept, fit_gate_intercept, max_iter, tol
        Likewise.
    noise_floor : float or sequence of float
        Less than the largest is tried where experts are at it. Where most responses are found more than once they
        are rounded: then no expert of a sequence has less than the noise of which the density is one response a
        step, 0.4 steps.
    random_state : int, Generator, RandomState or None
        Draws the folds and the starts. An integer is that of the last fit too.
    n_jobs : int or None
        Processes among which folds are shared, as in joblib. The result does not depend on it.
    n_threads : int or None
    verbose : int
        1 shows progress bars where standard error is a terminal.

    Attributes
    ----------
    best_estimator_ : MixtureOfExpertsRegressor or HierarchicalMixtureOfExpertsRegressor
        The fit to all rows, of maximum likelihood under the chosen ridges; the latter where a tree was chosen.
        All its attributes, ``coef_``, ``fit_report_`` and so on, are here too; its are ``log_likelihood_``,
        criteria, ``inference`` and ``summary``. ``sigma_``, ``mixture_`` and all that is predicted have its noise
        times ``noise_scale_``.
    noise_scale_ : float
        How many times the noise of ``best_estimator_`` predictions have.
    calibration_ : Calibration or None
        How far intervals and quantiles reach to have as many rows held out as they say, each under the fit of its
        fold with the setting that the other folds would choose (:class:`moefast.calibration.Calibration`); None
        for counts, responses with a limit and several responses. ``predict_interval(X, calibrated=False)`` has the
        intervals of the law itself.
    best_params_ : dict
        The chosen setting: parameters of ``best_estimator_``, with ``n_experts`` for flat gates and ``branches``
        for a tree.
    best_index_ : int
        Its position in ``cv_results_``.
    best_score_ : float
        The mean log-likelihood of a row held out (of a group, where there are any), for each unit of weight.
    n_experts_ : int
    branches_ : tuple of int or None
        The chosen tree; None for flat gates.
    alpha_ : float
    gate_alpha_ : float or "auto"
    noise_ : str
    gate_basis_ : FittedGateBasis or None
        Those of the chosen setting.
    cv_results_ : dict of arrays
        A column for each of ``param_n_experts``, ``param_alpha`` and so on, of ``param_branches`` where trees are
        compared (None for flat gates), ``mean_test_score``, ``std_test_score`` (of the folds),
        ``standard_error`` (of the mean, over rows held out), ``rank_test_score``, ``split0_test_score`` and so on,
        and ``params``: ``pandas.DataFrame`` takes it.
        :func:`moefast.plotting.plot_cross_validation` draws it.
    path_ends_ : tuple of (dict, int, bool)
        For each kind of noise the number of experts at which its path ended, and whether that was because the
        curve had turned, or was below that of linear gates.

    See Also
    --------
    moefast.select_n_experts : The number of experts alone, by BIC or cross-validation, with all the fits.

    Notes
    -----
    Fits in a fold come from splits of the fit of one expert fewer and four random starts, without the moves of the
    search, and end after 60 iterations; those of a tree come from the experts of the flat fit of as many, grouped
    in the three ways that gates tell apart best, and from random regions. All settings of flat gates together take
    about the time of a few searches, those of a tree one to four times that of a path. What fits take is counted
    in iterations, not on the clock: the choice does not depend on the machine.

    Examples
    --------
    >>> from moefast import MixtureOfExpertsRegressorCV
    >>> from moefast.datasets import make_moe
    >>> X, y, truth = make_moe(400, 3, 2, noise=0.3, random_state=0)
    >>> model = MixtureOfExpertsRegressorCV(n_experts=(1, 2, 3), random_state=0).fit(X, y)
    >>> model.n_experts_, sorted(model.best_params_)
    (2, ['alpha', 'gate_alpha', 'gate_basis', 'n_experts', 'noise', 'noise_floor'])
    >>> model.predict(X[:1]).shape
    (1,)
    """

    link = "linear"
    start = "auto"
    polish = True
    n_init = "auto"
    time_budget = None

    def __init__(
        self,
        n_experts: Literal["auto"] | int | Iterable[int] = "auto",
        *,
        alphas: float | Iterable[float] = ALPHAS,
        gate_alphas: Any = GATE_ALPHAS,
        noise: str | Sequence[str] = "per_expert",
        gate_basis: str | Sequence[str] = ("linear", "spline"),
        branches: Any = None,
        cv: Any = 5,
        one_standard_error: bool = False,
        noise_scale: float | Literal["held-out"] = "held-out",
        family: str | Family = "gaussian",
        covariance_type: Literal["full", "diag"] = "full",
        formula: str | None = None,
        expert_features: Features = None,
        gate_features: Features = None,
        common_features: Features = None,
        fit_intercept: bool = True,
        fit_gate_intercept: bool = True,
        alpha_towards: str | Sequence[str] = "zero",
        l1_ratio: float | Sequence[float] = 0.0,
        max_iter: int = 1000,
        tol: float = 1e-8,
        noise_floor: float | Sequence[float] = NOISE_FLOORS,
        random_state: RandomState = None,
        n_jobs: int | None = None,
        n_threads: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_experts = n_experts  # type: ignore[assignment]  # a grid
        self.alphas = alphas
        self.gate_alphas = gate_alphas
        self.noise = noise  # type: ignore[assignment]  # likewise
        self.gate_basis = gate_basis  # type: ignore[assignment]  # likewise
        self.branches = branches
        self.cv = cv
        self.one_standard_error = one_standard_error
        self.noise_scale = noise_scale
        self.family = family
        self.covariance_type = covariance_type
        self.formula = formula
        self.expert_features = expert_features
        self.gate_features = gate_features
        self.common_features = common_features
        self.fit_intercept = fit_intercept
        self.fit_gate_intercept = fit_gate_intercept
        self.alpha_towards = alpha_towards  # type: ignore[assignment]  # likewise
        self.l1_ratio = l1_ratio  # type: ignore[assignment]  # likewise
        self.max_iter = max_iter
        self.tol = tol
        self.noise_floor = noise_floor  # type: ignore[assignment]  # likewise
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.n_threads = n_threads
        self.verbose = verbose

    def _checked_fit(
        self, X: Any, y: Any, sample_weight: Any, offset: Any, n_trials: Any, groups: Any
    ) -> list[Warning]:
        grid = Grid.of(self)
        check_flag("one_standard_error", self.one_standard_error)
        self._check_noise_scale()
        check_jobs(self.n_jobs)
        check_verbose(self.verbose)
        rng = get_generator(self.random_state)
        seed = int(rng.integers(2**31))
        data = (X, y, sample_weight, offset, n_trials, groups)
        walks: list[Walk] = []
        for setting in grid.settings:
            higher = [walk for walk in walks if differs_in(walk.setting, setting) == {"noise_floor"}]
            if grid.has_smaller_floor(setting) and not (higher and higher[-1].wants_less_noise):
                continue  # no expert would have less noise
            branch = branch_of(self._estimator_of(FlatGates(1), setting), setting, grid, self.cv, data, seed)
            if branch is None:
                continue
            walks.append(scores_along_path(branch, rival(setting, walks), self.n_jobs, shown=bool(self.verbose)))
        scored = [one for walk in walks for one in (*walk.scored, *walk.of_trees)]
        self.path_ends_ = tuple((dict(walk.setting), walk.end, walk.turned) for walk in walks)
        self.cv_results_ = results_table(scored)
        self.best_index_ = best_setting(scored, one_standard_error=self.one_standard_error)
        best = scored[self.best_index_]
        self.best_params_ = self.cv_results_["params"][self.best_index_]
        self.best_score_ = best.held_out.mean
        self.n_experts_, self.branches_ = best.shape.n_experts, best.shape.branches
        for name in ("alpha", "gate_alpha", "noise"):
            setattr(self, f"{name}_", self.best_params_[name])
        of_folds = isinstance(self.noise_scale, str)
        self.noise_scale_ = best.held_out_laws.noise_scale() if of_folds else float(self.noise_scale)
        others = laws_others_choose(scored, one_standard_error=self.one_standard_error)
        chosen = self._estimator_of(best.shape, best.setting)
        if not isinstance(self.random_state, (int, np.integer)):
            chosen.set_params(random_state=int(rng.integers(2**31)))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            chosen.set_params(verbose=self.verbose).fit(
                X, y, sample_weight, offset=offset, n_trials=n_trials, groups=groups
            )
        for_predictions = with_noise_times(chosen.mixture_, self.noise_scale_)
        refuse_noise_out_of_range(for_predictions, self.noise_scale_)
        self.best_estimator_ = chosen
        parameters = chosen.get_params(deep=False)
        self.__dict__.update({name: value for name, value in vars(chosen).items() if name not in parameters})
        self._set_parameters(for_predictions, others.calibration(self.noise_scale_))
        return [warning.message for warning in caught if isinstance(warning.message, Warning)]

    def _check_noise_scale(self) -> None:
        if isinstance(self.noise_scale, str):
            check_choice("noise_scale", self.noise_scale, ("held-out",))
            return
        check_number("noise_scale", self.noise_scale, low=_LEAST_NOISE_SCALE, high=1.0 / _LEAST_NOISE_SCALE)
        family = get_family(self.family)
        if self.noise_scale != 1 and not family.has_scale:
            raise ValueError(f"noise_scale must be 1 for family={family.name!r}, got {self.noise_scale!r}")

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn wants to know: trees are for one response."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = tags.target_tags.multi_output and self.branches is None
        return tags

    def fit_dataset(self, *_: Any, **__: Any) -> NoReturn:
        """Raise TypeError: folds need the rows in memory."""
        raise TypeError(
            'MixtureOfExpertsRegressorCV has no fit_dataset: choose on a sample, with gate_basis="linear", '
            "then MixtureOfExpertsRegressor(**model.best_params_).fit_dataset(...)"
        )

    def _estimator_of(self, shape: GateShape, setting: Mapping[str, Any]) -> MixtureEstimator:
        """Return the estimator of a shape of gates and a setting, not fitted."""
        return shape.estimator(**parameters_of(shape, self.get_params(deep=False) | setting))

    def _checked_parameters(self) -> EmOptions:
        """Return the settings of the chosen fit."""
        return self.best_estimator_._checked_parameters()

    def _as_regressor(self) -> Any:
        """Return the chosen fit with the noise of the predictions."""
        found: Any = copy(self.best_estimator_)
        found._set_parameters(self.mixture_, self.calibration_)
        return found

    def inference(self, *args: Any, **kwargs: Any) -> InferenceResult:
        """Return that of ``best_estimator_``; see :meth:`MixtureOfExpertsRegressor.inference`."""
        return self.best_estimator_.inference(*args, **kwargs)

    def _names_and_gates(self) -> tuple[list[str], list[GateTable]]:
        return self.best_estimator_._names_and_gates()

    def summary(self, inference: Inference | None = None) -> Summary:
        """Return the summary of the chosen fit, with a note on the choice."""
        found = self.best_estimator_.summary(inference)
        return replace(found, notes=(self._choice_in_words(), *found.notes))

    def _choice_in_words(self) -> str:
        """Say what was chosen among what."""
        results, i = self.cv_results_, self.best_index_
        n_folds = sum(name.startswith("split") for name in results)
        trees = results.get("param_branches", np.full(len(results["params"]), None))
        tried = results["param_n_experts"][[tree is None for tree in trees]]
        named = ", ".join(str(tree) for tree in dict.fromkeys(trees) if tree is not None)
        of_trees = f", and of trees {named}" if named else ""
        turned = ", where the curve had turned" if any(turned for _, _, turned in self.path_ends_) else ""
        setting = ", ".join(f"{name}={value!r}" for name, value in self.best_params_.items())
        return (
            f"chosen by the log-likelihood of rows held out, {n_folds} folds, among {len(results['params'])} "
            f"settings of {tried.min()} to {tried.max()} experts{turned}{of_trees}: {setting}; "
            f"{self.best_score_:.4g} a row, standard error {results['standard_error'][i]:.2g}; predictions have "
            f"{self.noise_scale_:.3g} times the noise below"
        )
