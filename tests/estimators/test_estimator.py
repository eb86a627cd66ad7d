"""MixtureOfExpertsRegressor: what it promises about its figures, units, weights and labels."""

import contextlib
import pickle

import numpy as np
import pandas as pd
import pytest
from flat_fits import EASY_X, EASY_Y, X, Y, assert_same, fit
from scipy.stats import kstest, norm
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.samples import Samples
from moefast.search.given_starts import best_of_starts
from moefast.search.starts import Start
from oracles import em as em_oracles


def parameters_of(model):
    return em_oracles.Parameters(
        np.column_stack([model.coef_, model.intercept_]),
        np.column_stack([model.gate_coef_, model.gate_intercept_]),
        model.sigma_**2,
    )


# ---- methods -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{}, {"noise": "shared"}, {"n_experts": 1}, {"fit_intercept": False}])
def test_methods_agree_with_the_oracle(parameters):
    model = fit(**parameters)
    p = parameters_of(model)
    log_gate, _, e = em_oracles.log_terms(X, Y, p)
    gate, means = np.exp(log_gate), Y[:, None] - e
    mean = (gate * means).sum(axis=1)
    std = np.sqrt((gate * (p.variance + means**2)).sum(axis=1) - mean**2)
    rows = em_oracles.row_log_likelihood(X, Y, p)
    tight = {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(model.predict(X), mean.astype(float), **tight)
    np.testing.assert_allclose(model.predict(X, return_std=True)[0], model.predict(X))
    np.testing.assert_allclose(model.predict(X, return_std=True)[1], std.astype(float), **tight)
    np.testing.assert_allclose(model.predict_gates(X), gate.astype(float), **tight)
    np.testing.assert_allclose(model.responsibilities(X, Y), em_oracles.posterior(X, Y, p).astype(float), **tight)
    np.testing.assert_allclose(model.score_samples(X, Y), rows.astype(float), **tight)
    assert model.log_likelihood(X, Y) == pytest.approx(float(rows.sum()), rel=1e-12)
    assert model.log_likelihood_ == pytest.approx(float(rows.sum()), rel=1e-10)
    assert model.score(X, Y) == pytest.approx(r2_score(Y, mean.astype(float)))
    np.testing.assert_allclose(model.shares_, em_oracles.posterior(X, Y, p).mean(axis=0).astype(float), rtol=1e-9)


@pytest.mark.parametrize(
    ("parameters", "count"),
    # experts k (d + 1), gates (k - 1) (d + 1), noise k, for d = 3
    [
        ({"n_experts": 1}, 4 + 1),
        ({"n_experts": 3}, 12 + 8 + 3),
        ({"n_experts": 3, "noise": "shared"}, 12 + 8 + 1),
        ({"n_experts": 2, "fit_intercept": False}, 6 + 4 + 2),
        ({"n_experts": 2, "fit_gate_intercept": False}, 8 + 3 + 2),
    ],
)
def test_information_criteria_by_hand(parameters, count):
    model = fit(**parameters)
    w = np.random.default_rng(0).uniform(0.5, 2.0, size=600)
    assert model.n_parameters_ == count
    assert model.aic(X, Y) == pytest.approx(2 * count - 2 * model.log_likelihood_)
    assert model.bic(X, Y) == pytest.approx(np.log(600) * count - 2 * model.log_likelihood_)
    weighted = w @ model.score_samples(X, Y)
    assert model.log_likelihood(X, Y, w) == pytest.approx(weighted)
    assert model.bic(X, Y, w) == pytest.approx(np.log(w.sum()) * count - 2 * weighted)


def test_samples_follow_the_model():
    """Their distribution function at the sample is uniform, at one x and over all of them."""
    model = fit()
    one = np.repeat(X[:1], 20_000, axis=0)
    for at in (one, X[np.arange(20_000) % 600]):
        gate, means = model.predict_gates(at), at @ model.coef_.T + model.intercept_
        draws = model.sample(at, random_state=1)
        level = (gate * norm.cdf(draws[:, None], means, model.sigma_)).sum(axis=1)
        assert kstest(level, "uniform").pvalue > 1e-3
    np.testing.assert_array_equal(model.sample(X, random_state=5), model.sample(X, random_state=5))
    assert (model.sample(X, random_state=5) != model.sample(X, random_state=6)).all()


def test_summary_has_every_number_by_name():
    table = pd.DataFrame(X, columns=["age", "dose", "flow rate"])
    model = fit(table)
    text = str(model.summary())
    rows = {line[:11].strip(): line for line in reversed(text.splitlines())}  # experts stand above gates
    for j, name in enumerate(["age", "dose", "flow rate"]):
        assert all(f"{a:.4g}" in rows[name] for a in model.coef_[:, j])
        assert any(all(f"{w:.4g}" in line for w in model.gate_coef_[:-1, j]) for line in text.splitlines())
    assert all(f"{s:.4g}" in rows["sigma"] for s in model.sigma_)
    for figure in (model.log_likelihood_, model.aic(table, Y), model.bic(table, Y)):
        assert f"{figure:.3f}" in text
    assert "x0" in str(fit().summary())


def test_columns_of_a_data_frame():
    table = pd.DataFrame(X, columns=["age", "dose", "flow rate"])
    model = fit(table)
    assert_same(model, fit())
    assert list(model.feature_names_in_) == ["age", "dose", "flow rate"]
    assert not hasattr(fit(), "feature_names_in_")
    np.testing.assert_array_equal(model.predict(table), fit().predict(X))


# ---- the form of the answer ----------------------------------------------------------------------------


@pytest.mark.parametrize("n_experts", [1, 2, 3])
def test_shapes_and_conventions(n_experts):
    model = fit(n_experts=n_experts)
    assert model.coef_.shape == model.gate_coef_.shape == (n_experts, 3)
    assert model.intercept_.shape == model.gate_intercept_.shape == model.sigma_.shape == (n_experts,)
    assert not model.gate_coef_[-1].any()
    assert model.gate_intercept_[-1] == 0
    assert (np.diff(model.shares_) <= 0).all()
    assert model.shares_.sum() == pytest.approx(1)
    assert model.n_features_in_ == 3
    assert model.converged_ is True
    assert isinstance(model.log_likelihood_, float)


def test_labels_do_not_change_with_the_seed():
    """All seeds that reach one optimum give its experts in one order."""
    models = [fit(random_state=seed) for seed in range(10)]
    best = max(m.log_likelihood_ for m in models)
    there = [m for m in models if m.log_likelihood_ > best - 1e-3]
    assert len(there) >= 5
    for model in there:
        assert_same(model, there[0], ("coef_", "intercept_", "gate_coef_", "sigma_"), atol=0.02)


def test_random_state_decides_and_threads_do_not():
    X, y, _ = make_moe(9000, 3, 2, noise=0.3, random_state=5)  # threads start at 8192 rows
    model = fit(X, y, n_experts=2, n_init=3, n_threads=1)
    for n_threads in (2, 7, None):
        assert_same(model, fit(X, y, n_experts=2, n_init=3, n_threads=n_threads))
    assert_same(model, fit(X, y, n_experts=2, n_init=3, random_state=np.random.default_rng(0)))
    other = fit(X, y, n_experts=2, n_init=3, random_state=1)
    assert any((getattr(other, name) != getattr(model, name)).any() for name in ("coef_", "gate_coef_"))


def test_clone_and_pickle():
    model = fit(noise="shared", alpha=0.5)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "coef_")
    again = pickle.loads(pickle.dumps(model))
    assert_same(again, model)
    assert again.fit_report_ == model.fit_report_
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_the_fit_report():
    model = fit(n_init=5)
    report = model.fit_report_
    kinds = [start.kind for start in report.starts]
    assert len(kinds) == 5
    assert kinds[0].startswith("spectral")
    assert "random assignment" in kinds
    winner = report.starts[report.chosen]
    assert winner.log_likelihood == pytest.approx(model.log_likelihood_, rel=1e-12)
    assert winner.log_likelihood == max(start.log_likelihood for start in report.starts)
    assert (winner.n_iter, winner.status, winner.collapsed) == (model.n_iter_, "converged", ())
    assert (report.out_of_time, report.collapsed) == (False, ())


@pytest.mark.parametrize(("start", "kind"), [("spectral", "spectral"), ("random", "random assignment")])
def test_one_kind_of_start(start, kind):
    report = fit(start=start, n_init=3).fit_report_
    assert len(report.starts) == 3
    assert all(s.kind.startswith(kind) for s in report.starts)


def test_more_starts_never_do_worse():
    """Every start of the shorter list is in the longer one when all are random."""
    likelihoods = [fit(start="random", n_init=n, random_state=3).log_likelihood_ for n in (1, 4, 16)]
    assert np.diff(likelihoods).min() > -1e-3


@pytest.mark.parametrize("n_init", ["auto", 5])
def test_time_budget_cuts_the_starts_but_not_the_first_start(n_init):
    # A search has seen some rows only by then.
    cut = pytest.warns(ConvergenceWarning) if n_init == "auto" else contextlib.nullcontext()
    with cut:
        report = fit(EASY_X, EASY_Y, n_experts=2, time_budget=1e-9, n_init=n_init, n_threads=1).fit_report_
    assert report.out_of_time
    assert len(report.starts) == 1
    assert not fit(time_budget=1e9, n_init=2).fit_report_.out_of_time


# ---- special cases -------------------------------------------------------------------------------------


def test_one_expert_is_least_squares():
    model = fit(n_experts=1)
    wanted = np.linalg.lstsq(np.column_stack([X, np.ones(600)]), Y, rcond=None)[0]
    np.testing.assert_allclose(np.append(model.coef_, model.intercept_), wanted, rtol=1e-9)
    assert not model.gate_coef_.any()
    np.testing.assert_array_equal(model.predict_gates(X), 1.0)


def test_shared_noise():
    assert len(set(fit(noise="shared").sigma_)) == 1
    assert len(set(fit().sigma_)) == 3


@pytest.mark.parametrize("link", ["sigmoid", "tanh", "relu"])
def test_nonlinear_experts_without_polish(link):
    """Directions from the moments, gates by EM: the right experts explain most of the response."""
    X, y, truth = make_moe(60_000, 5, 2, link=link, noise=0.05, orthogonal_gate=True, random_state=6)
    model = fit(X, y, n_experts=2, link=link, polish=False)
    cosines = model.coef_ @ truth.coef.T / np.linalg.norm(model.coef_, axis=1, keepdims=True)
    assert cosines.max(axis=0).min() > 0.95
    noise = np.mean((y - truth.mean(X)) ** 2)
    assert np.mean((y - model.predict(X)) ** 2) < 1.2 * noise
    assert model.fit_report_.starts[0].kind == "spectral, unpolished"
    assert model.log_likelihood_ == pytest.approx(model.log_likelihood(X, y), rel=1e-10)


@pytest.mark.parametrize("name", ["n_experts", "noise", "link", "fit_intercept"])
def test_a_fit_does_not_change_with_parameters_set_afterwards(name):
    """Not until fit is called again, and not when that fails."""
    model = fit()
    before = model.n_parameters_, model.bic(X, Y), model.predict(X), str(model.summary())
    model.set_params(**{name: {"n_experts": 9, "noise": "shared", "link": "tanh", "fit_intercept": False}[name]})
    assert before[:2] == (model.n_parameters_, model.bic(X, Y))
    np.testing.assert_array_equal(before[2], model.predict(X))
    assert before[3] == str(model.summary())


def test_a_sound_optimum_is_preferred_to_a_collapsed_one():
    """An expert that fits three rows exactly wins by likelihood: the smaller the floor, the more."""
    rng = np.random.default_rng(0)
    X, y, truth = make_moe(300, 2, 2, noise=0.5, random_state=rng)
    problem = EmProblem(Samples(X, y, np.ones(300)), EmOptions(noise_floor=1e-12))
    owner = np.eye(2)[(np.arange(300) < 3).astype(int)]
    standard = truth.to_standard(problem.standardisation)
    sound = Start("sound", lambda: standard)
    tempting = Start("tempting", lambda: owner)
    fit, report = best_of_starts(problem, [tempting, sound])
    collapsed, other = report.starts
    assert collapsed.collapsed == (1,)
    assert collapsed.log_likelihood > other.log_likelihood
    assert (report.chosen, report.collapsed, fit.collapsed) == (1, (), ())
    # With nothing better to choose it is returned, and told.
    assert best_of_starts(problem, [tempting])[1].collapsed == (1,)


# ---- links are what they do, not what they are called --------------------------------------------------


def test_a_link_that_is_called_linear_is_not_taken_for_it():
    def linear(z):
        return z**3

    X, y, _ = make_moe(200, 3, 2, random_state=0)
    cubes = MixtureOfExpertsRegressor(2, link=linear, random_state=0).fit(X, y)
    assert not cubes.link_.is_linear
    assert abs(cubes.log_likelihood_ - MixtureOfExpertsRegressor(2, random_state=0).fit(X, y).log_likelihood_) > 1


@pytest.mark.parametrize(
    ("link", "message"),
    [
        (lambda z: np.where(z > 0, np.nan, z), "is not finite"),
        (lambda z: np.tanh(z).sum(), "of the shape it is given"),
        (lambda z: z + 1j, "real numbers"),
    ],
)
@pytest.mark.parametrize("polish", [True, False])
def test_a_link_that_misbehaves_is_named(link, message, polish):
    X, y, _ = make_moe(200, 3, 2, random_state=0)
    with pytest.raises(ValueError, match=rf"link '<lambda>'.*{message}"):
        MixtureOfExpertsRegressor(2, link=link, polish=polish).fit(X, y)


@pytest.mark.parametrize("unit", [1e-200, 1e-100, 1e100, 1e200])
def test_the_standard_deviation_follows_the_units_of_y(unit):
    X, y, _ = make_moe(300, 3, 2, random_state=0)
    plain, scaled = (MixtureOfExpertsRegressor(2, random_state=0).fit(X, u * y) for u in (1.0, unit))
    expected = plain.predict(X, return_std=True)[1]
    np.testing.assert_allclose(scaled.predict(X, return_std=True)[1] / unit, expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["predict", "predict_gates"])
def test_rows_far_beyond_the_data_are_an_error_not_nan(method):
    X, y, _ = make_moe(300, 3, 2, random_state=0)
    model = MixtureOfExpertsRegressor(2, random_state=0).fit(1e-3 * X, y)  # coefficients of about 1000
    far = np.zeros((5, 3))
    far[3] = [1e307, 1.7e308, -1e307]
    with pytest.raises(OverflowError, match=r"row 3 .*X column 1"):
        getattr(model, method)(far)


@pytest.mark.parametrize("budget", [True, np.inf, 0, -1.0, "1"])
def test_a_time_budget_that_is_none_is_refused(budget):
    X, y, _ = make_moe(300, 3, 2, random_state=0)
    with pytest.raises(ValueError, match="time_budget"):
        MixtureOfExpertsRegressor(2, time_budget=budget).fit(X, y)
