"""The least-variance transform: its definition by another quadrature, its variance, and what it brings."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import eval_hermitenorm
from scipy.stats import norm

from moefast import MomentAccumulator
from moefast.datasets import make_moe
from moefast.links import LINKS, Link, get_link
from moefast.moments import MomentOptions
from moefast.moments.two_pass import TwoPassMoments
from moefast.samples import Samples
from moefast.spectral import recover_experts, recover_from_moments
from moefast.transforms import cubic_transform, quadratic_transform, quartic_transform
from moefast.transforms.optimal import marginal_sigma, optimal_transform
from oracles import moments as oracles

POLYNOMIAL = {2: quadratic_transform, 3: cubic_transform, 4: quartic_transform}


def expectation(link, sigma, function):
    """E[function(z, y)] by the trapezoidal rule in z and e: exponentially exact, none of the package's nodes."""
    e, shares = np.zeros(1), np.ones(1)
    if sigma > 0:
        e = np.linspace(-8.5, 8.5, 241)
        shares = norm.pdf(e) * (e[1] - e[0])
    total = 0.0
    for low, high in pairwise([-9.0, *link.breakpoints, 9.0]):
        t = np.linspace(
            -4.0, 4.0, 1601 if sigma > 0 else 100_001
        )  # tanh-sinh, so that the ends of a piece do no harm
        z = 0.5 * (low + high) + 0.5 * (high - low) * np.tanh(0.5 * np.pi * np.sinh(t))
        w = 0.25 * np.pi * (high - low) * np.cosh(t) / np.cosh(0.5 * np.pi * np.sinh(t)) ** 2 * (t[1] - t[0])
        values = function(z[:, None], link(z)[:, None] + sigma * e)
        total += (w * norm.pdf(z)) @ values @ shares
    return total


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("sigma", [0.0, 0.1, 1.0])
def test_for_a_linear_link_it_is_the_polynomial(order, sigma):
    h, P = optimal_transform("linear", sigma, order), POLYNOMIAL[order]("linear", sigma)
    y = np.linspace(-5.0, 5.0, 41)
    found, expected = h(y) / h.constant, P(y) / P.constant
    shift = found[20] - expected[20]  # constants are free
    np.testing.assert_allclose(found - shift, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    assert h.constant == pytest.approx(np.prod(range(1, order + 1)) / (1.0 + h.width**2) ** order, rel=1e-5)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize(("link", "sigma"), [("relu", 0.1), ("relu", 0.0), ("sigmoid", 0.05), ("gelu", 0.3)])
def test_the_lower_moments_vanish_and_the_constant_is_that_of_order_m(link, sigma, order):
    h = optimal_transform(link, sigma, order)
    moments = [
        expectation(get_link(link), sigma, lambda z, y, r=r: h(y) * eval_hermitenorm(r, z))
        for r in range(order + 1)
    ]
    np.testing.assert_allclose(moments, [0.0] * order + [h.constant], rtol=0, atol=1e-6 * h.constant)
    assert h.error < 1e-6 * h.constant


def test_posteriors_are_those_of_bayes():
    # 1 / c_3 = 1 / E[h phi_3] is the least possible variance only if h is made of the true phi_1, phi_2, phi_3.
    sigma, points = 0.2, np.array([-0.5, -0.1, 0.0, 0.2, 0.7, 2.0])

    def posterior(m, y):
        def integrand(z, m):
            return eval_hermitenorm(m, z) * norm.pdf(z) * norm.pdf(y, max(z, 0.0), sigma)

        return sum(quad(integrand, a, b, args=(m,))[0] for a, b in [(-9.0, 0.0), (0.0, 9.0)])

    phi = np.array([[posterior(m, y) / posterior(0, y) for y in points] for m in range(4)])
    found = optimal_transform("relu", sigma)(points)
    lower = np.linalg.lstsq(phi[:3].T, found - phi[3], rcond=None)[0]  # three unknowns, six points
    np.testing.assert_allclose(phi[3] + lower @ phi[:3], found, rtol=0, atol=1e-5)


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("link", LINKS)
def test_its_variance_is_the_inverse_constant_and_below_that_of_the_polynomial(link, order):
    sigma = 0.1
    h, P = optimal_transform(link, sigma, order), POLYNOMIAL[order](link, sigma)
    link = get_link(link)
    variances = []
    for transform in (h, P):
        mean = expectation(link, sigma, lambda z, y, f=transform: f(y))
        square = expectation(link, sigma, lambda z, y, f=transform, c=mean: (f(y) - c) ** 2)
        variances.append(square / transform.constant**2)
    assert variances[0] == pytest.approx(1.0 / h.constant, rel=1e-4)
    assert variances[0] < variances[1] * (1.0 + 1e-6)
    if link.name in ("relu", "gelu", "softplus"):
        assert variances[0] < 0.95 * variances[1]


@pytest.mark.parametrize("link", LINKS)
def test_without_noise_it_is_finite_and_unbiased(link):
    h = optimal_transform(link, 0.0)
    assert h.width > 0 == h.sigma
    y = np.concatenate([np.linspace(-20, 20, 101), [-1e300, 1e300]])
    assert np.isfinite(h(y)).all()
    level = expectation(get_link(link), 0.0, lambda z, y: h(y) * eval_hermitenorm(1, z))
    assert abs(level) < 1e-6 * h.constant


def test_beyond_its_table_it_is_constant():
    h = optimal_transform("relu", 0.1)
    assert h(1e6) == h(1e9) == h(20.0)
    assert h(-1e6) == h(-5.0)
    assert np.ndim(h(0.3)) == 0
    assert h(np.zeros((2, 3))).shape == (2, 3)


@pytest.mark.parametrize(
    ("link", "sigma", "order", "error", "match"),
    [
        ("relu", -1.0, 3, ValueError, "sigma must be"),
        ("relu", np.nan, 3, ValueError, "sigma must be"),
        ("relu", 0.1, 5, ValueError, "order must be at most 4"),
        (np.square, 0.1, 3, ValueError, r"E\[g'\] = .* about zero"),
        (Link("step", lambda z: np.where(z > 0.3, 1.0, 0.0), (0.3,)), 0.1, 3, ValueError, "determinant"),
        (lambda z: np.sin(50.0 * z) + 0.2 * z, 1e-3, 3, ValueError, "known to|is about zero"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_number(link, sigma, order, error, match):
    with pytest.raises(error, match=match):
        optimal_transform(link, sigma, order)


# ---- the noise ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "sigma", "tolerance"),
    [
        ("sigmoid", 0.05, 0.01),
        ("tanh", 0.05, 0.01),
        ("relu", 0.1, 0.01),
        ("gelu", 0.1, 0.01),
        ("linear", 0.5, 0.1),
    ],
)
def test_the_likely_noise_is_the_true_one(link, sigma, tolerance):
    rng = np.random.default_rng(0)
    y = get_link(link)(rng.normal(size=20_000)) + sigma * rng.normal(size=20_000)
    assert marginal_sigma(y, link) == pytest.approx(sigma, abs=tolerance)
    # Weight 2 is the same as a row written twice; the order of rows is nothing.
    weights = rng.integers(1, 3, size=len(y))
    twice = np.repeat(y, weights)[::-1]
    assert marginal_sigma(y, link, weights) == pytest.approx(marginal_sigma(twice, link), rel=1e-6)


def test_the_likely_noise_of_a_constant_is_its_floor():
    assert 0.0 < marginal_sigma(np.zeros(10), "relu") < 0.1


# ---- in the method -------------------------------------------------------------------------------------------


def chord_errors(n, seeds, **options):
    errors = []
    for seed in range(seeds):
        X, y, truth = make_moe(n, 10, 2, link="relu", noise=0.1, orthogonal_gate=True, random_state=seed)
        found = recover_experts(X, y, 2, link="relu", random_state=0, **options)
        unit = found.coef / np.linalg.norm(found.coef, axis=1, keepdims=True)
        errors.append(np.linalg.norm(oracles.matched(unit, truth.coef) - truth.coef, axis=1).max())
    return np.array(errors)


@pytest.mark.parametrize("sigma", [0.1, None])
def test_relu_experts_are_found_better(sigma):
    cubic, optimal = (chord_errors(10_000, 12, sigma=sigma, transform=t) for t in ("polynomial", "optimal"))
    assert np.median(optimal) < 0.9 * np.median(cubic)


def test_no_tensor_of_third_order_is_accumulated_for_it(monkeypatch):
    orders = []
    original = MomentAccumulator.__init__

    def spy(self, n_features, order=3, *args, **kwargs):
        orders.append(order)
        original(self, n_features, order, *args, **kwargs)

    monkeypatch.setattr(MomentAccumulator, "__init__", spy)
    X, y, _ = make_moe(2000, 5, 2, link="tanh", orthogonal_gate=True, random_state=0)
    recover_experts(X, y, 2, link="tanh", transform="optimal", random_state=0)
    assert orders == [2]


def test_linear_experts_are_the_same():
    X, y, _ = make_moe(2000, 5, 2, orthogonal_gate=True, random_state=0)
    one, two = (recover_experts(X, y, 2, transform=t, random_state=0) for t in ("polynomial", "optimal"))
    np.testing.assert_array_equal(one.coef, two.coef)


def test_the_score_tensor_of_any_transform_is_the_sum_over_rows():
    X, y, w = oracles.sample(400, 4)
    h = optimal_transform("relu", 0.3)
    first = MomentAccumulator(4, 2).update(X, y, w).score_moments()
    moments = TwoPassMoments(Samples(X, y, w), first)
    for order in (2, 3, 4):
        expected = oracles.score_tensor(X, h(y), w, first.whitening, order)
        found = moments.score_tensor(order, h)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_one_pass_has_no_optimal_transform():
    X, y, _ = make_moe(200, 3, 2, link="relu", random_state=0)
    with pytest.raises(ValueError, match=r'strategy="one_pass" has .* transform="optimal" is no polynomial'):
        recover_experts(X, y, 2, link="relu", strategy="one_pass", transform="optimal")
    moments = MomentAccumulator(3, 3).update(X, y).score_moments()
    with pytest.raises(ValueError, match="samples for a second pass"):
        recover_from_moments(moments, 2, MomentOptions(get_link("relu"), transform="optimal"))
    with pytest.raises(TypeError, match="polynomials only, not OptimalTransform"):
        moments.score_tensor(3, optimal_transform("relu", 0.1))
