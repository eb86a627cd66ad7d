"""The race of starts: short runs from all, longer ones from the best, the winner to the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

from tqdm import tqdm

from moefast.em import EmOptions, FitResult
from moefast.fit_report import FitReport, StartReport
from moefast.starts import Start
from moefast.threads import resolve_threads

__all__ = ["Problem", "race"]

Fit = TypeVar("Fit", bound=FitResult)

# (iterations, runs kept after them); the best of the last ones goes on to the end.
_STAGES = ((20, 4), (100, 2))
# Starts are made and run together as long as they have no more rows than this between them: an assignment
# takes 4 bytes a row.
_BATCH_ROWS = 2**24


class Problem(Protocol[Fit]):
    """What a race needs of a problem: :class:`moefast.em.EmProblem`, or one of another model."""

    @property
    def options(self) -> EmOptions:
        """The settings of EM."""

    @property
    def n_rows(self) -> int:
        """The number of samples."""

    def run_many(
        self, starts: Sequence[Any], *, max_iter: int | None = None, to_beat: float | None = None
    ) -> list[Fit]:
        """Run EM from what a :class:`moefast.starts.Start` makes, or from the mixture of a fit."""

    def to_units(self, fit: Fit) -> Fit:
        """Return a fit made in standard units in the units of the data."""


class _Runner(Generic[Fit]):
    """A start on its way."""

    def __init__(self, problem: Problem[Fit], start: Start, fit: Fit) -> None:
        self.problem, self.start, self.fit = problem, start, fit
        self.n_iter = fit.n_iter

    @property
    def unfinished(self) -> bool:
        return self.fit.status in ("iteration_limit", "beaten")

    @property
    def honest(self) -> bool:
        return not self.fit.collapsed and self.fit.status != "degenerate"

    def rank(self) -> tuple[bool, bool, float]:
        """Sort key: healthy before degenerate, honest before collapsed, then by likelihood."""
        return (self.fit.status == "degenerate", bool(self.fit.collapsed), -self.fit.log_likelihood)

    def report(self) -> StartReport:
        fit = self.problem.to_units(self.fit)
        return StartReport(self.start.kind, fit.log_likelihood, self.n_iter, fit.status, fit.collapsed)


def _advance(runners: Sequence[_Runner[Fit]], n_iter: int, to_beat: float | None = None) -> None:
    """Go on for `n_iter` iterations with those that have not ended."""
    if not runners or n_iter < 1:
        return
    fits = runners[0].problem.run_many([r.fit.mixture for r in runners], max_iter=n_iter, to_beat=to_beat)
    for runner, fit in zip(runners, fits, strict=True):
        runner.fit = fit
        runner.n_iter += fit.n_iter


def race(
    problem: Problem[Fit], starts: Sequence[Start], *, time_budget: float | None = None, verbose: int = 0
) -> tuple[Fit, FitReport]:
    """Run all starts for a few iterations, drop the worse ones by and by, and finish the best.

    A winner that ends up collapsed is set aside as long as another of the last stage stays honest.

    Parameters
    ----------
    problem : EmProblem or HierarchicalProblem
    starts : sequence of Start
        At least one.
    time_budget : float, optional
        Seconds after which no further start is begun.
    verbose : int
        1 shows a progress bar on standard error.

    Returns
    -------
    fit : EmFit or HierarchicalFit
        In standard units; `n_iter` counts the winner's iterations from its start.
    report : FitReport
    """
    cpu = time.process_time()
    deadline = None if time_budget is None else time.monotonic() + time_budget
    limit = problem.options.max_iter
    stages = _STAGES if len(starts) > 1 else ()
    first = min(limit, stages[0][0]) if stages else limit
    together = max(1, _BATCH_ROWS // problem.n_rows)
    if deadline is not None:  # short batches, so that the clock is looked at often
        together = min(together, resolve_threads(problem.options.n_threads))
    runners: list[_Runner[Fit]] = []
    with tqdm(total=len(starts), desc="fitting", unit="run", disable=not verbose, leave=False) as bar:

        def out_of_time() -> bool:
            return deadline is not None and time.monotonic() >= deadline

        while len(runners) < len(starts) and not (runners and out_of_time()):
            made: list[tuple[Start, object]] = []
            for start in starts[len(runners) : len(runners) + together]:
                if made and out_of_time():
                    break
                made.append((start, start.make()))
            fits = problem.run_many([begin for _, begin in made], max_iter=first)
            runners += [_Runner(problem, start, fit) for (start, _), fit in zip(made, fits, strict=True)]
            bar.update(len(fits))
        field = list(runners)
        for i, (done, keep) in enumerate(stages):
            field = sorted(field, key=_Runner.rank)[:keep]
            bar.total = bar.n + len(field)
            if i < len(stages) - 1:
                # Who will stay below what the best has already need not be run any longer now.
                to_beat = float(field[0].fit.trace[-1]) if field[0].honest else None
                _advance([r for r in field if r.unfinished], min(limit, stages[i + 1][0]) - done, to_beat)
                bar.update(len(field))
                continue
            for runner in field:
                if runner.unfinished:
                    _advance([runner], limit - runner.n_iter)
                bar.update()
                if runner.honest:
                    break
    winner = min(field, key=_Runner.rank)
    report = FitReport(
        starts=tuple(runner.report() for runner in runners),
        chosen=runners.index(winner),
        out_of_time=len(runners) < len(starts),
        collapsed=winner.fit.collapsed,
        n_iter_total=sum(runner.n_iter for runner in runners),
        cpu_seconds=time.process_time() - cpu,
    )
    return replace(winner.fit, n_iter=winner.n_iter), report
