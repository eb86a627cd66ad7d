"""One expert of each family is the generalised linear model of statsmodels, or the maximum that scipy finds."""

import numpy as np
import pytest
from family_samples import CASES
from scipy import optimize, stats

from moefast import MixtureOfExpertsRegressor
from moefast.families import StudentT, Tobit
from moefast.samples import RowTerms

sm = pytest.importorskip("statsmodels.api")

GLM = {
    "gaussian": lambda: sm.families.Gaussian(),
    "poisson": lambda: sm.families.Poisson(),
    "gamma": lambda: sm.families.Gamma(sm.families.links.Log()),
    "binomial": lambda: sm.families.Binomial(),
    "bernoulli": lambda: sm.families.Binomial(),
}


def data(name, seed=0, n=800):
    X, _, truth, terms = CASES[name].draw(1, n, 3, seed)
    rng = np.random.default_rng(seed + 1)
    terms = RowTerms(
        0.5 * rng.normal(size=n), None if terms.n_trials is None else rng.integers(1, 15, size=n) + 0.0
    )
    return X, truth.draw(X, rng, terms), rng.integers(1, 4, size=n).astype(float), terms


def fit(X, y, weight, terms, family):
    model = MixtureOfExpertsRegressor(1, family=family, tol=1e-14, max_iter=5000)
    return model.fit(X, y, weight, offset=terms.offset, n_trials=terms.n_trials)


@pytest.mark.parametrize("name", GLM)
@pytest.mark.parametrize("weighted", [False, True])
def test_generalised_linear_models(name, weighted):
    X, y, weight, terms = data(name)
    weight = weight if weighted else np.ones(len(y))
    ours = fit(X, y, weight, terms, name)
    response = y if terms.n_trials is None else np.column_stack([y, terms.n_trials - y])
    theirs = sm.GLM(
        response, sm.add_constant(X), family=GLM[name](), offset=terms.offset, freq_weights=weight
    ).fit(tol=1e-13, maxiter=200)
    np.testing.assert_allclose(np.append(ours.intercept_, ours.coef_), theirs.params, rtol=1e-6, atol=1e-6)
    if name in ("poisson", "binomial", "bernoulli"):
        assert ours.log_likelihood_ == pytest.approx(theirs.llf, rel=1e-9)
        return
    # Of families with a dispersion GLM takes another estimate: the likelihood at ours is the law's.
    law = {
        "gaussian": lambda: stats.norm.logpdf(y, theirs.mu, ours.sigma_[0]),
        "gamma": lambda: stats.gamma.logpdf(y, ours.shape_[0], scale=theirs.mu / ours.shape_[0]),
    }[name]
    assert ours.log_likelihood_ == pytest.approx(weight @ law(), rel=1e-8)
    if name == "gaussian":
        wanted = np.sqrt(weight @ (y - theirs.mu) ** 2 / weight.sum())
        np.testing.assert_allclose(ours.sigma_, wanted, rtol=1e-6)
        return
    shape = optimize.minimize_scalar(
        lambda log_a: -(weight @ stats.gamma.logpdf(y, np.exp(log_a), scale=theirs.mu / np.exp(log_a))),
        bounds=(-3, 6),
        method="bounded",
        options={"xatol": 1e-9},
    )
    np.testing.assert_allclose(ours.shape_, np.exp(shape.x), rtol=1e-5)


def test_negative_binomial_regression():
    X, y, _, terms = data("negative_binomial")
    ours = fit(X, y, None, terms, "negative_binomial")
    model = sm.NegativeBinomial(y, sm.add_constant(X), offset=terms.offset)
    theirs = model.fit(disp=0, method="newton", start_params=np.append(ours.coef_ * 0, [[0.0, 0.5]]), maxiter=200)
    np.testing.assert_allclose(np.append(ours.intercept_, ours.coef_), theirs.params[:-1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(1 / ours.shape_, theirs.params[-1], rtol=1e-4)
    assert ours.log_likelihood_ == pytest.approx(theirs.llf, rel=1e-9)


def maximum(log_density, X, start):
    """The maximum of a sum of log densities of (eta, log s, log shape), and where it is."""
    U = np.column_stack([X, np.ones(len(X))])

    def minus(theta):
        return -log_density(U @ theta[: U.shape[1]], *theta[U.shape[1] :]).sum()

    found = optimize.minimize(minus, start, method="BFGS", options={"gtol": 1e-6, "maxiter": 2000})
    found = optimize.minimize(minus, found.x, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    return -found.fun, found.x


@pytest.mark.parametrize("df", [None, 4.0])
def test_regression_with_student_noise(df):
    X, y, _, terms = data("student_t")
    ours = fit(X, y, None, terms, StudentT(df))
    e = y - terms.offset

    def log_density(eta, log_s, log_df=None):
        return stats.t.logpdf(e, np.exp(log_df) if df is None else df, eta, np.exp(log_s))

    start = np.append(np.zeros(4), [-1.0, 1.0] if df is None else [-1.0])
    value, theta = maximum(log_density, X, start)
    assert ours.log_likelihood_ == pytest.approx(value, rel=1e-8)
    np.testing.assert_allclose(np.append(ours.coef_, ours.intercept_), theta[:4], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours.sigma_, np.exp(theta[4]), rtol=1e-4)
    if df is None:
        np.testing.assert_allclose(ours.shape_, np.exp(theta[5]), rtol=1e-4)


@pytest.mark.parametrize("limits", [(0.0, np.inf), (-0.5, 0.8), (-np.inf, 0.3)])
def test_tobit_regression(limits):
    X, _, truth, _ = CASES["gaussian"].draw(1, 800, 3, 4)
    family = Tobit(*limits)
    terms = RowTerms(0.5 * np.random.default_rng(5).normal(size=800))
    hidden = truth.draw(X, np.random.default_rng(6), terms)
    y = np.clip(hidden, *limits)
    ours = fit(X, y, None, terms, family)

    def log_density(eta, log_s):
        law = stats.norm(eta + terms.offset, np.exp(log_s))
        seen = np.where(y <= limits[0], law.logcdf(limits[0]), law.logpdf(y))
        return np.where(y >= limits[1], law.logsf(limits[1]), seen)

    value, theta = maximum(log_density, X, np.append(np.zeros(4), -1.0))
    assert ours.log_likelihood_ == pytest.approx(value, rel=1e-8)
    np.testing.assert_allclose(np.append(ours.coef_, ours.intercept_), theta[:4], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours.sigma_, np.exp(theta[4]), rtol=1e-4)
