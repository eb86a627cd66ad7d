r"""A tree of gates over linear experts: parameters and what follows from them.

.. math::

    P(y \mid x) = \sum_j p_j(x) \sum_i p_{i \mid j}(x)\, N(y \mid a_{ij} \cdot x + b_{ij}, s_{ij}^2)

for two levels; every gate is a softmax of linear functions of x. The root splits into ``branches[0]`` nodes,
each of those into ``branches[1]``, and so on; the nodes below the last gates are the experts, the leaves. Nodes
of one level stand in a row, children of one node side by side: level l has G_l = branches[0] ... branches[l - 1]
gates over b_l = branches[l] children each.

Source: Jordan, Jacobs, "Hierarchical mixtures of experts and the EM algorithm", Neural Computation 6, 1994.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.links import LINKS, Link
from moefast.mixture import GatedExperts, check_arrays, check_experts, check_sigma
from moefast.row_products import row_products
from moefast.standardisation import Standardisation

__all__ = ["HierarchicalMixture", "check_hierarchical_mixture", "log_sum_exp", "nodes_of_level"]


def log_sum_exp(values: Floats, axis: int) -> Floats:
    """Return log sum exp along an axis of finite values, in a fifth of the time scipy takes."""
    top = values.max(axis=axis, keepdims=True)
    return np.asarray(np.log(np.exp(values - top).sum(axis=axis)) + top.squeeze(axis))


def tree_in_words(branches: Sequence[int]) -> str:
    """Return what texts call a tree: a tree of 2 x 3 experts."""
    return f"a tree of {' x '.join(map(str, branches))} experts"


def nodes_of_level(branches: Sequence[int], level: int) -> int:
    """Return G_l, the number of nodes of a level; the leaves are level ``len(branches)``."""
    return int(np.prod(branches[:level], dtype=np.int64))


@dataclass(frozen=True)
class HierarchicalMixture(GatedExperts):
    """Parameters of a hierarchical mixture of K experts over d features.

    Attributes
    ----------
    branches : tuple of int
        Children of a node at each level, top first; K is their product.
    coef : ndarray of shape (K, d)
        a of every leaf.
    intercept : ndarray of shape (K,)
        b.
    gate_coef : tuple of ndarray of shape (G_l, b_l, d)
        One array a level; the last child of every node has coefficients 0.
    gate_intercept : tuple of ndarray of shape (G_l, b_l)
    sigma : ndarray of shape (K,)
        s.
    link : Link
        Linear: EM knows no other here.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.hierarchy import HierarchicalMixture
    >>> top, below = np.array([[[9.0], [0.0]]]), np.zeros((2, 2, 1))
    >>> offsets = np.zeros((1, 2)), np.zeros((2, 2))
    >>> h = HierarchicalMixture((2, 2), np.eye(4, 1), np.zeros(4), (top, below), offsets, np.ones(4))
    >>> h.gates(np.array([[1.0]])).round(2)
    array([[0.5, 0.5, 0. , 0. ]])
    """

    branches: tuple[int, ...]
    coef: Floats
    intercept: Floats
    gate_coef: tuple[Floats, ...]
    gate_intercept: tuple[Floats, ...]
    sigma: Floats
    link: Link = field(default=LINKS["linear"])

    def level_log_gates(self, X: Floats, level: int) -> Floats:
        """Return log p(child | node, x) for the gates of a level, shape (G_l, b_l, n): samples last."""
        coef = self.gate_coef[level]
        if coef.shape[1] == 1:
            return np.zeros((len(coef), 1, len(X)))
        each = row_products(X, coef.reshape(-1, coef.shape[2]))
        logits = np.ascontiguousarray(each.T).reshape(*coef.shape[:2], len(X))
        logits += self.gate_intercept[level][:, :, None]
        return np.asarray(logits - log_sum_exp(logits, 1)[:, None])

    def level_gates(self, X: Floats, level: int) -> Floats:
        """Return p(child | node, x) for the gates of a level, shape (n, G_l, b_l)."""
        return np.exp(np.moveaxis(self.level_log_gates(X, level), 2, 0))

    def log_gates(self, X: Floats, level: int | None = None) -> Floats:
        """Return the log of :meth:`gates`."""
        reached = np.zeros((1, len(X)))
        for above in range(len(self.branches) if level is None else level + 1):
            below = nodes_of_level(self.branches, above + 1)  # X may have no rows, of which -1 makes nothing
            reached = (reached[:, None] + self.level_log_gates(X, above)).reshape(below, len(X))
        return np.ascontiguousarray(reached.T)

    def gates(self, X: Floats, level: int | None = None) -> Floats:
        """Return how likely each child of the nodes of a level is, the product of the gates on the way down.

        The shape is (n, G_{level + 1}): by default the leaves, (n, K).
        """
        return np.exp(self.log_gates(X, level))

    def ordered(self, order: npt.NDArray[np.intp]) -> HierarchicalMixture:
        """Return the same mixture with its leaves in another order that keeps siblings together."""
        depth, k = len(self.branches), self.n_experts
        # Node of each level that comes to stand at a place: that of the first leaf below it.
        nodes = [
            order.reshape(nodes_of_level(self.branches, m), -1)[:, 0] // (k // nodes_of_level(self.branches, m))
            for m in range(depth + 1)
        ]
        gate_coef, gate_intercept = [], []
        for level, (coef, intercept) in enumerate(zip(self.gate_coef, self.gate_intercept, strict=True)):
            rows = nodes[level + 1]
            coef = coef.reshape(len(rows), -1)[rows].reshape(coef.shape)
            intercept = intercept.ravel()[rows].reshape(intercept.shape)
            with np.errstate(invalid="ignore"):  # infinite gates are refused later
                gate_coef.append(coef - coef[:, -1:])
                gate_intercept.append(intercept - intercept[:, -1:])
        return replace(
            self,
            coef=self.coef[order],
            intercept=self.intercept[order],
            gate_coef=tuple(gate_coef),
            gate_intercept=tuple(gate_intercept),
            sigma=self.sigma[order],
        )

    def canonical_order(self, totals: Floats) -> npt.NDArray[np.intp]:
        """Return the order of the leaves in which children stand by decreasing weight.

        Labels then do not change with the seed. Ties go by the coefficients of the first leaf below.
        """
        order = np.arange(self.n_experts)
        share = np.round(totals / totals.sum(), 6)
        for level in reversed(range(len(self.branches))):
            below = order.reshape(nodes_of_level(self.branches, level), self.branches[level], -1)
            for node in below:
                first = node[:, 0]
                keys = [*self.coef[first].T[::-1], self.intercept[first], -share[node].sum(axis=1)]
                node[:] = node[np.lexsort(keys)]
        return order

    def to_units(self, s: Standardisation) -> HierarchicalMixture:
        """Return a mixture found in standard units in the units of the data."""
        coef, intercept = s.expert_to_units(self.coef, self.intercept)
        gates = [s.gate_to_units(*gate) for gate in zip(self.gate_coef, self.gate_intercept, strict=True)]
        return self._with(coef, intercept, gates, self.sigma * s.y_scale)

    def to_standard(self, s: Standardisation) -> HierarchicalMixture:
        """Undo :meth:`to_units`."""
        coef, intercept = s.expert_to_standard(self.coef, self.intercept)
        gates = [s.gate_to_standard(*gate) for gate in zip(self.gate_coef, self.gate_intercept, strict=True)]
        return self._with(coef, intercept, gates, self.sigma / s.y_scale)

    def _with(
        self, coef: Floats, intercept: Floats, gates: Sequence[tuple[Floats, Floats]], sigma: Floats
    ) -> HierarchicalMixture:
        gate_coef, gate_intercept = zip(*gates, strict=True)
        return HierarchicalMixture(self.branches, coef, intercept, gate_coef, gate_intercept, sigma, self.link)


def check_hierarchical_mixture(name: str, mixture: HierarchicalMixture, n_features: int) -> None:
    """Raise ValueError unless all parameters of a tree over `n_features` fit together and are finite."""
    check_experts(name, mixture, n_features)
    depth, k = len(mixture.branches), nodes_of_level(mixture.branches, len(mixture.branches))
    wanted = [("coef", mixture.coef, (k, n_features)), ("sigma", mixture.sigma, (k,))]
    if not len(mixture.gate_coef) == len(mixture.gate_intercept) == depth:
        raise ValueError(f"{name} must have {depth} levels of gates, got {len(mixture.gate_coef)}")
    for level, b in enumerate(mixture.branches):
        shape = (nodes_of_level(mixture.branches, level), b)
        wanted.append((f"gate_coef[{level}]", mixture.gate_coef[level], (*shape, n_features)))
        wanted.append((f"gate_intercept[{level}]", mixture.gate_intercept[level], shape))
    check_arrays(name, wanted)
    check_sigma(name, mixture.sigma)
