"""What both papers compare with: joint EM from simple starts, and gradient descent.

Each function does one thing from a start of one kind, with no search and no second chance: the estimator is
what combines them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from moefast.baselines.gradient_descent import GradientFit, fit_gradient_descent
from moefast.em.fit import EmFit, EmStart, HardAssignment
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.links import Link, get_link
from moefast.mixture import Mixture
from moefast.randomness import RandomState, get_generator
from moefast.search.starts import random_assignment_start, random_parameters
from moefast.validation import check_choice, check_integer, check_samples

__all__ = ["EmStartKind", "GradientFit", "fit_gradient_descent", "fit_joint_em", "fit_joint_em_many"]


EmStartKind: TypeAlias = Literal["random assignment", "random parameters", "kmeans", "annealed"]

# Annealing: at each level the noise falls by this factor at most, and the rest follows for some iterations. On
# simulated data with k = 4 to 8 this was the slowest cooling that found the truth as often as EM with free noise;
# at 0.8 and 0.9 it did less often: experts that large noise has brought together part too late.
_COOLING = 0.7
_LEVEL_ITERATIONS = 2


def fit_joint_em(
    X: Any,
    y: Any,
    n_experts: int,
    *,
    start: EmStartKind = "random assignment",
    options: EmOptions | None = None,
    sample_weight: Any = None,
    link: str | Link | Callable[[Any], Any] = "linear",
    random_state: RandomState = None,
) -> EmFit:
    """Run joint EM from one start until it settles.

    The same as :func:`fit_joint_em_many` with one start, where parameters, errors and warnings are described.

    Parameters
    ----------
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
    n_experts : int
    start : {"random assignment", "random parameters", "kmeans", "annealed"}
    options : EmOptions, optional
    sample_weight : array-like of shape (n,), optional
    link : str, Link or callable
    random_state : int, Generator, RandomState or None

    Returns
    -------
    EmFit
        In the units of the data.

    Examples
    --------
    >>> from moefast.baselines import fit_joint_em
    >>> from moefast.datasets import make_moe
    >>> X, y, truth = make_moe(2000, 4, 2, random_state=0)
    >>> fit = fit_joint_em(X, y, 2, start="annealed", random_state=0)
    >>> fit.converged, fit.mixture.sigma.round(2)
    (True, array([0.1, 0.1]))
    """
    (fit,) = fit_joint_em_many(
        X,
        y,
        n_experts,
        n_starts=1,
        start=start,
        options=options,
        sample_weight=sample_weight,
        link=link,
        random_state=random_state,
    )
    return fit


def fit_joint_em_many(
    X: Any,
    y: Any,
    n_experts: int,
    *,
    n_starts: int,
    start: EmStartKind = "random assignment",
    options: EmOptions | None = None,
    sample_weight: Any = None,
    link: str | Link | Callable[[Any], Any] = "linear",
    random_state: RandomState = None,
) -> list[EmFit]:
    """Run joint EM from several starts of one kind, in parallel, each until it settles.

    Parameters
    ----------
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
    n_experts : int
        k.
    n_starts : int
    start : {"random assignment", "random parameters", "kmeans", "annealed"}
        Each row belongs to an expert drawn at random; or experts of norm 1 and random direction with nearly
        flat random gates and the noise of the response, in standard units; or the clusters of k-means on (x, y)
        in standard units; or random parameters whose noise falls by a factor of 0.7 at a time, with two
        iterations in between, until the data want more noise than that, and is free from there on.
    options : EmOptions, optional
    sample_weight : array-like of shape (n,), optional
    link : str, Link or callable
        The link g. With another than "linear" the starts are "random parameters" and "annealed": an assignment is
        fitted by least squares.
    random_state : int, Generator, RandomState or None

    Returns
    -------
    list of EmFit
        In the units of the data and the order of the starts, which for one seed are the same for any `n_starts`
        up to how many there are. Of an annealed run `n_iter` counts all iterations and `trace` holds those with
        free noise.

    Raises
    ------
    ValueError, TypeError
        For bad input; the message names the argument or the column.

    Warns
    -----
    ConvergenceWarning
        When a run did not settle.

    References
    ----------
    Jordan, Jacobs, "Hierarchical mixtures of experts and the EM algorithm", Neural Computation 1994. Annealing:
    Ueda, Nakano, "Deterministic annealing EM algorithm", Neural Networks 1998, here of the noise alone.

    Examples
    --------
    >>> from moefast.baselines import fit_joint_em_many
    >>> from moefast.datasets import make_moe
    >>> X, y, truth = make_moe(2000, 4, 2, random_state=0)
    >>> fits = fit_joint_em_many(X, y, 2, n_starts=3, start="kmeans", random_state=0)
    >>> [fit.converged for fit in fits]
    [True, True, True]
    """
    check_choice("start", start, tuple(_STARTS))
    check_integer("n_experts", n_experts)
    check_integer("n_starts", n_starts)
    link = get_link(link)
    if start in _LINEAR_STARTS and not link.is_linear:
        raise ValueError(
            f'start={start!r} serves linear experts, got link={link.name!r}; use start="random parameters"'
        )
    samples = check_samples(X, y, sample_weight)
    check_integer("n_experts", n_experts, high=samples.n_rows)
    problem = EmProblem(samples, EmOptions.given(options), link)
    rng = get_generator(random_state)
    begins = [_STARTS[start](problem, n_experts, rng) for _ in range(n_starts)]
    iterations = [0] * n_starts
    if start == "annealed":
        begins, iterations = _anneal(problem, cast("list[Mixture]", begins))
    fits = [
        problem.result(replace(fit, n_iter=fit.n_iter + before))
        for fit, before in zip(problem.run_many(begins), iterations, strict=True)
    ]
    unsettled = sum(not fit.converged for fit in fits)
    if unsettled:
        warnings.warn(
            f"{unsettled} of {n_starts} EM runs did not settle ({', '.join(sorted({f.status for f in fits}))}); "
            "raise max_iter or tol",
            ConvergenceWarning,
            stacklevel=2,
        )
    return fits


def _assignment(problem: EmProblem, n_experts: int, rng: np.random.Generator) -> EmStart:
    start: EmStart = random_assignment_start(problem, n_experts, rng).make()
    return start


def _clusters(problem: EmProblem, n_experts: int, rng: np.random.Generator) -> HardAssignment:
    means = KMeans(n_experts, n_init=1, random_state=int(rng.integers(2**31)))
    labels = means.fit_predict(np.column_stack([problem.Z, problem.t]), sample_weight=problem.sample_weight)
    return HardAssignment(labels.astype(np.int32), n_experts)


_STARTS: dict[str, Callable[[EmProblem, int, np.random.Generator], EmStart]] = {
    "random assignment": _assignment,
    "random parameters": random_parameters,
    "kmeans": _clusters,
    "annealed": random_parameters,
}


_LINEAR_STARTS = ("random assignment", "kmeans")


def _anneal(problem: EmProblem, mixtures: list[Mixture]) -> tuple[list[EmStart], list[int]]:
    """Lower the noise level by level; return where free EM goes on from, and the iterations up to there."""
    mixtures, iterations = list(mixtures), [0] * len(mixtures)
    cooling = list(range(len(mixtures)))
    while cooling:
        held = problem.run_many([mixtures[i] for i in cooling], update_noise=False, max_iter=_LEVEL_ITERATIONS)
        freed = problem.run_many([fit.mixture for fit in held], max_iter=1)
        warm = []
        for i, hold, free in zip(cooling, held, freed, strict=True):
            wanted, lowest = free.mixture.sigma, _COOLING * mixtures[i].sigma
            mixtures[i] = replace(free.mixture, sigma=np.maximum(wanted, lowest))
            iterations[i] += hold.n_iter + free.n_iter
            if (wanted < lowest).any():
                warm.append(i)
        cooling = warm
    return list(mixtures), iterations
