"""Short-run EM: many runs of a few iterations each in place of few to the end.

Biernacki, Celeux and Govaert, Computational Statistics & Data Analysis 2003 (em-EM): what a few iterations from
many starts reach tells which start is worth the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol

from moefast.em.fit import FitResult
from moefast.em.options import EmOptions
from moefast.search.run import Fit, Run
from moefast.search.starts import Start

__all__ = ["Problem", "ShortRuns"]


class Problem(Protocol[Fit]):
    """What runs need of a problem: :class:`moefast.em.EmProblem`, or one of another model."""

    @property
    def options(self) -> EmOptions:
        """The settings of EM."""

    @property
    def n_rows(self) -> int:
        """The number of samples."""

    @property
    def constant_response(self) -> bool:
        """Whether y is constant."""

    def run_many(
        self, starts: Sequence[Any], *, max_iter: int | None = None, to_beat: float | None = None
    ) -> list[Fit]:
        """Run EM from what a :class:`moefast.search.starts.Start` makes, or from the mixture of a fit."""

    def to_units(self, fit: Fit) -> Fit:
        """Return a fit made in standard units in the units of the data."""


class ShortRuns(Generic[Fit]):
    """Runs of EM on one problem, some iterations at a time.

    Parameters
    ----------
    problem : Problem
    charge : callable, optional
        Is told of the fits of all runs, for the account of iterations.
    with_detours : callable, optional
        ``with_detours(made, detours)`` returns starts of runs that take these detours.
    """

    def __init__(
        self,
        problem: Problem[Fit],
        charge: Callable[[Sequence[FitResult]], object] | None = None,
        with_detours: Callable[[Sequence[Any], Sequence[str]], list[Any]] | None = None,
    ) -> None:
        self.problem = problem
        self._charge, self._with_detours = charge, with_detours

    def begin(
        self,
        starts: Sequence[Start],
        n_iter: int,
        cut: Callable[[], bool] | None = None,
        to_beat: float | None = None,
    ) -> list[Run[Fit]]:
        """Make the starts, take their detours and run so many iterations; `cut` ends the making early."""
        made: list[Any] = []
        for start in starts:
            if made and cut is not None and cut():
                break
            made.append(start.make())
        starts = starts[: len(made)]
        if self._with_detours is not None:
            made = self._with_detours(made, [start.detour for start in starts])
        fits = self._run(made, n_iter, to_beat)
        constant = self.problem.constant_response
        return [
            Run(start.kind, start.detour, fit, fit.n_iter, response_is_constant=constant)
            for start, fit in zip(starts, fits, strict=True)
        ]

    def advance(self, runs: Sequence[Run[Fit]], n_iter: int, to_beat: float | None = None) -> None:
        """Go on for `n_iter` iterations with those that were stopped by their number."""
        self._go_on([run for run in runs if run.fit.status == "iteration_limit"], n_iter, to_beat)

    def move(self, runs: Sequence[Run[Fit]], n_iter: int) -> None:
        """Take over runs on other rows and go on for `n_iter` iterations on these."""
        n_iter = max(0, min([n_iter, *(self.problem.options.max_iter - run.n_iter for run in runs)]))
        for run, fit in zip(runs, self._run([run.fit.mixture for run in runs], n_iter), strict=True):
            run.go_on(fit)

    def complete(self, run: Run[Fit]) -> None:
        """Go on until EM settles, also with a run that was given up as beaten."""
        if run.fit.status in ("iteration_limit", "beaten"):
            self._go_on([run], self.problem.options.max_iter, None)

    def _go_on(self, runs: Sequence[Run[Fit]], n_iter: int, to_beat: float | None) -> None:
        n_iter = min([n_iter, *(self.problem.options.max_iter - run.n_iter for run in runs)])
        if n_iter < 1:
            return
        fits = self._run([run.fit.mixture for run in runs], n_iter, to_beat)
        for run, fit in zip(runs, fits, strict=True):
            run.go_on(fit)

    def _run(self, starts: Sequence[Any], n_iter: int, to_beat: float | None = None) -> list[Fit]:
        if not starts:
            return []
        max_iter = min(n_iter, self.problem.options.max_iter)
        fits = self.problem.run_many(starts, max_iter=max_iter, to_beat=to_beat)
        if self._charge is not None:
            self._charge(fits)
        return fits
