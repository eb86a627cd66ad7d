"""Log-likelihood of rows held out: every row by a fit that has not seen it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.estimators.model_data import on_design_matrix, with_names
from moefast.formulas.fitted import FittedFormula
from moefast.mixture import GatedExperts
from moefast.power_of_two import over_power_of_two
from moefast.repeated import group_log_density
from moefast.samples import Samples
from moefast.selection.path import fit_all
from moefast.tasks import run_all

__all__ = ["HeldOut", "Split", "cross_validate", "k_folds", "unit_log_density", "without_formula"]

# Where a fit is of no use, so that means and standard errors stay numbers.
_LEAST_LOG_DENSITY = -1e100

Split: TypeAlias = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
"""Rows to fit on and rows to hold out, or groups where rows are in some."""


@dataclass(frozen=True)
class HeldOut:
    """The log-likelihood of rows that the fit has not seen, for each unit of weight.

    Attributes
    ----------
    mean : float
    standard_error : float
        Of the mean, over rows or groups: a weight of 3 counts as three.
    """

    mean: float
    standard_error: float

    @classmethod
    def of(cls, log_density: Floats, weights: Floats) -> HeldOut:
        """Return mean and standard error of log P(y | x) over rows, both arguments of shape (n,)."""
        # Sums may leave the range too; an even power of two has a root.
        half = (int(np.frexp(weights.max())[1]) + 1) // 2
        weights = np.ldexp(weights, -2 * half)
        total = float(weights.sum())
        mean = float(weights @ log_density) / total
        deviation, exponent = over_power_of_two(log_density - mean)
        squares = float(weights @ deviation**2)
        return cls(mean, math.ldexp(math.sqrt(squares) / total, int(exponent[0]) - half))


def unit_log_density(mixture: GatedExperts, samples: Samples) -> Floats:
    """Return log P of each row or group, not below `_LEAST_LOG_DENSITY`."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if samples.groups is None:
            found = mixture.log_density(samples.X, samples.y, samples.terms)
        else:
            found = group_log_density(mixture, samples.X, samples.y, samples.groups, samples.terms)
    return np.maximum(np.where(np.isnan(found), -np.inf, found), _LEAST_LOG_DENSITY)


def k_folds(n_rows: int, n_folds: int, seed: int) -> list[Split]:
    """Return `n_folds` splits of the rows, drawn at random; each row is held out once."""
    from sklearn.model_selection import KFold  # loads much that fitting does not need

    return list(KFold(n_folds, shuffle=True, random_state=seed).split(np.empty(n_rows)))


def without_formula(
    paths: Sequence[Sequence[MixtureOfExpertsRegressor]], formula: FittedFormula | None
) -> list[list[MixtureOfExpertsRegressor]]:
    """Return the models as they are without their formula, for its design matrix."""
    if formula is None:
        return [list(path) for path in paths]
    return [[on_design_matrix(model, formula) for model in path] for path in paths]


def cross_validate(
    paths: Sequence[Sequence[MixtureOfExpertsRegressor]],
    samples: Samples,
    splits: Sequence[Split],
    n_jobs: int | None,
    *,
    shown: bool,
) -> list[HeldOut]:
    """Fit every model outside every fold, and return what each makes of the rows held out.

    Parameters
    ----------
    paths : sequence of sequence of MixtureOfExpertsRegressor
        Those of each are fitted along a path, see :mod:`moefast.selection.path`. Not changed.
    samples : Samples
    splits : sequence of Split
        Each row, or group of rows, is held out once.
    n_jobs : int or None
    shown : bool
        Whether there is a progress bar.
    """
    X = with_names(samples)
    tasks = [(path, X, samples, split) for path in paths for split in splits]
    found = run_all(_held_out, tasks, n_jobs, desc="cross-validating", shown=shown)
    results = []
    for i, path in enumerate(paths):
        log_density = np.empty((len(path), samples.n_units))
        for j, (_, out) in enumerate(splits):
            log_density[:, out] = found[i * len(splits) + j]
        results += [HeldOut.of(of_model, samples.unit_weight) for of_model in log_density]
    return results


def _held_out(path: Sequence[MixtureOfExpertsRegressor], X: Any, samples: Samples, split: Split) -> Floats:
    """Return log P(y | x) of what is held out, shape (number of models, number of rows or groups held out)."""
    rows, out = (samples.rows_of(units) for units in split)
    y, weights, groups, terms = samples.y, samples.sample_weight, samples.groups, samples.terms
    if groups is None:
        # What is wrong with a fold's fit shows in the result.
        fits = fit_all(path, _rows(X, rows), y[rows], weights[rows], None, terms[rows])
        of_out = {"offset": terms[out].offset, "n_trials": terms[out].n_trials}
        return np.stack([fitted.score_samples(_rows(X, out), y[out], **of_out) for fitted, _ in fits])
    fits = fit_all(path, _rows(X, rows), y[rows], weights[rows], groups.of_rows[rows], terms[rows])
    held_out = np.asarray(_rows(X, out), dtype=np.float64)
    groups_out, terms_out = groups.take(split[1]), terms[out]
    return np.stack(
        [group_log_density(fitted.mixture_, held_out, y[out], groups_out, terms_out) for fitted, _ in fits]
    )


def _rows(X: Any, rows: npt.NDArray[np.intp]) -> Any:
    return X[rows] if isinstance(X, np.ndarray) else X.iloc[rows]
