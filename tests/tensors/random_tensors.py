"""Random symmetric tensors and vectors."""

import numpy as np

from moefast.tensors import SymmetricTensor
from oracles import moments as oracles


def make(dim, order, seed=0):
    dense = oracles.symmetric_noise(dim, order, seed)
    return dense, SymmetricTensor.from_dense(dense)


def rows(n, dim, seed=1):
    return np.random.default_rng(seed).normal(size=(n, dim))
