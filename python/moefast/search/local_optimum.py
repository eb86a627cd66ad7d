"""A local optimum with what moves out of it need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np

from moefast._typing import Floats
from moefast.em.fit import FitResult, PlainStart
from moefast.em.problem import EmProblem
from moefast.mixture import Mixture

__all__ = ["LocalOptimum", "Move"]

# In place of the logarithm of 0, and of a density that is infinite.
_FAR = 1e300


class LocalOptimum:
    """A mixture near a local optimum, with what the moves need of it.

    Parameters
    ----------
    problem : EmProblem
    mixture : Mixture
        In standard units.
    charge : callable, optional
        Is told of what moves run, and on how many rows.
    others : sequence of LocalOptimum
        Other optima of as many experts, if any are known.
    """

    def __init__(
        self,
        problem: EmProblem,
        mixture: Mixture,
        charge: Callable[[Sequence[FitResult], int], object] = lambda fits, n_rows: None,
        others: Sequence[LocalOptimum] = (),
    ) -> None:
        self.problem, self.mixture, self.n_experts = problem, mixture, mixture.n_experts
        self.charge, self.others = charge, others

    @cached_property
    def responsibilities(self) -> Floats:
        """Of every expert for every row, (n, k), made when asked for."""
        return self.problem.responsibilities(self.mixture)

    @cached_property
    def residuals(self) -> Floats:
        """Of every expert on every row, (n, k), made when asked for."""
        return self.problem.residuals(self.mixture)

    @cached_property
    def joint(self) -> Floats:
        """Logarithms of p_i(x) f(y | expert i), (n, k), finite, of groups on average, made when asked for."""
        problem = self.problem
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            joint = self.mixture.joint_log_density(problem.Z, problem.t, problem.response.terms)
        return problem.of_groups(np.nan_to_num(joint, nan=-_FAR, posinf=_FAR, neginf=-_FAR))


Move: TypeAlias = Callable[[LocalOptimum, np.random.Generator], PlainStart]
"""Returns responsibilities of shape (n, k), or a mixture, from which EM starts again."""
