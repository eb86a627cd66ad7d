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
from scipy.spatial.distance import cdist
from sklearn import config_context

from moefast._typing import Floats
from moefast.em.problem import EmProblem
from moefast.em.rows import rounded_phase, row_phase

__all__ = ["KINDS", "nearest_rows"]

Labels: TypeAlias = npt.NDArray[np.int32]

_LLOYD_ITERATIONS = 3
# Standard deviation of the logarithm of the scales of columns, for distances.
_SCALE_SPREAD = 0.7
# Ridge of regressions on few rows, in rows of average weight.
_LOCAL_RIDGE = 1e-3


def _random_rows(problem: EmProblem, n: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return n rows of different values, or all that there are."""
    first: npt.NDArray[np.intp] = np.unique(rounded_phase(problem, rng), return_index=True)[1]
    return first[:n]


def _scaled_points(problem: EmProblem, rng: np.random.Generator) -> Floats:
    """Rows (z, working response) with randomly scaled columns."""
    points = np.column_stack([problem.Z, problem.working_response(rng)])
    return np.asarray(points * np.exp(_SCALE_SPREAD * rng.normal(size=points.shape[1])))


def nearest_rows(problem: EmProblem, share: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return the rows around a random row that have about a share of the weight."""
    points = _scaled_points(problem, rng)
    centre = points[_random_rows(problem, 1, rng)[0]]
    distance = ((points - centre) ** 2).sum(axis=1)
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
    points = _scaled_points(problem, rng)
    centres = points[_random_rows(problem, k, rng)]
    labels = _cheapest(problem, cdist(points, centres, "sqeuclidean"))
    for _ in range(_LLOYD_ITERATIONS):
        member = (labels[:, None] == np.arange(len(centres))) * problem.sample_weight[:, None]
        totals = member.sum(axis=0)
        centres = np.where(totals[:, None] > 0, member.T @ points / np.maximum(totals, 1e-300)[:, None], centres)
        labels = _cheapest(problem, cdist(points, centres, "sqeuclidean"))
    return labels


def _regression(problem: EmProblem, working: Floats, share: Floats) -> Floats:
    """Residuals of the regression of the working response with the weights given, shape (n,)."""
    U = np.column_stack([problem.expert_design.take(problem.Z), np.ones(problem.n_rows)])
    weighted = U * share[:, None]
    gram = U.T @ weighted
    gram[np.diag_indices_from(gram)] += _LOCAL_RIDGE * max(problem.weight_per_row, float(share.sum()) / len(gram))
    return np.asarray(working - U @ np.linalg.solve(gram, weighted.T @ working))


def _nearest_line(problem: EmProblem, weights: list[Floats], rng: np.random.Generator) -> Labels:
    """The regression of the smallest residual."""
    working = problem.working_response(rng)
    residuals = np.column_stack([_regression(problem, working, problem.sample_weight * w) for w in weights])
    return _cheapest(problem, np.abs(residuals))


def _local_regressions(problem: EmProblem, k: int, rng: np.random.Generator) -> Labels:
    """Regressions on the rows around k random rows."""
    share = rng.uniform(0.3, 1.0) / k
    return _nearest_line(problem, [nearest_rows(problem, share, rng).astype(np.float64) for _ in range(k)], rng)


def _subset_regressions(problem: EmProblem, k: int, rng: np.random.Generator) -> Labels:
    """Regressions on k small random subsets."""
    share = min(1.0, max(3 * (problem.expert_design.width + 2) / problem.n_distinct, 2 / problem.n_units))
    return _nearest_line(problem, [(row_phase(problem, rng) < share).astype(np.float64) for _ in range(k)], rng)


def _tree_leaves(problem: EmProblem, k: int, rng: np.random.Generator) -> Labels:
    """Leaves of a random regression tree for the response, or the residual of a regression, or its size."""
    from sklearn.tree import DecisionTreeRegressor  # slow to import

    which, depth_seed = rng.integers(3), int(rng.integers(2**31))
    target = problem.working_response(rng)
    if which > 0:
        target = _regression(problem, target, problem.sample_weight)
    if which == 2:
        target = np.abs(target)
    tree = DecisionTreeRegressor(
        max_leaf_nodes=k,
        max_features=max(1, (problem.Z.shape[1] + 1) // 2),
        splitter="random",
        min_weight_fraction_leaf=0.2 / k,
        random_state=depth_seed,
    )
    # Checked already; checks take most of the time on few rows.
    Z = problem.Z.astype(np.float32)
    with config_context(skip_parameter_validation=True):
        tree.fit(Z, target[:, None], sample_weight=problem.sample_weight, check_input=False)
    leaves, labels = np.unique(tree.apply(Z, check_input=False), return_inverse=True)
    return _as_labels(labels) if problem.groups is None else _cheapest(problem, -np.eye(len(leaves))[labels])


KINDS: dict[str, Callable[[EmProblem, int, np.random.Generator], Labels]] = {
    "random assignment": _assignment,
    "random hyperplanes": _hyperplanes,
    "nearest centres": _nearest_centre,
    "tree leaves": _tree_leaves,
    "local regressions": _local_regressions,
    "subset regressions": _subset_regressions,
}
"""Labels 0 .. k - 1 for every row, shape (n,), by kind."""
