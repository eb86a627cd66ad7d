"""A local optimum with what moves out of it need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from moefast.em.fit import EmStart, FitResult
from moefast.em.problem import EmProblem
from moefast.mixture import Mixture

__all__ = ["LocalOptimum", "Move"]


class LocalOptimum:
    """A mixture near a local optimum, with what the moves need of it.

    Parameters
    ----------
    problem : EmProblem
    mixture : Mixture
        In standard units.
    charge : callable, optional
        Is told of what moves run, and on how many rows.

    Attributes
    ----------
    responsibilities : ndarray of shape (n, k)
    residuals : ndarray of shape (n, k)
        Of every expert on every row.
    """

    def __init__(
        self,
        problem: EmProblem,
        mixture: Mixture,
        charge: Callable[[Sequence[FitResult], int], object] = lambda fits, n_rows: None,
    ) -> None:
        self.problem, self.mixture, self.n_experts = problem, mixture, mixture.n_experts
        self.charge = charge
        self.responsibilities = problem.responsibilities(mixture)
        self.residuals = problem.residuals(mixture)


Move: TypeAlias = Callable[[LocalOptimum, np.random.Generator], EmStart]
"""Returns responsibilities of shape (n, k), or a mixture, from which EM starts again."""
