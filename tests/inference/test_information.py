"""The information of the core and the covariances made of it, against derivatives of the log-likelihood alone."""

import numpy as np
import pytest

from moefast import _core
from moefast.em import EmOptions, EmProblem
from moefast.inference.information import Information, cluster_products
from moefast.inference.layout import ParameterLayout
from moefast.links import LINKS, Link
from moefast.samples import Samples
from moefast.standardisation import Standardisation
from oracles.information import Model, hessian, row_scores

ALL = [0, 1, 2, 3]
COLUMNS = [(ALL, ALL), ([0, 3], [1, 2, 3]), ([1], []), ([3], [3]), ([0, 2, 3], [3]), ([], [0]), (ALL, [0, 1, 2])]
COMPLEX_LINKS = {
    "linear": lambda eta: eta,
    "tanh": np.tanh,
    "sigmoid": lambda eta: 1 / (1 + np.exp(-eta)),
    "softplus": lambda eta: np.log(1 + np.exp(eta)),
    "silu": lambda eta: eta / (1 + np.exp(-eta)),
}


def settings(**changes):
    plain = {
        "max_iter": 5,
        "tol": 1e-8,
        "fit_intercept": True,
        "fit_gate_intercept": True,
        "update_noise": True,
        "shared_noise": False,
        "variance_floor": 1e-6,
        "alpha": 0.0,
        "gate_alpha": 0.0,
        "n_threads": 1,
        "accelerate": True,
    }
    return _core.EmSettings(**{**plain, **changes})


def core_arguments(model, theta, w, **of_settings):
    """Return data, parameters and settings as the core takes them; 3 stands for the constant."""
    experts, gates, variance = model.full(theta)
    seen = [[j for j in columns if j < 3] for columns in (model.expert_columns, model.gate_columns)]
    data = _core.EmData(model.X, model.y, w, None, None, *(None if len(c) == 3 else c for c in seen))
    arrays = (np.ascontiguousarray(a[:, [*c, 3]]) for a, c in zip((experts, gates), seen, strict=True))
    intercepts = {"fit_intercept": 3 in model.expert_columns, "fit_gate_intercept": 3 in model.gate_columns}
    noise = {"shared_noise": model.shared_noise}
    return data, (*arrays, variance), settings(**intercepts, **noise, **of_settings)


def random_model(k, columns=(ALL, ALL), *, shared_noise=False, link="linear", n=120, seed=0):
    rng = np.random.default_rng(seed)
    X, y, w = rng.normal(size=(n, 3)), rng.normal(size=n), rng.uniform(0, 2, size=n)
    w[::7] = 0
    model = Model(X, y, k, *columns, shared_noise, COMPLEX_LINKS[link])
    return model, 0.7 * rng.normal(size=model.n_parameters), w


def close(found, expected, tolerance):
    __tracebackhide__ = True
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(1.0, np.abs(expected).max(initial=0)))


@pytest.mark.parametrize("shared_noise", [False, True])
@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_information_is_the_second_derivative(k, columns, shared_noise):
    model, theta, w = random_model(k, columns, shared_noise=shared_noise)
    arguments = core_arguments(model, theta, w)
    score, second, products = _core.information(*arguments)
    rows = row_scores(model, theta)
    close(_core.row_scores(*arguments), rows, 1e-13)
    close(score, w @ rows, 1e-13)
    close(products, rows.T @ (w[:, None] * rows), 1e-13)
    close(second, hessian(model, theta, w), 1e-8)


@pytest.mark.parametrize("name", [name for name in COMPLEX_LINKS if name != "linear"])
def test_information_of_a_link_has_its_curvature(name):
    model, theta, w = random_model(3, link=name)
    _, second, products = _core.information(*core_arguments(model, theta, w, link=name))
    rows = row_scores(model, theta)
    close(products, rows.T @ (w[:, None] * rows), 1e-13)
    close(second, hessian(model, theta, w), 1e-8)


@pytest.mark.parametrize("n", [1, 7, 200, 193 * 8, 20_000])
def test_information_adds_up_over_chunks_and_threads(n):
    model, theta, w = random_model(2, n=n)
    alone = _core.information(*core_arguments(model, theta, w))
    rows = row_scores(model, theta)
    close(alone[0], w @ rows, 1e-12)
    close(alone[2], rows.T @ (w[:, None] * rows), 1e-12)
    for n_threads in (4, 7):
        for found, expected in zip(
            _core.information(*core_arguments(model, theta, w, n_threads=n_threads)), alone, strict=True
        ):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "second", [lambda t: -2 * np.tanh(t) / np.cosh(t) ** 2, None], ids=["exact", "differences"]
)
def test_a_python_link_gives_what_the_built_in_one_gives(second):
    model, theta, w = random_model(2, link="tanh", n=400)
    link = LINKS["tanh"]

    def first(t):
        return link(t), link.slope(t)

    called = _core.information(*core_arguments(model, theta, w, link=(first, second) if second else first))
    built_in = _core.information(*core_arguments(model, theta, w, link="tanh"))
    tolerances = (1e-13, 1e-13 if second else 1e-9, 1e-13)
    for found, expected, tolerance in zip(called, built_in, tolerances, strict=True):
        close(found, expected, tolerance)


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("tanh", lambda z: -2 * np.tanh(z) / np.cosh(z) ** 2),
        ("relu", np.zeros_like),
        ("leaky_relu", np.zeros_like),
        ("linear", np.zeros_like),
    ],
)
def test_curvature_of_links(name, second):
    z = np.concatenate([np.linspace(-4, 4, 41), [0.0, 1e-9, -1e-9]])
    np.testing.assert_allclose(LINKS[name].curvature(z), second(z), atol=1e-8)
    plain = Link("of mine", LINKS[name].function, LINKS[name].breakpoints)
    np.testing.assert_allclose(plain.curvature(z), second(z), atol=1e-6)


@pytest.mark.parametrize("shared_noise", [False, True])
def test_the_ridge_is_the_second_derivative_of_what_is_taken_off(shared_noise):
    rng = np.random.default_rng(3)
    options = EmOptions(alpha=0.7, gate_alpha=0.3, noise="shared" if shared_noise else "per_expert")
    problem = EmProblem(Samples(rng.normal(size=(40, 2)), rng.normal(size=40), np.ones(40)), options)
    layout = ParameterLayout(("a", "b"), 3, (0, 1, 2), (0, 2), shared_noise, 2)
    theta = rng.normal(size=layout.n_parameters)

    def ridge(theta):
        mixture = layout.mixture(theta, problem.link)
        gates = mixture.gate_coef - mixture.gate_coef.mean(axis=0)
        return 0.35 * (mixture.coef**2 / mixture.sigma[:, None] ** 2).sum() + 0.15 * (gates**2).sum()

    steps = 1e-4 * np.eye(len(theta))
    differences = [
        [
            (ridge(theta + a + b) - ridge(theta + a - b) - ridge(theta - a + b) + ridge(theta - a - b)) / 4e-8
            for a in steps
        ]
        for b in steps
    ]
    mixture = layout.mixture(theta, problem.link)
    close(Information.at(problem, mixture, layout).penalty, np.array(differences), 1e-6)


@pytest.mark.parametrize("n_groups", [2, 9, 300])
def test_cluster_sums(n_groups, monkeypatch):
    monkeypatch.setattr("moefast.inference.information._BLOCK", 37)  # groups run over the ends of blocks
    rng = np.random.default_rng(0)
    n = 300
    groups = rng.permutation(np.arange(n) % n_groups)
    samples = Samples(rng.normal(size=(n, 3)), rng.normal(size=n), rng.uniform(0.1, 2, size=n))
    problem = EmProblem(samples, EmOptions(expert_columns=[0, 1], gate_columns=[0]))
    layout = ParameterLayout(("a", "b", "c"), 2, (0, 1, 3), (0, 3), False, 1)
    theta = rng.normal(size=layout.n_parameters)
    model = Model(problem.Z, problem.t, 2, [0, 1, 3], [0, 3])
    weighted = problem.sample_weight[:, None] * row_scores(model, theta)
    sums = np.array([weighted[groups == g].sum(axis=0) for g in range(n_groups)])
    found = cluster_products(problem, layout.mixture(theta, problem.link), layout, groups)
    close(found, sums.T @ sums, 1e-12)


@pytest.mark.parametrize("reference", [0, 1, 2])
def test_units_and_reference_are_linear_maps(reference):
    rng = np.random.default_rng(1)
    layout = ParameterLayout(("a", "b"), 3, (0, 2), (0, 1, 2), False, 2)
    s = Standardisation(rng.normal(size=2), np.array([0.3, 20.0]), 5.0, 0.02)
    theta = rng.normal(size=layout.n_parameters)
    standard = layout.mixture(theta, LINKS["linear"])
    new, M = layout.change_of_reference(reference)
    T, constant = new.to_units(s)
    np.testing.assert_allclose(T @ M @ theta + constant, new.vector(standard.to_units(s)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(new.vector(new.mixture(M @ theta, LINKS["linear"])), M @ theta)
    names = new.names
    assert len(names) == new.n_parameters
    assert names[:2] == [("expert 0", "a"), ("expert 0", "(intercept)")]
    assert [part for part, _ in names if part == f"gate {reference}"] == []


def test_arrays_that_do_not_fit_are_refused():
    model, theta, w = random_model(2)
    experts, gates, variance = model.full(theta)
    good = (_core.EmData(model.X, model.y, w), (experts, gates, variance), settings())
    bad = [
        ((experts[:, :-1].copy(), gates, variance), "experts must have shape"),
        ((experts, gates[:, :-1].copy(), variance), "gates must have shape"),
        ((np.vstack([experts, experts]), gates, variance), r"experts must have 1 row\(s\) an expert, got 2"),
        ((experts, gates, -variance), "variance must be positive"),
    ]
    for parameters, message in bad:
        for call in (_core.information, _core.row_scores):
            with pytest.raises(ValueError, match=message):
                call(good[0], parameters, *good[2:])
    frozen = _core.EmData(model.X, model.y, w, np.zeros((len(w), 2)))
    with pytest.raises(ValueError, match="data must not have means"):
        _core.information(frozen, *good[1:])
