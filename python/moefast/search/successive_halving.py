"""Successive halving: all runs get a few iterations, the better part of them some more, and so on.

Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.
Here an arm is a run of EM (:mod:`moefast.search.short_runs`) and its loss minus the log-likelihood that it has
reached, runs with collapsed experts last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moefast.search.budget import Deadline
from moefast.search.run import Fit, Run
from moefast.search.short_runs import ShortRuns
from moefast.search.starts import Start
from moefast.threads import resolve_threads

__all__ = ["Round", "first_runs", "successive_halving"]


@dataclass(frozen=True)
class Round:
    """One round: the best `n_kept` runs go on for `n_iter` iterations."""

    n_kept: int
    n_iter: int


def first_runs(
    em: ShortRuns[Fit], starts: Sequence[Start], n_iter: int, deadline: Deadline, together: int | None = None
) -> list[Run[Fit]]:
    """Run EM for a few iterations from all starts, or from those whose turn came before the deadline.

    Parameters
    ----------
    em : ShortRuns
    starts : sequence of Start
        The first is run whatever the clock says.
    n_iter : int
    deadline : Deadline
        Where it is set, starts are run in short batches, so that the clock is looked at often.
    together : int, optional
        How many starts may be made and run together.

    Returns
    -------
    list of Run
        In the order of the starts, numbered from 0.
    """
    together = len(starts) if together is None else together
    if deadline.is_set:
        together = min(together, resolve_threads(em.problem.options.n_threads))
    runs: list[Run[Fit]] = []
    while len(runs) < len(starts) and not (runs and deadline.passed()):
        runs += em.begin(starts[len(runs) : len(runs) + together], n_iter, deadline.passed)
    for number, run in enumerate(runs):
        run.start = number
    return runs


def successive_halving(
    runs: Sequence[Run[Fit]],
    rounds: Sequence[Round],
    advance: Callable[[Sequence[Run[Fit]], int], object],
) -> list[Run[Fit]]:
    """Let ever fewer runs go on for ever longer.

    Parameters
    ----------
    runs : sequence of Run
        After their first iterations.
    rounds : sequence of Round
    advance : callable
        ``advance(runs, n_iter)`` lets runs, the best first, go on.

    Returns
    -------
    list of Run
        Those of the last round, the best first.
    """
    field = sorted(runs, key=Run.rank)
    for now in rounds:
        field = field[: now.n_kept]
        advance(field, now.n_iter)
        field.sort(key=Run.rank)
    return field
