"""The certification: the best of what a search found, on all rows, without the ridge of the search, to the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from moefast.em.fit import EmFit
from moefast.em.newton import NewtonEnd, newton_end, takes_newton
from moefast.em.problem import EmProblem
from moefast.mixture import Mixture
from moefast.search.budget import Budget
from moefast.search.run import Run
from moefast.search.settings import SearchSettings

__all__ = ["Certification"]

# Passes of Newton's method: where it has not arrived by then, EM does.
_NEWTON_PASSES = 20
# What the next step may gain for rows of weight 1 on a sample: where the optimum of all rows is far beyond that.
_SAMPLE_TOL = 1e-2
# Of the mean objective: nothing but rounding.
_NO_GRADIENT = 1e-13


class Certification:
    """Runs on all rows under the settings asked for.

    Parameters
    ----------
    problem : EmProblem
        All rows, the ridge asked for.
    budget : Budget
        Is charged with all fits; runs end at the latest when its deadline has long passed.
    settings : SearchSettings
    sample : EmProblem, optional
        Some of these rows, in the same units.
    """

    def __init__(
        self, problem: EmProblem, budget: Budget, settings: SearchSettings, sample: EmProblem | None = None
    ) -> None:
        self._problem, self._budget, self._settings = problem, budget, settings
        self._sample = None if sample is None or sample is problem else _in_proportion(sample, problem)

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
            done = {run for run in group if self._end_by_sample(run)}
            for run in group:
                if run not in done:
                    self._go_on(run, settings.finalist_iterations)
            for run in sorted(group, key=Run.rank):
                if run not in done:
                    self._end(run)
                ended.append(run)
                if run.is_sound:
                    return min(ended, key=Run.rank)
        return min(ended, key=Run.rank)

    def others(self, candidates: Sequence[Run[EmFit]], best: Run[EmFit]) -> list[Run[EmFit]]:
        """Return the finalists beside the best, run until EM settles."""
        others = [run for run in candidates[: self._settings.finalists] if run is not best]
        for run in others:
            self._go_on(run, self._settings.finalist_iterations)
            self.end_by_newton(run)
        return others

    def _end_by_sample(self, run: Run[EmFit]) -> bool:
        """Go to the optimum of the sample, and from there by Newton's method to that of all rows.

        Return whether that succeeds. The sample shows the second derivatives, so passes over all rows are few.
        """
        sample, k = self._sample, run.fit.mixture.n_experts
        if sample is None or self._budget.deadline.is_set or not takes_newton(self._problem, k):
            return False
        if run.n_iter + self._settings.finalist_iterations + 2 * _NEWTON_PASSES > self._problem.options.max_iter:
            return False
        (fit,) = sample.run_many([run.fit.mixture], max_iter=self._settings.finalist_iterations)
        self._budget.charge([fit], sample.n_rows)
        tol = _SAMPLE_TOL * sample.weight_per_row
        near = newton_end(sample, fit.mixture, tol=tol, max_passes=_NEWTON_PASSES)
        if not near.fit.converged or near.fit.collapsed or fit.collapsed:
            return False
        end = self._newton(near.fit.mixture, run.n_iter + fit.n_iter + near.fit.n_iter, sample)
        if end is None or end.fit.collapsed:
            return False
        # What it has gained is kept where it does not arrive: EM goes on from there.
        run.go_on(replace(end.fit, n_iter=fit.n_iter + near.fit.n_iter + end.fit.n_iter))
        return end.fit.converged

    def end_by_newton(self, run: Run[EmFit]) -> bool:
        """Run until EM settles, and on by Newton's method; return whether this arrives."""
        for left in range(self._settings.saddles, -1, -1):
            if run.fit.status == "iteration_limit":
                self._go_on(run, self._problem.options.max_iter)
            end = self._newton(run.fit.mixture, run.n_iter) if run.is_sound else None
            if end is None:
                break
            # EM has settled where Newton's method does not arrive; away from a saddle it has not.
            at_saddle = end.curvature == "saddle" and end.fit.n_iter > 0
            status = "iteration_limit" if at_saddle else run.fit.status
            run.go_on(end.fit if end.fit.converged else replace(end.fit, status=status))
            if end.fit.converged:
                return True
            if not at_saddle or left == 0:
                break
        return False

    def end_by_em(self, run: Run[EmFit]) -> None:
        """Run on until nothing above rounding is left to gain: where columns outnumber rows the end is flat."""
        self._go_on(run, self._settings.final_iterations, _NO_GRADIENT)

    def _end(self, run: Run[EmFit]) -> None:
        """Run until EM settles, and on until the gradient vanishes: by Newton's method, else by EM."""
        settings = self._settings
        if self.end_by_newton(run):
            return
        self._go_on(run, settings.final_iterations, settings.gradient_tol)
        # A small gradient is not all: beyond the ridge that EM crept along Newton's method may arrive now.
        end = self._newton(run.fit.mixture, run.n_iter) if run.is_sound else None
        if end is not None and end.fit.converged and not end.fit.collapsed:
            run.go_on(end.fit)

    def _newton(self, start: Mixture, n_iter: int, sample: EmProblem | None = None) -> NewtonEnd | None:
        """Return where Newton's method leads; None where it is not for this problem, or nothing is left for it.

        `n_iter` is how many iterations there have been.
        """
        problem, settings = self._problem, self._settings
        left = min(_NEWTON_PASSES, problem.options.max_iter - n_iter)
        if left < 1 or self._budget.deadline.long_passed() or not takes_newton(problem, start.n_experts):
            return None
        tol = settings.decrement_tol * problem.weight_per_row
        end = newton_end(
            problem, start, tol=tol, gradient_tol=settings.gradient_tol, max_passes=left, sample=sample
        )
        self._budget.charge([end.fit], problem.n_rows)
        return end

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
            self._budget.charge([fit], self._problem.n_rows)
            run.go_on(fit)
            going = fit.status == "iteration_limit" and left > 0 and run.n_iter < limit
        if fit.status == "iteration_limit" and (settled or fit.gradient <= self._settings.gradient_tol):
            run.fit = replace(fit, status="converged")


def _in_proportion(sample: EmProblem, problem: EmProblem) -> EmProblem:
    """Return the sample with ridges as strong, against its weight, as those of all rows."""
    share, options = sample.total_weight / problem.total_weight, problem.options
    return sample.with_ridges(share * options.alpha, share * options.gate_ridge)
