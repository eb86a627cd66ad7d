"""From a setting of the grid and the data to the folds of its path."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sklearn.exceptions import DataConversionWarning

from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.families import Family
from moefast.samples import Samples
from moefast.selection.folds import checked_folds
from moefast.selection.grid import Grid, default_counts, default_work, knows_trees, refuse_samples_of_trees
from moefast.selection.grid_search import Branch
from moefast.selection.ridge_path import Fold
from moefast.validation import check_weights

__all__ = ["branch_of"]


def branch_of(
    regressor: MixtureOfExpertsRegressor,
    setting: dict[str, Any],
    grid: Grid,
    cv: Any,
    data: tuple[Any, ...],
    seed: int,
) -> Branch | None:
    """Return the folds of the settings that share a path; None where another's are the same.

    Parameters
    ----------
    regressor : MixtureOfExpertsRegressor
        Of the setting, not fitted.
    setting : dict
        Parameters beside experts and ridges.
    grid : Grid
    cv : int, splitter or iterable
    data : tuple
        What ``fit`` is given.
    seed : int
        Draws the folds and the starts.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataConversionWarning)  # told by the last fit
        samples, options = regressor._prepared(*data)
    if grid.trees:
        refuse_samples_of_trees(samples)
    if "noise_floor" in setting and regressor._family(samples.n_responses).has_scale:
        setting = {**setting, "noise_floor": max(setting["noise_floor"], samples.rounded_noise)}
        options = replace(options, noise_floor=setting["noise_floor"])
    others = [basis for basis in grid.bases if basis != setting["gate_basis"]]
    if others and setting["gate_basis"] != "linear" and regressor.gate_basis_ is None:
        return None  # there are no functions of these columns
    X, y, sample_weight, _, _, groups = data
    rows = check_weights(sample_weight, regressor._n_rows(X)) > 0
    splits = checked_folds(cv, samples, rows, (X, y, groups), seed)
    family = regressor._family(samples.n_responses)
    folds = [
        Fold(samples.of_units(inside), samples.of_units(outside), options, family, grid.ridges)
        for inside, outside in splits
    ]
    fewest = min(fold.samples.n_units for fold in folds)
    counts = _counts(grid.counts, samples, options, family, fewest)
    trees = grid.trees if knows_trees(regressor, setting) else []
    if trees and trees[-1].n_experts > fewest:
        raise ValueError(
            f"branches has {trees[-1].branches}, of {trees[-1].n_experts} experts, more than the {fewest} rows of "
            "positive weight that a fold is fitted to; ask for smaller trees or give more data"
        )
    most_work = math.inf if grid.counts is not None else default_work(fewest)
    return Branch(setting, folds, counts, trees, seed, most_work)


def _counts(
    counts: list[int] | None, samples: Samples, options: EmOptions, family: Family, fewest: int
) -> Sequence[int]:
    """Return the numbers of experts that are compared; for those of the user there have to be rows."""
    if counts is None:
        problem = EmProblem(samples, options, family=family)
        of_expert = problem.n_parameters(2) - problem.n_parameters(1)
        return default_counts(fewest, of_expert, problem.gate_design.rank)
    if counts[-1] > fewest:
        unit = "rows" if samples.groups is None else "groups"
        raise ValueError(
            f"n_experts has {counts[-1]}, more than the {fewest} {unit} of positive weight that a fold is fitted "
            "to; ask for fewer experts or give more data"
        )
    return counts
