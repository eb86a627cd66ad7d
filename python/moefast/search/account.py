"""The account of a search: the best so far, which optima were seen and how often, and the report of it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from moefast.em.fit import EmFit
from moefast.em.problem import EmProblem
from moefast.search.budget import Budget
from moefast.search.move_choice import MoveChoice
from moefast.search.report import ClimbReport, FitReport, StartReport
from moefast.search.run import Run
from moefast.search.settings import SearchSettings

__all__ = ["Account", "Climb"]


@dataclass(frozen=True)
class Climb:
    """Where the moves from one start have led, and how many were tried."""

    end: Run[EmFit]
    n_moves: int


class Account:
    """What a search has found so far.

    Parameters
    ----------
    problem : EmProblem
        The rows that are searched on.
    budget : Budget
    settings : SearchSettings

    Attributes
    ----------
    starts : list of StartReport
    best_starts : list of Run
        The best of each group of starts, as successive halving left them.
    climbs : list of Climb
    moves : MoveChoice
    best : Run or None
    progress : list of (int, float)
        EM iterations spent, and the best log-likelihood then.
    same : float
        Log-likelihoods that differ by no more than this are those of one optimum.
    """

    def __init__(self, problem: EmProblem, budget: Budget, settings: SearchSettings) -> None:
        self._problem, self._budget = problem, budget
        self.same = settings.same_optimum * problem.total_weight
        self.starts: list[StartReport] = []
        self.best_starts: list[Run[EmFit]] = []
        self.climbs: list[Climb] = []
        self.moves = MoveChoice(settings)
        self.best: Run[EmFit] | None = None
        self.progress: list[tuple[int, float]] = []

    def note_starts(self, runs: Sequence[Run[EmFit]], best: Sequence[Run[EmFit]]) -> None:
        """Keep how all starts of a group went, and copies of the best of them."""
        self.starts += [StartReport.of(run, run.log_likelihood) for run in runs]
        self.best_starts += [replace(run) for run in best]
        for run in best:
            self.note(run)

    def note(self, run: Run[EmFit]) -> None:
        """Keep a copy of a run when it is the best so far."""
        if self.best is None or run.rank() < self.best.rank():
            self.best = replace(run)
            self.progress.append((self._budget.spent, run.log_likelihood))

    def equal(self, one: Run[EmFit], other: Run[EmFit]) -> bool:
        """Whether two runs have come to the same optimum."""
        return one.health == other.health and abs(one.log_likelihood - other.log_likelihood) <= self.same

    def n_at_best(self) -> int:
        """Return how many climbs ended at the best optimum."""
        return sum(self.best is not None and self.equal(climb.end, self.best) for climb in self.climbs)

    def distinct(self, runs: Sequence[Run[EmFit]]) -> list[Run[EmFit]]:
        """Return copies of the optima among the runs, the best first, no two of them the same."""
        found: list[Run[EmFit]] = []
        for run in sorted(runs, key=Run.rank):
            if not any(self.equal(run, other) for other in found):
                found.append(replace(run))
        return found

    def candidates(self) -> list[Run[EmFit]]:
        """Return copies of all that may turn out best on all rows: the best, ends of climbs, the best starts."""
        assert self.best is not None
        return self.distinct([self.best, *(climb.end for climb in self.climbs), *self.best_starts])

    def report(self, all_rows: EmProblem, result: Run[EmFit], cpu_seconds: float) -> FitReport:
        """Return the report in the units of the data, scaled up from the rows searched on to all."""
        scale = all_rows.total_weight / self._problem.total_weight
        shift = all_rows.total_weight * np.log(all_rows.standardisation.y_scale)

        def in_units(log_likelihood: float) -> float:
            return float(scale * log_likelihood - shift)

        climbs = tuple(
            ClimbReport(end.start, in_units(end.log_likelihood), climb.n_moves, end.fit.collapsed)
            for climb in self.climbs
            for end in [climb.end]
        )
        return FitReport(
            starts=tuple(replace(s, log_likelihood=in_units(s.log_likelihood)) for s in self.starts),
            chosen=result.start,
            out_of_time=self._budget.deadline.is_set,
            collapsed=result.fit.collapsed,
            moves=self.moves.reports(),
            climbs=climbs,
            progress=tuple((n, in_units(value)) for n, value in self.progress),
            n_optima=len(self.distinct([climb.end for climb in self.climbs])),
            n_at_best=self.n_at_best(),
            n_rows=self._problem.n_rows if self._problem.n_rows < all_rows.n_rows else 0,
            n_iter_total=self._budget.spent,
            cpu_seconds=cpu_seconds,
        )
