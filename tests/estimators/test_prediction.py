"""What a fitted estimator answers about a new row: experts, quantiles, intervals, densities."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.integrate import trapezoid
from scipy.optimize import brentq
from scipy.stats import kstest, norm

from moefast import HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor
from moefast.datasets import make_moe

X, Y, TRUTH = make_moe(500, 3, 3, noise=[0.1, 0.2, 0.3], expert_intercept=1.0, gate_intercept=0.5, random_state=4)
NAMES = ["age", "dose", "flow rate"]
TANH_X, TANH_Y, _ = make_moe(500, 3, 2, link="tanh", noise=0.1, random_state=3)


@pytest.fixture(scope="module")
def models():
    return {
        "flat": MixtureOfExpertsRegressor(3, random_state=0).fit(X, Y),
        "one": MixtureOfExpertsRegressor(1, random_state=0).fit(X, Y),
        "tree": HierarchicalMixtureOfExpertsRegressor((2, 2), random_state=0, n_init=2).fit(X, Y),
        "link": MixtureOfExpertsRegressor(2, link="tanh", random_state=0).fit(TANH_X, TANH_Y),
    }


@pytest.fixture(params=["flat", "one", "tree", "link"])
def model(request, models):
    return models[request.param]


def parts(model, at):
    """Gates, means and noise by the definition of the model."""
    linear = at @ model.coef_.T + model.intercept_
    return model.predict_gates(at), np.tanh(linear) if model.link_.name == "tanh" else linear, model.sigma_


def test_experts_and_labels(model):
    p, m, s = parts(model, X)
    np.testing.assert_allclose(model.predict_experts(X), m, rtol=1e-12)
    np.testing.assert_array_equal(model.assign(X), p.argmax(axis=1))
    np.testing.assert_array_equal(model.assign(X, Y), (p * norm.pdf(Y[:, None], m, s)).argmax(axis=1))
    np.testing.assert_allclose((p * model.predict_experts(X)).sum(axis=1), model.predict(X), rtol=1e-12)


def test_quantiles_by_numerical_inversion(model):
    levels = [1e-9, 0.05, 0.5, 0.95, 1 - 1e-9]
    p, m, s = parts(model, X[:20])
    found = model.predict_quantile(X[:20], levels)
    assert found.shape == (20, 5)
    for j, level in enumerate(levels):
        for i in range(20):
            side = 1 if level <= 0.5 else -1  # of the smaller tail

            def excess(y, i=i, side=side, level=level):
                return p[i] @ norm.cdf(side * (y - m[i]) / s) - min(level, 1 - level)

            wanted = brentq(excess, -100, 100, xtol=1e-300, rtol=4 * np.finfo(float).eps)
            assert found[i, j] == pytest.approx(wanted, abs=1e-10 * s.min())
        np.testing.assert_array_equal(model.predict_quantile(X[:20], level), found[:, j])
    np.testing.assert_allclose(model.cdf(X[:20], found[:, 1]), 0.05, rtol=1e-10)


def test_quantiles_by_simulation(model):
    at = np.repeat(X[:1], 200_000, axis=0)
    draws = model.sample(at, random_state=0)
    levels = np.array([0.01, 0.1, 0.5, 0.9, 0.99])
    below = (draws[:, None] <= model.predict_quantile(X[:1], levels)).mean(axis=0)
    np.testing.assert_allclose((below - levels) / np.sqrt(levels * (1 - levels) / len(draws)), 0.0, atol=4.0)
    assert kstest(model.cdf(at, draws), "uniform").pvalue > 1e-3


def test_one_expert_is_the_normal_distribution(models):
    model = models["one"]
    for q in (1e-9, 0.2, 0.5, 0.999):
        np.testing.assert_allclose(model.predict_quantile(X, q), norm.ppf(q, model.predict(X), model.sigma_))


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_intervals_cover(level):
    """Fresh rows, the model fitted to others; equal tails, so both sides miss as often."""
    X, y, _ = make_moe(6000, 3, 3, noise=0.3, expert_intercept=1.0, random_state=11)
    model = MixtureOfExpertsRegressor(3, random_state=0, n_init=5).fit(X[:3000], y[:3000])
    interval = model.predict_interval(X[3000:], level)
    assert interval.shape == (3000, 2)
    low, high = (y[3000:] < interval[:, 0]).mean(), (y[3000:] > interval[:, 1]).mean()
    sd = np.sqrt(0.5 * (1 - level) / 3000)
    assert (low, high) == pytest.approx(
        (0.5 * (1 - level),) * 2, abs=4 * sd + 0.004
    )  # 0.004: the fit is not the truth
    np.testing.assert_allclose(model.cdf(X[3000:], interval[:, 1]), 0.5 + 0.5 * level, rtol=1e-10)


def test_densities_on_a_grid(model):
    grid = np.linspace(-30, 30, 60_001)
    found = model.log_density(X[:5], grid)
    assert found.shape == (5, 60_001)
    np.testing.assert_allclose(trapezoid(np.exp(found), grid, axis=1), 1.0, rtol=1e-8)
    for j in (29_000, 30_000, 31_234):
        np.testing.assert_allclose(found[:, j], model.score_samples(X[:5], np.full(5, grid[j])), rtol=1e-10)
    slope = np.gradient([model.cdf(X[:1], [y])[0] for y in (grid[30_000] + 1e-5 * np.array([-1, 0, 1]))], 1e-5)[1]
    assert np.exp(found[0, 30_000]) == pytest.approx(slope, rel=1e-4, abs=1e-9)


def test_frames_and_single_rows(model):
    named = type(model)(**model.get_params()).set_params(random_state=0)
    named.fit(pd.DataFrame(X, columns=NAMES), pd.Series(Y))
    plain = named.predict_quantile(pd.DataFrame(X, columns=NAMES), [0.1, 0.9])
    frame = pl.DataFrame(X, schema=NAMES)
    for use in (
        lambda t: named.predict_quantile(t, pd.Series([0.1, 0.9])),
        lambda t: named.predict_interval(t, 0.8),
    ):
        np.testing.assert_allclose(use(frame), plain, rtol=1e-12)
        np.testing.assert_allclose(use(pd.DataFrame(X[:1], columns=NAMES)), plain[:1], rtol=1e-12)
    row = frame[:1]
    assert named.predict_quantile(row, 0.5).shape == named.cdf(row, [0.0]).shape == named.assign(row).shape == (1,)
    assert named.predict_experts(row).shape == (1, len(named.coef_))
    assert named.log_density(row, pl.Series([0.0, 1.0])).shape == (1, 2)


@pytest.mark.parametrize("unit", [1e-150, 1e-9, 1e9, 1e150])
def test_units(unit):
    plain, scaled = (MixtureOfExpertsRegressor(2, random_state=0, tol=1e-12).fit(X, u * Y) for u in (1.0, unit))
    levels = [1e-6, 0.25, 0.5, 0.9]
    np.testing.assert_allclose(
        scaled.predict_quantile(X, levels) / unit, plain.predict_quantile(X, levels), atol=1e-4
    )
    np.testing.assert_allclose(scaled.cdf(X, unit * Y), plain.cdf(X, Y), atol=1e-4)


@pytest.mark.parametrize(
    ("q", "error", "shown"),
    [
        (0.0, ValueError, "q must lie above 0 and below 1, got 0.0"),
        (1, ValueError, "got 1"),
        ([0.5, 1.5], ValueError, "got 1.5"),
        (np.nan, ValueError, "got nan"),
        ([[0.1]], ValueError, r"shape \(1, 1\)"),
        ([], ValueError, r"shape \(0,\)"),
        ("median", TypeError, "'median'"),
        (True, TypeError, "True"),
        (None, TypeError, "None"),
    ],
)
def test_levels_that_are_none(models, q, error, shown):
    with pytest.raises(error, match=shown):
        models["flat"].predict_quantile(X, q)


@pytest.mark.parametrize("level", [0.0, 1.0, 90, -0.1, np.nan, "90%", True, [0.5]])
def test_interval_levels_that_are_none(models, level):
    with pytest.raises(ValueError, match=r"level must"):
        models["flat"].predict_interval(X, level)


def test_bad_grids_and_responses(models):
    model = models["flat"]
    with pytest.raises(ValueError, match=r"y_grid must have shape \(4,\), got \(2, 2\)"):
        model.log_density(X, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="y_grid has missing values"):
        model.log_density(X, [0.0, np.nan])
    with pytest.raises(ValueError, match=r"y must have shape \(500,\)"):
        model.cdf(X, [0.0])
    with pytest.raises(ValueError, match="500 in column 1"):
        model.predict_quantile(np.where(np.arange(3) == 1, np.nan, X), 0.5)
    far = np.full((2, 3), 1.0)
    far[1] = 1.7e308
    for method in (lambda x: model.predict_quantile(x, 0.5), model.predict_experts):
        with pytest.raises(OverflowError, match="row 1 "):
            method(far)
