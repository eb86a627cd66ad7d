"""Derivatives of the mean E[y | x] by the parameters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from moefast._typing import Floats
from moefast.inference.layout import ParameterLayout
from moefast.mixture import Mixture

__all__ = ["mean_slopes"]

# Numbers in memory together.
_BLOCK_NUMBERS = 2**21


def mean_slopes(Z: Floats, mixture: Mixture, layout: ParameterLayout) -> Iterator[Floats]:
    """Yield the derivatives by theta of the mean of each row, block by block, shape (rows, P).

    With m = sum_i p_i g_i: dm / d(a_i, b_i) = p_i g'_i u and dm / d(W_j, c_j) = p_j (g_j - m) u, each over the
    columns of u = (z, 1) that are used.

    Parameters
    ----------
    Z : ndarray of shape (n, d)
    mixture : Mixture
        In the units of Z.
    layout : ParameterLayout
    """
    rows = max(1, _BLOCK_NUMBERS // layout.n_parameters)
    for start in range(0, max(len(Z), 1), rows):
        block = Z[start : start + rows]
        U = np.column_stack([block, np.ones(len(block))])
        forms = block @ mixture.coef.T + mixture.intercept
        p = mixture.gates(block)
        values = np.where(p > 0, mixture.link(forms), 0.0)
        by_expert = p if mixture.link.is_linear else np.where(p > 0, p * mixture.link.slope(forms), 0.0)
        by_gate = p * (values - np.sum(p * values, axis=1, keepdims=True))
        slopes = np.zeros((len(block), layout.n_parameters))
        for i in range(layout.n_experts):
            slopes[:, layout.expert(i)] = by_expert[:, i, None] * U[:, list(layout.expert_columns)]
        for i in layout.gated:
            slopes[:, layout.gate(i)] = by_gate[:, i, None] * U[:, list(layout.gate_columns)]
        yield slopes
