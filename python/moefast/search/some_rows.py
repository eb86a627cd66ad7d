"""Some of the rows, drawn as a function of their values: parts of a search need no more."""

from __future__ import annotations

import numpy as np

from moefast.em.problem import EmProblem
from moefast.em.rows import row_phase

__all__ = ["some_rows"]


def some_rows(problem: EmProblem, n: int, rng: np.random.Generator) -> EmProblem:
    """Return the problem on about n different rows, drawn as a function of their values, where there are more."""
    share = n / problem.n_distinct
    if share >= 1:
        return problem
    some = problem.subset(row_phase(problem, rng) < share)
    # Rows may be so near each other that they have the same phase.
    return some if some.n_rows >= share * problem.n_rows / 2 else problem
