"""Inputs from a mixture of normals: Stein's identities hold, experts are found where one normal misleads."""

import math
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from moefast import MomentAccumulator
from moefast.links import get_link
from moefast.mixture import Mixture
from moefast.moments.input_mixture import InputMixture, MixtureMoments, input_law_of
from moefast.samples import Samples
from moefast.spectral import recover_experts
from moefast.transforms import PolynomialTransform
from moefast.transforms.optimal import optimal_transform
from oracles import moments as oracles

IDENTITY = PolynomialTransform((0.0, 1.0), 1.0, order=3)
PLANE = InputMixture(
    np.array([0.3, 0.7]),
    np.array([[-1.0, 0.5], [1.2, -0.4]]),
    np.array([[[1.0, 0.3], [0.3, 0.5]], [[0.4, -0.1], [-0.1, 0.8]]]),
)


def density(law, X):
    parts = zip(law.weights, law.means, law.covariances, strict=True)
    return sum(w * multivariate_normal(m, S).pdf(X) for w, m, S in parts)


# ---- Stein's identities on a grid: the trapezoidal rule is exponentially exact ----------------------------


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_mean_of_f_times_the_score_is_that_of_the_derivative(order):
    side = np.linspace(-12.0, 12.0, 211)
    X = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    weights = density(PLANE, X)
    X, weights = np.ascontiguousarray(X[weights > 1e-200]), weights[weights > 1e-200]
    share = weights / weights.sum()
    v, w = np.array([0.4, -0.3]), np.array([0.2, 0.7])
    f = (X @ v) ** 5 + (X @ w) ** 3
    derivative = np.zeros((2,) * order)
    for vector, power in ((v, 5), (w, 3)):
        if power >= order:
            mean = math.perm(power, order) * (share @ (X @ vector) ** (power - order))
            derivative += mean * reduce(np.multiply.outer, [vector] * order)

    first = MomentAccumulator(2, 2).update(X, f, weights).score_moments()
    moments = MixtureMoments(Samples(X, f, weights), first, PLANE)
    back = first.covariance @ first.whitening  # x = mean + back z, so a derivative in z is back' that in x
    if order == 1:
        found, expected = moments.cross_moment(), back.T @ derivative
    else:
        found, expected = moments.score_tensor(order, IDENTITY), derivative
        for _ in range(order):
            expected = np.tensordot(expected, back, axes=(0, 0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    if order > 1:  # seen along a few directions it is the same tensor, contracted
        W = np.array([[0.6], [-1.1]])
        value = oracles.contract(expected, *[W[:, 0]] * order)
        np.testing.assert_allclose(moments.score_tensor(order, IDENTITY, W).item(), value, rtol=1e-8)


def test_the_score_is_the_slope_of_the_log_density():
    X = np.random.default_rng(0).normal(size=(20, 2))
    step = 1e-5
    slope = [
        (np.log(density(PLANE, X + step * e)) - np.log(density(PLANE, X - step * e))) / (2 * step)
        for e in np.eye(2)
    ]
    np.testing.assert_allclose(PLANE.score(X), -np.transpose(slope), rtol=0, atol=1e-8)
    far = PLANE.posteriors(np.array([[1e6, -1e6]]))
    assert np.isfinite(far).all()
    assert far.sum() == pytest.approx(1.0)


def test_a_mixture_of_one_is_the_normal_distribution():
    X, y, w = oracles.sample(2000, 4)
    first = MomentAccumulator(4, 4).update(X, y, w).score_moments()
    law = InputMixture(np.ones(1), first.x_mean[None], first.covariance[None])
    moments = MixtureMoments(Samples(X, y, w), first, law)
    np.testing.assert_allclose(moments.cross_moment(), first.cross_moment(), rtol=0, atol=1e-12)
    for order in (2, 3, 4):
        expected = first.score_tensor(order, IDENTITY)
        found = moments.score_tensor(order, IDENTITY)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    one = recover_experts(X, y, 2, sample_weight=w, random_state=0, strategy="two_pass")
    other = recover_experts(X, y, 2, sample_weight=w, random_state=0, x_distribution=law)
    np.testing.assert_allclose(other.coef, one.coef, rtol=0, atol=1e-8)


def test_a_transform_that_is_no_polynomial_goes_through_too():
    X, y, w = oracles.sample(3000, 2)
    first = MomentAccumulator(2, 2).update(X, y, w).score_moments()
    h = optimal_transform("relu", 0.2)
    expected = MixtureMoments(Samples(X, h(y), w), first, PLANE).score_tensor(3, IDENTITY)
    found = MixtureMoments(Samples(X, y, w), first, PLANE).score_tensor(3, h)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


# ---- experts -------------------------------------------------------------------------------------------------

D = 6


def sample(link, shift, weights, n, seed):
    """Two components of covariance I, parted by `shift`; experts of unit norm after whitening."""
    rng = np.random.default_rng(seed)
    law = InputMixture(weights, np.outer([weights[1], -weights[0]], shift), np.stack([np.eye(D)] * 2))
    X = law.means[(rng.uniform(size=n) > weights[0]).astype(int)] + rng.normal(size=(n, D))
    coef = np.array([[1.0, 0.25, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]])
    spread = np.eye(D) + weights.prod() * np.outer(shift, shift)
    coef = coef / np.sqrt(np.einsum("id,de,ie->i", coef, spread, coef))[:, None]
    truth = Mixture(coef, np.zeros(2), 2.0 * np.eye(2, D, 2), np.zeros(2), np.full(2, 0.1), get_link(link))
    truth = replace(truth, gate_coef=truth.gate_coef * np.array([[1.0], [0.0]]))
    return X, truth.draw(X, rng), truth, law


def typical_error(link, shift, weights, exact, seeds=3, n=100_000):
    errors = []
    for seed in range(seeds):
        X, y, truth, law = sample(link, np.asarray(shift), np.asarray(weights), n, seed)
        found = recover_experts(
            X, y, 2, link=link, x_distribution=law if exact else "gaussian", random_state=0
        ).coef
        units = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (found, truth.coef)]
        errors.append(np.linalg.norm(oracles.matched(units[0], units[1]) - units[1], axis=1).max())
    return np.median(errors)


ALONG, ACROSS = [4.0, 0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 4.0]


def test_linear_experts_along_which_the_inputs_part_need_the_exact_score():
    assert typical_error("linear", ALONG, [0.3, 0.7], exact=False) > 0.3
    assert typical_error("linear", ALONG, [0.3, 0.7], exact=True) < 0.1


@pytest.mark.parametrize("link", ["linear", "relu", "tanh"])
def test_across_the_experts_neither_score_has_a_bias(link):
    for exact in (False, True):
        assert typical_error(link, ACROSS, [0.3, 0.7], exact) < 0.12


def test_along_the_experts_a_bias_stays_for_other_links():
    # a.x is then not normal, and the transforms take it for that.
    assert typical_error("relu", ALONG, [0.3, 0.7], exact=True) > 0.2


def test_the_answer_does_not_depend_on_the_units_of_x():
    X, y, _, law = sample("relu", np.asarray(ACROSS), np.array([0.5, 0.5]), 5000, 0)
    scale, mean = np.array([1e3, 1.0, 1e-2, 5.0, 1.0, 30.0]), np.arange(6.0)
    one = recover_experts(X, y, 2, link="relu", x_distribution=law, random_state=0)
    moved = law.transformed(np.diag(scale), -mean / scale)
    two = recover_experts(X * scale + mean, y, 2, link="relu", x_distribution=moved, random_state=0)
    np.testing.assert_allclose(two.coef * scale, one.coef, rtol=0, atol=1e-6)


# ---- the law -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_a_mixture_of_scikit_learn_is_taken_fitted_or_not(kind):
    X, _, _, _ = sample("linear", np.asarray(ACROSS), np.array([0.5, 0.5]), 500, 0)
    model = GaussianMixture(2, covariance_type=kind, random_state=0)
    law = input_law_of(model, Samples(X, X[:, 0], np.ones(len(X))))
    assert not hasattr(model, "means_")  # the user's object is not touched
    fitted = input_law_of(model.fit(X), Samples(X, X[:, 0], np.arange(len(X)) + 1.0))
    np.testing.assert_allclose(law.covariances, fitted.covariances)
    np.testing.assert_allclose(law.posteriors(X), model.predict_proba(X), rtol=0, atol=1e-10)


def test_a_fitted_mixture_serves_like_the_true_one():
    X, y, truth, _ = sample("linear", np.asarray(ALONG), np.array([0.3, 0.7]), 50_000, 0)
    found = recover_experts(X, y, 2, x_distribution=GaussianMixture(2, random_state=0), random_state=0).coef
    units = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (found, truth.coef)]
    assert np.linalg.norm(oracles.matched(*units) - units[1], axis=1).max() < 0.15


@pytest.mark.parametrize(
    ("x_distribution", "options", "error", "match"),
    [
        ("uniform", {}, ValueError, "x_distribution must be 'gaussian', .* got 'uniform'"),
        (3, {}, TypeError, "x_distribution must be .* got int"),
        (PLANE, {}, ValueError, "x_distribution has 2 features, X has 3"),
        (GaussianMixture(2), {"sample_weight": np.arange(1.0, 101.0)}, ValueError, "with sample weights"),
        (
            InputMixture(np.ones(1), np.zeros((1, 3)), np.eye(3)[None]),
            {"strategy": "one_pass"},
            ValueError,
            "one_pass",
        ),
    ],
)
def test_what_cannot_be_served_is_refused(x_distribution, options, error, match):
    X, y, _ = oracles.sample(100, 3)
    with pytest.raises(error, match=match):
        recover_experts(X, y, 2, x_distribution=x_distribution, **options)


def test_collinear_columns_are_refused():
    X, y, _ = oracles.sample(100, 3)
    X[:, 2] = X[:, 0]
    law = InputMixture(np.ones(1), np.zeros((1, 3)), np.eye(3)[None])
    with pytest.raises(ValueError, match="2 linearly independent columns of 3"):
        recover_experts(X, y, 2, x_distribution=law)


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "match"),
    [
        ([1.0], [0.0], [[[1.0]]], r"means .* must have shape \(c, d\), got \(1,\)"),
        ([1.0], [[0.0]], [[1.0]], r"covariances of shape \(1, 1, 1\)"),
        ([0.5, 0.6], [[0.0], [1.0]], np.ones((2, 1, 1)), "of sum 1"),
        ([1.0, 0.0], [[0.0], [1.0]], np.ones((2, 1, 1)), "positive"),
        ([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.0, 1.0]]], "covariance 0 .* not symmetric"),
        ([1.0], [[0.0, 0.0]], [[[1.0, 1.0], [1.0, 1.0]]], "covariance 0 .* not positive definite"),
        ([1.0], [[0.0]], [[[0.0]]], "covariance 0 .* not positive definite"),
        ([1.0], [[np.nan]], [[[1.0]]], "means .* NaN"),
    ],
)
def test_bad_laws_are_refused(weights, means, covariances, match):
    with pytest.raises(ValueError, match=match):
        InputMixture(np.array(weights), np.array(means), np.array(covariances))
