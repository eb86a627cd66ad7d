"""Weighted rows that have the moments of a law exactly: Gauss-Hermite nodes in place of draws."""

from itertools import product

import numpy as np
from scipy.special import roots_hermitenorm

from moefast.mixture import Mixture

NODES = 6  # exact for polynomials of degree 11 in each normal variable


def normal_nodes(dim, n=NODES):
    """Nodes (n^dim, dim) and weights of sum 1 of the standard normal law."""
    node, weight = roots_hermitenorm(n)
    grid = np.array(list(product(node, repeat=dim)))
    return grid, np.prod(list(product(weight / weight.sum(), repeat=dim)), axis=1)


def own_columns_given_gates(truth: Mixture, atoms, shares, slopes, factor):
    """Rows (x, y) and weights of a mixture whose gates see the last columns, which have a law of a few atoms.

    x = (slopes gate + factor z, gate) with standard normal z, gates and experts as of `truth`, and noise.
    """
    z, weight = normal_nodes(len(factor))
    noise, of_noise = normal_nodes(1, 4)
    X, y, w = [], [], []
    for gate, share in zip(atoms, shares, strict=True):
        rows = np.column_stack([slopes @ gate + z @ factor.T, np.broadcast_to(gate, (len(z), len(gate)))])
        gates, means = truth.gates(rows), truth.expert_means(rows)
        for i, sigma in enumerate(truth.sigma):
            for e, part in zip(noise[:, 0], of_noise, strict=True):
                X.append(rows)
                y.append(means[:, i] + sigma * e)
                w.append(share * part * weight * gates[:, i])
    return np.concatenate(X), np.concatenate(y), np.concatenate(w)
