"""How many experts: fits with several numbers of them, compared by BIC or by cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any, Literal

import numpy as np

from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.estimators.model_data import terms_of
from moefast.formulas.design import samples_of
from moefast.randomness import RandomState, get_generator
from moefast.selection.candidate import CRITERIA, Candidate, best_candidate
from moefast.selection.cross_validation import Split, cross_validate, k_folds, without_formula
from moefast.selection.path import fit_all, paths_through
from moefast.selection.result import NExpertsSelection
from moefast.tasks import check_jobs, run_all
from moefast.validation import check_choice, check_flag, check_integer, check_verbose

__all__ = ["select_n_experts"]


def select_n_experts(
    X: Any,
    y: Any = None,
    candidates: Iterable[int] = (1, 2, 3, 4, 5),
    *,
    criterion: Literal["bic", "cv", "icl"] = "bic",
    sample_weight: Any = None,
    groups: Any = None,
    offset: Any = None,
    n_trials: Any = None,
    n_folds: int | None = 5,
    one_standard_error: bool = False,
    path: bool = True,
    random_state: RandomState = None,
    n_jobs: int | None = None,
    n_threads: int | None = None,
    verbose: int = 0,
    **parameters: Any,
) -> NExpertsSelection:
    """Fit mixtures with several numbers of experts and choose among them.

    BIC and cross-validation choose well. ICL counts clusters of rows, not experts: where experts overlap it
    chooses too few. AIC, which the table has too, takes the largest candidate: it is no criterion to choose by.

    Parameters
    ----------
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
        May be left out with a formula, which X is a data frame for.
    candidates : iterable of int
        Numbers of experts, in any order.
    criterion : {"bic", "cv", "icl"}
        "cv" is the log-likelihood of rows held out, by `n_folds` folds.
    sample_weight : array-like of shape (n,), optional
        As for :meth:`MixtureOfExpertsRegressor.fit`; rows held out count with their weight. Copies of a row
        written out may fall into different folds, a weight cannot.
    groups : array-like of shape (n,), optional
        As for :meth:`MixtureOfExpertsRegressor.fit`: rows of a group are of one expert. BIC counts groups, and
        folds are made of whole ones.
    offset, n_trials : float or array-like of shape (n,), optional
        As for :meth:`MixtureOfExpertsRegressor.fit`.
    n_folds : int or None
        Parts of the rows, drawn at random, each held out once. The fits for it are most of the work: None leaves
        cross-validation out.
    one_standard_error : bool
        With "cv": take the fewest experts whose log-likelihood of rows held out is at most one standard error of
        the best below it. Against a tendency to choose too many; it chooses too few more often.
    path : bool
        Where candidates follow each other, each but the first begins at the fit of one expert fewer, with a
        shorter search, and is raced against what fits of one expert more and of one fewer lead to. So it is in
        each fold. False searches for each from nothing, for several times the work: when a fit is to be the one
        that the estimator finds by itself. Nothing changes where parameters leave no search to shorten: `start`,
        `n_init`, `time_budget`, a `link`, or ``polish=False``.
    random_state : int, Generator, RandomState or None
        An integer is that of every fit. With ``path=False`` ``estimators[k]`` is what the estimator finds with it.
        Along the path it may be another optimum, better or worse, and as good on average; its parameters are
        still those of a fit by itself, so a clone of it searches from nothing.
    n_jobs : int or None
        Processes, as in joblib: folds are shared among them, and fits apart. The result does not depend on it.
    n_threads : int or None
        Threads of each fit, as for :class:`MixtureOfExpertsRegressor`. The result does not depend on it.
    verbose : int
        1 shows a progress bar where standard error is a terminal.
    **parameters
        Further parameters of :class:`MixtureOfExpertsRegressor`, for all fits.

    Returns
    -------
    NExpertsSelection
        With ``best_n_experts``, ``best_estimator``, ``table``, ``to_frame()`` and ``plot()``. Fits with collapsed
        experts are marked there, and chosen only when all have them.

    Raises
    ------
    ValueError, TypeError
        For candidates that are no numbers of experts, or more experts than rows to fit them on; for bad data and
        parameters as :meth:`MixtureOfExpertsRegressor.fit`.

    Warns
    -----
    What the chosen fit warns of.

    Examples
    --------
    >>> from moefast import select_n_experts
    >>> from moefast.datasets import make_moe
    >>> X, y, truth = make_moe(500, 3, 2, noise=0.3, random_state=0)
    >>> selection = select_n_experts(X, y, (1, 2, 3), n_folds=None, random_state=0)
    >>> selection.best_n_experts
    2
    >>> selection.best_estimator.predict(X[:1]).shape
    (1,)
    """
    check_choice("criterion", criterion, CRITERIA)
    check_flag("one_standard_error", one_standard_error)
    check_flag("path", path)
    if one_standard_error and criterion != "cv":
        raise ValueError(f'one_standard_error=True needs criterion="cv", got criterion={criterion!r}')
    check_jobs(n_jobs)
    check_verbose(verbose)
    if "n_experts" in parameters:
        raise TypeError("n_experts is what is chosen; give candidates")
    terms = terms_of(X, offset, n_trials)
    samples, formula = samples_of(X, y, sample_weight, parameters.get("formula"), groups, terms, "model")
    n, unit = samples.n_units, "rows" if samples.groups is None else "groups"
    splits = _checked_splits(n, unit, criterion, n_folds, get_generator(random_state))
    counts = _checked_candidates(candidates, n, unit, splits)
    if not isinstance(random_state, (int, np.integer)):  # one seed for all fits
        random_state = int(get_generator(random_state).integers(2**31))
    models = [
        MixtureOfExpertsRegressor(k, random_state=random_state, n_threads=n_threads, **parameters) for k in counts
    ]
    paths = paths_through(models, wanted=path)
    tasks = [(along, X, y, sample_weight, groups, terms) for along in paths]
    fits = list(chain(*run_all(fit_all, tasks, n_jobs, desc="fitting", shown=bool(verbose))))
    table = [Candidate.of(model) for model, _ in fits]
    if splits:
        # What the formula learns it learns of all rows: a fold may lack a level.
        held_out = cross_validate(without_formula(paths, formula), samples, splits, n_jobs, shown=bool(verbose))
        table = [
            replace(row, cv_log_likelihood=cv.mean, cv_standard_error=cv.standard_error)
            for row, cv in zip(table, held_out, strict=True)
        ]
    best = best_candidate(table, criterion, one_standard_error).n_experts
    for message in fits[counts.index(best)][1]:
        warnings.warn(message, stacklevel=2)
    return NExpertsSelection(
        criterion=criterion,
        table=tuple(table),
        estimators={k: model for k, (model, _) in zip(counts, fits, strict=True)},
        best_n_experts=best,
    )


def _checked_candidates(candidates: Iterable[int], n: int, unit: str, splits: Sequence[Split]) -> list[int]:
    """Return the candidates in increasing order."""
    if not np.iterable(candidates) or isinstance(candidates, (str, bytes)):
        raise TypeError(f"candidates must be numbers of experts, such as (1, 2, 3), got {candidates!r}")
    counts = list(candidates)
    if not counts:
        raise ValueError("candidates is empty; give at least one number of experts")
    for i, k in enumerate(counts):
        check_integer(f"candidates[{i}]", k)
    counts = sorted(int(k) for k in counts)
    twice = [k for k, following in pairwise(counts) if k == following]
    if twice:
        raise ValueError(f"candidates has {twice[0]} more than once")
    fewest = min([n, *(len(rows) for rows, _ in splits)])
    if counts[-1] > fewest:
        without = f" outside a fold of {len(splits)}" if splits else ""
        raise ValueError(
            f"candidates has {counts[-1]} experts, more than the {fewest} {unit} of positive weight{without}; ask "
            "for fewer experts or give more data"
        )
    return counts


def _checked_splits(
    n: int, unit: str, criterion: str, n_folds: int | None, rng: np.random.Generator
) -> list[Split]:
    """Return the splits of cross-validation, none without it."""
    if n_folds is None:
        if criterion == "cv":
            raise ValueError('criterion="cv" needs a number of folds, got n_folds=None')
        return []
    check_integer("n_folds", n_folds, low=2)
    if n_folds > n:
        raise ValueError(
            f"n_folds={n_folds} is more than the {n} {unit} of positive weight; take fewer, or None for no "
            "cross-validation"
        )
    return k_folds(n, int(n_folds), int(rng.integers(2**31)))
