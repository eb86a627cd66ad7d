r"""What follows from a mixture for rows in groups that share one expert.

.. math::

    P(y_g \mid x_g) = \sum_i p_i(v_g) \prod_{n \in g} f_i(y_n \mid x_n)

with the gates at the columns v that are the same in all rows of a group. `terms` are those of the rows.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp, softmax

from moefast._typing import Floats
from moefast.groups import RowGroups
from moefast.mixture import GatedExperts
from moefast.samples import NO_TERMS, RowTerms

__all__ = ["draw_groups", "group_log_density", "group_responsibilities", "joint_of_groups"]


def joint_of_groups(
    mixture: GatedExperts,
    X: Floats,
    y: Floats,
    groups: RowGroups,
    terms: RowTerms = NO_TERMS,
    means: Floats | None = None,
) -> Floats:
    """Return log p_i + sum of log f_i(y_n | x_n), shape (G, k); `means` replaces what normal experts predict."""
    log_gates = mixture.log_gates(X)
    log_densities = mixture.joint_log_density(X, y, terms, means) - log_gates
    return np.asarray(log_gates[groups.first] + groups.sums(log_densities))


def group_log_density(
    mixture: GatedExperts, X: Floats, y: Floats, groups: RowGroups, terms: RowTerms = NO_TERMS
) -> Floats:
    """Return log P of all responses of a group given its rows of X, shape (G,)."""
    return np.asarray(logsumexp(joint_of_groups(mixture, X, y, groups, terms), axis=1))


def group_responsibilities(
    mixture: GatedExperts,
    X: Floats,
    y: Floats,
    groups: RowGroups,
    terms: RowTerms = NO_TERMS,
    means: Floats | None = None,
) -> Floats:
    """Return P(expert i | all rows of the group), shape (G, k)."""
    return np.asarray(softmax(joint_of_groups(mixture, X, y, groups, terms, means), axis=1))


def draw_groups(
    mixture: GatedExperts, X: Floats, groups: RowGroups, rng: np.random.Generator, terms: RowTerms = NO_TERMS
) -> Floats:
    """Return one y for each row of X, all of a group from one expert, shape (n,)."""
    p = mixture.gates(X[groups.first])
    u = np.asarray(rng.uniform(size=(groups.n_groups, 1)))
    of_groups = np.minimum((np.cumsum(p, axis=1) < u).sum(axis=1), mixture.n_experts - 1)
    return mixture.family.draw(mixture.predictors(X, terms).chosen(groups.spread(of_groups)), rng)[:, 0]
