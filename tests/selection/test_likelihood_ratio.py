"""The bootstrap test: its parts beside oracles, its answers beside the truth of simulated data, and bad input."""

from functools import partial

import numpy as np
import pytest
from scipy.stats import chi2

from moefast import DegenerateDataWarning, MixtureOfExpertsRegressor, lr_test
from moefast.datasets import make_moe
from moefast.em import EmOptions, fit_em
from moefast.samples import Samples
from moefast.selection import likelihood_ratio, nested_fits
from moefast.selection.nested_fits import NestedFits


def simulated(n, k, seed, noise=0.3):
    return make_moe(n, 3, k, noise=noise, expert_intercept=0.5, random_state=seed)


def least_squares(X, y):
    """Predictions and standard deviation of the residuals, by maximum likelihood."""
    U = np.column_stack([X, np.ones(len(y))])
    predicted = U @ np.linalg.lstsq(U, y, rcond=None)[0]
    return predicted, np.sqrt(np.mean((y - predicted) ** 2))


def test_one_expert_against_two_where_there_are_two():
    """The null hypothesis is least squares; two experts fit no worse than EM from the truth."""
    X, y, truth = simulated(300, 2, 0)
    result = lr_test(X, y, 1, n_replicates=19, random_state=0)
    _, s = least_squares(X, y)
    assert result.log_likelihood_null == pytest.approx(-150 * (np.log(2 * np.pi * s**2) + 1), rel=1e-12)
    assert result.log_likelihood_alternative >= fit_em(X, y, truth).log_likelihood - 1e-3
    gain = result.log_likelihood_alternative - result.log_likelihood_null
    assert result.statistic == pytest.approx(2 * gain, rel=1e-12)
    assert (result.n_experts, result.p_value, result.replicates.shape) == (1, 0.05, (19,))
    assert str(result).startswith("1 expert(s) against 2: likelihood ratio ")
    assert "p = 0.05 by 19 bootstrap replicates" in str(result)


def test_true_number_is_not_rejected_but_by_chi_squared_it_would_be():
    """Ten data sets of one expert: about one in twenty by the bootstrap, every second or so by chi-squared."""
    rejected = naive = 0
    for seed in range(10):
        X, y, _ = simulated(150, 1, seed, noise=1.0)
        result = lr_test(X, y, 1, n_replicates=19, n_init=5, random_state=seed)
        assert (result.replicates >= 0).all()
        assert result.p_value == (1 + np.sum(result.replicates >= result.statistic)) / 20
        rejected += result.p_value <= 0.05
        naive += result.statistic > chi2.ppf(0.95, df=9)
    assert rejected <= 2
    assert naive >= 5


def test_true_number_of_two_is_not_rejected():
    X, y, _ = simulated(300, 2, 0)
    result = lr_test(X, y, 2, n_replicates=19, n_init=8, random_state=0)
    assert result.p_value > 0.05
    assert (result.replicates >= 0).all()


@pytest.mark.study
@pytest.mark.filterwarnings("ignore:.*collapsed:moefast.DegenerateDataWarning")
@pytest.mark.parametrize(("n", "k", "noise"), [(300, 1, 1.0), (500, 2, 0.3), (500, 2, 1.0)])
def test_level_is_held_over_many_data_sets(n, k, noise):
    """At 5 % no more than 6 of 40: more has a probability of 1.4 %. Chi-squared rejects three in four or more."""
    results = [
        lr_test(*simulated(n, k, seed, noise)[:2], k, n_replicates=39, random_state=seed) for seed in range(40)
    ]
    assert sum(result.p_value <= 0.05 for result in results) <= 6
    assert sum(result.statistic > chi2.ppf(0.95, df=9) for result in results) >= 30


def test_replicates_are_drawn_from_the_null_hypothesis(monkeypatch):
    """X as given, y around least squares with its noise, other draws every time."""
    X, y, _ = simulated(200, 2, 1)
    seen, of = [], NestedFits.of

    def spy(samples, start, *others):
        seen.append((samples, start))
        return of(samples, start, *others)

    monkeypatch.setattr(likelihood_ratio.NestedFits, "of", spy)
    lr_test(X, y, 1, n_replicates=12, n_init=1, random_state=0)
    assert np.array_equal(seen[0][0].y, y)
    predicted, s = least_squares(X, y)
    z = np.array([(samples.y - predicted) / s for samples, _ in seen[1:]])
    assert len(z) == 12
    assert all(np.array_equal(samples.X, X) for samples, _ in seen)
    assert all(start.sigma == pytest.approx(s, rel=1e-9) for _, start in seen)
    # 2400 draws: four standard errors
    assert abs(z.mean()) < 4 / np.sqrt(2400)
    assert abs(z.std() - 1) < 4 / np.sqrt(4800)
    assert np.abs(np.corrcoef(z) - np.eye(12)).max() < 0.4


def test_the_statistic_is_not_negative_where_the_search_fails():
    """Nested models: k experts are k + 1 of which two are the same."""

    class Fit:
        def __init__(self, log_likelihood):
            self.log_likelihood = log_likelihood

    assert NestedFits(Fit(-10.0), Fit(-11.0)).statistic == 0.0
    assert NestedFits(Fit(-10.0), Fit(-7.0)).statistic == 6.0


def test_further_experts_start_at_the_splits_of_the_null_hypothesis():
    """Without random starts the third expert is found from the two."""
    X, y, truth = simulated(600, 3, 3, noise=0.1)
    result = lr_test(X, y, 2, n_replicates=9, n_init=0, random_state=0)
    assert result.log_likelihood_alternative >= fit_em(X, y, truth).log_likelihood - 1e-3
    assert result.p_value == 0.1


@pytest.mark.parametrize("k", [1, 2])
def test_each_number_of_experts_has_random_starts_of_its_own(monkeypatch, k):
    """One expert alone needs none."""
    drawn, random_starts = [], nested_fits.RandomStarts

    def spy(problem, n_experts, *others):
        drawn.append(n_experts)
        return random_starts(problem, n_experts, *others)

    monkeypatch.setattr(nested_fits, "RandomStarts", spy)
    X, y, truth = simulated(60, k, 0)
    NestedFits.of(Samples(X, y, np.ones(60)), truth, 1, EmOptions(max_iter=5), np.random.default_rng(0))
    assert drawn == [n for n in (k, k + 1) if n > 1]


def test_the_seed_decides_and_processes_do_not():
    X, y, _ = simulated(100, 2, 1)
    one, two, other = (
        lr_test(X, y, 1, n_replicates=6, n_init=2, random_state=seed, n_jobs=n)
        for seed, n in ((3, 1), (3, 2), (4, 1))
    )
    assert np.array_equal(one.replicates, two.replicates)
    assert one.statistic == two.statistic
    assert not np.array_equal(one.replicates, other.replicates)


@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_the_same_weight_for_all_rows_is_so_many_rows(weight):
    X, y, _ = simulated(30, 2, 0)
    rows = likelihood_ratio._rows_of_weight_one(Samples(X, y, np.full(30, weight)))
    assert rows.n_rows == 30 * weight
    assert (rows.sample_weight == 1.0).all()


def test_a_weight_is_so_many_rows():
    X, y, _ = simulated(80, 2, 1)
    w = np.random.default_rng(0).integers(0, 3, size=80)
    rows = np.repeat(np.arange(80), w)
    arguments = {"n_replicates": 4, "n_init": 2, "random_state": 0}
    weighted, repeated = lr_test(X, y, 1, sample_weight=w, **arguments), lr_test(X[rows], y[rows], 1, **arguments)
    assert np.array_equal(weighted.replicates, repeated.replicates)
    assert weighted.log_likelihood_alternative == repeated.log_likelihood_alternative


def test_parameters_are_those_of_the_estimator():
    """Shared noise, constant gates, fewer columns: smaller alternatives."""
    X, y, _ = simulated(200, 2, 1)
    own, *smaller = (
        lr_test(X, y, 1, n_replicates=2, random_state=0, **parameters)
        for parameters in ({}, {"noise": "shared"}, {"gate_features": []}, {"expert_features": [0, 1]})
    )
    for result in smaller:
        assert result.log_likelihood_null <= own.log_likelihood_null
        assert result.log_likelihood_alternative < own.log_likelihood_alternative - 0.05


def test_collapsed_experts_are_told_of():
    """Half of 20 rows lie on a line."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 1)), rng.normal(size=20)
    y[:10] = X[:10, 0]
    with pytest.warns(DegenerateDataWarning, match=r"\d of 2 expert\(s\) collapsed") as caught:
        lr_test(X, y, 1, n_replicates=2, random_state=1)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_experts": 0}, ValueError, "n_experts must be at least 1, got 0"),
        ({"n_experts": 1.0}, TypeError, "n_experts must be an integer, got 1.0"),
        ({"n_experts": 20}, ValueError, "tested against 21 experts, more than the 20 rows of positive weight"),
        ({"n_replicates": 0}, ValueError, "n_replicates must be at least 1, got 0"),
        ({"n_init": -1}, ValueError, "n_init must be at least 0, got -1"),
        ({"n_jobs": 0}, ValueError, "n_jobs must not be 0"),
        ({"n_threads": 0}, ValueError, "n_threads must be at least 1"),
        ({"verbose": "yes"}, TypeError, "verbose must be an integer"),
        ({"sample_weight": np.full(20, 0.5)}, ValueError, "sample_weight must be whole numbers.* got 0.5"),
        (
            {"start": "random"},
            TypeError,
            "start is no parameter of lr_test; beside its own there are formula, noise, fit_intercept",
        ),
        ({"gate_features": ["a"]}, ValueError, "gate_features must be positions or a mask where X has no column"),
        ({"expert_features": 1}, TypeError, "expert_features must be names or positions of columns"),
        ({"noise": "loud"}, ValueError, "noise must be one of"),
        ({"random_state": "a"}, TypeError, "random_state must be a number"),
    ],
)
def test_errors_name_the_argument(arguments, error, message):
    X, y, _ = simulated(20, 1, 0)
    with pytest.raises(error, match=message):
        lr_test(X, y, **{"n_experts": 1, **arguments})


def test_bad_data_are_refused():
    X, y, _ = simulated(20, 1, 0)
    y[4] = np.inf
    with pytest.raises(ValueError, match=r"y contains infinity .* first at row 4"):
        lr_test(X, y, 1)


def counts(n, rng):
    X, exposure = rng.normal(size=(n, 2)), rng.uniform(1, 50, size=n)
    return X, rng.poisson(exposure * np.exp(0.5 * X[:, 0])).astype(float), np.log(exposure)


def test_one_expert_of_counts_with_an_exposure():
    """Without the offset one expert is no model of these counts."""
    X, y, offset = counts(150, np.random.default_rng(0))
    test = partial(lr_test, X, y, 1, n_replicates=19, n_init=3, random_state=0, family="poisson")
    right = test(offset=offset)
    one = MixtureOfExpertsRegressor(1, family="poisson").fit(X, y, offset=offset)
    assert right.log_likelihood_null == pytest.approx(one.log_likelihood_, rel=1e-9)
    assert right.p_value > 0.05
    assert test().p_value == 0.05


def test_weights_repeat_rows_with_their_trials():
    rng = np.random.default_rng(1)
    X, trials, weights = rng.normal(size=(60, 1)), rng.integers(2, 20, size=60), rng.integers(0, 3, size=60)
    y = rng.binomial(trials, 0.4).astype(float)
    test = partial(lr_test, n_experts=1, n_replicates=1, n_init=1, random_state=0, family="binomial")
    rows = np.repeat(np.arange(60), weights)
    weighted = test(X, y, sample_weight=weights, n_trials=trials)
    repeated = test(X[rows], y[rows], n_trials=trials[rows])
    assert weighted.statistic == pytest.approx(repeated.statistic, abs=1e-9)
    np.testing.assert_allclose(weighted.replicates, repeated.replicates, atol=1e-9)


def test_common_features_are_of_both_hypotheses():
    X, y, _ = simulated(200, 2, 0)
    result = lr_test(X, y, 2, n_replicates=1, n_init=5, random_state=0, common_features=[1])
    one = MixtureOfExpertsRegressor(2, common_features=[1], random_state=0).fit(X, y)
    assert result.log_likelihood_null == pytest.approx(one.log_likelihood_, abs=1e-3)
