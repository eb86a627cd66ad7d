"""The L4 loss against sums written out, finite differences, its landscape, and samples against the tensor."""

import numpy as np
import pytest

from moefast import MomentAccumulator
from moefast.l4.loss import L4Loss, StochasticL4Loss
from moefast.l4.solvers import descend_by_curvature, learning_rates
from moefast.tensors import SymmetricTensor
from moefast.transforms import quartic_transform
from oracles import moments as oracles

MU, LAM = 0.3, 1.7


def naive(A, tensor, mu=MU, lam=LAM):
    value = 0.0
    for j, a in enumerate(A):
        for l, b in enumerate(A):  # noqa: E741 the paper's index
            value += (-mu if j == l else 1.0) * oracles.contract(tensor, a, a, b, b)
        value += lam * (a @ a - 1.0) ** 2
    return value


def difference(f, A, V, step=1e-5):
    return (f(A + step * V) - f(A - step * V)) / (2.0 * step)


@pytest.fixture(params=["dense", "packed"])
def loss_of(request):
    def make(tensor, mu=MU, lam=LAM):
        return L4Loss(SymmetricTensor.from_dense(tensor) if request.param == "packed" else tensor, mu, lam)

    return make


# ---- on a tensor ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("m", "dim"), [(1, 1), (1, 4), (3, 4), (4, 3)])
def test_value_gradient_and_curvature(loss_of, m, dim):
    tensor = oracles.symmetric_noise(dim, 4)
    loss = loss_of(tensor)
    A, V, U = np.random.default_rng(1).normal(size=(3, m, dim))
    assert loss.value(A) == pytest.approx(naive(A, tensor), rel=1e-12)
    rise = difference(lambda B: naive(B, tensor), A, V)
    assert (loss.gradient(A) * V).sum() == pytest.approx(rise, rel=1e-8)
    np.testing.assert_allclose(
        loss.hessian_vector(A, V), difference(loss.gradient, A, V), rtol=0, atol=1e-7 * np.abs(A).max() ** 2 * 100
    )
    assert (loss.hessian_vector(A, V) * U).sum() == pytest.approx((loss.hessian_vector(A, U) * V).sum(), rel=1e-10)


def test_many_sets_at_once_are_each_by_itself(loss_of):
    loss = loss_of(oracles.symmetric_noise(3, 4))
    A, V = np.random.default_rng(2).normal(size=(2, 5, 2, 4, 3))
    assert loss.value(A).shape == (5, 2)
    for index in np.ndindex(5, 2):
        assert loss.value(A)[index] == pytest.approx(loss.value(A[index]), rel=1e-12)
        np.testing.assert_allclose(loss.gradient(A)[index], loss.gradient(A[index]), rtol=1e-11, atol=1e-11)
        one = loss.hessian_vector(A[index], V[index])
        np.testing.assert_allclose(loss.hessian_vector(A, V)[index], one, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_polarisation_does_not_cancel(size):
    tensor = oracles.symmetric_noise(4, 4)
    A, V = np.random.default_rng(3).normal(size=(2, 3, 4))
    dense, packed = L4Loss(tensor, MU, LAM), L4Loss(SymmetricTensor.from_dense(tensor), MU, LAM)
    wanted = dense.hessian_vector(A, V)
    np.testing.assert_allclose(packed.hessian_vector(A, size * V) / size, wanted, rtol=0, atol=1e-11)
    V[1] = 0.0
    np.testing.assert_allclose(
        packed.hessian_vector(A, size * V) / size, dense.hessian_vector(A, V), rtol=0, atol=1e-11
    )


def orthonormal_experts(k=3):
    V = np.linalg.qr(np.random.default_rng(4).normal(size=(k, k)))[0]
    p = np.arange(1.0, k + 1.0)
    p /= p.sum()
    return V, p, oracles.rank_one_sum(1.0 / p, V, order=4)


def test_orthonormal_experts_are_minima_of_the_stated_length(loss_of):
    V, p, tensor = orthonormal_experts()
    mu = 0.5 * LAM * p.min()
    loss = loss_of(tensor, mu)
    length = np.sqrt(LAM / (LAM - mu / p))
    A = length[:, None] * V * np.array([[1.0], [-1.0], [1.0]])  # signs do not show
    np.testing.assert_allclose(loss.gradient(A), 0.0, atol=1e-12)
    units = np.eye(9).reshape(9, 3, 3)
    hessian = np.array([loss.hessian_vector(A, u).ravel() for u in units])
    assert np.linalg.eigvalsh(hessian)[0] > 0.1


def test_it_is_bounded_up_to_the_largest_value(loss_of):
    V, p, tensor = orthonormal_experts()
    loss = loss_of(tensor)
    assert loss.largest_value() == pytest.approx(1.0 / p.min(), rel=1e-6)
    limit = LAM / loss.largest_value()
    heavy = np.zeros((3, 3))
    heavy[0] = 1e4 * V[p.argmin()]
    assert loss_of(tensor, 1.01 * limit).value(heavy) < -1e12
    assert loss_of(tensor, 0.99 * limit).value(heavy) > 1e12


def test_the_largest_value_is_never_too_small_and_never_negative(loss_of):
    tensor = oracles.symmetric_noise(3, 4, seed=5)
    U = np.random.default_rng(6).normal(size=(2000, 3))
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    assert loss_of(tensor).largest_value() >= SymmetricTensor.from_dense(tensor).value(U).max() - 1e-9
    mixed = oracles.rank_one_sum([-2.0, 1.0, -3.0], np.eye(3), order=4)
    assert loss_of(mixed).largest_value() == pytest.approx(1.0)
    assert loss_of(-oracles.rank_one_sum(np.ones(3), np.eye(3), order=4)).largest_value() == 0.0


def test_saddles_are_left():
    # Two candidates on one expert: the slope does not show the way out, the curvature does.
    V, p, tensor = orthonormal_experts(2)
    loss = L4Loss(tensor, 0.25 * LAM * p.min(), LAM)
    start = np.array([V[0], V[0]]) * 0.7 + 1e-7 * np.random.default_rng(7).normal(size=(2, 2))
    end = descend_by_curvature(loss, start, max_iter=200)
    assert end.status == "converged"
    cosines = np.abs(end.candidates @ V.T) / np.linalg.norm(end.candidates, axis=1, keepdims=True)
    np.testing.assert_allclose(np.sort(cosines, axis=1), [[0.0, 1.0]] * 2, atol=1e-6)
    assert (np.diff(end.losses) <= 1e-12).all()
    assert len(end.losses) == end.n_iter + 1


def test_a_loss_without_lower_bound_is_told():
    _, p, tensor = orthonormal_experts()
    start = np.random.default_rng(8).normal(size=(3, 3))
    assert descend_by_curvature(L4Loss(tensor, 2.0 * LAM * p.min(), LAM), start, max_iter=500).status == "diverged"


def test_a_solver_that_knows_no_step_leaves_the_candidates_where_they_are(monkeypatch):
    """On tensors out of all proportion the solver's own arithmetic ends in NaN, now and then."""
    tensor = np.zeros((2, 2, 2, 2))
    tensor[0, 0, 0, 0] = tensor[1, 1, 1, 1] = 1.0
    loss, start = L4Loss(tensor, 1.0, 1.0), np.array([[0.6, 0.2], [0.1, 0.7]])
    monkeypatch.setattr(loss, "hessian_vector", lambda A, V: np.full_like(V, np.nan))
    end = descend_by_curvature(loss, start, max_iter=50)
    assert np.isfinite(end.candidates).all()
    assert end.losses[-1] <= loss.value(start)
    assert end.status != "converged"


def test_rates_follow_the_stated_rule():
    _, p, tensor = orthonormal_experts()
    loss = L4Loss(tensor, 0.1, LAM)
    rates = learning_rates(loss, 100)
    assert rates[0] == pytest.approx(0.5 / (8 * LAM + (4 + 1.2) / p.min()))
    assert rates[50] / rates[0] == pytest.approx(0.5 / 11)
    assert learning_rates(loss, 10, 0.01)[0] == 0.01


# ---- on samples -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("m", "dim"), [(1, 1), (2, 3), (4, 2)])
@pytest.mark.parametrize("weighted", [False, True])
def test_samples_give_what_the_tensor_of_their_scores_gives(m, dim, weighted):
    rng = np.random.default_rng(9)
    n, features = 60, 4
    X, h, W = rng.normal(size=(n, features)), rng.normal(size=n), rng.normal(size=(features, dim))
    w = rng.uniform(0.2, 3.0, size=n) if weighted else np.ones(n)
    scores = np.array([oracles.score(x, 4) for x in X])
    tensor = np.einsum("n,nabcd,ai,bj,ck,dl->ijkl", w * h / w.sum(), scores, W, W, W, W, optimize=True)
    exact = L4Loss(tensor, MU, LAM)
    loss = StochasticL4Loss(X @ W, h, MU, LAM, gram=W.T @ W, sample_weight=w if weighted else None)
    A = rng.normal(size=(3, m, dim))
    np.testing.assert_allclose(loss.value(A), exact.value(A), rtol=1e-11)
    np.testing.assert_allclose(
        loss.gradient(A), exact.gradient(A), rtol=0, atol=1e-11 * np.abs(tensor).max() * 1e3
    )
    assert loss.value(A[0]) == pytest.approx(naive(A[0], tensor), rel=1e-11)


@pytest.mark.parametrize("whiten", [False, True])
def test_the_mean_over_rows_is_the_loss_on_the_score_tensor(whiten):
    # The same means, whitening and centring: rows and accumulated moments agree up to rounding.
    X, y, w = oracles.sample(5000, d=4, seed=10)
    y = np.tanh(y + X[:, 0])
    moments = MomentAccumulator(4, 4).update(X, y, w).score_moments()
    Q = quartic_transform("tanh", 0.2)
    W = np.random.default_rng(11).normal(size=(4, 2)) if whiten else np.eye(4)
    tensor = moments.score_tensor(4, Q, W) / Q.constant
    exact = L4Loss(tensor if whiten else SymmetricTensor.from_dense(tensor), MU, LAM)
    level = np.average(Q(y), weights=w)
    loss = StochasticL4Loss(
        (X - moments.x_mean) @ moments.whitening @ W,
        (Q(y) - level) / Q.constant,
        MU,
        LAM,
        gram=W.T @ W,
        sample_weight=w,
    )
    A = np.random.default_rng(12).normal(size=(3, W.shape[1]))
    assert loss.value(A) == pytest.approx(exact.value(A), rel=1e-9)
    scale = np.abs(exact.gradient(A)).max()
    np.testing.assert_allclose(loss.gradient(A), exact.gradient(A), rtol=0, atol=1e-9 * scale)


def test_batches_are_unbiased():
    rng = np.random.default_rng(13)
    Z, h, w = rng.normal(size=(120, 3)), rng.normal(size=120), rng.uniform(0.5, 2.0, size=120)
    loss = StochasticL4Loss(Z, h, MU, LAM, sample_weight=w)
    A = rng.normal(size=(2, 2, 3))
    batches = rng.permutation(120).reshape(8, 15)
    np.testing.assert_allclose(np.mean([loss.value(A, rows) for rows in batches], axis=0), loss.value(A))
    np.testing.assert_allclose(
        np.mean([loss.gradient(A, rows) for rows in batches], axis=0), loss.gradient(A), atol=1e-12
    )
    slopes = [loss.batch_gradient(A, Z, h) for Z, h in [loss.shuffled(rng)]]
    np.testing.assert_allclose(slopes[0], loss.gradient(A), atol=1e-11)


def test_the_gradient_of_a_batch_is_its_derivative():
    rng = np.random.default_rng(14)
    loss = StochasticL4Loss(rng.normal(size=(50, 3)), rng.normal(size=50), MU, LAM, gram=np.diag([1.0, 2.0, 3.0]))
    A, V = rng.normal(size=(2, 2, 3))
    rows = slice(10, 30)
    rise = difference(lambda B: loss.value(B, rows), A, V)
    assert (loss.gradient(A, rows) * V).sum() == pytest.approx(rise, rel=1e-7)


# ---- what is refused --------------------------------------------------------------------------------------

EYE = oracles.rank_one_sum(np.ones(2), np.eye(2), order=4)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((EYE, -0.1, 1.0), "mu must be a finite number not below 0 .*got -0.1"),
        ((EYE, np.nan, 1.0), "mu must be"),
        ((EYE, 0.1, 0.0), "lam must be a finite number above 0 .*got 0.0"),
        ((np.ones((2, 2, 2)), 0.1, 1.0), "tensor must have shape"),
        ((np.full((2,) * 4, np.inf), 0.1, 1.0), "tensor contains NaN or infinity"),
        ((np.arange(16.0).reshape((2,) * 4), 0.1, 1.0), "tensor is not symmetric"),
        ((SymmetricTensor.from_dense(np.eye(2)), 0.1, 1.0), "tensor must be of order 4, got order 2"),
    ],
)
def test_a_bad_loss_is_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        L4Loss(*arguments)


@pytest.mark.parametrize("A", [np.ones(2), np.ones((2, 3)), np.ones((0, 2)), [[np.nan, 1.0]]])
def test_bad_candidates_are_refused(A):
    for loss in (L4Loss(EYE, MU, LAM), StochasticL4Loss(np.ones((5, 2)), np.ones(5), MU, LAM)):
        for function in (loss.value, loss.gradient):
            with pytest.raises(ValueError, match=r"A must have shape|A contains NaN"):
                function(A)
    with pytest.raises(ValueError, match="same shape"):
        L4Loss(EYE, MU, LAM).hessian_vector(np.ones((2, 2)), np.ones((1, 2)))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"Z": np.ones(5)}, "Z must have shape"),
        ({"response": np.ones(4)}, r"response must have shape \(5,\), got \(4,\)"),
        ({"gram": np.eye(3)}, r"gram must have shape \(2, 2\)"),
        ({"sample_weight": np.full(5, np.nan)}, "sample_weight has missing values"),
        ({"mu": -1.0}, "mu must be"),
    ],
)
def test_bad_samples_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        StochasticL4Loss(**({"Z": np.ones((5, 2)), "response": np.ones(5), "mu": MU, "lam": LAM} | arguments))


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="rows must not be empty"):
        StochasticL4Loss(np.ones((5, 2)), np.ones(5), MU, LAM).gradient(np.eye(2), rows=slice(5, 9))
