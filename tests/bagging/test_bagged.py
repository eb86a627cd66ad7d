"""The average of refits: what it is made of, what it promises, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.special import logsumexp
from sklearn.base import clone

from moefast import (
    BaggedMixtureOfExperts,
    HierarchicalMixtureOfExpertsRegressor,
    MixtureOfExpertsRegressor,
    MixtureOfExpertsRegressorCV,
)
from moefast.bagging.agreement import Agreement
from moefast.bagging.out_of_bag import OutOfBag
from moefast.bagging.replicates import drawn
from moefast.calibration import Calibration
from moefast.mixture import Mixture
from moefast.plotting import plot_calibration, plot_coefficients, plot_gates, plot_search
from moefast.validation import check_samples


def data(n=300, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    right = X[:, 0] + 0.3 * rng.logistic(size=n) > 0
    return X, np.where(right, 2 + X[:, 1], -1 - X[:, 1]) + 0.3 * rng.normal(size=n)


def bagged(k=2, n_replicates=10, **parameters):
    estimator = MixtureOfExpertsRegressor(k, n_init=2, max_iter=50, alpha=1.0, gate_alpha=1e-2)
    return BaggedMixtureOfExperts(estimator, n_replicates=n_replicates, random_state=0, **parameters)


@pytest.fixture(scope="module")
def fitted():
    return bagged().fit(*data())


def test_the_law_is_the_average_of_the_replicates(fitted):
    X, y = data(50, seed=1)
    of_each = [one.mixture_ for one in fitted.estimators_]
    mean, c = np.mean([one.predict(X) for one in fitted.estimators_], axis=0), fitted.spread_
    moved = mean + (y - mean) / c
    expected = logsumexp([one.log_density(X, moved) for one in of_each], axis=0) - np.log(10) - np.log(c)
    assert fitted.score_samples(X, y) == pytest.approx(expected, rel=1e-12)
    assert fitted.log_likelihood(X, y) == pytest.approx(expected.sum(), rel=1e-12)
    assert fitted.predict(X) == pytest.approx(mean)
    low, high = fitted.predict_interval(X, 0.8, calibrated=False).T
    assert fitted.cdf(X, low) == pytest.approx(0.1, rel=1e-8)
    assert fitted.cdf(X, high) == pytest.approx(0.9, rel=1e-8)
    assert fitted.predict_quantile(X, 0.1, calibrated=False) == pytest.approx(low)


@pytest.mark.parametrize("unit", [1e-200, 1e156])
def test_units_whose_squares_leave_the_range_of_floats(fitted, unit):
    X, y = data()
    far = bagged().fit(X, y * unit)
    assert far.spread_ == pytest.approx(fitted.spread_, rel=1e-9)
    for name in ("predict", "predict_interval"):
        np.testing.assert_allclose(getattr(far, name)(X) / unit, getattr(fitted, name)(X), rtol=1e-6)
    np.testing.assert_allclose(
        far.predict(X, return_std=True)[1] / unit, fitted.predict(X, return_std=True)[1], 1e-6
    )
    assert far.out_of_bag_log_likelihood_ + np.log(unit) == pytest.approx(fitted.out_of_bag_log_likelihood_)


def test_what_one_fit_has_is_told_where_it_is_asked_for(fitted):
    X, _ = data()
    for picture in (plot_coefficients, plot_gates, plot_search):
        with pytest.raises(AttributeError, match=r"one of its replicates, model.estimators_\[0\]"):
            picture(fitted, X) if picture is not plot_search else picture(fitted)
    assert plot_coefficients(fitted.estimators_[0], X, ax=Figure().subplots()).lines
    with pytest.raises(AttributeError, match="compare averages by out_of_bag_log_likelihood_"):
        _ = fitted.bic_
    with pytest.raises(AttributeError, match=r"see agreement\(X, y\)"):
        fitted.summary()
    with pytest.raises(AttributeError, match=r"no attribute 'summaries'$"):
        _ = fitted.summaries
    assert not hasattr(fitted, "coef_")


def test_out_of_bag_is_of_rows_that_replicates_have_not_seen(fitted):
    X, y = data()
    draws = drawn(check_samples(X, y), 10, 5, np.random.default_rng(0))
    assert (np.sum([draw.left_out for draw in draws], axis=0) == 2).all()
    expected, c = np.empty(len(y)), fitted.spread_
    errors, between = np.empty(len(y)), np.empty(len(y))
    for n in range(len(y)):
        unseen = [one for one, draw in zip(fitted.estimators_, draws, strict=True) if draw.left_out[n]]
        means = [one.predict(X[n : n + 1])[0] for one in unseen]
        errors[n], between[n] = y[n] - np.mean(means), np.var(means, ddof=1)
        moved = np.mean(means) + errors[n : n + 1] / c
        of_row = [one.mixture_.log_density(X[n : n + 1], moved)[0] for one in unseen]
        expected[n] = logsumexp(of_row) - np.log(2) - np.log(c)
    assert fitted.out_of_bag_score_samples_ == pytest.approx(expected, rel=1e-10)
    assert fitted.out_of_bag_log_likelihood_ == pytest.approx(expected.mean(), rel=1e-10)
    # It is about what new rows see.
    new = fitted.score_samples(*data(3000, seed=2)).mean()
    assert fitted.out_of_bag_log_likelihood_ == pytest.approx(new, abs=0.15)
    # Errors of two replicates have v / 2 more than none, those of ten v / 10.
    found = OutOfBag(fitted.mixture_.parts, np.array([draw.left_out for draw in draws]), check_samples(X, y))
    shrunk = np.sqrt(1 - between.mean() * (1 / 2 - 1 / 10) / np.mean(errors**2))
    assert found.shrunk(10) == pytest.approx(shrunk, rel=1e-9)
    # No other c makes them likelier.
    assert found.best_spread(10) == c
    tried = [found.log_density(c * factor, shrunk).mean() for factor in (0.7, 0.97, 1.0, 1.03, 1.4)]
    assert np.argmax(tried) == 2
    assert found.score(10) == pytest.approx(found.log_density(c, shrunk).mean())
    # An interval that should leave out a share reaches to where so many of the shrunken rows lie beyond.
    below = found.cdf(c, shrunk)
    own = np.quantile(2 * np.minimum(below, 1 - below), 0.1, method="weibull")
    expected = fitted.predict_quantile(X, [0.5 * own, 1 - 0.5 * own], calibrated=False)
    np.testing.assert_allclose(fitted.predict_interval(X, 0.9), expected, rtol=1e-9)


def test_intervals_count_rows_by_their_weights_and_leave_out_those_that_all_have_seen(fitted):
    rng = np.random.default_rng(0)
    X, y = data(80)
    unseen, w = rng.uniform(size=(10, 80)) < 0.3, rng.uniform(0.2, 3.0, size=80)
    unseen[:, :5] = False
    found = OutOfBag(fitted.mixture_.parts, unseen, check_samples(X, y, w))
    known, q = unseen.any(axis=0), np.array([0.05, 0.3, 0.95])
    expected = Calibration.of(found.cdf(1.0, found.shrunk(10))[known], w[known])
    np.testing.assert_array_equal(found.calibration(1.0, 10).levels(q), expected.levels(q))
    assert OutOfBag(found.parts, np.zeros((10, 80), dtype=bool), found.samples).calibration(1.0, 10) is None


def test_out_of_bag_scores_count_rows_by_their_weights(fitted):
    rng = np.random.default_rng(0)
    X, y = data(80)
    unseen, w = rng.uniform(size=(10, 80)) < 0.5, rng.uniform(0.2, 3.0, size=80)
    unseen[:, 0] = False
    found = OutOfBag(fitted.mixture_.parts, unseen, check_samples(X, y, w))
    expected, errors, fewer = np.zeros(80), np.zeros(80), np.zeros(80)
    for n in range(1, 80):
        parts = [part for part, one in zip(found.parts, unseen[:, n], strict=True) if one]
        means = [part.mean(X[n : n + 1])[0] for part in parts]
        errors[n], fewer[n] = y[n] - np.mean(means), np.var(means, ddof=1) * (1 / len(parts) - 1 / 10)
        moved = np.mean(means) + errors[n : n + 1] * 0.8 / 1.3
        expected[n] = np.log(np.mean([np.exp(part.log_density(X[n : n + 1], moved)[0]) for part in parts]) / 1.3)
    assert found.of_row(1.3, 0.8) == pytest.approx(np.average(expected[1:], weights=w[1:]), rel=1e-9)
    assert found.shrunk(10) == pytest.approx(np.sqrt(1 - w @ fewer / (w @ errors**2)), rel=1e-9)


def test_laws_that_are_too_narrow_are_spread(fitted):
    X, y = data(2000, seed=3)
    mean = fitted.mixture_.mean(X)
    unseen = np.ones((10, 2000), dtype=bool)
    found = OutOfBag(fitted.mixture_.parts, unseen, check_samples(X, mean + 1.4 * (y - mean)))
    c = found.best_spread(10)
    assert c > 1.2
    assert np.argmax([found.of_row(c * factor, found.shrunk(10)) for factor in (0.97, 1.0, 1.03)]) == 1


def test_weights_are_those_of_the_bootstrap():
    X, y = data(400)
    weights = np.where(np.arange(400) < 200, 1.0, 3.0)
    draws = drawn(check_samples(X, y, weights), 200, None, np.random.default_rng(0))
    found = np.array([draw.weights for draw in draws])
    assert not any(draw.left_out.any() for draw in draws)
    # a gamma variable of shape w: mean and variance w
    for rows, w in ((slice(0, 200), 1.0), (slice(200, 400), 3.0)):
        assert found[:, rows].mean() == pytest.approx(w, rel=0.03)
        assert found[:, rows].var() == pytest.approx(w, rel=0.05)
    left = drawn(check_samples(X, y), 5, 5, np.random.default_rng(0))
    assert all(((draw.weights == 0) == draw.left_out).all() for draw in left)


def test_groups_share_one_weight_and_are_left_out_together():
    X, y = data(120)
    groups = np.arange(120) % 40
    X[:, 0] = X[groups, 0]
    samples = check_samples(X, y, groups=groups)
    for draw in drawn(samples, 4, 4, np.random.default_rng(0)):
        of_groups = draw.weights.reshape(40, 3)
        assert (of_groups == of_groups[:, :1]).all()
        assert draw.left_out.reshape(40, 3).all(axis=1).sum() == 10
    estimator = MixtureOfExpertsRegressor(2, gate_features=[0], n_init=2)
    model = BaggedMixtureOfExperts(estimator, n_replicates=4, random_state=0).fit(X, y, groups=groups)
    of_groups = np.array(
        [
            logsumexp(
                [
                    np.log(model.mixture_.gates(X[groups == g][:1])[0, j])
                    + model.mixture_.joint_log_density(X[groups == g], y[groups == g])[:, j].sum()
                    - np.log(model.mixture_.gates(X[groups == g])[:, j]).sum()
                    for j in range(8)
                ]
            )
            for g in range(40)
        ]
    )
    assert model.log_likelihood(X, y, groups=groups) == pytest.approx(of_groups.sum(), rel=1e-9)


def test_uncertainty_is_within_and_between_replicates(fitted):
    X, _ = data(40, seed=1)
    means = np.array([one.predict(X) for one in fitted.estimators_])
    within, between = fitted.predict_spread(X)
    assert between == pytest.approx(means.std(axis=0), rel=1e-9)
    mean, std = fitted.predict(X, return_std=True)
    assert np.hypot(within, between) == pytest.approx(std, rel=1e-9)
    sure = fitted.mean_prediction(X)
    assert sure.mean == pytest.approx(mean)
    assert fitted.mean_replicates(X) == pytest.approx(means.T)
    low, high = np.quantile(means, [0.25, 0.75], axis=0)
    assert sure.se_mean == pytest.approx((high - low) / 1.3489795, rel=1e-6)


def wave(n, seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n, 1))
    return X, np.sin(3 * X[:, 0]) + 0.2 * rng.normal(size=n)


def test_spread_makes_intervals_cover():
    """Of many experts the average is too wide without it."""
    new, seen = wave(4000, seed=3)
    estimator = MixtureOfExpertsRegressor(8, alpha=0.1, gate_alpha=1e-3, n_init=2, max_iter=100)
    model = BaggedMixtureOfExperts(estimator, n_replicates=20, random_state=0).fit(*wave(600, seed=0))
    plain = clone(model).set_params(spread=1.0).fit(*wave(600, seed=0))
    low, high = model.predict_interval(new).T
    wide = plain.predict_interval(new, calibrated=False)
    assert np.mean((wide[:, 0] < seen) & (seen < wide[:, 1])) > 0.94
    assert np.mean((low < seen) & (seen < high)) == pytest.approx(0.9, abs=0.03)
    assert model.log_likelihood(new, seen) > plain.log_likelihood(new, seen)


def test_a_choice_is_made_by_rows_left_out():
    X, y = data()
    estimators = [MixtureOfExpertsRegressor(k, n_init=2, max_iter=50, gate_alpha=1e-2) for k in (1, 2)]
    model = BaggedMixtureOfExperts(estimators, n_replicates=21, random_state=0).fit(X, y)
    assert model.estimator_.n_experts == 2
    assert model.candidates_[1] is model.estimator_
    assert len(model.candidate_scores_) == 2
    assert model.candidate_scores_[1] > model.candidate_scores_[0] + 0.3
    # The replicates by which the choice was made are those of the estimator alone.
    alone = BaggedMixtureOfExperts(estimators[1], n_replicates=21, random_state=0).fit(X, y)
    assert alone.candidates_ == alone.candidate_scores_ == []
    assert all((a.coef_ == b.coef_).all() for a, b in zip(model.estimators_, alone.estimators_, strict=True))


def test_default_learns():
    X, y = data(120)
    model = BaggedMixtureOfExperts(n_replicates=6, random_state=0).fit(X, y)
    new, seen = data(500, seed=2)
    assert model.score_samples(new, seen).mean() > -2.0  # one normal: -2.2


def test_warm_replicates_begin_at_the_fit():
    X, y = data()
    model = bagged(start="warm").fit(X, y)
    base = model.estimator_.start
    best = MixtureOfExpertsRegressor(2, alpha=1.0, gate_alpha=1e-2, random_state=1).fit(X, y)
    assert base.log_likelihood_ == pytest.approx(best.log_likelihood_, abs=0.1)
    assert 0.005 < model.agreement(X, y).coef_spread.max() < 0.1
    assert all(len(one.fit_report_.starts) == 1 for one in model.estimators_)


@pytest.mark.parametrize("start", ["cold", "warm"])
def test_trees_of_gates_are_averaged(start):
    """The law is the average of those of the trees, each the fit of a tree to the weights of its draw."""
    X, y = data(200)
    tree = HierarchicalMixtureOfExpertsRegressor((2, 2), n_init=2, max_iter=20, gate_alpha=0.1)
    model = BaggedMixtureOfExperts(tree, n_replicates=3, n_folds=None, start=start, random_state=0).fit(X, y)
    assert [one.branches_ for one in model.estimators_] == [(2, 2)] * 3
    densities = [np.exp(one.score_samples(X, y)) for one in model.estimators_]
    np.testing.assert_allclose(np.exp(model.score_samples(X, y)), np.mean(densities, axis=0), rtol=1e-10)
    assert model.agreement(X, y).coef.shape == (4, 2)
    assert len({one.coef_.tobytes() for one in model.estimators_}) == 3


def test_an_estimator_that_chooses_is_asked_once():
    X, y = data()
    chooses = MixtureOfExpertsRegressorCV((1, 2), alphas=1.0, gate_alphas=1e-2, gate_basis="linear", cv=3)
    model = BaggedMixtureOfExperts(chooses, n_replicates=4, random_state=0).fit(X, y)
    assert type(model.estimator_) is MixtureOfExpertsRegressor
    assert [one.n_experts for one in model.estimators_] == [2] * 4
    assert all(one.alpha == 1.0 and one.gate_alpha == 1e-2 for one in model.estimators_)
    assert not hasattr(model.estimator_, "coef_")


def test_the_same_whatever_the_number_of_processes_and_again():
    X, y = data(80)
    model = bagged(n_replicates=3)
    first = model.fit(X, y).predict(X)
    assert (clone(model).fit(X, y).predict(X) == first).all()
    assert (clone(model).set_params(n_jobs=2).fit(X, y).predict(X) == first).all()
    assert (clone(model).set_params(random_state=1).fit(X, y).predict(X) != first).any()


def test_rows_of_weight_zero_are_not_there():
    X, y = data(90)
    weights = np.where(np.arange(90) < 80, 1.0, 0.0)
    some = bagged(n_replicates=4).fit(X, y, weights)
    few = bagged(n_replicates=4).fit(X[:80], y[:80])
    assert some.predict(X) == pytest.approx(few.predict(X), rel=1e-9)


def test_families_and_their_terms():
    rng = np.random.default_rng(0)
    X, exposure = rng.normal(size=(200, 1)), rng.uniform(1, 5, size=200)
    y = rng.poisson(exposure * np.exp(0.5 * X[:, 0]))
    estimator = MixtureOfExpertsRegressor(1, family="poisson")
    model = BaggedMixtureOfExperts(estimator, n_replicates=10, random_state=0).fit(X, y, offset=np.log(exposure))
    assert model.spread_ == 1.0
    rate = model.predict([[0.0], [1.0]])
    assert rate[1] / rate[0] == pytest.approx(np.exp(0.5), rel=0.1)
    assert model.predict([[0.0]], offset=np.log(2)) == pytest.approx(2 * rate[:1])
    assert np.isfinite(model.score_samples(X, y, offset=np.log(exposure))).all()
    assert model.calibration_ is None
    assert model.predict_interval(X[:3]).shape == (3, 2)


def test_formulas_are_learnt_once():
    X, y = data(150)
    table = pd.DataFrame(X, columns=["a", "b"]).assign(y=y, c=np.where(np.arange(150) == 0, "rare", "often"))
    estimator = MixtureOfExpertsRegressor(2, formula="y ~ center(a) + b | a + C(c)", n_init=2)
    model = BaggedMixtureOfExperts(estimator, n_replicates=5, random_state=0).fit(table)
    assert model.predict(table.drop(columns="y")).shape == (150,)
    assert model.target_name_ == "y"
    alone = bagged(n_replicates=5).fit(X, y)
    assert model.log_likelihood(table) == pytest.approx(alone.log_likelihood(X, y), rel=0.2)
    assert all(list(one.feature_names_in_) == list(model.feature_names_in_) for one in model.estimators_)


def test_gates_of_functions_have_those_of_each_replicate():
    X, y = data(150)
    estimator = MixtureOfExpertsRegressor(2, gate_basis="spline", gate_alpha=0.1, n_init=2)
    model = BaggedMixtureOfExperts(estimator, n_replicates=5, random_state=0).fit(X, y)
    new, seen = data(30, seed=1)
    means = np.array([one.predict(new) for one in model.estimators_])
    assert model.mean_replicates(new) == pytest.approx(means.T, rel=1e-12)
    moved = means.mean(axis=0) + (seen - means.mean(axis=0)) / model.spread_
    of_each = [one.score_samples(new, moved) for one in model.estimators_]
    expected = logsumexp(of_each, axis=0) - np.log(5 * model.spread_)
    assert model.score_samples(new, seen) == pytest.approx(expected, rel=1e-12)
    assert model.agreement(X, y).coef.shape == (2, 2)


def test_names_of_columns_reach_the_replicates():
    X, y = data(100)
    table = pd.DataFrame(X, columns=["a", "b"])
    estimator = MixtureOfExpertsRegressor(2, gate_features=["a"], n_init=2)
    model = BaggedMixtureOfExperts(estimator, n_replicates=3, random_state=0).fit(table, y)
    assert all((one.gate_coef_[:, 1] == 0).all() for one in model.estimators_)
    assert list(model.feature_names_in_) == ["a", "b"]


# ---- what they agree on ----------------------------------------------------------------------------------


def test_agreement_pairs_experts_whatever_their_order():
    rng = np.random.default_rng(0)
    X, y = data(200)
    base = MixtureOfExpertsRegressor(2, gate_alpha=1e-2, random_state=0).fit(X, y).mixture_
    orders = [np.array(order) for order in ((0, 1), (1, 0), (0, 1), (1, 0))]
    parts = [base.ordered(order) for order in orders]
    found = Agreement.of(parts, check_samples(X, y, rng.uniform(1, 2, size=200)))
    assert found.share_of_rows == pytest.approx(1, rel=1e-12)
    assert (found.rows == 1).all()
    assert found.overlap == pytest.approx(1)
    assert found.coef_spread == pytest.approx(0)
    assert found.coef == pytest.approx(parts[found.reference].coef)
    assert found.shares.sum() == pytest.approx(1)


def test_agreement_counts_rows_that_go_elsewhere():
    """Three replicates cut at 0, one at 1: it gives the rows between the cuts otherwise."""
    x = np.linspace(-2, 2, 81)[:, None]
    y = np.zeros(81)

    def cut(at):
        gates = np.array([[200.0], [0.0]]), np.array([-200.0 * at, 0.0])
        return Mixture(np.zeros((2, 1)), np.zeros(2), *gates, np.ones(2))

    parts = [cut(0.01), cut(1.01), cut(0.01), cut(0.01)]
    found = Agreement.of(parts, check_samples(x, y))
    assert found.reference in (0, 2, 3)
    between = (x[:, 0] > 0.01) & (x[:, 0] < 1.01)
    assert found.rows == pytest.approx(np.where(between, 2 / 3, 1.0))
    right, left = (x[:, 0] > 0.01).sum(), (x[:, 0] < 0.01).sum()
    expected = [(2 + (right - between.sum()) / right) / 3, (2 + left / (left + between.sum())) / 3]
    assert found.overlap == pytest.approx(expected)
    assert found.shares[0] == pytest.approx((right - between.sum() / 4) / 81)


def test_agreement_of_a_fit_as_text_and_table(fitted):
    found = fitted.agreement(*data())
    assert 0.8 < found.share_of_rows <= 1
    assert "10 replicates" in str(found)
    assert "expert 1" in str(found)
    frame = found.to_frame()
    assert frame.shape == (4, 4)
    assert frame["spread"].to_numpy() == pytest.approx(found.coef_spread.ravel())


# ---- pictures and errors ---------------------------------------------------------------------------------


def test_calibration_can_be_drawn(fitted):
    from matplotlib.figure import Figure

    ax = plot_calibration(fitted, *data(400, seed=5), n_bins=10, ax=Figure().subplots())
    assert len(ax.containers[0]) == 10


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_replicates": 1}, ValueError, "n_replicates"),
        ({"start": "hot"}, ValueError, "start"),
        ({"n_folds": 1}, ValueError, "n_folds"),
        ({"spread": 0.0}, ValueError, "spread"),
        ({"estimator": MixtureOfExpertsRegressor(1, family="poisson"), "spread": 0.9}, ValueError, "y must be"),
        ({"spread": "wide"}, ValueError, "spread"),
        ({"n_jobs": 0}, ValueError, "n_jobs"),
        ({"n_folds": 301}, ValueError, "n_samples=300 rows"),
        ({"estimator": []}, ValueError, "empty"),
        ({"estimator": object()}, TypeError, "MixtureOfExpertsRegressor"),
        ({"estimator": [MixtureOfExpertsRegressor(), MixtureOfExpertsRegressor(3)], "n_folds": None}, ValueError,
         "n_folds=None"),
        ({"estimator": [MixtureOfExpertsRegressor(), MixtureOfExpertsRegressor(formula="y ~ a")]}, ValueError,
         "same formula"),
    ],
)  # fmt: skip
def test_bad_parameters(parameters, error, message):
    model = bagged().set_params(**parameters)
    with pytest.raises(error, match=message):
        model.fit(*data())


def test_a_failed_fit_leaves_the_earlier_one(fitted):
    before = fitted.predict([[0.0, 0.0]])
    with pytest.raises(ValueError, match="NaN"):
        fitted.fit([[np.nan, 1.0], [0.0, 1.0]], [0.0, 1.0])
    assert (fitted.predict([[0.0, 0.0]]) == before).all()


def test_without_folds_nothing_is_left_out():
    model = bagged(n_replicates=4, n_folds=None).fit(*data(80))
    assert model.calibration_ is None
    assert model.spread_ == 1.0
    assert np.isnan(model.out_of_bag_log_likelihood_)
    assert np.isnan(model.out_of_bag_score_samples_).all()


@pytest.mark.parametrize(
    ("n", "n_folds", "expected"), [(200, 5, 25), (1000, 5, 25), (2000, 5, 12), (20_000, 7, 7)]
)
def test_candidates_are_compared_by_fewer_replicates_of_many_rows(n, n_folds, expected):
    samples = check_samples(*data(n), use="fit")
    assert BaggedMixtureOfExperts(n_folds=n_folds)._n_trial_replicates(samples) == expected
