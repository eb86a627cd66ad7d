"""Responses, trials and offsets that a family cannot have are named, with row and value, and change nothing."""

import numpy as np
import pytest
from family_samples import CASES

from moefast import MixtureOfExpertsRegressor
from moefast.families import CustomFamily, Gaussian, StudentT, Tobit, get_family


def fitted(name):
    X, y, _, terms = CASES[name].draw(2, 800, 2, 0)
    model = MixtureOfExpertsRegressor(2, family=CASES[name].family, random_state=0, n_threads=1, n_init=2)
    return X, y, terms, model.fit(X, y, n_trials=terms.n_trials)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("poisson", -1.0, "y must be whole numbers not below 0 for family='poisson', got -1 at row 7"),
        ("poisson", 2.5, "y must be whole numbers not below 0 for family='poisson', got 2.5 at row 7"),
        ("negative_binomial", -3.0, "whole numbers not below 0 for family='negative_binomial', got -3 at row 7"),
        ("negative_binomial", 0.1, "whole numbers not below 0 for family='negative_binomial', got 0.1 at row 7"),
        ("gamma", 0.0, "y must be positive for family='gamma', got 0 at row 7"),
        ("gamma", -1e-9, "y must be positive for family='gamma', got -1e-09 at row 7"),
        ("binomial", -1.0, "y must be whole numbers not below 0 for family='binomial', got -1 at row 7"),
        ("binomial", 1.5, "y must be whole numbers not below 0 for family='binomial', got 1.5 at row 7"),
        ("binomial", 11.0, "y must not be above n_trials for family='binomial', got 11 of 10 at row 7"),
        ("bernoulli", 2.0, "y must be 0 or 1 for family='bernoulli', got 2 at row 7"),
        ("bernoulli", 0.5, "y must be 0 or 1 for family='bernoulli', got 0.5 at row 7"),
        ("tobit", -0.6, "y must be from -0.5 to inf for family='tobit', got -0.6 at row 7"),
    ],
)
def test_bad_responses_are_named_by_fit_and_by_predictions(name, value, message):
    X, y, terms, model = fitted(name)
    before = model.predict(X, n_trials=terms.n_trials)
    bad = y.copy()
    bad[7] = value
    for call in (model.fit, model.score_samples, model.responsibilities, model.cdf):
        with pytest.raises(ValueError, match=message):
            call(X, bad, n_trials=terms.n_trials)
    np.testing.assert_array_equal(model.predict(X, n_trials=terms.n_trials), before)


def test_a_bad_row_of_weight_zero_is_left_out():
    X, y, _, model = fitted("poisson")
    y[7] = -1.0
    model.fit(X, y, np.arange(len(y)) != 7)
    assert model.n_samples_fit_ == len(y) - 1


def test_successes_without_trials_ask_for_them():
    X, y, _, model = fitted("binomial")
    with pytest.raises(ValueError, match=r"got \d+ of 1 at row \d+; give n_trials to fit"):
        model.fit(X, y)


@pytest.mark.parametrize("name", [name for name in CASES if name != "binomial"])
def test_trials_are_for_the_binomial_alone(name):
    X, y, _, model = fitted(name)
    for call in (model.fit, model.score_samples, model.responsibilities):
        with pytest.raises(ValueError, match=f"n_trials is for family='binomial', not for '{name}'; leave it out"):
            call(X, y, n_trials=10)
    with pytest.raises(ValueError, match="n_trials is for family='binomial'"):
        model.predict(X, n_trials=10)


@pytest.mark.parametrize(
    ("n_trials", "message"),
    [
        (np.full(799, 10), "n_trials"),
        (np.full(400, 9.5), "n_trials"),
        (-1, "n_trials"),
        (0.5, "n_trials"),
        (1e300, "n_trials must be whole numbers from 1 to 9007199254740992, got 1e.300"),
        (np.nan, "n_trials"),
        ("ten", "n_trials"),
    ],
)
def test_bad_trials(n_trials, message):
    X, y, _, model = fitted("binomial")
    for call in (lambda: model.fit(X, y, n_trials=n_trials), lambda: model.predict(X, n_trials=n_trials)):
        with pytest.raises((ValueError, TypeError), match=message):
            call()


@pytest.mark.parametrize("offset", [np.zeros(799), np.nan, np.inf, np.zeros((800, 2)), "much"])
def test_bad_offsets(offset):
    X, y, _, model = fitted("poisson")
    for call in (lambda: model.fit(X, y, offset=offset), lambda: model.predict(X, offset=offset)):
        with pytest.raises((ValueError, TypeError), match="offset"):
            call()


def test_links_are_for_normal_responses_and_take_no_offset():
    X, y, _, _ = CASES["poisson"].draw(2, 800, 2, 0)
    with pytest.raises(
        ValueError, match="link must be 'linear' for family='poisson', which has its own, got 'relu'"
    ):
        MixtureOfExpertsRegressor(2, family="poisson", link="relu").fit(X, y)
    with pytest.raises(ValueError, match="offset needs link='linear', got 'sigmoid'"):
        MixtureOfExpertsRegressor(2, link="sigmoid").fit(X, y, offset=1.0)


@pytest.mark.parametrize("change", [{"start": "spectral"}, {"start": "l4"}, {"polish": False}])
def test_starts_from_moments_need_normal_responses(change):
    X, y, _, _ = CASES["poisson"].draw(2, 800, 2, 0)
    with pytest.raises(ValueError, match="need family='gaussian', got 'poisson'"):
        MixtureOfExpertsRegressor(2, family="poisson", **change).fit(X, y)


def test_families_that_there_are_not():
    with pytest.raises(ValueError, match=r"family must be one of 'gaussian', .* or a Family, got 'weibull'"):
        MixtureOfExpertsRegressor(2, family="weibull").fit(np.zeros((9, 1)), np.zeros(9))
    with pytest.raises(TypeError, match="family must be a name or a Family, got 3"):
        get_family(3)
    assert isinstance(get_family("gaussian"), Gaussian)


@pytest.mark.parametrize("df", [0.5, -1, np.nan, np.inf, True, "4"])
def test_degrees_of_freedom_below_one_are_refused(df):
    with pytest.raises(ValueError, match="df must be a finite number not below 1"):
        StudentT(df)


@pytest.mark.parametrize("limits", [(1, 1), (2, 1), (np.nan, 1), (0, "far"), (True, 2)])
def test_limits_out_of_order_are_refused(limits):
    with pytest.raises(ValueError, match="must be"):
        Tobit(*limits)


def test_a_family_of_ones_own_cannot_be_saved(tmp_path):
    from moefast import save_model

    X, y, _, _ = CASES["poisson"].draw(2, 800, 2, 0)
    own = CustomFamily(
        "own",
        log_f=lambda y, eta: y * eta - np.exp(eta),
        slope=lambda y, eta: y - np.exp(eta),
        weight=lambda y, eta: np.exp(eta),
        predictor=lambda y: np.log(y + 0.1),
        mean_of=np.exp,
    )
    model = MixtureOfExpertsRegressor(2, family=own, n_init=2, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="a model with family 'own' cannot be saved"):
        save_model(model, tmp_path / "m.json")
    assert not list(tmp_path.iterdir())


EXPONENTIAL = {
    "log_f": lambda y, eta: -eta - y * np.exp(-eta),
    "slope": lambda y, eta: y * np.exp(-eta) - 1.0,
    "weight": lambda y, eta: np.ones_like(eta),
    "predictor": np.log,
    "mean_of": np.exp,
}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"slope": lambda y, eta: 1.0 - y * np.exp(-eta)},
            ValueError,
            "slope of family 'own' is not the derivative of log_f by the predictor: at y=",
        ),
        ({"slope": lambda y, eta: eta + 0j}, TypeError, "slope of family 'own' must return real numbers"),
        ({"weight": lambda y, eta: "many"}, TypeError, "weight of family 'own' must return real numbers"),
        ({"name": 3}, TypeError, "name of a family must be a text, got 3"),
    ],
)
def test_functions_of_ones_own_that_are_wrong(change, error, message):
    X = np.random.default_rng(0).normal(size=(200, 1))
    y = np.random.default_rng(1).exponential(size=200)
    with pytest.raises(error, match=message):
        MixtureOfExpertsRegressor(1, family=CustomFamily(**({"name": "own"} | EXPONENTIAL | change))).fit(X, y)


def test_a_kink_of_ones_own_family_is_no_wrong_slope():
    """The Laplace distribution."""
    laplace = CustomFamily(
        "laplace",
        log_f=lambda y, eta: -np.abs(y - eta) - np.log(2.0),
        slope=lambda y, eta: np.sign(y - eta),
        weight=lambda y, eta: np.ones_like(eta),
        predictor=lambda y: y,
        mean_of=lambda eta: eta,
    )
    X, y, _, _ = CASES["gaussian"].draw(2, 800, 2, 0)
    model = MixtureOfExpertsRegressor(1, family=laplace).fit(X, y)
    assert np.isfinite(model.log_likelihood_)
