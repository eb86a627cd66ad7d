"""The bootstrap: how estimates vary from one resampled data set to the next."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from moefast._typing import Floats
from moefast.em.fit import EmFit
from moefast.em.problem import EmProblem
from moefast.inference.fit import Fit
from moefast.mixture import Mixture
from moefast.progress import progress_bar
from moefast.randomness import RandomState, get_generator
from moefast.repeated import draw_groups
from moefast.search.given_starts import best_of_starts
from moefast.search.random_starts import RandomStarts
from moefast.search.settings import SearchSettings
from moefast.threads import resolve_threads
from moefast.validation import check_choice, check_integer, check_verbose

__all__ = ["KINDS", "BootstrapOptions", "Replicates", "aligned", "bootstrap", "matching", "weighted_units"]

# Random starts of a cold replicate, which compete by successive halving.
_COLD_STARTS = 10
# A better optimum is better by at least this much log-likelihood.
_BETTER = 0.5
# Share of the cold replicates with a better optimum from which on optima compete. Of 160 simulated data sets of
# 500 rows (bench/coverage.py) 72 had as many in 20; there the robust intervals of experts covered 76 % in place of
# 95, in the others 95.
_COMPETING = 0.1
# Replicates a thread takes at a time.
_BATCH = 8


@dataclass(frozen=True)
class BootstrapOptions:
    """Settings of the bootstrap, checked when made; see :meth:`InferenceResult.bootstrap`."""

    n_replicates: int = 500
    kind: Literal["weighted", "pairs", "parametric"] = "weighted"
    start: Literal["warm", "cold"] = "warm"
    n_threads: int | None = None
    verbose: int = 0

    def __post_init__(self) -> None:
        check_integer("n_replicates", self.n_replicates, low=2)
        check_choice("kind", self.kind, tuple(KINDS))
        check_choice("start", self.start, ("warm", "cold"))
        resolve_threads(self.n_threads)
        check_verbose(self.verbose)


Resample: TypeAlias = Callable[[Fit, np.random.Generator], EmProblem]


@dataclass(frozen=True, eq=False)
class Replicates:
    """Refits to resampled data.

    Attributes
    ----------
    theta : ndarray of shape (n_replicates, P)
        In standard units, experts in the order of the fit's.
    options : BootstrapOptions
    n_better : int or None
        Of cold replicates: in how many of them random starts found a better optimum than the fit led to.
    """

    theta: Floats
    options: BootstrapOptions
    n_better: int | None

    @property
    def messages(self) -> tuple[str, ...]:
        """What to know before the replicates are used."""
        n, n_better = self.options.n_replicates, self.n_better
        if n_better is None or n_better < _COMPETING * n:
            return ()
        return (
            f"in {n_better} of {n} replicates random starts found a better optimum than the fit led to: several "
            "optima compete, and intervals that keep to one (inference(), warm replicates) are too short; take "
            "fewer experts or more rows",
        )


def bootstrap(fit: Fit, options: BootstrapOptions, random_state: RandomState = None) -> Replicates:
    """Refit the model to resampled data, see :meth:`InferenceResult.bootstrap`."""
    _check_kind(fit, options.kind)
    fit = _one_thread(fit)
    posterior = fit.problem.responsibilities(fit.mixture) * fit.problem.sample_weight[:, None]
    # A seed for each replicate: what it draws depends neither on the others nor on the thread that runs it.
    seeds = get_generator(random_state).integers(2**63, size=options.n_replicates)

    def replicate(seed: int) -> tuple[Floats, bool]:
        rng = np.random.default_rng(seed)
        problem = KINDS[options.kind](fit, rng)
        found, better = _refit(problem, fit.mixture, rng if options.start == "cold" else None)
        return fit.precision.layout.vector(aligned(found, fit.problem, posterior)), better

    found = _all(replicate, seeds, options)
    n_better = sum(better for _, better in found) if options.start == "cold" else None
    return Replicates(np.array([theta for theta, _ in found]), options, n_better)


def aligned(mixture: Mixture, problem: EmProblem, posterior: Floats) -> Mixture:
    """Return a refit with its experts in the order of the fit's.

    They are paired so that the two agree most on who is responsible for the rows of the original data: numbers
    without units, unlike distances of parameters.

    Parameters
    ----------
    mixture : Mixture
        The refit, in the units of `problem`.
    problem : EmProblem
        The original data.
    posterior : ndarray of shape (n, k)
        The fit's responsibilities times the weights of the rows.
    """
    return mixture.ordered(matching(posterior, problem.responsibilities(mixture)))


def matching(posterior: Floats, other: Floats) -> npt.NDArray[np.intp]:
    """Return, for each expert of a fit, the one of a refit that has the same rows, of as many experts; shape (k,).

    Parameters
    ----------
    posterior : ndarray of shape (n, k)
        The fit's responsibilities times the weights of the rows.
    other : ndarray of shape (n, k)
        The refit's responsibilities for the same rows.
    """
    return np.asarray(linear_sum_assignment(-(posterior.T @ other))[1])


def weighted_units(unit_weight: Floats, rng: np.random.Generator) -> Floats:
    """Return weights of a replicate for rows, or groups that share an expert, of these weights, shape (n,).

    A row of weight w is w copies, each with an exponential weight: together a gamma variable of shape w.
    """
    return rng.standard_gamma(unit_weight)


def _weighted(fit: Fit, rng: np.random.Generator) -> EmProblem:
    problem = fit.problem
    if fit.groups is None:
        return problem.reweighted(problem.for_rows(weighted_units(problem.unit_weight, rng)))
    return problem.reweighted(problem.sample_weight * rng.standard_exponential(_n_groups(fit.groups))[fit.groups])


def _pairs(fit: Fit, rng: np.random.Generator) -> EmProblem:
    problem = fit.problem
    if fit.groups is None:
        total = problem.total_unit_weight
        drawn = rng.multinomial(round(total), problem.unit_weight / total).astype(np.float64)
        return problem.reweighted(problem.for_rows(drawn))
    n_groups = _n_groups(fit.groups)
    return problem.reweighted(
        problem.sample_weight * rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups))[fit.groups]
    )


def _parametric(fit: Fit, rng: np.random.Generator) -> EmProblem:
    problem = fit.problem
    if problem.groups is not None:
        return problem.with_response(
            draw_groups(fit.mixture, problem.Z, problem.groups, rng, problem.response.terms)
        )
    return problem.with_response(fit.mixture.draw(problem.Z, rng, problem.response.terms))


KINDS: dict[str, Resample] = {"weighted": _weighted, "pairs": _pairs, "parametric": _parametric}
"""Ways to resample a fit's data, by name."""


def _n_groups(groups: npt.NDArray[np.intp]) -> int:
    return int(groups.max()) + 1


def _check_kind(fit: Fit, kind: str) -> None:
    """Refuse a parametric bootstrap of data whose dependence or multiplicity a drawn response does not have."""
    if kind != "parametric":
        return
    if fit.groups is not None:
        raise ValueError('kind="parametric" draws independent rows, which rows of groups are not; take "weighted"')
    weights = fit.problem.sample_weight
    if weights.min() != weights.max():
        raise ValueError(
            'kind="parametric" draws a response for each row, so sample_weight must be the same for all; repeat '
            'rows in place of weights, or take "weighted"'
        )


def _refit(problem: EmProblem, start: Mixture, rng: np.random.Generator | None) -> tuple[Mixture, bool]:
    """Return the refit, and whether random starts (drawn by `rng`) found a better one than the fit leads to.

    Optima compete under the ridge of the search, which takes gates off that cut single rows away: a row of large
    weight would tempt them.
    """
    if rng is None:
        return problem.run(start).mixture, False
    settings = SearchSettings()
    ridged = problem.with_gate_alpha(max(problem.options.gate_ridge, settings.gate_alpha * problem.weight_per_row))
    warm = ridged.run(start)
    starts = RandomStarts(ridged, start.n_experts, rng, settings).draw(_COLD_STARTS)
    cold, _ = best_of_starts(ridged, starts, settings=settings)
    gain = _objective(cold) - _objective(warm)
    if not gain > 0 or (cold.collapsed and not warm.collapsed):
        return problem.run(warm.mixture).mixture, False
    return problem.run(cold.mixture).mixture, gain > _BETTER


def _objective(fit: EmFit) -> float:
    return float(fit.trace[-1])


def _one_thread(fit: Fit) -> Fit:
    """Return a fit whose problem runs EM on one thread: replicates share the threads among them."""
    return replace(fit, problem=fit.problem.with_threads(1))


def _all(
    replicate: Callable[[int], tuple[Floats, bool]], seeds: npt.NDArray[Any], options: BootstrapOptions
) -> list[tuple[Floats, bool]]:
    """Return every replicate, in the order of the seeds."""
    batches = np.split(seeds, range(_BATCH, len(seeds), _BATCH))
    n_threads = min(resolve_threads(options.n_threads), len(batches))

    def run(batch: npt.NDArray[Any]) -> list[tuple[Floats, bool]]:
        return [replicate(int(seed)) for seed in batch]

    found: list[tuple[Floats, bool]] = []
    with progress_bar(shown=bool(options.verbose), total=len(seeds), desc="bootstrap", leave=False) as bar:
        if n_threads == 1:
            for batch in batches:
                found += run(batch)
                bar.update(len(batch))
            return found
        with ThreadPoolExecutor(n_threads) as pool:
            try:
                for done in pool.map(run, batches):
                    found += done
                    bar.update(len(done))
            except BaseException:  # also Ctrl-C: what has not begun never does
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return found
