"""Jennrich's method: components come back, whatever their angles and number, and noise does little."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from moefast.tensors import jennrich
from oracles.moments import matched, rank_one_sum, symmetric_noise


def components(rank, dim, seed=0, common=0.0):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rank, dim)) + common
    return rng.uniform(0.5, 3.0, size=rank), vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("common", [0.0, 2.0])
@pytest.mark.parametrize(("rank", "dim"), [(1, 1), (1, 4), (2, 2), (2, 6), (3, 3), (4, 6)])
def test_components_come_back(rank, dim, common):
    values, vectors = components(rank, dim, common=common)
    found = jennrich(rank_one_sum(values, vectors), rank, random_state=0)
    np.testing.assert_allclose(matched(found.vectors, vectors), vectors, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.values, np.sort(values)[::-1], rtol=1e-5)
    assert found.residual < 1e-6


def test_the_scale_of_the_tensor_does_not_matter():
    values, vectors = components(2, 4)
    for scale in (1e-30, 1e30):
        found = jennrich(scale * rank_one_sum(values, vectors), 2, random_state=0)
        np.testing.assert_allclose(found.values, scale * np.sort(values)[::-1], rtol=1e-6)


def test_a_noisy_tensor_is_fitted_as_well_as_from_the_truth():
    values, vectors = components(3, 5, common=0.5)
    exact = rank_one_sum(values, vectors)
    noise = symmetric_noise(5)
    noisy = exact + 0.05 * np.linalg.norm(exact) / np.linalg.norm(noise) * noise
    found = jennrich(noisy, 3, random_state=0)

    def rest(parts):
        parts = parts.reshape(3, 5)
        return (noisy - np.einsum("ia,ib,ic->abc", parts, parts, parts)).ravel() / np.linalg.norm(noisy)

    best = np.linalg.norm(least_squares(rest, (np.cbrt(values)[:, None] * vectors).ravel()).fun)
    assert found.residual < 1.02 * best  # that is in all of the space, this in the span of the unfolding
    assert np.linalg.norm(matched(found.vectors, vectors) - vectors, axis=1).max() < 0.3


def test_degenerate_tensors():
    found = jennrich(np.zeros((3, 3, 3)), 2)
    assert not found.values.any()
    assert found.residual == 0.0
    one = rank_one_sum(np.ones(1), np.eye(1, 3))
    found = jennrich(one, 2, random_state=0)  # of fewer components
    assert np.isfinite(found.vectors).all()
    assert found.residual < 1e-6


def test_bad_tensors_are_refused():
    for tensor, rank, message in (
        (np.zeros((2, 2)), 1, "tensor must have shape"),
        (np.arange(8.0).reshape(2, 2, 2), 1, "tensor is not symmetric"),
        (np.full((2, 2, 2), np.nan), 1, "NaN"),
        (np.zeros((2, 2, 2)), 3, "rank must"),
    ):
        with pytest.raises(ValueError, match=message):
            jennrich(tensor, rank)
