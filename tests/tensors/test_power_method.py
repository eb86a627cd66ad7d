"""The tensor power method: the eigenvector equation, exact orthogonal tensors, scale, statuses, bad input."""

import numpy as np
import pytest

from moefast import _core
from moefast.tensors import SymmetricTensor
from moefast.tensors.power_method import power_iteration
from oracles import moments as oracles


def orthogonal_tensor(values, dim, seed=0, order=3):
    vectors = np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0][: len(values)]
    return oracles.rank_one_sum(np.asarray(values), vectors, order), vectors


def packed(T):
    return _core.SymmetricTensor.from_dense(T)


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
    T = orthogonal_tensor([3.0, 2.0, 1.0], 5)[0] + noise * oracles.symmetric_noise(5)
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
    T = oracles.symmetric_noise(8)
    firsts = [power_iteration(T, 1, n_restarts=1, random_state=seed).values[0] for seed in range(10)]
    many = power_iteration(T, 1, n_restarts=40, random_state=0).values[0]
    assert min(firsts) < 0.99 * many  # a single restart can stay at a lesser maximum
    assert max(firsts) <= many * (1 + 1e-12)


def test_the_last_of_many_restarts_counts_as_much_as_the_first():
    T, vectors = orthogonal_tensor([1.0, 3.0], 2)
    for starts in (vectors, vectors[::-1]):
        values, found, *_ = _core.power_iteration(packed(T), np.ascontiguousarray(starts), 1, 50, 1e-12)
        assert values[0] == pytest.approx(3.0, rel=1e-12)
        np.testing.assert_allclose(found[0], vectors[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_the_scale_of_the_tensor_only_scales_values_and_residuals(scale):
    T = orthogonal_tensor([3.0, 2.0], 4)[0] + 0.01 * oracles.symmetric_noise(4)
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
    pairs = power_iteration(oracles.symmetric_noise(6), 2, max_iter=1, random_state=0)
    assert pairs.statuses == ("iteration_limit",) * 2
    assert pairs.n_iter == (1, 1)
    assert not pairs.converged


def test_tolerance_decides_when_to_stop():
    T = oracles.symmetric_noise(6)
    loose, tight = (power_iteration(T, 1, n_restarts=1, tol=tol, random_state=0) for tol in (1e-2, 1e-12))
    assert loose.n_iter[0] < tight.n_iter[0]
    assert loose.residuals[0] > tight.residuals[0]


@pytest.mark.parametrize("make", [lambda: 7, lambda: np.random.default_rng(7), lambda: np.random.RandomState(7)])
def test_one_random_state_gives_one_result(make):
    T = oracles.symmetric_noise(5)
    first, second = (power_iteration(T, 3, random_state=make()) for _ in range(2))
    np.testing.assert_array_equal(first.vectors, second.vectors)
    np.testing.assert_array_equal(first.values, second.values)


GOOD = orthogonal_tensor([1.0], 3)[0]


@pytest.mark.parametrize(
    ("tensor", "rank", "options", "match"),
    [
        (np.zeros((2, 2)), 1, {}, r"tensor must have shape \(dim, dim, dim\) or .*, got \(2, 2\)"),
        (SymmetricTensor.from_dense(np.eye(2)), 1, {}, "order 3 or 4, got order 2"),
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
        (packed(np.zeros((2, 2, 2))), np.ones((1, 3)), ValueError),
        (packed(np.zeros((2, 2, 2))), np.ones((0, 2)), ValueError),
        (packed(np.zeros((2, 2, 2))), np.ones((1, 2), np.float32), TypeError),
        (np.zeros((2, 2, 2)), np.ones((1, 2)), TypeError),
    ],
)
def test_the_core_is_strict_on_its_own(tensor, starts, error):
    with pytest.raises(error):
        _core.power_iteration(tensor, starts, 1, 10, 1e-12)


# ---- order 4, and restarts together ------------------------------------------------------------------


@pytest.mark.parametrize("values", [[2.0], [-3.0], [5.0, -4.0, 3.0], [-5.0, -4.0, 0.5], [1.0, -1.0]])
@pytest.mark.parametrize("dim", [3, 7])
def test_order_4_keeps_the_signs_of_the_values(values, dim):
    T, vectors = orthogonal_tensor(values, dim, order=4)
    pairs = power_iteration(T, len(values), random_state=0)
    assert pairs.statuses == ("converged",) * len(values)
    np.testing.assert_allclose(np.sort(pairs.values), np.sort(values), rtol=1e-12)
    order = np.abs(vectors @ pairs.vectors.T).argmax(axis=1)
    np.testing.assert_allclose(pairs.values[order], values, rtol=1e-12)
    np.testing.assert_allclose(np.abs((pairs.vectors[order] * vectors).sum(axis=1)), 1.0, rtol=1e-12)
    assert (pairs.residuals < 1e-10).all()


def test_order_4_prefers_the_largest_absolute_value():
    T, vectors = orthogonal_tensor([2.0, -3.0], 2, order=4)
    for starts in (vectors, vectors[::-1]):
        values, found, *_ = _core.power_iteration(packed(T), np.ascontiguousarray(starts), 1, 50, 1e-12)
        assert values[0] == pytest.approx(-3.0, rel=1e-12)
        assert abs(found[0] @ vectors[1]) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("max_iter", [1, 300])
def test_order_4_solves_the_eigenvector_equation_up_to_its_residual(noise, max_iter):
    T = orthogonal_tensor([3.0, -2.0, 1.0], 5, order=4)[0] + noise * oracles.symmetric_noise(5, 4)
    pairs = power_iteration(T, 3, max_iter=max_iter, random_state=1)
    for value, u, residual in zip(pairs.values, pairs.vectors, pairs.residuals, strict=True):
        image = oracles.contract(T, u, u, u)
        assert value == pytest.approx(image @ u, rel=1e-12)
        assert np.linalg.norm(image - value * u) == pytest.approx(residual, abs=1e-12)
        T = T - oracles.rank_one_sum([value], u[None], 4)


@pytest.mark.parametrize("order", [3, 4])
@pytest.mark.parametrize("n", [2, 9, 40])
def test_restarts_together_find_what_the_best_one_finds_alone(order, n):
    T = packed(orthogonal_tensor([3.0, 2.0, -1.0], 5, order=order)[0] + 0.1 * oracles.symmetric_noise(5, order))
    starts = np.random.default_rng(n).normal(size=(n, 5))
    settings = (1, 400, 1e-13)
    alone = [_core.power_iteration(T, row[None], *settings) for row in starts]
    best = max(alone, key=lambda one: abs(one[0][0]))
    values, vectors, _, n_iter, statuses = _core.power_iteration(T, starts, *settings)
    assert values[0] == pytest.approx(best[0][0], rel=1e-12)
    assert abs(vectors[0] @ best[1][0]) == pytest.approx(1.0, rel=1e-12)
    assert statuses == ["converged"]
    assert min(one[3][0] for one in alone) <= n_iter[0] <= max(one[3][0] for one in alone)


@pytest.mark.parametrize("order", [3, 4])
def test_a_restart_goes_on_when_those_before_it_have_settled(order):
    """The first ones stand on an eigenvector or come to zero; only the last one leads to the largest value."""
    T = np.zeros((3,) * order)
    T[(0,) * order], T[(1,) * order] = 1.0, 3.0
    starts = np.array([[1.0, 0, 0], [0, 0, 1], [1, 0, 0], [0.5, 1, 0.1]])
    values, vectors, _, n_iter, statuses = _core.power_iteration(packed(T), starts, 2, 50, 1e-12)
    np.testing.assert_allclose(values, [3.0, 1.0], rtol=1e-12)
    np.testing.assert_allclose(vectors, [[0, 1, 0], [1, 0, 0]], rtol=0, atol=1e-12)
    assert statuses == ["converged"] * 2
    assert n_iter[0] > 2


def test_packed_and_dense_are_one():
    T = oracles.symmetric_noise(6, 4)
    dense = power_iteration(T, 2, random_state=0)
    from_packed = power_iteration(SymmetricTensor.from_dense(T), 2, random_state=0)
    np.testing.assert_array_equal(dense.vectors, from_packed.vectors)
    np.testing.assert_array_equal(dense.values, from_packed.values)


@pytest.mark.parametrize("order", [3, 4])
def test_what_rounding_leaves_of_a_tensor_is_no_pair(order):
    T, _ = orthogonal_tensor([3.0], 6, order=order)
    assert power_iteration(T, 3, random_state=0).statuses == ("converged", "degenerate", "degenerate")


@pytest.mark.parametrize(("dim", "entry"), [(4, 1.7e308), (2, 0.7e308)])
def test_an_overflow_is_an_error(dim, entry):
    """Of T(I, u, u) itself, or of its length only."""
    with pytest.raises(OverflowError, match="float64"):
        power_iteration(np.full((dim,) * 3, entry), 1, random_state=0)
    assert power_iteration(np.full((dim,) * 3, entry / 100), 1, random_state=0).converged
