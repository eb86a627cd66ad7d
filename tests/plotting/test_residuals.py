"""Calibration and residuals of a right model are right, those of a wrong one are not."""

import warnings

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import binom, norm

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.families import get_family
from moefast.mixture import Mixture
from moefast.plotting import plot_calibration, plot_quantile_residuals, plot_residuals
from moefast.plotting.residuals import quantile_residuals


@pytest.fixture(scope="module")
def data():
    X, y, _ = make_moe(3000, 3, 3, noise=0.4, random_state=1)
    return X, y


@pytest.fixture(scope="module")
def model(data):
    X, y = data
    return MixtureOfExpertsRegressor(3, n_init=3, random_state=0).fit(X[:2000], y[:2000])


def test_quantile_residuals_are_quantiles_of_the_integrated_density(model, data):
    X, y = data
    for n in range(5):
        density = lambda v, n=n: np.exp(model.score_samples(X[n : n + 1], [v])[0])  # noqa: E731
        centre = model.predict(X[n : n + 1])[0]
        below = quad(density, centre - 9, y[n], limit=200)[0]
        found = quantile_residuals(model.mixture_, X[n : n + 1], y[n : n + 1])
        assert norm.cdf(found[0]) == pytest.approx(below, abs=1e-7)


def test_quantile_residuals_are_exact_in_both_tails():
    """One expert: they are the residuals over sigma."""
    X, y = np.zeros((4, 1)), np.array([-30.0, -1.0, 1.0, 30.0])
    one = Mixture(np.zeros((1, 1)), np.zeros(1), np.zeros((1, 1)), np.zeros(1), np.array([2.0]))
    np.testing.assert_allclose(quantile_residuals(one, X, y), y / 2, rtol=1e-12)


def test_calibration_counts_rows_by_their_probability(model, data):
    X, y = data[0][2000:], data[1][2000:]
    weights = np.random.default_rng(0).integers(1, 4, 1000)
    below = model.cdf(X, y)
    for w in (None, weights):
        ax = plot_calibration(model, X, y, sample_weight=w, n_bins=8)
        counted = [
            sum(np.ones(1000)[m] if w is None else w[m]) for m in (np.floor(below * 8) == b for b in range(8))
        ]
        heights = [bar.get_height() for bar in ax.containers[0]]
        np.testing.assert_allclose(heights, 8 * np.array(counted) / sum(counted))
    assert np.mean(heights) == pytest.approx(1.0)


def test_the_band_holds_the_bars_of_a_right_model_and_not_of_a_wrong_one(model, data):
    X = np.tile(data[0], (4, 1))
    y = model.sample(X, random_state=0)
    ax = plot_calibration(model, X, y)
    heights = np.array([bar.get_height() for bar in ax.containers[0]])
    low, high = (20 * binom.ppf(q, len(y), 0.05) / len(y) for q in (0.025, 0.975))
    (band,) = (p for p in ax.patches if p not in ax.containers[0])
    box = band.get_path().get_extents(band.get_patch_transform())
    assert (box.y0, box.y1) == pytest.approx((low, high))
    assert ((heights >= low) & (heights <= high)).sum() >= 17
    wide = plot_calibration(model, X, model.predict(X) + 0.5 * (y - model.predict(X)))
    heights = np.array([bar.get_height() for bar in wide.containers[0]])
    assert heights[9] > high
    assert heights[0] < low
    assert wide.get_ylim()[1] > heights.max()


def test_residuals_are_those_of_the_own_expert(model, data):
    X, y = data
    ax = plot_residuals(model, X, y)
    owner = model.responsibilities(X, y).argmax(axis=1)
    law = model.mixture_.expert_means(X)[np.arange(3000), owner]
    points = np.vstack([c.get_offsets() for c in ax.collections])
    expected = np.column_stack([law, (y - law) / model.sigma_[owner]])
    np.testing.assert_allclose(points[np.lexsort(points.T)], expected[np.lexsort(expected.T)], rtol=1e-9)
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == [f"expert {i}: {(owner == i).sum()} rows" for i in range(3)]


def test_quantile_residuals_are_normal_for_a_right_model(model, data):
    X, _ = data
    y = model.sample(X, random_state=1)
    ax = plot_quantile_residuals(model, X, y)
    normal, residuals = ax.lines[0].get_data()
    below = model.cdf(X, y)
    everything = np.sort(norm.ppf(below))
    assert len(residuals) == 2000 < 3000  # tails are whole, the middle is thinned
    np.testing.assert_allclose(residuals[:500], everything[:500], rtol=1e-6)
    np.testing.assert_allclose(residuals[-500:], everything[-500:], rtol=1e-6)
    np.testing.assert_allclose(normal[:3], norm.ppf((np.arange(1, 4) - 0.5) / 3000))
    band = ax.collections[0].get_paths()[0].vertices
    at = np.isin(band[:, 0], normal)
    inside = 0
    for x, r in zip(normal, residuals, strict=True):
        ends = band[at & (band[:, 0] == x), 1]
        inside += ends.min() <= r <= ends.max()
    assert inside > 0.9 * len(residuals)


@pytest.mark.parametrize("draw", [plot_calibration, plot_residuals, plot_quantile_residuals])
def test_one_row_can_be_drawn(model, data, draw):
    ax = draw(model, data[0][:1], data[1][:1])
    low, high = ax.get_xlim()
    assert low < high


def test_far_rows_have_finite_quantile_residuals(model, data):
    X, y = data[0][:50], data[1][:50].copy()
    y[0], y[1] = 1e6, -1e6
    residuals = plot_quantile_residuals(model, X, y).lines[0].get_ydata()
    assert np.isfinite(residuals).all()
    assert residuals[0] < -37 < 37 < residuals[-1]


def test_residuals_of_experts_that_are_sure_are_finite():
    X = np.linspace(-1.0, 1.0, 60)[:, None]
    y = (X[:, 0] > 0).astype(float)
    sure = Mixture(
        np.full((1, 1), 1e6),
        np.zeros(1),
        np.zeros((1, 1)),
        np.zeros(1),
        np.ones(1),
        family=get_family("bernoulli"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # separated on purpose
        model = MixtureOfExpertsRegressor(1, family="bernoulli").fit(X, y)
    model._set_parameters(sure)
    axes = plot_residuals(model, X, y)
    assert all(np.isfinite(axis.get_offsets()).all() for axis in axes.collections)
