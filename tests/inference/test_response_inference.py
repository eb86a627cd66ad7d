"""Standard errors of several responses: textbooks, numerical derivatives, groups, functions, pictures of them."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from moefast import MixtureOfExpertsRegressor
from moefast.em.grouped_information import grouped_derivatives
from moefast.em.response_covariance import covariance_of, numbers_by_scales, scales_of
from moefast.groups import RowGroups, group_labels
from moefast.inference.information import ridge_hessian
from moefast.inference.layout import ParameterLayout
from moefast.standardisation import Standardisation
from oracles.em import numerical_hessian
from oracles.responses import log_likelihood, make_responses

X, Y, TRUTH = make_responses(900, 2, 2, 2, "full", seed=6)


@pytest.fixture(scope="module")
def fitted():
    model = MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y)
    return model, model.inference(X, Y, cov_type="nonrobust")


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_one_expert_has_the_errors_of_the_textbook(kind):
    """Sigma kron (U'U)^-1; log s has variance 1 / 2 n, atanh of a correlation 1 / n."""
    model = MixtureOfExpertsRegressor(1, covariance_type=kind).fit(X, Y)
    result = model.inference(X, Y, cov_type="nonrobust")
    U = np.column_stack([X, np.ones(len(X))])
    covariance = model.covariance_[0]
    expected = np.kron(covariance, np.linalg.inv(U.T @ U))
    found = result.cov_params()
    np.testing.assert_allclose(found[:6, :6], expected, rtol=1e-7, atol=1e-12)
    noise = found[6:, 6:]
    np.testing.assert_allclose(np.diag(noise)[:2], 1 / (2 * len(X)), rtol=1e-7)
    assert result.names[6] == ("expert 0", "log(sigma [y0])")
    if kind == "full":
        assert result.names[8] == ("expert 0", "atanh(corr [y0, y1])")
        np.testing.assert_allclose(noise[2, 2], 1 / len(X), rtol=1e-7)
    np.testing.assert_allclose(found[:6, 6:], 0, atol=1e-10)


def test_parameters_of_covariances_and_back():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(2, 3, 3))
    covariance = root @ np.swapaxes(root, 1, 2)
    scales = scales_of(covariance, diagonal=False)
    np.testing.assert_allclose(covariance_of(scales, 3, diagonal=False), covariance)

    def numbers(scales):
        M = np.linalg.inv(np.linalg.cholesky(covariance_of(scales[None], 3, diagonal=False)[0]))
        return np.array([-np.log(M[r, r]) if r == c else M[r, c] for r in range(3) for c in range(r + 1)])

    h = 1e-6
    numeric = [(numbers(scales[0] + h * e) - numbers(scales[0] - h * e)) / (2 * h) for e in np.eye(6)]
    np.testing.assert_allclose(numbers_by_scales(covariance[0], diagonal=False), np.transpose(numeric), atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "noise", "alpha"),
    [("full", "per_expert", 15.0), ("full", "shared", 0.0), ("diag", "per_expert", 0.0), ("diag", "shared", 15.0)],
)
def test_precision_is_the_second_derivative_of_the_objective(kind, noise, alpha):
    model = MixtureOfExpertsRegressor(2, covariance_type=kind, noise=noise, alpha=alpha, random_state=0).fit(X, Y)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the experts are shrunk")
        result = model.inference(X, Y)
    problem, mixture, layout = result.fit.problem, result.fit.mixture, result.fit.precision.layout
    theta = layout.vector(mixture)
    np.testing.assert_allclose(layout.mixture(theta, mixture.link, mixture.family).covariance, mixture.covariance)

    def objective(theta):
        at = layout.mixture(theta, mixture.link, mixture.family)
        value = log_likelihood(problem.Z, problem.t, at)
        for A, covariance in zip(at.coef, at.covariance, strict=True):
            value -= 0.5 * alpha * np.trace(A.T @ np.linalg.solve(covariance, A))
        spread = at.gate_coef - at.gate_coef.mean(axis=0)
        return value - 0.5 * problem.options.gate_ridge * (spread**2).sum()

    numeric = numerical_hessian(objective, theta, np.full(len(theta), 2e-4))
    found = problem.derivatives(mixture)[1] - ridge_hessian(problem, mixture, layout)
    scale = np.sqrt(np.outer(np.diag(found), np.diag(found)))
    np.testing.assert_allclose(found / scale, numeric / scale, atol=2e-4)


def test_groups_of_one_row_and_of_several(fitted):
    """What the core has for rows, and what groups have as if they were rows."""
    model = MixtureOfExpertsRegressor(2, gate_features=[0], random_state=0).fit(X, Y)
    problem = model.inference(X, Y).fit.problem
    mixture = model.mixture_.to_standard(problem.standardisation)
    alone = problem.reweighted(problem.sample_weight)
    alone.groups = RowGroups.of(group_labels(np.arange(len(X)), len(X)))
    for found, expected in zip(grouped_derivatives(alone, mixture), problem.derivatives(mixture), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-6)
    labels = np.repeat(np.arange(300), 3)
    grouped = MixtureOfExpertsRegressor(2, gate_features=[], random_state=0).fit(X, Y, groups=labels)
    result = grouped.inference(X, Y, groups=labels)
    assert np.isfinite(result.bse).all()


def test_units_and_functions(fitted):
    """In other units standard errors go along; the delta method knows the covariances."""
    model, result = fitted
    other = MixtureOfExpertsRegressor(2, start=model.mixture_.to_units(_units())).fit(X, Y * [10.0, 0.1] + 3.0)
    moved = other.inference(X, Y * [10.0, 0.1] + 3.0, cov_type="nonrobust")
    table, expected = moved.table(moved.bse), result.table(result.bse)
    np.testing.assert_allclose(table.coef, expected.coef * [[[10.0], [0.1]]], rtol=1e-4)
    np.testing.assert_allclose(table.intercept, expected.intercept * [10.0, 0.1], rtol=1e-4)
    np.testing.assert_allclose(table.log_sigma, expected.log_sigma, rtol=1e-4)
    np.testing.assert_allclose(table.correlation, expected.correlation, rtol=1e-4)
    of_sigma = result.delta(lambda mixture: np.log(mixture.sigma[0]))
    np.testing.assert_allclose(of_sigma.bse, result.table(result.bse).log_sigma[0], rtol=1e-6)
    interval = result.sigma_conf_int()
    assert interval.shape == (2, 2, 2)
    assert ((interval[..., 0] < model.sigma_) & (model.sigma_ < interval[..., 1])).all()


def _units():
    return Standardisation(np.zeros(2), np.ones(2), np.array([3.0, 3.0]), np.array([10.0, 0.1]))


def test_means_have_errors(fitted):
    model, result = fitted
    found = result.predict(X[:5])
    np.testing.assert_allclose(found.mean, model.predict(X[:5]))
    assert found.conf_int().shape == (5, 2, 2)
    for n in range(3):
        delta = result.delta(lambda mixture, n=n: mixture.mean(X[n : n + 1])[0])
        np.testing.assert_allclose(found.se_mean[n], delta.bse, rtol=1e-5)


def test_the_bootstrap_is_near(fitted):
    _, result = fitted
    bootstrap = result.bootstrap(60, random_state=0)
    assert bootstrap.replicates.shape == (60, len(result.params))
    ratio = bootstrap.bse / result.bse
    assert ((ratio > 0.6) & (ratio < 1.6)).all()
    assert bootstrap.sigma_conf_int().shape == (2, 2, 2)
    parametric = result.bootstrap(10, kind="parametric", random_state=0)
    assert np.isfinite(parametric.replicates).all()
    assert bootstrap.predict(X[:4]).se_mean.shape == (4, 2)


def test_the_summary_has_names_errors_and_correlations():
    frame = pd.DataFrame(Y, columns=["price", "rent"])
    model = MixtureOfExpertsRegressor(2, random_state=0).fit(pd.DataFrame(X, columns=["age", "size"]), frame)
    features = pd.DataFrame(X, columns=["age", "size"])
    result = model.inference(features, frame)
    assert ("expert 1", "size [rent]") in result.names
    summary = model.summary(result)
    shown = summary.to_frame()
    row = shown.loc["experts", "expert 0", "corr [price, rent]"]
    correlation = model.covariance_[0, 0, 1] / model.sigma_[0].prod()
    assert row["estimate"] == pytest.approx(correlation)
    assert row["ci_low"] < correlation < row["ci_high"]
    assert "2 correlated responses" in str(summary)
    assert "sigma [price]" in str(model.summary())


def test_a_covariance_at_the_floor_has_no_error():
    rng = np.random.default_rng(0)
    exact = np.column_stack([X @ [1.0, 2.0], rng.normal(size=len(X))])
    with pytest.warns(match="collapsed"):
        model = MixtureOfExpertsRegressor(1).fit(X, exact)
    with pytest.warns(match="floor"):
        result = model.inference(X, exact)
    noise = result.fit.precision.layout.noise
    assert np.isnan(result.bse[noise]).all()


def test_layout_without_names():
    model = MixtureOfExpertsRegressor(2, noise="shared", random_state=0).fit(X, Y)
    layout = ParameterLayout.of(model, model._checked_parameters())
    assert layout.names[-1] == ("all experts", "atanh(corr [y0, y1])")
    assert layout.log_sigmas.shape == (1, 2)
    assert replace(layout, reference=0).n_parameters == layout.n_parameters
