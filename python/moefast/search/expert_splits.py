"""Starts for k + 1 experts from an optimum of k: one expert is split in two, the others stay as they are."""

from __future__ import annotations

import numpy as np

from moefast._typing import Floats
from moefast.search.local_optimum import LocalOptimum
from moefast.search.split_and_merge import Sides, hyperplane_sides, residual_sides
from moefast.search.starts import Start

__all__ = ["expert_splits"]


def expert_splits(optimum: LocalOptimum, rng: np.random.Generator) -> list[Start]:
    """Return two starts for each expert: split by the sign of its residual, and by a random hyperplane.

    Parameters
    ----------
    optimum : LocalOptimum
        Of k experts.
    rng : numpy Generator
        Draws one hyperplane, moved for each expert to the centre of its rows.
    """
    by_residual, by_hyperplane = residual_sides(optimum), hyperplane_sides(optimum, rng)
    return [
        _split(optimum, expert, kind, sides)
        for expert in range(optimum.n_experts)
        for kind, sides in (("split by residual", by_residual), ("split by hyperplane", by_hyperplane))
    ]


def _split(optimum: LocalOptimum, expert: int, kind: str, sides: Sides) -> Start:
    def make() -> Floats:
        R = np.column_stack([optimum.responsibilities, np.zeros(len(optimum.responsibilities))])
        moved = sides(expert)
        R[moved, -1] = R[moved, expert]
        R[moved, expert] = 0.0
        return R

    return Start(kind, make)
