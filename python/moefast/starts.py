"""Where EM starts from: experts of both methods, random assignments, random parameters where there is a link.

A random assignment is drawn as a function of a row's values, not of its place: rows that are equal go together
and neither the order of the rows nor writing a row twice (weight 2 or two copies) changes a start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import normalize

from moefast import l4
from moefast.em import EmProblem, EmStart, HardAssignment
from moefast.expert_scales import far_from_links
from moefast.mixture import Mixture
from moefast.rows import row_phase
from moefast.scores import ScoreMoments
from moefast.spectral import SpectralExperts, first_pass, recover_from_moments
from moefast.start_kinds import KINDS
from moefast.transforms import cubic_transform, quadratic_transform

__all__ = [
    "Start",
    "l4_start",
    "least_squares_start",
    "portfolio",
    "random_assignment_start",
    "random_parameters",
    "random_parameters_start",
    "search_starts",
    "spectral_start",
]

Floats: TypeAlias = npt.NDArray[np.float64]

_GATE_ITERATIONS = 30
# Standard deviation of the gates of random parameters: they only break the symmetry.
_GATE_SPREAD = 0.1
# n_init="auto"
_SPECTRAL_STARTS = 2
_RANDOM_STARTS = 8


@dataclass(frozen=True)
class Start:
    """A way to begin: its kind, and how to make it, which may take a while.

    `make` returns what the problem's ``run_many`` takes: an EmStart for the flat model.
    """

    kind: str
    make: Callable[[], Any]


def least_squares_start(problem: EmProblem) -> Start:
    """One linear expert: weighted least squares."""
    everything = HardAssignment(np.zeros(len(problem.t), dtype=np.int32), 1)
    return Start("least squares", lambda: everything)


def random_assignment_start(problem: EmProblem, n_experts: int, rng: np.random.Generator) -> Start:
    """Every row belongs to an expert drawn at random; the first M-step fits them."""
    assigned = HardAssignment(KINDS["random assignment"](problem, n_experts, rng), n_experts)
    return Start("random assignment", lambda: assigned)


def random_parameters(problem: EmProblem, n_experts: int, rng: np.random.Generator) -> Mixture:
    """Return experts of random directions and norm 1, nearly flat random gates, the noise of the response.

    In standard units. They know the data by their spread alone. With a link the intercepts are random too, so
    that experts start where it does different things.
    """
    d = problem.Z.shape[1]
    gates = _GATE_SPREAD * rng.normal(size=(n_experts, d))
    gates[-1] = 0.0
    coef, intercept = normalize(rng.normal(size=(n_experts, d))), np.zeros(n_experts)
    if problem.options.fit_intercept and not problem.link.is_linear:
        intercept = rng.normal(size=n_experts)
    return Mixture(
        coef=coef,
        intercept=intercept,
        gate_coef=gates,
        gate_intercept=np.zeros(n_experts),
        sigma=np.full(n_experts, problem.response_std / problem.standardisation.y_scale),
        link=problem.link,
    )


def random_parameters_start(problem: EmProblem, n_experts: int, rng: np.random.Generator) -> Start:
    """The same as a start, for experts with a link.

    There the first M-step from an assignment is no least squares, and some links (ReLU) have no slope where it
    would begin.
    """
    drawn = random_parameters(problem, n_experts, rng)
    return Start("random parameters", lambda: drawn)


def spectral_start(problem: EmProblem, n_experts: int, rng: np.random.Generator, *, half: bool = False) -> Start:
    """Experts from third-order moments, gates by EM with the experts frozen; see :mod:`moefast.spectral`.

    With `half` the moments are those of a random half of the rows, for a second opinion.
    """
    keep = row_phase(problem, rng) < 0.5 if half else np.ones(len(problem.t), dtype=bool)
    seed = int(rng.integers(2**31))

    def first_look(rows: npt.NDArray[np.bool_]) -> tuple[ScoreMoments, tuple[Floats, Floats, Floats]]:
        samples = (problem.Z[rows], problem.t[rows], problem.weights[rows])
        return first_pass(*samples, n_experts, n_threads=problem.options.n_threads), samples

    def make() -> EmStart:
        everything = np.ones_like(keep)
        scores, samples = first_look(keep if keep.sum() > 1 else everything)
        if scores.rank < n_experts:  # too few different rows in this half
            scores, samples = first_look(everything)
        found = recover_from_moments(
            scores,
            n_experts,
            link=problem.link,
            fit_intercept=problem.options.fit_intercept,
            samples=samples,
            random_state=seed,
            n_threads=problem.options.n_threads,
        )
        return _with_gates(problem, found)

    return Start("spectral, half the rows" if half else "spectral", make)


def l4_start(problem: EmProblem, n_experts: int, rng: np.random.Generator) -> Start:
    """Experts that minimise the L4 loss, gates as in :func:`spectral_start`; see :mod:`moefast.l4`."""
    seed = int(rng.integers(2**31))

    def make() -> EmStart:
        found = l4.recover_from_samples(
            problem.Z,
            problem.t,
            problem.weights,
            n_experts,
            link=problem.link,
            fit_intercept=problem.options.fit_intercept,
            random_state=seed,
            n_threads=problem.options.n_threads,
        )
        return _with_gates(problem, found)

    return Start("L4", make)


def _with_gates(problem: EmProblem, found: SpectralExperts | l4.L4Experts) -> Mixture:
    """Return the experts with gates by a few steps of EM in which the experts are frozen."""
    k, d = found.coef.shape
    start = Mixture(
        coef=found.coef,
        intercept=found.intercept,
        gate_coef=np.zeros((k, d)),
        gate_intercept=np.log(found.weights) - np.log(found.weights[-1]),
        sigma=np.full(k, found.sigma),
        link=problem.link,
    )
    gated = problem.run(start, means=start.expert_means(problem.Z), max_iter=_GATE_ITERATIONS)
    return replace(gated.mixture, coef=start.coef, intercept=start.intercept)


def portfolio(
    problem: EmProblem,
    n_experts: int,
    *,
    start: str,
    n_init: int | Literal["auto"],
    n_parameters: int,
    rng: np.random.Generator,
) -> list[Start]:
    """Return the starts that are to race.

    Parameters
    ----------
    problem : EmProblem
    n_experts : int
        k; one linear expert is least squares, with nothing to race.
    start : {"auto", "spectral", "l4", "random"}
        Spectral and random ones, or one kind. "auto" leaves the spectral ones out when there are fewer linearly
        independent columns than experts, or less weight than parameters: the moments of a handful of rows have
        degenerate eigenspaces, in which rounding picks the directions; and where the link has no moments that
        show the experts (an even one, say).
    n_init : int or "auto"
        How many.
    n_parameters : int
        Of the model.
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
    n = _SPECTRAL_STARTS + _RANDOM_STARTS if n_init == "auto" else int(n_init)
    independent = _n_independent(problem)
    if start in ("spectral", "l4") and independent < k:
        raise ValueError(
            f'start="{start}" needs at least n_experts={k} linearly independent columns, X has {independent}; '
            'use start="auto"'
        )
    if start == "l4":
        return [l4_start(problem, k, rng) for _ in range(1 if n_init == "auto" else n)]
    if start == "spectral":
        n_spectral = n
    elif start == "random" or not _moments_help(problem, k, n_parameters):
        n_spectral = 0
    else:
        n_spectral = max(1, n // 5)
    starts = [spectral_start(problem, k, rng, half=i > 0) for i in range(n_spectral)]
    random_start = random_assignment_start if linear else random_parameters_start
    return starts + [random_start(problem, k, rng) for _ in range(n - n_spectral)]


def search_starts(problem: EmProblem, n_experts: int, n_parameters: int, rng: np.random.Generator) -> list[Start]:
    """Return the starts of a search that are not random: those of both methods, where moments help."""
    if not _moments_help(problem, n_experts, n_parameters):
        return []
    return [spectral_start(problem, n_experts, rng), l4_start(problem, n_experts, rng)]


def _n_independent(problem: EmProblem) -> int:
    return int(problem.Z.shape[1]) - len(problem.constant) - len(problem.collinear)


def _moments_help(problem: EmProblem, k: int, n_parameters: int) -> bool:
    """Whether moments can show k experts."""
    enough = _n_independent(problem) >= k and problem.total_weight >= n_parameters
    return enough and _has_moments(problem)


def _has_moments(problem: EmProblem) -> bool:
    """Whether the link's moments show the experts; see :mod:`moefast.transforms`."""
    if not problem.link.is_linear and far_from_links(float(np.abs(problem.t).max())):
        return False
    try:
        quadratic_transform(problem.link), cubic_transform(problem.link, 0.0)
    except ValueError:
        return False
    return True
