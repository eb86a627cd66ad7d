"""A tree of gates over experts, written slowly and obviously: one node at a time."""

import math

import numpy as np

from moefast.hierarchy import HierarchicalMixture
from oracles import em as em_oracles


def random_hierarchy(branches, d, rng, *, steepness=1.0, sigma=0.3):
    """Experts of order 1, gates with logits of order `steepness`."""
    gate_coef, gate_intercept, nodes = [], [], 1
    for b in branches:
        coef, intercept = rng.normal(size=(nodes, b, d)) / np.sqrt(d), rng.normal(size=(nodes, b))
        gate_coef.append(steepness * (coef - coef[:, -1:]))
        gate_intercept.append(intercept - intercept[:, -1:])
        nodes *= b
    experts = rng.normal(size=(nodes, d)), rng.normal(size=nodes)
    return HierarchicalMixture(
        tuple(branches), *experts, tuple(gate_coef), tuple(gate_intercept), sigma * rng.uniform(0.5, 2, size=nodes)
    )


def leaf_probabilities(h, x, level=0, node=0):
    """p_i(x) of the leaves below a node, by recursion; x has a number, or those of all rows, for each feature."""
    if level == len(h.branches):
        return [1.0]
    b = h.branches[level]
    logits = [
        sum(h.gate_coef[level][node, c, j] * x[j] for j in range(len(x))) + h.gate_intercept[level][node, c]
        for c in range(b)
    ]
    total = sum(np.exp(logit) for logit in logits)
    below = [leaf_probabilities(h, x, level + 1, node * b + c) for c in range(b)]
    return [np.exp(logits[c]) / total * p for c in range(b) for p in below[c]]


def log_density(h, X, y):
    """log P(y | x), shape (n,)."""
    density = np.zeros(len(y))
    for i, p in enumerate(leaf_probabilities(h, X.T)):
        e = y - X @ h.coef[i] - h.intercept[i]
        density += p * np.exp(-0.5 * (e / h.sigma[i]) ** 2) / (math.sqrt(2 * math.pi) * h.sigma[i])
    return np.log(density)


def objective(h, X, y, w, *, alpha=0.0, gate_alpha=0.0):
    """What EM climbs."""
    value = w @ log_density(h, X, y)
    for a, s in zip(h.coef, h.sigma, strict=True):
        value -= 0.5 * alpha * (a @ a) / s**2
    for coef in h.gate_coef:
        for rows in coef:
            value -= 0.5 * gate_alpha * ((rows - rows.mean(axis=0)) ** 2).sum()
    return value


def two_level_posterior(h, X, y):
    """P(leaf | x, y), shape (n, b0, b1)."""
    b0, b1 = h.branches
    joint = np.zeros((len(y), b0 * b1))
    for n, x in enumerate(X):
        for i, p in enumerate(leaf_probabilities(h, x)):
            e = y[n] - h.coef[i] @ x - h.intercept[i]
            joint[n, i] = p * math.exp(-0.5 * (e / h.sigma[i]) ** 2) / h.sigma[i]
    return (joint / joint.sum(axis=1, keepdims=True)).reshape(-1, b0, b1)


def two_level_iteration(h, X, y, w, *, shared=False, alpha=0.0, gate_alpha=0.0):
    """Experts, then the lower gates, then the top gate; full Newton steps, the posterior anew before each."""
    (n, d), (b0, b1) = X.shape, h.branches
    U = np.column_stack([X, np.ones(n)])
    r = two_level_posterior(h, X, y).reshape(n, -1)
    experts, squares = np.zeros((b0 * b1, d + 1)), np.zeros(b0 * b1)
    for i in range(b0 * b1):
        root = np.sqrt(w * r[:, i])
        design = np.vstack([root[:, None] * U, np.sqrt(alpha) * np.eye(d, d + 1)])
        experts[i] = np.linalg.lstsq(design, np.append(root * y, np.zeros(d)), rcond=None)[0]
        squares[i] = (w * r[:, i]) @ (y - U @ experts[i]) ** 2 + alpha * experts[i, :d] @ experts[i, :d]
    variance = np.full(b0 * b1, squares.sum() / w.sum()) if shared else squares / (w @ r)
    gates = [
        np.concatenate([c, i[:, :, None]], axis=2) for c, i in zip(h.gate_coef, h.gate_intercept, strict=True)
    ]

    def model():
        return HierarchicalMixture(
            h.branches,
            experts[:, :d],
            experts[:, d],
            tuple(g[:, :, :d] for g in gates),
            tuple(g[:, :, d] for g in gates),
            np.sqrt(variance),
        )

    r = two_level_posterior(model(), X, y)
    for j in range(b0):
        reach = r[:, j].sum(axis=1)
        gates[1][j] = em_oracles.newton_gates(
            U, w * reach, r[:, j] / reach[:, None], gates[1][j], gate_alpha, range(d + 1)
        )
    r = two_level_posterior(model(), X, y).sum(axis=2)
    gates[0][0] = em_oracles.newton_gates(U, w, r, gates[0][0], gate_alpha, range(d + 1))
    return model()
