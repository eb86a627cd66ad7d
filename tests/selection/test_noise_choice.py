"""The noise of the regressor that chooses by cross-validation: its floor, its rounding, that of rows held out."""

import numpy as np
import pytest
from cross_validated import X, Y, fitted
from scipy.stats import norm
from sklearn.model_selection import KFold

from moefast import MixtureOfExpertsRegressor
from moefast.samples import Samples
from moefast.selection.noise_scale import best_noise_scale, with_noise_times
from moefast.validation import check_samples


def test_noise_is_that_of_rows_held_out():
    """Of one expert c^2 is the mean of the squares of what is left over in units of the folds' noise."""
    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(80, 20)), rng.normal(size=(2000, 20))
    y, seen = x[:, 0] + rng.normal(size=80), new[:, 0] + rng.normal(size=2000)
    splits = list(KFold(4).split(x))
    one = {"n_experts": 1, "alphas": 0.1, "gate_alphas": 1.0, "cv": splits}
    model = fitted(x, y, **one)
    squares = []
    for inside, outside in splits:
        alone = MixtureOfExpertsRegressor(1, alpha=0.1, random_state=0).fit(x[inside], y[inside])
        squares.append(((y[outside] - alone.predict(x[outside])) / alone.sigma_) ** 2)
    assert model.noise_scale_ == pytest.approx(np.sqrt(np.mean(squares)), rel=0.01)
    np.testing.assert_allclose(model.sigma_, model.noise_scale_ * model.best_estimator_.sigma_, rtol=1e-15)
    np.testing.assert_array_equal(model.predict(new), model.best_estimator_.predict(new))

    def inside(found):
        low, high = found.predict_interval(new).T
        return np.mean((low < seen) & (seen < high))

    assert inside(model.best_estimator_) < 0.84
    assert inside(model) > 0.88
    assert model.log_likelihood(new, seen) > model.best_estimator_.log_likelihood(new, seen)
    given = fitted(x, y, noise_scale=1.5, **one)
    assert given.sigma_ == pytest.approx(1.5 * model.best_estimator_.sigma_)
    assert given.noise_scale_ == 1.5


@pytest.mark.parametrize("n_responses", [1, 2])
def test_laws_with_more_noise(n_responses):
    """c times the noise is the law of m + c (Y - m), whose density at m + c e is that of Y at m + e over c."""
    rng = np.random.default_rng(0)
    y = np.column_stack([Y, X @ [0.5, 1.0, 0.0] + rng.normal(size=300)])[:, :n_responses]
    y = y[:, 0] if n_responses == 1 else y
    mixture = MixtureOfExpertsRegressor(1).fit(X, y).mixture_
    mean, errors = mixture.mean(X), 0.3 * rng.normal(size=y.shape)
    wide = with_noise_times(mixture, 1.7)
    expected = mixture.log_density(X, mean + errors) - n_responses * np.log(1.7)
    np.testing.assert_allclose(wide.log_density(X, mean + 1.7 * errors), expected, rtol=1e-9)
    held_out = check_samples(X, mean + 1.7 * (y - mean), use="model")
    assert best_noise_scale([mixture], [held_out]) == pytest.approx(1.7, rel=0.01)


def test_families_without_a_scale_have_no_more_noise():
    y = np.random.default_rng(0).poisson(np.exp(0.5 * X[:, 0])).astype(float)
    model = fitted(X, y, family="poisson", n_experts=1)
    assert model.noise_scale_ == 1.0
    np.testing.assert_array_equal(model.score_samples(X, y), model.best_estimator_.score_samples(X, y))


def test_less_noise_is_tried_where_experts_are_at_the_floor():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(400, 2))
    y = np.where(x[:, 0] > 0, 1 + x[:, 1], -1 - 2 * x[:, 1])
    y += np.where(x[:, 0] > 0, 0.3, 0.002) * rng.normal(size=400)
    small = {"n_experts": (1, 2), "alphas": 0.01, "gate_alphas": 0.01, "noise_floor": (0.002, 0.02)}
    model = fitted(x, y, **small)
    floors = model.cv_results_["param_noise_floor"]
    assert [end[0]["noise_floor"] for end in model.path_ends_] == [0.02, 0.002]
    assert model.best_params_["noise_floor"] == model.best_estimator_.noise_floor == 0.002
    assert model.sigma_.min() < 0.01
    best = [model.cv_results_["mean_test_score"][floors == floor].max() for floor in (0.02, 0.002)]
    assert best[1] > best[0] + 0.4
    noisy = fitted(x, y + 0.3 * rng.normal(size=400), **small)
    assert [end[0]["noise_floor"] for end in noisy.path_ends_] == [0.02]
    assert (noisy.cv_results_["param_noise_floor"] == 0.02).all()


def test_rounded_responses_have_the_noise_of_their_rounding():
    """Of which the density is one response a step: else experts tell which of the values comes, by spikes."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(400, 2))
    y = (2.0 * x[:, 0] + 0.7 * rng.normal(size=400)).round()
    floor = norm.pdf(0) / y.std()  # steps of 1
    model = fitted(x, y, noise_floor=(0.002, 0.02))
    assert [end[0]["noise_floor"] for end in model.path_ends_] == [pytest.approx(floor, rel=1e-12)]
    assert model.sigma_.min() > norm.pdf(0) * (1 - 1e-9)
    given = fitted(x, y, noise_floor=0.02)
    assert "noise_floor" not in given.best_params_
    assert given.best_estimator_.noise_floor == 0.02


@pytest.mark.parametrize("unit", [1.0, 1e300, 1e-300])
def test_noise_of_rounding(unit):
    y = np.repeat([1.0, 2.0, 3.0, 7.0], [3, 4, 5, 1]) * unit
    weights = np.arange(1.0, 14.0)
    samples = Samples(np.ones((13, 1)), y, weights)
    mean = np.average(y / unit, weights=weights)
    spread = np.sqrt(np.average((y / unit - mean) ** 2, weights=weights))
    assert norm.pdf(0, scale=samples.rounded_noise * spread) == pytest.approx(1.0, rel=1e-12)
    assert Samples(np.ones((13, 1)), np.arange(13) * unit, weights).rounded_noise == 0.0
    assert Samples(np.ones((13, 1)), np.full(13, unit), weights).rounded_noise == 0.0


@pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning")
def test_the_rounding_of_responses_stays():
    """Without that the density of two values grows, and with it that of rows held out, as the noise falls."""
    model = fitted(X, (Y > 0).astype(float), n_experts=(1, 2), noise_floor=(0.02, 0.002))
    assert model.noise_scale_ >= 1.0
    assert model.sigma_.min() >= 0.999 / np.sqrt(2.0 * np.pi)


@pytest.mark.parametrize("n_responses", [1, 2])
def test_noise_out_of_range_is_refused_and_the_old_fit_stays(n_responses):
    y = Y if n_responses == 1 else np.column_stack([Y, Y**2])
    model = fitted(X, y, noise_scale=1e6, n_experts=1)
    before = dict(vars(model))
    far = 1e304 if n_responses == 1 else 1e149
    with pytest.raises(OverflowError, match=r"times the noise leaves the range of float64.*rescale y"):
        model.fit(X, far * y)
    assert all(vars(model)[name] is value for name, value in before.items())


def test_weights_in_a_unit_near_the_end_of_the_range_choose_the_same():
    """Sums of weights times log-densities leave it where a row is far from the others: found by fuzzing."""
    x, y, w = X[:200], Y[:200].copy(), np.linspace(0.5, 1.0, 200)
    y[0] = 1e5
    one = {"n_experts": (1, 2), "cv": 2, "noise_floor": 1e-7}
    plain, far = (fitted(x, y, unit * w, **one) for unit in (1.0, 2.0**1000))
    assert plain.noise_scale_ != 1.0
    assert far.noise_scale_ == pytest.approx(plain.noise_scale_, rel=1e-6)
