"""The information of the core for every family, against derivatives of the log-likelihood alone."""

import numpy as np
import pytest

from moefast import _core
from oracles.families import LAWS
from oracles.information import Model, hessian, row_scores

ALL = [0, 1, 2, 3]


def random_model(name, k, columns=(ALL, ALL), *, shared_noise=False, n=150, seed=0):
    """A model of offsets and of trials, responses around another point than theta, and weights, some of them 0."""
    rng = np.random.default_rng(seed)
    law = LAWS[name]
    X, trials = rng.normal(size=(n, 3)), rng.integers(1, 9, size=n).astype(float)
    offset = 0.3 * rng.normal(size=n) * (law.n_predictors == 1)
    y = law.draw(rng, 0.6 * X[:, 0] + offset, trials).astype(float)
    model = Model(X, y, k, *columns, shared_noise, law=law, offset=offset, trials=trials)
    w = rng.uniform(0, 2, size=n)
    w[::7] = 0
    return model, 0.5 * rng.normal(size=model.n_parameters), w


def core_arguments(model, theta, w, **of_settings):
    """Return data, parameters and settings as the core takes them; 3 stands for the constant."""
    experts, gates, dispersion = model.full(theta)
    seen = [[j for j in columns if j < 3] for columns in (model.expert_columns, model.gate_columns)]
    rows = {"offset": model.offset, "trials": model.trials, "row_term": model.law.row_term(model.y, model.trials)}
    data = _core.EmData(model.X, model.y, w, None, None, *(None if len(c) == 3 else c for c in seen), **rows)
    arrays = (np.ascontiguousarray(a[:, [*c, 3]]) for a, c in zip((experts, gates), seen, strict=True))
    settings = _core.EmSettings(
        family=model.law.core,
        variance_floor=1e-6,
        fit_intercept=3 in model.expert_columns,
        fit_gate_intercept=3 in model.gate_columns,
        shared_noise=model.shared_noise,
        **of_settings,
    )
    return data, (*arrays, dispersion), settings


def close(found, expected, tolerance):
    __tracebackhide__ = True
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(1.0, np.abs(expected).max(initial=0)))


WITH_NOISE = [(name, False) for name in LAWS] + [
    (name, True) for name, law in LAWS.items() if law.has_scale or law.has_shape
]


@pytest.mark.parametrize("columns", [(ALL, ALL), ([0, 3], [1, 2, 3]), ([1], [])])
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize(("name", "shared_noise"), WITH_NOISE)
def test_information_is_the_second_derivative(name, k, columns, shared_noise):
    model, theta, w = random_model(name, k, columns, shared_noise=shared_noise)
    arguments = core_arguments(model, theta, w)
    score, second, products = _core.information(*arguments)
    rows = row_scores(model, theta)
    close(_core.row_scores(*arguments), rows, 1e-12)
    close(score, w @ rows, 1e-12)
    close(products, rows.T @ (w[:, None] * rows), 1e-12)
    close(second, hessian(model, theta, w), 1e-8)
    log_likelihood = _core.e_step(arguments[0], (*arguments[1], None, None), arguments[2])["log_likelihood"]
    assert log_likelihood == pytest.approx(w @ model.row_log_density(theta).real, rel=1e-12)


@pytest.mark.parametrize("name", ["student_t", "gamma"])
def test_what_is_not_fitted_has_no_derivatives(name):
    model, theta, w = random_model(name, 2)
    first = 2 * 4 + 4  # experts, gates
    whole = _core.information(*core_arguments(model, theta, w))
    part = _core.information(*core_arguments(model, theta, w, update_noise=False))
    assert len(part[0]) == first
    for found, expected in zip(part, (whole[0][:first], *(m[:first, :first] for m in whole[1:])), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["poisson", "student_t", "tobit"])
def test_any_number_of_threads_gives_the_same(name):
    model, theta, w = random_model(name, 2, n=10_000)
    alone = _core.information(*core_arguments(model, theta, w))
    for found, expected in zip(
        _core.information(*core_arguments(model, theta, w, n_threads=3)), alone, strict=True
    ):
        np.testing.assert_array_equal(found, expected)
