"""The core's E-step with families against differences of the densities, row by row and in sums."""

from dataclasses import replace

import numpy as np
import pytest
from family_samples import CASES, moved

from moefast import _core
from moefast.families import BERNOULLI, Binomial, Gamma, NegativeBinomial, Poisson, StudentT, Tobit
from moefast.mixture import Mixture
from moefast.samples import RowTerms
from oracles import family_e_step as oracle

FAMILIES = {name: case.family for name, case in CASES.items() if name != "gaussian"}
FAMILIES |= {
    "student_t, df=2.5": StudentT(df=2.5),
    "tobit, two limits": Tobit(-0.5, 0.8),
    "tobit, upper": Tobit(-np.inf, 0.3),
}


def settings(family, **changes):
    values = {"max_iter": 10, "variance_floor": 1e-12, "gate_alpha": 0.0, "accelerate": False, "n_threads": 1}
    return _core.EmSettings(**(values | changes), family=family.core)


def core_data(X, y, w, family, terms):
    row_term = family.row_term(y, terms)
    first = family.first_predictor(y, terms)
    if terms.offset is not None:
        first = first - terms.offset
    return _core.EmData(
        X,
        y,
        w,
        offset=terms.offset,
        trials=terms.n_trials,
        row_term=None if row_term is None else np.ascontiguousarray(row_term),
        first_predictor=np.ascontiguousarray(first),
    )


def start(mixture, responsibilities=None):
    experts = np.column_stack([mixture.coef, mixture.intercept])
    gates = np.column_stack([mixture.gate_coef, mixture.gate_intercept])
    return experts, gates, np.column_stack([mixture.sigma**2, mixture.shape]), responsibilities, None


def core_statistics(X, y, w, mixture, terms, responsibilities=None, **changes):
    data = core_data(X, y, w, mixture.family, terms)
    return _core.e_step(data, start(mixture, responsibilities), settings(mixture.family, **changes))


def problem(name, n, k=3, d=3, seed=0):
    """Responses of one mixture, another one, weights and terms."""
    family = FAMILIES[name]
    case = replace(CASES[name.split(",")[0]], family=family)
    X, y, truth, terms = case.draw(k, n, d, seed)
    rng = np.random.default_rng(seed + 1)
    terms = RowTerms(0.3 * rng.normal(size=n), terms.n_trials)
    other = moved(truth, rng)
    if family.has_scale:
        other = replace(other, sigma=rng.uniform(0.2, 0.9, size=k))
    if family.shape_name is not None:
        other = replace(other, shape=rng.uniform(1.5, 12.0, size=k))
    return X, y, rng.uniform(0.0, 2.0, size=n), other, terms


def assert_agrees(found, problem_, responsibilities=None, k=3):
    """Densities and responsibilities to rounding; what the oracle has by differences as well as these go."""
    wanted, size = oracle.statistics(*problem_, responsibilities)
    for name, value in wanted.items():
        rounding = {"residuals": 1e-7, "squares": 1e-7, "shape_slopes": 1e-7, "shape_curvatures": 1e-4}
        got = found[name][:, :k] if name == "products" else found[name]
        # Differences lose what log f has before them.
        absolute = 1e-7 * problem_[2].sum() * (100 if "curv" in name else 1) if name in rounding else 0
        limit = rounding.get(name, 1e-11) * size[name] + absolute + 1e-300
        np.testing.assert_array_less(np.abs(got - value), limit, name)


# Blocks of families have 256 rows, vectors up to 8, chunks 384, lanes at least 1024.
@pytest.mark.parametrize("n", [1, 7, 8, 255, 256, 257, 383, 384, 385, 700, 2100])
@pytest.mark.parametrize("name", FAMILIES)
def test_any_number_of_rows(name, n, instruction_set):
    given = problem(name, n, seed=n)
    assert_agrees(core_statistics(*given), given)


@pytest.mark.parametrize("name", FAMILIES)
def test_given_responsibilities_replace_the_posterior(name):
    given = problem(name, 300)
    r = np.random.default_rng(5).dirichlet(np.ones(3), size=300)
    assert_agrees(core_statistics(*given, r), given, r)


@pytest.mark.parametrize("name", FAMILIES)
def test_threads_do_not_change_a_bit(name):
    given = problem(name, 9000)
    serial = core_statistics(*given)
    for value, same in zip(serial.values(), core_statistics(*given, n_threads=2).values(), strict=True):
        np.testing.assert_array_equal(value, same)


# y, trials; predictors far out on both sides.
ROWS = {
    Poisson(): ([0.0, 1.0, 17.0, 1e6], 1.0),
    NegativeBinomial(): ([0.0, 1.0, 17.0, 1e6], 1.0),
    Gamma(): ([1e-300, 1e-3, 1.0, 50.0, 1e12], 1.0),
    Binomial(): ([0.0, 3.0, 10.0], 10.0),
    BERNOULLI: ([0.0, 1.0], 1.0),
    StudentT(): ([-1e6, -2.0, 0.0, 1e150], 1.0),
    Tobit(-1.0, 2.0): ([-1.0, 0.3, 2.0], 1.0),
}


@pytest.mark.parametrize("family", ROWS, ids=lambda family: family.name)
@pytest.mark.parametrize("eta", [-900.0, -250.0, -40.0, -6.0, -0.1, 0.0, 2.0, 35.0, 250.0, 900.0])
def test_single_rows_however_far_out(family, eta, instruction_set):
    """Log f is that of the family; slopes, where they can be had by differences, those of log f. All is finite."""
    for y in ROWS[family][0]:
        terms = RowTerms(None, np.array([ROWS[family][1]]) if family.takes_trials else None)
        mixture = Mixture(
            np.zeros((1, 1)),
            np.array([eta]),
            np.zeros((1, 1)),
            np.zeros(1),
            np.ones(1),
            family=family,
            shape=np.full(1, 4.0),
        )
        row = np.zeros((1, 1)), np.array([y]), np.ones(1), mixture, terms
        found = core_statistics(*row)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            wanted, _ = oracle.statistics(*row)
        assert all(np.isfinite(value).all() for value in found.values())
        assert found["products"].min() >= 0
        if not np.isfinite(wanted["log_likelihood"]):  # exp(900)
            assert found["log_likelihood"] < -1e100
            continue
        np.testing.assert_allclose(found["log_likelihood"], wanted["log_likelihood"], rtol=1e-10, atol=1e-12)
        accuracy = 1e-15 * (abs(wanted["log_likelihood"]) + abs(y * eta)) / oracle.STEP + 1e-6
        if accuracy < 1 and np.isfinite(wanted["residuals"]).all():
            np.testing.assert_allclose(found["residuals"], wanted["residuals"], rtol=1e-5, atol=accuracy)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_first_step_of_an_assignment_is_the_regression_of_the_first_predictors(name):
    """Iteratively reweighted least squares from what fits each y alone, as generalised linear models begin."""
    X, y, w, mixture, terms = problem(name, 300)
    family, r = mixture.family, np.random.default_rng(6).dirichlet(np.ones(3), size=300)
    blank = replace(mixture, gate_coef=0 * mixture.gate_coef, gate_intercept=0 * mixture.gate_intercept)
    data = core_data(X, y, w, family, terms)
    ((end),) = _core.em_run(data, [start(blank, r)], settings(family, max_iter=0))
    first = np.repeat(family.first_predictor(y, terms)[:, None], 3, axis=1)
    of = blank.predictors(X, terms).moved(first)
    weight = oracle.working_weight(family, y[:, None], of)
    slope = mixture.sigma**2 * oracle.derivatives(family, y, of)[0]
    U = np.column_stack([X, np.ones(300)])
    for i in range(3):
        mass = w * r[:, i] * weight[:, i]
        target = U.T @ (mass * (first[:, i] - terms.offset) + w * r[:, i] * slope[:, i])
        wanted = np.linalg.solve(U.T @ (mass[:, None] * U), target)
        np.testing.assert_allclose(end["experts"][i], wanted, rtol=1e-5, atol=1e-6)
