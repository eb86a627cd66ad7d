"""Split-and-merge moves: two experts become one, and the place that falls free gets one side of another's rows.

Ueda, Nakano, Ghahramani and Hinton, Neural Computation 2000. There criteria rank which experts to merge and which
to split; here both are drawn at random, since EM on many candidates for a few iterations tells more than a
criterion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.search.local_optimum import LocalOptimum

__all__ = ["Sides", "hyperplane_sides", "residual_sides", "split_by_hyperplane", "split_by_residual"]

Sides: TypeAlias = Callable[[int], npt.NDArray[np.bool_]]
"""Which rows are on the one side of a split of the expert given, a mask of shape (n,)."""


def hyperplane_sides(optimum: LocalOptimum, rng: np.random.Generator) -> Sides:
    """Return the sides of a random hyperplane, moved to the centre of the expert's rows."""
    problem = optimum.problem
    form = problem.of_groups(problem.Z @ rng.normal(size=problem.Z.shape[1]))

    def side(split: int) -> npt.NDArray[np.bool_]:
        share = problem.sample_weight * optimum.responsibilities[:, split]
        centre = share @ form / max(share.sum(), 1e-300)
        return np.asarray(form > centre)

    return side


def residual_sides(optimum: LocalOptimum) -> Sides:
    """Return the sides by the sign of the expert's residual, of its mean over a group."""
    residuals = optimum.problem.of_groups(optimum.residuals)
    return lambda split: residuals[:, split] > 0


def split_by_hyperplane(optimum: LocalOptimum, rng: np.random.Generator) -> Floats:
    """Merge two experts, split one by a random hyperplane."""
    return _merge_and_split(optimum, hyperplane_sides(optimum, rng), rng)


def split_by_residual(optimum: LocalOptimum, rng: np.random.Generator) -> Floats:
    """Merge two experts, split one by the sign of its residual."""
    return _merge_and_split(optimum, residual_sides(optimum), rng)


def _merge_and_split(optimum: LocalOptimum, side: Sides, rng: np.random.Generator) -> Floats:
    """Merge expert i into j; the side of one of the others, j among them, goes to i."""
    k = optimum.n_experts
    i, j = (int(e) for e in rng.permutation(k)[:2])
    R = optimum.responsibilities.copy()
    R[:, j] += R[:, i]
    R[:, i] = 0.0
    others = np.delete(np.arange(k), i)
    split = int(rng.choice(others))
    moved = side(split)
    R[moved, i] = R[moved, split]
    R[moved, split] = 0.0
    return R
