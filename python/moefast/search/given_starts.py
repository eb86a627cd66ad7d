"""The best of given starts, without moves: successive halving, and the best of the last round to the end.

For a number of starts or one kind of them that the user asks for, for links and for hierarchical mixtures.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from moefast.em.fit import EmFit
from moefast.em.problem import EmProblem
from moefast.progress import progress_bar
from moefast.search.budget import Budget, Deadline
from moefast.search.certification import Certification
from moefast.search.report import FitReport, StartReport
from moefast.search.run import Fit, Run
from moefast.search.settings import SearchSettings
from moefast.search.short_runs import Problem, ShortRuns
from moefast.search.starts import Start
from moefast.search.successive_halving import Round, first_runs, successive_halving

__all__ = ["best_of_starts", "optimum_of_starts"]


def best_of_starts(
    problem: Problem[Fit],
    starts: Sequence[Start],
    *,
    deadline: Deadline | None = None,
    settings: SearchSettings | None = None,
    verbose: int = 0,
) -> tuple[Fit, FitReport]:
    """Run EM from all starts for a few iterations, drop the worse ones by and by, and finish the best.

    One that ends up degenerate or with collapsed experts is set aside as long as another of the last round does
    not.

    Parameters
    ----------
    problem : EmProblem or HierarchicalProblem
    starts : sequence of Start
        At least one.
    deadline : Deadline, optional
        After it no further start is begun.
    settings : SearchSettings, optional
    verbose : int
        1 shows a progress bar where standard error is a terminal.

    Returns
    -------
    fit : EmFit or HierarchicalFit
        In standard units; `n_iter` counts the winner's iterations from its start.
    report : FitReport
    """
    cpu = time.process_time()
    deadline, settings = deadline or Deadline(), settings or SearchSettings()
    with progress_bar(shown=bool(verbose), desc="fitting", unit="it", leave=False) as bar:
        em = ShortRuns(problem, lambda fits: bar.update(sum(fit.n_iter for fit in fits)))
        one = len(starts) == 1
        n_iter = problem.options.max_iter if one else settings.given_iterations
        together = max(1, settings.given_batch_rows // problem.n_rows)
        runs = first_runs(em, starts, n_iter, deadline, together)

        rounds = [] if one else [Round(settings.given_kept, settings.given_more_iterations)]
        last = successive_halving(runs, rounds, em.advance)[: settings.given_finalists]
        for run in last:
            em.complete(run)
            if run.is_sound:
                break
    best = min(last, key=Run.rank)
    report = FitReport(
        starts=tuple(StartReport.of(run, problem.to_units(run.fit).log_likelihood) for run in runs),
        chosen=best.start,
        out_of_time=len(runs) < len(starts),
        collapsed=best.fit.collapsed,
        n_iter_total=sum(run.n_iter for run in runs),
        cpu_seconds=time.process_time() - cpu,
    )
    return replace(best.fit, n_iter=best.n_iter), report


def optimum_of_starts(
    problem: EmProblem, starts: Sequence[Start], *, deadline: Deadline | None = None, verbose: int = 0
) -> tuple[EmFit, FitReport]:
    """Do the same, and where EM has settled go to the optimum by Newton's method; saddles are left on the way."""
    deadline, settings = deadline or Deadline(), SearchSettings()
    cpu = time.process_time()
    fit, report = best_of_starts(problem, starts, deadline=deadline, settings=settings, verbose=verbose)
    if not fit.converged:
        return fit, report
    run = Run("given", "", fit, fit.n_iter, response_is_constant=problem.constant_response)
    with progress_bar(shown=False) as bar:
        certification = Certification(problem, Budget(0, problem.n_rows, deadline, bar), settings)
        if not certification.end_by_newton(run) and not problem.family.is_location:
            certification.end_by_em(run)
    report = replace(
        report,
        collapsed=run.fit.collapsed,
        n_iter_total=report.n_iter_total + run.n_iter - fit.n_iter,
        cpu_seconds=time.process_time() - cpu,
    )
    return replace(run.fit, n_iter=run.n_iter), report
