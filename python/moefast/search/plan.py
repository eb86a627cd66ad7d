"""The plan of a search: random starts, climbs from the best of them, and when to stop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moefast.em.fit import EmFit, EmStart
from moefast.em.problem import EmProblem
from moefast.search.account import Account, Climb
from moefast.search.budget import Budget
from moefast.search.detours import take_detours
from moefast.search.iterated_local_search import IteratedLocalSearch
from moefast.search.random_starts import RandomStarts
from moefast.search.run import Run
from moefast.search.settings import SearchSettings
from moefast.search.short_runs import ShortRuns
from moefast.search.starts import Start
from moefast.search.successive_halving import Round, first_runs, successive_halving

__all__ = ["Plan"]


class Plan:
    """Groups of starts and climbs in turn, until the budget is used up or independent climbs agree.

    Parameters
    ----------
    problem : EmProblem
        The rows to search on, under the ridge of the search.
    n_experts : int
    rng : numpy Generator
    budget : Budget
    settings : SearchSettings

    Attributes
    ----------
    account : Account
    """

    def __init__(
        self,
        problem: EmProblem,
        n_experts: int,
        rng: np.random.Generator,
        budget: Budget,
        settings: SearchSettings,
    ) -> None:
        self._budget, self._settings = budget, settings
        self.account = Account(problem, budget, settings)

        def detours(made: Sequence[EmStart], detours: Sequence[str]) -> list[EmStart]:
            return take_detours(problem, made, detours, rng, budget.charge, settings)

        self._em = ShortRuns[EmFit](problem, budget.charge, detours)
        self._random_starts = RandomStarts(problem, n_experts, rng, settings)
        self._local_search = IteratedLocalSearch(problem, self._em, self.account, rng, self.over, settings)

    def run(self, given: Sequence[Start]) -> None:
        """Search, from the given starts among others."""
        settings, account = self._settings, self.account
        if self._budget.deadline.passed():  # there is no time for moments of all rows either
            first = self._random_starts.draw(1)
        else:
            first = [*given, *self._random_starts.draw(settings.first_starts)]
        best = self._halve(first, settings.agreeing_runs)
        agree = len(best) >= settings.agreeing_runs and all(account.equal(run, best[0]) for run in best)
        if agree and not self._budget.deadline.is_set:
            better = self._better_than(best[0])
            if better is None:  # the data are easy
                account.climbs += [Climb(run, 0) for run in best[1:]]
                return
            best = [better]
        if not self.over():
            best += self._halve(self._random_starts.draw(settings.second_starts), settings.first_climbs)
        best = sorted(best, key=Run.rank)[: settings.first_climbs]
        while not self.over():
            for run in best:
                self._local_search.climb(run)
                if self.over():
                    break
            else:
                best = self._halve(self._random_starts.draw(settings.later_starts), settings.later_climbs)
        if not account.climbs:
            account.climbs = [Climb(run, 0) for run in best]

    def over(self) -> bool:
        """Whether the budget is used up, or nothing better is to be expected."""
        if self._budget.used_up():
            return True
        if self._budget.deadline.is_set:
            return False
        enough = self._settings.agreeing_climbs * (1 if self.account.moves.any_gained() else 2)
        return self.account.n_at_best() >= enough

    def _better_than(self, run: Run[EmFit]) -> Run[EmFit] | None:
        """Look for a better optimum by moves, then by further random starts; None where there is none."""
        least = run.log_likelihood + self.account.same
        climbed = self._local_search.climb(run, patience=self._settings.short_patience)
        if climbed.log_likelihood > least:
            return climbed
        (other,) = self._halve(self._random_starts.draw(self._settings.confirming_starts), 1)
        return other if other.log_likelihood > least else None

    def _halve(self, starts: Sequence[Start], n_best: int) -> list[Run[EmFit]]:
        """Return the best runs from a group of starts, by successive halving."""
        settings, account = self._settings, self.account
        runs = first_runs(self._em, starts, settings.first_iterations, self._budget.deadline)
        for run in runs:
            run.start += len(account.starts)
        rounds = [
            Round(max(n_best, round(share * len(runs))), n_iter) for share, n_iter in settings.halving_rounds
        ]

        def advance(field: Sequence[Run[EmFit]], n_iter: int) -> None:
            if not self.over():
                self._em.advance(field, n_iter)

        best = successive_halving(runs, rounds, advance)[:n_best]
        account.note_starts(runs, best)
        return best
