"""Fits of several responses: likelihood, least squares, change of units, weights, predictions, refusals."""

import pickle
import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import norm
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning

from moefast import (
    BaggedMixtureOfExperts,
    HierarchicalMixtureOfExpertsRegressor,
    MixtureOfExpertsClassifier,
    MixtureOfExpertsRegressor,
    load_model,
    save_model,
    select_n_experts,
)
from moefast.diagnostics import diagnose
from moefast.em import fit_em
from moefast.exceptions import DegenerateDataWarning
from moefast.families import MultivariateGaussian
from oracles.responses import log_likelihood, make_responses

X, Y, TRUTH = make_responses(1200, 3, 2, 2, "full", seed=1)


@pytest.fixture(scope="module")
def model():
    return MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y)


@pytest.mark.parametrize("noise", ["per_expert", "shared"])
@pytest.mark.parametrize("kind", ["full", "diag"])
def test_likelihood_and_number_of_parameters(kind, noise):
    model = MixtureOfExpertsRegressor(2, covariance_type=kind, noise=noise, random_state=0).fit(X, Y)
    expected = log_likelihood(X, Y, model.mixture_)
    np.testing.assert_allclose(model.log_likelihood_, expected, rtol=1e-11)
    np.testing.assert_allclose(model.log_likelihood(X, Y), expected, rtol=1e-11)
    np.testing.assert_allclose(model.score_samples(X, Y).sum(), expected, rtol=1e-11)
    of_noise = (3 if kind == "full" else 2) * (1 if noise == "shared" else 2)
    assert model.n_parameters_ == 2 * 2 * 4 + 4 + of_noise
    np.testing.assert_allclose(model.bic_, np.log(1200) * model.n_parameters_ - 2 * expected)
    np.testing.assert_allclose(model.sigma_, np.sqrt(np.diagonal(model.covariance_, axis1=1, axis2=2)))
    if kind == "diag":
        assert (model.covariance_[:, 0, 1] == 0).all()
    if noise == "shared":
        np.testing.assert_array_equal(model.covariance_[0], model.covariance_[1])


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_one_expert_is_least_squares(kind):
    w = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    model = MixtureOfExpertsRegressor(1, covariance_type=kind, noise_floor=1e-6).fit(X, Y, w)
    U = np.column_stack([X, np.ones(len(X))])
    B = np.linalg.solve(U.T @ (w[:, None] * U), U.T @ (w[:, None] * Y))
    e = Y - U @ B
    covariance = e.T @ (w[:, None] * e) / w.sum()
    np.testing.assert_allclose(model.coef_[0], B[:-1].T, rtol=1e-9)
    np.testing.assert_allclose(model.intercept_[0], B[-1], rtol=1e-9)
    np.testing.assert_allclose(
        model.covariance_[0], covariance if kind == "full" else np.diag(np.diag(covariance))
    )


def test_uncorrelated_responses_of_one_expert_are_separate_models():
    both = MixtureOfExpertsRegressor(1, covariance_type="diag").fit(X, Y)
    each = [MixtureOfExpertsRegressor(1).fit(X, Y[:, j]) for j in range(2)]
    np.testing.assert_allclose(both.log_likelihood_, sum(m.log_likelihood_ for m in each), rtol=1e-11)
    np.testing.assert_allclose(both.sigma_[0], [m.sigma_[0] for m in each], rtol=1e-9)


def test_other_responses_of_the_same_space():
    """y -> y B + c: the log-likelihood changes by -n log |det B|, the coefficients go along; floor and all."""
    B, c = np.array([[1.0, 2.0], [-0.5, 300.0]]), np.array([5.0, -7.0])
    fits = [MixtureOfExpertsRegressor(2, tol=1e-12, random_state=0).fit(X, y) for y in (Y, Y @ B + c)]
    shift = -len(X) * np.log(abs(np.linalg.det(B)))
    np.testing.assert_allclose(fits[1].log_likelihood_, fits[0].log_likelihood_ + shift, rtol=1e-9)
    np.testing.assert_allclose(fits[1].coef_, np.einsum("kqd,qr->krd", fits[0].coef_, B), rtol=1e-4)
    np.testing.assert_allclose(fits[1].covariance_, B.T @ fits[0].covariance_ @ B, rtol=1e-4)


def test_the_order_of_responses_and_their_units_do_not_matter():
    fits = [
        MixtureOfExpertsRegressor(2, covariance_type="diag", tol=1e-12, random_state=0).fit(X, y)
        for y in (Y, Y[:, ::-1] * [1e6, 1e-6])
    ]
    np.testing.assert_allclose(fits[1].log_likelihood_, fits[0].log_likelihood_, rtol=1e-9)
    np.testing.assert_allclose(fits[1].sigma_, fits[0].sigma_[:, ::-1] * [1e6, 1e-6], rtol=1e-4)


def test_weights_are_copies():
    w = np.random.default_rng(0).integers(0, 3, len(X))
    weighted = MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y, w)
    copied = MixtureOfExpertsRegressor(2, random_state=0).fit(np.repeat(X, w, axis=0), np.repeat(Y, w, axis=0))
    np.testing.assert_allclose(weighted.log_likelihood_, copied.log_likelihood_, rtol=1e-9)
    np.testing.assert_allclose(weighted.covariance_, copied.covariance_, rtol=1e-4)


def test_a_column_is_as_it_was():
    with pytest.warns(DataConversionWarning):
        column = MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y[:, :1])
    flat = MixtureOfExpertsRegressor(2, random_state=0, covariance_type="diag").fit(X, Y[:, 0])
    np.testing.assert_array_equal(column.coef_, flat.coef_)
    assert column.coef_.shape == (2, 3)
    assert column.covariance_ is None
    assert column.n_responses_ == 1


def test_predictions(model):
    p, means = model.predict_gates(X), model.predict_experts(X)
    assert means.shape == (1200, 2, 2)
    np.testing.assert_allclose(means[:, 1], X @ model.coef_[1].T + model.intercept_[1])
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, (p[:, :, None] * means).sum(axis=1))
    second = (p[:, :, None] * (means**2 + model.sigma_**2)).sum(axis=1)
    np.testing.assert_allclose(std, np.sqrt(second - mean**2))
    cdf = model.cdf(X, Y)
    expected = (p[:, :, None] * norm.cdf(Y[:, None], means, model.sigma_)).sum(axis=1)
    np.testing.assert_allclose(cdf, expected, atol=1e-12)
    quantile = model.predict_quantile(X, 0.3)
    np.testing.assert_allclose(model.cdf(X, quantile), 0.3, atol=1e-9)
    interval = model.predict_interval(X, 0.8)
    assert interval.shape == (1200, 2, 2)
    np.testing.assert_allclose(interval, model.predict_quantile(X, [0.1, 0.9]))
    residual = ((Y - mean) ** 2).sum(axis=0) / ((Y - Y.mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(model.score(X, Y), 1 - residual.mean())
    assert model.assign(X, Y).shape == (1200,)
    np.testing.assert_allclose(model.responsibilities(X, Y).sum(axis=1), 1.0)


def test_draws_have_the_covariances(model):
    row = np.repeat(X[:1], 200_000, axis=0)
    y = model.sample(row, random_state=0)
    p, means = model.predict_gates(X[:1])[0], model.predict_experts(X[:1])[0]
    mean = p @ means
    expected = np.einsum("k,kab->ab", p, model.covariance_) + np.einsum(
        "k,ka,kb->ab", p, means - mean, means - mean
    )
    np.testing.assert_allclose(y.mean(axis=0), mean, atol=0.01)
    np.testing.assert_allclose(np.cov(y.T), expected, atol=0.01)


def test_groups_share_an_expert():
    labels = np.arange(len(X)) // 3
    model = MixtureOfExpertsRegressor(2, gate_features=[], random_state=0).fit(X, Y, groups=labels)
    from scipy.special import logsumexp

    from oracles.responses import log_densities  # of rows

    of_groups = log_densities(X, Y, model.mixture_).reshape(-1, 3, 2).sum(axis=1)
    expected = logsumexp(of_groups + np.log(model.predict_gates(X[::3])), axis=1).sum()
    np.testing.assert_allclose(model.log_likelihood_, expected, rtol=1e-10)
    np.testing.assert_allclose(model.log_likelihood(X, Y, groups=labels), expected, rtol=1e-10)


def test_columns_of_experts_and_gates():
    model = MixtureOfExpertsRegressor(2, expert_features=[0, 1], gate_features=[2], random_state=0).fit(X, Y)
    assert (model.coef_[:, :, 2] == 0).all()
    assert (model.gate_coef_[:, :2] == 0).all()
    np.testing.assert_allclose(model.log_likelihood_, log_likelihood(X, Y, model.mixture_), rtol=1e-10)


def test_the_number_of_experts_is_chosen():
    selection = select_n_experts(X[:400], Y[:400], (1, 2, 3), n_folds=3, random_state=0)
    assert selection.best_n_experts == 2
    assert selection.best_estimator.coef_.shape == (2, 2, 3)
    assert np.argmax([row.cv_log_likelihood for row in selection.table]) == 1


def test_a_given_start(model):
    again = MixtureOfExpertsRegressor(2, start=model).fit(X, Y)
    np.testing.assert_allclose(again.log_likelihood_, model.log_likelihood_, rtol=1e-9)
    labelled = MixtureOfExpertsRegressor(2, start=model.assign(X, Y)).fit(X, Y)
    np.testing.assert_allclose(labelled.log_likelihood_, model.log_likelihood_, rtol=1e-6)
    larger = MixtureOfExpertsRegressor(3, start=model, random_state=0).fit(X, Y)
    assert larger.log_likelihood_ > model.log_likelihood_
    one = MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y[:, 0])
    with pytest.raises(ValueError, match="start must have coef of shape"):
        MixtureOfExpertsRegressor(2, start=one).fit(X, Y)
    with pytest.raises(ValueError, match="start must have coef of shape"):
        MixtureOfExpertsRegressor(2, start=model).fit(X, Y[:, 0])


def test_frames_give_names(model):
    frame = pd.DataFrame(Y, columns=["price", "rent"])
    named = MixtureOfExpertsRegressor(2, random_state=0).fit(X, frame)
    assert named.response_names_ == ("price", "rent")
    np.testing.assert_array_equal(named.coef_, model.coef_)
    polars = MixtureOfExpertsRegressor(2, random_state=0).fit(X, pl.DataFrame({"price": Y[:, 0], "rent": Y[:, 1]}))
    np.testing.assert_array_equal(polars.coef_, model.coef_)
    assert polars.response_names_ == ("price", "rent")
    np.testing.assert_array_equal(polars.score_samples(X, frame), model.score_samples(X, Y))


def test_copies_pickles_and_files(model, tmp_path):
    assert clone(model).get_params() == model.get_params()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    named = MixtureOfExpertsRegressor(2, covariance_type="diag", random_state=0).fit(
        X, pd.DataFrame(Y, columns=["a", "b"])
    )
    for number, saved in enumerate((model, named)):
        save_model(saved, tmp_path / f"{number}.json")
        again = load_model(tmp_path / f"{number}.json")
        np.testing.assert_array_equal(again.score_samples(X, Y), saved.score_samples(X, Y))
        np.testing.assert_array_equal(again.covariance_, saved.covariance_)
        np.testing.assert_array_equal(again.response_std_, saved.response_std_)
        assert again.response_names_ == saved.response_names_
        assert again.family_ == saved.family_
        assert again.bic_ == saved.bic_


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"family": "poisson"}, "family='poisson' is for one response, y has 2 columns"),
        ({"link": "sigmoid"}, "link='sigmoid' is for one response"),
        ({"common_features": [0]}, "common_features is for one response"),
        ({"start": "spectral"}, "start='spectral' is for one response"),
        ({"start": "l4"}, "start='l4' is for one response"),
        ({"polish": False}, "polish=False is for one response"),
        ({"alpha_towards": "mean", "alpha": 1.0}, "alpha_towards='mean' is for one response"),
        ({"l1_ratio": 0.5, "alpha": 1.0}, "l1_ratio=0.5 is for one response"),
    ],
)
def test_what_is_for_one_response_is_refused(parameters, match):
    with pytest.raises(ValueError, match=match):
        MixtureOfExpertsRegressor(2, **parameters).fit(X, abs(Y))


def test_other_estimators_refuse_several_responses(model):
    with pytest.raises(ValueError, match="y has 2 columns: several responses are for MixtureOfExpertsRegressor"):
        HierarchicalMixtureOfExpertsRegressor((2, 2)).fit(X, Y)
    with pytest.raises(ValueError, match=r"y should be a 1d array|2 columns"):
        MixtureOfExpertsClassifier(2).fit(X, (Y > 0).astype(int))
    with pytest.raises(ValueError, match="y has 2 columns: bagging is for one response"):
        BaggedMixtureOfExperts().fit(X, Y)
    for plain in (lambda: fit_em(X, Y, TRUTH), lambda: diagnose(X, Y, model)):
        with pytest.raises(ValueError, match="1d array"):
            plain()
    with pytest.raises(ValueError, match="offset is for one predictor"):
        MixtureOfExpertsRegressor(2).fit(X, Y, offset=1.0)
    with pytest.raises(ValueError, match="n_trials is for"):
        MixtureOfExpertsRegressor(2).fit(X, Y, n_trials=3)
    with pytest.raises(ValueError, match="covariance_type must be one of 'full', 'diag', got 'tied'"):
        MixtureOfExpertsRegressor(2, covariance_type="tied").fit(X, Y)


def test_bad_responses(model):
    bad = pd.DataFrame(Y.copy(), columns=["a", "b"])
    bad.loc[3, "b"] = np.nan
    with pytest.raises(ValueError, match=r"y .*'b'.*1"):
        MixtureOfExpertsRegressor(2).fit(X, bad)
    with pytest.raises(ValueError, match="y in column 'a' contains infinity"):
        MixtureOfExpertsRegressor(2).fit(X, bad.fillna(0).replace(bad["a"][5], np.inf))
    with pytest.raises(ValueError, match="y column 'c' is not numeric"):
        MixtureOfExpertsRegressor(2).fit(X, pd.DataFrame({"a": Y[:, 0], "c": ["?"] * len(X)}))
    with pytest.raises(ValueError, match=r"y must have shape \(1200, 2\), got \(1200, 3\)"):
        model.score_samples(X, np.column_stack([Y, Y[:, 0]]))
    with pytest.raises(ValueError, match=r"y must have shape \(1200, 2\), got \(1200,\)"):
        model.score_samples(X, Y[:, 0])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        MixtureOfExpertsRegressor(2).fit(X, Y[:-1])
    with pytest.raises(OverflowError, match="y column 1 has a standard deviation of"):
        MixtureOfExpertsRegressor(2).fit(X, Y * [1.0, 1e-310])


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_huge_and_tiny_units(model, kind):
    fits = [
        MixtureOfExpertsRegressor(2, covariance_type=kind, random_state=0).fit(X, Y * unit)
        for unit in ([1.0, 1.0], [1e140, 1e-140])
    ]
    np.testing.assert_allclose(fits[0].log_likelihood_, fits[1].log_likelihood_, rtol=1e-9)
    np.testing.assert_allclose(fits[1].log_likelihood(X, Y * [1e140, 1e-140]), fits[1].log_likelihood_, rtol=1e-9)
    np.testing.assert_allclose(
        fits[1].predict(X, return_std=True)[1], fits[0].predict(X, return_std=True)[1] * [1e140, 1e-140], rtol=1e-4
    )


def _warned(X, y, **parameters):
    """The fit, and what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DegenerateDataWarning)
        model = MixtureOfExpertsRegressor(random_state=0, **parameters).fit(X, y)
    return model, " ".join(str(warning.message) for warning in caught)


def test_degenerate_responses_are_said_to_be_so():
    model, said = _warned(X, np.column_stack([Y[:, 0], 2 * Y[:, 0]]))
    assert re.search(r"y column\(s\) [01] are linear combinations of the others", said)
    assert model.fit_report_.collapsed == (0, 1)
    assert np.isfinite(model.log_likelihood_)
    _, said = _warned(X, np.column_stack([Y[:, 0], 2 * Y[:, 0]]), covariance_type="diag")
    assert said == ""
    model, said = _warned(X, pd.DataFrame({"a": Y[:, 0], "b": 3.0}))
    assert "y column(s) 'b' are constant" in said
    model, said = _warned(X, np.ones((len(X), 2)))
    assert "y is constant" in said
    model, said = _warned(X[:6], np.random.default_rng(0).normal(size=(6, 9)), n_experts=1)
    assert "6 rows are fewer than the model's" in said
    assert "are linear combinations of the others" in said
    assert np.isfinite(model.predict(X)).all()


def test_groups_are_drawn_from_too():
    groups = np.arange(len(X)) // 4
    model = MixtureOfExpertsRegressor(2, gate_features=[], random_state=0, n_init=2).fit(X, Y, groups=groups)
    drawn = model.sample(X, 0, groups=groups)
    assert drawn.shape == Y.shape
    # what an expert leaves of a row is noise: all rows of a group are near the law of one
    far = np.abs(drawn[:, None] - model.predict_experts(X)) / model.sigma_[None]
    of_group = far.max(axis=2).reshape(-1, 4, 2).max(axis=1).min(axis=1)
    assert np.median(of_group) < 4


def test_a_grid_of_responses_is_for_one_of_them(model):
    with pytest.raises(ValueError, match=r"marginal\(name\).log_density"):
        model.log_density(X[:2], [0.0, 1.0])


def test_columns_of_y_in_another_order_are_refused():
    named = pd.DataFrame(Y, columns=["u", "v"])
    model = MixtureOfExpertsRegressor(2, random_state=0, n_init=2).fit(X, named)
    np.testing.assert_array_equal(model.score_samples(X, named), model.score_samples(X, Y))
    with pytest.raises(ValueError, match=r"columns 'u', 'v' in this order, got \['v', 'u'\]"):
        model.score_samples(X, named[["v", "u"]])


def test_the_family_of_several_responses_is_no_parameter():
    with pytest.raises(ValueError, match="covariance_type says which"):
        MixtureOfExpertsRegressor(2, family=MultivariateGaussian(2)).fit(X, Y)


@pytest.mark.parametrize("unit", [1e160, 1e-165])
def test_units_whose_squares_leave_the_range_are_named(unit):
    with pytest.raises(OverflowError, match=r"y column 1 has a standard deviation of about .*; rescale y"):
        MixtureOfExpertsRegressor(2).fit(X, Y * [1.0, unit])
