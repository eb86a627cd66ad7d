"""Pictures of other families: uniform where the model is right, labels that say what predictors are of."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from moefast import MixtureOfExpertsRegressor
from moefast.families import Tobit, get_family
from moefast.mixture import Mixture
from moefast.plotting import (
    plot_calibration,
    plot_coefficients,
    plot_experts,
    plot_explained,
    plot_fit,
    plot_quantile_residuals,
    plot_residuals,
)
from moefast.plotting.calibration import probability_below
from moefast.samples import NO_TERMS, RowTerms

# 800 rows of 0 and 1 hardly tell two experts apart, and EM goes on and on.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FAMILIES = ["student_t", "poisson", "negative_binomial", "gamma", "binomial", "bernoulli", Tobit(-0.5)]


def fitted(family):
    """A fit with an offset, its data and the terms of their rows."""
    family, rng = get_family(family), np.random.default_rng(0)
    coef, gates = np.array([[0.7], [-0.5]]), np.array([[3.0], [0.0]])
    sigma = np.full(2, 0.3 if family.has_scale else 1.0)
    truth = Mixture(coef, np.zeros(2), gates, np.zeros(2), sigma, family=family, shape=np.full(2, 4.0))
    X = rng.normal(size=(800, 1))
    terms = RowTerms(0.2 * rng.normal(size=800), np.full(800, 8.0) if family.name == "binomial" else None)
    y = truth.draw(X, rng, terms)
    model = MixtureOfExpertsRegressor(2, family=family, n_init=3, random_state=0, n_threads=1)
    return model.fit(X, y, offset=terms.offset, n_trials=terms.n_trials), X, y, terms, truth


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_calibration_is_flat_where_the_model_is_right(family):
    model, X, y, terms, truth = fitted(family)
    below = probability_below(truth, X, y, terms)
    assert stats.kstest(below, "uniform").pvalue > 1e-3
    given = {"offset": terms.offset, "n_trials": terms.n_trials}
    ax = plot_calibration(model, X, y, n_bins=5, **given, ax=Figure().subplots())
    heights = [bar.get_height() for bar in ax.containers[0]]
    np.testing.assert_allclose(heights, 1.0, atol=0.35)
    ax = plot_quantile_residuals(model, X, y, **given, ax=Figure().subplots())
    middle = np.abs(ax.lines[0].get_xdata()) < 1.5
    np.testing.assert_allclose(ax.lines[0].get_ydata()[middle], ax.lines[0].get_xdata()[middle], atol=0.3)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "binomial"], ids=str)
def test_all_pictures_can_be_drawn(family):
    model, X, y, _, _ = fitted(family)
    plot_experts(model, X, y)
    plot_fit(model, X, y)
    plot_explained(model, X, y, ax=Figure().subplots())
    plot_residuals(model, X, y, ax=Figure().subplots())
    label = plot_coefficients(model, X, ax=Figure().subplots()).get_xlabel().replace("\n", " ")
    wanted = "y" if get_family(family).is_location else get_family(family).predicts
    assert label.startswith(f"change of {wanted} per")


def test_offset_and_trials_of_the_rows_are_in_what_is_explained():
    model, X, y, terms, _ = fitted("binomial")
    given = {"offset": terms.offset, "n_trials": terms.n_trials}
    ax = plot_explained(model, X, y, **given, ax=Figure().subplots())
    drawn = np.vstack([collection.get_offsets() for collection in ax.collections])[:, 0]
    owner = model.assign(X, y, **given)
    law = model.predict_experts(X, **given)[np.arange(len(y)), owner]
    np.testing.assert_allclose(np.sort(drawn), np.clip(np.sort(law), *ax.get_xlim()))
    of_rows = plot_residuals(model, X, y, **given, ax=Figure().subplots())
    assert np.abs(np.vstack([c.get_offsets() for c in of_rows.collections])[:, 1]).mean() < 1.5


def test_a_response_without_jumps_has_its_distribution_function():
    model, X, y, terms, _ = fitted("gamma")
    np.testing.assert_array_equal(probability_below(model.mixture_, X, y, NO_TERMS), model.cdf(X, y))
    assert terms.offset is not None
