"""From starts to the best optimum of the likelihood: the one entry for a mixture with flat gates.

Where the user leaves everything open, a search, all under a stronger ridge of the gates than the one asked for:

1. EM runs for a few iterations (:mod:`moefast.search.short_runs`) from the starts of both methods
   (:mod:`moefast.search.moment_starts`) and from random ones of many kinds (:mod:`moefast.search.assignments`),
   some by detours (:mod:`moefast.search.detours`): under the other noise first, or annealed
   (:mod:`moefast.search.deterministic_annealing`).
2. Successive halving (:mod:`moefast.search.successive_halving`) picks the best of these runs.
3. From each a climb, iterated local search (:mod:`moefast.search.iterated_local_search`): moves out of the local
   optimum (:mod:`moefast.search.moves`, :mod:`moefast.search.split_and_merge`) go on as long as they help. A climb
   ends when they no longer do, or where they did not before (:mod:`moefast.search.optima`); the next begins at
   another run, or at the best of further random starts. So data on which no move helps are searched by fresh
   starts. All ends when going on is not expected to bring much (:mod:`moefast.search.expected_gain`).
4. Where there are more rows than were searched, the best optima go on on more of them, by bumping
   (:mod:`moefast.search.more_rows`).
5. The best few optima are certified (:mod:`moefast.search.certification`): on all rows, under the ridge asked for,
   to the end. Where rows are many they go on before on a sample, and from there by Newton's method.

:mod:`moefast.search.plan` says when what is done, :mod:`moefast.search.account` keeps what was found, and
:mod:`moefast.search.settings` has every number. A shorter search begins at a fit of one expert fewer or more
(:mod:`moefast.search.beginning`). Where the user asks for a number of starts or a kind of them, or
there is a link: :mod:`moefast.search.portfolio` and :mod:`moefast.search.given_starts`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from moefast.em.fit import EmFit
from moefast.em.problem import EmProblem
from moefast.progress import progress_bar
from moefast.search.beginning import Beginning, Neighbour, neighbour_starts
from moefast.search.budget import Budget, Deadline
from moefast.search.certification import Certification
from moefast.search.given_starts import optimum_of_starts
from moefast.search.moment_starts import moment_starts
from moefast.search.more_rows import bump_on_more_rows
from moefast.search.plan import Plan
from moefast.search.portfolio import StartOptions, portfolio
from moefast.search.report import FitReport
from moefast.search.settings import SearchSettings
from moefast.search.some_rows import some_rows

__all__ = ["Found", "find_best_optimum", "find_optima", "search"]


@dataclass(frozen=True, eq=False)
class Found:
    """What a search has found.

    Attributes
    ----------
    fit : EmFit
        The best, in standard units.
    report : FitReport
    rivals : callable
        Returns the next best optima, if any, run until EM settles: the best on other rows may be among them.
    """

    fit: EmFit
    report: FitReport
    rivals: Callable[[], list[EmFit]]


def find_best_optimum(
    problem: EmProblem,
    n_experts: int,
    options: StartOptions,
    rng: np.random.Generator,
    *,
    neighbour: Neighbour | None = None,
    deadline: Deadline | None = None,
    verbose: int = 0,
) -> tuple[EmFit, FitReport]:
    """Search where everything is left open, else take the best of the starts asked for.

    Parameters
    ----------
    problem : EmProblem
    n_experts : int
    options : StartOptions
    rng : numpy Generator
    neighbour : Neighbour, optional
        A fit of one expert fewer or more to begin at: with splits of it or merges.
    deadline : Deadline, optional
        Of the search, or after which no further start is begun.
    verbose : int
        1 shows a progress bar where standard error is a terminal.

    Returns
    -------
    fit : EmFit
        In standard units; run until EM settles.
    report : FitReport
        With the gradient.

    Raises
    ------
    ValueError
        Where the data or the link do not have what the kind of start needs.
    """
    found = find_optima(problem, n_experts, options, rng, neighbour=neighbour, deadline=deadline, verbose=verbose)
    return found.fit, found.report


def find_optima(
    problem: EmProblem,
    n_experts: int,
    options: StartOptions,
    rng: np.random.Generator,
    *,
    neighbour: Neighbour | None = None,
    deadline: Deadline | None = None,
    verbose: int = 0,
) -> Found:
    """Do the same as :func:`find_best_optimum`, and keep what came next."""
    # With fewer different rows than parameters every optimum is one of overfitting.
    worth_it = n_experts > 1 and problem.link.is_linear and problem.n_distinct >= options.n_parameters
    if options.start == "auto" and options.n_init == "auto" and worth_it:
        given = Beginning(at_sample=lambda rows: moment_starts(rows, n_experts, options.n_parameters, rng))
        if neighbour is not None:
            given = Beginning.at_neighbour(neighbour, n_experts, rng)
        found = _search(problem, n_experts, rng, given, deadline, None, verbose)
    else:
        starts = portfolio(problem, n_experts, options, rng)
        if neighbour is not None and n_experts > 1:
            starts += neighbour_starts(problem, neighbour.mixture, n_experts, rng)
        fit, report = optimum_of_starts(problem, starts, deadline=deadline, verbose=verbose)
        found = Found(fit, report, list)
    return replace(found, report=replace(found.report, gradient=found.fit.gradient))


def search(
    problem: EmProblem,
    n_experts: int,
    rng: np.random.Generator,
    *,
    given: Beginning | None = None,
    deadline: Deadline | None = None,
    settings: SearchSettings | None = None,
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
    given : Beginning, optional
        Further starts to begin with.
    deadline : Deadline, optional
        How long to search; the best may then take as long again to settle. Without it the work depends on k and
        the number of rows, and the search ends early when going on is not expected to bring much.
    settings : SearchSettings, optional
    verbose : int
        1 shows a progress bar where standard error is a terminal.

    Returns
    -------
    fit : EmFit
        In standard units; run until EM settles.
    report : FitReport
    """
    found = _search(problem, n_experts, rng, given, deadline, settings, verbose)
    return found.fit, found.report


def _search(
    problem: EmProblem,
    n_experts: int,
    rng: np.random.Generator,
    given: Beginning | None,
    deadline: Deadline | None,
    settings: SearchSettings | None,
    verbose: int,
) -> Found:
    cpu = time.process_time()
    deadline, settings = deadline or Deadline(), settings or SearchSettings()
    sample = some_rows(problem, settings.sample_rows, rng)
    given = given or Beginning()
    starts = () if given.at_sample is None else given.at_sample(sample)
    little = problem.family.says_little(problem.response.terms)
    some = _with_ridges(
        some_rows(sample, settings.max_rows_of_trials if little else settings.max_rows, rng), settings
    )
    more = some_rows(sample, settings.more_rows, rng)
    goes_on = more.n_rows > some.n_rows
    with progress_bar(shown=bool(verbose), desc="searching", unit="it", leave=False) as bar:
        n_iter = given.iterations(settings, n_experts, some.n_distinct, some.features.shape[1])
        first = settings.share_of_some_rows if goes_on else 1.0
        budget = Budget(first * n_iter, some.n_rows, deadline.part(first), bar)
        plan = Plan(some, n_experts, rng, budget, settings)
        if given.known is not None and given.at_first_rows is not None:
            plan.go_beyond(given.known, given.at_first_rows)
        else:
            plan.run(starts, given.at_first_rows, beside=given.is_of_fewer)
        candidates = plan.account.candidates()
        budget.extend((1.0 - first) * n_iter, deadline)
        if goes_on and not plan.in_vain and not deadline.passed():
            candidates = bump_on_more_rows(_with_ridges(more, settings), candidates, budget, rng, settings)
        certification = Certification(problem, budget, settings, sample)
        best = certification.best(candidates)

    def rivals() -> list[EmFit]:
        others = certification.others(candidates, best)
        distinct = plan.account.distinct([best, *others])
        return [run.fit for run in distinct if run.is_sound and run.fit is not best.fit]

    report = plan.account.report(problem, best, time.process_time() - cpu)
    return Found(replace(best.fit, n_iter=best.n_iter), report, rivals)


def _with_ridges(rows: EmProblem, settings: SearchSettings) -> EmProblem:
    """Return the rows under the ridges of the search where less is asked for."""
    gate_alpha = max(rows.options.gate_ridge, settings.gate_alpha * rows.weight_per_row)
    alpha = max(rows.options.alpha, settings.alpha * rows.weight_per_row * rows.family.may_be_sure)
    return rows.with_ridges(alpha, gate_alpha)
