"""What a search may spend: time by a clock, or EM iterations."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from tqdm import tqdm

from moefast.em.fit import FitResult

__all__ = ["Budget", "Deadline"]


class Deadline:
    """A moment after which no further run is begun, or none.

    Parameters
    ----------
    time_budget : float, optional
        Seconds from now.
    clock : callable
        Seconds, as `time_budget` counts them.
    """

    def __init__(self, time_budget: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = None if time_budget is None else clock() + time_budget
        # What is found by then may go on until it settles, but for no longer than it was searched for.
        self._last = None if self._end is None or time_budget is None else self._end + time_budget

    @property
    def is_set(self) -> bool:
        """Whether there is such a moment."""
        return self._end is not None

    def part(self, share: float) -> Deadline:
        """Return the moment at which this share of the time that is left will have passed."""
        if self._end is None:
            return self
        return Deadline(share * max(0.0, self._end - self._clock()), self._clock)

    def passed(self) -> bool:
        """Look at the clock, where there is such a moment."""
        return self._end is not None and self._clock() >= self._end

    def long_passed(self) -> bool:
        """Whether as long again has passed since the deadline: the last run has to end, too."""
        return self._last is not None and self._clock() >= self._last


class Budget:
    """The EM iterations of all runs together, and the bar that shows them.

    Parameters
    ----------
    n_iter : float
        How many a search may take where there is no deadline.
    n_rows : int
        Of the rows that are searched on.
    deadline : Deadline
    bar : tqdm

    Attributes
    ----------
    spent : int
        The pass at the start of a run counts as one.
    work : float
        The same, an iteration on fewer rows, or on more, in proportion.
    """

    def __init__(self, n_iter: float, n_rows: int, deadline: Deadline, bar: tqdm[Any]) -> None:
        self.n_iter, self.n_rows, self.deadline, self._bar = n_iter, n_rows, deadline, bar
        self.spent, self.work = 0, 0.0

    def extend(self, n_iter: float, deadline: Deadline) -> None:
        """Allow so many iterations more than have been run, or go on until a later moment."""
        self.n_iter, self.deadline = self.work + n_iter, deadline

    def charge(self, fits: Sequence[FitResult], n_rows: int) -> None:
        """Count what has been run on so many rows."""
        n_iter = sum(fit.cost for fit in fits)
        self.spent += n_iter
        self.work += n_rows / self.n_rows * n_iter
        self._bar.update(n_iter)

    def used_up(self) -> bool:
        """Whether the time is over, or the iterations where there is no deadline."""
        return self.deadline.passed() if self.deadline.is_set else self.work >= self.n_iter
