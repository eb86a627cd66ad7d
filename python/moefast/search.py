"""The race of starts: short runs from all, longer ones from the best, the winner to the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tqdm import tqdm

from moefast.em import EmFit, EmProblem
from moefast.starts import Start

__all__ = ["FitReport", "StartReport", "race"]

# (iterations, runs kept after them); the best of the last ones goes on to the end.
_STAGES = ((20, 4), (100, 2))


@dataclass(frozen=True)
class StartReport:
    """What became of one start.

    Attributes
    ----------
    kind : str
        "spectral", "random assignment", ...
    log_likelihood : float
        When it ended or was dropped, in the units of the data.
    n_iter : int
    status : str
        "converged", "iteration_limit" (dropped or cut) or "degenerate".
    collapsed : tuple of int
        Experts that had collapsed.
    """

    kind: str
    log_likelihood: float
    n_iter: int
    status: str
    collapsed: tuple[int, ...]


@dataclass(frozen=True)
class FitReport:
    """How a fit came about.

    Attributes
    ----------
    starts : tuple of StartReport
    chosen : int
        Index of the start that won.
    out_of_time : bool
        `time_budget` ended the race early; the result then depends on the machine's speed.
    collapsed : tuple of int
        Experts of the result that collapsed, in the result's order. Empty for an honest fit.
    """

    starts: tuple[StartReport, ...]
    chosen: int
    out_of_time: bool = False
    collapsed: tuple[int, ...] = ()


class _Runner:
    """A start on its way."""

    def __init__(self, problem: EmProblem, start: Start, n_iter: int) -> None:
        self.problem, self.start = problem, start
        self.fit = start.run(n_iter)
        self.n_iter = self.fit.n_iter

    def advance(self, target: int) -> None:
        """Go on until `target` iterations are done or the run has ended."""
        if self.fit.status == "iteration_limit" and self.n_iter < target:
            self.fit = self.problem.run(self.fit.mixture, max_iter=target - self.n_iter)
            self.n_iter += self.fit.n_iter

    @property
    def honest(self) -> bool:
        return not self.fit.collapsed and self.fit.status != "degenerate"

    def rank(self) -> tuple[bool, bool, float]:
        """Sort key: healthy before degenerate, honest before collapsed, then by likelihood."""
        return (self.fit.status == "degenerate", bool(self.fit.collapsed), -self.fit.log_likelihood)

    def report(self) -> StartReport:
        fit = self.problem.to_units(self.fit)
        return StartReport(self.start.kind, fit.log_likelihood, self.n_iter, fit.status, fit.collapsed)


def race(
    problem: EmProblem, starts: Sequence[Start], *, time_budget: float | None = None, verbose: int = 0
) -> tuple[EmFit, FitReport]:
    """Run all starts for a few iterations, drop the worse ones by and by, and finish the best.

    A winner that ends up collapsed is set aside as long as another of the last stage stays honest.

    Parameters
    ----------
    problem : EmProblem
    starts : sequence of Start
        At least one.
    time_budget : float, optional
        Seconds after which no further start is begun.
    verbose : int
        1 shows a progress bar on standard error.

    Returns
    -------
    fit : EmFit
        In standard units; `n_iter` counts the winner's iterations from its start.
    report : FitReport
    """
    deadline = None if time_budget is None else time.monotonic() + time_budget
    limit = problem.options.max_iter
    stages = _STAGES if len(starts) > 1 else ()
    first = min(limit, stages[0][0]) if stages else limit
    runners: list[_Runner] = []
    with tqdm(total=len(starts), desc="fitting", unit="run", disable=not verbose, leave=False) as bar:
        for start in starts:
            if runners and deadline is not None and time.monotonic() >= deadline:
                break
            runners.append(_Runner(problem, start, first))
            bar.update()
        field = list(runners)
        for i, (_, keep) in enumerate(stages):
            field = sorted(field, key=_Runner.rank)[:keep]
            last = i == len(stages) - 1
            bar.total = bar.n + len(field)
            for runner in field:
                runner.advance(limit if last else min(limit, stages[i + 1][0]))
                bar.update()
                if last and runner.honest:
                    break
    winner = min(field, key=_Runner.rank)
    report = FitReport(
        starts=tuple(runner.report() for runner in runners),
        chosen=runners.index(winner),
        out_of_time=len(runners) < len(starts),
        collapsed=winner.fit.collapsed,
    )
    return replace(winner.fit, n_iter=winner.n_iter), report
