"""Data that leave nothing to chance: finite fits, sensible predictions, and the user is told."""

import warnings

import numpy as np
import pytest

from moefast import MixtureOfExpertsRegressor
from moefast.exceptions import DegenerateDataWarning
from moefast.families import Tobit

N = 800
X = np.random.default_rng(0).normal(size=(N, 2))
SIDE = X[:, 0] > 0  # where the gate changes


def fit(y, family, k=2, **given):
    """The fit, and what it warned of."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = MixtureOfExpertsRegressor(k, family=family, random_state=0, n_threads=1).fit(X, y, **given)
    assert all(isinstance(w.message, DegenerateDataWarning) for w in said)
    for values in (model.coef_, model.intercept_, model.sigma_, model.shape_, model.gate_coef_):
        assert np.isfinite(values).all()
    assert model.converged_
    return model, " ".join(str(w.message) for w in said)


def expert_at(model, rows):
    """The expert of most of these rows."""
    return int(np.bincount(model.assign(X[rows])).argmax())


@pytest.mark.parametrize("family", ["poisson", "negative_binomial"])
def test_an_expert_of_zeros(family):
    """It expects none, also far from its rows, and the other is the regression of the rest."""
    rng = np.random.default_rng(1)
    y = np.where(SIDE, rng.poisson(np.exp(1 + 0.5 * X[:, 1])), 0).astype(float)
    model, said = fit(y, family)
    zero, rest = expert_at(model, ~SIDE), expert_at(model, SIDE)
    assert f"expert(s) {zero} leave nothing to chance" in said
    assert (model.predict_experts(X)[:, zero] < 1e-3).all()
    assert np.abs(model.coef_[zero]).max() < 1e-3
    np.testing.assert_allclose(model.coef_[rest], [0.0, 0.5], atol=0.15)
    assert np.abs(model.predict(X) - np.where(SIDE, np.exp(1 + 0.5 * X[:, 1]), 0.0)).mean() < 0.2


@pytest.mark.parametrize("family", ["poisson", "negative_binomial", "bernoulli", "binomial"])
@pytest.mark.parametrize("k", [1, 2])
def test_nothing_but_zeros(family, k):
    model, said = fit(np.zeros(N), family, k)
    assert said.startswith("y is constant")
    assert model.log_likelihood_ == pytest.approx(0.0, abs=1e-4)
    assert (model.predict(X) < 1e-6).all()
    assert (model.sample(X, 0) == 0).all()


def test_nothing_but_ones():
    model, said = fit(np.ones(N), "bernoulli")
    assert said.startswith("y is constant")
    np.testing.assert_allclose(model.predict(X), 1.0, atol=1e-6)


@pytest.mark.parametrize("trials", [None, 10])
def test_separated_successes_and_failures(trials):
    """One expert's outcomes are divided by a border: probabilities 0 and 1, coefficients held by the ridge."""
    rng = np.random.default_rng(2)
    m = trials or 1
    y = np.where(SIDE, m * (X[:, 1] > 0), rng.binomial(m, 0.5, size=N)).astype(float)
    model, said = fit(y, "bernoulli" if trials is None else "binomial", n_trials=trials)
    sure = expert_at(model, SIDE)
    assert f"expert(s) {sure} leave nothing to chance" in said
    assert "have no finite estimate" in said
    assert 50 < np.linalg.norm(model.coef_[sure]) < 5000
    p = model.predict_experts(X[SIDE])[:, sure]
    assert np.abs(p - (X[SIDE, 1] > 0)).mean() < 0.01


def test_a_separated_logistic_regression():
    model, said = fit((X[:, 1] > 0).astype(float), "bernoulli", 1)
    assert "expert(s) 0 leave nothing to chance" in said
    assert np.linalg.norm(model.coef_) < 5000
    assert model.log_likelihood_ > -1


def test_experts_that_are_not_sure_are_not_named():
    """Rare events are no certainty: five in 800 rows."""
    y = np.zeros(N)
    y[:5] = 1.0
    for family in ("poisson", "bernoulli"):
        assert fit(y, family, 1)[1] == ""


def test_the_shape_of_a_gamma_law_stops_at_its_cap():
    model, said = fit(np.full(N, 3.0), "gamma", 1)
    np.testing.assert_allclose(model.shape_, 1e8)
    assert model.fit_report_.collapsed == (0,)
    assert "y is constant" in said
    assert "collapsed: noise at the floor" in said
    np.testing.assert_allclose(model.predict(X), 3.0, rtol=1e-6)


def test_an_expert_of_gamma_that_fits_its_rows_exactly_has_collapsed():
    y = np.where(SIDE, np.exp(0.3 * X[:, 1]), np.random.default_rng(4).gamma(5, size=N) / 5)
    model, said = fit(y, "gamma")
    exact = expert_at(model, SIDE)
    assert model.fit_report_.collapsed == (exact,)
    assert f"expert(s) {exact} collapsed" in said
    np.testing.assert_allclose(model.coef_[exact], [0.0, 0.3], atol=1e-3)


def test_counts_that_vary_less_than_those_of_poisson_have_the_largest_size():
    y = np.round(np.exp(1 + 0.5 * X[:, 1]))
    model, said = fit(y, "negative_binomial", 1)
    poisson, _ = fit(y, "poisson", 1)
    np.testing.assert_allclose(model.shape_, np.exp(8.0))
    assert said == ""
    np.testing.assert_allclose(model.coef_, poisson.coef_, atol=1e-3)


def test_students_noise_stops_at_the_floor():
    model, said = fit(X @ [1.0, -2.0] + 1e-9 * np.random.default_rng(4).standard_t(3, size=N), "student_t", 1)
    np.testing.assert_allclose(model.sigma_, 0.02 * model.response_std_, rtol=0.5)
    assert model.fit_report_.collapsed == (0,)
    assert "collapsed: noise at the floor" in said


def test_degrees_of_freedom_stop_at_one():
    """Of noise with heavier tails than Cauchy's; the line is found all the same."""
    y = X @ [1.0, -2.0] + 0.5 * np.random.default_rng(5).standard_cauchy(size=N) ** 3
    model, said = fit(y, "student_t", 1)
    assert model.shape_ == [1.0]
    assert said == ""
    np.testing.assert_allclose(model.coef_, [[1.0, -2.0]], atol=0.1)


@pytest.mark.parametrize("lower", [True, False])
def test_a_censored_expert_of_which_nothing_is_seen(lower):
    """Of it nothing is known but that it is beyond the limit; the other is the regression of what is seen."""
    rng = np.random.default_rng(6)
    hidden = np.where(SIDE, -5 + X[:, 1], 3 + 0.5 * X[:, 1]) + 0.3 * rng.normal(size=N)
    y, family = np.maximum(hidden, 0.0), Tobit(0.0)
    if not lower:
        y, family = -y, Tobit(-np.inf, 0.0)
    model, said = fit(y, family)
    out, seen = expert_at(model, SIDE), expert_at(model, ~SIDE)
    assert f"expert(s) {out} leave nothing to chance" in said
    sign = 1.0 if lower else -1.0
    np.testing.assert_allclose(sign * model.coef_[seen], [0.0, 0.5], atol=0.1)
    assert np.abs(model.predict(X[SIDE])).mean() < 0.01  # but for rows at the border of the gate


def test_nothing_seen_at_all():
    model, said = fit(np.zeros(N), "tobit")
    assert "y is constant" in said
    np.testing.assert_allclose(model.predict(X), 0.0, atol=1e-9)
