"""One fold of the cross-validation of numbers of experts and ridges: fits that start each other.

A fit of k experts begins at the splits of that of k - 1 and at a few random starts, under one pair of ridges; from
there EM goes to other pairs, each from the nearest that has been fitted. So several pairs of ridges together cost
little more than one, and a number of experts costs a fraction of a search.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from moefast._typing import Floats
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.families import Family
from moefast.links import LINKS
from moefast.mixture import GatedExperts
from moefast.samples import Samples
from moefast.search.given_starts import best_of_starts
from moefast.selection.cross_validation import unit_log_density
from moefast.selection.gate_shape import SETTINGS, GateShape

__all__ = ["Fits", "Fold", "Pair", "Ridges", "fit_step"]

Pair: TypeAlias = tuple[int, int]
"""Positions of a pair of ridges in `Ridges.alphas` and `Ridges.gate_alphas`."""

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


def _nearest(pairs: Iterable[Pair], to: Pair) -> Pair:
    """Return the first of the pairs that are the fewest steps away."""
    return min(pairs, key=lambda pair: abs(pair[0] - to[0]) + abs(pair[1] - to[1]))


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
    """The fits of one shape of gates in a fold.

    Attributes
    ----------
    shape : GateShape
    mixtures : mapping of Pair to GatedExperts
        In standard units.
    held_out : mapping of Pair to ndarray
        log P(y | x) of each row, or group of rows, held out.
    laws : mapping of Pair to GatedExperts
        The mixtures in the units of the data.
    collapsed : mapping of Pair to bool
        Whether there are experts at the noise floor, or of hardly any rows.
    work : float
        What all fits so far have taken, in entries of Hessians of the gates, summed over rows: 1e-11 seconds each.
    """

    shape: GateShape
    mixtures: Mapping[Pair, Any]
    held_out: Mapping[Pair, Floats]
    laws: Mapping[Pair, GatedExperts]
    collapsed: Mapping[Pair, bool]
    work: float


def fit_step(
    fold: Fold, shape: GateShape, pairs: Sequence[Pair], before: Fits | None, seed: tuple[int, ...]
) -> Fits:
    """Return fits with gates of a shape under pairs of ridges.

    Parameters
    ----------
    fold : Fold
    shape : GateShape
    pairs : sequence of Pair
        Under the first of them starts compete, unless there are fits of the shape.
    before : Fits or None
        Of the same shape, to which others are added, or what its starts come from; None for the first.
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

    known = before is not None and before.shape == shape
    mixtures = dict(before.mixtures) if before is not None and known else {}
    held_out = dict(before.held_out) if before is not None and known else {}
    laws = dict(before.laws) if before is not None and known else {}
    collapsed = dict(before.collapsed) if before is not None and known else {}
    n_iter = 0
    for pair in pairs:
        flat = under(pair)
        problem = shape.problem(flat)
        if mixtures:
            (fit,) = problem.run_many([mixtures[_nearest(mixtures, pair)]])
            n_iter += fit.n_iter
        else:
            origin = None if before is None else before.mixtures[_nearest(before.mixtures, pair)]
            starts = shape.starts(flat, origin, np.random.default_rng(seed))
            fit, report = best_of_starts(problem, starts, settings=SETTINGS)
            n_iter += report.n_iter_total
        mixtures[pair], collapsed[pair] = fit.mixture, bool(fit.collapsed)
        laws[pair] = problem.to_units(fit).mixture
        held_out[pair] = unit_log_density(laws[pair], fold.held_out)
    of_row = shape.n_experts * _WORK_BESIDE + shape.n_blocks() * least.gate_design.rank**2
    spent = 0.0 if before is None else before.work
    return Fits(shape, mixtures, held_out, laws, collapsed, spent + float(n_iter) * least.n_rows * of_row)
