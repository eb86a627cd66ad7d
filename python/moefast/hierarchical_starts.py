"""Where hierarchical EM starts from: the leaves of a flat fit grouped into branches, and random assignments."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from math import factorial, prod
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from moefast.em import HardAssignment
from moefast.hierarchical_em import HierarchicalProblem
from moefast.hierarchy import nodes_of_level
from moefast.mixture import Mixture
from moefast.search import race
from moefast.starts import Start, least_squares_start, portfolio, row_phase

__all__ = ["balanced_groups", "group_leaves", "hierarchical_portfolio"]

Floats: TypeAlias = npt.NDArray[np.float64]
Order: TypeAlias = npt.NDArray[np.intp]

_CLUSTERINGS = 10
_CLUSTER_ITERATIONS = 30
# Standard deviation of the logits of random regions, in standard units.
_REGION_STEEPNESS = 3.0
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


def group_leaves(points: Floats, branches: tuple[int, ...], rng: np.random.Generator) -> Order:
    """Order leaves for a tree, those with near points under one node: clusters of clusters, from the root down.

    Parameters
    ----------
    points : ndarray of shape (K, p)
    branches : tuple of int
    rng : numpy Generator

    Returns
    -------
    ndarray of shape (K,)
    """
    if len(branches) == 1:
        return np.arange(len(points))
    groups = balanced_groups(points, branches[0], rng)
    return np.concatenate([group[group_leaves(points[group], branches[1:], rng)] for group in groups])


def _same_tree(order: Order, branches: tuple[int, ...]) -> tuple[object, ...]:
    """Return a key that is equal for orders that differ by swapping siblings only."""
    key: list[object] = [int(i) for i in order]
    for b in reversed(branches):
        key = [frozenset(key[i : i + b]) for i in range(0, len(key), b)]
    return tuple(key)


def _random_assignment(problem: HierarchicalProblem, rng: np.random.Generator) -> Start:
    """Every row belongs to a leaf drawn at random."""
    phase, k = row_phase(problem.flat, rng), problem.n_leaves
    return Start("random assignment", lambda: HardAssignment(np.minimum((k * phase).astype(np.int32), k - 1), k))


def _random_regions(problem: HierarchicalProblem, rng: np.random.Generator) -> Start:
    """Responsibilities are those of random gates: regions with random boundaries, nested as in the tree."""
    blank = problem.blank()
    scale = _REGION_STEEPNESS / np.sqrt(blank.n_features)
    regions = replace(blank, gate_coef=tuple(scale * rng.normal(size=gate.shape) for gate in blank.gate_coef))
    return Start("random regions", lambda: regions.gate_proba(problem.flat.Z))


def _n_trees(branches: tuple[int, ...]) -> int:
    """Return in how many ways leaves can be grouped: orders that differ by swapping siblings count once."""
    swaps = [factorial(b) ** nodes_of_level(branches, level) for level, b in enumerate(branches)]
    return int(factorial(prod(branches)) // prod(swaps))


def _groupings(
    problem: HierarchicalProblem, mixture: Mixture, responsibilities: Floats, n: int, rng: np.random.Generator
) -> list[Order]:
    """Return n different groupings: experts with near gate rows together, with near regions together, any."""
    flat, branches = problem.flat, problem.branches
    mine = responsibilities * flat.weights[:, None]
    regions = np.einsum("nk,nj->kj", mine, flat.Z) / np.maximum(mine.sum(axis=0), 1e-300)[:, None]
    gates = np.column_stack([mixture.gate_coef, mixture.gate_intercept])
    orders = [group_leaves(points, branches, rng) for points in (gates, regions)]
    found: dict[tuple[object, ...], Order] = {}
    while len(found) < n:
        order = orders.pop(0) if orders else rng.permutation(problem.n_leaves)
        found.setdefault(_same_tree(order, branches), order)
    return list(found.values())


def _grouped_starts(
    problem: HierarchicalProblem,
    n: int,
    *,
    start: str,
    n_parameters: int,
    time_budget: float | None,
    rng: np.random.Generator,
) -> list[Start]:
    """The experts of the best flat mixture as leaves, grouped into n different trees."""
    flat_starts = portfolio(
        problem.flat, problem.n_leaves, start=start, n_init="auto", n_parameters=n_parameters, rng=rng
    )
    seed = int(rng.integers(2**31))

    @cache
    def leaves() -> list[Floats]:
        """Responsibilities, columns grouped, for each of the starts."""
        mixture = race(problem.flat, flat_starts, time_budget=time_budget)[0].mixture
        responsibilities = mixture.responsibilities(problem.flat.Z, problem.t)
        orders = _groupings(problem, mixture, responsibilities, n, np.random.default_rng(seed))
        return [responsibilities[:, order] for order in orders]

    kind = "grouped spectral leaves" if start == "spectral" else "grouped leaves"
    return [Start(kind, partial(lambda i: leaves()[i], i)) for i in range(n)]


def hierarchical_portfolio(
    problem: HierarchicalProblem,
    *,
    start: str,
    n_init: int | Literal["auto"],
    n_parameters: int,
    time_budget: float | None,
    rng: np.random.Generator,
) -> list[Start]:
    """Return the starts that are to race.

    Parameters
    ----------
    problem : HierarchicalProblem
    start : {"auto", "spectral", "random"}
        The experts of the best flat mixture grouped into branches and random starts, the former alone with a
        flat mixture from spectral starts, or the latter alone. "auto" leaves the former out when there is less
        weight than parameters: rounding would pick the flat mixture.
    n_init : int or "auto"
        How many; fewer when the experts cannot be grouped in so many ways.
    n_parameters : int
        Of the model.
    time_budget : float, optional
        Seconds for the flat mixture.
    rng : numpy Generator

    Raises
    ------
    ValueError
        For ``start="spectral"`` with fewer linearly independent columns than leaves.
    """
    if problem.n_leaves == 1:
        return [least_squares_start(problem.flat)]
    n = _GROUPED_STARTS + _RANDOM_STARTS if n_init == "auto" else int(n_init)
    if start == "random" or (start == "auto" and problem.flat.total_weight < n_parameters):
        n_grouped = 0
    else:
        n_grouped = min(n if start == "spectral" else (n + 1) // 2, _n_trees(problem.branches))
    starts = (
        _grouped_starts(
            problem, n_grouped, start=start, n_parameters=n_parameters, time_budget=time_budget, rng=rng
        )
        if n_grouped
        else []
    )
    if start != "spectral":
        random = (_random_assignment, _random_regions)
        starts += [random[i % 2](problem, rng) for i in range(n - n_grouped)]
    return starts
