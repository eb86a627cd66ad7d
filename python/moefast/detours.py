"""Detours: what a run does between its start and its first iterations as the model it is to be.

At once; by some iterations under the other noise (shared where experts are to have their own, and the other way
round); or annealed, cooled down from an inverse temperature below 1, see :meth:`moefast.em.EmProblem.run_many`.
Annealing finds on some data what hardly anything else does (more than half of all starts reach one good optimum),
on others it ends where all experts are the same; so it is one way among others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from moefast.em import EmFit, EmProblem, EmStart

__all__ = ["ANNEALED", "DETOURS", "DIRECT", "OTHER_NOISE", "start_detour", "take_detours"]

DIRECT, OTHER_NOISE, ANNEALED = "", ", other noise first", ", annealed"
DETOURS = (DIRECT, OTHER_NOISE, ANNEALED)
"""As they stand behind the name of a start or a move."""

# Of starts, in turn: annealing is the one that rarely wins where moves follow.
_TURNS = (DIRECT, OTHER_NOISE, ANNEALED, DIRECT, OTHER_NOISE)
_OTHER_NOISE_ITERATIONS = 20
# Inverse temperatures rise from one in this range to 1 in so many steps of so many iterations.
_LOWEST, _STEPS, _STEP_ITERATIONS = (0.2, 0.7), 3, 8


def start_detour(turn: int) -> str:
    """Return the detour of the start whose turn it is."""
    return _TURNS[turn % len(_TURNS)]


def take_detours(
    problem: EmProblem,
    starts: Sequence[EmStart],
    detours: Sequence[str],
    run: Callable[..., list[EmFit]],
    rng: np.random.Generator,
) -> list[EmStart]:
    """Return where the runs are after their detours.

    Parameters
    ----------
    problem : EmProblem
    starts : sequence of EmStart
    detours : sequence of str
        Of :data:`DETOURS`, one a start.
    run : callable
        ``run(problem, starts, n_iter, inverse_temperature=beta)``.
    rng : numpy Generator
        Draws the inverse temperature that annealing begins at.
    """
    after = list(starts)

    def take(detour: str, problem: EmProblem, n_iter: int, inverse_temperature: float = 1.0) -> None:
        mine = [i for i, its in enumerate(detours) if its == detour]
        fits = run(problem, [after[i] for i in mine], n_iter, inverse_temperature=inverse_temperature)
        for i, fit in zip(mine, fits, strict=True):
            after[i] = fit.mixture

    other = problem.with_noise("shared" if problem.options.noise == "per_expert" else "per_expert")
    take(OTHER_NOISE, other, _OTHER_NOISE_ITERATIONS)
    lowest = rng.uniform(*_LOWEST)
    for step in range(_STEPS):
        take(ANNEALED, problem, _STEP_ITERATIONS, lowest ** (1 - step / _STEPS))
    return after
