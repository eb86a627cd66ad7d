"""Score tensors from accumulated moments, and the core's packed sums behind them."""

import itertools

import numpy as np
import pytest

from moefast import MomentAccumulator, _core
from moefast.transforms import PolynomialTransform
from oracles import moments as oracles

CUBIC = PolynomialTransform((0.3, -1.2, 0.7, 1.0), constant=1.0, order=3)
TRANSFORMS = {
    "response": PolynomialTransform((0.0, 1.0), 1.0, order=2),
    "square": PolynomialTransform((0.0, -0.4, 1.0), 1.0, order=2),
    "cubic": CUBIC,
    "about": PolynomialTransform((0.0, -3.0, 0.0, 1.0), 6.0, order=3, about=1.5),
}


def sample(n=150, d=3, seed=0):
    """Correlated, skewed, off-centre columns with a response that depends on them."""
    rng = np.random.default_rng(seed)
    X = rng.gamma(2.0, size=(n, d)) @ rng.normal(size=(d, d)) + 5.0
    y = np.tanh(X[:, 0] - X[:, 0].mean()) * X[:, -1] + rng.normal(size=n)
    return X, y, rng.uniform(0.2, 2.0, size=n)


def moments_of(X, y, w=None):
    return MomentAccumulator(X.shape[1]).update(X, y, w).score_moments()


# ---- whitening and centring --------------------------------------------------------------------------


def test_whitened_samples_have_mean_zero_and_covariance_one():
    X, y, w = sample()
    moments = moments_of(X, y, w)
    mean, share = np.average(X, axis=0, weights=w), w / w.sum()
    np.testing.assert_allclose(moments.x_mean, mean, rtol=1e-13)
    np.testing.assert_allclose(moments.covariance, np.cov(X.T, aweights=w, bias=True), rtol=1e-11)
    np.testing.assert_allclose([moments.y_mean, moments.y_variance], [share @ y, share @ (y - share @ y) ** 2])
    Z = (X - mean) @ moments.whitening
    np.testing.assert_allclose(Z.T @ (share[:, None] * Z), np.eye(3), rtol=0, atol=1e-11)
    np.testing.assert_allclose(moments.cross_moment(), (share * (y - share @ y)) @ Z, rtol=0, atol=1e-12)


def _copy(X):
    return np.column_stack([X, X[:, 0]])


def _sum(X):
    return np.column_stack([X[:, 0] + 2 * X[:, 1], X])


def _constant(X):
    return np.column_stack([X, np.full(len(X), 7.0)])


@pytest.mark.parametrize("extend", [_copy, _sum, _constant])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_collinear_columns_reduce_the_rank(extend, scale):
    X, y, _ = sample()
    full, plain = extend(scale * X), moments_of(X, y)
    moments = moments_of(full, y)
    assert moments.rank == plain.rank == 3
    Z = (full - full.mean(axis=0)) @ moments.whitening
    np.testing.assert_allclose(Z.T @ Z / len(Z), np.eye(3), rtol=0, atol=1e-8)
    # The tensors are those of the three columns, in another orthonormal basis: equal norms.
    for order in (2, 3):
        norms = [np.linalg.norm(m.score_tensor(order, CUBIC)) for m in (moments, plain)]
        assert norms[0] == pytest.approx(norms[1], rel=1e-8)


# ---- the tensors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("weighted", [False, True])
def test_score_tensors_equal_the_sum_over_samples(order, transform, weighted):
    X, y, w = sample()
    moments = moments_of(X, y, w if weighted else None)
    expected = oracles.score_tensor(X, transform(y), w if weighted else np.ones(len(y)), moments.whitening, order)
    found = moments.score_tensor(order, transform)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())
    for axes in itertools.permutations(range(order)):
        np.testing.assert_allclose(found, found.transpose(axes), rtol=0, atol=1e-13 * np.abs(found).max())


def test_the_accumulator_gives_the_same_tensor():
    X, y, w = sample()
    accumulator = MomentAccumulator(3).update(X, y, w)
    np.testing.assert_array_equal(
        accumulator.score_tensor(3, CUBIC), accumulator.score_moments().score_tensor(3, CUBIC)
    )


@pytest.mark.parametrize("order", [2, 3])
def test_a_constant_added_to_the_transform_changes_nothing(order):
    # The mean of P(y) is taken off, whatever it is.
    moments = moments_of(*sample())
    lifted = PolynomialTransform((100.3, *CUBIC.coefficients[1:]), 1.0, order=3)
    expected = moments.score_tensor(order, CUBIC)
    np.testing.assert_allclose(
        moments.score_tensor(order, lifted), expected, rtol=0, atol=1e-11 * np.abs(expected).max()
    )


@pytest.mark.parametrize("about", [-2.0, 0.5, 30.0])
@pytest.mark.parametrize("order", [2, 3])
def test_a_transform_written_about_another_point_is_the_same(about, order):
    moments = moments_of(*sample())
    moved = PolynomialTransform(CUBIC.channels_about(about), 1.0, order=3, about=about)
    np.testing.assert_allclose(moved(np.arange(4.0)), CUBIC(np.arange(4.0)), rtol=1e-12, atol=1e-11)
    expected = moments.score_tensor(order, CUBIC)
    np.testing.assert_allclose(
        moments.score_tensor(order, moved), expected, rtol=0, atol=1e-9 * np.abs(expected).max()
    )


@pytest.mark.parametrize("q", [1, 2, 3, 4])
@pytest.mark.parametrize("order", [2, 3])
def test_projection_equals_the_full_tensor_contracted(order, q):
    moments = moments_of(*sample())
    W = np.random.default_rng(q).normal(size=(3, q))
    full = moments.score_tensor(order, CUBIC)
    spec = "ab,ai,bj->ij" if order == 2 else "abc,ai,bj,ck->ijk"
    expected = np.einsum(spec, full, *[W] * order)
    np.testing.assert_allclose(
        moments.score_tensor(order, CUBIC, W), expected, rtol=0, atol=1e-12 * np.abs(expected).max()
    )


@pytest.mark.parametrize("order", [2, 3])
def test_tensors_follow_an_affine_map_of_x(order):
    # x - mean = B z with B = covariance @ whitening, so B (x) .. (x) B takes the tensor to the units of x,
    # where x -> A x + b multiplies every side by A.
    X, y, w = sample()
    A = np.array([[3.0, 1.0, 0.0], [0.0, 0.2, -1.0], [0.5, 0.0, 1.0]])

    def in_units_of_x(X):
        moments = moments_of(X, y, w)
        B = moments.covariance @ moments.whitening
        spec = "ab,ia,jb->ij" if order == 2 else "abc,ia,jb,kc->ijk"
        return np.einsum(spec, moments.score_tensor(order, CUBIC), *[B] * order)

    spec = "ab,ia,jb->ij" if order == 2 else "abc,ia,jb,kc->ijk"
    expected = np.einsum(spec, in_units_of_x(X), *[A] * order)
    np.testing.assert_allclose(
        in_units_of_x(X @ A.T + [1.0, -20.0, 3.0]), expected, rtol=0, atol=1e-9 * np.abs(expected).max()
    )


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"order": 1}, "order must lie between 2 and 3, .* got 1"),
        ({"order": 4}, "order must lie between 2 and 3, .* got 4"),
        ({"order": 3, "directions": np.eye(2)}, r"directions must have shape \(3, q\), got \(2, 2\)"),
        ({"order": 2, "directions": np.ones(3)}, r"directions must have shape \(3, q\), got \(3,\)"),
    ],
)
def test_bad_requests_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        moments_of(*sample()).score_tensor(transform=CUBIC, **arguments)


# ---- the packed tensor -------------------------------------------------------------------------------

POLYNOMIALS = [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.5, -1.0, 2.0, 0.25]]


def sums_of(d, order=3, n=40):
    rng = np.random.default_rng(d)
    core = _core.Accumulator("float64", d, order, [], 0.0)
    X, y, w = rng.normal(size=(n, d)) + 1.0, rng.normal(size=n), rng.uniform(0.5, 1.5, size=n)
    core.update(X, y, w, 1)
    return core.snapshot(), X, y, w


def dense_oracle(X, y, w, centre, polynomial):
    U = np.column_stack([X - centre[:-1], np.ones(len(y))])
    response = np.polynomial.Polynomial(polynomial)(y - centre[-1])
    return np.einsum("n,na,nb,nc->abc", w * response, U, U, U)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("polynomial", POLYNOMIALS)
def test_dense_tensor_is_the_sum_and_symmetric(d, polynomial):
    sums, X, y, w = sums_of(d)
    dense = sums.to_dense(polynomial)
    np.testing.assert_allclose(dense, dense_oracle(X, y, w, sums.centre, polynomial), rtol=0, atol=1e-11)
    for axes in itertools.permutations(range(3)):
        np.testing.assert_array_equal(dense, dense.transpose(axes))
    for order in range(3):
        lower = dense[(slice(None),) * order + (-1,) * (3 - order)]
        np.testing.assert_array_equal(sums.lower_order(order, polynomial), lower)
    assert (sums.count, sums.n_features) == (40, d)
    assert sums.weight == pytest.approx(w.sum(), rel=1e-14)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("polynomial", POLYNOMIALS)
@pytest.mark.parametrize("m", [1, 3, 8])
def test_contraction_equals_einsum(d, polynomial, m):
    sums, *_ = sums_of(d)
    V = np.random.default_rng(m).normal(size=(d + 1, m))
    expected = np.einsum("abc,ai,bj,ck->ijk", sums.to_dense(polynomial), V, V, V)
    np.testing.assert_allclose(sums.contract(polynomial, V), expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("d", [1, 3, 6])
def test_moving_the_centre_is_exact(d):
    sums, X, y, w = sums_of(d)
    centre = np.random.default_rng(0).normal(size=d + 1)
    moved = sums.recentred(centre)
    np.testing.assert_array_equal(moved.centre, centre)
    for polynomial in POLYNOMIALS:
        expected = dense_oracle(X, y, w, centre, polynomial)
        np.testing.assert_allclose(
            moved.to_dense(polynomial), expected, rtol=0, atol=1e-12 * np.abs(expected).max()
        )


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda s: s.contract([1.0, 0, 0, 0], np.ones((2, 2))), ValueError),
        (lambda s: s.contract([1.0, 0, 0, 0], np.ones(4)), ValueError),
        (lambda s: s.contract([1.0, 0, 0, 0], np.ones((4, 2), np.float32)), TypeError),
        (lambda s: s.recentred(np.zeros(3)), ValueError),
        (lambda s: s.to_dense([1.0, 0.0]), ValueError),
        (lambda s: s.to_dense([1.0, 0.0, 0.0, "x"]), TypeError),
        (lambda s: s.lower_order(3, [1.0, 0.0, 0.0, 0.0]), ValueError),
        (lambda s: s.lower_order(-1, [1.0, 0.0, 0.0, 0.0]), ValueError),
    ],
)
def test_the_core_checks_shapes_and_types(call, error):
    with pytest.raises(error):
        call(sums_of(3)[0])


@pytest.mark.parametrize(
    ("X", "y", "w", "n_threads", "error"),
    [
        (np.ones((2, 2), np.float32), np.ones(2), None, 1, TypeError),  # the core converts nothing
        (np.ones((2, 3)), np.ones(2), None, 1, ValueError),
        (np.ones(2), np.ones(2), None, 1, ValueError),
        (np.ones((2, 2)), np.ones(3), None, 1, ValueError),
        (np.ones((2, 2)), np.ones(2), np.ones(3), 1, ValueError),
        (np.ones((2, 2)), np.ones(2), np.zeros(2), 1, ValueError),
        (np.ones((2, 2)), np.ones(2), np.array([1.0, np.nan]), 1, ValueError),
        (np.ones((2, 2)), np.ones(2), None, 0, ValueError),
    ],
)
def test_the_core_accumulator_is_strict_on_its_own(X, y, w, n_threads, error):
    core = _core.Accumulator("float64", 2, 3, [], 0.0)
    with pytest.raises(error):
        core.update(X, y, w, n_threads)
    assert core.n_samples == 0
