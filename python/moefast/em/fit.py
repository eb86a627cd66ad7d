"""Where an EM run begins and how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.mixture import GatedExperts, Mixture

__all__ = ["EmFit", "EmStart", "FitResult", "HardAssignment", "PlainStart", "Stage", "StagedStart"]


@dataclass(frozen=True)
class FitResult:
    """The end of an EM run, flat or hierarchical.

    Attributes
    ----------
    mixture : GatedExperts
    log_likelihood : float
        Natural log, summed over rows with their weights, all constants included; in the units of `mixture`.
    trace : ndarray
        The objective in standard units, before the first iteration and after each; it never falls.
    totals : ndarray of shape (k,)
        Weight of the rows each expert is responsible for.
    n_iter : int
    status : str
        "converged", "iteration_limit", "degenerate" or "beaten" (gave up, see :meth:`EmProblem.run_many`).
    collapsed : tuple of int
        Experts at the noise floor or responsible for fewer than d + 2 different rows.
    """

    mixture: GatedExperts
    log_likelihood: float
    trace: Floats
    totals: Floats
    n_iter: int
    status: str
    collapsed: tuple[int, ...]

    @property
    def converged(self) -> bool:
        """Whether the run settled before its iteration limit."""
        return self.status == "converged"

    @property
    def cost(self) -> int:
        """Its iterations, the pass at the start counted as one."""
        return self.n_iter + 1


@dataclass(frozen=True)
class EmFit(FitResult):
    """The end of an EM run of a :class:`moefast.mixture.Mixture`; see :class:`FitResult`.

    Attributes
    ----------
    gradient : float
        Largest component, in absolute value, of the gradient of the mean objective in standard units by what was
        fitted of a_i / s_i, b_i / s_i, W, c and log s_i. Where s_i is at its floor only what would raise it
        counts.
    n_before : int
        Iterations of the stages before, the pass at the start of each counted as one.
    """

    mixture: Mixture
    gradient: float
    n_before: int = 0

    @property
    def cost(self) -> int:
        """Its iterations and those of the stages before, the pass at each start counted as one."""
        return self.n_iter + 1 + self.n_before


@dataclass(frozen=True)
class HardAssignment:
    """Every row belongs to one of `n_experts` experts.

    Attributes
    ----------
    labels : ndarray of shape (n,)
        0 .. n_experts - 1.
    n_experts : int
    """

    labels: npt.NDArray[np.int32]
    n_experts: int


PlainStart: TypeAlias = "Mixture | HardAssignment | Floats"
"""Where a run begins: parameters in standard units, or an assignment for the first M-step, hard or as
responsibilities of shape (n, k)."""


@dataclass(frozen=True)
class Stage:
    r"""Iterations before those of a run itself, of another model.

    Attributes
    ----------
    n_iter : int
        At most.
    noise : {"per_expert", "shared"}
    inverse_temperature : float
        beta, more than 0 and at most 1. Below 1 the responsibilities are in proportion to
        :math:`(p_i N_i)^\beta`, and in place of the log-likelihood EM climbs
        :math:`\sum_n w_n \log(\sum_i (p_i N_i)^\beta) / \beta`, which is smoother: deterministic annealing (Ueda
        and Nakano, Neural Networks 1998).
    """

    n_iter: int
    noise: Literal["per_expert", "shared"]
    inverse_temperature: float = 1.0


@dataclass(frozen=True, eq=False)
class StagedStart:
    """A start, and the stages between it and the run itself, each from where the one before has ended."""

    start: PlainStart
    stages: tuple[Stage, ...]


EmStart: TypeAlias = "PlainStart | StagedStart"
"""Where a run begins, at once or after some stages."""
