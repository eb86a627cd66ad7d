"""The certification: the best of what a search found, on all rows, without the ridge of the search, to the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from moefast.em.fit import EmFit
from moefast.em.problem import EmProblem
from moefast.search.budget import Budget
from moefast.search.run import Run
from moefast.search.settings import SearchSettings

__all__ = ["Certification"]


class Certification:
    """Runs on all rows under the settings asked for.

    Parameters
    ----------
    problem : EmProblem
        All rows, the ridge asked for.
    budget : Budget
        Is charged with all fits; runs end at the latest when its deadline has long passed.
    settings : SearchSettings
    """

    def __init__(self, problem: EmProblem, budget: Budget, settings: SearchSettings) -> None:
        self._problem, self._budget, self._settings = problem, budget, settings

    def best(self, candidates: Sequence[Run[EmFit]]) -> Run[EmFit]:
        """Return the best of the candidates, run until EM settles and its gradient vanishes.

        The first few compete. One that ends up degenerate or with collapsed experts is set aside as long as
        another is left that does not.

        Parameters
        ----------
        candidates : sequence of Run
            The best first. They go on from where they are.
        """
        settings = self._settings
        spare = [run for run in candidates[settings.finalists :] if run.is_sound]
        competing = [*candidates[: settings.finalists], *spare[: settings.spare_finalists]]
        ended: list[Run[EmFit]] = []
        for first in range(0, len(competing), settings.finalists):
            group = competing[first : first + settings.finalists]
            for run in group:
                self._go_on(run, settings.finalist_iterations)
            for run in sorted(group, key=Run.rank):
                if run.fit.status == "iteration_limit":
                    self._go_on(run, self._problem.options.max_iter)
                self._go_on(run, settings.final_iterations, settings.gradient_tol)
                ended.append(run)
                if run.is_sound:
                    return min(ended, key=Run.rank)
        return min(ended, key=Run.rank)

    def _go_on(self, run: Run[EmFit], n_iter: int, gradient_tol: float = np.inf) -> None:
        """Run on until EM settles, for so many iterations at most; at least evaluate the run on these rows.

        One that has settled by `tol` stays settled where the gradient is not met: the report tells the gradient.
        """
        settled = run.fit.status == "converged" and gradient_tol < np.inf
        limit = min(run.n_iter + n_iter, self._problem.options.max_iter)
        deadline, going = self._budget.deadline, True
        while going:
            left = max(0, limit - run.n_iter)
            if deadline.is_set:  # short runs, so that the clock is looked at often
                left = 0 if deadline.long_passed() else min(left, self._settings.iterations_between_looks)
            (fit,) = self._problem.run_many([run.fit.mixture], max_iter=left, gradient_tol=gradient_tol)
            self._budget.charge([fit])
            run.go_on(fit)
            going = fit.status == "iteration_limit" and left > 0 and run.n_iter < limit
        if fit.status == "iteration_limit" and (settled or fit.gradient <= self._settings.gradient_tol):
            run.fit = replace(fit, status="converged")
