"""EM runs: the objective climbs, the end is a stationary point, the special cases are what they should be."""

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.linear_model import LinearRegression, Ridge

from moefast.datasets import make_moe
from moefast.em import GATE_ALPHA_AUTO, EmOptions, EmProblem, fit_em
from moefast.gating import fit_gates
from moefast.mixture import Mixture
from moefast.samples import Samples
from moefast.standardisation import Standardisation
from oracles import em as em_oracles

INTERCEPTS = list(itertools.product([True, False], repeat=2))


def random_mixture(k, d, rng, sigma=0.7):
    return Mixture(
        rng.normal(size=(k, d)), rng.normal(size=k), rng.normal(size=(k, d)), rng.normal(size=k), np.full(k, sigma)
    )


def as_parameters(mixture):
    return em_oracles.Parameters(
        np.column_stack([mixture.coef, mixture.intercept]),
        np.column_stack([mixture.gate_coef, mixture.gate_intercept]),
        mixture.sigma**2,
    )


def as_mixture(p):
    return Mixture(p.experts[:, :-1], p.experts[:, -1], p.gates[:, :-1], p.gates[:, -1], np.sqrt(p.variance))


def assert_never_falls(trace, weight):
    """By no more than the rounding of a sum of `weight` terms."""
    assert np.isfinite(trace).all()
    assert (np.diff(trace) >= -1e-12 * (np.abs(trace[1:]) + weight)).all()


def degenerate_data(kind, rng):
    X, t = rng.normal(size=(120, 3)), rng.normal(size=120)
    side = X[:, 0] > 0
    if kind == "separable gates":
        y = np.where(side, 3 + X[:, 1], -3 - X[:, 1])
    elif kind == "repeated rows":
        X, t = np.repeat(X[:10], 12, axis=0), np.repeat(t[:10], 12)
        y = t
    elif kind == "collinear columns":
        X = np.column_stack([X, X[:, 0] - 2 * X[:, 1], np.ones(120)])
        y = np.where(side, X[:, 1], -X[:, 1]) + 0.1 * t
    elif kind == "fewer rows than parameters":
        X, y = X[:7], t[:7]
    elif kind == "constant response":
        y = np.full(120, 2.0)
    else:  # heavy tails in both
        X, y = X / np.abs(t[:, None]) ** 2, t**5
    return X, y


# ---- the objective never falls -------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["per_expert", "shared"])
@pytest.mark.parametrize("intercepts", INTERCEPTS)
@pytest.mark.parametrize(("alpha", "gate_alpha"), [(0.0, "auto"), (0.0, 0.0), (3.0, 0.5)])
def test_trace_never_falls_from_random_starts(noise, intercepts, alpha, gate_alpha):
    X, y, _ = make_moe(400, 4, 3, noise=0.4, expert_intercept=1.0, random_state=1)
    w = np.random.default_rng(1).uniform(0.1, 3.0, size=400)
    options = EmOptions(noise, *intercepts, alpha=alpha, gate_alpha=gate_alpha, max_iter=60)
    for seed in range(8):
        fit = fit_em(X, y, random_mixture(3, 4, np.random.default_rng(seed)), sample_weight=w, options=options)
        assert fit.n_iter == len(fit.trace) - 1 >= 3
        assert_never_falls(fit.trace, w.sum())
        # What is switched off stays at zero, in the units of the data too.
        assert intercepts[0] or not fit.mixture.intercept.any()
        assert intercepts[1] or not fit.mixture.gate_intercept.any()


@pytest.mark.parametrize(
    "kind",
    [
        "separable gates",
        "repeated rows",
        "collinear columns",
        "fewer rows than parameters",
        "constant response",
        "heavy tails",
    ],
)
@pytest.mark.parametrize("noise", ["per_expert", "shared"])
@pytest.mark.parametrize("gate_alpha", ["auto", 0.0])
def test_trace_never_falls_on_degenerate_data(kind, noise, gate_alpha):
    """Without a ridge the likelihood of separable gates has no maximum; the run must stay finite even so."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X, y = degenerate_data(kind, rng)
        options = EmOptions(noise, gate_alpha=gate_alpha, max_iter=150)
        fit = fit_em(X, y, random_mixture(3, X.shape[1], rng), options=options)
        assert_never_falls(fit.trace, len(y))
        m = fit.mixture
        for values in (m.coef, m.intercept, m.gate_coef, m.gate_intercept, m.sigma):
            assert np.isfinite(values).all()
        assert (m.sigma >= options.noise_floor * (np.std(y) or 1.0) * (1 - 1e-9)).all()


def test_the_gate_ridge_keeps_separable_gates_finite():
    """The gradient of the ridge balances that of the likelihood: a maximum exists and EM finds it."""
    X, y = degenerate_data("separable gates", np.random.default_rng(0))
    start = Mixture(np.zeros((2, 3)), np.array([3.0, -3.0]), np.zeros((2, 3)), np.zeros(2), np.ones(2))
    fit = fit_em(X, y, start, options=EmOptions(tol=0.0, max_iter=5000))
    assert fit.converged
    assert 10 < np.linalg.norm(fit.mixture.gate_coef) < 1000


# ---- where it stops ------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["per_expert", "shared"])
@pytest.mark.parametrize("intercepts", INTERCEPTS)
@pytest.mark.parametrize(("alpha", "gate_alpha"), [(0.0, 0.01), (5.0, 0.3)])
def test_a_converged_run_is_a_stationary_point(noise, intercepts, alpha, gate_alpha):
    """The gradient of the oracle objective in everything that is free is zero: the criterion, not the iterates."""
    X, y, truth = make_moe(300, 3, 3, noise=0.3, expert_intercept=0.5, random_state=2)
    w = np.random.default_rng(2).uniform(0.2, 2.0, size=300)
    options = EmOptions(noise, *intercepts, alpha=alpha, gate_alpha=gate_alpha, tol=0.0, max_iter=20_000)
    problem = EmProblem(Samples(X, y, w), options)
    fit = problem.run(truth.to_standard(problem.standardisation))
    assert fit.converged
    assert not fit.collapsed
    Z, t, p = problem.Z, problem.t, as_parameters(fit.mixture)
    log_variance = np.log(p.variance[:1] if noise == "shared" else p.variance)

    def value(experts=p.experts, gates=p.gates, log_variance=log_variance):
        q = em_oracles.Parameters(experts, gates, np.broadcast_to(np.exp(log_variance), (3,)))
        return em_oracles.objective(Z, t, w, q, alpha, gate_alpha)

    # The oracle's own objective at the end is the last entry of the trace.
    assert value() == pytest.approx(fit.trace[-1], rel=1e-12)
    experts = em_oracles.numerical_gradient(lambda a: value(experts=a), p.experts)[:, : 3 + intercepts[0]]
    gates = em_oracles.numerical_gradient(lambda g: value(gates=g), p.gates)[:2, : 3 + intercepts[1]]
    variances = em_oracles.numerical_gradient(lambda v: value(log_variance=v), log_variance)
    # One row's weight is 1 and the residuals in units of sigma are of order 1.
    for slope in (experts * np.sqrt(p.variance)[:, None], gates, variances):
        np.testing.assert_allclose(slope, 0, atol=1e-3)


@pytest.mark.parametrize("noise", ["per_expert", "shared"])
@pytest.mark.parametrize("accelerate", [False, True])
def test_runs_that_make_few_hessians_end_where_the_slow_iteration_stays(noise, accelerate):
    """With four experts and eight columns most steps of the gates have a corrected old Hessian."""
    X, y, _ = make_moe(500, 8, 4, noise=0.4, expert_intercept=0.5, random_state=3)
    problem = EmProblem(
        Samples(X, y, np.ones(500)), EmOptions(noise, gate_alpha=0.1, accelerate=accelerate, max_iter=20_000)
    )
    starts = [random_mixture(4, 8, np.random.default_rng(seed)) for seed in range(4)]
    for fit in problem.run_many(starts, gradient_tol=1e-9):
        assert fit.converged
        assert_never_falls(fit.trace, 500)
        end = as_parameters(fit.mixture)
        stays = em_oracles.em_iteration(
            problem.Z, problem.t, np.ones(500), end, shared=noise == "shared", gate_alpha=0.1
        )
        np.testing.assert_allclose(stays.gates, end.gates, atol=1e-5)
        np.testing.assert_allclose(stays.experts, end.experts, atol=1e-6)
        np.testing.assert_allclose(np.maximum(stays.variance, problem.variance_floor), end.variance, rtol=1e-6)


def test_tol_is_the_relative_change_of_the_mean_objective():
    """The run ends where the rule says on the trajectory of a run without tol; the mean is about 3.6 here."""
    X, y, truth = make_moe(500, 3, 2, noise=0.5, random_state=3)
    y = y + 100 * X[:, 0]  # common to both experts, so that they overlap and EM takes its time
    start = Mixture(
        truth.coef + np.array([100, 0, 0]), truth.intercept, np.zeros((2, 3)), np.zeros(2), truth.sigma
    )

    def run(tol):
        return fit_em(X, y, start, options=EmOptions(tol=tol, max_iter=300, noise_floor=1e-6, accelerate=False))

    trace = run(0.0).trace
    gains = np.diff(trace) / 500
    relative = gains / np.maximum(1, np.abs(trace[1:]) / 500)
    tols = np.logspace(-1, -9, 33)
    for tol in tols:
        first = 1 + np.flatnonzero(relative <= tol)[0]
        fit = run(tol)
        assert fit.status == "converged"
        assert fit.n_iter in (first, first + 1)  # one more may be taken to be sure
    # By the absolute change it would be elsewhere for some of these.
    assert any(np.flatnonzero(gains <= tol)[0] > np.flatnonzero(relative <= tol)[0] + 1 for tol in tols)


@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_leaving_a_saddle_is_not_arriving(sigma):
    """Two experts that are nearly the same gain next to nothing at first, but more with every iteration. With a
    sigma that is too large a big first gain comes before."""
    X, y, truth = make_moe(1000, 2, 2, noise=0.2, random_state=16)
    one = fit_em(X, y, random_mixture(1, 2, np.random.default_rng(0))).mixture
    coef, intercept = one.coef + 1e-5 * np.eye(2), np.repeat(one.intercept, 2)
    start = Mixture(coef, intercept, np.zeros((2, 2)), np.zeros(2), sigma * np.repeat(one.sigma, 2))
    fit = fit_em(X, y, start)
    assert fit.trace[2] - fit.trace[1] < 1e-8 * 1000  # by tol alone it would end there
    assert fit.log_likelihood == pytest.approx(fit_em(X, y, truth).log_likelihood, abs=0.1)


def test_running_into_max_iter_is_told():
    X, y, _ = make_moe(500, 3, 3, noise=0.5, random_state=4)
    fit = fit_em(X, y, random_mixture(3, 3, np.random.default_rng(4)), options=EmOptions(max_iter=4, tol=0.0))
    assert (fit.status, fit.converged, fit.n_iter, len(fit.trace)) == ("iteration_limit", False, 4, 5)


# ---- one iteration, and k = 1 --------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["per_expert", "shared"])
@pytest.mark.parametrize("intercepts", INTERCEPTS)
@pytest.mark.parametrize(("alpha", "gate_alpha"), [(0.0, 0.0), (2.0, 0.7)])
@pytest.mark.parametrize("k", [2, 4])
def test_one_iteration_equals_the_slow_one(noise, intercepts, alpha, gate_alpha, k):
    X, y, w, start = em_oracles.random_problem(250, 3, k, seed=5)
    start.variance[:] = start.variance.mean() if noise == "shared" else start.variance
    start.experts[:, -1] *= intercepts[0]
    start.gates[:, -1] *= intercepts[1]
    w = w + 0.1
    problem = EmProblem(Samples(X, y, w), EmOptions(noise, *intercepts, alpha=alpha, gate_alpha=gate_alpha))
    Z, t = problem.Z, problem.t
    fit = problem.run(as_mixture(start), max_iter=1)
    wanted = em_oracles.em_iteration(
        Z, t, w, start, shared=noise == "shared", alpha=alpha, gate_alpha=gate_alpha, intercepts=intercepts
    )
    before, after = (em_oracles.objective(Z, t, w, p, alpha, gate_alpha) for p in (start, wanted))
    assert after > before  # the full Newton step stands: otherwise this start would test the halving instead
    found = as_parameters(fit.mixture)
    np.testing.assert_allclose(found.experts, wanted.experts, atol=1e-11)
    np.testing.assert_allclose(found.gates, wanted.gates, atol=1e-10)
    np.testing.assert_allclose(found.variance, wanted.variance, rtol=1e-11)
    np.testing.assert_allclose(fit.trace, [before, after], rtol=1e-12)


def test_an_overshooting_newton_step_is_halved():
    """From a gate that is sure and wrong the full step lowers the objective; a halved one is taken instead."""
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(200, 1)), np.ones(200)
    y = rng.choice([-2.0, 2.0], size=200) + 0.1 * rng.normal(size=200)  # which expert has nothing to do with x
    start = em_oracles.Parameters(np.array([[0, 1.0], [0, -1.0]]), np.array([[6.0, 0], [0, 0]]), np.full(2, 0.05))
    problem = EmProblem(Samples(X, y, w), EmOptions(gate_alpha=0.0))
    full = em_oracles.em_iteration(problem.Z, problem.t, w, start)
    fit = problem.run(as_mixture(start), max_iter=1)
    taken, whole = (p.gates[0] - start.gates[0] for p in (as_parameters(fit.mixture), full))
    halvings = np.log2(whole / taken)
    assert halvings[0] >= 1
    np.testing.assert_allclose(halvings, round(halvings[0]), atol=1e-6)

    def value(fraction):
        gates = np.vstack([start.gates[0] + fraction * whole, np.zeros(2)])
        return em_oracles.objective(
            problem.Z, problem.t, w, em_oracles.Parameters(full.experts, gates, full.variance)
        )

    # The first of 1, 1/2, 1/4, ... that does not lower the objective.
    values = [value(0.5**h) for h in range(round(halvings[0]) + 1)]
    assert max(values[:-1]) < fit.trace[0] <= values[-1] == pytest.approx(fit.trace[1])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_one_expert_is_least_squares(weighted, fit_intercept):
    rng = np.random.default_rng(6)
    X, y = rng.normal(3.0, 2.0, size=(80, 4)), rng.normal(5.0, size=80)
    w = rng.uniform(0.1, 2.0, size=80) if weighted else np.ones(80)
    fit = fit_em(X, y, random_mixture(1, 4, rng), sample_weight=w, options=EmOptions(fit_intercept=fit_intercept))
    ols = LinearRegression(fit_intercept=fit_intercept).fit(X, y, w)
    residuals = y - ols.predict(X)
    variance = np.average(residuals**2, weights=w)
    np.testing.assert_allclose(fit.mixture.coef[0], ols.coef_, rtol=1e-9)
    np.testing.assert_allclose(fit.mixture.intercept, ols.intercept_, atol=1e-9)
    np.testing.assert_allclose(fit.mixture.sigma**2, variance, rtol=1e-10)
    assert fit.log_likelihood == pytest.approx(-0.5 * w.sum() * (np.log(2 * np.pi * variance) + 1), rel=1e-12)


def test_collinear_columns_get_the_smallest_coefficients():
    rng = np.random.default_rng(17)
    X = rng.normal(size=(60, 3))
    X = np.column_stack([X, X @ [1.0, -2.0, 0.5], X[:, 0]])
    problem = EmProblem(Samples(X, rng.normal(size=60), np.ones(60)), EmOptions())
    fit = problem.run(responsibilities=np.ones((60, 1)))
    wanted = np.linalg.pinv(problem.Z, rcond=1e-8) @ problem.t
    np.testing.assert_allclose(fit.mixture.coef[0], wanted, atol=1e-9)


@pytest.mark.parametrize("alpha", [0.5, 30.0])
def test_one_expert_with_alpha_is_ridge_on_standard_columns(alpha):
    rng = np.random.default_rng(7)
    X, y = rng.normal(size=(60, 3)) * [1.0, 50.0, 1e-3] + 7, rng.normal(size=60)
    w = rng.uniform(0.1, 2.0, size=60)
    problem = EmProblem(Samples(X, y, w), EmOptions(alpha=alpha))
    fit = problem.run(responsibilities=np.ones((60, 1)))
    ridge = Ridge(alpha=alpha).fit(problem.Z, problem.t, w)
    np.testing.assert_allclose(fit.mixture.coef[0], ridge.coef_, rtol=1e-9)
    np.testing.assert_allclose(np.average(problem.Z, axis=0, weights=w), 0, atol=1e-12)
    np.testing.assert_allclose(np.average(problem.Z**2, axis=0, weights=w), 1, rtol=1e-12)


# ---- noise ---------------------------------------------------------------------------------------------


def test_shared_noise_is_one_number():
    X, y, truth = make_moe(2000, 3, 3, noise=[0.1, 0.3, 0.6], random_state=9)
    shared = fit_em(X, y, truth, options=EmOptions("shared"))
    own = fit_em(X, y, truth)
    assert len(set(shared.mixture.sigma)) == 1
    np.testing.assert_allclose(own.mixture.sigma, [0.1, 0.3, 0.6], rtol=0.15)
    assert own.log_likelihood > shared.log_likelihood  # the larger model


# ---- fit_em, fit_gates ---------------------------------------------------------------------------------


@pytest.mark.parametrize("x_mean", [0.0, 1.0])
def test_em_from_the_truth_stays_near_it(x_mean):
    X, y, truth = make_moe(
        8000, 4, 3, noise=0.1, gate_intercept=1.0, expert_intercept=1.0, x_mean=x_mean, random_state=10
    )
    fit = fit_em(X, y, truth)
    assert fit.converged
    np.testing.assert_allclose(fit.mixture.coef, truth.coef, atol=0.02)
    np.testing.assert_allclose(fit.mixture.sigma, truth.sigma, rtol=0.1)
    # The end is at least as likely as the truth, and it is the oracle's log-likelihood in the data's units.
    assert fit.log_likelihood >= truth.log_density(X, y).sum()
    oracle = em_oracles.log_likelihood(X, y, np.ones(8000), as_parameters(fit.mixture))
    assert fit.log_likelihood == pytest.approx(oracle, rel=1e-10)


@pytest.mark.parametrize("link", ["linear", "sigmoid", "relu", "tanh"])
def test_gates_of_known_experts_are_recovered(link):
    X, y, truth = make_moe(20_000, 3, 3, link=link, noise=0.05, gate_intercept=0.5, random_state=11)
    fit = fit_gates(X, y, truth, sigma=0.05, options=EmOptions(gate_alpha=0.0))
    assert fit.converged
    # 20 000 rows: standard errors of about 0.05
    np.testing.assert_allclose(fit.mixture.gate_coef, truth.gate_coef, atol=0.25)
    np.testing.assert_allclose(fit.mixture.gate_intercept, truth.gate_intercept, atol=0.25)
    # Experts and, without update_noise, sigma come back untouched.
    np.testing.assert_array_equal(fit.mixture.coef, truth.coef)
    np.testing.assert_array_equal(fit.mixture.intercept, truth.intercept)
    np.testing.assert_allclose(fit.mixture.sigma, 0.05, rtol=1e-12)
    assert fit.mixture.link is truth.link
    assert_never_falls(fit.trace, len(y))
    assert fit.log_likelihood == pytest.approx(
        logsumexp(fit.mixture.joint_log_density(X, y), axis=1).sum(), rel=1e-10
    )
    assert fit.totals.sum() == pytest.approx(len(y))


def test_gates_may_learn_the_noise_too():
    X, y, truth = make_moe(20_000, 3, 2, noise=[0.1, 0.4], random_state=12)
    fit = fit_gates(X, y, truth, sigma=1.0, update_noise=True)
    np.testing.assert_allclose(fit.mixture.sigma, [0.1, 0.4], rtol=0.05)


def test_gate_ridge_shrinks_gates():
    X, y, truth = make_moe(2000, 3, 2, random_state=13)
    norms = [
        np.linalg.norm(fit_gates(X, y, truth, sigma=0.1, options=EmOptions(gate_alpha=a)).mixture.gate_coef)
        for a in (GATE_ALPHA_AUTO, 100.0, 10_000.0)
    ]
    assert norms[0] > 1.2 * norms[1] > 2 * norms[2] > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "newton"}, "method must be one of 'em'"),
        ({"sigma": 0.0}, "sigma must be positive"),
        ({"sigma": np.nan}, "sigma must be positive"),
        ({"sigma": [0.1, -0.1]}, "sigma must be positive"),
        ({"X": np.zeros((50, 3))}, "experts has 2 features, X has 3"),
    ],
)
def test_fit_gates_refuses(change, message):
    X, y, truth = make_moe(50, 2, 2, random_state=0)
    with pytest.raises(ValueError, match=message):
        fit_gates(**({"X": X, "y": y, "experts": truth, "sigma": 0.1} | change))


def test_fit_em_refuses_a_start_that_does_not_fit():
    _, y, truth = make_moe(50, 2, 2, random_state=0)
    with pytest.raises(ValueError, match="start has 2 features, X has 3"):
        fit_em(np.zeros((50, 3)), y, truth)


# ---- change of units -----------------------------------------------------------------------------------


def test_standardisation_round_trip():
    """There and back is the same mixture; and the density of y follows: dy = y_scale dt."""
    rng = np.random.default_rng(14)
    X, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    s = Standardisation(rng.normal(size=3), rng.uniform(0.5, 20, size=3), 4.0, 7.0)
    mixture = random_mixture(3, 3, rng).ordered(np.arange(3))
    back = mixture.to_units(s).to_standard(s)
    for name in ("coef", "intercept", "gate_coef", "gate_intercept", "sigma"):
        np.testing.assert_allclose(getattr(back, name), getattr(mixture, name), rtol=1e-12, atol=1e-13)
    outside, inside = mixture.to_units(s).log_density(X, y), mixture.log_density(s.features(X), s.response(y))
    np.testing.assert_allclose(outside, inside - np.log(7.0), rtol=1e-11)


def test_a_frozen_sigma_is_not_lifted_to_the_floor():
    """Gates are asked for at the sigma given, however small: the posterior then is an assignment."""
    X, y, truth = make_moe(300, 2, 2, noise=1e-4, random_state=0)
    assert (fit_gates(X, y, truth, sigma=1e-4).mixture.sigma == 1e-4).all()
