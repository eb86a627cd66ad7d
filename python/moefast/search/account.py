"""The account of a search: the best so far, which optima were seen and how often, and the report of it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from moefast.em.fit import EmFit
from moefast.em.problem import EmProblem
from moefast.mixture import Mixture
from moefast.search.budget import Budget
from moefast.search.expected_gain import chance_of_another, gain_of_second_half
from moefast.search.move_choice import MoveChoice
from moefast.search.optima import Optima
from moefast.search.report import ClimbReport, FitReport, StartReport
from moefast.search.run import Run
from moefast.search.settings import SearchSettings

__all__ = ["Account", "Climb"]

_MOST_OTHERS = 5


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
    independent : list of Run
        The ends of climbs that do not depend on each other: of those that begin, in one group of starts, at the
        same optimum only the first counts.
    moves : MoveChoice
    best : Run or None
    progress : list of (int, float)
        EM iterations spent, and the best log-likelihood then.
    optima : Optima
    """

    def __init__(self, problem: EmProblem, budget: Budget, settings: SearchSettings) -> None:
        self._problem, self._budget = problem, budget
        self.optima = Optima(settings.same_optimum * problem.total_weight)
        self.starts: list[StartReport] = []
        self.best_starts: list[Run[EmFit]] = []
        self.climbs: list[Climb] = []
        self.independent: list[Run[EmFit]] = []
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
        return self.optima.equal(one, other)

    def expected_gain(self) -> float:
        """Return what the second half of the independent climbs, of two at least, was worth.

        See :mod:`moefast.search.expected_gain`. A climb that ended at a collapsed optimum, where others did not,
        counts as the worst of these.
        """
        ends = self.independent
        best = min(run.health for run in ends)
        worst = min(run.log_likelihood for run in ends if run.health == best)
        return gain_of_second_half([run.log_likelihood if run.health == best else worst for run in ends])

    def distinct(self, runs: Sequence[Run[EmFit]]) -> list[Run[EmFit]]:
        """Return copies of the optima among the runs, the best first, no two of them the same."""
        found: list[Run[EmFit]] = []
        for run in sorted(runs, key=Run.rank):
            if not any(self.equal(run, other) for other in found):
                found.append(replace(run))
        return found

    def others(self, run: Run[EmFit]) -> list[Mixture]:
        """Return the best other optima that climbs have ended at, or else that starts have led to; a few."""
        for runs in ([climb.end for climb in self.climbs], self.best_starts):
            found = [other.fit.mixture for other in self.distinct(runs) if not self.equal(other, run)]
            if found:
                return found[:_MOST_OTHERS]
        return []

    def candidates(self) -> list[Run[EmFit]]:
        """Return copies of all that may turn out best on all rows: the best, ends of climbs, the best starts."""
        assert self.best is not None
        return self.distinct([self.best, *(climb.end for climb in self.climbs), *self.best_starts])

    def report(self, all_rows: EmProblem, result: Run[EmFit], cpu_seconds: float) -> FitReport:
        """Return the report in the units of the data, scaled up from the rows searched on to all."""
        scale = all_rows.total_weight / self._problem.total_weight
        shift = all_rows.total_weight * all_rows.standardisation.log_y_unit

        def in_units(log_likelihood: float) -> float:
            return float(scale * log_likelihood - shift)

        ends = self.independent
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
            n_independent=len(ends),
            n_at_best=sum(self.best is not None and self.equal(run, self.best) for run in ends),
            n_optima=len(self.distinct(ends)),
            chance_of_another=chance_of_another([id(self.optima.of(run)) for run in ends]) if ends else None,
            expected_gain=float(scale * self.expected_gain()) if len(ends) > 1 else None,
            n_rows=self._problem.n_rows if self._problem.n_rows < all_rows.n_rows else 0,
            n_iter_total=self._budget.spent,
            cpu_seconds=cpu_seconds,
        )
