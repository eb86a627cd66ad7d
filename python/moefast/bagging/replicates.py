"""Refits to rows with random weights, each without a part of the rows, which then say how well it predicts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from moefast._typing import Floats
from moefast.estimators.model_data import with_names
from moefast.estimators.number_predictions import NumberPredictions
from moefast.inference.bootstrap import weighted_units
from moefast.samples import Samples
from moefast.tasks import run_all

__all__ = ["Draw", "drawn", "refits", "whole"]

Units: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Draw:
    """What a replicate is fitted to.

    Attributes
    ----------
    weights : ndarray of shape (n,)
        Of all rows; 0 for those that are left out.
    left_out : ndarray of bool of shape (n,)
        Rows that the replicate does not see.
    seed : int
        Of its fit.
    """

    weights: Floats
    left_out: Units
    seed: int


def drawn(samples: Samples, n_replicates: int, n_folds: int | None, rng: np.random.Generator) -> list[Draw]:
    """Return the weights of replicates: those of the weighted bootstrap, each time without one part of the rows.

    The parts are drawn anew for every `n_folds` replicates, so that each row is left out about equally often. Rows
    that share an expert have one weight, and are left out together.

    Parameters
    ----------
    samples : Samples
    n_replicates : int
    n_folds : int or None
        None leaves no rows out.
    rng : numpy Generator
    """
    n, found = samples.n_units, []
    part = np.zeros(n, dtype=np.intp)
    for b in range(n_replicates):
        left_out = np.zeros(n, dtype=bool)
        if n_folds is not None:
            if b % n_folds == 0:
                part = rng.permutation(np.arange(n) % n_folds)
            left_out = part == b % n_folds
        weights = np.where(left_out, 0.0, weighted_units(samples.unit_weight, rng))
        of_rows = (lambda v: v) if samples.groups is None else samples.groups.spread
        found.append(Draw(of_rows(weights), of_rows(left_out), int(rng.integers(2**31))))
    return found


def whole(samples: Samples, rng: np.random.Generator) -> Draw:
    """Return all rows with the weights they have."""
    return Draw(samples.sample_weight, np.zeros(samples.n_rows, dtype=bool), int(rng.integers(2**31)))


def refits(
    estimator: Any, samples: Samples, draws: Sequence[Draw], n_jobs: int | None, *, shown: bool
) -> list[NumberPredictions]:
    """Return a fitted copy of an estimator for the weights of each draw."""
    X = with_names(samples)
    tasks = [(estimator, X, samples, draw) for draw in draws]
    return run_all(_refit, tasks, n_jobs, desc="replicates", shown=shown)


def _refit(estimator: Any, X: Any, samples: Samples, draw: Draw) -> Any:
    fitted = clone(estimator).set_params(random_state=draw.seed)
    terms, groups = samples.terms, samples.groups
    of_rows: dict[str, Any] = {"offset": terms.offset, "n_trials": terms.n_trials}
    if groups is not None:
        of_rows["groups"] = groups.of_rows
    of_rows = {name: values for name, values in of_rows.items() if values is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of one replicate among many
        return fitted.fit(X, samples.y, sample_weight=draw.weights, **of_rows)
