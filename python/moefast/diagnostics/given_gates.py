"""The checks of the moments given the gates' columns; see :mod:`moefast.spectral.given_gates`."""

from __future__ import annotations

from typing import Any

import numpy as np

from moefast._typing import Floats
from moefast.diagnostics.check import MOMENT_TOLERANCE, Check, departure_from_normality, gap_check
from moefast.mixture import Mixture
from moefast.samples import Samples
from moefast.spectral.conditional_scores import ConditionalScores
from moefast.spectral.control_variates import regression_coefficients
from moefast.spectral.experts import SpectralExperts
from moefast.spectral.given_gates import ColumnRoles
from moefast.standardisation import Standardisation

__all__ = ["given_gates_checks"]


# Up to so many directions of the gates' columns their products are looked at, beyond it their squares alone.
_MOST_PRODUCTS = 10
# Squares and products with less than this share of their variance beside the columns themselves are none.
_DEPENDENT = 1e-8


def given_gates_checks(
    model: Mixture | SpectralExperts, samples: Samples, gate_columns: Any = None
) -> tuple[Check, ...]:
    """Return the checks, none where experts are not linear or it is not known which columns the gates see."""
    known = gate_columns is not None or isinstance(model, Mixture)
    if not (known and model.link.is_linear):
        return ()
    if gate_columns is None and isinstance(model, Mixture):
        gate_columns = np.flatnonzero(model.gate_coef.any(axis=0))
    roles = ColumnRoles.of(np.flatnonzero(model.coef.any(axis=0)), gate_columns, samples.n_features)
    k, few = len(model.coef), "experts see fewer columns that the gates do not see than there are experts"
    if len(roles.own) == 0:
        return (Check("own columns", k, 0.0, few),)
    units = Standardisation.of(samples, x="centred", y="centred")
    scores = ConditionalScores.of(units.samples(samples), roles.own, roles.gates)
    enough = Check("own columns", k, float(scores.rank), few)
    if scores.rank == 0:
        return (enough,)
    share, Z = samples.share, scores.Z
    rows = float(1.0 / (share @ share))
    levels = _whitened(scores.given[:, 1:], share)
    bends = _bends(levels, scores.given, share)
    T2 = scores.second_tensor() + np.outer(scores.slope, scores.slope)
    return (
        enough,
        Check(
            "own columns normal",
            *departure_from_normality(Z, share, rows),
            "the score tensors are those of normal residuals, given the gates' columns",
        ),
        _straight(Z, bends, share, rows),
        _alike(Z, np.column_stack([levels, bends]), share, rows),
        gap_check("gap of T2 given gates", np.sort(np.linalg.eigvalsh(T2))[::-1], k),
    )


def _straight(Z: Floats, bends: Floats, share: Floats, rows: float) -> Check:
    """The largest correlation of any residual with a quadratic function of the gates' columns."""
    products = (bends * share[:, None]).T @ Z
    value = float(np.linalg.norm(products, 2)) if bends.shape[1] else 0.0
    chance = 1.5 * (np.sqrt(bends.shape[1]) + np.sqrt(Z.shape[1])) / np.sqrt(rows)
    return Check(
        "own columns linear",
        value,
        MOMENT_TOLERANCE + chance,
        "the experts' own columns bend with the gates' columns; functions of these may be given to the gates too",
    )


def _alike(Z: Floats, functions: Floats, share: Floats, rows: float) -> Check:
    """The largest change of a residual variance with a standard deviation of a function of the gates' columns."""
    r, value = Z.shape[1], 0.0
    for function in functions.T:
        change = (Z * (share * function)[:, None]).T @ Z
        value = max(value, float(np.abs(np.linalg.eigvalsh(change)).max()))
    chance = 2.0 * (2.0 * np.sqrt(r) + np.sqrt(2.0 * np.log1p(functions.shape[1]))) / np.sqrt(rows)
    return Check(
        "own columns spread alike",
        value,
        MOMENT_TOLERANCE + chance,
        "the variance of the experts' own columns changes with the gates' columns",
    )


def _whitened(columns: Floats, share: Floats) -> Floats:
    """Return uncorrelated functions of mean 0 and variance 1 with the span of columns of size about 1."""
    centred = columns - share @ columns
    values, vectors = np.linalg.eigh((centred * share[:, None]).T @ centred)
    keep = values > _DEPENDENT
    return np.asarray(centred @ (vectors[:, keep] / np.sqrt(values[keep])))


def _bends(levels: Floats, given: Floats, share: Floats) -> Floats:
    """Return uncorrelated squares and products of the gates' columns less their regression on these."""
    g = levels.shape[1]
    first, second = np.triu_indices(g) if g <= _MOST_PRODUCTS else (np.arange(g), np.arange(g))
    products = levels[:, first] * levels[:, second]
    weighted = given * share[:, None]
    products = products - given @ regression_coefficients(weighted.T @ given, weighted.T @ products)
    return _whitened(products, share)
