"""Intervals of the regressor that chooses by cross-validation: as far as rows held out say."""

import pickle

import numpy as np
import pytest
from cross_validated import X, Y, fitted
from sklearn.base import clone
from sklearn.model_selection import KFold

from moefast import MixtureOfExpertsRegressor
from moefast.calibration import Calibration
from moefast.selection.gate_shape import FlatGates
from moefast.selection.grid_search import Scored, laws_others_choose
from moefast.selection.noise_scale import with_noise_times
from moefast.validation import check_samples

ONE = {"n_experts": 1, "alphas": 0.1, "gate_alphas": 1.0}


def inside(model, new, seen, **how):
    low, high = model.predict_interval(new, **how).T
    return np.mean((low < seen) & (seen < high))


@pytest.mark.parametrize("noise_scale", ["held-out", 1.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_levels_are_those_of_rows_held_out(noise_scale, weighted):
    """Each under the fit of its fold, with the noise of the predictions."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(99, 3)), rng.uniform(0.5, 2.0, size=99) if weighted else np.ones(99)
    y = x[:, 0] + rng.standard_t(3, size=99)
    splits = list(KFold(4).split(x))
    model = fitted(x, y, w, cv=splits, noise_scale=noise_scale, **ONE)
    below = np.empty(99)
    for rows, out in splits:
        alone = MixtureOfExpertsRegressor(1, alpha=0.1).fit(x[rows], y[rows], w[rows])
        below[out] = with_noise_times(alone.mixture_, model.noise_scale_).cdf(x[out], y[out])
    if not weighted:
        own = np.quantile(np.abs(2 * below - 1), [0.5, 0.9], method="weibull")
        expected = [0.5 - 0.5 * own[1], 0.5 - 0.5 * own[0], 0.5 + 0.5 * own[0], 0.5 + 0.5 * own[1]]
    else:
        expected = Calibration.of(below, w).levels(np.array([0.05, 0.25, 0.75, 0.95]))
    law = model.predict_quantile(x, expected, calibrated=False)
    np.testing.assert_allclose(model.predict_quantile(x, [0.05, 0.25, 0.75, 0.95]), law, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict_interval(x, 0.9), model.predict_quantile(x, [0.05, 0.95]), rtol=1e-12)
    np.testing.assert_array_equal(model.predict_quantile(x, 0.5), model.predict_quantile(x, 0.5, calibrated=False))


def test_the_law_is_left_as_it_is():
    model = fitted()
    law = model.mixture_
    np.testing.assert_array_equal(model.score_samples(X, Y), law.log_density(X, Y))
    np.testing.assert_array_equal(model.cdf(X, Y), law.cdf(X, Y))
    own = model.predict_interval(X, 0.8, calibrated=False)
    assert law.cdf(X, own[:, 0]) == pytest.approx(0.1, rel=1e-8)
    wide = model.predict_interval(X, 0.8)
    tails = law.cdf(X, wide[:, 0])
    assert tails == pytest.approx(tails[0], rel=1e-6)
    assert law.cdf(X, wide[:, 1]) == pytest.approx(1 - tails[0], rel=1e-6)
    assert model.best_estimator_.calibration_ is None
    np.testing.assert_array_equal(
        model.best_estimator_.predict_interval(X), model.best_estimator_.predict_interval(X, calibrated=False)
    )
    with pytest.raises(TypeError, match="calibrated must be True or False"):
        model.predict_interval(X, calibrated="no")


@pytest.mark.parametrize("noise", [lambda rng, n: rng.standard_t(2, size=n), lambda rng, n: rng.uniform(-1, 1, n)])
def test_intervals_hold_what_they_say_whatever_the_noise_is(noise):
    """Over twenty tables of 150 rows. Those of a normal law hold too many, of heavy tails and of none."""
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, new = rng.normal(size=(150, 2)), rng.normal(size=(1000, 2))
        model = fitted(x, x[:, 0] + noise(rng, 150), **ONE)
        seen = new[:, 0] + noise(rng, 1000)
        found.append([inside(model, new, seen, calibrated=calibrated) for calibrated in (True, False)])
    calibrated, of_law = np.mean(found, axis=0)
    assert calibrated == pytest.approx(0.9, abs=0.02)
    assert of_law > 0.935


def test_no_row_has_a_say_in_the_choice_of_the_setting_that_predicts_it():
    """Of three folds the first alone makes the first setting the best."""
    mixture = MixtureOfExpertsRegressor(1).fit(X, Y).mixture_
    laws = [[with_noise_times(mixture, 1.0 + s + 0.1 * i) for i in range(3)] for s in range(2)]
    values = [[np.full(2, v) for v in of] for of in ([9.0, 1.0, 1.0], [1.0, 2.0, 2.0])]

    class Fold:
        def __init__(self, i):
            self.held_out = check_samples(X[10 * i : 10 * i + 10], Y[10 * i : 10 * i + 10], use="model")

    folds = [Fold(i) for i in range(3)]
    scored = [Scored(FlatGates(s + 1), {}, values[s], [np.ones(2)] * 3, laws[s], folds) for s in range(2)]
    assert [one.held_out.mean for one in scored] == pytest.approx([11 / 3, 5 / 3])
    found = laws_others_choose(scored, one_standard_error=False)
    assert found.laws == [laws[1][0], laws[0][1], laws[0][2]]
    assert found.held_out == [fold.held_out for fold in folds]
    # The other two say 1 +- 0 and 2 +- 0 of the first fold, 5 and 1.5 of the others with a large error.
    one = laws_others_choose(scored[::-1], one_standard_error=True)
    assert one.laws == found.laws
    alone = [Scored(o.shape, {}, o.log_density[:1], o.weights[:1], o.laws[:1], folds[:1]) for o in scored]
    assert laws_others_choose(alone, one_standard_error=False).laws == [laws[0][0]]


def test_counts_limits_and_several_responses_have_none():
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.exp(0.5 * X[:, 0])).astype(float)
    assert fitted(X, counts, family="poisson", **ONE).calibration_ is None
    assert fitted(X, np.maximum(Y, 0.0), family="tobit", **ONE).calibration_ is None
    both = fitted(X, np.column_stack([Y, counts]), **ONE)
    assert both.calibration_ is None
    assert both.marginal(0).calibration_ is None
    assert fitted(X, np.exp(Y), family="gamma", **ONE).calibration_ is not None


def test_rows_of_groups_count_each():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 3)
    x = rng.normal(size=(180, 2))
    y = x[:, 0] + np.repeat(rng.choice([-2.0, 2.0], size=60), 3) + 0.3 * rng.laplace(size=180)
    model = fitted(x, y, n_experts=2, alphas=0.1, gate_alphas=1.0, gate_features=[], fit={"groups": groups}, cv=3)
    assert len(model.calibration_.left_out) == 180


def test_clones_and_pickles():
    model = fitted(**ONE)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_interval(X), model.predict_interval(X))
    assert clone(model).calibration_ is None
