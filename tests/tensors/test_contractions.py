"""Packed symmetric tensors: contractions against dense einsum."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_tensors import make, rows

from moefast import _core, build_info
from moefast.tensors import SymmetricTensor
from oracles import moments as oracles

SETS = build_info()["instruction_sets"]
DIMS = [*range(1, 26), 40]


@pytest.fixture(params=SETS)
def instruction_set(request):
    before = build_info()["instruction_set"]
    _core.use_instruction_set(request.param)
    yield request.param
    _core.use_instruction_set(before)


def images(dense, U):
    """T(I, u, .., u), and the same of absolute values: what rounding is measured against."""
    order = dense.ndim
    return tuple(
        np.array([oracles.contract(tensor, *[u] * (order - 1)) for u in vectors])
        for tensor, vectors in ((dense, U), (np.abs(dense), np.abs(U)))
    )


def close(found, truth, scale):
    return (np.abs(found - truth) <= 2e-14 * scale).all()


# ---- contractions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("dim", DIMS)
def test_contractions_agree_with_dense_ones(instruction_set, order, dim):
    """Sizes around every tile edge; 1, 2, 3 and 17 vectors."""
    dense, tensor = make(dim, order)
    for n in (1, 2, 3, 17) if dim < 40 else (5,):
        U = rows(n, dim)
        truth, scale = images(dense, U)
        found = tensor.apply(U)
        assert close(found, truth, scale)
        assert close(tensor.value(U), (truth * U).sum(axis=1), (scale * np.abs(U)).sum(axis=1))


@pytest.mark.parametrize("order", [3, 4])
def test_any_number_of_vectors(instruction_set, order):
    dense, tensor = make(7, order)
    U = rows(64, 7)
    truth, scale = images(dense, U)
    for n in [*range(65)]:
        found = tensor.apply(U[:n])
        assert found.shape == (n, 7)
        assert close(found, truth[:n], scale[:n])
        assert tensor.value(U[:n]).shape == (n,)


def test_rectangles_wider_than_a_block_of_columns(instruction_set):
    U = rows(9, 150)
    dense, tensor = make(150, 3)
    truth, scale = images(dense, U)
    assert close(tensor.apply(U), truth, scale)
    assert close(tensor.apply(U[0]), truth[0], scale[0])


def pair_truth(dense, u, v):
    return (
        oracles.contract(dense, u, u, v, v),
        2 * oracles.contract(dense, u, v, v),
        2 * oracles.contract(dense, v, u, u),
    )


@pytest.mark.parametrize("dim", DIMS)
def test_pairs_agree_with_dense_ones(instruction_set, dim):
    dense, tensor = make(dim, 4)
    for n in (1, 2, 3, 7) if dim < 40 else (2,):
        U, V = rows(n, dim), rows(n, dim, seed=2)
        values, (by_u, by_v) = tensor.pair_value(U, V), tensor.pair_gradient(U, V)
        for r in range(n):
            truth = pair_truth(dense, U[r], V[r])
            scale = pair_truth(np.abs(dense), np.abs(U[r]), np.abs(V[r]))
            for found, right, size in zip((values[r], by_u[r], by_v[r]), truth, scale, strict=True):
                assert close(found, right, size)


def test_any_number_of_pairs(instruction_set):
    _, tensor = make(5, 4)
    U, V = rows(64, 5), rows(64, 5, seed=2)
    one = [tensor.pair_value(u, v) for u, v in zip(U, V, strict=True)]
    for n in range(65):
        np.testing.assert_allclose(tensor.pair_value(U[:n], V[:n]), one[:n], rtol=0, atol=1e-11)
        by_u, by_v = tensor.pair_gradient(U[:n], V[:n])
        assert by_u.shape == by_v.shape == (n, 5)
        np.testing.assert_allclose((by_v * V[:n]).sum(axis=1) / 2, one[:n], rtol=0, atol=1e-11)


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (3, 1), (5, 2), (6, 6), (9, 13), (20, 4), (3, 0)])
def test_projections_agree_with_dense_ones(instruction_set, order, shape):
    dense, tensor = make(shape[0], order)
    W = rows(*shape)
    letters, axes = "abce"[:order], "ijkl"[:order]
    spec = letters + "," + ",".join(a + i for a, i in zip(letters, axes, strict=True)) + "->" + axes
    truth = np.einsum(spec, dense, *[W] * order, optimize=True)
    scale = np.einsum(spec, np.abs(dense), *[np.abs(W)] * order, optimize=True)
    found = tensor.project(W)
    assert found.shape == (shape[1],) * order
    assert close(found, truth, scale)
    for axis in range(order - 1):
        np.testing.assert_array_equal(found, np.swapaxes(found, axis, axis + 1))


@given(st.integers(2, 4), st.integers(1, 9), st.integers(1, 20), st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_identities(order, dim, n, seed):
    """T(u, .., u) is its gradient along u, homogeneous, and what projecting on u gives."""
    dense, tensor = make(dim, order, seed)
    U = rows(n, dim, seed)
    scale = (images(dense, U)[1] * np.abs(U)).sum(axis=1)
    values = tensor.value(U)
    assert close((tensor.apply(U) * U).sum(axis=1), values, scale)
    np.testing.assert_array_equal(tensor.value(-2 * U), (-2.0) ** order * values)
    assert close(tensor.project(U[:1].T).item(), values[0], scale[0])
    if order == 4:
        assert close(tensor.pair_value(U, U), values, scale)
        V = rows(n, dim, seed + 1)
        size = [pair_truth(np.abs(dense), np.abs(u), np.abs(v))[0] for u, v in zip(U, V, strict=True)]
        assert close(tensor.pair_value(U, V), tensor.pair_value(V, U), np.array(size))
        # T(u + v, ..) + T(u - v, ..) = 2 T(u, ..) + 2 T(v, ..) + 12 T(u, u, v, v)
        both = tensor.value(U + V) + tensor.value(U - V) - 2 * values - 2 * tensor.value(V)
        total = (images(dense, np.abs(U) + np.abs(V))[1] * (np.abs(U) + np.abs(V))).sum(axis=1)
        assert close(both, 12 * tensor.pair_value(U, V), 4 * total)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_the_gradient_is_that_of_the_value(order):
    """Central differences of a polynomial of degree 4 are exact but for the cubes of the step."""
    _, tensor = make(6, order)
    u, v = rows(2, 6)
    step = 1e-5 * np.eye(6)
    slope = (tensor.value(u + step) - tensor.value(u - step)) / 2e-5
    np.testing.assert_allclose(order * tensor.apply(u), slope, rtol=1e-7, atol=1e-7)
    if order == 4:
        by_u, by_v = tensor.pair_gradient(u, v)
        same_u, same_v = np.tile(u, (6, 1)), np.tile(v, (6, 1))
        slope_u = (tensor.pair_value(u + step, same_v) - tensor.pair_value(u - step, same_v)) / 2e-5
        slope_v = (tensor.pair_value(same_u, v + step) - tensor.pair_value(same_u, v - step)) / 2e-5
        np.testing.assert_allclose(by_u, slope_u, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(by_v, slope_v, rtol=1e-7, atol=1e-7)


def test_one_vector_gives_one_result():
    _, tensor = make(4, 4)
    U, V = rows(3, 4), rows(3, 4, seed=2)
    assert tensor.apply(U[0]).shape == (4,)
    assert isinstance(tensor.value(U[0]), float)
    assert isinstance(tensor.pair_value(U[0], V[0]), float)
    np.testing.assert_allclose(tensor.apply(U[1]), tensor.apply(U)[1], rtol=1e-12)
    np.testing.assert_allclose(tensor.pair_gradient(U[1], V[1])[0], tensor.pair_gradient(U, V)[0][1], rtol=1e-12)


def test_a_vector_does_not_see_its_neighbours():
    """Lanes are apart: a zero or a huge vector in the batch changes nothing in the others."""
    _, tensor = make(9, 4)
    U = rows(16, 9)
    others = U.copy()
    others[::2] = 1e70
    others[2] = 0.0
    np.testing.assert_array_equal(tensor.apply(others)[1::2], tensor.apply(U)[1::2])
    assert not tensor.apply(others)[2].any()


# ---- the range of float64 ----------------------------------------------------------------------------


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("power", [-900, -300, 300, 900])
def test_nothing_is_lost_on_the_way_to_a_result_in_range(order, power):
    """T 2^(-power (order - 1)) along u 2^power: only powers of two change, so every bit stays."""
    dense, tensor = make(5, order)
    U = rows(10, 5)
    if abs(power) * (order - 1) > 960:
        power = math.copysign(960 // (order - 1), power)
    scaled = SymmetricTensor.from_dense(np.ldexp(dense, int(-power * (order - 1))))
    np.testing.assert_array_equal(scaled.apply(np.ldexp(U, int(power))), tensor.apply(U))
    if order == 4:
        found = scaled.pair_gradient(np.ldexp(U, int(power)), np.ldexp(U[::-1], int(power)))
        np.testing.assert_array_equal(found, tensor.pair_gradient(U, U[::-1]))


def test_an_overflow_is_an_error_and_never_nan():
    _, tensor = make(3, 4)
    big = np.full((2, 3), 1e150)
    for contraction in (tensor.apply, tensor.value, lambda U: tensor.project(U.T)):
        with pytest.raises(OverflowError, match="range of float64"):
            contraction(big)
    for contraction in (tensor.pair_value, tensor.pair_gradient):
        with pytest.raises(OverflowError, match="range of float64"):
            contraction(big, big)
    assert np.isfinite(tensor.pair_value(big, 1e-150 * big)).all()


def test_rounding_is_that_of_a_sum():
    """Against exact rational arithmetic, with entries of one sign."""
    dense = np.abs(oracles.symmetric_noise(4, 4))
    u = np.abs(rows(1, 4)[0])
    exact = sum(
        Fraction(float(dense[i])) * math.prod(Fraction(float(u[j])) for j in i) for i in np.ndindex(dense.shape)
    )
    assert SymmetricTensor.from_dense(dense).value(u) == pytest.approx(float(exact), rel=1e-14)
