"""Random starts of all kinds in turn, each by a detour, these in turn too."""

from __future__ import annotations

import numpy as np

from moefast.em.fit import HardAssignment
from moefast.em.problem import EmProblem
from moefast.search.assignments import KINDS
from moefast.search.detours import DETOURS
from moefast.search.settings import SearchSettings
from moefast.search.starts import Start

__all__ = ["RandomStarts"]


class RandomStarts:
    """Random assignments of all kinds in turn, see :mod:`moefast.search.assignments`.

    Parameters
    ----------
    problem : EmProblem
    n_experts : int
    rng : numpy Generator
        Draws the kind to begin with, and the assignments when they are made.
    settings : SearchSettings
    """

    def __init__(
        self, problem: EmProblem, n_experts: int, rng: np.random.Generator, settings: SearchSettings
    ) -> None:
        self._problem, self._n_experts, self._rng = problem, n_experts, rng
        self._detours = settings.start_detours
        for detour in self._detours:
            if detour not in DETOURS:
                raise ValueError(f"start_detours must be of {', '.join(map(repr, DETOURS))}, got {detour!r}")
        self._next = int(rng.integers(len(KINDS)))

    def draw(self, n: int) -> list[Start]:
        """Return the next n."""
        kinds, drawn = list(KINDS), []
        for number in range(self._next, self._next + n):
            turn, at = divmod(number, len(kinds))
            # Kinds are more than detours: from turn to turn a kind moves on to another detour.
            drawn.append(self._start(kinds[at], self._detours[(turn + at) % len(self._detours)]))
        self._next += n
        return drawn

    def _start(self, kind: str, detour: str) -> Start:
        def make() -> HardAssignment:
            return HardAssignment(KINDS[kind](self._problem, self._n_experts, self._rng), self._n_experts)

        return Start(kind, make, detour)
