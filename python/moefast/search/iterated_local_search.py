"""The climb: iterated local search from one run.

Lourenco, Martin and Stuetzle, "Iterated local search", in: Handbook of Metaheuristics, 2003. The local search is
EM; a round perturbs the local optimum in several ways (:mod:`moefast.search.moves`, among them split and merge),
successive halving picks the best of the new runs, and it is accepted where it is better.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moefast.em.fit import EmFit
from moefast.em.problem import EmProblem
from moefast.search.account import Account, Climb
from moefast.search.budget import Budget
from moefast.search.learnt_choice import LearntChoice
from moefast.search.local_optimum import LocalOptimum
from moefast.search.moves import CROSSING, MOVES
from moefast.search.optima import Optimum
from moefast.search.run import Run
from moefast.search.settings import SearchSettings
from moefast.search.short_runs import ShortRuns
from moefast.search.starts import Start
from moefast.search.successive_halving import Round, successive_halving

__all__ = ["IteratedLocalSearch"]


class IteratedLocalSearch:
    """Climbs from local optimum to local optimum by moves.

    Parameters
    ----------
    problem : EmProblem
    em : ShortRuns
        On this problem.
    account : Account
        Is told of each optimum.
    moves : LearntChoice
        Which moves to try, and by which detours.
    rng : numpy Generator
    budget : Budget
        Is told of what moves run, and asked before every round whether it is used up.
    settings : SearchSettings
    """

    def __init__(
        self,
        problem: EmProblem,
        em: ShortRuns[EmFit],
        account: Account,
        moves: LearntChoice,
        rng: np.random.Generator,
        budget: Budget,
        settings: SearchSettings,
    ) -> None:
        self._problem, self._em, self._account, self._moves = problem, em, account, moves
        self._rng, self._budget, self._settings = rng, budget, settings
        self._others: list[LocalOptimum] = []

    def climb(self, run: Run[EmFit], patience: int | None = None) -> Run[EmFit]:
        """Try rounds of moves until so many in a row have brought nothing, and return where that led."""
        if patience is None:
            hopeless = self._account.climbs and not self._moves.any_gained()
            patience = self._settings.short_patience if hopeless else self._settings.patience
        n_moves, here = 0, self._arrived(run, patience)
        optimum: LocalOptimum | None = None
        while here.in_vain < patience and not self._budget.used_up():
            optimum = optimum or self._optimum(run)
            better = self._better(run, optimum)
            n_moves += self._settings.moves_per_round
            if better is None:
                here.in_vain += 1
                continue
            run, here, optimum = better, self._arrived(better, patience), None
            self._account.note(run)
        self._account.climbs.append(Climb(run, n_moves))
        return run

    def _arrived(self, run: Run[EmFit], patience: int) -> Optimum:
        """Return where a run has come to; whoever comes to the best optimum so far tries one round from it, too.

        Where all climbs end at one optimum, further starts lead there again, and what is better has to be found
        by moves from it: those of the first climb may all have been in vain by chance.
        """
        account = self._account
        here = account.optima.of(run)
        if here.in_vain >= patience and (account.best is None or account.equal(run, account.best)):
            here.in_vain = patience - 1
        return here

    def _better(self, run: Run[EmFit], optimum: LocalOptimum) -> Run[EmFit] | None:
        """Return where the best of a round of moves leads, None when that is no gain."""
        drawn = self._moves.draw(self._settings.moves_per_round, self._rng, "" if optimum.others else CROSSING)
        runs, best = self.race(run, [self._start(optimum, move, detour) for move, detour in drawn])
        for choice, tried in zip(drawn, runs, strict=True):
            self._moves.note(choice, tried is best)
        if best is not None:
            best.start = run.start
        return best

    def race(self, run: Run[EmFit], starts: Sequence[Start]) -> tuple[list[Run[EmFit]], Run[EmFit] | None]:
        """Return the runs from the starts, and the best of them where it gains on the run given."""
        settings = self._settings
        short, medium, long = settings.move_iterations
        same = self._account.optima.same
        to_beat = None if run.to_beat is None else run.to_beat + same  # runs on their way back are beaten, too

        def advance(runs: Sequence[Run[EmFit]], n_iter: int) -> None:
            self._em.advance(runs, n_iter, to_beat)

        runs = self._em.begin(starts, short, to_beat=to_beat)
        rounds = (Round(settings.moves_kept, medium), Round(1, long))
        hopeful = [tried for tried in runs if tried.fit.status != "beaten"]
        best = successive_halving(hopeful, rounds, advance)[0] if hopeful else None
        if best is not None:
            gain = best.log_likelihood - run.log_likelihood
            if best.health > run.health or (best.health == run.health and gain <= same):
                best = None
        return runs, best

    def _optimum(self, run: Run[EmFit]) -> LocalOptimum:
        mixture = run.fit.mixture
        crosses = mixture.n_experts >= self._settings.crossing_experts
        others = self._account.others(run) if crosses else []
        known = {id(other.mixture): other for other in self._others}  # with what has been made for crossings
        self._others = [known.get(id(other)) or LocalOptimum(self._problem, other) for other in others]
        return LocalOptimum(self._problem, mixture, self._budget.charge, self._others)

    def _start(self, optimum: LocalOptimum, move: str, detour: str) -> Start:
        return Start(move, lambda: MOVES[move](optimum, self._rng), detour)
