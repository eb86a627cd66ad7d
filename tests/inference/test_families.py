"""Standard errors of fits of every family: beside statsmodels, and the likelihood itself."""

from functools import partial

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.miscmodels.tmodel import TLinearModel

from moefast import MixtureOfExpertsRegressor
from moefast.exceptions import DegenerateDataWarning
from moefast.families import CustomFamily, Tobit
from moefast.links import LINKS
from moefast.samples import RowTerms
from oracles.em import numerical_hessian

N = 400
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 2)) * [1.0, 3.0] + [0.5, -2.0]
OFFSET = 0.3 * RNG.normal(size=N)
TRIALS = RNG.integers(1, 9, size=N).astype(float)
ETA = 0.4 * X[:, 0] - 0.2 * X[:, 1] + 0.3
COUNTS = RNG.poisson(np.exp(ETA + OFFSET)).astype(float)
U = np.column_stack([X, np.ones(N)])


def alone(family, y, cov_type="nonrobust", **terms):
    """Inference of a single expert, whose order of coefficients is that of U."""
    model = MixtureOfExpertsRegressor(1, family=family, n_threads=1).fit(X, y, **terms)
    return model.inference(X, y, cov_type=cov_type, **terms)


@pytest.mark.parametrize(("cov_type", "theirs"), [("nonrobust", "nonrobust"), ("robust", "HC0")])
@pytest.mark.parametrize("name", ["poisson", "binomial"])
def test_canonical_families_have_the_errors_of_statsmodels(name, cov_type, theirs):
    if name == "poisson":
        y, terms, other = COUNTS, {"offset": OFFSET}, sm.GLM(COUNTS, U, sm.families.Poisson(), offset=OFFSET)
    else:
        y = np.random.default_rng(7).binomial(TRIALS.astype(int), 1 / (1 + np.exp(-ETA))).astype(float)
        terms, other = {"n_trials": TRIALS}, sm.GLM(np.column_stack([y, TRIALS - y]), U, sm.families.Binomial())
    found, expected = alone(name, y, cov_type, **terms), other.fit(cov_type=theirs, tol=1e-12)
    assert found.names == [("expert 0", "x0"), ("expert 0", "x1"), ("expert 0", "(intercept)")]
    np.testing.assert_allclose(found.params, expected.params, rtol=1e-6)
    np.testing.assert_allclose(found.bse, expected.bse, rtol=1e-6)
    with pytest.raises(ValueError, match=f"family='{name}' has no sigma"):
        found.sigma_conf_int()
    with pytest.raises(ValueError, match=f"family='{name}' has no shape"):
        found.shape_conf_int()


def test_a_gamma_has_the_errors_of_statsmodels():
    y = np.random.default_rng(7).gamma(4.0, np.exp(ETA) / 4)
    found = alone("gamma", y)
    other = sm.GLM(y, U, sm.families.Gamma(sm.families.links.Log()))
    expected = other.fit(tol=1e-12)
    np.testing.assert_allclose(found.params[:3], expected.params, rtol=1e-5)
    # At the maximum coefficients and shape have nothing to do with each other.
    precision = -other.hessian(expected.params, scale=np.exp(-found.params[3]), observed=True)
    np.testing.assert_allclose(found.bse[:3], np.sqrt(np.diag(np.linalg.inv(precision))), rtol=1e-5)
    assert found.names[3] == ("expert 0", "log(shape)")
    np.testing.assert_allclose(found.shape_conf_int(), np.exp(found.conf_int()[3:]))
    low, high = found.shape_conf_int()[0]
    assert low < 4.0 < high


def test_a_negative_binomial_has_the_errors_of_statsmodels():
    y = np.random.default_rng(7).negative_binomial(3, 3 / (3 + np.exp(ETA + OFFSET))).astype(float)
    found = alone("negative_binomial", y, offset=OFFSET)
    near = np.array(
        [*found.params[:3], np.exp(-found.params[3])]
    )  # Newton's method of statsmodels is not safeguarded
    law = sm.NegativeBinomial(y, U, offset=OFFSET)
    expected = law.fit(start_params=near, disp=False, method="newton", maxiter=100, tol=1e-12)
    np.testing.assert_allclose(found.params[:3], expected.params[:3], rtol=1e-5)
    np.testing.assert_allclose(found.params[3], -np.log(expected.params[3]), rtol=1e-5)
    np.testing.assert_allclose(found.bse[:3], expected.bse[:3], rtol=1e-5)
    np.testing.assert_allclose(found.bse[3], expected.bse[3] / expected.params[3], rtol=1e-5)
    assert found.names[3] == ("expert 0", "log(size)")


def test_student_s_t_has_the_errors_of_statsmodels():
    y = ETA + 0.5 * np.random.default_rng(7).standard_t(4, size=N)
    found = alone("student_t", y)
    start = np.array([*found.params[:3], *np.exp(found.params[[4, 3]])])
    expected = TLinearModel(y, U).fit(start_params=start, disp=False, method="bfgs", gtol=1e-8)
    order, unit = [0, 1, 2, 4, 3], np.array([1, 1, 1, *np.exp(found.params[3:])])
    np.testing.assert_allclose(np.exp(found.params[3:]), expected.params[[4, 3]], rtol=1e-3)
    np.testing.assert_allclose(found.bse * unit, expected.bse[order], rtol=2e-3)
    assert [name for _, name in found.names[3:]] == ["log(sigma)", "log(df)"]


def _exponential():
    return CustomFamily(
        "exponential",
        log_f=lambda y, eta: -eta - y * np.exp(-eta),
        slope=lambda y, eta: y * np.exp(-eta) - 1,
        weight=lambda y, eta: np.ones_like(eta),
        predictor=lambda y: np.log(y + 0.1),
        mean_of=np.exp,
        draw_of=lambda eta, rng: rng.exponential(np.exp(eta)),
    )


def two_experts(name, n=1500, seed=0):
    """Return a family, X, y and the terms of rows: two experts, in units far from the standard ones."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    first = rng.uniform(size=n) < 1 / (1 + np.exp(-3 * x[:, 0]))
    eta = np.where(first, 1.2 + 0.8 * x[:, 1], -0.8 - 0.9 * x[:, 1])
    offset, trials = 0.3 * rng.normal(size=n), rng.integers(5, 20, size=n).astype(float)
    normal, located = 0.3 * rng.normal(size=n), 50.0 + 20.0 * eta
    family, y, terms = {
        "gaussian": lambda: ("gaussian", located + 20 * (normal + offset), {"offset": 20 * offset}),
        "poisson": lambda: ("poisson", rng.poisson(np.exp(1 + eta + offset)), {"offset": offset}),
        "binomial": lambda: (
            "binomial",
            rng.binomial(trials.astype(int), 1 / (1 + np.exp(-2 * eta))),
            {"n_trials": trials},
        ),
        "gamma": lambda: ("gamma", rng.gamma(5.0, np.exp(eta + offset) / 5), {"offset": offset}),
        "negative_binomial": lambda: (
            "negative_binomial",
            rng.negative_binomial(5, 5 / (5 + np.exp(2 + eta + offset))),
            {"offset": offset},
        ),
        "student_t": lambda: ("student_t", located + 5 * rng.standard_t(5, size=n), {}),
        "tobit": lambda: (
            Tobit(lower=30.0),
            np.maximum(located + 20 * (normal + offset), 30.0),
            {"offset": 20 * offset},
        ),
        "exponential": lambda: (_exponential(), rng.exponential(np.exp(3 * eta)), {}),
    }[name]()
    return family, x * [3.0, 0.2] + [10.0, -1.0], np.asarray(y, dtype=float), terms


FAMILIES = ["gaussian", "poisson", "binomial", "gamma", "negative_binomial", "student_t", "tobit", "exponential"]
"""Responses whose two experts are told apart."""


@pytest.fixture(scope="module", params=FAMILIES)
def fitted(request):
    family, x, y, terms = two_experts(request.param)
    model = MixtureOfExpertsRegressor(2, family=family, random_state=0, n_threads=1).fit(x, y, **terms)
    return model, x, y, terms


def log_likelihood(model, result, x, y, terms, theta):
    family, rows = model.mixture_.family, RowTerms(terms.get("offset"), terms.get("n_trials"))
    return result.layout.mixture(theta, LINKS["linear"], family).log_density(x, y, rows).sum()


def test_a_fit_ends_where_the_gradient_vanishes(fitted):
    model, *_ = fitted
    assert model.converged_
    assert model.fit_report_.gradient <= 1e-6


def test_errors_are_those_of_the_likelihood_in_the_units_of_the_data(fitted):
    model, x, y, terms = fitted
    result = model.inference(x, y, cov_type="nonrobust", **terms)
    assert result.messages == ()
    assert result.params.shape == (model.n_parameters_,)
    value = partial(log_likelihood, model, result, x, y, terms)
    assert value(result.params) == pytest.approx(model.log_likelihood_, rel=1e-9)
    expected = np.linalg.inv(-numerical_hessian(value, result.params, 0.02 * result.bse))
    np.testing.assert_allclose(result.bse, np.sqrt(np.diag(expected)), rtol=2e-3)
    scaled = (result.cov_params() - expected) / np.outer(result.bse, result.bse)
    np.testing.assert_allclose(scaled, 0.0, atol=5e-3)


def test_means_have_the_errors_of_the_delta_method(fitted):
    model, x, y, terms = fitted
    result = model.inference(x, y, **terms)
    some = {name: values[:5] for name, values in terms.items()}
    rows = RowTerms(some.get("offset"), some.get("n_trials"))
    found = result.predict(x[:5], **some)
    np.testing.assert_allclose(found.mean, model.predict(x[:5], **some), rtol=1e-9)
    by_delta = result.delta(lambda mixture: mixture.mean(x[:5], rows))
    np.testing.assert_allclose(found.se_mean, by_delta.bse, rtol=1e-4)


@pytest.mark.parametrize("kind", ["weighted", "parametric"])
def test_the_bootstrap_agrees(fitted, kind):
    model, x, y, terms = fitted
    result = model.inference(x, y, **terms)
    replicates = result.bootstrap(40, kind=kind, random_state=0, n_threads=1)
    ratio = replicates.bse / result.bse
    assert np.median(ratio) == pytest.approx(1.0, abs=0.25)
    means = replicates.predict(x[:3], **{name: values[:3] for name, values in terms.items()})
    assert np.isfinite(means.se_mean).all()


def test_shared_shapes_are_one_parameter():
    family, x, y, terms = two_experts("gamma")
    model = MixtureOfExpertsRegressor(2, family=family, noise="shared", random_state=0, n_threads=1).fit(
        x, y, **terms
    )
    result = model.inference(x, y, **terms)
    assert result.params.shape == (model.n_parameters_,)
    assert result.names[-1] == ("all experts", "log(shape)")
    assert result.table(result.bse).log_shape == pytest.approx(np.full(2, result.bse[-1]))
    assert np.isnan(result.table(result.bse).log_sigma).all()


def test_a_size_at_its_bound_has_no_error():
    y = np.random.default_rng(7).poisson(np.exp(ETA)).astype(float)
    y[:50] = np.round(np.exp(ETA[:50]))  # less spread than that of counts
    model = MixtureOfExpertsRegressor(1, family="negative_binomial", n_threads=1).fit(X, y)
    with pytest.warns(DegenerateDataWarning, match=r"the size of expert\(s\) 0 is at an end of its range"):
        result = model.inference(X, y, cov_type="nonrobust")
    assert np.isnan(result.bse[3])
    expected = sm.GLM(y, U, sm.families.Poisson()).fit(tol=1e-12)
    np.testing.assert_allclose(result.bse[:3], expected.bse, rtol=5e-3)


def test_the_summary_has_the_errors_of_shapes():
    family, x, y, terms = two_experts("negative_binomial")
    model = MixtureOfExpertsRegressor(2, family=family, random_state=0, n_threads=1).fit(x, y, **terms)
    result = model.inference(x, y, **terms)
    frame = model.summary(result).to_frame()
    row = frame.loc[("experts", "expert 1", "size")]
    at = result.layout.log_shape(1)
    size = np.exp(result.params[at])
    assert row["estimate"] == pytest.approx(size)
    assert row["std_error"] == pytest.approx(size * result.bse[at])
    np.testing.assert_allclose(row[["ci_low", "ci_high"]].astype(float), result.shape_conf_int()[1])
    assert np.isnan(row["z"])
