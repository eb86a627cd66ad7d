"""What mixtures of families predict, by brute force and by many draws; files, clones, summaries."""

import copy
import pickle

import numpy as np
import pytest
from family_samples import CASES
from scipy import stats
from scipy.special import logsumexp
from sklearn.base import clone

from moefast import MixtureOfExpertsRegressor, load_model, save_model
from moefast.families import Binomial, Gaussian, Multinomial, Poisson, Predictors, StudentT, Tobit
from moefast.mixture import Mixture
from moefast.samples import RowTerms

COUNTS = [name for name, case in CASES.items() if case.family.is_discrete]
# Laws that have no density at single numbers, and a variance, over a grid.
SMOOTH = ["gaussian", "gamma", "student_t"]


def given_terms(name, n, rng):
    trials = None if CASES[name].trials is None else rng.integers(1, 12, size=n).astype(float)
    return RowTerms(0.3 * rng.normal(size=n), trials)


def mixture(name, seed=0, n=40):
    rng = np.random.default_rng(seed)
    truth = CASES[name].truth(3, 2, rng)
    return truth, rng.normal(size=(n, 2)), given_terms(name, n, rng)


@pytest.mark.parametrize("name", COUNTS)
def test_moments_and_probabilities_of_counts_by_sums_over_all_counts(name):
    truth, X, terms = mixture(name)
    y = np.arange(3000.0)
    of = truth.predictors(X, terms)
    log_gates = truth.log_gates(X)
    # log P(y | x) the long way, (n, 3000)
    each = [log_gates[:, i, None] + truth.family.log_density(of.of_expert(i), y) for i in range(3)]
    p = np.exp(logsumexp(each, axis=0))
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-9)
    np.testing.assert_allclose(truth.mean(X, terms), p @ y, rtol=1e-9)
    np.testing.assert_allclose(truth.std(X, terms), np.sqrt(p @ y**2 - (p @ y) ** 2), rtol=1e-7)
    np.testing.assert_allclose(np.exp(truth.log_density_grid(X, y[:50], terms)), p[:, :50], rtol=1e-9)
    total = np.cumsum(p, axis=1)
    for at in (0.0, 1.0, 4.0, 11.0, 200.0):
        np.testing.assert_allclose(
            truth.cdf(X, np.full(len(X), at), terms), total[:, int(at)], rtol=1e-8, atol=1e-12
        )
    levels = np.array([0.001, 0.2, 0.5, 0.83, 0.999])
    brute = np.stack([(total < q * (1 - 1e-12)).sum(axis=1) for q in levels], axis=1)
    np.testing.assert_array_equal(truth.quantile(X, levels, terms), brute)


@pytest.mark.parametrize("name", SMOOTH)
def test_quantiles_and_distribution_functions_undo_each_other(name):
    truth, X, terms = mixture(name)
    for q in (0.001, 0.3, 0.5, 0.97):
        y = truth.quantile(X, np.array([q]), terms)[:, 0]
        np.testing.assert_allclose(truth.cdf(X, y, terms), q, rtol=1e-7)


def test_quantiles_of_censored_mixtures_are_the_smallest_that_reach_the_level():
    """With jumps at the limits: on a fine grid."""
    truth, X, terms = mixture("tobit")
    grid = np.linspace(-0.5, 8.0, 20_001)
    below = np.stack([truth.cdf(X, np.full(len(X), y), terms) for y in grid], axis=1)
    levels = np.array([0.01, 0.2, 0.5, 0.9])
    found = truth.quantile(X, levels, terms)
    for j, q in enumerate(levels):
        brute = grid[(below < q).sum(axis=1)]
        assert (found[:, j] <= brute + 1e-12).all()
        assert (found[:, j] >= brute - (grid[1] - grid[0]) - 1e-12).all()
    assert (found == -0.5).any()


@pytest.mark.parametrize("name", CASES)
def test_draws_have_the_law_that_is_predicted(name):
    truth, X, terms = mixture(name, n=5)
    many, where = np.repeat(X, 3000, axis=0), np.repeat(np.arange(5), 3000)
    rng = np.random.default_rng(1)
    y = truth.draw(many, rng, terms[where])
    upper = truth.cdf(many, y, terms[where])
    step = 1.0 if truth.family.is_discrete else 1e-12
    lower = truth.cdf(many, y - step, terms[where])
    place = lower + rng.uniform(size=len(y)) * (upper - lower)
    assert stats.kstest(place, "uniform").pvalue > 1e-3


# ---- fitted models -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[*CASES, "student_t, df=4"])
def fitted(request):
    name = request.param.split(",")[0]
    X, y, _, terms = CASES[name].draw(2, 600, 2, 0)
    terms = RowTerms(0.2 * np.random.default_rng(0).normal(size=600), terms.n_trials)
    family = StudentT(df=4) if "df=4" in request.param else CASES[name].family
    family = family.name if family.name not in ("tobit", "student_t") else family
    model = MixtureOfExpertsRegressor(2, family=family, random_state=0, n_threads=1, n_init=3)
    return model.fit(X, y, offset=terms.offset, n_trials=terms.n_trials), X, y, terms


def of(terms):
    return {"offset": terms.offset, "n_trials": terms.n_trials}


def test_the_log_likelihood_of_the_fit_is_that_of_its_rows(fitted):
    model, X, y, terms = fitted
    assert model.log_likelihood(X, y, **of(terms)) == pytest.approx(model.log_likelihood_, rel=1e-8)
    assert model.bic(X, y, **of(terms)) == pytest.approx(model.bic_, rel=1e-8)
    np.testing.assert_allclose(model.responsibilities(X, y, **of(terms)).sum(axis=1), 1.0)
    shares = model.responsibilities(X, y, **of(terms)).mean(axis=0)
    np.testing.assert_allclose(shares, model.shares_, atol=2e-3)


def test_row_terms_may_be_one_number_for_all_rows(fitted):
    model, X, y, terms = fitted
    trials = None if terms.n_trials is None else 10
    each = None if trials is None else np.full(len(X), 10)
    one, many = {"offset": 0.5, "n_trials": trials}, {"offset": np.full(len(X), 0.5), "n_trials": each}
    for name in ("predict", "predict_experts", "predict_interval", "sample"):
        extra = {"random_state": 0} if name == "sample" else {}
        np.testing.assert_array_equal(
            getattr(model, name)(X, **one, **extra), getattr(model, name)(X, **many, **extra)
        )
    np.testing.assert_array_equal(model.cdf(X, y, **one), model.cdf(X, y, **many))


def test_predictions_go_row_by_row(fitted):
    """A row says the same alone and among others, in any order."""
    model, X, y, terms = fitted
    order = np.random.default_rng(0).permutation(len(X))
    for values in (model.predict, model.predict_interval, model.predict_experts):
        np.testing.assert_allclose(values(X[order], **of(terms[order])), values(X, **of(terms))[order], rtol=1e-12)
    alone = model.score_samples(X[3:4], y[3:4], **of(terms[3:4]))
    np.testing.assert_allclose(alone, model.score_samples(X, y, **of(terms))[3:4], rtol=1e-12)


def test_files_clones_and_pickles(fitted, tmp_path):
    model, X, y, terms = fitted
    save_model(model, tmp_path / "m.json")
    for again in (load_model(tmp_path / "m.json"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.predict(X, **of(terms)), model.predict(X, **of(terms)))
        np.testing.assert_array_equal(again.shape_, model.shape_)
        assert again.log_likelihood(X, y, **of(terms)) == model.log_likelihood(X, y, **of(terms))
        assert str(again.summary()) == str(model.summary())
        assert type(again.family_) is type(model.family_)
    fresh = clone(model)
    assert fresh.family == model.family
    fresh.fit(X, y, **of(terms))
    np.testing.assert_array_equal(fresh.coef_, model.coef_)


@pytest.mark.parametrize("name", CASES)
def test_families_are_equal_where_they_say_the_same(name):
    family = CASES[name].family
    for again in (pickle.loads(pickle.dumps(family)), copy.deepcopy(family)):
        assert again == family
        assert hash(again) == hash(family)
        assert (again is family) == (name == "gaussian")
    assert all(family != other.family for other_name, other in CASES.items() if other_name != name)
    assert Tobit(0) != Tobit(1)
    assert StudentT() != StudentT(df=4)


def test_the_summary_says_the_family_and_its_shape(fitted):
    model, *_ = fitted
    text = str(model.summary())
    if model.family_.name != "gaussian":
        assert model.family_.in_words in text
    if model.family_.shape_name is not None:
        assert model.family_.shape_name in text
    assert ("sigma" in text) == model.family_.has_scale


def test_predictions_without_trials_are_probabilities():
    X, y, _, terms = CASES["binomial"].draw(2, 600, 2, 0)
    model = MixtureOfExpertsRegressor(2, family="binomial", random_state=0, n_threads=1, n_init=3)
    model.fit(X, y, n_trials=terms.n_trials)
    p = model.predict(X, offset=terms.offset)
    assert ((p > 0) & (p < 1)).all()
    np.testing.assert_allclose(model.predict(X, offset=terms.offset, n_trials=10), 10 * p, rtol=1e-12)


def test_what_is_predicted_has_the_response_s_range(fitted):
    model, X, _, terms = fitted
    low, high = model.predict_interval(X, 0.9, **of(terms)).T
    drawn = model.sample(X, 0, **of(terms))
    assert (low <= high).all()
    if model.family_.is_discrete:
        for values in (low, high, drawn):
            assert ((values >= 0) & (values == np.floor(values))).all()
    if isinstance(model.family_, Tobit):
        assert min(low.min(), drawn.min()) >= -0.5
    if model.family_.name == "gamma":
        assert min(low.min(), drawn.min()) > 0


def test_a_mean_beyond_the_range_names_the_row():
    X, y, _, _ = CASES["poisson"].draw(2, 800, 2, 0)
    model = MixtureOfExpertsRegressor(2, family=Poisson(), random_state=0, n_init=2).fit(X, y)
    with pytest.raises(OverflowError, match="row 1 is too far from the training data"):
        model.predict(np.array([[0.0, 0.0], [1e5, 1e5]]) * np.sign(model.coef_[0]))


def test_score_takes_offset_and_trials():
    rng = np.random.default_rng(3)
    X, offset = rng.normal(size=(400, 2)), rng.normal(size=400)
    y = rng.poisson(np.exp(X[:, 0] + offset)).astype(float)
    model = MixtureOfExpertsRegressor(1, family="poisson").fit(X, y, offset=offset)
    predicted = model.predict(X, offset=offset)
    wanted = 1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2)
    assert model.score(X, y, offset=offset) == pytest.approx(wanted, rel=1e-12)
    trials = rng.integers(1, 30, size=400)
    y = rng.binomial(trials, 0.4).astype(float)
    model = MixtureOfExpertsRegressor(1, family="binomial").fit(X, y, n_trials=trials)
    predicted = model.predict(X, n_trials=trials)
    wanted = 1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2)
    assert model.score(X, y, n_trials=trials) == pytest.approx(wanted, rel=1e-12)


def test_mean_of_tobit_is_never_beyond_its_limits():
    eta = np.linspace(-40.0, 40.0, 4001)[:, None]
    mean = Tobit(0.0, 1.0).mean(Predictors(eta, np.ones(1), np.ones(1)))
    assert mean.min() >= 0.0
    assert mean.max() <= 1.0


def test_binomial_of_many_trials_is_poisson():
    trials, y = 1e14, np.array([0.0, 1.0, 3.0, 20.0])
    of = Predictors(np.full((4, 1), np.log(5.0 / trials)), np.ones(1), np.ones(1), trials)
    got = Binomial().log_density(of, y[:, None])[:, 0]
    np.testing.assert_allclose(got, stats.poisson.logpmf(y, 5.0), rtol=1e-9)


def test_families_are_shown_by_their_names():
    assert [repr(family) for family in (Poisson(), Gaussian(), Multinomial(3))] == [
        "Poisson()",
        "Gaussian()",
        "Multinomial(3)",
    ]


def test_spread_of_student_t_of_few_degrees_of_freedom_is_infinite():
    X, y, _, _ = CASES["student_t"].draw(2, 400, 2, 0)
    model = MixtureOfExpertsRegressor(1, family=StudentT(2)).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    assert np.isfinite(mean).all()
    assert (std == np.inf).all()


def test_an_infinite_spread_behind_a_closed_gate_does_not_count():
    gates = np.array([[1000.0], [0.0]])
    shape, family = np.array([5.0, 1.5]), StudentT()
    two = Mixture(np.zeros((2, 1)), np.zeros(2), gates, np.zeros(2), np.ones(2), family=family, shape=shape)
    np.testing.assert_allclose(two.std(np.array([[1.0], [-1.0]])), [np.sqrt(5 / 3), np.inf])


@pytest.mark.parametrize("family", ["poisson", "negative_binomial"])
def test_counts_of_very_large_means_are_drawn_or_the_row_is_named(family):
    X, y, _, _ = CASES["poisson"].draw(2, 400, 2, 0)
    model = MixtureOfExpertsRegressor(1, family=family).fit(X, y)
    mean, std = model.predict(X, return_std=True, offset=60.0)
    z = (model.sample(X, 0, offset=60.0) - mean) / std
    assert abs(z.mean()) < 0.2
    assert 0.8 < z.std() < 1.2
    with pytest.raises(OverflowError, match="row 0 is too far"):
        model.sample(X, 0, offset=800.0)
