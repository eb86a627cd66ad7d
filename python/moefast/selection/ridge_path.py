"""One fold of the cross-validation of numbers of experts and ridges: fits that start each other.

A fit of k experts begins at the splits of that of k - 1 and at a few random starts, under one pair of ridges; from
there EM goes to other pairs, each from the nearest that has been fitted. So several pairs of ridges together cost
little more than one, and a number of experts costs a fraction of a search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from moefast._typing import Floats
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.families import Family
from moefast.links import LINKS
from moefast.mixture import Mixture
from moefast.samples import Samples
from moefast.search.expert_splits import expert_splits
from moefast.search.given_starts import best_of_starts
from moefast.search.local_optimum import LocalOptimum
from moefast.search.random_starts import RandomStarts
from moefast.search.settings import SearchSettings
from moefast.search.starts import Start, least_squares_start
from moefast.selection.cross_validation import unit_log_density

__all__ = ["Fits", "Fold", "Pair", "Ridges", "fit_step"]

Pair: TypeAlias = tuple[int, int]
"""Positions of a pair of ridges in `Ridges.alphas` and `Ridges.gate_alphas`."""

# A fit of a fold need not be the best: fewer and shorter runs than those of a search predict the rows held out as
# well (concrete, 9 experts: -3.12 to -3.14 a row in place of -3.17), in two thirds of the time; with gates of
# splines in half. Random starts go straight on: a detour takes as long as the first short run.
_SETTINGS = SearchSettings(
    start_detours=("",), given_iterations=15, given_kept=2, given_more_iterations=40, given_finalists=1
)
# Random starts beside the splits, and of these at most.
_STARTS_BESIDE = 4
_MOST_SPLITS = 8
_LEAST_TOL = 1e-7
_MOST_ITERATIONS = 60
# What an iteration takes for a row and an expert beside the Hessian of the gates, in entries of that.
_WORK_BESIDE = 300


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
    def middle(self) -> Pair:
        """The pair in the middle."""
        return (len(self.alphas) - 1) // 2, (len(self.gate_alphas) - 1) // 2

    def around(self, pair: Pair) -> list[Pair]:
        """Return a pair and its neighbours, of one ridge the next smaller or larger."""
        i, j = pair
        beside = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
        return [pair, *(p for p in beside if 0 <= p[0] < len(self.alphas) and 0 <= p[1] < len(self.gate_alphas))]


def _distance(one: Pair, other: Pair) -> int:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


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
class Fits:
    """The fits of one number of experts in a fold.

    Attributes
    ----------
    n_experts : int
    mixtures : mapping of Pair to Mixture
        In standard units.
    held_out : mapping of Pair to ndarray
        log P(y | x) of each row, or group of rows, held out.
    laws : mapping of Pair to Mixture
        The mixtures in the units of the data.
    collapsed : mapping of Pair to bool
        Whether there are experts at the noise floor, or of hardly any rows.
    work : float
        What all fits so far have taken, in entries of Hessians of the gates, summed over rows: 1e-11 seconds each.
    """

    n_experts: int
    mixtures: Mapping[Pair, Mixture]
    held_out: Mapping[Pair, Floats]
    laws: Mapping[Pair, Mixture]
    collapsed: Mapping[Pair, bool]
    work: float


def fit_step(
    fold: Fold, n_experts: int, pairs: Sequence[Pair], before: Fits | None, seed: tuple[int, ...]
) -> Fits:
    """Return fits of `n_experts` experts under pairs of ridges.

    Parameters
    ----------
    fold : Fold
    n_experts : int
    pairs : sequence of Pair
        Under the first of them starts compete, unless there are fits of so many experts.
    before : Fits or None
        Of as many experts, to which others are added, or of one expert fewer; None for the first.
    seed : tuple of int
        Of the random starts.
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

    known = before is not None and before.n_experts == n_experts
    mixtures = dict(before.mixtures) if before is not None and known else {}
    held_out = dict(before.held_out) if before is not None and known else {}
    laws = dict(before.laws) if before is not None and known else {}
    collapsed = dict(before.collapsed) if before is not None and known else {}
    n_iter = 0
    for pair in pairs:
        problem = under(pair)
        if mixtures:
            nearest = min(mixtures, key=lambda other: _distance(other, pair))
            (fit,) = problem.run_many([mixtures[nearest]])
            n_iter += fit.n_iter
        else:
            starts = _starts(problem, n_experts, before, pair, seed)
            fit, report = best_of_starts(problem, starts, settings=_SETTINGS)
            n_iter += report.n_iter_total
        mixtures[pair], collapsed[pair] = fit.mixture, bool(fit.collapsed)
        laws[pair] = least.to_units(fit).mixture
        held_out[pair] = unit_log_density(laws[pair], fold.held_out)
    of_row = n_experts * (_WORK_BESIDE + n_experts * least.gate_design.rank**2)
    spent = 0.0 if before is None else before.work
    return Fits(n_experts, mixtures, held_out, laws, collapsed, spent + float(n_iter) * least.n_rows * of_row)


def _starts(
    problem: EmProblem, n_experts: int, fewer: Fits | None, pair: Pair, seed: tuple[int, ...]
) -> list[Start]:
    """Return random starts and the splits of the fit of one expert fewer under the nearest ridges."""
    if n_experts == 1:
        return [least_squares_start(problem)]
    rng = np.random.default_rng(seed)
    starts = RandomStarts(problem, n_experts, rng, _SETTINGS).draw(_STARTS_BESIDE)
    if fewer is None:
        return starts
    nearest = min(fewer.mixtures, key=lambda other: _distance(other, pair))
    splits = expert_splits(LocalOptimum(problem, fewer.mixtures[nearest]), rng)
    some = sorted(rng.permutation(len(splits))[:_MOST_SPLITS])
    return [splits[i] for i in some] + starts
