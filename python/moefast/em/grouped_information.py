r"""Derivatives of the log-likelihood of rows in groups that share one expert.

With the responsibilities r and gates p of groups, x_i the derivative of :math:`\sum_{n \in g} \log f_i` by what is
expert i's own (its coefficients, log s_i, log shape_i) and B_i its second derivative,

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
from moefast.groups import RowGroups
from moefast.mixture import Mixture

if TYPE_CHECKING:
    from moefast.em.problem import EmProblem

__all__ = ["grouped_derivatives"]


def grouped_derivatives(problem: EmProblem, mixture: Mixture) -> tuple[Floats, Floats, Floats]:
    """Return what :meth:`EmProblem.derivatives` does, for a problem with groups.

    The score, the Hessian and the sum of w_g s_g s_g' over groups.
    """
    groups, options, k = problem.groups, problem.options, mixture.n_experts
    assert groups is not None
    first, w = problem.Z[groups.first], problem.unit_weight
    V = np.column_stack([problem.gate_design.take(first), np.ones((len(first), int(options.fit_gate_intercept)))])
    p, r = mixture.gates(first), problem.responsibilities(mixture)[groups.first]
    own = [_own_derivatives(problem, mixture, i, r[:, i], groups) for i in range(k)]
    x = np.stack([of_expert for of_expert, _ in own], axis=1)
    m, c = x.shape[2], V.shape[1]
    scores = np.hstack([(r[:, :, None] * x).reshape(len(w), k * m), _products(r - p, V)])
    experts, gates = slice(0, k * m), slice(k * m, None)
    weighted, before, of_gates = scores * w[:, None], _products(p, V), _products(r, V)
    hessian = np.zeros((scores.shape[1], scores.shape[1]))
    hessian[experts, experts] = -weighted[:, experts].T @ scores[:, experts]
    hessian[experts, gates] = -weighted[:, experts].T @ of_gates
    hessian[gates, gates] = (before * w[:, None]).T @ before - (of_gates * w[:, None]).T @ of_gates
    for i, (_, B) in enumerate(own):
        mine, slope = slice(i * m, (i + 1) * m), weighted[:, i * m : (i + 1) * m]
        hessian[mine, mine] += B + slope.T @ x[:, i]
        if i + 1 < k:
            of_gate = slice(k * m + i * c, k * m + (i + 1) * c)
            hessian[mine, of_gate] += slope.T @ V
            hessian[of_gate, of_gate] += (V * (w * (r - p)[:, i])[:, None]).T @ V
    hessian[gates, experts] = hessian[experts, gates].T
    others = (problem.family.n_scales, int(problem.family.shape_name is not None))
    M = _order((k, m - sum(others), c), others, shared_noise=options.noise == "shared")
    return M.T @ weighted.sum(axis=0), M.T @ hessian @ M, M.T @ (weighted.T @ scores) @ M


def _products(shares: Floats, V: Floats) -> Floats:
    """Return the shares of all experts but the last times v, shape (G, (k - 1) c)."""
    return np.asarray((shares[:, :-1, None] * V[:, None, :]).reshape(len(V), -1))


def _own_derivatives(
    problem: EmProblem, mixture: Mixture, expert: int, r: Floats, groups: RowGroups
) -> tuple[Floats, Floats]:
    """Return x of each group for an expert, (G, m), and the sum of w r B over groups, (m, m).

    log f is the log-likelihood of a mixture of this expert alone, of which the core knows the derivatives.
    """
    alone = mixture.ordered(np.array([expert]))
    rows = problem.without_groups(problem.sample_weight * groups.spread(r))
    x = groups.sums(rows.row_scores(alone, np.arange(problem.n_rows)))
    return x, rows.derivatives(alone)[1]


def _order(sizes: tuple[int, int, int], others: tuple[int, int], *, shared_noise: bool) -> Floats:
    """Return M of 0 and 1 that leads from each expert's own parameters, then gates, to the order of the layout.

    That is the coefficients of experts, those of gates, and then what there is of log s and log shape.

    Parameters
    ----------
    sizes : tuple of int
        Experts, coefficients of each, coefficients of a gate.
    others : tuple of int
        What else is an expert's own: how many numbers of its scale, and of its shape.
    shared_noise : bool
        Whether they are the same for all.
    """
    k, width, c = sizes
    m, before = width + sum(others), k * width + (k - 1) * c
    n_each = 1 if shared_noise else k
    M = np.zeros((k * m + (k - 1) * c, before + sum(others) * n_each))
    for i in range(k):
        M[i * m : i * m + width, i * width : (i + 1) * width] = np.eye(width)
        own, at, to = (0 if shared_noise else i), i * m + width, before
        for n in others:
            M[at : at + n, to + own * n : to + (own + 1) * n] = np.eye(n)
            at, to = at + n, to + n * n_each
    M[k * m :, k * width : before] = np.eye((k - 1) * c)
    return M
