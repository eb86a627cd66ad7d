"""Accumulators with a transform: one channel, known beforehand."""

import numpy as np
import pytest

from moefast import MomentAccumulator, build_info
from moefast.transforms import PolynomialTransform, cubic_transform
from oracles import moments as oracles

BLOCK = build_info()["super_block_rows"]
ORDERS = [2, 3, 4]


def polynomial(degree, about=0.0, seed=0):
    rng = np.random.default_rng(seed + degree)
    return PolynomialTransform(tuple(map(float, rng.normal(size=degree + 1))), 1.0, order=3, about=about)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("degree", range(7))
@pytest.mark.parametrize("about", [0.0, 1.5, -20.0])
def test_moments_equal_the_oracle(order, degree, about):
    X, y, w = oracles.sample(900, 4, seed=degree)
    P = polynomial(degree, about)
    found = MomentAccumulator(4, order, transform=P).update(X, y, w)
    terms = sum(abs(q) * np.abs(y - about) ** j for j, q in enumerate(P.coefficients))
    response = sum(q * (y - about) ** j for j, q in enumerate(P.coefficients))
    for m in range(order + 1):
        error = np.abs(found.raw_moment(m) - oracles.matrix_moment(X, response, w, m, 1))
        assert (error <= 1e-13 * oracles.expanded_moment(X, terms, w, m, 1)).all(), m


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("n", [1, 700, BLOCK + 50])
@pytest.mark.parametrize("d", [1, 5, 26])
def test_the_channel_is_the_combination_of_the_powers(order, n, d):
    X, y, w = oracles.sample(n, d, seed=2)
    P = polynomial(order, about=0.7)
    single = MomentAccumulator(d, order, transform=P).update(X, y, w)
    powers = MomentAccumulator(d, order).update(X, y, w)
    about_zero = P.channels_about(0.0, order + 1)
    scale = oracles.expanded_moment(X, np.abs(y) + 2.0, w, order, order)
    combined = sum(q * powers.raw_moment(order, h) for h, q in enumerate(about_zero))
    assert (np.abs(single.raw_moment(order) - combined) <= 1e-12 * scale).all()
    centred = single.central_moment(order)
    by_hand = oracles.matrix_moment(X - np.average(X, axis=0, weights=w), P(y), w, order, 1) / w.sum()
    assert (np.abs(centred - by_hand) <= 1e-12 * scale / w.sum()).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_channel_is_the_sum_with_its_weight(dtype):
    X, y, w = oracles.sample(5000, 6, seed=1, dtype=np.dtype(dtype).type)
    P = cubic_transform("tanh", 0.1)
    single = MomentAccumulator(6, dtype=dtype, transform=P).update(X, y, w)
    X, y = X.astype(np.float64), y.astype(np.float64)
    scale = oracles.expanded_moment(X, sum(abs(q) * np.abs(y) ** j for j, q in enumerate(P.coefficients)), w, 3, 1)
    error = np.abs(single.raw_moment(3) - oracles.matrix_moment(X, P(y), w, 3, 1))
    assert (error <= (1e-13 if dtype == "float64" else 4e-7) * scale).all()
    assert single.memory < MomentAccumulator(6, dtype=dtype).memory


def test_a_response_far_from_about_keeps_what_its_polynomial_keeps():
    """P is taken as it is, (y - about)^j: with about near the data, no digit is lost at 1e8."""
    rng = np.random.default_rng(0)
    X, small = rng.normal(size=(800, 3)), rng.integers(-8, 9, size=800).astype(float)
    near = PolynomialTransform((0.0, 0.0, 0.0, 1.0), 1.0, order=3, about=1e8)
    found = MomentAccumulator(3, transform=near).update(X, small + 1e8)
    expected = MomentAccumulator(3, transform=PolynomialTransform((0.0, 0.0, 0.0, 1.0), 1.0, order=3)).update(
        X, small
    )
    np.testing.assert_array_equal(found.raw_moment(3), expected.raw_moment(3))


# ---- refusals --------------------------------------------------------------------------------------------


def test_powers_and_score_tensors_are_refused():
    X, y, w = oracles.sample(50)
    accumulator = MomentAccumulator(3, 4, transform=polynomial(3)).update(X, y, w)
    for power in (1, 3):
        with pytest.raises(ValueError, match="power must be at most 0"):
            accumulator.raw_moment(2, power)
        with pytest.raises(ValueError, match="power must be at most 0"):
            accumulator.central_moment(2, power)
    with pytest.raises(ValueError, match="accumulate without transform"):
        accumulator.score_moments()
    with pytest.raises(ValueError, match="accumulate without transform"):
        accumulator.score_tensor(3, polynomial(3))


@pytest.mark.parametrize("other", [None, polynomial(2), polynomial(3, about=1.0), polynomial(3, seed=9)])
def test_merging_other_transforms_is_refused(other):
    X, y, w = oracles.sample(50)
    accumulator = MomentAccumulator(3, transform=polynomial(3)).update(X, y, w)
    before = accumulator.to_bytes()
    with pytest.raises(ValueError, match=r"cannot merge .* transform must agree"):
        accumulator.merge(MomentAccumulator(3, transform=other).update(X, y, w))
    assert accumulator.to_bytes() == before


@pytest.mark.parametrize(
    ("coefficients", "about"), [((np.nan, 1.0), 0.0), ((1.0, np.inf), 0.0), ((0.0, 1.0), np.inf)]
)
def test_a_transform_that_is_not_finite_is_refused(coefficients, about):
    with pytest.raises(ValueError, match="transform must have finite coefficients"):
        MomentAccumulator(2, transform=PolynomialTransform(coefficients, 1.0, 3, about))
