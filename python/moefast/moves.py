"""Moves out of a local optimum: changed responsibilities, from which EM starts again.

Every move is a function of the rows' values, as starts are; see :mod:`moefast.start_kinds`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from moefast.detours import ANNEALED, DIRECT, OTHER_NOISE
from moefast.em import EmProblem
from moefast.fit_report import MoveReport
from moefast.mixture import Mixture
from moefast.rows import row_phase
from moefast.start_kinds import nearest_rows

__all__ = ["MOVES", "Basin", "MoveChoice"]

Floats: TypeAlias = npt.NDArray[np.float64]

_FLATTENED_POWER = 0.5


class Basin:
    """A mixture near a local optimum, with what the moves need of it.

    Parameters
    ----------
    problem : EmProblem
    mixture : Mixture
        In standard units.

    Attributes
    ----------
    responsibilities : ndarray of shape (n, k)
    residuals : ndarray of shape (n, k)
        Of every expert on every row.
    """

    def __init__(self, problem: EmProblem, mixture: Mixture) -> None:
        self.problem, self.mixture = problem, mixture
        self.n_experts = mixture.n_experts
        self.responsibilities = mixture.responsibilities(problem.Z, problem.t)
        self.residuals = problem.t[:, None] - mixture.expert_means(problem.Z)
        self.totals = problem.weights @ self.responsibilities


Move: TypeAlias = Callable[[Basin, np.random.Generator], Floats]


def _normalised(R: Floats) -> Floats:
    return np.asarray(R / np.maximum(R.sum(axis=1, keepdims=True), 1e-300))


def flatten(basin: Basin, rng: np.random.Generator) -> Floats:
    """Take the square root of the responsibilities, with log-normal noise."""
    size = np.exp(rng.uniform(np.log(0.2), np.log(2.0)))
    noise = [ndtri(np.clip(row_phase(basin.problem, rng), 1e-9, 1 - 1e-9)) for _ in range(basin.n_experts)]
    return _normalised(basin.responsibilities**_FLATTENED_POWER * np.exp(size * np.column_stack(noise)))


def tilt(basin: Basin, rng: np.random.Generator) -> Floats:
    """Weigh the responsibilities by random gates."""
    d = basin.problem.Z.shape[1]
    logits = rng.uniform(0.5, 3.0) * (basin.problem.Z @ rng.normal(size=(d, basin.n_experts))) / np.sqrt(d)
    logits -= logits.max(axis=1, keepdims=True)
    return _normalised((basin.responsibilities + 1e-3) * np.exp(logits))


def hand_over(basin: Basin, rng: np.random.Generator) -> Floats:
    """Hand the rows around a random row to one expert."""
    k = basin.n_experts
    rows = nearest_rows(basin.problem, rng.uniform(0.3, 1.2) / k, rng)
    R = basin.responsibilities.copy()
    R[rows] = 0.0
    R[rows, rng.integers(k)] = 1.0
    return R


def _merge_and_split(
    basin: Basin, side: Callable[[int], npt.NDArray[np.bool_]], rng: np.random.Generator
) -> Floats:
    """Merge two experts and give the place that falls free one side of another's rows."""
    k = basin.n_experts
    i, j = (int(e) for e in rng.permutation(k)[:2])
    R = basin.responsibilities.copy()
    R[:, j] += R[:, i]
    R[:, i] = 0.0
    others = np.delete(np.arange(k), i)
    split = int(rng.choice(others))
    moved = side(split)
    R[moved, i] = R[moved, split]
    R[moved, split] = 0.0
    return R


def split_by_hyperplane(basin: Basin, rng: np.random.Generator) -> Floats:
    """Merge two experts, split one by a random hyperplane."""
    form = basin.problem.Z @ rng.normal(size=basin.problem.Z.shape[1])

    def side(split: int) -> npt.NDArray[np.bool_]:
        share = basin.problem.weights * basin.responsibilities[:, split]
        centre = share @ form / max(share.sum(), 1e-300)
        return np.asarray(form > centre)

    return _merge_and_split(basin, side, rng)


def split_by_residual(basin: Basin, rng: np.random.Generator) -> Floats:
    """Merge two experts, split one by the sign of its residual."""
    return _merge_and_split(basin, lambda split: basin.residuals[:, split] > 0, rng)


MOVES: dict[str, Move] = {
    "flatten": flatten,
    "tilt": tilt,
    "hand over": hand_over,
    "split by hyperplane": split_by_hyperplane,
    "split by residual": split_by_residual,
}
"""Responsibilities of shape (n, k) to start from, by the name of the move."""

# Rates of success before any has been seen, and how many trials that is worth. Measured on nine data sets.
_MOVE_RATES = {
    "flatten": 0.03,
    "tilt": 0.06,
    "hand over": 0.05,
    "split by hyperplane": 0.02,
    "split by residual": 0.02,
}
_DETOUR_RATES = {DIRECT: 0.04, OTHER_NOISE: 0.05, ANNEALED: 0.015}
_RATE_TRIALS = 10


class MoveChoice:
    """Which move to try next, by which detour: in proportion to how often each has helped.

    The rate of a move and that of a detour are multiplied: so each is learnt from all trials it took part in.

    Attributes
    ----------
    tried, gained : dict
        By (move, detour).
    """

    def __init__(self) -> None:
        self.tried = {(move, detour): 0 for move in MOVES for detour in _DETOUR_RATES}
        self.gained = dict.fromkeys(self.tried, 0)

    def draw(self, n: int, rng: np.random.Generator) -> list[tuple[str, str]]:
        """Draw n moves and count them as tried."""
        of_move = {move: self._rate(0, move, rate) for move, rate in _MOVE_RATES.items()}
        of_detour = {detour: self._rate(1, detour, rate) for detour, rate in _DETOUR_RATES.items()}
        choices = list(self.tried)
        odds = np.array([of_move[move] * of_detour[detour] for move, detour in choices])
        drawn = [choices[int(c)] for c in rng.choice(len(choices), size=n, p=odds / odds.sum())]
        for choice in drawn:
            self.tried[choice] += 1
        return drawn

    def _rate(self, part: int, value: str, prior: float) -> float:
        same = [choice for choice in self.tried if choice[part] == value]
        tried, gained = (sum(counts[choice] for choice in same) for counts in (self.tried, self.gained))
        return (gained + prior * _RATE_TRIALS) / (tried + _RATE_TRIALS)

    def reports(self) -> tuple[MoveReport, ...]:
        """Return the account of all moves."""
        return tuple(
            MoveReport(move + detour, self.tried[move, detour], self.gained[move, detour])
            for move, detour in self.tried
        )
