"""EM for several responses: against textbooks, one response, and numerical derivatives."""

import numpy as np
import pytest

import moefast._core as _core
from moefast.em.newton import newton_end
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.em.response_covariance import at_floor, dependent_responses, least_correlation, raised
from moefast.families import MultivariateGaussian
from moefast.links import LINKS
from moefast.samples import Samples
from moefast.validation import check_samples
from oracles.responses import em_iteration, log_likelihood, make_responses

KINDS = [("full", "per_expert"), ("full", "shared"), ("diag", "per_expert"), ("diag", "shared")]


def problem_of(X, y, kind, noise="per_expert", sample_weight=None, **options):
    samples = check_samples(X, y, sample_weight, use="fit")
    family = MultivariateGaussian(y.shape[1], kind)
    return EmProblem(samples, EmOptions(noise=noise, **options), LINKS["linear"], family)


def perturbed(truth, problem, seed=3):
    """The truth in standard units, moved."""
    rng = np.random.default_rng(seed)
    start = truth.to_standard(problem.standardisation)
    coef = start.coef + 0.3 * rng.normal(size=start.coef.shape)
    return type(start)(**{**vars(start), "coef": coef})


@pytest.mark.parametrize("alpha", [0.0, 20.0])
@pytest.mark.parametrize(("kind", "noise"), KINDS)
def test_an_iteration_is_that_of_the_textbook(kind, noise, alpha):
    X, y, truth = make_responses(400, 3, 3, 2, f"{kind} shared", seed=1)
    w = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    problem = problem_of(X, y, kind, noise, w, gate_columns=(), alpha=alpha, noise_floor=1e-4)
    start = perturbed(truth, problem)
    found = problem.run(start, max_iter=1)
    expected = em_iteration(
        problem.Z,
        problem.t,
        type(start)(**{**vars(start), "gate_coef": np.zeros((2, 3))}),
        w,
        alpha=alpha,
        shared=noise == "shared",
    )
    for name in ("coef", "intercept", "gate_intercept", "covariance", "sigma"):
        np.testing.assert_allclose(getattr(found.mixture, name), getattr(expected, name), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(found.log_likelihood, log_likelihood(problem.Z, problem.t, expected, w), rtol=1e-12)


@pytest.mark.parametrize(("kind", "noise"), KINDS)
def test_the_objective_never_falls(kind, noise):
    X, y, _ = make_responses(600, 4, 2, 3, kind, seed=2)
    problem = problem_of(X, y, kind, noise, alpha=1.0, max_iter=60, accelerate=False)
    fits = problem.run_many([np.random.default_rng(s).dirichlet(np.ones(3), len(X)) for s in range(3)])
    for fit in fits:
        assert len(fit.trace) > 5
        assert (np.diff(fit.trace) >= -1e-9 * abs(fit.trace[-1])).all()


@pytest.mark.parametrize("alpha", [0.0, 30.0])
@pytest.mark.parametrize(("kind", "noise"), KINDS)
def test_newton_ends_where_em_does(kind, noise, alpha):
    X, y, truth = make_responses(800, 3, 2, 2, kind, seed=4)
    problem = problem_of(X, y, kind, noise, alpha=alpha, gate_alpha=1e-3, tol=1e-5)
    near = problem.run(perturbed(truth, problem))
    end = newton_end(problem, near.mixture, tol=1e-10)
    (em,) = problem.run_many([near.mixture], gradient_tol=1e-9)
    assert end.curvature == "maximum"
    assert end.fit.n_iter <= 4
    np.testing.assert_allclose(end.fit.trace[-1], em.trace[-1], rtol=1e-11)
    np.testing.assert_allclose(end.fit.mixture.coef, em.mixture.coef, atol=1e-6)
    np.testing.assert_allclose(end.fit.mixture.covariance, em.mixture.covariance, atol=1e-6)


@pytest.mark.parametrize("noise", ["per_expert", "shared"])
@pytest.mark.parametrize("kind", ["full", "diag"])
def test_one_response_is_the_same_as_without_a_covariance(kind, noise):
    X, y, _ = make_responses(500, 3, 1, 2, "full", seed=5)
    samples = Samples(X, y, np.ones(len(X)))
    options = EmOptions(noise=noise, alpha=0.5, max_iter=30, accelerate=False)
    several = EmProblem(samples, options, LINKS["linear"], MultivariateGaussian(1, kind))
    one = EmProblem(Samples(X, y[:, 0], np.ones(len(X))), options)
    r = np.random.default_rng(0).dirichlet(np.ones(2), len(X))
    (found,), (expected,) = several.run_many([r]), one.run_many([r])
    np.testing.assert_allclose(found.trace, expected.trace, rtol=1e-10)
    np.testing.assert_allclose(found.mixture.coef[:, 0], expected.mixture.coef, atol=1e-9)
    np.testing.assert_allclose(found.mixture.sigma[:, 0], expected.mixture.sigma, rtol=1e-9)
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=1e-6)
    for mine, theirs in zip(
        several.derivatives(found.mixture), one.derivatives(expected.mixture), strict=True
    ):  # log s of one response is its number
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-6)


def _numbers(q, kind):
    return [(r, c) for r in range(q) for c in range(r if kind == "diag" else 0, r + 1)]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", ["full", "diag"])
@pytest.mark.parametrize("q", [1, 2, 3])
def test_derivatives_are_those_of_the_log_likelihood(q, kind, shared):
    """By M = L^-1: log s_r = -log M_rr and what stands below the diagonal."""
    rng, n, d, k = np.random.default_rng(q), 200, 2, 2
    data = _core.EmData(rng.normal(size=(n, d)), rng.normal(size=(q, n)), rng.uniform(0.5, 2.0, n))
    settings = _core.EmSettings(
        variance_floor=1e-9,
        family=("multivariate_normal", q, kind == "diag"),
        least_covariance=(1e-9 * np.eye(q)).ravel().tolist(),
        shared_noise=shared,
    )
    numbers = _numbers(q, kind)
    n_experts, n_gates, n_noise = k * q * (d + 1), (k - 1) * (d + 1), (1 if shared else k) * len(numbers)
    theta = 0.4 * rng.normal(size=n_experts + n_gates + n_noise)

    def parameters(theta):
        gates, M = np.zeros((k, d + 1)), np.zeros((k, q, q))
        gates[:-1] = theta[n_experts : n_experts + n_gates].reshape(k - 1, d + 1)
        of_noise = np.broadcast_to(theta[n_experts + n_gates :].reshape(-1, len(numbers)), (k, len(numbers)))
        for (r, c), values in zip(numbers, of_noise.T, strict=True):
            M[:, r, c] = np.exp(-values) if r == c else values
        return theta[:n_experts].reshape(k * q, d + 1).copy(), gates, np.ascontiguousarray(np.linalg.inv(M))

    def value(theta):
        return _core.e_step(data, (*parameters(theta), None, None), settings)["log_likelihood"]

    def score(theta):
        return _core.information(data, parameters(theta), settings)[0]

    h, units = 1e-6, np.eye(len(theta))
    found, hessian, products = _core.information(data, parameters(theta), settings)
    numeric = [(value(theta + h * e) - value(theta - h * e)) / (2 * h) for e in units]
    np.testing.assert_allclose(found, numeric, atol=2e-6)
    np.testing.assert_allclose(
        hessian, [(score(theta + h * e) - score(theta - h * e)) / (2 * h) for e in units], atol=2e-6
    )
    rows = _core.row_scores(data, parameters(theta), settings)
    assert products.shape == (len(theta), rows.shape[1])


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_the_floor_keeps_covariances_away_from_singular_ones(kind):
    """An expert that meets its rows exactly."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 1))
    y = np.column_stack([X[:, 0], rng.normal(size=60)])
    problem = problem_of(X, y, kind, noise_floor=0.1)
    fit = problem.run(responsibilities=np.ones((60, 1)))
    floor = problem.least_covariance
    assert fit.collapsed == (0,)
    assert problem.at_floor(fit.mixture).tolist() == [True]
    values = np.linalg.eigvals(np.linalg.solve(floor, fit.mixture.covariance[0]))
    assert values.real.min() == pytest.approx(1.0, abs=1e-8)
    np.testing.assert_allclose(
        floor, 0.01 * (least_correlation(problem.t, problem.sample_weight / 60) if kind == "full" else np.eye(2))
    )


def test_correlations_of_responses_heed_the_weights():
    """Rows of weight 2 are rows twice; the third response depends on the others among the heavy rows alone."""
    rng = np.random.default_rng(0)
    t = rng.normal(size=(60, 3))
    t[:50, 2] = t[:50, 0] - 2 * t[:50, 1]
    weight = np.where(np.arange(60) < 50, 2.0, 1.0)
    twice = np.concatenate([t, t[:50]])
    np.testing.assert_allclose(
        least_correlation(t, weight / weight.sum()), np.corrcoef(twice, rowvar=False), rtol=1e-10, atol=1e-12
    )
    assert dependent_responses(t, weight / weight.sum()) == ()
    light = np.where(np.arange(60) < 50, 1.0, 0.0)
    assert len(dependent_responses(t, light / light.sum())) == 1


def test_raised_covariances_are_the_nearest_above_the_floor():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(3, 3))
    floor, weak = root @ root.T, rng.normal(size=(3, 1))
    covariance = np.stack([3 * floor, weak @ weak.T])
    found = raised(covariance, floor, diagonal=False)
    np.testing.assert_allclose(found[0], covariance[0])
    np.testing.assert_allclose(np.linalg.eigvals(np.linalg.solve(floor, found[1])).real.min(), 1.0)
    assert at_floor(found, floor, diagonal=False).tolist() == [False, True]

    def worth(matrix):  # the objective of the M-step
        return -np.linalg.slogdet(matrix)[1] - np.trace(np.linalg.solve(matrix, covariance[1]))

    for _ in range(20):
        other = found[1] + 0.05 * (move := rng.normal(size=(3, 3))) @ move.T
        assert worth(other) < worth(found[1])
    np.testing.assert_allclose(raised(covariance, floor, diagonal=True)[0], np.diag(np.diag(3 * floor)))
