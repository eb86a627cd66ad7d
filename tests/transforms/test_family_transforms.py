"""Transforms of least variance of families: their definition by summation, and what they bring."""

import numpy as np
import pytest
from scipy.special import eval_hermitenorm, expit
from scipy.stats import binom, gamma, nbinom, norm, poisson

from moefast.families import BERNOULLI, get_family
from moefast.moments import MomentOptions
from moefast.moments.source import moment_source
from moefast.samples import Samples
from moefast.spectral.whitening import subspace_whitening
from moefast.tensors import power_iteration
from moefast.transforms import PolynomialTransform, family_transform, marginal_predictor
from moefast.transforms.responses import _Law
from oracles import moments as oracles

LAWS = {
    "poisson": ({}, lambda eta: poisson(np.exp(eta))),
    "negative_binomial": ({"shape": 3.0}, lambda eta: nbinom(3.0, 3.0 / (3.0 + np.exp(eta)))),
    "binomial": ({"n_trials": 4}, lambda eta: binom(4, expit(eta))),
    "gamma": ({"shape": 2.5}, lambda eta: gamma(2.5, scale=np.exp(eta) / 2.5)),
}
NORM, INTERCEPT = 0.7, 0.3


def expectations(name, functions):
    """E[function(z, y)] of each, of a law of scipy: by the trapezoidal rule in z, in log y where y is no count."""
    z = np.linspace(-8.0, 8.0, 401)[:, None]
    law = LAWS[name][1](INTERCEPT + NORM * z)
    if name == "gamma":
        t = np.linspace(-25.0, 9.0, 3401)
        y, chances = np.exp(t), law.pdf(np.exp(t)) * np.exp(t) * (t[1] - t[0])
    else:
        y = np.arange(2500.0)
        chances = law.pmf(y)
    chances = norm.pdf(z) * (z[1] - z[0]) * chances
    return [float((chances * function(z, y)).sum()) for function in functions]


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("name", LAWS)
def test_lower_moments_vanish_and_the_variance_is_the_constant(name, order):
    """E[h] = E[h He_r(Z)] = 0 for r < m, E[h He_m(Z)] = c_m = E[h^2]: no other h has less variance."""
    h = family_transform(name, NORM, INTERCEPT, order=order, **LAWS[name][0])
    products = [lambda z, y, r=r: h(y) * eval_hermitenorm(r, z) for r in range(order + 1)]
    *moments, variance = expectations(name, [*products, lambda z, y: h(y) ** 2])
    np.testing.assert_allclose(moments, [0.0] * order + [h.constant], rtol=0, atol=2e-6 * max(1.0, h.constant))
    assert variance == pytest.approx(h.constant, rel=1e-5)
    assert h.order == order
    assert 0 <= h.error < 1e-9


def test_three_trials_have_one_transform_and_it_alternates():
    """Four values, four conditions: h is what is orthogonal to 1, phi_1 and phi_2, up to its length."""
    h = family_transform("binomial", 1.0, 0.0, n_trials=3)(np.arange(4.0))
    assert (np.sign(h) == [-1, 1, -1, 1]).all()
    np.testing.assert_allclose(h, -h[::-1], rtol=0, atol=1e-12)


def test_beyond_the_table_it_is_constant():
    for name, (options, _) in LAWS.items():
        h = family_transform(name, NORM, INTERCEPT, **options)
        assert h(1e9) == h(1e8)
        assert np.isfinite(h([0.0, 1e300])).all()
        assert isinstance(float(h(2.0)), float)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("bernoulli", 1.0, 0.0), {}, ValueError, "needs a response of more than 3 values, this one has 2"),
        ((BERNOULLI, 1.0, 0.0), {"order": 2}, ValueError, "more than 2 values, this one has 2"),
        (("binomial", 1.0, 0.0), {"n_trials": 2}, ValueError, "more than 3 values, this one has 3"),
        (("gaussian", 1.0, 0.0), {}, ValueError, "for normal noise there is optimal_transform"),
        (("tobit", 1.0, 0.0), {}, ValueError, "family must be 'poisson', .* got 'tobit'"),
        (("poisson", 0.0, 0.0), {}, ValueError, "norm must"),
        (("poisson", 1.0, np.nan), {}, ValueError, "intercept must"),
        (("poisson", 1.0, 0.0), {"order": 5}, ValueError, "order must"),
        (("gamma", 1.0, 0.0), {"shape": -1.0}, ValueError, "shape must"),
        (("poisson", 3.0, 0.0), {}, ValueError, r"counts above 2\.94e\+08, beyond 20000"),
        (("poisson", 0.01, 0.0), {}, ValueError, "c3 of the transform is .*, about zero"),
    ],
)
def test_what_has_no_transform_is_refused(arguments, options, error, message):
    with pytest.raises(error, match=message):
        family_transform(*arguments, **options)


@pytest.mark.parametrize("name", LAWS)
def test_the_law_of_y_tells_norm_and_intercept(name):
    options, law = LAWS[name]
    rng = np.random.default_rng(0)
    y = law(INTERCEPT + NORM * rng.normal(size=40_000)).rvs(random_state=rng)
    found = marginal_predictor(y, name, **options)
    assert found.norm == pytest.approx(NORM, abs=0.04)
    assert found.intercept == pytest.approx(INTERCEPT, abs=0.04)
    w = rng.integers(0, 3, size=500)
    weighted = marginal_predictor(y[:500], name, sample_weight=w, **options)
    np.testing.assert_allclose(marginal_predictor(np.repeat(y[:500], w), name, **options), weighted, atol=2e-3)
    if "shape" in options:
        assert found.shape == options["shape"]
        both = marginal_predictor(y, name)
        given, fitted = (_likelihood(name, y, at, options) for at in (found, both))
        assert fitted > given - 1e-6


def _likelihood(name, y, at, options):
    """Mean log density of the responses, by Gauss-Hermite nodes."""
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    law = _Law(get_family(name), at, float(options.get("n_trials", 1)))
    density = np.exp(law.family.log_density(law.predictors(node), y[:, None])) @ (weight / weight.sum())
    return float(np.log(density).mean())


def test_bad_responses_are_refused():
    for y, message in (
        ([], "at least one"),
        ([1.5], "whole numbers"),
        ([-1.0], "whole numbers"),
        ([np.nan], "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            marginal_predictor(y, "poisson")
    with pytest.raises(ValueError, match="must not be above n_trials"):
        marginal_predictor([4.0], "binomial", n_trials=3)


@pytest.mark.parametrize(("name", "norm"), [("poisson", 0.9), ("binomial", 1.5), ("gamma", 0.9)])
def test_experts_behind_orthogonal_gates_are_found_where_y_itself_leaves_a_bias(name, norm):
    """Method 1 with these transforms, norm and intercept from the law of y; and with y in place of h."""
    options, law = LAWS[name]
    rng = np.random.default_rng(0)
    n, truth = 200_000, np.array([[1.0, 0.0, 0, 0], [0.5, np.sqrt(0.75), 0, 0]])
    X = rng.normal(size=(n, 4))
    first = rng.random(n) < expit(2.0 * X[:, 2])
    y = law(0.2 + norm * np.where(first, X @ truth[0], X @ truth[1])).rvs(random_state=rng).astype(float)
    found = marginal_predictor(y, name, **options)
    assert found.norm == pytest.approx(norm, abs=0.05)
    source = moment_source(Samples(X, y, np.ones(n)), 2, MomentOptions(strategy="two_pass"))
    plain = PolynomialTransform((0.0, 1.0), 1.0, order=3)
    errors = []
    for make in (
        lambda m: family_transform(name, found.norm, found.intercept, order=m, **options),
        lambda _: plain,
    ):
        second, third = make(2), make(3)
        whitening = subspace_whitening(source.score_tensor(2, second) / second.constant, 2, source.whitening)
        T3 = source.score_tensor(3, third, whitening.into) / third.constant
        directions = power_iteration(T3, 2, random_state=0).vectors @ whitening.back.T @ source.whitening.T
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        errors.append(np.linalg.norm(oracles.matched(directions, truth) - truth, axis=1).max())
    assert errors[0] < 0.1
    assert errors[1] > 2 * errors[0]
