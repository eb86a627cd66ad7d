"""Experts with a lasso: its conditions of optimality, scikit-learn's elastic net, and zeros that are zeros."""

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet

from moefast import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, _core
from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.em.newton import takes_newton
from moefast.families import get_family
from moefast.links import LINKS
from moefast.samples import Samples
from oracles.shrinkage import objective

X, Y, TRUTH = make_moe(500, 6, 2, noise=0.5, random_state=3)
COEF = TRUTH.coef * np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]])
Y = Y + ((COEF - TRUTH.coef) @ X.T).T[np.arange(len(Y)), TRUTH.responsibilities(X, Y).argmax(axis=1)]
W = np.random.default_rng(0).uniform(0.5, 2.0, size=len(Y))
OPTIONS = {
    "lasso": {"alpha": 20.0, "l1_ratio": 1.0},
    "elastic net": {"alpha": 30.0, "l1_ratio": 0.5},
    "shared noise": {"alpha": 20.0, "l1_ratio": 1.0, "noise": "shared"},
    "no intercepts": {"alpha": 20.0, "l1_ratio": 1.0, "fit_intercept": False, "fit_gate_intercept": False},
    "columns": {"alpha": 20.0, "l1_ratio": 1.0, "expert_columns": (0, 1, 4), "gate_columns": (1, 2)},
    "weak": {"alpha": 1e-3, "l1_ratio": 1.0},
}


def settled(problem, k=2, seed=1):
    start = np.random.default_rng(seed).dirichlet(np.ones(k), size=problem.n_rows)
    fit = problem.run(responsibilities=start)
    (fit,) = problem.run_many([fit.mixture], max_iter=5000, gradient_tol=1e-9)
    assert np.diff(fit.trace).min() >= -1e-12 * np.abs(fit.trace).max()
    return fit


def slopes_of_experts(problem, mixture):
    """s_i^2 times the derivative of the log-likelihood less the ridge by the slopes, from the rows, (k, d)."""
    r = mixture.responsibilities(problem.Z, problem.t) * problem.sample_weight[:, None]
    eta = problem.Z @ mixture.coef.T + mixture.intercept
    errors = (problem.t[:, None] - problem.link(eta)) * problem.link.slope(eta)
    ridge = problem.options.alpha * (1 - problem.options.l1_ratio)
    return (r * errors).T @ problem.Z - ridge * mixture.coef


def satisfies_kkt(problem, mixture, tolerance=1e-4):
    """The slope is the lasso where a coefficient is not 0, with its sign, and no larger where it is."""
    __tracebackhide__ = True
    lasso = problem.options.alpha * problem.options.l1_ratio
    slope, coef = slopes_of_experts(problem, mixture), mixture.coef
    used = coef != 0
    np.testing.assert_allclose(slope[used], lasso * np.sign(coef[used]), atol=tolerance)
    seen = np.zeros(coef.shape, dtype=bool)
    seen[:, list(problem.options.expert_columns or range(coef.shape[1]))] = True
    assert np.abs(slope[~used & seen]).max(initial=0.0) <= lasso + tolerance


@pytest.mark.parametrize("name", OPTIONS)
def test_the_conditions_of_the_optimum_hold(name):
    problem = EmProblem(Samples(X, Y, W), EmOptions(n_threads=1, gate_alpha=0.1, **OPTIONS[name]))
    fit = settled(problem)
    assert fit.trace[-1] == pytest.approx(objective(problem, fit.mixture), rel=1e-12)
    satisfies_kkt(problem, fit.mixture)
    n_zero = np.count_nonzero(problem.expert_design.take(fit.mixture.coef) == 0)
    assert (n_zero == 0) if name == "weak" else (n_zero >= 2)
    # The noise: what is taken off has twice the lasso beside the squares.
    r = fit.mixture.responsibilities(problem.Z, problem.t) * W[:, None]
    squares = (r * (problem.t[:, None] - fit.mixture.expert_means(problem.Z)) ** 2).sum(axis=0)
    options, coef = problem.options, fit.mixture.coef
    squares += options.alpha * (1 - options.l1_ratio) * (coef**2).sum(axis=1)
    squares += 2 * options.alpha * options.l1_ratio * np.abs(coef).sum(axis=1)
    expected = squares.sum() / W.sum() if options.noise == "shared" else squares / r.sum(axis=0)
    np.testing.assert_allclose(fit.mixture.sigma**2, np.broadcast_to(expected, 2), rtol=1e-5)


def test_links_have_it_too():
    problem = EmProblem(
        Samples(X, np.tanh(Y), W), EmOptions(n_threads=1, alpha=3.0, l1_ratio=1.0, gate_alpha=0.1), LINKS["tanh"]
    )
    fit = settled(problem)
    satisfies_kkt(problem, fit.mixture, tolerance=1e-3)
    assert (fit.mixture.coef == 0).any()


@pytest.mark.parametrize("family", ["poisson", "student_t"])
def test_families_have_it_too(family):
    y = np.floor(np.exp(np.clip(Y, -2, 3))) if family == "poisson" else Y
    options = EmOptions(n_threads=1, alpha=40.0, l1_ratio=1.0, gate_alpha=0.1)
    problem = EmProblem(Samples(X, y, W), options, family=get_family(family))
    fit = settled(problem)
    assert fit.gradient <= 1e-6
    assert fit.trace[-1] == pytest.approx(objective(problem, fit.mixture), rel=1e-11)
    assert (fit.mixture.coef == 0).any()


@pytest.mark.parametrize(("alpha", "l1_ratio"), [(30.0, 1.0), (200.0, 1.0), (60.0, 0.4), (1e4, 1.0)])
def test_one_expert_is_the_elastic_net_of_scikit_learn(alpha, l1_ratio):
    problem = EmProblem(Samples(X, Y, W), EmOptions(n_threads=1, alpha=alpha, l1_ratio=l1_ratio))
    fit = problem.run(responsibilities=np.ones((len(Y), 1)))
    (fit,) = problem.run_many([fit.mixture], max_iter=500, gradient_tol=1e-11)
    peer = ElasticNet(alpha=alpha / W.sum(), l1_ratio=l1_ratio, tol=1e-13, max_iter=100_000)
    peer.fit(problem.Z, problem.t, sample_weight=W)
    np.testing.assert_allclose(fit.mixture.coef[0], peer.coef_, atol=1e-8)
    assert fit.mixture.intercept[0] == pytest.approx(peer.intercept_, abs=1e-8)
    np.testing.assert_array_equal(fit.mixture.coef[0] == 0, peer.coef_ == 0)


def test_columns_that_are_the_same_or_constant():
    doubled = np.column_stack([X, X[:, 0], np.ones(len(Y))])
    problem = EmProblem(Samples(doubled, Y, W), EmOptions(n_threads=1, alpha=20.0, l1_ratio=1.0, gate_alpha=0.1))
    fit = settled(problem)
    satisfies_kkt(problem, fit.mixture, tolerance=1e-3)
    np.testing.assert_array_equal(fit.mixture.coef[:, -1], 0.0)


def test_the_estimator_says_what_it_left_out():
    model = MixtureOfExpertsRegressor(2, alpha=30.0, l1_ratio=1.0, gate_alpha=0.1, n_init=4, random_state=0)
    model.fit(X, Y)
    left_out = np.count_nonzero(model.coef_ == 0)
    assert left_out >= 3
    free = MixtureOfExpertsRegressor(2, gate_alpha=0.1, n_init=1, random_state=0).fit(X, Y)
    assert model.n_parameters_ == free.n_parameters_ - left_out
    with pytest.raises(ValueError, match="l1_ratio=1"):
        model.inference(X, Y)


def test_newton_is_for_objectives_that_are_smooth():
    problem = EmProblem(Samples(X, Y, W), EmOptions(n_threads=1, alpha=30.0, l1_ratio=1.0))
    assert not takes_newton(problem, 2)
    start = problem._parameters(TRUTH.to_standard(problem.standardisation))[1]
    with pytest.raises(ValueError, match="smooth"):
        _core.newton_run(problem._data(), start, problem._settings(), 1e-9, 10, None)


def test_what_the_lasso_does_not_know_is_refused():
    with pytest.raises(ValueError, match="columns in common"):
        EmOptions(alpha=1.0, l1_ratio=0.5, common_columns=(1,))
    with pytest.raises(ValueError, match=r"l1_ratio must be a finite number not below 0 and at most 1"):
        EmOptions(l1_ratio=1.5)
    y = np.digitize(Y, [-0.5, 0.5])
    with pytest.raises(ValueError, match=r"l1_ratio=1 is for experts of one predictor"):
        MixtureOfExpertsClassifier(2, l1_ratio=1.0).fit(X, y)
