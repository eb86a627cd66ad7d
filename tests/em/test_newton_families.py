"""Newton's method at the end of runs of every family and link, against EM that goes on for long."""

from dataclasses import replace

import numpy as np
import pytest

from moefast import _core
from moefast.links import LINKS, Link
from oracles.families import LAWS, NORMAL

CURVED = [link for link in LINKS.values() if not link.is_linear]
ARCTAN = Link("arctan", np.arctan)
K = 2
EXPERTS = np.array([[0.9, -0.5, 0.4], [-0.7, 0.6, 1.0]])
# Of four classes: three log-odds an expert.
CLASSES = 2 * np.array(
    [[1.0, 0.5, 0.2], [-1.0, 0.8, 0.0], [0.3, -1.2, -0.4], [-0.8, -0.6, 0.3], [0.9, 0.2, 0.5], [-0.2, 1.3, -0.2]]
)
GATES = np.array([[1.0, 1.5, 0.2], [0.0, 0.0, 0.0]])


def core_problem(law, *, link=None, n=2500, seed=0, **of_settings):
    """Return data and settings: two experts, offsets and trials, weights, gates and experts on all columns."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    U = np.column_stack([X, np.ones(n)])
    offset, trials = (law.n_predictors == 1) * 0.2 * rng.normal(size=n), rng.integers(3, 12, size=n).astype(float)
    eta = (U @ EXPERTS.T)[np.arange(n), (rng.uniform(size=n) > 1 / (1 + np.exp(-(U @ GATES[0])))).astype(int)]
    eta = eta + offset if link is None else link(2 * eta)
    y = law.draw(rng, eta, trials).astype(float)
    rows = {"offset": offset, "trials": trials, "row_term": law.row_term(y, trials)} if law.core else {}
    called = link and (link.name if link.is_built_in else (lambda t: (link(t), link.slope(t)), link.curvature))
    settings = {"family": law.core, "link": called, "variance_floor": 1e-6, "tol": 1e-5, "max_iter": 2000}
    return _core.EmData(X, y, rng.uniform(0.5, 2.0, size=n), **rows), {**settings, **of_settings}


def ends(law, data, settings, *, tol=1e-10, gradient_tol=1e-9):
    """Run EM with a wide tolerance, and from there Newton's method and EM for long."""
    experts = EXPERTS * (2.0 if settings["link"] else 1.0)
    if law.n_predictors > 1:
        experts = CLASSES
    start = (experts, GATES, np.array([[0.25 if law.has_scale else 1.0, 4.0]] * K))
    (near,) = _core.em_run(data, [(*start, None, None)], _core.EmSettings(**settings))
    at = (near["experts"], near["gates"], np.column_stack([near["variance"], near["shape"]]))
    newton = _core.newton_run(data, at, _core.EmSettings(**settings, gradient_tol=gradient_tol), tol, 30)
    long = {**settings, "tol": 0.0, "gradient_tol": 1e-10, "max_iter": 5000}
    (far,) = _core.em_run(data, [(*at, None, None)], _core.EmSettings(**long))
    return newton, far


def assert_one_end(newton, far):
    __tracebackhide__ = True
    assert newton["curvature"] == "maximum"
    assert newton["status"] == "converged"
    assert newton["gradient"] <= 1e-9
    assert newton["n_passes"] <= 12
    assert (np.diff(newton["trace"]) >= -1e-9).all()
    assert newton["trace"][-1] == pytest.approx(far["trace"][-1], abs=1e-7)
    for name in ("experts", "gates", "variance", "shape"):
        np.testing.assert_allclose(newton[name], far[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "options", [{}, {"shared_noise": True, "alpha": 5.0, "gate_alpha": 2.0}], ids=["plain", "ridges"]
)
@pytest.mark.parametrize("name", [name for name, law in LAWS.items() if law.n_predictors == 1])
def test_it_ends_where_em_ends_after_long(name, options):
    assert_one_end(*ends(LAWS[name], *core_problem(LAWS[name], **options)))


@pytest.mark.parametrize("options", [{}, {"alpha": 5.0, "gate_alpha": 2.0}], ids=["plain", "ridges"])
def test_so_it_does_with_several_predictors_an_expert(options):
    rng, n = np.random.default_rng(0), 4000
    X = rng.normal(size=(n, 2))
    U = np.column_stack([X, np.ones(n)])
    expert = (rng.uniform(size=n) > 1 / (1 + np.exp(-(U @ GATES[0])))).astype(int)
    exponents = np.einsum("nm,nam->na", U, CLASSES.reshape(K, 3, 3)[expert])
    y = (np.column_stack([np.zeros(n), exponents]) + rng.gumbel(size=(n, 4))).argmax(axis=1).astype(float)
    law = LAWS["multinomial"]
    settings = {"family": law.core, "link": None, "variance_floor": 1e-6, "tol": 1e-5, "max_iter": 2000}
    newton, far = ends(law, _core.EmData(X, y, np.ones(n)), {**settings, **options})
    assert_one_end(newton, far)


@pytest.mark.parametrize("link", [*CURVED, ARCTAN], ids=lambda link: link.name)
def test_so_it_does_with_links(link):
    assert_one_end(*ends(NORMAL, *core_problem(NORMAL, link=link, seed=1)))


@pytest.mark.parametrize("name", ["relu", "leaky_relu"])
def test_an_optimum_at_a_kink_is_not_called_one(name):
    """There the gradient jumps and does not vanish."""
    newton, far = ends(NORMAL, *core_problem(NORMAL, link=LINKS[name], seed=0))
    assert far["gradient"] > 1e-5
    assert newton["status"] == "iteration_limit"
    assert newton["trace"][-1] >= far["trace"][-1]


@pytest.mark.parametrize("shared_noise", [False, True])
@pytest.mark.parametrize(("name", "source"), [("negative_binomial", "poisson"), ("student_t", "tobit")])
def test_shapes_at_their_bounds_stay_there(name, source, shared_noise):
    """Of counts without overdispersion, and of responses with lighter tails than normal ones."""
    law = replace(LAWS[name], draw=LAWS[source].draw)
    newton, far = ends(law, *core_problem(law, shared_noise=shared_noise))
    assert_one_end(newton, far)
    assert far["gradient"] < 1e-7
    largest = {"negative_binomial": np.exp(8.0), "student_t": 200.0}[name]
    assert newton["shape"].max() == pytest.approx(largest, rel=1e-12)


@pytest.mark.parametrize("law", [NORMAL, LAWS["student_t"]])
def test_noise_that_is_given_stays(law):
    newton, far = ends(law, *core_problem(law, update_noise=False))
    assert_one_end(newton, far)
    np.testing.assert_array_equal(newton["variance"], 0.25)
    np.testing.assert_array_equal(newton["shape"], 4.0)


@pytest.mark.parametrize("name", ["poisson", "student_t", "gamma"])
def test_a_saddle_of_identical_experts_is_recognised_and_left(name):
    data, settings = core_problem(LAWS[name])
    same = np.zeros((K, 3))
    settings = _core.EmSettings(**{**settings, "tol": 1e-13, "max_iter": 20_000})
    start = (same, same, np.array([[0.25 if LAWS[name].has_scale else 1.0, 4.0]] * K))
    (saddle,) = _core.em_run(data, [(*start, None, None)], settings)
    assert saddle["gradient"] < 1e-5
    at = (saddle["experts"], saddle["gates"], np.column_stack([saddle["variance"], saddle["shape"]]))
    end = _core.newton_run(data, at, settings, 1e-6, 30)
    assert (end["curvature"], end["status"], end["n_iter"]) == ("saddle", "iteration_limit", 1)
    assert end["trace"][-1] > end["trace"][0] + 0.1
    at = (end["experts"], end["gates"], np.column_stack([end["variance"], end["shape"]]))
    (on,) = _core.em_run(data, [(*at, None, None)], settings)
    assert on["log_likelihood"] > saddle["log_likelihood"] + 50
