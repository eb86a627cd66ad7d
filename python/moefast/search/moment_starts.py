"""Starts from the moments: experts of method 1 (spectral) or 2 (L4), gates by EM with the experts frozen.

Where experts see at least k columns that gates do not see, the moments of these columns given those of the gates
(:mod:`moefast.spectral.given_gates`) are right under any gates, norms and intercepts, and are offered too.

Where experts see some of the columns only, the moments are those of these columns, of which there have to be k
independent ones. What y follows given these columns alone is again a mixture with these experts, whose gates are
averages over the other columns: the theory holds as before where gates see no column that experts do not see, and
best of all for constant gates, or where what only gates see is independent of what experts see. Else the averages
are no softmax and the start is one among others, which EM judges by its likelihood.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from moefast.em.fit import PlainStart
from moefast.em.problem import EmProblem
from moefast.em.rows import row_phase
from moefast.families import GAUSSIAN
from moefast.l4 import recover as l4
from moefast.mixture import Mixture
from moefast.moments.options import MomentOptions
from moefast.moments.scores import ScoreMoments
from moefast.moments.source import first_pass
from moefast.samples import Samples
from moefast.search.some_rows import some_rows
from moefast.search.starts import Start
from moefast.spectral.conditional_scores import ConditionalScores
from moefast.spectral.experts import SpectralExperts, recover_from_moments
from moefast.spectral.given_gates import ColumnRoles, recover_given_gates
from moefast.spectral.response import far_from_links
from moefast.transforms.polynomial import cubic_transform, quadratic_transform

__all__ = [
    "conditional_moments_help",
    "conditional_start",
    "l4_start",
    "moment_starts",
    "moments_help",
    "n_independent",
    "spectral_start",
    "spectral_starts",
]


_GATE_ITERATIONS = 30
# From fewer different rows, moments of order four lead nowhere in particular, and to find that out takes as long
# as 500 iterations of EM. Those given the gates' columns are no better than the others then: with 3 experts and 9
# columns, EM from them ended within 1 of the best in 12 of 20 simulated sets of 1000 rows (from the others in 11),
# and in 40 of 40 of 2000 and 5000 rows (in 32).
_MANY_ROWS = 2000
# Different rows, about, that these take: EM goes on from there on few rows, too.
_GATE_ROWS = 10_000


def spectral_start(problem: EmProblem, n_experts: int, rng: np.random.Generator, *, half: bool = False) -> Start:
    """Experts from third-order moments, gates by EM with the experts frozen; see :mod:`moefast.spectral`.

    With `half` the moments are those of a random half of the rows, for a second opinion.
    """
    keep = row_phase(problem, rng) < 0.5 if half else np.ones(len(problem.t), dtype=bool)
    seed = int(rng.integers(2**31))

    options = _moment_options(problem)

    def first_look(rows: npt.NDArray[np.bool_]) -> tuple[ScoreMoments, Samples]:
        whole = problem.expert_samples
        samples = Samples(whole.X[rows], whole.y[rows], whole.sample_weight[rows])
        return first_pass(samples, n_experts, options), samples

    def make() -> PlainStart:
        everything = np.ones_like(keep)
        scores, samples = first_look(keep if keep.sum() > 1 else everything)
        if scores.rank < n_experts:  # too few different rows in this half
            scores, samples = first_look(everything)
        found = recover_from_moments(scores, n_experts, options, samples=samples, random_state=seed)
        return _with_gates(problem, found, seed)

    return Start("spectral, half the rows" if half else "spectral", make)


def conditional_start(problem: EmProblem, n_experts: int, rng: np.random.Generator) -> Start:
    """Experts from the moments of their own columns given the gates'; see :mod:`moefast.spectral.given_gates`."""
    seed = int(rng.integers(2**31))

    def make() -> PlainStart:
        roles, em = _column_roles(problem), problem.options
        samples = Samples(problem.Z, problem.t, problem.sample_weight)
        scores = ConditionalScores.of(samples, roles.own, roles.gates, em.n_threads)
        if scores.rank < n_experts:  # some of these columns are combinations of the gates' columns
            instead: PlainStart = spectral_start(problem, n_experts, np.random.default_rng(seed)).make()
            return instead
        found = recover_given_gates(samples, scores, roles, n_experts, em.fit_intercept, seed)
        return _with_gates(problem, replace(found, coef=problem.expert_design.take(found.coef)), seed)

    return Start("spectral, given the gates' columns", make)


def conditional_moments_help(problem: EmProblem, n_experts: int) -> bool:
    """Whether experts are linear, their noise normal, and they see enough columns that gates do not see."""
    plain = problem.link.is_linear and problem.family is GAUSSIAN
    return plain and len(_column_roles(problem).own) >= n_experts


def _column_roles(problem: EmProblem) -> ColumnRoles:
    em = problem.options
    return ColumnRoles.of(em.expert_columns, em.gate_columns, problem.features.shape[1])


def l4_start(problem: EmProblem, n_experts: int, rng: np.random.Generator) -> Start:
    """Experts that minimise the L4 loss, gates as in :func:`spectral_start`; see :mod:`moefast.l4`."""
    seed = int(rng.integers(2**31))

    def make() -> PlainStart:
        found = l4.recover_from_samples(
            problem.expert_samples, n_experts, _moment_options(problem), random_state=seed
        )
        return _with_gates(problem, found, seed)

    return Start("L4", make)


def _moment_options(problem: EmProblem) -> MomentOptions:
    em = problem.options
    return MomentOptions(problem.link, fit_intercept=em.fit_intercept, n_threads=em.n_threads)


def _with_gates(problem: EmProblem, found: SpectralExperts | l4.L4Experts, seed: int) -> Mixture:
    """Return the experts with gates by a few steps of EM in which the experts are frozen."""
    problem = some_rows(problem, _GATE_ROWS, np.random.default_rng(seed))
    k, d = len(found.coef), problem.features.shape[1]
    start = Mixture(
        coef=problem.expert_design.spread(found.coef),
        intercept=found.intercept,
        gate_coef=np.zeros((k, d)),
        gate_intercept=np.log(found.proportions) - np.log(found.proportions[-1]),
        sigma=np.full(k, found.sigma),
        link=problem.link,
    )
    gated = problem.run(start, means=start.expert_means(problem.Z), max_iter=_GATE_ITERATIONS)
    return replace(gated.mixture, coef=start.coef, intercept=start.intercept)


def moment_starts(problem: EmProblem, n_experts: int, n_parameters: int, rng: np.random.Generator) -> list[Start]:
    """Return one start of each method, the most promising first, none where moments do not help."""
    if not moments_help(problem, n_experts, n_parameters):
        return []
    starts = [spectral_start(problem, n_experts, rng)]
    if problem.n_distinct >= _MANY_ROWS:
        starts.append(l4_start(problem, n_experts, rng))
        if conditional_moments_help(problem, n_experts):
            starts.insert(0, conditional_start(problem, n_experts, rng))
    return starts


def spectral_starts(problem: EmProblem, n_experts: int, n: int, rng: np.random.Generator) -> list[Start]:
    """Return n starts from third-order moments: one of all rows, given the gates' columns if that helps."""
    if n == 0:
        return []
    helps = conditional_moments_help(problem, n_experts)
    first = (conditional_start if helps else spectral_start)(problem, n_experts, rng)
    return [first, *(spectral_start(problem, n_experts, rng, half=True) for _ in range(n - 1))]


def n_independent(problem: EmProblem) -> int:
    """Return the number of linearly independent columns among those that experts see, constants not counted."""
    return problem.expert_design.n_varying


def moments_help(problem: EmProblem, k: int, n_parameters: int) -> bool:
    """Whether moments can show k experts."""
    enough = n_independent(problem) >= k and problem.n_distinct >= n_parameters
    return enough and problem.family == GAUSSIAN and _has_moments(problem)


def _has_moments(problem: EmProblem) -> bool:
    """Whether the link's moments show the experts; see :mod:`moefast.transforms`."""
    if not problem.link.is_linear and far_from_links(float(np.abs(problem.t).max())):
        return False
    try:
        quadratic_transform(problem.link), cubic_transform(problem.link, 0.0)
    except ValueError:
        return False
    return True
