"""Deterministic annealing EM: the objective is smooth at first and becomes the likelihood step by step.

Ueda and Nakano, Neural Networks 1998. The responsibilities are in proportion to ``(p_i N_i)**beta``, see
:meth:`moefast.em.EmProblem.run_many`; the inverse temperature beta rises to 1. It finds on some data what hardly
anything else does (concrete with shared noise: more than half of all starts reach one good optimum), on others
(airfoil) it ends where all experts are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from moefast.em.fit import EmStart, FitResult
from moefast.em.problem import EmProblem

__all__ = ["anneal"]


def anneal(
    problem: EmProblem,
    starts: Sequence[EmStart],
    inverse_temperatures: Sequence[float],
    n_iter: int,
    charge: Callable[[Sequence[FitResult]], object],
) -> list[EmStart]:
    """Run EM at one inverse temperature after the other.

    Parameters
    ----------
    problem : EmProblem
    starts : sequence of EmStart
    inverse_temperatures : sequence of float
        Rising, each at most 1.
    n_iter : int
        EM iterations at each.
    charge : callable
        Is told of all fits.

    Returns
    -------
    list of EmStart
        Where the runs are at the end.
    """
    now = list(starts)
    for beta in inverse_temperatures:
        fits = problem.run_many(now, max_iter=n_iter, inverse_temperature=beta)
        charge(fits)
        now = [fit.mixture for fit in fits]
    return now
