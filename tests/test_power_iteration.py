"""The tensor power method: the eigenvector equation, exact orthogonal tensors, scale, statuses, bad input."""

import numpy as np
import pytest

import oracles
from moefast import _core
from moefast.decomposition import power_iteration, subspace_whitening


def orthogonal_tensor(values, dim, seed=0):
    vectors = np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0][: len(values)]
    return oracles.rank_one_sum(np.asarray(values), vectors), vectors


def symmetric_noise(dim, seed=0):
    noise = np.random.default_rng(seed).normal(size=(dim, dim, dim))
    return sum(noise.transpose(p) for p in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]) / 6


@pytest.mark.parametrize(
    ("values", "dim"), [([2.0], 1), ([3.0], 4), ([3.0, 2.0, 1.0], 3), ([5.0, 4.0, 3.0, 0.5], 7), ([1.0] * 5, 5)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_an_orthogonal_tensor_is_taken_apart_exactly(values, dim, seed):
    T, vectors = orthogonal_tensor(values, dim, seed)
    pairs = power_iteration(T, len(values), random_state=seed)
    assert pairs.converged
    assert pairs.statuses == ("converged",) * len(values)
    np.testing.assert_allclose(np.sort(pairs.values)[::-1], values, rtol=1e-12)
    order = np.abs(vectors @ pairs.vectors.T).argmax(axis=1)
    np.testing.assert_allclose(pairs.vectors[order], vectors, rtol=0, atol=1e-10)  # with their signs: odd order
    assert (pairs.residuals < 1e-10).all()
    assert min(pairs.n_iter) >= 1


def test_values_come_out_positive():
    # -2 u^3 is 2 (-u)^3.
    T, vectors = orthogonal_tensor([-3.0, 2.0], 4)
    pairs = power_iteration(T, 2, random_state=0)
    np.testing.assert_allclose(np.sort(pairs.values), [2.0, 3.0], rtol=1e-12)
    assert pairs.vectors[pairs.values.argmax()] @ vectors[0] == pytest.approx(-1.0, rel=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("max_iter", [1, 300])
def test_each_pair_solves_the_eigenvector_equation_up_to_its_residual(noise, max_iter):
    # On the tensor less the pairs before it; the residual is what is reported, converged or not.
    T = orthogonal_tensor([3.0, 2.0, 1.0], 5)[0] + noise * symmetric_noise(5)
    pairs = power_iteration(T, 3, max_iter=max_iter, random_state=1)
    for value, u, residual, status in zip(
        pairs.values, pairs.vectors, pairs.residuals, pairs.statuses, strict=True
    ):
        assert np.linalg.norm(u) == pytest.approx(1.0, rel=1e-13)
        image = np.einsum("abc,b,c->a", T, u, u)
        assert value == pytest.approx(image @ u, rel=1e-12)
        assert np.linalg.norm(image - value * u) == pytest.approx(residual, abs=1e-13)
        assert residual <= (1e-10 if status == "converged" else np.inf)
        T = T - oracles.rank_one_sum([value], u[None])


def test_more_restarts_never_find_a_smaller_first_value():
    T = symmetric_noise(8)
    few, many = (power_iteration(T, 1, n_restarts=n, random_state=0).values[0] for n in (1, 40))
    assert many > few


def test_the_last_of_many_restarts_counts_as_much_as_the_first():
    T, vectors = orthogonal_tensor([1.0, 3.0], 2)
    for starts in (vectors, vectors[::-1]):
        values, found, *_ = _core.power_iteration(T, np.ascontiguousarray(starts), 1, 50, 1e-12)
        assert values[0] == pytest.approx(3.0, rel=1e-12)
        np.testing.assert_allclose(found[0], vectors[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_the_scale_of_the_tensor_only_scales_values_and_residuals(scale):
    T = orthogonal_tensor([3.0, 2.0], 4)[0] + 0.01 * symmetric_noise(4)
    plain, scaled = power_iteration(T, 2, random_state=0), power_iteration(scale * T, 2, random_state=0)
    np.testing.assert_allclose(scaled.vectors, plain.vectors, rtol=0, atol=1e-10)
    np.testing.assert_allclose(scaled.values / scale, plain.values, rtol=1e-12)
    np.testing.assert_allclose(scaled.residuals / scale, plain.residuals, rtol=0, atol=1e-10)
    assert scaled.statuses == plain.statuses


def test_a_zero_tensor_is_degenerate():
    pairs = power_iteration(np.zeros((3, 3, 3)), 2, random_state=0)
    assert pairs.statuses == ("degenerate",) * 2
    assert not pairs.converged
    assert not pairs.values.any()
    assert not pairs.vectors.any()


def test_pairs_after_a_degenerate_one_change_nothing():
    # The tensor of one axis is deflated to exactly zero.
    T = np.zeros((3, 3, 3))
    T[1, 1, 1] = 4.0
    pairs = power_iteration(T, 3, random_state=0)
    assert pairs.statuses == ("converged", "degenerate", "degenerate")
    np.testing.assert_array_equal(pairs.values, [4.0, 0.0, 0.0])


def test_too_few_updates_are_a_status_not_an_error():
    pairs = power_iteration(symmetric_noise(6), 2, max_iter=1, random_state=0)
    assert pairs.statuses == ("iteration_limit",) * 2
    assert pairs.n_iter == (1, 1)
    assert not pairs.converged


def test_tolerance_decides_when_to_stop():
    T = symmetric_noise(6)
    loose, tight = (power_iteration(T, 1, n_restarts=1, tol=tol, random_state=0) for tol in (1e-2, 1e-12))
    assert loose.n_iter[0] < tight.n_iter[0]
    assert loose.residuals[0] > tight.residuals[0]


@pytest.mark.parametrize("make", [lambda: 7, lambda: np.random.default_rng(7), lambda: np.random.RandomState(7)])
def test_one_random_state_gives_one_result(make):
    T = symmetric_noise(5)
    first, second = (power_iteration(T, 3, random_state=make()) for _ in range(2))
    np.testing.assert_array_equal(first.vectors, second.vectors)
    np.testing.assert_array_equal(first.values, second.values)


GOOD = orthogonal_tensor([1.0], 3)[0]


@pytest.mark.parametrize(
    ("tensor", "rank", "options", "match"),
    [
        (np.zeros((2, 2)), 1, {}, r"shape \(dim, dim, dim\), got \(2, 2\)"),
        (np.zeros((2, 2, 3)), 1, {}, r"got \(2, 2, 3\)"),
        (np.full((2, 2, 2), np.nan), 1, {}, "NaN or infinity"),
        (np.full((2, 2, 2), np.inf), 1, {}, "NaN or infinity"),
        (np.arange(8.0).reshape(2, 2, 2), 1, {}, "not symmetric"),
        (1e-100 * np.arange(8.0).reshape(2, 2, 2), 1, {}, "not symmetric"),
        (GOOD + 1e-3j, 1, {}, "complex"),
        (GOOD, 0, {}, "rank must be at least 1, got 0"),
        (GOOD, 4, {}, "rank must be at most the dimension 3, got 4"),
        (GOOD, 1, {"n_restarts": 0}, "n_restarts must be at least 1, got 0"),
        (GOOD, 1, {"max_iter": 0}, "max_iter must be at least 1, got 0"),
        (GOOD, 1, {"tol": -1.0}, "tolerance"),
        (GOOD, 1, {"tol": np.nan}, "tolerance"),
    ],
)
def test_bad_input_is_refused(tensor, rank, options, match):
    with pytest.raises(ValueError, match=match):
        power_iteration(tensor, rank, **options)


@pytest.mark.parametrize(
    ("tensor", "starts", "error"),
    [
        (np.zeros((2, 2, 3)), np.ones((1, 2)), ValueError),
        (np.zeros((2, 2, 2)), np.ones((1, 3)), ValueError),
        (np.zeros((2, 2, 2)), np.ones((0, 2)), ValueError),
        (np.zeros((2, 2, 2), np.float32), np.ones((1, 2)), TypeError),
    ],
)
def test_the_core_is_strict_on_its_own(tensor, starts, error):
    with pytest.raises(error):
        _core.power_iteration(tensor, starts, 1, 10, 1e-12)


# ---- whitening by T2 ---------------------------------------------------------------------------------


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
