"""A local optimum with what moves out of it need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from moefast._typing import Floats
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

    Attributes
    ----------
    responsibilities : ndarray of shape (n, k)
    residuals : ndarray of shape (n, k)
        Of every expert on every row.
    """

    def __init__(self, problem: EmProblem, mixture: Mixture) -> None:
        self.problem, self.n_experts = problem, mixture.n_experts
        self.responsibilities = problem.responsibilities(mixture)
        self.residuals = problem.residuals(mixture)


Move: TypeAlias = Callable[[LocalOptimum, np.random.Generator], Floats]
"""Returns responsibilities of shape (n, k) from which EM starts again."""
