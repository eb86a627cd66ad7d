"""Which starts to try when the user says how many, or of which kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from moefast.em.problem import EmProblem
from moefast.search.moment_starts import l4_start, moments_help, n_independent, spectral_starts
from moefast.search.starts import (
    Start,
    least_squares_start,
    random_assignment_start,
    random_parameters_start,
)

__all__ = ["StartOptions", "portfolio"]

# n_init="auto"
_SPECTRAL_STARTS = 2
_RANDOM_STARTS = 8


@dataclass(frozen=True)
class StartOptions:
    """What a user asks of the starts, and what decides which of them make sense.

    Parameters
    ----------
    start : {"auto", "spectral", "l4", "random"}
        Spectral and random ones, or one kind. "auto" leaves the spectral ones out when there are fewer linearly
        independent columns than experts, or different rows than parameters: the moments of a handful of rows have
        degenerate eigenspaces, in which rounding picks the directions; and where the link has no moments that
        show the experts (an even one, say).
    n_init : int or "auto"
        How many.
    n_parameters : int
        Of the model.
    """

    start: str
    n_init: int | Literal["auto"]
    n_parameters: int


def portfolio(problem: EmProblem, n_experts: int, options: StartOptions, rng: np.random.Generator) -> list[Start]:
    """Return the starts that EM is to be run from.

    Parameters
    ----------
    problem : EmProblem
    n_experts : int
        k; one linear expert is least squares, with nothing to choose from.
    options : StartOptions
    rng : numpy Generator

    Raises
    ------
    ValueError
        For ``start="spectral"`` or "l4" with fewer linearly independent columns than experts, or a link without
        the moments.
    """
    k = n_experts
    linear = problem.link.is_linear
    if k == 1 and linear:
        return [least_squares_start(problem)]
    start, n_init = options.start, options.n_init
    n = _SPECTRAL_STARTS + _RANDOM_STARTS if n_init == "auto" else int(n_init)
    independent = n_independent(problem)
    if start in ("spectral", "l4") and independent < k:
        where = "X has" if problem.expert_design.columns is None else "experts see"
        raise ValueError(
            f'start="{start}" needs at least n_experts={k} linearly independent columns, {where} {independent}; '
            'use start="auto"'
        )
    if start == "l4":
        return [l4_start(problem, k, rng) for _ in range(1 if n_init == "auto" else n)]
    if start == "spectral":
        n_spectral = n
    elif start == "random" or not moments_help(problem, k, options.n_parameters):
        n_spectral = 0
    else:
        n_spectral = max(1, n // 5)
    starts = spectral_starts(problem, k, n_spectral, rng)
    random_start = random_assignment_start if linear else random_parameters_start
    return starts + [random_start(problem, k, rng) for _ in range(n - n_spectral)]
