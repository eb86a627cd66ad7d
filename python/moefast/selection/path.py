"""Fits along a path: every one begun at that of one expert fewer, then raced against what others lead to."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning

from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.estimators.flat_gates import SharedRows
from moefast.links import get_link
from moefast.samples import NO_TERMS, RowTerms
from moefast.search.settings import SearchSettings

__all__ = ["Fitted", "fit_all", "paths_through"]

Fitted: TypeAlias = tuple[MixtureOfExpertsRegressor, list[Warning]]
"""A fit, and what it warns of."""


def paths_through(
    models: Sequence[MixtureOfExpertsRegressor], *, wanted: bool
) -> list[list[MixtureOfExpertsRegressor]]:
    """Return the models in runs of one expert more each; each alone where there is no search to shorten.

    Parameters
    ----------
    models : sequence of MixtureOfExpertsRegressor
        In increasing order of experts, alike in all other parameters.
    wanted : bool
        False leaves each alone.
    """
    runs: list[list[MixtureOfExpertsRegressor]] = []
    for model in models:
        if runs and wanted and _searches(model) and model.n_experts == runs[-1][-1].n_experts + 1:
            runs[-1].append(model)
        else:
            runs.append([model])
    return runs


def _searches(model: MixtureOfExpertsRegressor) -> bool:
    """Whether the fit is a search of its own length."""
    open_start = isinstance(model.start, str) and model.start == "auto" and model.n_init == "auto"
    return open_start and model.polish and model.time_budget is None and get_link(model.link).is_linear


def fit_all(
    models: Sequence[MixtureOfExpertsRegressor],
    X: Any,
    y: Any,
    sample_weight: Any,
    groups: Any = None,
    terms: RowTerms = NO_TERMS,
) -> list[Fitted]:
    """Return fitted copies of the models, of one expert more each, and what they warn of.

    The first is searched for from nothing, the others from the splits of the one before. Back on the way down the
    merges of each are raced against the one before, and up again the splits of those that this has made better
    against the one behind: what is found for one number of experts serves the others. One expert has nothing to
    gain.
    """
    of_rows = {"offset": terms.offset, "n_trials": terms.n_trials}
    data = {"X": X, "y": y, "sample_weight": sample_weight, "groups": groups, **of_rows}
    rows = SharedRows()
    fits: list[Fitted] = []
    for model in models:
        fits.append(_fit(model, data, rows, fits[-1][0] if fits else None))
    better: set[int] = set()

    def race(i: int, begin: int) -> None:
        other = _fit(models[i], data, rows, fits[begin][0], fits[i][0])
        if _better(other[0], fits[i][0]):
            fits[i] = other
            better.add(i)

    for i in range(len(models) - 2, -1, -1):
        if models[i].n_experts > 1:
            race(i, i + 1)
    for i in range(1, len(models)):
        if i - 1 in better:
            race(i, i - 1)
    return fits


def _fit(
    model: MixtureOfExpertsRegressor,
    data: dict[str, Any],
    rows: SharedRows,
    begin: MixtureOfExpertsRegressor | None,
    known: MixtureOfExpertsRegressor | None = None,
) -> Fitted:
    """Return a fitted copy, with the parameters of the model whatever it began at, or was to be better than."""
    fitted = clone(model)
    if begin is not None:
        fitted.set_params(start=begin)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DataConversionWarning)  # told before any fit
        fitted.fit_on(rows, data, None if known is None else known.mixture_)
    if begin is not None:  # a copy of the result is to search, not to hold all fits before it
        fitted.set_params(start=model.start)
    return fitted, [warning.message for warning in caught if isinstance(warning.message, Warning)]


def _better(one: MixtureOfExpertsRegressor, other: MixtureOfExpertsRegressor) -> bool:
    """Whether the one is at a better optimum; collapsed experts make a likelihood of no meaning."""
    collapsed = bool(one.fit_report_.collapsed), bool(other.fit_report_.collapsed)
    if collapsed[0] != collapsed[1]:
        return collapsed[1]
    same = SearchSettings().same_optimum * one.training_weight_
    return bool(one.log_likelihood_ > other.log_likelihood_ + same)
