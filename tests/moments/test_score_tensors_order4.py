"""Score tensors of order 4, and of lower orders from moments of order 4."""

import itertools

import numpy as np
import pytest

from moefast import MomentAccumulator
from moefast.moments.scores import score_correction
from moefast.transforms import PolynomialTransform
from oracles import moments as oracles

TRANSFORMS = {
    "response": PolynomialTransform((0.0, 1.0), 1.0, order=2),
    "cubic": PolynomialTransform((0.3, -1.2, 0.7, 1.0), 1.0, order=3),
    "quartic": PolynomialTransform((0.1, 0.5, -6.0, 0.2, 1.0), 24.0, order=4),
    "about": PolynomialTransform((0.0, -3.0, 0.0, 1.0, 0.5), 6.0, order=4, about=1.5),
}
QUARTIC = TRANSFORMS["quartic"]


def sample(n=120, d=3, seed=0):
    """Correlated, skewed, off-centre columns with a response that depends on them."""
    rng = np.random.default_rng(seed)
    X = rng.gamma(2.0, size=(n, d)) @ rng.normal(size=(d, d)) + 5.0
    y = np.tanh(X[:, 0] - X[:, 0].mean()) * X[:, -1] + rng.normal(size=n)
    return X, y, rng.uniform(0.2, 2.0, size=n)


def moments_of(X, y, w=None):
    return MomentAccumulator(X.shape[1], 4).update(X, y, w).score_moments()


def along(tensor, *matrices):
    """The tensor with every index taken along the columns of the next matrix."""
    for matrix in matrices:
        tensor = np.tensordot(tensor, matrix, axes=(0, 0))
    return tensor


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("d", [1, 3])
def test_score_tensors_equal_the_sum_over_samples(order, transform, weighted, d):
    X, y, w = sample(d=d)
    moments = moments_of(X, y, w if weighted else None)
    weights = w if weighted else np.ones(len(y))
    expected = oracles.score_tensor(X, transform(y), weights, moments.whitening, order)
    found = moments.score_tensor(order, transform)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())
    for axes in itertools.permutations(range(order)):
        np.testing.assert_allclose(found, found.transpose(axes), rtol=0, atol=1e-13 * np.abs(found).max())


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("q", [1, 2, 4])
def test_the_correction_alone_where_the_response_has_a_mean(order, q):
    """Every term counts: for a centred response that of the identity alone is zero."""
    rng = np.random.default_rng(q)
    Z, response, W = rng.normal(size=(30, 3)), rng.uniform(1, 2, size=30), rng.normal(size=(3, q))
    V = np.column_stack([Z @ W, np.ones(30)])
    found = score_correction(oracles.matrix_moment(V, response, np.ones(30), order, 1) / 30, W.T @ W)
    whole = sum(r * oracles.score(z, order) for z, r in zip(Z, response, strict=True)) / 30
    expected = along(whole, *[W] * order)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("order", [2, 3])
def test_lower_orders_do_not_depend_on_the_highest(order):
    X, y, w = sample()
    cubic = TRANSFORMS["cubic"]
    third = MomentAccumulator(3).update(X, y, w).score_moments().score_tensor(order, cubic)
    fourth = moments_of(X, y, w).score_tensor(order, cubic)
    np.testing.assert_allclose(fourth, third, rtol=0, atol=1e-11 * np.abs(third).max())


@pytest.mark.parametrize("q", [1, 2, 3, 5])
@pytest.mark.parametrize("order", [2, 3, 4])
def test_projection_equals_the_full_tensor_contracted(order, q):
    moments = moments_of(*sample())
    W = np.random.default_rng(q).normal(size=(3, q))
    expected = along(moments.score_tensor(order, QUARTIC), *[W] * order)
    np.testing.assert_allclose(
        moments.score_tensor(order, QUARTIC, W), expected, rtol=0, atol=1e-11 * np.abs(expected).max()
    )


def test_the_order_4_tensor_follows_an_affine_map_of_x():
    # x - mean = B z with B = covariance @ whitening: in the units of x, x -> A x + b multiplies every side by A.
    X, y, w = sample()
    A = np.array([[3.0, 1.0, 0.0], [0.0, 0.2, -1.0], [0.5, 0.0, 1.0]])

    def in_units_of_x(X):
        moments = moments_of(X, y, w)
        B = moments.covariance @ moments.whitening
        return along(moments.score_tensor(4, QUARTIC), *[B.T] * 4)

    expected = along(in_units_of_x(X), *[A.T] * 4)
    found = in_units_of_x(X @ A.T + [1.0, -20.0, 3.0])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("about", [-2.0, 30.0])
def test_a_transform_written_about_another_point_is_the_same(about):
    moments = moments_of(*sample())
    moved = PolynomialTransform(QUARTIC.channels_about(about, 5), 24.0, order=4, about=about)
    expected = moments.score_tensor(4, QUARTIC)
    np.testing.assert_allclose(
        moments.score_tensor(4, moved), expected, rtol=0, atol=1e-8 * np.abs(expected).max()
    )


def test_a_collinear_column_leaves_the_rank_and_the_norm():
    X, y, w = sample()
    moments = moments_of(np.column_stack([X[:, 0] - X[:, 1], X, np.full(len(X), 7.0)]), y, w)
    assert moments.rank == 3
    norms = [np.linalg.norm(m.score_tensor(4, QUARTIC)) for m in (moments, moments_of(X, y, w))]
    assert norms[0] == pytest.approx(norms[1], rel=1e-8)


def test_too_high_orders_and_degrees_are_refused():
    X, y, w = sample()
    with pytest.raises(ValueError, match=r"order must lie between 2 and 4, .* got 5"):
        moments_of(X, y, w).score_tensor(5, QUARTIC)
    with pytest.raises(ValueError, match=r"degree 4 needs .* up to 3"):
        MomentAccumulator(3).update(X, y, w).score_moments().score_tensor(3, QUARTIC)
    fifth = PolynomialTransform((0.0,) * 5 + (1.0,), 1.0, order=4)
    with pytest.raises(ValueError, match=r"degree 5 needs .* up to 4"):
        moments_of(X, y, w).score_tensor(4, fifth)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_quartic_transform_shows_linear_experts(noise):
    r"""For y = a_i.x + s e, He_4 of y at unit variance: E[Q4(y) S_4(x)] = 24 sum p_i a_i^(x)4, |a_i| = 1.

    With Q4 = y^4 - 6 (1 + s^2) y^2 the lower derivatives vanish in the mean, whatever the gate depends on: here
    the gate is logistic in x, so that p_i = E[gate_i] = 1/2.
    """
    rng = np.random.default_rng(3)
    n, batches = 40_000, 25
    A = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]])
    gate = np.array([0.0, 0.5, 2.0])
    Q4 = PolynomialTransform((0.0, 0.0, -6 * (1 + noise**2), 0.0, 1.0), 24.0, order=4)
    expected = 24 * oracles.rank_one_sum(np.array([0.5, 0.5]), A, order=4)
    found = []
    for _ in range(batches):
        X = rng.normal(size=(n, 3))
        chosen = (rng.uniform(size=n) < 1 / (1 + np.exp(-X @ gate))).astype(int)
        y = np.einsum("nd,nd->n", X, A[chosen]) + noise * rng.normal(size=n)
        moments = moments_of(X, y)
        B = np.linalg.inv(moments.whitening)  # back from z to x
        found.append(along(moments.score_tensor(4, Q4), *[B] * 4))
    deviation = np.mean(found, axis=0) - expected
    unique = [index for index in itertools.product(range(3), repeat=4) if list(index) == sorted(index)]
    error = np.std(found, axis=0, ddof=1) / np.sqrt(batches)
    scores = np.array([deviation[index] / error[index] for index in unique])
    assert (np.abs(scores) < 3).all()
    assert np.linalg.norm(deviation) < 0.1 * np.linalg.norm(expected)
