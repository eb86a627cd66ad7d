"""Some of the rows, drawn as a function of their values: parts of a search need no more."""

from __future__ import annotations

import numpy as np

from moefast.em.problem import EmProblem
from moefast.em.rows import row_phase

__all__ = ["some_rows"]

# Of rows in groups, whole groups are drawn, and with few of them little is learnt of the gates.
_LEAST_GROUPS = 100


def some_rows(problem: EmProblem, n: int, rng: np.random.Generator) -> EmProblem:
    """Return the problem on about n different rows, drawn as a function of their values, where there are more.

    Rows of a group are drawn together, and a hundred groups at least.
    """
    share = n / problem.n_distinct
    if problem.groups is not None:
        share = max(share, _LEAST_GROUPS / problem.groups.n_groups)
    if share >= 1:
        return problem
    some = problem.subset(row_phase(problem, rng) < share)
    # Rows may be so near each other that they have the same phase.
    return some if some.n_rows >= share * problem.n_rows / 2 else problem
