"""Experts that are pulled towards their mean: against the objective by its formula, least squares and limits."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from moefast import _core
from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.families import Multinomial, StudentT, get_family
from moefast.inference.information import ridge_hessian
from moefast.inference.layout import ParameterLayout
from moefast.links import LINKS
from moefast.samples import Samples
from oracles import em as oracle
from oracles.shrinkage import objective, penalty

X, Y, TRUTH = make_moe(400, 3, 3, noise=0.5, random_state=0)
W = np.random.default_rng(0).uniform(0.5, 2.0, size=len(Y))
MEAN = {"alpha": 30.0, "alpha_towards": "mean", "gate_alpha": 0.1}
OPTIONS = {
    "plain": MEAN,
    "shared noise": MEAN | {"noise": "shared"},
    "no intercepts": MEAN | {"fit_intercept": False, "fit_gate_intercept": False},
    "columns": MEAN | {"expert_columns": (0, 2), "gate_columns": (1, 2)},
    "common": MEAN | {"common_columns": (1,)},
    "all common": MEAN | {"common_columns": (0, 1, 2)},
    "constant gates": MEAN | {"gate_columns": ()},
    "strong": MEAN | {"alpha": 1e5},
    "weak": MEAN | {"alpha": 1e-3},
    "towards zero": MEAN | {"alpha_towards": "zero"},
}


def made(options, y=Y, link=LINKS["linear"], family="gaussian", w=W):
    return EmProblem(Samples(X, y, w), EmOptions(n_threads=1, **options), link, get_family(family))


def settled(problem, start=None, max_iter=5000):
    start = TRUTH.to_standard(problem.standardisation) if start is None else start
    (fit,) = problem.run_many([start], max_iter=max_iter, gradient_tol=1e-9)
    return fit


def never_falls(fit):
    __tracebackhide__ = True
    assert np.diff(fit.trace).min() >= -1e-12 * np.abs(fit.trace).max()


def as_function(problem, mixture):
    """The objective by theta of the inference's layout, and theta of a mixture; what is in common is tied."""
    layout = ParameterLayout.of_names(["x0", "x1", "x2"], mixture, problem.options)
    J = layout.common(problem.options.common_columns)
    phi = np.linalg.lstsq(J, layout.vector(mixture), rcond=None)[0]
    return lambda phi: objective(problem, layout.mixture(J @ phi, mixture.link, mixture.family)), phi


@pytest.mark.parametrize("name", OPTIONS)
def test_em_climbs_the_objective_to_where_its_gradient_is_0(name):
    problem = made(OPTIONS[name])
    fit = settled(problem)
    never_falls(fit)
    assert fit.trace[-1] == pytest.approx(objective(problem, fit.mixture), rel=1e-12)
    function, phi = as_function(problem, fit.mixture)
    assert np.abs(oracle.numerical_gradient(function, phi)).max() <= 1e-4 * max(1.0, 1e-3 * problem.options.alpha)
    better = minimize(lambda t: -function(t), phi, method="BFGS", options={"maxiter": 30})
    assert -better.fun <= fit.trace[-1] + 1e-6


RESPONSES = {
    "poisson": np.minimum(np.floor(np.exp(np.clip(Y, -3, 3))), 30.0),
    "gamma": np.exp(np.clip(Y, -3, 3)),
    "student_t": Y,
    "tobit": np.maximum(Y, 0.0),
    "bernoulli": (Y > 0) * 1.0,
}


@pytest.mark.parametrize("family", RESPONSES)
def test_families_climb_it_too(family):
    problem = made(MEAN, RESPONSES[family], family=StudentT(df=4) if family == "student_t" else family)
    labels = (X[:, 0] > 0) + (X[:, 1] > 0) * 1
    fit = problem.run(responsibilities=0.2 + 0.4 * np.eye(3)[labels])
    (fit,) = problem.run_many([fit.mixture], max_iter=5000, gradient_tol=1e-9)
    never_falls(fit)
    assert fit.trace[-1] == pytest.approx(objective(problem, fit.mixture), rel=1e-11)
    function, phi = as_function(problem, fit.mixture)
    assert np.abs(oracle.numerical_gradient(function, phi)).max() <= 1e-4


def test_links_and_several_predictors_climb_it_too():
    of_link = made(MEAN, np.tanh(Y), link=LINKS["tanh"])
    classes = np.digitize(Y, [-0.5, 0.5]) * 1.0
    of_classes = EmProblem(Samples(X, classes, W), EmOptions(n_threads=1, **MEAN), family=Multinomial(3))
    labels = (X[:, 0] > 0) + (X[:, 1] > 0) * 1
    for problem in (of_link, of_classes):
        fit = problem.run(responsibilities=0.2 + 0.4 * np.eye(3)[labels])
        (fit,) = problem.run_many([fit.mixture], max_iter=5000, gradient_tol=1e-9)
        never_falls(fit)
        assert fit.trace[-1] == pytest.approx(objective(problem, fit.mixture), rel=1e-11)
        function, phi = as_function(problem, fit.mixture)
        assert np.abs(oracle.numerical_gradient(function, phi)).max() <= 5e-4


def least_squares(p, X, y, w, alpha):
    """The step of the experts and of their mean at the responsibilities of p, as one regression."""
    r, U = np.asarray(oracle.posterior(X, y, p), dtype=float), np.column_stack([X, np.ones(len(y))])
    k, m = p.experts.shape
    rows, right = [], []
    for i in range(k):
        root = np.sqrt(w * r[:, i] / p.variance[i])
        block = np.zeros((len(y), k * m + m - 1))
        block[:, i * m : (i + 1) * m] = root[:, None] * U
        ridge = np.zeros((m - 1, k * m + m - 1))
        ridge[:, i * m : i * m + m - 1] = np.sqrt(alpha / p.variance[i]) * np.eye(m - 1)
        ridge[:, k * m :] = -np.sqrt(alpha / p.variance[i]) * np.eye(m - 1)
        rows += [block, ridge]
        right += [root * y, np.zeros(m - 1)]
    found = np.linalg.lstsq(np.vstack(rows), np.concatenate(right), rcond=None)[0]
    return found[: k * m].reshape(k, m), found[k * m :]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("alpha", [0.5, 50.0, 1e6])
def test_one_step_is_one_regression_for_all_experts_and_their_mean(alpha, shared):
    X, y, w, p = oracle.random_problem(200, 4, 3, seed=1)
    if shared:
        p.variance[:] = 0.7
    settings = _core.EmSettings(
        max_iter=1, variance_floor=1e-6, alpha_mean=alpha, shared_noise=shared, accelerate=False
    )
    (out,) = _core.em_run(_core.EmData(X, y, w), [(p.experts, p.gates, p.variance, None, None)], settings)
    experts, mean = least_squares(p, X, y, w, alpha)
    np.testing.assert_allclose(out["experts"], experts, rtol=1e-7, atol=1e-9)
    # The noise takes in what the experts are apart from that mean.
    r, U = np.asarray(oracle.posterior(X, y, p), dtype=float), np.column_stack([X, np.ones(len(y))])
    weights = w[:, None] * r
    apart = ((experts[:, :-1] - mean) ** 2).sum(axis=1)
    squares = (weights * (y[:, None] - U @ experts.T) ** 2).sum(axis=0) + alpha * apart
    expected = squares.sum() / w.sum() if shared else squares / weights.sum(axis=0)
    np.testing.assert_allclose(out["variance"], np.broadcast_to(expected, 3), rtol=1e-6)


def test_a_ridge_without_end_is_one_regression_with_intercepts_of_their_own():
    shrunk = settled(made(MEAN | {"alpha": 1e8}))
    common = settled(made({"common_columns": (0, 1, 2), "gate_alpha": 0.1}), shrunk.mixture)
    np.testing.assert_allclose(shrunk.mixture.coef, common.mixture.coef, atol=1e-5)
    np.testing.assert_allclose(shrunk.mixture.intercept, common.mixture.intercept, atol=1e-5)
    assert shrunk.trace[-1] == pytest.approx(common.trace[-1], abs=1e-4)
    assert np.ptp(shrunk.mixture.intercept) > 0.1


def test_no_ridge_at_all_is_where_a_weak_one_leads():
    weak, none = settled(made(MEAN | {"alpha": 1e-9})), settled(made({"gate_alpha": 0.1}))
    np.testing.assert_allclose(weak.mixture.coef, none.mixture.coef, atol=1e-7)


def test_one_expert_is_free():
    problem = made(MEAN | {"alpha": 1e3})
    fit = problem.run(responsibilities=np.ones((len(Y), 1)))
    U = np.column_stack([problem.Z, np.ones(len(Y))]) * np.sqrt(W)[:, None]
    expected = np.linalg.lstsq(U, problem.t * np.sqrt(W), rcond=None)[0]
    np.testing.assert_allclose(fit.mixture.coef[0], expected[:-1], atol=1e-10)


@pytest.mark.parametrize("towards", ["zero", "mean"])
def test_other_labels_do_not_change_a_fit(towards):
    problem = made(MEAN | {"alpha_towards": towards, "gate_alpha": 5.0})
    start = TRUTH.to_standard(problem.standardisation)
    one, other = settled(problem, start), settled(problem, start.ordered(np.array([2, 0, 1])))
    assert other.trace[-1] == pytest.approx(one.trace[-1], rel=1e-12)
    back = other.mixture.ordered(np.array([1, 2, 0]))
    for name in ("coef", "intercept", "gate_coef", "gate_intercept", "sigma"):
        np.testing.assert_allclose(getattr(back, name), getattr(one.mixture, name), atol=1e-7)


def test_a_weight_of_two_is_two_rows():
    problem = made(MEAN, w=np.ones(len(Y)) + (np.arange(len(Y)) % 2))
    twice = np.repeat(np.arange(len(Y)), 1 + np.arange(len(Y)) % 2)
    copies = EmProblem(Samples(X[twice], Y[twice], np.ones(len(twice))), problem.options)
    one, other = settled(problem), settled(copies)
    np.testing.assert_allclose(other.mixture.coef, one.mixture.coef, atol=1e-7)
    np.testing.assert_allclose(other.mixture.sigma, one.mixture.sigma, atol=1e-7)


def test_columns_that_are_the_same_and_constant_ones_have_finite_experts():
    doubled = np.column_stack([X, X[:, 0], np.ones(len(Y))])
    problem = EmProblem(Samples(doubled, Y, W), EmOptions(n_threads=1, **MEAN))
    fit = problem.run(responsibilities=np.random.default_rng(1).dirichlet(np.ones(3), size=len(Y)))
    never_falls(fit)
    assert np.isfinite(fit.mixture.coef).all()


@pytest.mark.parametrize("name", OPTIONS)
def test_its_second_derivative_for_standard_errors(name):
    problem = made(OPTIONS[name] | {"gate_alpha": 0.3, "alpha": 3.0})
    mixture = replace(TRUTH.to_standard(problem.standardisation), sigma=np.array([0.3, 0.5, 0.9]))
    mixture = problem._mixture(*_rounded(problem, mixture))
    layout = ParameterLayout.of_names(["x0", "x1", "x2"], mixture, problem.options)
    theta = layout.vector(mixture)

    def taken_off(theta):
        return penalty(layout.mixture(theta, mixture.link), problem.options)

    expected = oracle.numerical_hessian(taken_off, theta, np.full(len(theta), 1e-3))
    np.testing.assert_allclose(ridge_hessian(problem, mixture, layout), expected, atol=1e-3, rtol=1e-5)


def _rounded(problem, mixture):
    """A mixture within the options, as `_mixture` takes it."""
    start, (experts, gates, dispersion) = problem._parameters(mixture)
    out = {"experts": experts, "gates": gates, "variance": dispersion[:, 0], "shape": dispersion[:, 1]}
    return start, out


def test_separated_classes_stay_finite():
    # All experts would like to run away together: the mean alone would let them.
    problem = made(MEAN, (X[:, 0] > 0) * 1.0, family="bernoulli")
    fit = problem.run(responsibilities=np.random.default_rng(1).dirichlet(np.ones(2), size=len(Y)))
    assert np.abs(fit.mixture.coef).max() < 1e3


def test_the_lasso_and_the_mean_are_not_asked_for_together():
    with pytest.raises(ValueError, match=r"l1_ratio=0.5 needs alpha_towards"):
        EmOptions(alpha=1.0, l1_ratio=0.5, alpha_towards="mean")
    with pytest.raises(ValueError, match=r"alpha_towards must be"):
        replace(EmOptions(), alpha_towards="median")
