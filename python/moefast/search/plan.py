"""The plan of a search: random starts, climbs from the best of them, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from moefast.em.fit import EmFit, EmStart, FitResult, PlainStart
from moefast.em.problem import EmProblem
from moefast.mixture import Mixture
from moefast.search.account import Account, Climb
from moefast.search.budget import Budget
from moefast.search.detours import with_detours
from moefast.search.few_rows_first import FewRowsFirst
from moefast.search.iterated_local_search import IteratedLocalSearch
from moefast.search.random_starts import RandomStarts
from moefast.search.run import Run
from moefast.search.settings import SearchSettings
from moefast.search.short_runs import ShortRuns
from moefast.search.some_rows import some_rows
from moefast.search.starts import Start
from moefast.search.successive_halving import Round, successive_halving

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
    in_vain : bool
        Whether nothing better was found than the optimum that was known before.
    """

    def __init__(
        self,
        problem: EmProblem,
        n_experts: int,
        rng: np.random.Generator,
        budget: Budget,
        settings: SearchSettings,
    ) -> None:
        self._problem, self._budget, self._settings = problem, budget, settings
        self._n_parameters, self._n_climbs = problem.n_parameters(n_experts), settings.climbs(problem.n_distinct)
        self.account, self.in_vain = Account(problem, budget, settings), False

        def on(rows: EmProblem) -> ShortRuns[EmFit]:
            def charge(fits: Sequence[FitResult]) -> None:
                budget.charge(fits, rows.n_rows)

            def detours(made: Sequence[PlainStart], detours: Sequence[str]) -> list[EmStart]:
                return with_detours(made, detours, rows.options, rng, settings)

            return ShortRuns[EmFit](rows, charge, detours)

        self._related: set[str] = set()
        self._em = on(problem)
        few = some_rows(problem, settings.first_rows(self._n_parameters), rng)
        if few.n_rows > problem.n_rows / 2:  # hardly fewer
            few, self._first_em = problem, self._em
        else:
            self._first_em = on(few)
        self._few, self._weight_of_few = few, few.total_weight / problem.total_weight
        self._random_starts = RandomStarts(few, n_experts, rng, settings)
        self._local_search = IteratedLocalSearch(
            problem, self._em, self.account, self.account.moves, rng, budget, settings
        )

    def run(
        self,
        given: Sequence[Start],
        related: Callable[[EmProblem], Sequence[Start]] | None = None,
        *,
        beside: bool = False,
    ) -> None:
        """Search, from the given starts among others.

        Parameters
        ----------
        given : sequence of Start
        related : callable, optional
            Takes the rows of the first iterations and returns starts that all come from one fit of another number
            of experts, to begin with in place of `given`.
        beside : bool
            Whether random starts stand beside these; without, the others are no evidence that the data are easy.
        """
        settings, account = self._settings, self.account
        if self._budget.deadline.passed():  # there is no time for moments of all rows either
            first = self._random_starts.draw(1)
        elif related is None:
            first = [*given[:1], *self._random_starts.draw(settings.first_starts)]
        else:
            splits = related(self._few)
            self._related = {start.kind for start in splits}
            first = [*splits, *self._random_starts.draw(settings.n_beside(len(splits)) if beside else 0)]
        best = self._halve(first, settings.agreeing_runs)
        agree = len(best) >= settings.agreeing_runs and all(account.equal(run, best[0]) for run in best)
        if agree and (related is None or beside) and not self._budget.deadline.is_set:
            better = self._better_than(best[0])
            if better is None:  # the data are easy
                account.climbs += [Climb(run, 0) for run in best[1:]]
                kin = [run for run in best if run.kind in self._related]
                account.independent += [run for run in best if run not in kin[1:]]
                return
            best = [better]
        if related is None and not self.over():
            second = [*given[1:], *self._random_starts.draw(settings.second_starts)]
            best += self._halve(second, settings.first_climbs)
        best = sorted(best, key=Run.rank)[: settings.first_climbs]
        self._climb(best)

    def go_beyond(self, known: Mixture, starts: Callable[[EmProblem], Sequence[Start]]) -> None:
        """Race starts against an optimum of as many experts, and climb only from where they lead beyond it.

        Parameters
        ----------
        known : Mixture
            In standard units.
        starts : callable
            Takes the rows that are searched on and returns starts from one fit of another number of experts.
        """
        account = self.account
        n_iter = sum(self._settings.move_iterations)  # under the ridge of the search it may be elsewhere
        (here,) = self._em.begin([Start("known optimum", lambda: known)], n_iter)
        runs, better = self._local_search.race(here, starts(self._problem))
        field = [here, *runs]
        for number, run in enumerate(field):
            run.start = number
        account.note_starts(field, [here])
        self.in_vain = better is None
        if better is None:
            account.climbs.append(Climb(here, 0))
            end = here
        else:
            account.note(better)
            end = self._local_search.climb(better)
        account.independent.append(end)

    def _climb(self, best: list[Run[EmFit]]) -> None:
        """Climb from the best runs, then from the best of further random starts, and so on."""
        settings, account = self._settings, self.account
        while not self.over():
            begun: list[Run[EmFit]] = []
            for run in best:
                alone = not any(self._akin(run, other) for other in begun)
                begun.append(replace(run))
                end = self._local_search.climb(run)
                if self.over():
                    break
                if alone:
                    account.independent.append(end)
            if self._enough():
                break
            if not self.over():
                best = self._halve(self._random_starts.draw(settings.later_starts), settings.later_climbs)
        if not account.climbs:
            account.climbs = [Climb(run, 0) for run in best]

    def _akin(self, run: Run[EmFit], other: Run[EmFit]) -> bool:
        """Whether two runs are at the same optimum, or both come from a fit of another number of experts."""
        return self.account.equal(run, other) or {run.kind, other.kind} <= self._related

    def over(self) -> bool:
        """Whether the budget is used up."""
        return self._budget.used_up()

    def _enough(self) -> bool:
        """Whether going on for as long again is expected to gain little against the chance error.

        That is the standard deviation of half a chi-square of as many degrees of freedom as there are parameters:
        what the maximum of the log-likelihood varies by from sample to sample, above that of the truth.
        """
        settings, account = self._settings, self.account
        if self._budget.deadline.is_set or len(account.independent) < self._n_climbs:
            return False
        chance_error = np.sqrt(self._n_parameters / 2)
        return bool(account.expected_gain() <= settings.worthwhile * chance_error)

    def _better_than(self, run: Run[EmFit]) -> Run[EmFit] | None:
        """Look for a better optimum by moves, then by further random starts; None where there is none."""
        least = run.log_likelihood + self.account.optima.same
        climbed = self._local_search.climb(run, patience=self._settings.short_patience)
        if climbed.log_likelihood > least:
            return climbed
        (other,) = self._halve(self._random_starts.draw(self._settings.confirming_starts), 1)
        return other if other.log_likelihood > least else None

    def _halve(self, starts: Sequence[Start], n_best: int) -> list[Run[EmFit]]:
        """Return the best runs from a group of starts, by successive halving."""
        settings, account = self._settings, self.account
        group = FewRowsFirst(self._first_em, self._em, 1 / self._weight_of_few)
        runs = group.begin(starts, settings.first_iterations, self._budget.deadline)
        for run in runs:
            run.start += len(account.starts)
        rounds = [
            Round(max(n_best, round(share * len(runs))), n_iter) for share, n_iter in settings.halving_rounds
        ]

        def advance(field: Sequence[Run[EmFit]], n_iter: int) -> None:
            group.advance(field, 0 if self.over() else n_iter)

        field = successive_halving(runs, rounds, advance)
        self._random_starts.learn(runs, field[: round(settings.good_share * len(runs))])
        best = field[:n_best]
        account.note_starts(runs, best)
        return best
