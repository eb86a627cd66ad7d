"""EM with families: it never falls, and weights, offsets and trials mean what they say."""

from dataclasses import replace

import numpy as np
import pytest
from family_samples import CASES, moved, problem_of
from hypothesis import given, settings
from hypothesis import strategies as st

from moefast import MixtureOfExpertsRegressor
from moefast.families import (
    BERNOULLI,
    GAUSSIAN,
    Binomial,
    CustomFamily,
    NegativeBinomial,
    Poisson,
    StudentT,
    Tobit,
)
from moefast.samples import NO_TERMS, RowTerms

NAMES = [name for name in CASES if name != "gaussian"]


def assert_never_falls(trace, weight):
    """By no more than the rounding of a sum of so much weight."""
    assert np.isfinite(trace).all()
    assert (np.diff(trace) >= -1e-12 * (np.abs(trace[1:]) + weight)).all()


@st.composite
def data_of_a_family(draw):
    """Few or many rows, weights and offsets of all sizes, features in any unit, now and then all of y the same."""
    name = draw(st.sampled_from(NAMES))
    case, seed = CASES[name], draw(st.integers(0, 10_000))
    k, d, n = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(5, 300))
    X, y, truth, terms = case.draw(k, n, d, seed)
    rng = np.random.default_rng(seed + 1)
    X = X * 10.0 ** rng.uniform(-8, 8, size=d)
    weight = 10.0 ** draw(st.integers(-8, 8)) * rng.uniform(0.1, 3.0, size=n)
    offset = rng.normal(scale=draw(st.sampled_from([0.1, 1.0, 4.0])), size=n) if draw(st.booleans()) else None
    trials = terms.n_trials
    if trials is not None:
        trials = y + rng.integers(0, 20, size=n) + (y == 0)
    kind = draw(st.sampled_from(["as it is", "constant", "huge", "tiny"]))
    if kind == "constant":
        y = np.full(n, y[0])
        trials = None if trials is None else np.full(n, max(trials[0], y[0]))
    if kind in ("huge", "tiny") and name in ("gamma", "student_t"):
        y = y * (1e9 if kind == "huge" else 1e-9)
    if kind == "huge" and name in ("poisson", "negative_binomial"):
        y = y * 1e6
    return X, y, RowTerms(offset, trials), truth, weight, seed


@settings(max_examples=150, deadline=None)
@given(data_of_a_family())
def test_the_objective_never_falls(data):
    X, y, terms, truth, weight, seed = data
    problem = problem_of(X, y, terms, truth.family, weight, max_iter=60)
    r = np.random.default_rng(seed + 2).dirichlet(np.ones(truth.n_experts), size=len(y))
    fit = problem.run(responsibilities=r)
    assert_never_falls(fit.trace, weight.sum())
    m = fit.mixture
    for values in (m.coef, m.intercept, m.gate_coef, m.gate_intercept, m.sigma, m.shape):
        assert np.isfinite(values).all()
    # what the core says of the likelihood is what the mixture says
    found = problem.to_units(fit)
    with np.errstate(over="ignore"):
        own = weight @ found.mixture.log_density(X, y, terms)
    assert found.log_likelihood == pytest.approx(own, rel=1e-6, abs=1e-6 * weight.sum())


@pytest.mark.parametrize("noise", ["per_expert", "shared"])
@pytest.mark.parametrize("name", NAMES)
def test_runs_end_where_the_gradient_is_zero(name, noise):
    X, y, truth, terms = CASES[name].draw(2, 1500, 2, 0)
    problem = problem_of(X, y, terms, truth.family, noise=noise, tol=1e-15, max_iter=5000)
    fit = problem.run(truth.to_standard(problem.standardisation))
    assert fit.gradient < 1e-6
    assert_never_falls(fit.trace, len(y))
    if noise == "shared":
        assert np.ptp(fit.mixture.sigma) == 0
        assert np.ptp(fit.mixture.shape) == 0


@pytest.mark.parametrize("alpha", [0.0, 5.0])
@pytest.mark.parametrize("name", NAMES)
def test_weights_are_repetitions(name, alpha):
    X, y, truth, terms = CASES[name].draw(2, 300, 2, 1)
    w = np.random.default_rng(1).integers(0, 4, size=300)
    again = np.repeat(np.arange(300), w)
    seen = w > 0
    start = moved(truth, np.random.default_rng(2), 0.1)

    def run(rows, weight):
        problem = problem_of(X[rows], y[rows], terms[rows], truth.family, weight, alpha=alpha, max_iter=40)
        return problem.to_units(problem.run(start.to_standard(problem.standardisation)))

    weighted, repeated = run(seen, w[seen].astype(float)), run(again, np.ones(len(again)))
    assert weighted.log_likelihood == pytest.approx(repeated.log_likelihood, rel=1e-10)
    np.testing.assert_allclose(weighted.mixture.coef, repeated.mixture.coef, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(weighted.mixture.shape, repeated.mixture.shape, rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_the_order_of_the_rows_says_nothing(name):
    X, y, truth, terms = CASES[name].draw(2, 1500, 2, 2)
    order = np.random.default_rng(0).permutation(1500)
    start = moved(truth, np.random.default_rng(2), 0.1)
    ends = []
    for rows in (np.arange(1500), order):
        problem = problem_of(X[rows], y[rows], terms[rows], truth.family, tol=1e-15, max_iter=20_000)
        ends.append(problem.to_units(problem.run(start.to_standard(problem.standardisation))))
    assert ends[0].log_likelihood == pytest.approx(ends[1].log_likelihood, rel=1e-9)
    np.testing.assert_allclose(ends[0].mixture.coef, ends[1].mixture.coef, atol=1e-4)


# ---- one law is another ------------------------------------------------------------------------------------


def fit(X, y, family, *, offset=None, n_trials=None, weight=None, k=2, **options):
    model = MixtureOfExpertsRegressor(k, family=family, random_state=0, n_threads=1, **options)
    return model.fit(X, y, weight, offset=offset, n_trials=n_trials)


def assert_same(one, other, rtol=1e-4):
    assert one.log_likelihood_ == pytest.approx(other.log_likelihood_, rel=1e-7)
    for name in ("coef_", "intercept_", "gate_coef_", "sigma_"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=rtol, atol=rtol, err_msg=name)


def test_bernoulli_is_the_binomial_law_of_one_trial():
    X, y, _, _ = CASES["bernoulli"].draw(2, 2000, 2, 0)
    by_name = fit(X, y, "bernoulli")
    assert_same(by_name, fit(X, y, "binomial"), 1e-12)
    assert_same(by_name, fit(X, y, "binomial", n_trials=1), 1e-12)


@pytest.mark.parametrize("name", ["poisson", "negative_binomial"])
def test_the_offset_of_counts_is_the_logarithm_of_the_exposure(name):
    """Twice the time at risk, twice the mean: the experts are those of a unit of time."""
    X, _, truth, _ = CASES[name].draw(2, 4000, 2, 3)
    exposure = np.random.default_rng(3).uniform(0.2, 5.0, size=4000)
    terms = RowTerms(np.log(exposure), None)
    y = truth.draw(X, np.random.default_rng(4), terms)
    model = fit(X, y, name, offset=np.log(exposure))
    order = [int(np.argmin(np.linalg.norm(model.coef_ - a, axis=1))) for a in truth.coef]
    np.testing.assert_allclose(model.coef_[order], truth.coef, atol=0.12)
    np.testing.assert_allclose(model.intercept_[order], truth.intercept, atol=0.12)
    rate = model.predict(X)
    np.testing.assert_allclose(model.predict(X, offset=np.log(exposure)), exposure * rate, rtol=1e-10)
    np.testing.assert_allclose(model.predict(X, offset=1.0), np.e * rate, rtol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_a_constant_offset_goes_into_the_intercepts(name):
    X, y, _, terms = CASES[name].draw(2, 1500, 2, 5)
    plain, moved_ = (fit(X, y, CASES[name].family, n_trials=terms.n_trials, offset=o) for o in (None, 0.7))
    assert moved_.log_likelihood_ == pytest.approx(plain.log_likelihood_, abs=1e-3)
    np.testing.assert_allclose(moved_.intercept_ + 0.7, plain.intercept_, atol=5e-3)
    np.testing.assert_allclose(
        moved_.predict(X[:9], offset=0.7, n_trials=10 if terms.given else None),
        plain.predict(X[:9], n_trials=10 if terms.given else None),
        rtol=5e-3,
    )


def start_from(X, y, truth, family, shape, terms=NO_TERMS):
    """EM from a truth with another family and shapes, run to its end."""
    problem = problem_of(X, y, terms, family, tol=1e-12, max_iter=5000)
    start = replace(truth, family=family, shape=np.full(truth.n_experts, shape))
    return problem.to_units(problem.run(start.to_standard(problem.standardisation)))


def test_student_of_many_degrees_of_freedom_is_gaussian():
    X, y, truth, _ = CASES["gaussian"].draw(2, 1500, 2, 6)
    normal = start_from(X, y, truth, GAUSSIAN, 1.0)
    student = start_from(X, y, truth, StudentT(df=1e9), 1.0)
    assert student.log_likelihood == pytest.approx(normal.log_likelihood, abs=1e-4)
    np.testing.assert_allclose(student.mixture.coef, normal.mixture.coef, atol=1e-5)
    np.testing.assert_allclose(student.mixture.sigma, normal.mixture.sigma, atol=1e-5)


def test_tobit_without_limits_is_gaussian():
    X, y, truth, _ = CASES["gaussian"].draw(2, 1500, 2, 6)
    normal = start_from(X, y, truth, GAUSSIAN, 1.0)
    tobit = start_from(X, y, truth, Tobit(-np.inf, np.inf), 1.0)
    assert tobit.log_likelihood == pytest.approx(normal.log_likelihood, abs=1e-6)
    np.testing.assert_allclose(tobit.mixture.coef, normal.mixture.coef, atol=1e-5)
    far = start_from(X, y, truth, Tobit(-1e6, 1e6), 1.0)
    np.testing.assert_allclose(far.mixture.coef, normal.mixture.coef, atol=1e-5)


def test_negative_binomial_of_the_largest_size_is_poisson():
    """Counts that vary less than those of Poisson drive it there, to exp(8); the laws differ by 1 / size."""
    X, y, truth, _ = CASES["poisson"].draw(2, 3000, 2, 7)
    y = np.round(truth.mean(X))  # no chance in it
    poisson = start_from(X, y, truth, Poisson(), 1.0)
    sized = start_from(X, y, truth, NegativeBinomial(), 1.0)
    np.testing.assert_allclose(sized.mixture.shape, np.exp(8.0), rtol=1e-9)
    assert sized.log_likelihood == pytest.approx(poisson.log_likelihood, rel=1e-3)
    np.testing.assert_allclose(sized.mixture.coef, poisson.mixture.coef, atol=1e-3)


def custom_poisson(**changes):
    from scipy.special import gammaln

    functions = {
        "log_f": lambda y, eta: y * eta - np.exp(eta) - gammaln(y + 1.0),
        "slope": lambda y, eta: y - np.exp(eta),
        "weight": lambda y, eta: np.exp(eta) + 0 * y,
        "predictor": lambda y: np.log(y + 0.1),
        "mean_of": np.exp,
    }
    return CustomFamily("my counts", **(functions | changes))


def test_a_family_of_ones_own_of_the_poisson_law_is_poisson():
    X, y, _, _ = CASES["poisson"].draw(2, 1500, 2, 8)
    # EM alone ends a family of one's own, Newton's method the other.
    own, built_in = fit(X, y, custom_poisson(), tol=1e-11), fit(X, y, "poisson")
    assert_same(own, built_in)
    np.testing.assert_allclose(own.predict(X), built_in.predict(X), rtol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slope": lambda y, eta: np.zeros(3)}, "slope of family 'my counts' must return numbers of the shape"),
        ({"slope": lambda y, eta: np.full(np.shape(eta), np.nan)}, "slope of family 'my counts' returned NaN"),
        ({"weight": lambda y, eta: -np.ones(np.shape(eta))}, "weight of family 'my counts' must not be negative"),
        (
            {"predictor": lambda y: np.full(len(y), np.inf)},
            "y must be a value with a finite predictor and density",
        ),
        ({"log_f": lambda y, eta: np.full(np.shape(eta), -np.inf)}, "y must be a value with a finite"),
        ({"mean_of": lambda eta: np.zeros(2)}, "mean_of of family 'my counts' must return numbers of the shape"),
    ],
)
def test_bad_functions_of_ones_own_are_named_and_an_earlier_fit_stays(change, message):
    X, y, _, _ = CASES["poisson"].draw(2, 300, 2, 8)
    model = fit(X, y, "poisson")
    before = model.predict(X)
    with pytest.raises(ValueError, match=message):
        model.set_params(family=custom_poisson(**change)).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), before)
    model.set_params(family=custom_poisson()).fit(X, y)


def test_an_error_inside_a_function_of_ones_own_comes_through():
    X, y, _, _ = CASES["poisson"].draw(2, 300, 2, 8)

    def broken(y, eta):
        raise RuntimeError("my mistake")

    with pytest.raises(RuntimeError, match="my mistake"):
        fit(X, y, custom_poisson(slope=broken))


def test_what_a_family_of_ones_own_was_not_given_is_asked_for_by_name():
    X, y, _, _ = CASES["poisson"].draw(2, 300, 2, 8)
    model = fit(X, y, custom_poisson())
    for call, what in (
        (lambda: model.predict(X, return_std=True), "std_of"),
        (lambda: model.cdf(X, y), "cdf_of"),
        (lambda: model.predict_quantile(X, 0.5), "quantile_of"),
        (lambda: model.sample(X), "draw_of"),
    ):
        with pytest.raises(ValueError, match=f"family 'my counts' has no {what}"):
            call()
    with pytest.raises(TypeError, match="slope of family 'my counts' must be callable, got 3"):
        custom_poisson(slope=3)


def test_binomial_rows_are_sums_of_bernoulli_rows():
    """A row of m trials is m rows of one, but for the binomial coefficient, at any parameters."""
    X, y, truth, terms = CASES["binomial"].draw(1, 200, 2, 9)
    single = replace(truth, family=BERNOULLI)
    log_f = truth.log_density(X, y, terms)
    ones, zeros = single.log_density(X, np.ones(200)), single.log_density(X, np.zeros(200))
    coefficient = Binomial().row_term(y, terms)
    np.testing.assert_allclose(log_f, coefficient + y * ones + (10 - y) * zeros, rtol=1e-10)


def test_starts_see_the_response_without_its_offset():
    X, y, _, _ = CASES["poisson"].draw(2, 200, 2, 0)
    offset = np.random.default_rng(0).normal(size=200)
    response = problem_of(X, y, RowTerms(offset, None), Poisson()).response
    np.testing.assert_allclose(response.first_predictor + offset, np.log(y + 0.1), rtol=1e-12)
    assert np.corrcoef(response.working, np.log(y + 0.1) - offset)[0, 1] == pytest.approx(1.0)
