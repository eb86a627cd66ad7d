"""Random starts of all kinds: in turn at first, then those that have done well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from moefast.em.fit import HardAssignment
from moefast.em.problem import EmProblem
from moefast.search.assignments import KINDS
from moefast.search.detours import DETOURS
from moefast.search.learnt_choice import LearntChoice
from moefast.search.run import Run
from moefast.search.settings import SearchSettings
from moefast.search.starts import Start

__all__ = ["RandomStarts"]


class RandomStarts:
    """Random assignments, see :mod:`moefast.search.assignments`, each by a detour.

    Kinds and detours come in turn until :meth:`learn` has been told of enough of them, from then on in proportion
    to how often they were among the best.

    Parameters
    ----------
    problem : EmProblem
    n_experts : int
    rng : numpy Generator
        Draws the kind to begin with, the kinds that follow, and the assignments when they are made.
    settings : SearchSettings
    """

    def __init__(
        self, problem: EmProblem, n_experts: int, rng: np.random.Generator, settings: SearchSettings
    ) -> None:
        self._problem, self._n_experts, self._rng, self._settings = problem, n_experts, rng, settings
        self._detours = settings.start_detours
        for detour in self._detours:
            if detour not in DETOURS:
                raise ValueError(f"start_detours must be of {', '.join(map(repr, DETOURS))}, got {detour!r}")
        self._next = int(rng.integers(len(KINDS)))
        share, turn = settings.good_share, Counter(self._detours)
        most = max(turn.values())
        self._choice = LearntChoice(
            dict.fromkeys(KINDS, share),
            {detour: share * n / most for detour, n in turn.items()},
            settings.prior_start_trials,
        )

    def draw(self, n: int) -> list[Start]:
        """Return the next n."""
        if self._choice.n_tried() >= self._settings.starts_in_turn:
            return [self._start(kind, detour) for kind, detour in self._choice.draw(n, self._rng)]
        kinds, drawn = list(KINDS), []
        for number in range(self._next, self._next + n):
            turn, at = divmod(number, len(kinds))
            # Kinds are more than detours: from turn to turn a kind moves on to another detour.
            drawn.append(self._start(kinds[at], self._detours[(turn + at) % len(self._detours)]))
        self._next += n
        return drawn

    def learn(self, runs: Sequence[Run[Any]], good: Sequence[Run[Any]]) -> None:
        """Learn which kinds do well: `good` are the best of the runs from some starts."""
        for run in runs:
            if (run.kind, run.detour) in self._choice.tried:  # else no random one
                self._choice.note((run.kind, run.detour), run in good)

    def _start(self, kind: str, detour: str) -> Start:
        def make() -> HardAssignment:
            return HardAssignment(KINDS[kind](self._problem, self._n_experts, self._rng), self._n_experts)

        return Start(kind, make, detour)
