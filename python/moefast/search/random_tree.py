"""Leaves of a random regression tree: cuts at random places, the best of some columns, the best leaf first.

As scikit-learn's `DecisionTreeRegressor(splitter="random", max_leaf_nodes=...)`, whose checks alone take longer
than a tree of few leaves, and whose cuts, anywhere between the smallest and the largest value, leave too few rows
on one side in a third of all cases: then a leaf stays whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.power_of_two import over_power_of_two

__all__ = ["random_leaves"]

# Standard deviations of a column within which it is cut: that leaves a ninth of normal rows on one side.
_REACH = 1.2


@dataclass(frozen=True)
class _Cut:
    """The best cut of a leaf that was drawn: which of its rows are on the lower side, and what that explains."""

    rows: npt.NDArray[np.intp]
    lower: npt.NDArray[np.bool_]
    gain: float


def random_leaves(
    Z: Floats, target: Floats, weight: Floats, n_leaves: int, rng: np.random.Generator
) -> npt.NDArray[np.int32]:
    """Return the leaf 0, 1, ... of each row, shape (n,); fewer leaves where nothing is left to cut.

    Parameters
    ----------
    Z : ndarray of shape (n, d)
    target, weight : ndarray of shape (n,)
    n_leaves : int
        At most so many leaves, each with a fifth of the weight it would have were all alike.
    rng : numpy Generator
        Draws half of the columns for each cut, and a place in the middle of each of them.
    """
    weight, _ = over_power_of_two(weight)  # squares of sums of huge weights would leave the range
    least = 0.2 / n_leaves * weight.sum()
    leaves = np.zeros(len(Z), dtype=np.int32)

    def cut(rows: npt.NDArray[np.intp]) -> _Cut:
        return _best_cut(rows, Z[rows], target[rows], weight[rows], least, rng)

    cuts = [cut(np.arange(len(Z)))]
    for new in range(1, n_leaves):
        best = max(range(new), key=lambda leaf: cuts[leaf].gain)
        rows, lower = cuts[best].rows, cuts[best].lower
        if cuts[best].gain <= 0:
            break
        leaves[rows[~lower]] = new
        if new < n_leaves - 1:
            cuts[best] = cut(rows[lower])
            cuts.append(cut(rows[~lower]))
    return leaves


def _best_cut(
    rows: npt.NDArray[np.intp], Z: Floats, target: Floats, weight: Floats, least: float, rng: np.random.Generator
) -> _Cut:
    """Return the best of a random cut along each of half of the columns that vary."""
    low, high, total = Z.min(axis=0), Z.max(axis=0), weight.sum()
    columns = rng.permutation(np.flatnonzero(high > low))[: max(1, (Z.shape[1] + 1) // 2)]
    values, low, high = Z[:, columns], low[columns], high[columns]
    mean = weight @ values / total
    reach = _REACH * np.sqrt(weight @ (values - mean) ** 2 / total)
    lower = values <= rng.uniform(np.maximum(low, mean - reach), np.minimum(high, mean + reach))
    # Of the lower sides, and of the upper ones: their weight, and their sum of w (t - mean).
    below = weight @ lower
    pull = (weight * (target - weight @ target / total)) @ lower
    above = total - below
    # The sum of squares that two means explain more than one.
    gains = np.where(np.minimum(below, above) >= least, pull**2 / np.maximum(below * above / total, 1e-300), 0.0)
    if len(gains) == 0:
        return _Cut(rows, np.ones(len(rows), dtype=bool), 0.0)
    best = int(gains.argmax())
    return _Cut(rows, lower[:, best], float(gains[best]))
