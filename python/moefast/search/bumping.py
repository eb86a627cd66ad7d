"""Bumping: some iterations of EM on few of the rows, and from there on all of them again.

Tibshirani and Knight, "Model search by bootstrap bumping", Journal of Computational and Graphical Statistics 1999:
where optima of the likelihood are many, those of another sample are other ones, and what it leads to may be better
on the data themselves. Few rows move every parameter by about its chance error on them: far enough to leave an
optimum that the data hardly support, not far enough to lose what they do, and at a small part of the cost of an
iteration on all rows.
"""

from __future__ import annotations

import numpy as np

from moefast.mixture import Mixture
from moefast.search.local_optimum import LocalOptimum
from moefast.search.some_rows import some_rows

__all__ = ["fewer_rows"]

# Different rows for each parameter, about, between which the number is drawn (logarithms are uniform), and the
# largest share of all: fewer rows lose the optimum, more lead back to it.
_ROWS_PER_PARAMETER = (2.5, 10.0)
_MOST = 0.6
_ITERATIONS = 20


def fewer_rows(optimum: LocalOptimum, rng: np.random.Generator) -> Mixture:
    """Return where EM leads from the optimum on few of the rows."""
    problem = optimum.problem
    n_rows = problem.n_parameters(optimum.n_experts) * np.exp(rng.uniform(*np.log(_ROWS_PER_PARAMETER)))
    few = some_rows(problem, int(min(n_rows, _MOST * problem.n_distinct)), rng)
    (fit,) = few.run_many([optimum.mixture], max_iter=min(_ITERATIONS, problem.options.max_iter))
    optimum.charge([fit], few.n_rows)
    return fit.mixture
