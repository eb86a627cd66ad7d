"""Random assignments of rows to experts, of several kinds: no kind is best on all data.

Each is a function of the values of the rows and of their weights, see :mod:`moefast.em.rows`: rows that are equal
go together, and neither the order of the rows nor writing a row twice (weight 2 or two copies) changes a start.
Rows of a group go together too: to whom they cost least in all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.em.problem import EmProblem
from moefast.em.rows import rounded_phase, row_phase
from moefast.search.random_tree import random_leaves

__all__ = ["KINDS", "nearest_rows"]

Labels: TypeAlias = npt.NDArray[np.int32]

_LLOYD_ITERATIONS = 3
# Standard deviation of the logarithm of the scales of columns, for distances.
_SCALE_SPREAD = 0.7
# Ridge of regressions on few rows, in rows of average weight.
_LOCAL_RIDGE = 1e-3


def _random_rows(problem: EmProblem, n: int, rng: np.random.Generator) -> list[int]:
    """Return n rows of different values, or all that there are."""
    phase, found = rounded_phase(problem, rng), []
    while True:
        row = int(phase.argmin())
        if phase[row] == np.inf:
            break
        found.append(row)
        if len(found) == n:
            break
        phase[phase == phase[row]] = np.inf
    return found


def _points(problem: EmProblem, rng: np.random.Generator) -> Floats:
    """Rows (z, working response)."""
    return np.column_stack([problem.Z, problem.working_response(rng)])


def _scales(points: Floats, rng: np.random.Generator) -> Floats:
    """Random scales of their columns."""
    return np.asarray(np.exp(_SCALE_SPREAD * rng.normal(size=points.shape[1])))


def nearest_rows(problem: EmProblem, share: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return the rows around a random row that have about a share of the weight."""
    return _nearest_to_some_row(problem, _points(problem, rng), share, rng)


def _nearest_to_some_row(
    problem: EmProblem, points: Floats, share: float, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    scales = _scales(points, rng)
    centre = points[_random_rows(problem, 1, rng)[0]]
    distance = (points - centre) ** 2 @ scales**2
    order = np.argsort(distance)
    reached = int(np.searchsorted(np.cumsum(problem.sample_weight[order]), share * problem.total_weight))
    return np.asarray(distance <= distance[order[min(reached, len(order) - 1)]])


def _as_labels(numbers: npt.NDArray[Any]) -> Labels:
    return np.asarray(numbers, dtype=np.int32)


def _cheapest(problem: EmProblem, costs: Floats) -> Labels:
    """Return for each row the column of the least cost, in all rows of its group; `costs` has shape (n, k)."""
    return _as_labels(problem.of_groups(costs).argmin(axis=1))


def _assignment(problem: EmProblem, k: int, rng: np.random.Generator) -> Labels:
    """Every row goes to an expert drawn at random."""
    return _as_labels(np.minimum(k * row_phase(problem, rng), k - 1))


def _hyperplanes(problem: EmProblem, k: int, rng: np.random.Generator) -> Labels:
    """The largest of k random linear forms."""
    d = problem.Z.shape[1]
    return _cheapest(problem, -(problem.Z @ rng.normal(size=(d, k)) + 0.5 * np.sqrt(d) * rng.normal(size=k)))


def _nearest_centre(problem: EmProblem, k: int, rng: np.random.Generator) -> Labels:
    """A few iterations of k-means on randomly scaled (x, y), from random rows."""
    points = _points(problem, rng)
    points *= _scales(points, rng)
    centres = points[_random_rows(problem, k, rng)]
    weight = problem.sample_weight[:, None]
    for _ in range(_LLOYD_ITERATIONS):
        member = (_nearest(problem, points, centres)[:, None] == np.arange(len(centres))) * weight
        totals = member.sum(axis=0)
        centres = np.where(totals[:, None] > 0, member.T @ points / np.maximum(totals, 1e-300)[:, None], centres)
    return _nearest(problem, points, centres)


def _nearest(problem: EmProblem, points: Floats, centres: Floats) -> Labels:
    """The nearest centre, by squared distances less those of the points from 0."""
    return _cheapest(problem, (centres**2).sum(axis=1) - 2.0 * (points @ centres.T))


def _residuals(problem: EmProblem, working: Floats, weights: Floats) -> Floats:
    """Residuals of regressions of the working response, one for each column of weights, (n, m) as they are."""
    U = np.column_stack([problem.expert_design.take(problem.Z), np.ones(problem.n_rows)])
    weighted = (problem.sample_weight * weights.T)[:, :, None] * U
    grams = U.T @ weighted
    totals = grams[:, -1, -1]  # of the constant
    places = np.arange(U.shape[1])
    grams[:, places, places] += _LOCAL_RIDGE * np.maximum(problem.weight_per_row, totals / len(places))[:, None]
    coef = np.linalg.solve(grams, (working @ weighted)[:, :, None])[:, :, 0]
    return np.asarray(working[:, None] - U @ coef.T)


def _nearest_line(problem: EmProblem, weights: Floats, rng: np.random.Generator) -> Labels:
    """The regression of the smallest residual, of one for each column of weights, (n, m)."""
    return _cheapest(problem, np.abs(_residuals(problem, problem.working_response(rng), weights)))


def _local_regressions(problem: EmProblem, k: int, rng: np.random.Generator) -> Labels:
    """Regressions on the rows around k random rows."""
    share, points = rng.uniform(0.3, 1.0) / k, _points(problem, rng)
    near = [_nearest_to_some_row(problem, points, share, rng) for _ in range(k)]
    return _nearest_line(problem, np.column_stack(near), rng)


def _subset_regressions(problem: EmProblem, k: int, rng: np.random.Generator) -> Labels:
    """Regressions on k small random subsets."""
    share = min(1.0, max(3 * (problem.expert_design.width + 2) / problem.n_distinct, 2 / problem.n_units))
    return _nearest_line(problem, np.column_stack([row_phase(problem, rng) < share for _ in range(k)]), rng)


def _tree_leaves(problem: EmProblem, k: int, rng: np.random.Generator) -> Labels:
    """Leaves of a random regression tree for the response, or the residual of a regression, or its size."""
    which, target = rng.integers(3), problem.working_response(rng)
    if which > 0:
        target = _residuals(problem, target, np.ones((problem.n_rows, 1)))[:, 0]
    if which == 2:
        target = np.abs(target)
    labels = random_leaves(problem.Z, target, problem.sample_weight, k, rng)
    return labels if problem.groups is None else _cheapest(problem, -np.eye(k)[labels])


KINDS: dict[str, Callable[[EmProblem, int, np.random.Generator], Labels]] = {
    "random assignment": _assignment,
    "random hyperplanes": _hyperplanes,
    "nearest centres": _nearest_centre,
    "tree leaves": _tree_leaves,
    "local regressions": _local_regressions,
    "subset regressions": _subset_regressions,
}
"""Labels 0 .. k - 1 for every row, shape (n,), by kind."""
