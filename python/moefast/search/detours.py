"""Detours: what a run does between its start and its first iterations as the model it is to be.

None; some iterations under the other noise (shared where experts are to have their own, and the other way round);
or deterministic annealing (:mod:`moefast.search.deterministic_annealing`). None of the three is best on all data.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moefast.em.fit import EmStart, PlainStart, Stage, StagedStart
from moefast.em.options import EmOptions
from moefast.search.deterministic_annealing import annealing
from moefast.search.settings import SearchSettings

__all__ = ["ANNEALED", "DETOURS", "DIRECT", "OTHER_NOISE", "with_detours"]

DIRECT, OTHER_NOISE, ANNEALED = "", "other noise", "annealed"
DETOURS = (DIRECT, OTHER_NOISE, ANNEALED)
"""As reports name them."""


def with_detours(
    starts: Sequence[PlainStart],
    detours: Sequence[str],
    options: EmOptions,
    rng: np.random.Generator,
    settings: SearchSettings,
) -> list[EmStart]:
    """Return the starts with their detours, of :data:`DETOURS`, as stages of the runs.

    Parameters
    ----------
    starts : sequence of PlainStart
    detours : sequence of str
        One a start.
    options : EmOptions
        Of the model that the runs are to be.
    rng : numpy Generator
        Draws the inverse temperature that annealing begins at, one for all.
    settings : SearchSettings
    """
    limit, lowest = options.max_iter, rng.uniform(*settings.lowest_temperatures)
    other = Stage(
        min(settings.other_noise_iterations, limit), "shared" if options.noise == "per_expert" else "per_expert"
    )
    stages = {
        DIRECT: (),
        OTHER_NOISE: (other,),
        ANNEALED: annealing(
            lowest, settings.annealing_steps, min(settings.annealing_step_iterations, limit), options.noise
        ),
    }
    return [
        StagedStart(start, stages[detour]) if stages[detour] else start
        for start, detour in zip(starts, detours, strict=True)
    ]
