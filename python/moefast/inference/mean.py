"""Derivatives of the mean E[y | x] by the parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from moefast._typing import Floats
from moefast.families import Family, Predictors
from moefast.inference.layout import ParameterLayout
from moefast.mixture import Mixture
from moefast.samples import NO_TERMS, RowTerms

__all__ = ["mean_slopes"]

# Numbers in memory together.
_BLOCK_NUMBERS = 2**21
# Of a central difference: the cube root of the rounding error balances it against the third derivative.
_STEP = 6e-6


def mean_slopes(
    Z: Floats, mixture: Mixture, layout: ParameterLayout, terms: RowTerms = NO_TERMS
) -> Iterator[Floats]:
    """Yield the derivatives by theta of the mean of each row, block by block, shape (rows, P).

    Of several responses those of each, (rows q, P), row by row.

    With m = sum_i p_i m_i and the means m_i of the experts: dm / d(a_i, b_i) = p_i dm_i / deta_i u and
    dm / d(W_j, c_j) = p_j (m_j - m) u, each over the columns of u = (z, 1) that are used, and
    dm / dlog s_i = p_i dm_i / dlog s_i.

    Parameters
    ----------
    Z : ndarray of shape (n, d)
    mixture : Mixture
        In the units of Z.
    layout : ParameterLayout
    terms : RowTerms
        In the same units.
    """
    rows = max(1, _BLOCK_NUMBERS // layout.n_parameters)
    for start in range(0, max(len(Z), 1), rows):
        block, known = Z[start : start + rows], terms[start : start + rows]
        U = np.column_stack([block, np.ones(len(block))])
        p = mixture.gates(block)
        of = mixture.predictors(block, known)
        if mixture.covariance is not None:
            yield _of_responses(U, p, of.eta, layout)
            continue
        of = of.moved(np.where(p > 0, of.eta, 0.0))
        values = mixture.family.mean(of)
        by_expert = p * _by_predictor(mixture.family, of)
        if not mixture.link.is_linear:
            forms = block @ mixture.coef.T + mixture.intercept
            by_expert = np.where(p > 0, by_expert * mixture.link.slope(forms), 0.0)
        by_gate = p * (values - np.sum(p * values, axis=1, keepdims=True))
        slopes = np.zeros((len(block), layout.n_parameters))
        for i in range(layout.n_experts):
            slopes[:, layout.expert(i)] = by_expert[:, i, None] * U[:, list(layout.expert_columns)]
        for i in layout.gated:
            slopes[:, layout.gate(i)] = by_gate[:, i, None] * U[:, list(layout.gate_columns)]
        if layout.has_scale:
            by_noise = p * _by_log_sigma(mixture.family, of)
            for i in range(layout.n_experts):
                slopes[:, layout.scales(i)[0]] += by_noise[:, i]
        yield slopes


def _of_responses(U: Floats, p: Floats, values: Floats, layout: ParameterLayout) -> Floats:
    """Return the derivatives of the means of several responses, (rows q, P); `values` are those of the experts."""
    n, _, q = values.shape
    slopes = np.zeros((n, q, layout.n_parameters))
    by_gate = p[:, :, None] * (values - np.sum(p[:, :, None] * values, axis=1, keepdims=True))
    for i in range(layout.n_experts):
        for a, form in enumerate(layout.forms(i)):
            slopes[:, a, form] = p[:, i, None] * U[:, list(layout.expert_columns)]
    for i in layout.gated:
        slopes[:, :, layout.gate(i)] = by_gate[:, i, :, None] * U[:, None, list(layout.gate_columns)]
    return slopes.reshape(n * q, -1)


def _by_predictor(family: Family, of: Predictors) -> Floats:
    """Return dm_i / deta_i, (n, k): exact where the mean is the predictor."""
    step = _STEP * np.maximum(1.0, np.abs(of.eta))
    above, below = of.eta + step, of.eta - step
    return np.asarray((family.mean(of.moved(above)) - family.mean(of.moved(below))) / (above - below))


def _by_log_sigma(family: Family, of: Predictors) -> Floats:
    """Return dm_i / dlog s_i, (n, k): not 0 for censored responses."""
    above, below = (replace(of, sigma=of.sigma * np.exp(step)) for step in (_STEP, -_STEP))
    return np.asarray((family.mean(above) - family.mean(below)) / (2 * _STEP))
