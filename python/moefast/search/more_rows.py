"""The best optima of a search on some of the rows go on on more of them, by bumping.

Optima of some thousand rows are not those of all: there are others, and they are ordered in another way. Searching
on more rows finds no better ones for the same work (nine thousand rows of power plant with three experts: the best
optimum is found from one start in eighty). But what few rows have found is near good optima of many, and moves by
few rows (:mod:`moefast.search.bumping`) lead from one to the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moefast.em.fit import EmFit
from moefast.em.problem import EmProblem
from moefast.search.account import Account
from moefast.search.budget import Budget
from moefast.search.iterated_local_search import IteratedLocalSearch
from moefast.search.learnt_choice import LearntChoice
from moefast.search.run import Run
from moefast.search.settings import SearchSettings
from moefast.search.short_runs import ShortRuns

__all__ = ["bump_on_more_rows"]


def bump_on_more_rows(
    problem: EmProblem,
    candidates: Sequence[Run[EmFit]],
    budget: Budget,
    rng: np.random.Generator,
    settings: SearchSettings,
) -> list[Run[EmFit]]:
    """Return where bumping the first few candidates leads, these themselves on these rows, and the others.

    Parameters
    ----------
    problem : EmProblem
        More rows than were searched, under the ridge of the search.
    candidates : sequence of Run
        The best first.
    budget : Budget
    rng : numpy Generator
    settings : SearchSettings
    """
    account = Account(problem, budget, settings)
    em = ShortRuns[EmFit](problem, lambda fits: budget.charge(fits, problem.n_rows))
    moves = LearntChoice({"fewer rows": 1.0}, {"": 1.0}, settings.prior_trials)
    climb = IteratedLocalSearch(problem, em, account, moves, rng, budget, settings).climb
    few = list(candidates[: settings.bumped])
    em.move(few, settings.finalist_iterations)
    begun, patience = account.distinct(few), settings.bumping_patience
    ends = [climb(run, patience) for run in begun]
    while budget.deadline.is_set and not budget.used_up():
        patience += settings.bumping_patience
        ends = [climb(run, patience) for run in ends]
    return [*account.distinct([*ends, *few]), *candidates[settings.bumped :]]
