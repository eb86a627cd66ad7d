"""Quantiles of mixtures of normal distributions, against numerical inversion."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from moefast import quantiles
from moefast.quantiles import mixture_cdf, mixture_quantile

LEVELS = (1e-9, 1e-3, 0.1, 0.5, 0.77, 0.999, 1 - 1e-9)


def law(separation, n=40, k=4, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(k, 0.5), n)
    return p, separation * rng.normal(size=(n, k)), np.exp(rng.normal(size=k))


def inverted(p, m, s, level):
    """One row, by bisection of the smaller tail."""

    def excess(y):
        return p @ norm.cdf(y, m, s) - level if level <= 0.5 else (1 - level) - p @ norm.sf(y, m, s)

    width = 10 * np.abs(m).max() + 100 * s.max()
    return brentq(excess, -width, width, xtol=1e-300, rtol=4 * np.finfo(float).eps, maxiter=2000)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("separation", [0.0, 1.0, 10.0])
def test_against_numerical_inversion(separation, level):
    """To 1e-10 of the smallest s, where the density is not so small that rounding of F moves the root further."""
    p, m, s = law(separation)
    found = mixture_quantile(p, m, s, level)
    wanted = np.array([inverted(*row, s, level) for row in zip(p, m, strict=True)])
    density = np.sum(p * norm.pdf(wanted[:, None], m, s), axis=1)
    rounding = 4 * np.finfo(float).eps * min(level, 1 - level) / density
    np.testing.assert_array_less(np.abs(found - wanted), 1e-10 * s.min() + 10 * rounding)
    assert (rounding < 1e-11 * s.min()).mean() > 0.9


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("separation", [1.0, 30.0, 1e4])
def test_the_distribution_function_at_the_quantile(separation, level):
    """Relative to the smaller tail; far apart the spacing of y in units of s bounds it."""
    p, m, s = law(separation, n=400)
    y = mixture_quantile(p, m, s, level)
    tail = mixture_cdf(p, m, s, y) if level <= 0.5 else mixture_cdf(p, -m, s, -y)
    np.testing.assert_allclose(tail, min(level, 1 - level), rtol=1e-10)


def test_one_component_is_the_normal_distribution():
    p, m, s = np.ones((3, 1)), np.array([[0.0], [1e6], [-3.0]]), np.array([2.0])
    for level in LEVELS:
        np.testing.assert_allclose(mixture_quantile(p, m, s, level), norm.ppf(level, m[:, 0], 2.0), rtol=1e-15)


def test_equal_components_are_one():
    p, m, s = np.array([[0.3, 0.7]]), np.ones((1, 2)), np.ones(2)
    np.testing.assert_array_equal(
        mixture_quantile(p, m, s, 0.2), mixture_quantile(p[:, :1] / 0.3, m[:, :1], s[:1], 0.2)
    )


def test_a_gap_between_components():
    """Just below the first one's share the quantile is in its upper tail, just above it in the other's lower."""
    p, m, s = np.array([[0.25, 0.75]]), np.array([[0.0, 1000.0]]), np.array([1.0, 2.0])
    below, above = (mixture_quantile(p, m, s, 0.25 + side * 1e-6)[0] for side in (-1, 1))
    assert below == pytest.approx(norm.isf(1e-6 / 0.25), rel=1e-9)
    assert above == pytest.approx(norm.ppf(1e-6 / 0.75, 1000.0, 2.0), rel=1e-9)
    # At the share itself what is left of both tails decides: 0.25 sf(y) = 0.75 cdf((y - 1000) / 2).
    middle = mixture_quantile(p / 1.0, m / 100.0, s, 0.25)[0]
    assert 0.25 * norm.sf(middle) == pytest.approx(0.75 * norm.cdf(middle, 10.0, 2.0), rel=1e-8)
    assert 0 < mixture_quantile(p, m, s, 0.25)[0] < 1000


def test_components_without_weight_do_not_matter():
    p, m, s = law(3.0)
    more = (
        np.column_stack([p, np.zeros(len(p))]),
        np.column_stack([m, np.full(len(p), np.inf)]),
        np.append(s, 1e-9),
    )
    for level in LEVELS:
        np.testing.assert_allclose(mixture_quantile(*more, level), mixture_quantile(p, m, s, level), rtol=1e-13)


@pytest.mark.parametrize("unit", [1e-250, 1e-30, 1e30, 1e250])
def test_units(unit):
    p, m, s = law(3.0)
    for level in LEVELS:
        found = mixture_quantile(p, unit * m, unit * s, level) / unit
        np.testing.assert_allclose(found, mixture_quantile(p, m, s, level), rtol=1e-9, atol=1e-10)


def test_scales_that_have_nothing_in_common():
    """A needle on a broad law; inside it the spacing of float64 at 1 is 2e-4 of its width."""
    p, m, s = np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]]), np.array([1e12, 1e-12])
    for level in (0.2, 0.4, 0.6, 0.8):
        y = mixture_quantile(p, m, s, level)
        assert mixture_cdf(p, m, s, y) == pytest.approx(level, rel=1e-3 if 0.25 < level < 0.75 else 1e-12)
    assert np.isnan(mixture_quantile(p, m, np.array([1e308, 1e308]), 1e-9)).all()


def test_levels_in_order_give_quantiles_in_order():
    p, m, s = law(20.0, n=200)
    values = np.stack([mixture_quantile(p, m, s, q) for q in np.linspace(0.001, 0.999, 97)])
    assert (np.diff(values, axis=0) > 0).all()


def test_hard_laws_take_few_steps(monkeypatch):
    """Shares near 0, scales and places far apart: plain Newton steps run in circles there."""
    steps = []
    plain = quantiles._Roots._excess_and_density
    monkeypatch.setattr(quantiles._Roots, "_excess_and_density", lambda self: steps.append(1) or plain(self))
    rng = np.random.default_rng(0)
    for separation in (1.0, 30.0, 1e4):
        p, m = rng.dirichlet(np.full(4, 0.05), 2000), separation * rng.normal(size=(2000, 4))
        s = np.exp(3 * rng.normal(size=4))
        for level in LEVELS:
            steps.clear()
            y = mixture_quantile(p, m, s, level)
            assert len(steps) < 64
            tail = mixture_cdf(p, m, s, y) if level <= 0.5 else mixture_cdf(p, -m, s, -y)
            density = np.sum(p * norm.pdf(y[:, None], m, s), axis=1)
            error = np.abs(tail - min(level, 1 - level))
            np.testing.assert_array_less(
                error, 1e-10 * min(level, 1 - level) + 4 * density * np.spacing(np.abs(y))
            )
