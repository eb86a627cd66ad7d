"""Estimators whose experts are pulled towards their mean, or use few columns: what users see of it."""

import numpy as np
import pytest

from moefast import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, load_model, save_model
from moefast.datasets import make_moe
from moefast.exceptions import DegenerateDataWarning

COEF = np.random.default_rng(1).normal(size=8) + 0.2 * np.random.default_rng(2).normal(size=(3, 8))


def similar_experts(n, seed, noise=1.0):
    """Regions whose regressions differ little beside what they have in common."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8))
    expert = np.digitize(X[:, 0], [-0.5, 0.5])
    return X, 3.0 * expert + np.einsum("nd,nd->n", X, COEF[expert]) + noise * rng.normal(size=n)


def test_a_large_ridge_towards_the_mean_is_one_regression():
    X, y = similar_experts(300, seed=0)
    model = MixtureOfExpertsRegressor(3, alpha=1e7, alpha_towards="mean", gate_alpha=0.1, random_state=0).fit(X, y)
    np.testing.assert_allclose(model.coef_, np.broadcast_to(model.coef_[0], model.coef_.shape), atol=1e-4)
    assert np.ptp(model.intercept_) > 2.0
    towards_zero = MixtureOfExpertsRegressor(3, alpha=1e7, gate_alpha=0.1, random_state=0).fit(X, y)
    assert np.abs(towards_zero.coef_).max() < 1e-3


def test_standard_errors_are_those_of_one_slope_for_all():
    X, y, truth = make_moe(1500, 3, 3, noise=0.5, random_state=0)

    def errors(alpha):
        model = MixtureOfExpertsRegressor(3, alpha=alpha, alpha_towards="mean", gate_alpha=0.1, start=truth)
        with pytest.warns(DegenerateDataWarning, match="experts are shrunk"):
            return model.fit(X, y).inference(X, y, cov_type="nonrobust").bse[:12].reshape(3, 4)[:, :3]

    weak, strong = errors(1e-3), errors(1e7)
    assert np.ptp(weak, axis=0).min() > 1e-3
    np.testing.assert_allclose(strong, np.broadcast_to(strong[0], strong.shape), rtol=1e-3)  # one slope for all


def test_slopes_that_differ_little_are_nearer_the_truth_from_their_mean():
    def error(**options):
        total = 0.0
        for seed in range(4):
            X, y = similar_experts(100, seed, noise=0.4)
            model = MixtureOfExpertsRegressor(3, noise="shared", gate_features=[0], gate_alpha=0.1, **options)
            model.set_params(start=np.digitize(X[:, 0], [-0.5, 0.5])).fit(X, y)
            truth = COEF[np.argsort(np.argsort(model.intercept_))]  # intercepts grow with the expert
            total += ((model.coef_ - truth) ** 2).mean()
        return total

    towards_zero = min(error(alpha=alpha) for alpha in (0.0, 0.1, 0.3, 1.0, 3.0))
    assert error(alpha=4.0, alpha_towards="mean") < 0.8 * towards_zero


def test_columns_without_effect_are_named_by_the_lasso():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 12))
    y = np.where(X[:, 0] > 0, 3.0 + 2.0 * X[:, 1], -2.0 * X[:, 2]) + 0.5 * rng.normal(size=300)
    fresh = rng.normal(size=(3000, 12))
    of_fresh = np.where(fresh[:, 0] > 0, 3.0 + 2.0 * fresh[:, 1], -2.0 * fresh[:, 2]) + 0.5 * rng.normal(size=3000)
    lasso = MixtureOfExpertsRegressor(2, alpha=1.0, l1_ratio=1.0, gate_alpha=0.1, random_state=0).fit(X, y)
    ridge = MixtureOfExpertsRegressor(2, alpha=3.0, gate_alpha=0.1, random_state=0).fit(X, y)  # the best of ridges
    order = np.argsort(-np.abs(lasso.coef_[:, 1]))
    assert lasso.coef_[order[0], 1] > 1.5
    assert lasso.coef_[order[1], 2] < -1.5
    assert np.count_nonzero(lasso.coef_ == 0) >= 4
    assert lasso.score_samples(fresh, of_fresh).mean() > ridge.score_samples(fresh, of_fresh).mean()
    assert lasso.n_parameters_ == ridge.n_parameters_ - np.count_nonzero(lasso.coef_ == 0)


def test_classes_take_both():
    X, y = similar_experts(300, seed=5)
    labels = y + 4.0 * np.random.default_rng(7).normal(size=300) > np.median(y)
    shared = MixtureOfExpertsClassifier(2, alpha=1e5, alpha_towards="mean", gate_alpha=0.1, random_state=0)
    shared.fit(X, labels)
    np.testing.assert_allclose(shared.coef_[0], shared.coef_[1], atol=1e-3)
    assert np.abs(shared.coef_).max() > 0.1
    few = MixtureOfExpertsClassifier(2, alpha=10.0, l1_ratio=1.0, gate_alpha=0.1, random_state=0).fit(X, labels)
    assert (few.coef_ == 0).any()


def test_files_keep_them(tmp_path):
    X, y = similar_experts(200, seed=6)
    model = MixtureOfExpertsRegressor(2, alpha=5.0, l1_ratio=0.5, gate_alpha=0.1, n_init=2, random_state=0).fit(
        X, y
    )
    save_model(model, tmp_path / "model.json")
    again = load_model(tmp_path / "model.json")
    assert (again.alpha_towards, again.l1_ratio) == ("zero", 0.5)
    np.testing.assert_array_equal(again.coef_, model.coef_)


def test_a_ridge_beyond_rounding_is_refused():
    X = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(ValueError, match=r"alpha must be at most 1e\+12 with alpha_towards='mean', got 1e\+20"):
        MixtureOfExpertsRegressor(2, alpha=1e20, alpha_towards="mean").fit(X, X[:, 0])
