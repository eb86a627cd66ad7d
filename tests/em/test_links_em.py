"""Joint EM with a link: the slope-weighted statistics, the damped Gauss-Newton steps, callables."""

import numpy as np
import pytest
from scipy.optimize import least_squares
from test_em_kernel import NAMES, assert_agrees, settings

from moefast import MixtureOfExpertsRegressor, _core
from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem, fit_em
from moefast.links import LINKS, Link
from moefast.samples import Samples
from oracles import core
from oracles import em as em_oracles

ARCTAN = Link("arctan", np.arctan, derivative=lambda z: 1 / (1 + z * z))
CURVED = [link for link in LINKS.values() if not link.is_linear]
each_link = pytest.mark.parametrize("link", [*CURVED, ARCTAN], ids=lambda link: link.name)


def called(link):
    """The link as the core is given it."""
    return link.name if link.is_built_in else lambda t: (link(t), link.slope(t))


def statistics(X, y, w, p, link, *, n_threads=1):
    return core.e_step(X, y, w, p, settings(n_threads=n_threads, link=called(link)))


# ---- the pass --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", CURVED, ids=lambda link: link.name)
def test_values_and_slopes_of_the_core(link):
    """Over the whole range, kinks, zeros of both signs and infinities included."""
    t = np.concatenate([np.linspace(-50, 50, 4001), [0.0, -0.0, 1e-300, -1e-12, 700.0, -800.0, 1e6, -1e6]])
    values, slopes, curvatures = _core.link_values(link.name, t)
    np.testing.assert_allclose(values, link(t), rtol=4e-15, atol=4e-16)
    np.testing.assert_allclose(slopes, link.slope(t), rtol=1e-13, atol=4e-16)
    finite = np.isfinite(t)
    np.testing.assert_allclose(curvatures[finite], link.curvature(t[finite]), atol=2e-9)


@each_link
@pytest.mark.parametrize("n", [1, 9, 391, 9000])
def test_the_statistics_carry_the_slopes(link, n):
    problem = em_oracles.random_problem(n, 3, 3, seed=n)
    assert_agrees(statistics(*problem, link), problem, link=link)


@each_link
def test_neither_threads_nor_frozen_means_mind_the_link(link):
    X, y, w, p = em_oracles.random_problem(9000, 3, 3, seed=1)
    one, two = (statistics(X, y, w, p, link, n_threads=n) for n in (1, 2))
    for name in NAMES:
        np.testing.assert_array_equal(one[name], two[name], name)
    means = np.ascontiguousarray(em_oracles.predictions(X, p, link))
    frozen = core.e_step(X, y, w, p, settings(link=called(link)), means=means)
    plain = core.e_step(X, y, w, p, settings(), means=means)
    np.testing.assert_array_equal(frozen["products"], plain["products"])
    assert frozen["log_likelihood"] == plain["log_likelihood"]


# ---- the run ---------------------------------------------------------------------------------------------


@each_link
@pytest.mark.parametrize("noise", ["per_expert", "shared"])
def test_runs_climb_and_end_where_the_gradient_vanishes(link, noise):
    """From parameters that have nothing to do with the data, ridges included."""
    X, y, truth = make_moe(600, 3, 2, link=link, noise=0.2, random_state=3)
    options = EmOptions(noise=noise, alpha=0.5, gate_alpha=0.1, tol=1e-13, max_iter=5000, noise_floor=1e-3)
    problem = EmProblem(Samples(X, y, np.ones(600)), options, truth.link)
    rng = np.random.default_rng(0)
    start = truth.to_standard(problem.standardisation)
    start.coef[:] = rng.normal(size=start.coef.shape)
    start.sigma[:] = 1.0
    run = problem.run(start)
    assert run.converged
    assert np.diff(run.trace).min() >= -1e-10 * abs(run.trace).max()
    found = run.mixture

    def objective(flat):
        experts, gates, sigma = np.split(flat, [8, 16])
        gates = np.vstack([gates.reshape(2, 4)[0], np.zeros(4)])
        p = em_oracles.Parameters(experts.reshape(2, 4), gates, np.broadcast_to(np.exp(2 * sigma), (2,)))
        means = em_oracles.predictions(problem.Z, p, link)
        return em_oracles.objective(problem.Z, problem.t, np.ones(600), p, 0.5, 0.1, means=means)

    at = np.concatenate(
        [
            np.column_stack([found.coef, found.intercept]).ravel(),
            np.column_stack([found.gate_coef, found.gate_intercept]).ravel(),
            np.log(found.sigma[:1] if noise == "shared" else found.sigma),
        ]
    )
    assert objective(at) == pytest.approx(run.trace[-1], rel=1e-9)
    gradient = em_oracles.numerical_gradient(objective, at)
    assert np.abs(gradient).max() < 2e-2, gradient  # of sums over 600 rows


@each_link
def test_one_expert_is_nonlinear_least_squares(link):
    """Against scipy's Levenberg-Marquardt from the same start."""
    X, y, truth = make_moe(400, 3, 1, link=link, noise=0.1, expert_intercept=0.5, random_state=5)
    fit = fit_em(X, y, truth, options=EmOptions(tol=1e-14))
    U = np.column_stack([X, np.ones(400)])
    start = np.append(truth.coef[0], truth.intercept[0])
    other = least_squares(lambda a: link(U @ a) - y, start, xtol=1e-12, ftol=1e-14, gtol=1e-12)
    np.testing.assert_allclose(np.append(fit.mixture.coef[0], fit.mixture.intercept[0]), other.x, atol=2e-5)
    assert fit.mixture.sigma[0] ** 2 == pytest.approx(2 * other.cost / 400, rel=1e-5)


@pytest.mark.parametrize("link", ["tanh", "relu", "gelu"])
def test_a_callable_goes_the_same_way_as_the_built_in(link):
    """With a numeric derivative the steps differ a little, the optimum does not."""
    X, y, truth = make_moe(3000, 3, 2, link=link, noise=0.1, random_state=0)
    bare = Link("bare", LINKS[link].function)
    known = MixtureOfExpertsRegressor(2, link=link, random_state=0).fit(X, y)
    unknown = MixtureOfExpertsRegressor(2, link=bare, random_state=0, start="random").fit(X, y)
    assert unknown.log_likelihood_ == pytest.approx(known.log_likelihood_, abs=0.01)
    assert known.log_likelihood_ == pytest.approx(fit_em(X, y, truth).log_likelihood, abs=0.01)


def test_an_error_in_a_callable_comes_through_and_leaves_the_model_as_it_was():
    X, y, _ = make_moe(20_000, 3, 2, link="tanh", random_state=0)
    calls = []

    def failing(z):
        calls.append(len(z))
        if len(calls) > 40:
            raise ZeroDivisionError("mine")
        return np.tanh(z)

    model = MixtureOfExpertsRegressor(2, link=failing, start="random", random_state=0, n_threads=2)
    with pytest.raises(ZeroDivisionError, match="mine"):
        model.fit(X, y)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize(
    "wrong", [lambda t: t, lambda t: (t, t[:-1]), lambda t: (t, None), lambda t: (t, "x" * 9)]
)
def test_the_core_refuses_what_is_no_pair_of_arrays(wrong):
    X, y, w, p = em_oracles.random_problem(50, 2, 2, seed=0)
    with pytest.raises((ValueError, RuntimeError, TypeError)):
        core.e_step(X, y, w, p, settings(link=wrong))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="link 'cosine' is not built in"):
        settings(link="cosine")


# ---- the whole fit ---------------------------------------------------------------------------------------


@each_link
@pytest.mark.parametrize("k", [2, 3])
def test_the_default_fit_is_as_good_as_em_from_the_truth(link, k):
    """The same optimum, for every seed."""
    for seed in range(2):
        X, y, truth = make_moe(3000, 4, k, link=link, noise=0.05, random_state=seed)
        fit = MixtureOfExpertsRegressor(k, link=link, random_state=seed).fit(X, y)
        assert fit.log_likelihood_ > fit_em(X, y, truth).log_likelihood - 0.01


@pytest.mark.parametrize("link", ["sigmoid", "relu"])
def test_units_of_the_features_do_not_matter(link):
    X, y, _ = make_moe(3000, 3, 2, link=link, noise=0.05, random_state=1)
    model = MixtureOfExpertsRegressor(2, link=link, random_state=0)
    plain = model.fit(X, y).predict(X)
    scaled = model.fit(X * [1e3, 1e-6, 1.0] + [5e3, 0.0, 7.0], y).predict(X * [1e3, 1e-6, 1.0] + [5e3, 0.0, 7.0])
    np.testing.assert_allclose(scaled, plain, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-80, 1e6])
@pytest.mark.parametrize("link", ["relu", "leaky_relu"])
def test_units_of_the_response_do_not_matter_to_homogeneous_links(link, scale):
    X, y, _ = make_moe(3000, 3, 2, link=link, noise=0.05, random_state=1)
    model = MixtureOfExpertsRegressor(2, link=link, random_state=0)
    plain = model.fit(X, y).predict(X)
    np.testing.assert_allclose(model.fit(X, scale * y).predict(X) / scale, plain, atol=1e-6)


@pytest.mark.parametrize("link", ["sigmoid", np.arctan])
def test_a_response_too_large_to_keep_its_units_is_named(link):
    X, y, _ = make_moe(100, 3, 2, random_state=1)
    with pytest.raises(OverflowError, match=r"y has a mean of .* rescale y"):
        MixtureOfExpertsRegressor(2, link=link).fit(X, 1e120 * y)


def test_an_even_link_starts_at_random():
    """Its moments say nothing, so the spectral start is left out, or refused with the number."""
    X, y, truth = make_moe(4000, 3, 2, link=np.square, noise=0.05, gate_scale=4.0, random_state=2)
    fit = MixtureOfExpertsRegressor(2, link=np.square, n_init=20, random_state=0).fit(X, y)
    assert {start.kind for start in fit.fit_report_.starts} == {"random parameters"}
    assert fit.log_likelihood_ > fit_em(X, y, truth).log_likelihood - 0.01
    with pytest.raises(ValueError, match=r"E\[g'\] = .* is about zero"):
        MixtureOfExpertsRegressor(2, link=np.square, start="spectral").fit(X, y)


# ---- units -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("link", "mean_square"), [("relu", 0.5), ("leaky_relu", 0.505)])
def test_a_linear_form_of_variance_1_has_it_in_standard_units(link, mean_square):
    """The unit of y is what its root mean square would be after the link: E g(Z)^2 is half of 1, or of 1.01."""
    y = 7.0 * LINKS[link](np.random.default_rng(0).normal(size=500))
    problem = EmProblem(Samples(np.ones((500, 1)), y, np.ones(500)), EmOptions(), LINKS[link])
    assert problem.standardisation.y_scale == pytest.approx(np.sqrt(np.mean(y**2) / mean_square), rel=1e-12)
