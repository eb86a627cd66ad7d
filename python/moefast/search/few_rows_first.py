"""The first iterations from every start on few rows, those that follow on all that are searched.

Successive halving in which the number of rows grows too, the size of the data being a resource as well (Jamieson
and Talwalkar 2016): how good a start is shows on some tens of rows for each parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from moefast.em.fit import EmFit
from moefast.search.budget import Deadline
from moefast.search.run import Run
from moefast.search.short_runs import ShortRuns
from moefast.search.starts import Start
from moefast.search.successive_halving import first_runs

__all__ = ["FewRowsFirst"]


class FewRowsFirst:
    """Runs from a group of starts.

    Parameters
    ----------
    few : ShortRuns
        On some of the rows, or the same as `many`.
    many : ShortRuns
    scale : float
        How many times the weight the rows of `many` have.
    """

    def __init__(self, few: ShortRuns[EmFit], many: ShortRuns[EmFit], scale: float) -> None:
        self._few, self._many, self._scale = few, many, scale
        self._begun: dict[Run[EmFit], float] = {}  # runs on few rows, and their log-likelihood there

    def begin(self, starts: Sequence[Start], n_iter: int, deadline: Deadline) -> list[Run[EmFit]]:
        """Return the first runs from all starts, their log-likelihoods in proportion to many rows."""
        runs = first_runs(self._few, starts, n_iter, deadline)
        if self._few is not self._many:
            for run in runs:
                run.fit = replace(run.fit, log_likelihood=self._scale * run.log_likelihood)
                self._begun[run] = run.log_likelihood
        return runs

    def advance(self, runs: Sequence[Run[EmFit]], n_iter: int) -> None:
        """Go on for `n_iter` iterations, 0 to look where the runs are on many rows."""
        new = [run for run in runs if run in self._begun]
        if n_iter > 0:
            self._many.advance([run for run in runs if run not in self._begun], n_iter)
        if not new:
            return
        self._many.move(new, n_iter)
        # What the rows themselves make of the log-likelihood, so that those left behind can be compared.
        shift = float(np.median([run.log_likelihood - self._begun.pop(run) for run in new]))
        for run in self._begun:
            run.fit = replace(run.fit, log_likelihood=run.log_likelihood + shift)
        self._begun.clear()
