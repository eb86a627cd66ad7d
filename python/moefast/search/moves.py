"""Moves out of a local optimum: changed responsibilities, or parameters, from which EM starts again.

Random perturbations, the split-and-merge moves of :mod:`moefast.search.split_and_merge`, what few of the rows
lead to, :mod:`moefast.search.bumping`, and experts of other optima, :mod:`moefast.search.crossing`. Every move is
a function of the rows' values, as starts are; see :mod:`moefast.search.assignments`.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from moefast._typing import Floats
from moefast.em.rows import row_phase
from moefast.search.assignments import nearest_rows
from moefast.search.bumping import fewer_rows
from moefast.search.crossing import cross
from moefast.search.local_optimum import LocalOptimum, Move
from moefast.search.split_and_merge import split_by_hyperplane, split_by_residual

__all__ = ["CROSSING", "MOVES", "flatten", "hand_over", "tilt"]


def _normalised(R: Floats) -> Floats:
    return np.asarray(R / np.maximum(R.sum(axis=1, keepdims=True), 1e-300))


def flatten(optimum: LocalOptimum, rng: np.random.Generator) -> Floats:
    """Take the square root of the responsibilities, with log-normal noise."""
    size = np.exp(rng.uniform(np.log(0.2), np.log(2.0)))
    noise = [ndtri(np.clip(row_phase(optimum.problem, rng), 1e-9, 1 - 1e-9)) for _ in range(optimum.n_experts)]
    return _normalised(np.sqrt(optimum.responsibilities) * np.exp(size * np.column_stack(noise)))


def tilt(optimum: LocalOptimum, rng: np.random.Generator) -> Floats:
    """Weigh the responsibilities by random gates."""
    Z = optimum.problem.Z
    d = Z.shape[1]
    logits = rng.uniform(0.5, 3.0) * (Z @ rng.normal(size=(d, optimum.n_experts))) / np.sqrt(d)
    logits -= logits.max(axis=1, keepdims=True)
    return _normalised((optimum.responsibilities + 1e-3) * np.exp(logits))


def hand_over(optimum: LocalOptimum, rng: np.random.Generator) -> Floats:
    """Hand the rows around a random row to one expert."""
    k = optimum.n_experts
    rows = nearest_rows(optimum.problem, rng.uniform(0.3, 1.2) / k, rng)
    R = optimum.responsibilities.copy()
    R[rows] = 0.0
    R[rows, rng.integers(k)] = 1.0
    return R


CROSSING = "crossing"
"""The move that needs another optimum."""

MOVES: dict[str, Move] = {
    "flatten": flatten,
    "tilt": tilt,
    "hand over": hand_over,
    "split by hyperplane": split_by_hyperplane,
    "split by residual": split_by_residual,
    "fewer rows": fewer_rows,
    CROSSING: cross,
}
"""By the name that reports tell."""
