"""Units near the ends of the range: the same answers as in others, and no warnings of numpy on the way.

Squares of 1e160 leave the range of float64, those of 1e-170 are 0.
"""

from dataclasses import replace

import numpy as np
import pytest

from moefast import (
    BaggedMixtureOfExperts,
    MixtureOfExpertsClassifier,
    MixtureOfExpertsRegressor,
    MixtureOfExpertsRegressorCV,
    MomentAccumulator,
)
from moefast.datasets import make_moe
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.families import StudentT
from moefast.families.family import Predictors
from moefast.samples import Samples
from moefast.search.random_tree import random_leaves
from moefast.selection.cross_validation import HeldOut

pytestmark = [
    pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

X, Y, TRUTH = make_moe(150, 2, 2, noise=0.5, random_state=0)
FEW = {"n_init": 1, "random_state": 0, "n_threads": 1}
UNITS = [1e-290, 1e-170, 1e160, 1e300]


def fit(X=X, y=Y, **parameters):
    return MixtureOfExpertsRegressor(2, **(FEW | parameters)).fit(X, y)


@pytest.mark.parametrize("unit", UNITS)
def test_r2_knows_no_units(unit):
    np.testing.assert_allclose(fit(y=unit * Y).score(X, unit * Y), fit().score(X, Y), rtol=1e-8)


@pytest.mark.parametrize("unit", UNITS)
def test_standard_errors_know_no_units(unit):
    plain, far = (fit(y=u * Y).inference(X, u * Y) for u in (1.0, unit))
    np.testing.assert_array_equal(far.estimable, plain.estimable)
    slopes = [i for i, (owner, _) in enumerate(plain.names) if "expert" in owner][:2]
    np.testing.assert_allclose(far.bse[slopes], unit * plain.bse[slopes], rtol=1e-6)
    np.testing.assert_allclose(far.pvalues[slopes], plain.pvalues[slopes], rtol=1e-5)
    np.testing.assert_allclose(far.predict(X).se_mean, unit * plain.predict(X).se_mean, rtol=1e-6)
    if unit > 1:
        with pytest.raises(OverflowError, match=r"covariances leave the range of float64 .* take bse"):
            far.cov_params()


@pytest.mark.parametrize("unit", [1e160, 1e300])
def test_separated_gates_are_found_in_any_units(unit):
    y = np.where(X[:, 0] > 0, 1.0, 0.0)
    assert fit(y=unit * y).separated_gates_ == fit(y=y).separated_gates_ != ()


def test_what_rows_fit_exactly_has_no_error():
    result = fit().inference(X, Y)
    result = replace(result, _covariance=np.zeros_like(result._covariance))
    assert not result.bse[result.estimable].any()
    assert np.isinf(result.zvalues[0])
    assert result.pvalues[0] == 0.0
    tiny = replace(result, params=1e300 * result.params, _covariance=1e-200 * np.eye(len(result.params)))
    assert np.isinf(tiny.zvalues[0])


def test_a_standard_error_beyond_the_range_is_named():
    tiny = X * [1.0, 1e-306]
    result = fit(tiny).inference(tiny, Y)
    result = replace(result, _covariance=1e6 * np.eye(len(result.params)))
    with pytest.raises(OverflowError, match=r"the standard error of x1 of \w+ 0 leaves the range .* rescale"):
        _ = result.bse


@pytest.mark.parametrize("kind", ["quadratic", "spline"])
@pytest.mark.parametrize("unit", UNITS)
def test_functions_of_gates_know_no_units(kind, unit):
    plain, far = fit(gate_basis=kind), fit(unit * X, gate_basis=kind)
    np.testing.assert_allclose(far.predict_gates(unit * X), plain.predict_gates(X), atol=1e-6)


@pytest.mark.parametrize("level", [1e-160, 1e-300])
@pytest.mark.parametrize("q", [1, 2])
def test_a_constant_of_tiny_units_without_intercepts(level, q):
    y = np.full(150, level) if q == 1 else np.column_stack([Y, np.full(150, level)])
    assert np.isfinite(fit(y=y, fit_intercept=False).sigma_).all()


@pytest.mark.parametrize("unit", [1e160, 1e300])
def test_the_spread_of_an_average(unit):
    def spread(u):
        model = BaggedMixtureOfExperts(
            MixtureOfExpertsRegressor(2, **FEW), n_replicates=2, n_folds=None, random_state=0
        )
        return model.fit(X, u * Y).predict_spread(X)

    for far, plain in zip(spread(unit), spread(1.0), strict=True):
        np.testing.assert_allclose(far / unit, plain, rtol=1e-5, atol=1e-8)


def test_labels_beyond_whole_numbers():
    labels = np.where(Y > 0, 1e300, 1.0)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        MixtureOfExpertsClassifier(2, **FEW).fit(X, labels)


@pytest.mark.parametrize("unit", [1e-155, 1e80])  # squares of the first are denormal
def test_whitening_knows_no_units(unit):
    plain, far = (MomentAccumulator(2, 2).update(u * X, Y).score_moments().whitening for u in (1.0, unit))
    np.testing.assert_allclose(unit * far @ (unit * far).T, plain @ plain.T, rtol=1e-8)


@pytest.mark.parametrize("parameters", [{"gate_features": []}, {"family": "bernoulli", "max_iter": 10}])
def test_inference_of_denormal_weights(parameters):
    X_few, y, weights = X[:12], Y[:12] if "family" not in parameters else Y[:12] > 0, np.full(12, 1e-320)
    model = MixtureOfExpertsRegressor(**FEW, **parameters).fit(X_few, y, weights)
    result = model.inference(X_few, y, weights)
    assert np.isfinite(result.bse[result.estimable]).all()


def test_what_is_hardly_known_is_not_known():
    y = (X[:, 0] + 0.1 * X[:, 1] > 0).astype(float)
    model = fit(y=y, family="bernoulli", gate_alpha=0.0, gate_basis="quadratic", max_iter=10)
    result = model.inference(X, y)
    assert np.isfinite(result.bse[result.estimable]).all()


# ---- rows that are far from everything ------------------------------------------------------------------


def test_held_out_rows_that_are_far_away_and_weights_of_any_size():
    density, weights = np.array([-1.0, -2.0, -4.0]), np.array([1.0, 2.0, 1.0])
    plain = HeldOut.of(density, weights)
    assert HeldOut.of(density, 1e300 * weights).mean == pytest.approx(plain.mean, rel=1e-12)
    expected = np.sqrt(np.sum(weights * (density - plain.mean) ** 2)) / 4.0
    assert plain.standard_error == pytest.approx(expected, rel=1e-12)
    assert HeldOut.of(density, 1e300 * weights).standard_error == pytest.approx(1e-150 * expected, rel=1e-12)
    far = HeldOut.of(1e200 * density, weights)
    assert far.mean == pytest.approx(1e200 * plain.mean, rel=1e-12)
    assert far.standard_error == pytest.approx(1e200 * plain.standard_error, rel=1e-12)


@pytest.mark.parametrize("z", [1e99, 1.0001e100, 1e200, 1e307])
def test_the_tail_of_students_t(z):
    # (1 + z^2 / nu) is z^2 / nu to the last bit out there.
    of = Predictors(np.zeros((1, 1)), np.ones(1), np.array([3.0]))
    near = StudentT(3.0).log_density(of, np.array([[1e10]])).item()
    found = StudentT(3.0).log_density(of, np.array([[z]])).item()
    assert found == pytest.approx(near - 4.0 * np.log(z / 1e10), rel=1e-12)


def test_a_row_that_no_expert_knows_is_as_the_gates_have_it():
    problem = EmProblem(Samples(X, Y, np.ones(150)), EmOptions())
    narrow = replace(TRUTH.to_standard(problem.standardisation), sigma=np.full(2, 1e-200))
    found = problem.responsibilities(narrow)
    np.testing.assert_array_equal(found, narrow.gates(problem.Z))


def test_leaves_do_not_depend_on_the_unit_of_the_weights():
    weights = np.random.default_rng(0).uniform(size=150)
    plain, huge = (random_leaves(X, Y, u * weights, 4, np.random.default_rng(0)) for u in (1.0, 2.0**990))
    np.testing.assert_array_equal(plain, huge)
    assert len(np.unique(plain)) > 1


def test_parameters_of_single_precision_beside_huge_weights():
    model = MixtureOfExpertsRegressor(2, family="tobit", alpha=np.float32(0.5), **FEW)
    assert np.isfinite(model.fit(X, np.maximum(Y, 0.0), np.full(150, 1e300)).coef_).all()


def test_cross_validation_takes_weights_of_any_size():
    few = {
        "alphas": (0.1,),
        "gate_alphas": (0.1,),
        "gate_basis": "linear",
        "cv": 2,
        "random_state": 0,
        "max_iter": 20,
    }
    model = MixtureOfExpertsRegressorCV((1, 2), **few).fit(X, Y, sample_weight=np.full(150, 1e300))
    assert model.score(X, Y) > 0.5
