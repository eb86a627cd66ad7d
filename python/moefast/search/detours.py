"""Detours: what a run does between its start and its first iterations as the model it is to be.

None; some iterations under the other noise (shared where experts are to have their own, and the other way round);
or deterministic annealing (:mod:`moefast.search.deterministic_annealing`). None of the three is best on all data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from moefast.em.fit import EmStart, FitResult
from moefast.em.problem import EmProblem
from moefast.search.deterministic_annealing import anneal
from moefast.search.settings import SearchSettings

__all__ = ["ANNEALED", "DETOURS", "DIRECT", "OTHER_NOISE", "take_detours"]

DIRECT, OTHER_NOISE, ANNEALED = "", "other noise", "annealed"
DETOURS = (DIRECT, OTHER_NOISE, ANNEALED)
"""As reports name them."""


def take_detours(
    problem: EmProblem,
    starts: Sequence[EmStart],
    detours: Sequence[str],
    rng: np.random.Generator,
    charge: Callable[[Sequence[FitResult]], object],
    settings: SearchSettings,
) -> list[EmStart]:
    """Return where the runs are after their detours.

    Parameters
    ----------
    problem : EmProblem
    starts : sequence of EmStart
    detours : sequence of str
        Of :data:`DETOURS`, one a start.
    rng : numpy Generator
        Draws the inverse temperature that annealing begins at.
    charge : callable
        Is told of all fits.
    settings : SearchSettings
    """
    after, limit = list(starts), problem.options.max_iter
    by_other_noise = [i for i, detour in enumerate(detours) if detour == OTHER_NOISE]
    by_annealing = [i for i, detour in enumerate(detours) if detour == ANNEALED]
    lowest, n_steps = rng.uniform(*settings.lowest_temperatures), settings.annealing_steps
    if by_other_noise:
        other = problem.with_noise("shared" if problem.options.noise == "per_expert" else "per_expert")
        n_iter = min(settings.other_noise_iterations, limit)
        fits = other.run_many([after[i] for i in by_other_noise], max_iter=n_iter)
        charge(fits)
        for i, fit in zip(by_other_noise, fits, strict=True):
            after[i] = fit.mixture
    if by_annealing:
        temperatures = [lowest ** (1 - step / n_steps) for step in range(n_steps)]
        n_iter = min(settings.annealing_step_iterations, limit)
        ends = anneal(problem, [after[i] for i in by_annealing], temperatures, n_iter, charge)
        for i, end in zip(by_annealing, ends, strict=True):
            after[i] = end
    return after
