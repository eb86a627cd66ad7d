"""Features whose units are changed as the core reads them, against those that are standardised at once."""

import numpy as np
import pytest

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.em import standard_features as module
from moefast.em.standard_features import StandardFeatures
from moefast.links import LINKS
from moefast.samples import Samples
from moefast.standardisation import Standardisation

X, Y, TRUTH = make_moe(3000, 4, 2, random_state=0)
X = X * [1.0, 1e3, 1e-3, 2.0] + [0.0, -5e3, 1.0, 3.0]
W = np.random.default_rng(0).uniform(0.5, 2.0, size=3000)


@pytest.fixture
def lazy(monkeypatch):
    """Nothing is small."""
    monkeypatch.setattr(module, "_MOST_NUMBERS", 0)
    monkeypatch.setattr(module, "_BLOCK", 1000)


def test_rows_blocks_and_forms_are_those_of_the_array(lazy):
    units = Standardisation.of(Samples(X, Y, W), x="centred")
    wanted = units.features(X)
    features = StandardFeatures.of(X, units)
    assert features.values is X
    assert features.shape == X.shape
    np.testing.assert_array_equal(features.array, wanted)
    rows = np.random.default_rng(1).uniform(size=3000) < 0.2
    np.testing.assert_array_equal(features.subset(rows).array, wanted[rows])
    np.testing.assert_array_equal(features.subset(np.array([7, 3])).array, wanted[[7, 3]])
    coef = np.array([1.0, -2.0, 0.5, 3.0])
    np.testing.assert_allclose(features.linear_form(coef), wanted @ coef, rtol=1e-12, atol=1e-12)


def test_small_tables_and_extreme_units_are_standardised_at_once(lazy, monkeypatch):
    extreme = X * [1.0, 1e200, 1.0, 1.0]
    units = Standardisation.of(Samples(extreme, Y, W), x="centred")
    assert StandardFeatures.of(extreme, units).units is None
    monkeypatch.setattr(module, "_MOST_NUMBERS", X.size)
    units = Standardisation.of(Samples(X, Y, W), x="centred")
    features = StandardFeatures.of(X, units)
    assert features.units is None
    np.testing.assert_array_equal(features.array, units.features(X))


@pytest.mark.parametrize("link", ["linear", "relu"])
@pytest.mark.parametrize("columns", [None, (0, 2)])
@pytest.mark.parametrize("intercepts", [True, False])
def test_a_problem_is_the_same(monkeypatch, link, columns, intercepts):
    options = EmOptions(
        expert_columns=columns, fit_intercept=intercepts, fit_gate_intercept=intercepts, max_iter=20, n_threads=1
    )
    samples = Samples(X, Y, W)
    at_once = EmProblem(samples, options, LINKS[link])
    monkeypatch.setattr(module, "_MOST_NUMBERS", 0)
    read = EmProblem(samples, options, LINKS[link])
    assert at_once.features.units is None
    assert read.features.units is not None
    assert read.expert_design.rank == at_once.expert_design.rank
    start = TRUTH.to_standard(read.standardisation)
    for one, other in zip(read.derivatives(start), at_once.derivatives(start), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * np.abs(other).max())
    rows = np.arange(0, 3000, 7)
    np.testing.assert_allclose(read.row_scores(start, rows), at_once.row_scores(start, rows), rtol=1e-9)
    one, other = read.run(start), at_once.run(start)
    np.testing.assert_allclose(one.trace, other.trace, rtol=1e-9)
    np.testing.assert_allclose(one.mixture.coef, other.mixture.coef, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("small", [True, False])
def test_single_precision_gives_the_fit_of_the_same_numbers_in_double(monkeypatch, small):
    if not small:
        monkeypatch.setattr(module, "_MOST_NUMBERS", 0)
    single = X[:600].astype(np.float32)
    a, b = (
        MixtureOfExpertsRegressor(2, n_init=2, random_state=0, n_threads=1).fit(x, Y[:600])
        for x in (single, single.astype(np.float64))
    )
    np.testing.assert_array_equal(a.coef_, b.coef_)
    assert a.log_likelihood_ == b.log_likelihood_
    np.testing.assert_array_equal(a.predict(single), b.predict(single.astype(np.float64)))


@pytest.mark.parametrize("polish", [True, False])
def test_a_fit_keeps_features_in_single_precision_as_they_are(lazy, monkeypatch, polish):
    read = []
    of = StandardFeatures.of
    monkeypatch.setattr(StandardFeatures, "of", lambda X, units: read.append(X) or of(X, units))
    single = X.astype(np.float32)
    MixtureOfExpertsRegressor(2, n_init=1, polish=polish, random_state=0, n_threads=1).fit(single, Y)
    assert read[0].dtype == np.float32
    assert np.shares_memory(read[0], single)
