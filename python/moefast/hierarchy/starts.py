"""Where hierarchical EM starts from: the experts of flat fits grouped into branches, and random assignments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache, partial
from math import factorial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from moefast._typing import Floats
from moefast.hierarchy.em import HierarchicalProblem
from moefast.mixture import Mixture
from moefast.search.budget import Deadline
from moefast.search.given_starts import best_of_starts
from moefast.search.portfolio import StartOptions, portfolio
from moefast.search.starts import Start, least_squares_start, random_assignment_start

__all__ = ["balanced_groups", "grouped_leaves", "hierarchical_portfolio", "random_regions_start"]

Order: TypeAlias = npt.NDArray[np.intp]

_CLUSTERINGS = 10
_CLUSTER_ITERATIONS = 30
# Standard deviation of the logits of random regions, in standard units.
_REGION_STEEPNESS = 3.0
# Cuts of a node that are judged, those whose groups are cut in turn, and gate iterations to judge one by.
_CANDIDATES = 40
_LOOKED_INTO = 15
_SCORING_ITERATIONS = 5
# Below the root a node of more levels than this takes its best cut.
_THOROUGH_LEVELS = 2
# Flat fits whose experts are grouped: where they miss an expert, no tree finds it.
_FLAT_FITS = 3
# n_init="auto"
_GROUPED_STARTS = 6
_RANDOM_STARTS = 6


def balanced_groups(points: Floats, n_groups: int, rng: np.random.Generator) -> list[Order]:
    """Cut points into groups of one size by k-means whose assignment step is a transport problem.

    Parameters
    ----------
    points : ndarray of shape (m, p)
        m is a multiple of `n_groups`.
    n_groups : int
    rng : numpy Generator

    Returns
    -------
    list of ndarray
        Row numbers of each group.
    """
    size = len(points) // n_groups
    best, best_cost = np.arange(len(points)) // size, np.inf
    for _ in range(_CLUSTERINGS):
        centres = points[rng.choice(len(points), n_groups, replace=False)]
        labels = np.full(len(points), -1)
        for _ in range(_CLUSTER_ITERATIONS):
            distance = cdist(points, centres, "sqeuclidean")
            previous, labels = labels, linear_sum_assignment(np.repeat(distance, size, axis=1))[1] // size
            if (labels == previous).all():
                break
            centres = np.stack([points[labels == g].mean(axis=0) for g in range(n_groups)])
        cost = float(distance[np.arange(len(points)), labels].sum())
        if cost < best_cost:
            best, best_cost = labels, cost
    return [np.flatnonzero(best == g) for g in range(n_groups)]


def random_regions_start(problem: HierarchicalProblem, rng: np.random.Generator) -> Start:
    """Responsibilities are those of random gates: regions with random boundaries, nested as in the tree."""
    blank = problem.blank()
    scale = _REGION_STEEPNESS / np.sqrt(blank.n_features)
    regions = replace(blank, gate_coef=tuple(scale * rng.normal(size=gate.shape) for gate in blank.gate_coef))
    return Start("random regions", lambda: regions.gates(problem.flat.Z))


def _choices(branches: Sequence[int]) -> tuple[int, ...]:
    """Return the branches without those of one child, at which nothing is grouped."""
    return tuple(b for b in branches if b > 1)


def _n_partitions(k: int, n_groups: int) -> int:
    """Return in how many ways k leaves can be cut into groups of one size."""
    return int(factorial(k) // (factorial(k // n_groups) ** n_groups * factorial(n_groups)))


def _partitions(points: Sequence[Floats], n_groups: int, rng: np.random.Generator) -> list[list[Order]]:
    """Return different cuts into groups of one size: clusters in each of the spaces given, then any."""
    k = len(points[0])
    found: dict[object, list[Order]] = {}
    for space in points:
        groups = balanced_groups(space, n_groups, rng)
        found.setdefault(frozenset(map(frozenset, groups)), groups)
    n = min(_CANDIDATES, _n_partitions(k, n_groups))
    for _ in range(20 * n):
        if len(found) >= n:
            break
        groups = list(np.sort(rng.permutation(k).reshape(n_groups, -1), axis=1))
        found.setdefault(frozenset(map(frozenset, groups)), groups)
    return list(found.values())


class _Trees:
    """The leaves of a flat mixture, and the trees they fit into.

    A grouping is good when linear gates can tell the groups apart: its score is the log-likelihood of gates that
    see the groups' shares of the flat posteriors as densities.
    """

    def __init__(self, problem: HierarchicalProblem, mixture: Mixture, rng: np.random.Generator) -> None:
        flat = problem.flat
        self.problem, self.rng = problem, rng
        self.branches = _choices(problem.branches)
        self.found: dict[tuple[int, ...], tuple[float, Order]] = {}
        self.responsibilities = mixture.responsibilities(flat.Z, flat.t)
        mine = self.responsibilities * flat.sample_weight[:, None]
        regions = np.einsum("nk,nj->kj", mine, flat.Z) / np.maximum(mine.sum(axis=0), 1e-300)[:, None]
        self.spaces = [np.column_stack([mixture.gate_coef, mixture.gate_intercept]), regions]

    def best(self, n: int) -> list[Order]:
        """Return the n best of the trees looked at, as orders of the leaves."""
        leaves = np.arange(self.problem.n_leaves)
        return [order for _, order in self._best(leaves, self.branches, n, max(n, _LOOKED_INTO))]

    def _best(self, leaves: Order, branches: Sequence[int], n: int, looked_into: int) -> list[tuple[float, Order]]:
        if len(branches) == 1:
            return [(self._score([leaf] for leaf in leaves), leaves)]
        cuts = _partitions([space[leaves] for space in self.spaces], branches[0], self.rng)
        scored = [(self._score(leaves[group] for group in cut), i) for i, cut in enumerate(cuts)]
        trees = []
        for score, i in sorted(scored, reverse=True)[:looked_into]:
            below = [self._best_below(leaves[group], branches[1:]) for group in cuts[i]]
            trees.append((score + sum(s for s, _ in below), np.concatenate([order for _, order in below])))
        return sorted(trees, key=lambda tree: -tree[0])[:n]

    def _best_below(self, leaves: Order, branches: Sequence[int]) -> tuple[float, Order]:
        """Return the best tree of some leaves; many cuts have a group in common."""
        key = (len(branches), *(int(i) for i in leaves))
        if key not in self.found:
            # Looking into many cuts at every level would take a time that grows with their power.
            looked_into = _LOOKED_INTO if len(branches) <= _THOROUGH_LEVELS else 1
            self.found[key] = self._best(leaves, branches, 1, looked_into)[0]
        return self.found[key]

    def _score(self, groups: Iterable[Order | list[int]]) -> float:
        flat = self.problem.flat
        mass = np.stack([self.responsibilities[:, group].sum(axis=1) for group in groups])
        reach = mass.sum(axis=0)
        b, d = len(mass), flat.Z.shape[1]
        density = np.log(np.maximum(mass, 1e-300)) - np.log(np.maximum(reach, 1e-300))
        weights = flat.sample_weight * reach
        if weights.sum() <= 0:
            return 0.0
        gates = Mixture(np.zeros((b, d)), np.zeros(b), np.zeros((b, d)), np.zeros(b), np.ones(b))
        _, log_likelihood = flat.reweighted(weights).gates_improved(
            gates, np.ascontiguousarray(density.T), max_iter=_SCORING_ITERATIONS
        )
        return log_likelihood


def grouped_leaves(
    problem: HierarchicalProblem, mixture: Mixture, n: int, rng: np.random.Generator
) -> list[Floats]:
    """Return where the experts of a flat mixture are the leaves of the n trees that linear gates tell apart best.

    Parameters
    ----------
    problem : HierarchicalProblem
    mixture : Mixture
        In standard units, of as many experts as the trees have leaves.
    n : int
        There are fewer where they cannot be grouped in so many ways.
    rng : numpy Generator

    Returns
    -------
    list of ndarray of shape (n, K)
        Responsibilities of the experts, columns in the order of each tree.
    """
    trees = _Trees(problem, mixture, rng)
    return [trees.responsibilities[:, order] for order in trees.best(n)]


def _grouped_starts(
    problem: HierarchicalProblem,
    n: int,
    options: StartOptions,
    time_budget: float | None,
    rng: np.random.Generator,
) -> list[Start]:
    """Flat mixtures' experts as leaves: the best tree of each of some flat fits, then the second best of each."""
    flat, n_flat = problem.flat, min(n, _FLAT_FITS)
    of_flat = replace(options, n_init="auto")
    portfolios = [portfolio(flat, problem.n_leaves, of_flat, rng) for _ in range(n_flat)]
    seeds = rng.integers(2**31, size=n_flat)

    @cache
    def leaves(i: int) -> list[Floats]:
        """The best trees of the experts of the i-th flat fit."""
        mixture = best_of_starts(flat, portfolios[i], deadline=Deadline(time_budget))[0].mixture
        return grouped_leaves(problem, mixture, -(-n // n_flat), np.random.default_rng(seeds[i]))

    def make(i: int) -> Floats:
        trees = leaves(i % n_flat)
        return trees[min(i // n_flat, len(trees) - 1)]

    kind = "grouped spectral leaves" if options.start == "spectral" else "grouped leaves"
    return [Start(kind, partial(make, i)) for i in range(n)]


def hierarchical_portfolio(
    problem: HierarchicalProblem, options: StartOptions, time_budget: float | None, rng: np.random.Generator
) -> list[Start]:
    """Return the starts that EM is to be run from.

    Parameters
    ----------
    problem : HierarchicalProblem
    options : StartOptions
        `start` is "auto", "spectral" or "random": the experts of flat mixtures grouped into branches and random
        starts, the former alone with flat mixtures from spectral starts, or the latter alone. "auto" leaves the
        former out when there are fewer different rows than parameters: rounding would pick the flat mixture. There
        are fewer starts than `n_init` when the experts cannot be grouped in so many ways.
    time_budget : float, optional
        Seconds for each flat mixture.
    rng : numpy Generator

    Raises
    ------
    ValueError
        For ``start="spectral"`` with fewer linearly independent columns than leaves.
    """
    if problem.n_leaves == 1:
        return [least_squares_start(problem.flat)]
    start, n_init = options.start, options.n_init
    n = _GROUPED_STARTS + _RANDOM_STARTS if n_init == "auto" else int(n_init)
    if start == "random" or (start == "auto" and problem.flat.n_distinct < options.n_parameters):
        n_grouped = 0
    else:
        trees = min(_CANDIDATES, _n_partitions(problem.n_leaves, _choices(problem.branches)[0]))
        n_grouped = min(n if start == "spectral" else (n + 1) // 2, _FLAT_FITS * trees)
    starts = _grouped_starts(problem, n_grouped, options, time_budget, rng) if n_grouped else []
    if start != "spectral":
        starts += [
            random_regions_start(problem, rng)
            if i % 2
            else random_assignment_start(problem.flat, problem.n_leaves, rng)
            for i in range(n - n_grouped)
        ]
    return starts
