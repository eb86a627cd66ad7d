"""Experts of classes: the core against formulas written out, and EM against logistic regression."""

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp, softmax
from sklearn.linear_model import LogisticRegression

import moefast._core as _core
from moefast.families import Multinomial, Predictors
from moefast.samples import NO_TERMS, RowTerms
from oracles.em import numerical_gradient

N, D, K, C = 300, 3, 2, 4
Q = C - 1
rng = np.random.default_rng(5)
X = rng.normal(size=(N, D))
Y = rng.integers(0, C, size=N).astype(float)
W = rng.uniform(0.2, 2.0, size=N)
EXPERTS = rng.normal(size=(K, Q, D + 1))
GATES = np.vstack([rng.normal(size=D + 1), np.zeros(D + 1)])
U = np.column_stack([X, np.ones(N)])


def settings(**given):
    return _core.EmSettings(**({"variance_floor": 1e-6, "family": ("multinomial", C)} | given))


def at(experts, gates=GATES):
    return (experts.reshape(-1, experts.shape[-1]), gates, np.ones(len(gates)), None, None)


def log_terms(experts, gates=GATES):
    """Log p_i + log f_i(y), (n, k), and the probabilities of the classes, (n, k, C)."""
    eta = np.concatenate([np.zeros((N, K, 1)), np.einsum("nd,kqd->nkq", U, experts)], axis=2)
    log_q = log_softmax(eta, axis=2)
    log_f = np.take_along_axis(log_q, Y.astype(int)[:, None, None], axis=2)[:, :, 0]
    return log_softmax(U @ gates.T, axis=1) + log_f, np.exp(log_q)


@pytest.mark.parametrize("gate_columns", [None, [0, 2]])
def test_a_pass_is_the_sums_written_out(gate_columns):
    columns = range(D) if gate_columns is None else gate_columns
    V = np.column_stack([X[:, list(columns)], np.ones(N)])
    gates = np.vstack([GATES[0, : V.shape[1]], np.zeros(V.shape[1])])
    data = _core.EmData(X, Y, W, gate_columns=gate_columns)
    found = _core.e_step(data, at(EXPERTS, gates), settings())
    joint, q = log_terms(EXPERTS)
    joint += log_softmax(V @ gates.T, axis=1) - log_softmax(U @ GATES.T, axis=1)
    r = softmax(joint, axis=1)
    assert found["log_likelihood"] == pytest.approx(W @ logsumexp(joint, axis=1), rel=1e-12)
    slope = np.eye(C)[Y.astype(int)][:, None, 1:] - q[:, :, 1:]
    expected = np.einsum("n,nk,nkq,nd->kqd", W, r, slope, U)
    np.testing.assert_allclose(found["residuals"].reshape(expected.shape), expected, rtol=1e-9, atol=1e-9)
    p = softmax(V @ gates.T, axis=1)
    np.testing.assert_allclose(found["gate_slope"], ((r - p) * W[:, None]).T @ V, rtol=1e-9, atol=1e-9)
    weight = W[:, None] * r * (2 * q * (1 - q)).max(axis=2)
    pairs = [(a, b) for b in range(D + 1) for a in range(b + 1)]
    products = np.stack([(U[:, a] * U[:, b]) @ weight for a, b in pairs])
    np.testing.assert_allclose(found["products"][:, :K], products, rtol=1e-9, atol=1e-9)


def test_the_slope_is_that_of_the_log_likelihood():
    data = _core.EmData(X, Y, W)

    def log_likelihood(theta):
        return _core.e_step(data, at(theta.reshape(EXPERTS.shape)), settings())["log_likelihood"]

    slopes = numerical_gradient(log_likelihood, EXPERTS.ravel())
    np.testing.assert_allclose(
        slopes, _core.e_step(data, at(EXPERTS), settings())["residuals"].ravel(), rtol=1e-5, atol=1e-5
    )


def test_the_weight_bounds_the_second_derivatives():
    """Diag(q) - q q' is at most the weight times I - 1 1' / C, and equal to it for two classes."""
    for seed in range(200):
        n = 2 + seed % 5
        q = np.random.default_rng(seed).dirichlet(np.full(n, 0.5))
        bound = (2 * q * (1 - q)).max() * (np.eye(n) - 1 / n) - (np.diag(q) - np.outer(q, q))
        assert np.linalg.eigvalsh(bound).min() > -1e-14
        assert n > 2 or np.abs(bound).max() < 1e-15


@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_one_expert_is_multinomial_logistic_regression(alpha):
    data = _core.EmData(X, Y, W)
    start = (np.zeros((Q, D + 1)), np.zeros((1, D + 1)), np.ones(1), None, np.zeros(N, dtype=np.int32))
    (found,) = _core.em_run(data, [start], settings(tol=1e-14, alpha=alpha))
    assert found["status"] == "converged"
    if alpha == 0:
        other = LogisticRegression(C=1e10, tol=1e-10, max_iter=1000).fit(X, Y, W)
        coefficients = np.column_stack([other.coef_, other.intercept_])
        np.testing.assert_allclose(found["experts"], coefficients[1:] - coefficients[0], atol=1e-5)
    theta = found["experts"][None]

    def objective(values):
        experts = values.reshape(Q, D + 1)
        eta = np.concatenate([np.zeros((N, 1)), U @ experts.T], axis=1)
        log_q = log_softmax(eta, axis=1)[np.arange(N), Y.astype(int)]
        return W @ log_q - 0.5 * alpha * (experts[:, :-1] ** 2).sum()

    np.testing.assert_allclose(numerical_gradient(objective, theta.ravel()), 0.0, atol=1e-4)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("annealing", [1.0, 0.5])
def test_em_never_falls(n_threads, annealing):
    data = _core.EmData(X, Y, W)
    labels = rng.integers(0, K, size=N).astype(np.int32)
    start = (np.zeros((K * Q, D + 1)), np.zeros((K, D + 1)), np.ones(K), None, labels)
    options = settings(inverse_temperature=annealing, n_threads=n_threads, gate_alpha=1e-3, alpha=1e-3)
    (found,) = _core.em_run(data, [start], options)
    assert len(found["trace"]) > 3
    assert (np.diff(found["trace"]) >= -1e-9).all()


def test_two_classes_are_bernoulli():
    """An iteration of EM, to the last digits: for two classes the bound is the second derivative."""
    y = (Y > 1) * 1.0
    start = (np.ascontiguousarray(EXPERTS[:, 0]), GATES, np.ones(K), None, None)
    ends = [
        _core.em_run(_core.EmData(X, y, W), [start], settings(family=family, max_iter=3, accelerate=False))[0]
        for family in (("multinomial", 2), ("binomial",))
    ]
    np.testing.assert_allclose(ends[0]["experts"], ends[1]["experts"], rtol=1e-10)
    np.testing.assert_allclose(ends[0]["trace"], ends[1]["trace"], rtol=1e-12)


def test_rows_of_experts_that_do_not_fit():
    data = _core.EmData(X, Y, W)
    with pytest.raises(ValueError, match="experts must have 3 row"):
        _core.em_run(data, [(np.zeros((2, D + 1)), GATES, np.ones(2), None, None)], settings())
    with pytest.raises(ValueError, match="n_classes must be at least 2, got 1"):
        settings(family=("multinomial", 1))


def test_what_the_family_says():
    family = Multinomial(C)
    eta = np.einsum("nd,kqd->nkq", U, EXPERTS)
    of = Predictors(eta, np.ones(K), np.ones(K))
    _, q = log_terms(EXPERTS)
    np.testing.assert_allclose(np.exp(family.log_probabilities(of)), q, rtol=1e-12)
    log_f = np.take_along_axis(np.log(q), Y.astype(int)[:, None, None], axis=2)[:, :, 0]
    np.testing.assert_allclose(family.log_density(of, Y[:, None]), log_f, rtol=1e-9)
    drawn = np.stack([family.draw(of, np.random.default_rng(seed)) for seed in range(400)])
    share = (drawn[..., None] == np.arange(C)).mean(axis=0)
    assert np.abs(share - q).max() < 5 * 0.5 / np.sqrt(400)
    for ask in (family.mean, family.std):
        with pytest.raises(ValueError, match="classes have no"):
            ask(of)
    with pytest.raises(ValueError, match=r"y must be a class from 0 to 3 .* got 4 at row 1"):
        family.check(np.array([0.0, 4.0]), NO_TERMS)
    with pytest.raises(ValueError, match="offset is for one predictor"):
        family.check(np.array([0.0]), RowTerms(offset=np.zeros(1)))
