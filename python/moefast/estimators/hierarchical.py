"""The estimator of a hierarchical mixture of experts."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Literal, NoReturn

import numpy as np
from sklearn.utils.validation import check_is_fitted

from moefast._typing import Floats
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.estimators.base import MixtureEstimator
from moefast.estimators.features import Features
from moefast.estimators.given_start import GivenStart, StartParameter
from moefast.estimators.number_predictions import NumberPredictions
from moefast.estimators.outcome import Outcome
from moefast.estimators.prediction import in_range
from moefast.estimators.summary import GateTable
from moefast.hierarchy.em import HierarchicalProblem
from moefast.hierarchy.mixture import HierarchicalMixture, nodes_of_level
from moefast.hierarchy.starts import hierarchical_portfolio
from moefast.links import LINKS, Link
from moefast.randomness import RandomState, get_generator
from moefast.samples import Samples
from moefast.search.budget import Deadline
from moefast.search.given_starts import best_of_starts
from moefast.search.portfolio import StartOptions
from moefast.validation import check_integer

__all__ = ["HierarchicalMixtureOfExpertsRegressor"]


class HierarchicalMixtureOfExpertsRegressor(NumberPredictions, MixtureEstimator):
    r"""Hierarchical mixture of experts: regions that split into regions, each with a law of its own.

    .. math::

        P(y \mid x) = \sum_j p_j(x) \sum_i p_{i \mid j}(x)\, N(y \mid a_{ij} \cdot x + b_{ij}, s_{ij}^2)

    for two levels, with softmax gates at each. Fitted by maximum likelihood, EM with soft splits: the experts of
    flat mixtures (:class:`MixtureOfExpertsRegressor`, spectral and random starts), grouped into the branches that
    linear gates tell apart best, and random assignments compete in short EM runs by successive halving; the best
    goes on until it settles.

    Parameters
    ----------
    branches : sequence of int
        Children of a node at each level, top first: ``(2, 3)`` is two branches of three experts. Any depth;
        ``(k,)`` and ``(1, k)`` are the flat mixture.
    formula : str, optional
        ``"y ~ x1 + C(x2) | z1"``: response, terms of the experts, terms of the gates; without a bar the gates have
        those of the experts. X then stands for a data frame in all methods, y may be left out, and the features
        and intercepts of experts and gates are the formula's affair (docs/formulas.md). Needs formulaic.
    expert_features, gate_features : sequence of str, int or bool, optional
        The columns that experts and gates see: names, positions or a mask of the columns of X. Default: all. The
        coefficients of the others are 0. ``gate_features=[]`` makes gates constant.
    noise : {"per_expert", "shared"}
        Each expert has an s of its own, or all have one.
    fit_intercept : bool
        Experts have intercepts.
    fit_gate_intercept : bool
        Gates have intercepts.
    start : {"auto", "spectral", "random"}, array-like, fitted estimator or HierarchicalMixture
        The starts: grouped experts of flat mixtures and random starts; grouped experts of flat mixtures from
        spectral starts; random starts. Or one start that is given, as in :class:`MixtureOfExpertsRegressor`;
        columns of responsibilities and labels count the experts with those of one node side by side.
    n_init : int or "auto"
        How many starts, half of them grouped experts with ``start="auto"``.
    max_iter : int
        EM iterations of the winner at most.
    tol : float
        EM stops when an iteration raises the mean log-likelihood, in standard units, by no more than this
        relative to max(1, its absolute value).
    alpha : float
        Ridge of the experts, on coefficients in standard units.
    gate_alpha : float or "auto"
        Ridge of each gate in standard units, intercepts left free. "auto" is
        :data:`moefast.em.GATE_ALPHA_AUTO`.
    noise_floor : float
        Smallest s in standard deviations of y.
    time_budget : float, optional
        Seconds after which no further start is begun, for each of up to three flat mixtures and for the tree.
        The only option whose result depends on the machine.
    random_state : int, Generator, RandomState or None
    n_threads : int or None
        None means the CPUs this process may use. The result does not depend on it.
    verbose : int
        1 shows a progress bar where standard error is a terminal.

    Attributes
    ----------
    branches_ : tuple of int
    coef_ : ndarray of shape (K, d)
        a of the K experts, in the units of the data, like all below. Experts of one node stand side by side.
        Children of every node stand in decreasing order of the weight of the rows they are responsible for.
    intercept_, sigma_ : ndarray of shape (K,)
    gate_coef_ : tuple of ndarray of shape (G_l, b_l, d)
        One array a level: that of level l has G_l = branches[0] ... branches[l - 1] gates over b_l = branches[l]
        children each; the last child's row is 0.
    gate_intercept_ : tuple of ndarray of shape (G_l, b_l)
    shares_ : ndarray of shape (K,)
        Share of the weight each expert is responsible for.
    mixture_ : HierarchicalMixture
        All parameters together.
    log_likelihood_, aic_, bic_, entropy_, icl_ : float
        Of the training data, as in :class:`MixtureOfExpertsRegressor`.
    n_iter_ : int
    converged_ : bool
    membership_ : Membership
        How many rows each expert has, and how sharply experts are told apart.
    target_name_ : str or None
        The name of y, where it has one.
    fit_report_ : FitReport
    separated_gates_ : None
        Separated gates are looked for in flat mixtures alone.
    n_samples_fit_, n_parameters_ : int
        Training rows of positive weight, and free parameters as AIC and BIC count them: coefficients that linear
        dependence of the columns leaves undetermined do not count.
    n_groups_fit_ : int
        The same as ``n_samples_fit_``: trees of gates know no groups.
    training_weight_, response_std_ : float
        Sum of the weights and standard deviation of the training response.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had column names. With a formula those of the design matrix, as coefficients have them.
    formula_ : FittedFormula or None
        What the fit has learnt for the formula: levels of categories, centres, knots.

    Notes
    -----
    Errors and warnings are those of :class:`MixtureOfExpertsRegressor`. Where a tree has several optima of nearly
    the same experts, they differ in which experts share a branch.

    References
    ----------
    Jordan, Jacobs, "Hierarchical mixtures of experts and the EM algorithm", Neural Computation 6, 1994.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast import HierarchicalMixtureOfExpertsRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-1, 1, size=(800, 2))
    >>> slopes = np.where(X[:, 0] > 0, np.where(X[:, 1] > 0, 3, 1), np.where(X[:, 1] > 0, -1, -3))
    >>> y = slopes * X[:, 0] + 0.1 * rng.normal(size=800)
    >>> model = HierarchicalMixtureOfExpertsRegressor((2, 2), random_state=0).fit(X, y)
    >>> np.sort(model.coef_[:, 0]).round(1)
    array([-3., -1.,  1.,  3.])
    >>> model.predict_gates(X).shape, model.predict_gates(X, level=0).shape
    ((800, 4), (800, 2))
    """

    mixture_: HierarchicalMixture

    def __init__(
        self,
        branches: Sequence[int] = (2, 2),
        *,
        formula: str | None = None,
        expert_features: Features = None,
        gate_features: Features = None,
        noise: Literal["per_expert", "shared"] = "per_expert",
        fit_intercept: bool = True,
        fit_gate_intercept: bool = True,
        start: StartParameter = "auto",
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
        self.branches = branches
        self.formula = formula
        self.expert_features = expert_features
        self.gate_features = gate_features
        self.noise = noise
        self.fit_intercept = fit_intercept
        self.fit_gate_intercept = fit_gate_intercept
        self.start = start
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

    def fit_dataset(self, *_: Any, **__: Any) -> NoReturn:
        """Raise NotImplementedError: trees of gates are fitted to rows in memory."""
        raise NotImplementedError(
            "HierarchicalMixtureOfExpertsRegressor has no fit_dataset: fit it to a sample of the rows in memory, "
            "or take MixtureOfExpertsRegressor, whose gates are flat"
        )

    def _fit(self, samples: Samples, options: EmOptions, start: GivenStart | None) -> Outcome:
        if samples.groups is not None:
            raise ValueError("groups are for flat gates (MixtureOfExpertsRegressor); leave them out")
        branches = tuple(int(b) for b in self.branches)
        flat = EmProblem(samples, options)
        problem = HierarchicalProblem(flat, branches)
        n_gates = sum(nodes_of_level(branches, level) * (b - 1) for level, b in enumerate(branches))
        n_parameters = flat.n_parameters(problem.n_leaves, n_gates)
        if start is not None:
            starts = [start.standard(flat.standardisation)]
        else:
            wanted = StartOptions(str(self.start), self.n_init, n_parameters)
            rng = get_generator(self.random_state)
            starts = hierarchical_portfolio(problem, wanted, self.time_budget, rng)
        deadline = Deadline(self.time_budget)
        fit, report = best_of_starts(problem, starts, deadline=deadline, verbose=self.verbose)
        fit = problem.to_units(fit)
        order = fit.mixture.canonical_order(fit.totals)
        return Outcome(flat, fit, report, order, fit.mixture.ordered(order), n_parameters)

    def _checked_parameters(self) -> EmOptions:
        kind = isinstance(self.branches, (Sequence, np.ndarray)) and not isinstance(self.branches, str)
        if (
            not kind
            or getattr(self.branches, "ndim", 1) == 0
            or len(self.branches) == 0
            or any(np.iterable(b) for b in self.branches)
        ):
            raise ValueError(
                f"branches must be a sequence of integers, one a level, such as (2, 2), got {self.branches!r}"
            )
        for level, b in enumerate(self.branches):
            check_integer(f"branches[{level}]", b)
        check_integer("the product of branches", prod(int(b) for b in self.branches))
        return self._em_options(("auto", "spectral", "random"))

    def _link_and_branches(self) -> tuple[Link, tuple[int, ...]]:
        return LINKS["linear"], tuple(int(b) for b in self.branches)

    def _asked_for(self) -> tuple[int, str]:
        k = prod(int(b) for b in self.branches)
        return k, f"the {k} experts of branches={tuple(self.branches)}"

    @property
    def branches_(self) -> tuple[int, ...]:
        """Children of a node at each level of the fitted tree."""
        check_is_fitted(self)
        return self.mixture_.branches

    def predict_gates(self, X: Any, level: int | None = None) -> Floats:
        """Return the gates: how likely each node of the tree is before y is seen.

        Parameters
        ----------
        X : array-like of shape (n, d)
        level : int, optional
            Whose children: 0 is the top, where these are the branches. The default, the last level, gives the
            experts.

        Returns
        -------
        ndarray of shape (n, G)
            G = branches[0] ... branches[level] nodes, those of one parent side by side; rows sum to 1.
            ``mixture_.level_gates(X, level)`` gives the probabilities given the parent.

        Raises
        ------
        ValueError
            When there is no such level.
        """
        X = self._checked_features(X)
        if level is not None:
            check_integer("level", level, low=0, high=len(self.branches_) - 1)
        return in_range(lambda rows: self.mixture_.gates(rows, level), X)

    def _names_and_gates(self) -> tuple[list[str], list[GateTable]]:
        """Nodes are called by the children taken on the way: 1.0 is the first child of the second branch."""
        gates, paths = [], [""]
        for level, b in enumerate(self.branches_):
            kind = "expert" if level == len(self.branches_) - 1 else "branch"
            children = [[f"{path}.{c}".lstrip(".") for c in range(b)] for path in paths]
            for g, (path, labels) in enumerate(zip(paths, children, strict=True)):
                where = f" of branch {path}" if path else ""
                title = f"Gate{where}: log-odds against {kind} {labels[-1]}"
                names = [f"{kind} {label}" for label in labels]
                gates.append(GateTable(title, names, self.gate_coef_[level][g], self.gate_intercept_[level][g]))
            paths = [label for labels in children for label in labels]
        return [f"expert {path}" for path in paths], [gate for gate in gates if len(gate.children) > 1]
