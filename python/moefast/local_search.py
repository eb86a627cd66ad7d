"""The search for the best optimum: races of starts of many kinds, then moves out of what they reached.

A race runs starts of all kinds for a few iterations, some of them by detours (:mod:`moefast.detours`), and
halves the field by likelihood. From each winner a climb goes on: batches of moves, short EM runs from all of
them, longer ones from the best, and the best of those takes the climb's place when it is better. A climb ends
when moves no longer help; the next begins at another winner, or at that of a new race. So data on which no move
helps are searched by fresh starts.

All this under a stronger ridge of the gates than the one asked for; the best few optima are then released to the
latter. The ridge takes the needles off the likelihood: gates so steep that they cut single rows off.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from tqdm import tqdm

from moefast.detours import DIRECT, start_detour, take_detours
from moefast.em import EmFit, EmProblem, EmStart, HardAssignment
from moefast.fit_report import ClimbReport, FitReport, StartReport
from moefast.moves import MOVES, Basin, MoveChoice
from moefast.rows import row_phase
from moefast.start_kinds import KINDS
from moefast.starts import Start
from moefast.threads import resolve_threads

__all__ = ["search"]

Rank: TypeAlias = tuple[bool, bool, float]

# Ridge of the gates while searching. With the final one in its place the search ends lower (concrete, 3 experts,
# shared noise: 5 of 16 seeds at the best for 15 of 16) and 5 experts lose 14 nats a fold held out, 17 (12) below
# R's flexmix in place of 2 (5); 1e-3 hides good optima.
_SEARCH_GATE_ALPHA = 1e-4
# Rows that a search looks at; the best few of what it finds then compete on all.
_SEARCH_ROWS = 5000
_FINALISTS, _FINALIST_ITERATIONS = 3, 60
# Where they all collapse there, so many honest ones further down have their turn.
_SPARE = 6
# The winner goes on to where the gradient is no larger than this, for so many iterations at most: a small gain
# alone is also what a run makes on a saddle, and one fit in fifty still gained a unit on the way.
_GRADIENT, _FINAL_ITERATIONS = 1e-6, 300
# Iterations before a race's first cut, then (share of the field kept, iterations).
_SPRINT = 25
_HEATS = ((0.4, 40), (0.17, 100))
# Starts of the first race, which may show that the data are easy; of the second; of later ones.
_SCOUTS, _FIRST_RACE, _LATER_RACE = 8, 24, 15
# Winners of a race that climb.
_CLIMBERS, _LATER_CLIMBERS = 5, 2
# Data are easy when so many of the first starts agree, and so many rounds of moves and further starts find nothing
# better.
_AGREEMENT, _SHORT_PATIENCE, _RIVALS = 5, 2, 12
# A round of moves: how many, iterations of all, of the best three, of the best one.
_BATCH, _KEPT = 8, 3
_SHORT, _MEDIUM, _LONG = 25, 50, 100
# Rounds without gain that end a climb, and climbs to the best optimum that end the search; twice as many where no
# move has helped: then they only say what the race said.
_PATIENCE = 5
_ENOUGH_HITS = 4
# EM iterations of a search: _WORK k (k - 1) with at most _MOST_WORK on 1000 rows or more; above 5 experts fewer,
# since the cost of an iteration grows with the square of k.
_WORK, _MOST_WORK = 2300, 46_000
# Optima that differ by less than this for each unit of weight are the same.
_SAME = 1e-4


@dataclass
class _Run:
    """An EM run on its way from a start or from a move; its iterations count from there."""

    kind: str
    detour: str
    fit: EmFit
    n_iter: int
    start: int = -1

    @property
    def health(self) -> tuple[bool, bool]:
        return self.fit.status == "degenerate", bool(self.fit.collapsed)

    def rank(self) -> Rank:
        """Sort key: healthy before degenerate, honest before collapsed, then by likelihood."""
        return (*self.health, -self.fit.log_likelihood)


def search(
    problem: EmProblem,
    n_experts: int,
    rng: np.random.Generator,
    *,
    given: Sequence[Start] = (),
    time_budget: float | None = None,
    verbose: int = 0,
) -> tuple[EmFit, FitReport]:
    """Look for the best optimum.

    Parameters
    ----------
    problem : EmProblem
        With linear experts.
    n_experts : int
        k, at least 2.
    rng : numpy Generator
    given : sequence of Start
        Further starts for the first race.
    time_budget : float, optional
        Seconds to search for. Without it the work depends on k and the number of rows, and the search ends early
        when independent climbs have agreed on the best optimum.
    verbose : int
        1 shows a progress bar on standard error.

    Returns
    -------
    fit : EmFit
        In standard units; run until EM settles.
    report : FitReport
    """
    cpu = time.process_time()
    rows = problem
    wanted = _SEARCH_ROWS / problem.n_distinct
    if wanted < 1:
        rows = problem.subset(row_phase(problem, rng) < wanted)
        if rows.n_rows < wanted * problem.n_rows / 2:  # rows so near each other that they have the same phase
            rows = problem
    rows = rows.with_gate_alpha(max(rows.options.gate_ridge, _SEARCH_GATE_ALPHA))
    bar: tqdm[Any] = tqdm(desc="searching", unit="it", disable=not verbose, leave=False)
    with bar:
        hunt = _Search(rows, n_experts, rng, time_budget, bar)
        hunt.run(given)
        winner, fit = _certify(problem, hunt)
    return fit, hunt.report(problem, winner, fit, time.process_time() - cpu)


def _certify(problem: EmProblem, hunt: _Search) -> tuple[_Run, EmFit]:
    """Run the best of what was found on all rows, and the winner until it settles and its gradient vanishes.

    One that ends up collapsed is set aside as long as another stays honest.
    """
    limit = problem.options.max_iter
    found, ended = hunt.candidates(), list[_Run]()
    spare = [run for run in found[_FINALISTS:] if not any(run.health)]
    found = [*found[:_FINALISTS], *spare[:_SPARE]]
    for first in range(0, len(found), _FINALISTS):
        field = found[first : first + _FINALISTS]
        for run in field:
            hunt.finish(problem, run, min(limit, run.n_iter + _FINALIST_ITERATIONS))
        for run in sorted(field, key=_Run.rank):
            if run.fit.status == "iteration_limit":
                hunt.finish(problem, run, limit)
            hunt.finish(problem, run, min(limit, run.n_iter + _FINAL_ITERATIONS), _GRADIENT)
            ended.append(run)
            if not any(run.health):
                break
        if not any(ended[-1].health):
            break
    winner = min(ended, key=_Run.rank)
    return winner, replace(winner.fit, n_iter=winner.n_iter)


class _Search:
    """The state of a search."""

    def __init__(
        self, problem: EmProblem, k: int, rng: np.random.Generator, time_budget: float | None, bar: tqdm[Any]
    ) -> None:
        self.problem, self.k, self.rng, self.bar = problem, k, rng, bar
        self.deadline = None if time_budget is None else time.monotonic() + time_budget
        self.budget = round(min(_WORK * k * (k - 1), _MOST_WORK * min(1.0, 5 / k)) * _size(problem.n_distinct))
        self.same = _SAME * problem.total_weight
        self.spent = 0
        self.starts: list[_Run] = []
        self.start_reports: list[StartReport] = []
        self.climbs: list[tuple[_Run, int]] = []
        self.winners: list[_Run] = []
        self.moves = MoveChoice()
        self.best: _Run | None = None
        self.progress: list[tuple[int, float]] = []
        self.kind_of_next = int(rng.integers(len(KINDS)))

    # ---- the plan ---------------------------------------------------------------------------------------

    def run(self, given: Sequence[Start]) -> None:
        """Race and climb until the budget is spent or independent climbs agree."""
        field = self.race(self.scouts(given), _AGREEMENT)
        easy = len(field) >= _AGREEMENT and all(self.equal(run, field[0]) for run in field)
        if easy and self.deadline is None:
            before = field[0].fit.log_likelihood
            climbed = self.climb(field[0], patience=_SHORT_PATIENCE)
            if climbed.fit.log_likelihood <= before + self.same:
                (rival,) = self.race(self.draw(_RIVALS), 1)
                if rival.fit.log_likelihood <= before + self.same:
                    self.climbs += [(run, 0) for run in field[1:]]
                    return
                climbed = rival
            field = [climbed]
        if not self.over():
            field += self.race(self.draw(_FIRST_RACE), _CLIMBERS)
        field = sorted(field, key=_Run.rank)[:_CLIMBERS]
        while not self.over():
            for run in field:
                self.climb(run)
                if self.over():
                    break
            else:
                field = self.race(self.draw(_LATER_RACE), _LATER_CLIMBERS)
        if not self.climbs:
            self.climbs = [(run, 0) for run in field]

    def over(self) -> bool:
        """Whether the budget is spent, or nothing better is to be expected."""
        if self.deadline is not None:
            return time.monotonic() >= self.deadline
        return self.spent >= self.budget or self.hits() >= _ENOUGH_HITS * (1 if self.moves_help() else 2)

    def moves_help(self) -> bool:
        """Whether any move has helped so far."""
        return any(self.moves.gained.values())

    def hits(self) -> int:
        """Return how many climbs ended at the best optimum."""
        return sum(self.best is not None and self.equal(run, self.best) for run, _ in self.climbs)

    def equal(self, one: _Run, other: _Run) -> bool:
        """Whether two runs have come to the same optimum."""
        gap = abs(one.fit.log_likelihood - other.fit.log_likelihood)
        return one.health == other.health and gap <= self.same

    # ---- races ------------------------------------------------------------------------------------------

    def scouts(self, given: Sequence[Start]) -> list[tuple[Start, str]]:
        """Return the starts of the first race."""
        return [(start, DIRECT) for start in given] + self.draw(_SCOUTS)

    def draw(self, n: int) -> list[tuple[Start, str]]:
        """Return random starts and their detours, both in turn."""
        kinds = list(KINDS)
        drawn = []
        for _ in range(n):
            turn, at = divmod(self.kind_of_next, len(kinds))
            drawn.append((self._start(kinds[at]), start_detour(turn + at)))
            self.kind_of_next += 1
        return drawn

    def _start(self, kind: str) -> Start:
        return Start(kind, lambda: HardAssignment(KINDS[kind](self.problem, self.k, self.rng), self.k))

    def race(self, starts: Sequence[tuple[Start, str]], n_winners: int) -> list[_Run]:
        """Run all for a few iterations, drop the worse ones by and by, and return the winners."""
        # With a clock to look at, short batches.
        together = len(starts) if self.deadline is None else resolve_threads(self.problem.options.n_threads)
        runners: list[_Run] = []
        for first in range(0, len(starts), together):
            if runners and self.over():
                break
            batch = starts[first : first + together]
            begins = [(start.kind, detour, start.make()) for start, detour in batch]
            runners += self.sprint(begins, _SPRINT)
        first_index = len(self.starts)
        for i, run in enumerate(runners):
            run.start = first_index + i
        field = sorted(runners, key=_Run.rank)
        for share, n_iter in _HEATS:
            field = field[: max(n_winners, round(share * len(runners)))]
            if not self.over():
                self.advance(field, n_iter)
            field.sort(key=_Run.rank)
        self.starts += runners
        self.start_reports += [self._start_report(run) for run in runners]
        field = field[:n_winners]
        self.winners += [replace(run) for run in field]
        for run in field:
            self.note(run)
        return [replace(run) for run in field]

    def sprint(self, begins: Sequence[tuple[str, str, EmStart]], n_iter: int) -> list[_Run]:
        """Short runs from all, after their detours."""
        kinds, detours, starts = zip(*begins, strict=True)
        fits = self.run_em(
            self.problem, take_detours(self.problem, starts, detours, self.run_em, self.rng), n_iter
        )
        ends = zip(kinds, detours, fits, strict=True)
        return [_Run(kind, detour, fit, fit.n_iter) for kind, detour, fit in ends]

    def advance(self, runs: Sequence[_Run], n_iter: int, to_beat: float | None = None) -> None:
        """Go on for `n_iter` iterations with those that have not ended."""
        going = [run for run in runs if run.fit.status == "iteration_limit"]
        n_iter = min([n_iter, *(self.problem.options.max_iter - run.n_iter for run in going)])
        if n_iter < 1:
            return
        fits = self.run_em(self.problem, [run.fit.mixture for run in going], n_iter, to_beat=to_beat)
        for run, fit in zip(going, fits, strict=True):
            run.fit, run.n_iter = fit, run.n_iter + fit.n_iter

    def run_em(
        self,
        problem: EmProblem,
        starts: Sequence[EmStart],
        n_iter: int,
        *,
        to_beat: float | None = None,
        inverse_temperature: float = 1.0,
    ) -> list[EmFit]:
        """Run EM and count the iterations, the pass at the start as one."""
        if not starts:
            return []
        fits = problem.run_many(
            starts,
            max_iter=min(n_iter, problem.options.max_iter),
            to_beat=to_beat,
            inverse_temperature=inverse_temperature,
        )
        spent = sum(fit.n_iter + 1 for fit in fits)
        self.spent += spent
        self.bar.update(spent)
        return fits

    def finish(self, problem: EmProblem, run: _Run, limit: int, gradient_tol: float = np.inf) -> None:
        """Run on until EM settles or the run has made so many iterations; at least evaluate it on these rows.

        One that has settled by `tol` stays settled where the gradient is not met: the report tells the gradient.
        """
        settled = run.fit.status == "converged" and gradient_tol < np.inf
        (fit,) = problem.run_many(
            [run.fit.mixture], max_iter=max(0, limit - run.n_iter), gradient_tol=gradient_tol
        )
        self.spent += fit.n_iter + 1
        run.fit, run.n_iter = fit, run.n_iter + fit.n_iter
        if fit.status == "iteration_limit" and (settled or fit.gradient <= _GRADIENT):
            run.fit = replace(fit, status="converged")

    # ---- moves ------------------------------------------------------------------------------------------

    def climb(self, run: _Run, patience: int | None = None) -> _Run:
        """Try moves from a run's optimum until so many rounds in a row have brought nothing.

        Where no climb has brought anything so far, fresh starts may: the next climbs are short.
        """
        if patience is None:
            patience = _SHORT_PATIENCE if self.climbs and not self.moves_help() else _PATIENCE
        failures = n_moves = 0
        basin = Basin(self.problem, run.fit.mixture)
        while failures < patience and not self.over():
            better = self.try_moves(run, basin)
            n_moves += _BATCH
            if better is None:
                failures += 1
                continue
            run, failures = better, 0
            basin = Basin(self.problem, run.fit.mixture)
            self.note(run)
        self.climbs.append((run, n_moves))
        return run

    def try_moves(self, run: _Run, basin: Basin) -> _Run | None:
        """Return where the best of a batch of moves leads, None when that is no gain."""
        drawn = self.moves.draw(_BATCH, self.rng)
        begins = [(move, detour, MOVES[move](basin, self.rng)) for move, detour in drawn]
        field = sorted(self.sprint(begins, _SHORT), key=_Run.rank)[:_KEPT]
        to_beat = float(run.fit.trace[-1]) if not any(run.health) else None
        self.advance(field, _MEDIUM, to_beat)
        best = min(field, key=_Run.rank)
        self.advance([best], _LONG, to_beat)
        gain = best.fit.log_likelihood - run.fit.log_likelihood
        if best.health > run.health or (best.health == run.health and not gain > self.same):
            return None
        self.moves.gained[best.kind, best.detour] += 1
        best.start = run.start
        return best

    # ---- the account ------------------------------------------------------------------------------------

    def note(self, run: _Run) -> None:
        """Keep a run when it is the best so far."""
        if self.best is None or run.rank() < self.best.rank():
            self.best = replace(run)
            self.progress.append((self.spent, run.fit.log_likelihood))

    def distinct(self, runs: Sequence[_Run]) -> list[_Run]:
        """Return the optima among the runs, the best first, no two of them the same."""
        found: list[_Run] = []
        for run in sorted(runs, key=_Run.rank):
            if not any(self.equal(run, other) for other in found):
                found.append(replace(run))
        return found

    def candidates(self) -> list[_Run]:
        """Return all that may turn out best on all rows: the best, what climbs came to, winners of races."""
        assert self.best is not None
        return self.distinct([self.best, *(run for run, _ in self.climbs), *self.winners])

    def _start_report(self, run: _Run) -> StartReport:
        return StartReport(
            run.kind + run.detour, run.fit.log_likelihood, run.n_iter, run.fit.status, run.fit.collapsed
        )

    def report(self, problem: EmProblem, winner: _Run, fit: EmFit, cpu: float) -> FitReport:
        """Return the account of the search in the units of the data, scaled up to all rows."""
        scale = problem.total_weight / self.problem.total_weight
        shift = problem.total_weight * np.log(problem.standardisation.y_scale)

        def in_units(log_likelihood: float) -> float:
            return float(scale * log_likelihood - shift)

        return FitReport(
            starts=tuple(replace(s, log_likelihood=in_units(s.log_likelihood)) for s in self.start_reports),
            chosen=winner.start,
            out_of_time=self.deadline is not None,
            collapsed=fit.collapsed,
            moves=self.moves.reports(),
            climbs=tuple(
                ClimbReport(run.start, in_units(run.fit.log_likelihood), n, run.fit.collapsed)
                for run, n in self.climbs
            ),
            progress=tuple((n, in_units(value)) for n, value in self.progress),
            n_optima=len(self.distinct([run for run, _ in self.climbs])),
            n_hits=self.hits(),
            n_rows=self.problem.n_rows if self.problem.n_rows < problem.n_rows else 0,
            n_iter_total=self.spent,
            cpu_seconds=cpu,
        )


def _size(n_distinct: int) -> float:
    """Relative number of iterations: fewer rows have fewer optima."""
    return float(np.sqrt(min(1.0, n_distinct / 1000)))
