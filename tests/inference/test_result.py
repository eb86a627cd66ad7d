"""Standard errors of a fit: beside statsmodels, the likelihood itself and known identities."""

import pickle
import warnings
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from inference_fits import fitted
from scipy import stats

from moefast.datasets import make_moe
from moefast.em import EmOptions, fit_em
from moefast.exceptions import DegenerateDataWarning
from moefast.mixture import Mixture
from oracles.information import Model, hessian, row_scores

COVARIANCES = ["robust", "nonrobust"]


@pytest.fixture(scope="module")
def linear_data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3)) * [1, 10, 0.01] + [5, -100, 3]
    y = X @ [1, 0.2, 30] + rng.normal(size=200) * np.exp(0.3 * X[:, 0] - 1.5)
    return X, y, rng.integers(15, size=200)


# ---- right ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cov_type", ["nonrobust", "robust", "cluster"])
def test_one_expert_is_ordinary_least_squares(linear_data, cov_type, weighted):
    X, y, groups = linear_data
    n, p = len(y), 4
    w = 1 + groups % 3 if weighted else None
    rows = np.repeat(np.arange(n), w) if weighted else np.arange(n)
    n = len(rows)
    theirs = sm.OLS(y[rows], sm.add_constant(X, prepend=False)[rows])
    if cov_type == "nonrobust":  # they divide the noise by n - p
        expected = theirs.fit().bse * np.sqrt((n - p) / n)
    elif cov_type == "robust":
        expected = theirs.fit(cov_type="HC0").bse
    else:  # they multiply by (n - 1) / (n - p) too
        expected = theirs.fit(cov_type="cluster", cov_kwds={"groups": groups[rows]}).bse
        expected = expected * np.sqrt((n - p) / (n - 1))
    result = fitted(X, y, 1, sample_weight=w).inference(
        X, y, sample_weight=w, cov_type=cov_type, groups=groups if cov_type == "cluster" else None
    )
    np.testing.assert_allclose(result.params[:4], theirs.fit().params, rtol=1e-9)
    np.testing.assert_allclose(result.bse[:4], expected, rtol=1e-9)


@pytest.mark.parametrize("noise", ["per_expert", "shared"])
@pytest.mark.parametrize("intercepts", [(True, True), (False, True), (True, False)])
def test_covariances_are_those_of_the_likelihood_in_the_units_of_the_data(intercepts, noise):
    X, y, _ = make_moe(400, 2, 3, noise=0.3, random_state=4)
    X = X * [0.5, 3.0] + [0.3, -1.0]
    w = np.random.default_rng(0).uniform(0.5, 2, size=len(y))
    model = fitted(
        X, y, 3, w, noise=noise, fit_intercept=intercepts[0], fit_gate_intercept=intercepts[1], gate_alpha=0.0
    )
    columns = [[0, 1, 2] if has else [0, 1] for has in intercepts]
    oracle = Model(X, y, 3, *columns, noise == "shared")
    nonrobust = model.inference(X, y, w, cov_type="nonrobust")
    np.testing.assert_allclose(oracle.row_log_density(nonrobust.params), model.score_samples(X, y), rtol=1e-10)
    _, T, constant = nonrobust.to_units  # of where the gradient vanishes, a little way off
    theta = T @ nonrobust.layout.vector(nonrobust.fit.mixture) + constant
    np.testing.assert_allclose(theta, nonrobust.params, atol=1e-3)
    A = np.linalg.inv(-hessian(oracle, theta, w))
    scores = row_scores(oracle, theta)
    size = np.sqrt(np.diag(A))
    np.testing.assert_allclose(nonrobust.cov_params() / np.outer(size, size), A / np.outer(size, size), atol=1e-6)
    B = A @ (scores.T @ (w[:, None] * scores)) @ A
    robust = model.inference(X, y, w)
    np.testing.assert_allclose(robust.cov_params() / np.outer(size, size), B / np.outer(size, size), atol=1e-6)
    assert robust.messages == ()


def test_experts_and_gates_with_columns_of_their_own():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3)) * [1, 5, 2] + 3
    coef, gates = np.array([[1.0, 0, 0.5], [-1.0, 0, 0.5]]), np.array([[0, 0.3, 0], [0, 0, 0]])
    truth = Mixture(coef, np.zeros(2), gates, np.array([-0.9, 0.0]), np.full(2, 0.3))
    table, y = pd.DataFrame(X, columns=["a", "b", "c"]), truth.draw(X, rng)
    model = fitted(table, y, expert_features=["a", "c"], gate_features=["b"], gate_alpha=0.0)
    result = model.inference(table, y, cov_type="nonrobust")
    assert [name for part, name in result.names if part == "expert 1"] == ["a", "c", "(intercept)", "log(sigma)"]
    assert [name for part, name in result.names if part == "gate 0"] == ["b", "(intercept)"]
    assert len(result.params) == model.n_parameters_
    oracle = Model(table.to_numpy(), y, 2, [0, 2, 3], [1, 3])
    _, T, constant = result.to_units
    theta = T @ result.layout.vector(result.fit.mixture) + constant
    A = np.linalg.inv(-hessian(oracle, theta, np.ones(len(y))))
    np.testing.assert_allclose(result.bse, np.sqrt(np.diag(A)), rtol=1e-6)
    shape = result.table(result.bse)
    assert np.isnan(shape.coef[:, 1]).all()
    assert np.isfinite(shape.coef[:, [0, 2]]).all()
    replicates = result.bootstrap(60, random_state=0)
    assert abs(replicates.bse / result.bse - 1).max() < 0.5
    np.testing.assert_allclose(result.predict(table[:5]).mean, model.predict(table[:5]))


def test_constant_gates():
    X, y, _ = make_moe(500, 1, 2, noise=0.2, random_state=3)
    model = fitted(X, y, gate_features=[])
    result = model.inference(X, y)
    assert result.names[result.layout.gates] == [("gate 0", "(intercept)")]
    share = model.shares_
    proportion = result.delta(lambda m: m.gates(X[:1])[0])
    np.testing.assert_allclose(proportion.estimate, share, atol=1e-4)
    assert proportion.bse[0] > np.sqrt(share[0] * share[1] / 500)  # who is whose is not seen


@pytest.mark.parametrize("link", ["tanh", "softplus", "relu"])
def test_a_link_changes_the_covariances_as_it_changes_the_likelihood(link):
    X, y, _ = make_moe(1500, 2, 2, link=link, noise=0.2, random_state=2)
    complex_link = {
        "tanh": np.tanh,
        "softplus": lambda eta: np.log(1 + np.exp(eta)),
        "relu": lambda eta: np.where(eta.real > 0, eta, 0),
    }[link]
    model = fitted(X, y, 2, link=link)
    result = model.inference(X, y, cov_type="nonrobust")
    oracle = Model(X, y, 2, [0, 1, 2], [0, 1, 2], link=complex_link)
    A = np.linalg.inv(-hessian(oracle, result.params, np.ones(len(y))))
    np.testing.assert_allclose(result.bse, np.sqrt(np.diag(A)), rtol=1e-4)


@pytest.mark.parametrize("cov_type", COVARIANCES)
def test_a_weight_is_so_many_copies(two_experts, cov_type):
    X, y, _ = two_experts
    w = np.arange(len(y)) % 4  # zero among them
    rows = np.repeat(np.arange(len(y)), w)
    weighted = fitted(X, y, sample_weight=w).inference(X, y, w, cov_type=cov_type)
    copied = fitted(X[rows], y[rows]).inference(X[rows], y[rows], cov_type=cov_type)
    np.testing.assert_allclose(weighted.params, copied.params, rtol=1e-4)
    np.testing.assert_allclose(weighted.bse, copied.bse, rtol=1e-4)


def test_copies_in_one_cluster_are_the_row_itself(two_experts):
    X, y, model = two_experts
    n = len(y)
    rows = np.repeat(np.arange(n), 5)
    alone = model.inference(X, y)
    copied = fitted(X[rows], y[rows]).inference(X[rows], y[rows], cov_type="cluster", groups=rows)
    np.testing.assert_allclose(copied.bse, np.sqrt(n / (n - 1)) * alone.bse, rtol=1e-4)
    naive = fitted(X[rows], y[rows]).inference(X[rows], y[rows])
    np.testing.assert_allclose(naive.bse, alone.bse / np.sqrt(5), rtol=1e-4)


def test_units_go_through():
    X, y, _ = make_moe(600, 2, 2, noise=0.3, random_state=1)
    scale, shift = np.array([1e-7, 3e5]), np.array([1e-4, -2e8])
    plain, moved = (fitted(a, b).inference(a, b) for a, b in [(X, y), (X * scale + shift, 1e6 * y - 3e9)])
    table, other = plain.table(plain.bse), moved.table(moved.bse)
    np.testing.assert_allclose(other.coef, 1e6 * table.coef / scale, rtol=1e-6)
    np.testing.assert_allclose(other.gate_coef[:-1], table.gate_coef[:-1] / scale, rtol=1e-6)
    np.testing.assert_allclose(other.log_sigma, table.log_sigma, rtol=1e-6)
    np.testing.assert_allclose(moved.predict(X[:9] * scale + shift).se_mean, 1e6 * plain.predict(X[:9]).se_mean)


def test_another_reference_is_what_the_delta_method_says(two_experts):
    X, y, _ = make_moe(900, 2, 3, noise=0.3, random_state=4)
    result = fitted(X, y, 3).inference(X, y)
    turned = result.with_reference(0)
    np.testing.assert_allclose(turned.with_reference(2).bse, result.bse, rtol=1e-9)
    contrast = result.delta(lambda m: m.gate_coef[1] - m.gate_coef[0])
    where = turned.layout.gate(1)
    np.testing.assert_allclose(turned.params[where][:2], contrast.estimate)
    np.testing.assert_allclose(turned.bse[where][:2], contrast.bse, rtol=1e-6)
    np.testing.assert_array_equal(turned.bse[: turned.layout.gates.start], result.bse[: result.layout.gates.start])
    assert turned.names[turned.layout.gates.start] == ("gate 1", "x0")
    assert np.isnan(turned.table(turned.params).gate_coef[0]).all()


def test_delta_method_and_predictions(two_experts):
    X, y, model = two_experts
    result = model.inference(X, y)
    slopes = result.delta(lambda m: m.coef.ravel())
    np.testing.assert_allclose(slopes.estimate, model.coef_.ravel())
    np.testing.assert_allclose(slopes.bse, result.table(result.bse).coef.ravel(), rtol=1e-6)
    prediction = result.predict(X[:20])
    means = result.delta(lambda m: m.mean(X[:20]))
    np.testing.assert_allclose(prediction.mean, model.predict(X[:20]))
    np.testing.assert_allclose(prediction.se_mean, means.bse, rtol=1e-6)
    np.testing.assert_allclose(prediction.conf_int(0.1), means.conf_int(0.1))
    sigma = result.delta(lambda m: m.sigma)
    np.testing.assert_allclose(sigma.bse / model.sigma_, result.bse[result.layout.noise], rtol=1e-6)


def test_predictions_of_a_link_and_of_many_rows(monkeypatch):
    monkeypatch.setattr("moefast.inference.mean._BLOCK_NUMBERS", 100)
    X, y, _ = make_moe(1000, 2, 2, link="tanh", noise=0.2, random_state=2)
    result = fitted(X, y, 2, link="tanh").inference(X, y)
    means = result.delta(lambda m: m.mean(X[:30]))
    np.testing.assert_allclose(result.predict(X[:30]).se_mean, means.bse, rtol=1e-5)


def test_intervals_and_tests_are_normal(two_experts):
    X, y, model = two_experts
    result = model.inference(X, y)
    wide, narrow = result.conf_int(0.01), result.conf_int(0.1)
    np.testing.assert_allclose(wide[:, 1] - result.params, 2.5758293035489004 * result.bse)
    np.testing.assert_allclose(result.params - narrow[:, 0], 1.6448536269514722 * result.bse)
    np.testing.assert_allclose(np.log(result.sigma_conf_int()), result.conf_int()[result.layout.noise])
    z = result.zvalues
    np.testing.assert_allclose(z[:-2], (result.params / result.bse)[:-2])
    assert np.isnan(z[-2:]).all()
    np.testing.assert_allclose(result.pvalues, 2 * stats.norm.sf(np.abs(z)), rtol=1e-9)


def test_the_frame_has_names(two_experts):
    X, y, _ = two_experts
    table = pd.DataFrame(X, columns=["age", "dose"])
    result = fitted(table, y).inference(table, y)
    assert repr(result) == "<InferenceResult: robust standard errors of 11 parameters>"
    frame = result.summary_frame(alpha=0.1)
    assert list(frame.columns) == ["coef", "std err", "z", "P>|z|", "[0.05", "0.95]"]
    assert frame.loc[("gate 0", "dose"), "std err"] == result.bse[result.names.index(("gate 0", "dose"))]
    assert result.predict(table[:3]).mean.shape == (3,)
    with pytest.raises(ValueError, match="X must have the columns of the fit, age, dose, got dose, age"):
        result.predict(table[["dose", "age"]])


def test_a_result_can_be_pickled(two_experts):
    X, y, model = two_experts
    result = model.inference(X, y)
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(again.bse, result.bse)
    with pytest.raises(AttributeError):
        result.params = np.zeros(3)


# ---- what the data do not determine ---------------------------------------------------------------------


def test_aliased_columns_have_no_standard_errors_and_the_rest_has_its_own():
    X, y, _ = make_moe(1200, 3, 3, noise=0.3, random_state=2)
    plain = fitted(X, y, 3).inference(X, y)
    more = np.column_stack([X, X[:, 0] + X[:, 1] + 1.0])
    with pytest.warns(DegenerateDataWarning, match="linear combinations"):
        model = fitted(more, y, 3)
    with pytest.warns(DegenerateDataWarning, match=r"determine x0, x1, x3, \(intercept\) of expert 0; x0"):
        aliased = model.inference(more, y)
    assert aliased.fit.precision.flat.shape[1] == 5
    flagged = {name for (_, name), good in zip(aliased.names, aliased.estimable, strict=True) if not good}
    assert flagged == {"x0", "x1", "x3", "(intercept)"}  # x3 has another mean, so where 0 lies is open too
    np.testing.assert_allclose(aliased.table(aliased.bse).coef[:, 2], plain.table(plain.bse).coef[:, 2], rtol=1e-4)
    np.testing.assert_allclose(aliased.predict(more[:9]).se_mean, plain.predict(X[:9]).se_mean, rtol=1e-4)
    determined = aliased.delta(lambda m: [m.coef[0, 0] + m.coef[0, 3], m.coef[0, 0]])
    assert np.isfinite(determined.bse[0])
    assert np.isnan(determined.bse[1])
    np.testing.assert_allclose(determined.bse[0], plain.bse[0], rtol=1e-4)


def separated_data():
    rng = np.random.default_rng(5)
    X = rng.uniform(-2, 2, size=(500, 2))
    X = X[np.abs(X[:, 0] - 0.3) > 0.1]
    y = np.where(X[:, 0] > 0.3, 2 + X[:, 1], X[:, 0] - X[:, 1] - 1) + 0.1 * rng.normal(size=len(X))
    return X, y


@pytest.mark.parametrize("gate_alpha", ["auto", 1e-4])
def test_a_separated_gate_is_named_and_has_no_standard_errors(gate_alpha):
    X, y = separated_data()
    with nullcontext() if gate_alpha != "auto" else pytest.warns(DegenerateDataWarning, match="separated gates"):
        model = fitted(X, y, gate_alpha=gate_alpha)
    with pytest.warns(DegenerateDataWarning, match=r"gate 0 \(against expert 1\) is separated"):
        result = model.inference(X, y)
    gates = np.array([part.startswith("gate") for part, _ in result.names])
    assert not result.estimable[gates].any()
    assert result.estimable[~gates].all()
    assert np.isnan(result.bse[gates]).all()
    assert np.isnan(result.with_reference(0).bse[gates]).all()
    # Each side is a regression of its own, and a mean far from the border is its.
    side = X[:, 0] > 0.3
    for i in range(2):
        here = side == (model.predict_gates(X)[:, i] > 0.5)[side.argmax()]
        ols = sm.OLS(y[here], sm.add_constant(X[here], prepend=False)).fit(cov_type="HC0")
        np.testing.assert_allclose(result.bse[result.layout.expert(i)], ols.bse, rtol=1e-3)
    assert np.isfinite(result.predict([[-1.5, 0.0], [1.5, 0.0]]).se_mean).all()


def test_steep_gates_and_strong_ridges_are_no_separation():
    X, y, _ = make_moe(2000, 2, 2, noise=0.2, gate_scale=20.0, random_state=0)
    assert fitted(X, y).inference(X, y).estimable.all()
    X, y, _ = make_moe(300, 2, 2, noise=0.3, random_state=0)
    assert fitted(X, y, gate_alpha=3.0).inference(X, y).estimable.all()


def with_warnings(call, *arguments, **keywords):
    """Return the result of a call that warns of degenerate data."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call(*arguments, **keywords)
    assert caught
    assert {w.category for w in caught} == {DegenerateDataWarning}
    return result


def take(model, mixture):
    """Give a model the optimum that its search keeps away from."""
    model._set_parameters(mixture)


def test_noise_at_its_floor_is_given(linear_data):
    X, y, _ = linear_data
    model = with_warnings(fitted, X, y, 1, noise_floor=2.0)
    with pytest.warns(DegenerateDataWarning, match=r"the noise of expert\(s\) 0 is at its floor"):
        result = model.inference(X, y, cov_type="nonrobust")
    U = np.column_stack([X, np.ones(len(y))])
    expected = 2.0 * y.std() * np.sqrt(np.diag(np.linalg.inv(U.T @ U)))
    np.testing.assert_allclose(result.bse, [*expected, np.nan], rtol=1e-6)
    assert list(result.estimable) == [True] * 4 + [False]
    assert np.isnan(result.delta(lambda m: m.sigma[0]).bse[0])
    assert np.isnan(result.sigma_conf_int()).all()
    assert repr(result) == "<InferenceResult: nonrobust standard errors of 5 parameters, 1 of them without>"


@pytest.mark.parametrize("few", [0, 1])
def test_an_expert_with_too_few_rows_has_no_standard_errors(few):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 2))
    y = X @ [1.0, -1.0] + rng.normal(size=200)
    X[:3, 0] += 8
    y[:3] += 60 + 3 * rng.normal(size=3)
    model = with_warnings(fitted, X, y, noise="shared")
    start = Mixture(
        np.zeros((2, 2)), np.array([0.0, 60.0]), np.array([[-9.0, 0], [0, 0]]), np.zeros(2), np.ones(2)
    )
    fit = fit_em(X, y, start, options=EmOptions(noise="shared"))
    assert fit.collapsed == (1,)
    mixture = fit.mixture.ordered(np.array([0, 1] if few == 1 else [1, 0]))
    take(model, mixture)
    result = with_warnings(model.inference, X, y)
    assert f"expert(s) {few} have fewer than d + 2 rows" in result.messages[0]
    lost = {part for (part, _), good in zip(result.names, result.estimable, strict=True) if not good}
    assert lost == {f"expert {few}", "gate 0"}
    ols = sm.OLS(y[3:], sm.add_constant(X[3:], prepend=False)).fit(cov_type="HC0")
    np.testing.assert_allclose(result.bse[result.layout.expert(1 - few)], ols.bse, rtol=0.02)
    means = result.predict([[0.0, 0.0], [9.0, 0.0]])
    assert np.isfinite(means.se_mean[0])
    assert np.isnan(means.se_mean[1])


def test_gates_beside_an_expert_with_too_few_rows_are_lost():
    X, y, _ = make_moe(900, 2, 3, noise=0.3, random_state=4)
    result = fitted(X, y, 3).inference(X, y)

    def lost(few, reference):
        fit = replace(result.fit, precision=replace(result.fit.precision, few_rows=few))
        turned = replace(result, fit=fit).with_reference(reference)
        return {part for (part, _), good in zip(turned.names, turned.estimable, strict=True) if not good}

    assert lost((1,), 2) == {"gate 1"}
    assert lost((2,), 2) == {"gate 0", "gate 1"}
    assert lost((1,), 1) == {"gate 0", "gate 2"}
    assert lost((), 2) == set()


def test_a_column_that_does_not_vary_among_an_experts_rows_is_named():
    rng = np.random.default_rng(2)
    x, dummy = rng.uniform(-3, 3, size=500), np.zeros(500)
    dummy[x > 1] = rng.integers(2, size=int((x > 1).sum()))
    X = np.column_stack([x, dummy])
    y = np.where(x > 0, 20 + x + 2 * dummy, -20 - x) + 0.5 * rng.normal(size=500)
    gates = np.array([[-9.0, 0], [0, 0]])
    truth = Mixture(np.array([[-1.0, 0], [1, 2]]), np.array([-20.0, 20]), gates, np.zeros(2), np.full(2, 0.5))
    low, model = 0, with_warnings(fitted, X, y)
    take(model, fit_em(X, y, truth).mixture)
    result = with_warnings(model.inference, X, y)
    assert any(f"do not determine x1 of expert {low}" in message for message in result.messages)
    assert not result.estimable[result.names.index((f"expert {low}", "x1"))]
    assert result.estimable[result.names.index((f"expert {1 - low}", "x1"))]
