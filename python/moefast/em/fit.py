"""Where an EM run begins and how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.mixture import GatedExperts, Mixture

__all__ = ["EmFit", "EmStart", "FitResult", "HardAssignment"]


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


@dataclass(frozen=True)
class EmFit(FitResult):
    """The end of an EM run of a :class:`moefast.mixture.Mixture`; see :class:`FitResult`.

    Attributes
    ----------
    gradient : float
        Largest component, in absolute value, of the gradient of the mean objective in standard units by what was
        fitted of a_i / s_i, b_i / s_i, W, c and log s_i. Where s_i is at its floor only what would raise it
        counts.
    """

    mixture: Mixture
    gradient: float


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


EmStart: TypeAlias = "Mixture | HardAssignment | Floats"
"""Where a run begins: parameters in standard units, or an assignment for the first M-step, hard or as
responsibilities of shape (n, k)."""
