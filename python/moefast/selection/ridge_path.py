"""One fold of the cross-validation of numbers of experts and ridges: fits that start each other.

A fit of k experts begins at the splits of that of k - 1 and at a few random starts, under one pair of ridges; from
there EM goes to the other pairs, each from the nearest that has been fitted. So all pairs of ridges together cost
little more than one, and a number of experts costs a fraction of a search.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from moefast._typing import Floats
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.families import Family
from moefast.links import LINKS
from moefast.mixture import Mixture
from moefast.repeated import group_log_density
from moefast.samples import Samples
from moefast.search.expert_splits import expert_splits
from moefast.search.given_starts import best_of_starts
from moefast.search.local_optimum import LocalOptimum
from moefast.search.random_starts import RandomStarts
from moefast.search.settings import SearchSettings
from moefast.search.starts import least_squares_start

__all__ = ["Fold", "Pair", "Ridges", "Step", "step"]

Pair: TypeAlias = tuple[int, int]
"""Positions of a pair of ridges in `Ridges.alphas` and `Ridges.gate_alphas`."""

# Random starts go straight on: a detour takes as long as the first short run.
_SETTINGS = SearchSettings(start_detours=("",))
# Random starts beside the splits. A fit of a fold need not be the best: it ends sooner too.
_STARTS_BESIDE = 8
# Where a fit is of no use, so that means and standard errors stay numbers.
_LEAST_LOG_DENSITY = -1e100
_LEAST_TOL = 1e-7
_MOST_ITERATIONS = 500


@dataclass(frozen=True)
class Ridges:
    """The ridges that are compared, in increasing order.

    Attributes
    ----------
    alphas : tuple of float
        Of the experts.
    gate_alphas : tuple of float or "auto"
        Of the gates.
    """

    alphas: tuple[float, ...]
    gate_alphas: tuple[float | Literal["auto"], ...]

    @property
    def pairs(self) -> list[Pair]:
        """All pairs."""
        return [(i, j) for i in range(len(self.alphas)) for j in range(len(self.gate_alphas))]

    @property
    def middle(self) -> Pair:
        """The pair in the middle."""
        return (len(self.alphas) - 1) // 2, (len(self.gate_alphas) - 1) // 2

    def way_from(self, base: Pair) -> list[tuple[Pair, Pair]]:
        """Return the other pairs, the nearest first, each with the neighbour of it that comes before."""
        others = sorted(self.pairs, key=lambda pair: _distance(pair, base))[1:]
        return [(pair, _towards(pair, base)) for pair in others]


def _distance(one: Pair, other: Pair) -> int:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _towards(pair: Pair, base: Pair) -> Pair:
    """Return the neighbour of a pair that is nearer to the base: along the experts' ridge first."""
    i, j = pair
    if i != base[0]:
        return i + (1 if base[0] > i else -1), j
    return i, j + (1 if base[1] > j else -1)


@dataclass(frozen=True, eq=False)
class Fold:
    """What is fitted and what is held out.

    Attributes
    ----------
    samples, held_out : Samples
    options : EmOptions
        Their ridges are replaced.
    family : Family
    ridges : Ridges
    """

    samples: Samples
    held_out: Samples
    options: EmOptions
    family: Family
    ridges: Ridges


@dataclass(frozen=True, eq=False)
class Step:
    """The fits of one number of experts in a fold.

    Attributes
    ----------
    fits : mapping of Pair to Mixture
        In standard units.
    held_out : mapping of Pair to ndarray
        log P(y | x) of each row, or group of rows, held out; empty where it was not asked for.
    """

    fits: Mapping[Pair, Mixture]
    held_out: Mapping[Pair, Floats]


def step(fold: Fold, n_experts: int, base: Pair, before: Step | None, seed: tuple[int, ...], scored: bool) -> Step:
    """Fit `n_experts` experts under all pairs of ridges, or one where nothing is scored.

    Parameters
    ----------
    fold : Fold
    n_experts : int
    base : Pair
        Under which starts compete.
    before : Step or None
        Of one expert fewer; None for the first.
    seed : tuple of int
    scored : bool
        Whether rows held out are predicted, under all pairs; else there is the base alone.
    """
    ridges = fold.ridges
    options = replace(
        fold.options,
        alpha=0.0,
        gate_alpha="auto",
        tol=max(fold.options.tol, _LEAST_TOL),
        max_iter=min(fold.options.max_iter, _MOST_ITERATIONS),
    )
    least = EmProblem(fold.samples, options, LINKS["linear"], fold.family)

    def under(pair: Pair) -> EmProblem:
        alpha, gate_alpha = max(ridges.alphas[pair[0]], least.options.alpha), ridges.gate_alphas[pair[1]]
        return least.with_ridges(alpha, least.options.gate_ridge if gate_alpha == "auto" else gate_alpha)

    problem = under(base)
    starts = [least_squares_start(problem)]
    if n_experts > 1:
        rng = np.random.default_rng(seed)
        starts = RandomStarts(problem, n_experts, rng, _SETTINGS).draw(_STARTS_BESIDE)
        if before is not None:
            fewer = before.fits.get(base) or next(iter(before.fits.values()))
            starts = expert_splits(LocalOptimum(problem, fewer), rng) + starts
    fits = {base: best_of_starts(problem, starts, settings=_SETTINGS)[0]}
    for pair, neighbour in ridges.way_from(base) if scored else []:
        (fits[pair],) = under(pair).run_many([fits[neighbour].mixture])
    held_out = {
        pair: _log_density(least.to_units(fit).mixture, fold.held_out) for pair, fit in fits.items() if scored
    }
    return Step({pair: fit.mixture for pair, fit in fits.items()}, held_out)


def _log_density(mixture: Mixture, samples: Samples) -> Floats:
    """Return log P of each row or group, not below `_LEAST_LOG_DENSITY`."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if samples.groups is None:
            found = mixture.log_density(samples.X, samples.y, samples.terms)
        else:
            found = group_log_density(mixture, samples.X, samples.y, samples.groups, samples.terms)
    return np.maximum(np.where(np.isnan(found), -np.inf, found), _LEAST_LOG_DENSITY)
