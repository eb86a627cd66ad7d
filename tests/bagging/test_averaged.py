"""The average of mixtures beside sums written out, whatever the block of rows."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm, poisson

from moefast.bagging.averaged import AveragedMixture
from moefast.families import get_family
from moefast.mixture import Mixture
from moefast.samples import RowTerms

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 2))
Y = RNG.normal(size=7)


def mixture(seed, k, family="gaussian"):
    rng = np.random.default_rng(seed)
    gates = rng.normal(size=(k, 2)), rng.normal(size=k)
    sigma = rng.uniform(0.3, 1.0, size=k) if family == "gaussian" else np.ones(k)
    return Mixture(rng.normal(size=(k, 2)), rng.normal(size=k), *gates, sigma, family=get_family(family))


@pytest.fixture
def parts():
    return [mixture(seed, k) for seed, k in ((1, 2), (2, 3), (3, 1))]


def density(parts, x, y, c=1.0):
    """The average, written out, drawn together by c."""
    normals = []
    for part in parts:
        logits = part.gate_coef @ x + part.gate_intercept
        gates = np.exp(logits) / np.exp(logits).sum() / len(parts)
        normals += zip(gates, part.coef @ x + part.intercept, part.sigma, strict=True)
    p, m, s = np.transpose(normals)
    mean = p @ m
    return p @ norm.pdf(mean + (y - mean) / c, m, s) / c


@pytest.mark.parametrize(("c", "block"), [(1.0, 2**20), (0.6, 6)])  # all rows at once, or one by one
def test_everything_follows_from_the_average_of_the_densities(parts, c, block, monkeypatch):
    monkeypatch.setattr("moefast.bagging.averaged._BLOCK", block)
    averaged = AveragedMixture(parts, c)
    level = np.array([0.05, 0.7])
    reach = {"limit": 200, "epsabs": 1e-9, "epsrel": 1e-8}
    quantiles = averaged.quantile(X, level)
    grid = np.array([-1.0, 0.5])
    for n, x in enumerate(X[:3]):

        def at(y, x=x):
            return density(parts, x, y, c)

        assert averaged.log_density(X, Y)[n] == pytest.approx(np.log(at(Y[n])), rel=1e-12)
        assert averaged.log_density_grid(X, grid)[n] == pytest.approx(np.log([at(y) for y in grid]), rel=1e-12)
        mean = quad(lambda y, f=at: y * f(y), -30, 30, points=[0], **reach)[0]
        assert averaged.mean(X)[n] == pytest.approx(mean, rel=1e-7, abs=1e-7)
        second = quad(lambda y, f=at, m=mean: (y - m) ** 2 * f(y), -30, 30, points=[0], **reach)[0]
        assert averaged.std(X)[n] == pytest.approx(np.sqrt(second), rel=1e-7)
        below = quad(at, -30, Y[n], **reach)[0]
        assert averaged.cdf(X, Y)[n] == pytest.approx(below, rel=1e-7, abs=1e-9)
        for q, found in zip(level, quantiles[n], strict=True):
            assert quad(at, -30, found, **reach)[0] == pytest.approx(q, rel=1e-6)
    assert averaged.part_means(X) == pytest.approx(np.stack([p.mean(X) for p in parts], axis=1))


def test_draws_follow_the_law(parts):
    rows = np.tile(X[:1], (20_000, 1))
    draws = AveragedMixture(parts, 0.8).draw(rows, np.random.default_rng(0))
    averaged = AveragedMixture(parts, 0.8)
    for y in (-1.0, 0.0, 1.0):
        p = averaged.cdf(X[:1], np.array([y]))[0]
        assert np.mean(draws <= y) == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 20_000))


def test_other_families_with_their_terms():
    parts = [mixture(seed, 2, "poisson") for seed in (1, 2)]
    y, offset = np.arange(7.0), np.linspace(0, 1, 7)
    averaged = AveragedMixture(parts)
    found = averaged.log_density(X, y, RowTerms(offset=offset))
    for n, x in enumerate(X):
        p = 0.0
        for part in parts:
            gates = part.gates(X[n : n + 1])[0]
            p += gates @ poisson.pmf(y[n], np.exp(part.coef @ x + part.intercept + offset[n])) / 2
        assert found[n] == pytest.approx(np.log(p), rel=1e-10)


def test_no_rows(parts):
    averaged = AveragedMixture(parts)
    assert averaged.mean(np.empty((0, 2))).shape == (0,)
    assert averaged.quantile(np.empty((0, 2)), np.array([0.5, 0.6])).shape == (0, 2)


def test_all_experts_side_by_side(parts):
    averaged = AveragedMixture(parts, 0.5)
    assert averaged.n_experts == 6
    assert averaged.gates(X).sum(axis=1) == pytest.approx(1)
    means, m = np.hstack([part.expert_means(X) for part in parts]), averaged.mean(X)[:, None]
    assert averaged.expert_means(X) == pytest.approx(m + 0.5 * (means - m))
    assert averaged.mean(X) == pytest.approx(AveragedMixture(parts).mean(X))
    assert averaged.sigma == pytest.approx(0.5 * np.concatenate([part.sigma for part in parts]))
