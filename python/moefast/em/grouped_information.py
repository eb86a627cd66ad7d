r"""Derivatives of the log-likelihood of rows in groups that share one expert.

With the responsibilities r and gates p of groups, x_i the derivative of :math:`\sum_{n \in g} \log f_i` by what is
expert i's own (its coefficients and log s_i) and B_i its second derivative,

.. math::

    s_i = r_i x_i, \qquad s_{W_j} = (r_j - p_j) v

.. math::

    H_{ij} = [i = j]\, r_i (B_i + x_i x_i') - r_i r_j x_i x_j', \qquad
    H_{i W_j} = r_i ([i = j] - r_j) x_i v'

.. math::

    H_{W_j W_l} = ([j = l] (r_j - p_j) - r_j r_l + p_j p_l)\, v v'

summed over groups with their weights. A group of one row gives what :mod:`moefast._core` has for rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from moefast._typing import Floats
from moefast.families import Gaussian
from moefast.groups import RowGroups
from moefast.mixture import Mixture
from moefast.repeated import group_responsibilities

if TYPE_CHECKING:
    from moefast.em.problem import EmProblem

__all__ = ["grouped_derivatives"]


def grouped_derivatives(problem: EmProblem, mixture: Mixture) -> tuple[Floats, Floats, Floats]:
    """Return what :meth:`EmProblem.derivatives` does, for a problem with groups.

    The score, the Hessian and the sum of w_g s_g s_g' over groups.
    """
    groups, options, k = problem.groups, problem.options, mixture.n_experts
    assert groups is not None
    if not isinstance(problem.family, Gaussian):
        raise ValueError(f"inference of a fit with groups needs family='gaussian', got {problem.family.name!r}")
    Z, w = problem.Z, problem.unit_weight
    U = _design(problem.expert_design.take(Z), options.fit_intercept)
    V = _design(problem.gate_design.take(Z[groups.first]), options.fit_gate_intercept)
    p = mixture.gates(Z[groups.first])
    r = group_responsibilities(mixture, Z, problem.t, groups, problem.response.terms)
    x, B = _own_derivatives(problem, mixture, U, r, groups)
    m = U.shape[1] + 1  # coefficients, and log s
    scores = np.hstack([(r[:, :, None] * x).reshape(len(w), k * m), _products(r - p, V)])
    hessian = np.zeros((scores.shape[1], scores.shape[1]))
    own, gates = slice(0, k * m), slice(k * m, None)
    of_gates = _products(r, V)
    hessian[own, own] = -(scores[:, own] * w[:, None]).T @ scores[:, own]
    hessian[own, gates] = -(scores[:, own] * w[:, None]).T @ of_gates
    hessian[gates, gates] = (_products(p, V) * w[:, None]).T @ _products(p, V) - (
        of_gates * w[:, None]
    ).T @ of_gates
    c = V.shape[1]
    for i in range(k):
        mine, weighted = slice(i * m, (i + 1) * m), x[:, i] * (w * r[:, i])[:, None]
        hessian[mine, mine] += B[i] + weighted.T @ x[:, i]
        if i + 1 < k:
            of_gate = slice(k * m + i * c, k * m + (i + 1) * c)
            hessian[mine, of_gate] += weighted.T @ V
            hessian[of_gate, of_gate] += (V * (w * (r - p)[:, i])[:, None]).T @ V
    hessian[gates, own] = hessian[own, gates].T
    M = _order(k, m, c, shared_noise=options.noise == "shared")
    products = (scores * w[:, None]).T @ scores
    return M.T @ (w @ scores), M.T @ hessian @ M, M.T @ products @ M


def _design(columns: Floats, intercept: bool) -> Floats:
    return np.column_stack([columns, np.ones((len(columns), int(intercept)))])


def _products(shares: Floats, V: Floats) -> Floats:
    """Return the shares of all experts but the last times v, shape (G, (k - 1) c)."""
    return np.asarray((shares[:, :-1, None] * V[:, None, :]).reshape(len(V), -1))


def _own_derivatives(
    problem: EmProblem, mixture: Mixture, U: Floats, r: Floats, groups: RowGroups
) -> tuple[Floats, Floats]:
    """Return x of each group and expert, (G, k, m), and the sum of w r B over groups, (k, m, m)."""
    k, m, s, link = mixture.n_experts, U.shape[1] + 1, mixture.sigma, mixture.link
    forms = problem.Z @ mixture.coef.T + mixture.intercept
    z = (problem.t[:, None] - link(forms)) / s
    slope = np.ones_like(z) if link.is_linear else link.slope(forms)
    bend = -(slope**2) / s**2
    if not link.is_linear:
        bend += z * link.curvature(forms) / s
    weights = problem.sample_weight[:, None] * groups.spread(r)
    x, B = np.empty((groups.n_groups, k, m)), np.empty((k, m, m))
    for i in range(k):
        x[:, i, :-1] = groups.sums(U * (z * slope / s)[:, i, None])
        x[:, i, -1] = groups.sums(z[:, i] ** 2 - 1)
        B[i, :-1, :-1] = (U * (weights * bend)[:, i, None]).T @ U
        B[i, :-1, -1] = B[i, -1, :-1] = U.T @ (weights * -2 * z * slope / s)[:, i]
        B[i, -1, -1] = -2 * weights[:, i] @ z[:, i] ** 2
    return x, B


def _order(k: int, m: int, c: int, *, shared_noise: bool) -> Floats:
    """Return M of 0 and 1 that leads from each expert's own parameters, then gates, to experts, gates, log s."""
    n_experts, n_gates = k * (m - 1), (k - 1) * c
    M = np.zeros((k * m + n_gates, n_experts + n_gates + (1 if shared_noise else k)))
    for i in range(k):
        M[i * m : (i + 1) * m - 1, i * (m - 1) : (i + 1) * (m - 1)] = np.eye(m - 1)
        M[(i + 1) * m - 1, n_experts + n_gates + (0 if shared_noise else i)] = 1.0
    M[k * m :, n_experts : n_experts + n_gates] = np.eye(n_gates)
    return M
