"""Whitening by T2 makes the experts' directions orthonormal."""

import numpy as np

from moefast.spectral.whitening import subspace_whitening
from moefast.tensors.power_method import power_iteration
from oracles import moments as oracles


def test_whitening_makes_a_tensor_of_independent_directions_orthogonal():
    rng = np.random.default_rng(0)
    V, weights = rng.normal(size=(3, 5)), np.array([0.5, 0.3, 0.2])
    T2, T3 = np.einsum("i,ia,ib->ab", weights, V, V), oracles.rank_one_sum(weights, V)
    W, back, spectrum = subspace_whitening(T2, 3)
    np.testing.assert_allclose(W.T @ T2 @ W, np.eye(3), rtol=0, atol=1e-12)
    np.testing.assert_allclose(W.T @ back, np.eye(3), rtol=0, atol=1e-12)
    assert (np.diff(spectrum) <= 0).all()
    np.testing.assert_allclose(spectrum[3:], 0.0, rtol=0, atol=1e-12)
    pairs = power_iteration(np.einsum("abc,ai,bj,ck->ijk", T3, W, W, W), 3, random_state=0)
    found = pairs.vectors @ back.T * pairs.values[:, None]  # v_i, since value_i = weight_i^(-1/2)
    np.testing.assert_allclose(oracles.matched(found, V), V, rtol=0, atol=1e-10)


def test_directions_without_positive_variance_cannot_blow_up_the_whitening():
    W, back, spectrum = subspace_whitening(np.diag([4.0, 1e-9, -1.0]), 2)
    np.testing.assert_allclose(spectrum, [4.0, 1e-9, -1.0], rtol=0, atol=1e-15)
    np.testing.assert_allclose(np.linalg.norm(W, axis=0), [0.5, 1 / np.sqrt(4e-3)], rtol=1e-12)
    np.testing.assert_allclose(W.T @ back, np.eye(2), rtol=0, atol=1e-12)
