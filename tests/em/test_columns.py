"""Experts and gates that see some of the columns."""

from dataclasses import replace

import numpy as np
import pytest
from test_em_kernel import settings

from moefast import _core
from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem, HardAssignment
from moefast.hierarchy.em import HierarchicalProblem
from moefast.links import LINKS, Link
from moefast.mixture import Mixture
from moefast.samples import Samples
from moefast.search.moment_starts import l4_start, moments_help, spectral_start
from moefast.search.starts import random_parameters
from oracles import em as em_oracles
from oracles.hierarchy import random_hierarchy

D = 4
# None: all; the same some; gates within, without and across those of experts; constant gates, constant experts.
COLUMNS = [
    (None, None),
    ((0, 2), (0, 2)),
    ((0, 1, 3), (1,)),
    ((0, 2), (1, 3)),
    ((0, 1), (1, 2, 3)),
    (None, (3,)),
    ((1,), None),
    (None, ()),
    ((0, 2), ()),
    ((), (0, 3)),
    ((), ()),
]
each_columns = pytest.mark.parametrize("columns", COLUMNS)


def seen(columns, constant=True):
    """Positions in u = (x, 1) of what is seen."""
    return [*(range(D) if columns is None else columns), *[D] * constant]


def within(p, columns):
    """Parameters with zeros for what is not seen."""
    experts, gates = np.zeros_like(p.experts), np.zeros_like(p.gates)
    experts[:, seen(columns[0])] = p.experts[:, seen(columns[0])]
    gates[:, seen(columns[1])] = p.gates[:, seen(columns[1])]
    return em_oracles.Parameters(experts, gates, p.variance)


def as_mixture(p, link=LINKS["linear"]):
    return Mixture(p.experts[:, :-1], p.experts[:, -1], p.gates[:, :-1], p.gates[:, -1], np.sqrt(p.variance), link)


def as_parameters(m):
    return em_oracles.Parameters(
        np.column_stack([m.coef, m.intercept]), np.column_stack([m.gate_coef, m.gate_intercept]), m.sigma**2
    )


def problem_of(columns, n=300, seed=0, link="linear", **options):
    X, y, truth = make_moe(n, D, 3, noise=0.3, gate_intercept=0.5, link=link, random_state=seed)
    w = np.random.default_rng(seed).uniform(0.5, 2.0, size=n)
    chosen = EmOptions(expert_columns=columns[0], gate_columns=columns[1], n_threads=1, **options)
    return EmProblem(Samples(X, y, w), chosen, truth.link), truth


def assert_same(one, other):
    for name in ("coef", "intercept", "gate_coef", "gate_intercept", "sigma"):
        np.testing.assert_array_equal(getattr(one.mixture, name), getattr(other.mixture, name), name)
    np.testing.assert_array_equal(one.trace, other.trace)


# ---- the E-step ------------------------------------------------------------------------------------------


@each_columns
@pytest.mark.parametrize("n", [7, 391, 9000])
@pytest.mark.parametrize("kind", ["posterior", "tanh", "means", "log_densities"])
def test_statistics_are_those_of_the_columns(columns, n, kind):
    """Against the oracle's of all columns, at parameters that are 0 where nothing is seen."""
    X, y, w, p = em_oracles.random_problem(n, D, 4, seed=n)
    p = within(p, columns)
    frozen, link = {}, LINKS["tanh"] if kind == "tanh" else None
    if kind in ("means", "log_densities"):
        frozen = {kind: np.random.default_rng(0).normal(size=(n, 4))}
    core = settings(n_threads=2, link="tanh") if link else settings(n_threads=2)
    data = _core.EmData(X, y, w, **frozen, expert_columns=columns[0], gate_columns=columns[1])
    u, v = seen(columns[0]), seen(columns[1])
    compact = (np.ascontiguousarray(p.experts[:, u]), np.ascontiguousarray(p.gates[:, v]), p.variance)
    found = _core.e_step(data, (*compact, None, None), core)
    wanted, size = em_oracles.statistics(X, y, w, p, link=link, **frozen)

    def compare(value, name, where=...):
        error = np.abs(value - wanted[name][where])
        assert (error <= 1e-11 * size[name][where] + 1e-12 * w.sum()).all(), name

    def pairs(columns):
        """Rows of the oracle's products, a pair of columns each."""
        return [b * (b + 1) // 2 + a for j, b in enumerate(columns) for a in columns[: j + 1]]

    for name in ("log_likelihood", "totals", "squares"):
        compare(found[name], name)
    compare(found["gate_slope"], "gate_slope", (slice(None), v))
    products, gate_products = found["products"], found["gate_products"]
    if u == v:
        assert gate_products.size == 0
        gate_products = products[:, 4:]
    if v == [D]:  # constant gates have their shares in closed form
        assert gate_products.size == 0
    else:
        compare(gate_products, "products", np.ix_(pairs(v), range(4, 10)))
    if not frozen:
        compare(found["residuals"], "residuals", (slice(None), u))
        compare(products[:, :4], "products", np.ix_(pairs(u), range(4)))
    serial = _core.e_step(data, (*compact, None, None), settings(link="tanh") if link else settings())
    for name, value in serial.items():
        np.testing.assert_array_equal(value, found[name], name)


@pytest.mark.parametrize("name", ["expert_columns", "gate_columns"])
@pytest.mark.parametrize("columns", [[2], [-1], [0, 0], [1, 0]])
def test_the_core_refuses_other_columns(name, columns):
    X, y, w, _ = em_oracles.random_problem(5, 2, 2, seed=0)
    with pytest.raises(ValueError, match=f"^{name} must be increasing columns of X, from 0 to 1, got"):
        _core.EmData(X, y, w, **{name: columns})


# ---- runs ------------------------------------------------------------------------------------------------


@each_columns
@pytest.mark.parametrize("intercepts", [(True, True), (False, True), (True, False)])
def test_one_iteration_equals_the_slow_one(columns, intercepts):
    """Small steps from near the truth: none is halved."""
    problem, truth = problem_of(
        columns, fit_intercept=intercepts[0], fit_gate_intercept=intercepts[1], alpha=0.7, gate_alpha=0.4
    )
    start = replace(truth, sigma=truth.sigma + 0.4).to_standard(problem.standardisation)
    (fit,) = problem.run_many([start], max_iter=1)
    begin = within(as_parameters(start), columns)
    for rows, intercept in zip((begin.experts, begin.gates), intercepts, strict=True):
        rows[:, -1] *= intercept
    wanted = em_oracles.em_iteration(
        problem.Z,
        problem.t,
        problem.sample_weight,
        begin,
        alpha=0.7,
        gate_alpha=0.4,
        intercepts=intercepts,
        columns=columns,
    )
    found = as_parameters(fit.mixture)
    np.testing.assert_allclose(found.experts, wanted.experts, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(found.variance, wanted.variance, rtol=1e-9)
    if columns[1] != ():  # constant gates go all the way, see below
        np.testing.assert_allclose(found.gates, wanted.gates, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("fit_gate_intercept", [True, False])
def test_constant_gates_are_shares(fit_gate_intercept):
    """One M-step sets p_i to the mean of the responsibilities, the maximum; without intercepts they stay equal."""
    problem, truth = problem_of((None, ()), fit_gate_intercept=fit_gate_intercept)
    start = truth.to_standard(problem.standardisation)
    p = within(as_parameters(start), (None, ()))
    p.gates[:, -1] *= fit_gate_intercept
    p.experts[:, -1] += 0.0
    w = problem.sample_weight
    shares = w @ np.asarray(em_oracles.posterior(problem.Z, problem.t, p), dtype=float) / w.sum()
    (fit,) = problem.run_many([start], max_iter=1)
    wanted = shares if fit_gate_intercept else np.full(3, 1 / 3)
    np.testing.assert_allclose(fit.mixture.gates(problem.Z[:1])[0], wanted, rtol=1e-12)
    assert not fit.mixture.gate_coef.any()


def test_an_expert_without_rows_leaves_constant_gates_finite():
    problem, _ = problem_of((None, ()))
    labels = np.arange(300, dtype=np.int32) % 2  # nobody for the last expert
    (first,) = problem.run_many([HardAssignment(labels, 3)], max_iter=0)
    assert first.mixture.gates(problem.Z[:1])[0, 2] == pytest.approx(1e-12)
    (fit,) = problem.run_many([HardAssignment(labels, 3)], max_iter=50)
    assert np.isfinite(fit.trace).all()
    assert (np.diff(fit.trace) > -1e-9).all()


@pytest.mark.parametrize("link", ["linear", "tanh"])
@pytest.mark.parametrize("some", [(0, 2), (1, 2, 3)])
def test_columns_that_nobody_sees_might_as_well_not_be_there(some, link):
    """To the bit: the same start, once by masks and once by dropping the columns."""
    problem, truth = problem_of((some, some), link=link)
    X, y, _ = make_moe(300, D, 3, noise=0.3, gate_intercept=0.5, link=link, random_state=0)
    alone = EmProblem(
        Samples(np.ascontiguousarray(X[:, some]), y, problem.sample_weight), EmOptions(n_threads=1), truth.link
    )
    start = truth.to_standard(problem.standardisation)
    (masked,) = problem.run_many([start], max_iter=30)
    columns = list(some)
    (dropped,) = alone.run_many(
        [replace(start, coef=start.coef[:, columns], gate_coef=start.gate_coef[:, columns])], max_iter=30
    )
    np.testing.assert_array_equal(masked.trace, dropped.trace)
    np.testing.assert_array_equal(masked.mixture.coef[:, columns], dropped.mixture.coef)
    np.testing.assert_array_equal(masked.mixture.gate_coef[:, columns], dropped.mixture.gate_coef)
    assert masked.collapsed == dropped.collapsed
    assert problem.n_parameters(3) == alone.n_parameters(3)


@pytest.mark.parametrize("link", ["linear", "relu"])
def test_all_columns_by_name_are_no_mask(link):
    plain, truth = problem_of((None, None), link=link)
    named, _ = problem_of((tuple(range(D)), tuple(range(D))), link=link)
    start = truth.to_standard(plain.standardisation)
    assert_same(plain.run(start), named.run(start))


@each_columns
def test_runs_climb_and_end_where_the_gradient_vanishes(columns):
    """From a start that knows nothing of the columns."""
    problem, _ = problem_of(columns, noise="shared", alpha=0.5, gate_alpha=0.3, tol=1e-14, max_iter=5000)
    (fit,) = problem.run_many([random_parameters(problem, 3, np.random.default_rng(2))], gradient_tol=1e-9)
    assert fit.converged
    assert (np.diff(fit.trace) >= -1e-10 * np.abs(fit.trace[1:])).all()
    p, (u, v) = as_parameters(fit.mixture), (seen(c) for c in columns)
    assert not np.delete(p.experts, u, axis=1).any()
    assert not np.delete(p.gates, v, axis=1).any()
    assert fit.gradient < 1e-8

    def at(experts=None, gates=None):
        q = em_oracles.Parameters(p.experts.copy(), p.gates.copy(), p.variance)
        if experts is not None:
            q.experts[:, u] = experts
        if gates is not None:
            q.gates[:-1, v] = gates
        return (
            em_oracles.objective(problem.Z, problem.t, problem.sample_weight, q, 0.5, 0.3) / problem.total_weight
        )

    by_experts = em_oracles.numerical_gradient(lambda a: at(experts=a), p.experts[:, u])
    by_gates = em_oracles.numerical_gradient(lambda g: at(gates=g), p.gates[:-1, v])
    np.testing.assert_allclose(by_experts, 0.0, atol=1e-7)
    np.testing.assert_allclose(by_gates, 0.0, atol=1e-7)


def test_gates_of_frozen_experts_see_their_columns_alone():
    problem, truth = problem_of(((0, 1), (2,)))
    start = truth.to_standard(problem.standardisation)
    densities = np.random.default_rng(0).normal(size=(300, 3))
    fit = problem.run(start, log_densities=densities, max_iter=20)
    alone = EmProblem(
        Samples(problem.standardisation.features(problem.Z)[:, [2]], problem.t, problem.sample_weight),
        EmOptions(n_threads=1, gate_alpha=problem.options.gate_alpha),
    )
    scale, mean = alone.standardisation.x_scale, alone.standardisation.x_mean
    assert np.delete(fit.mixture.gate_coef, 2, axis=1).any() == 0
    assert scale.shape == mean.shape == (1,)
    assert fit.trace[-1] > fit.trace[0]


def test_rows_are_counted_by_the_densities_of_frozen_experts():
    """One heavy row leaves totals unclear; the posteriors by the densities tell who has few rows."""
    X, y, truth = make_moe(100, D, 2, random_state=0)
    w = np.where(np.arange(100) == 50, 1e3, 1.0)
    problem = EmProblem(Samples(X, y, w), EmOptions(gate_columns=(), n_threads=1))
    densities = np.where((np.arange(100) < 3)[:, None] == [False, True], 0.0, -50.0)
    fit = problem.run(truth.to_standard(problem.standardisation), log_densities=densities)
    assert fit.collapsed == (1,)
    np.testing.assert_allclose(fit.totals, [97 + 999, 3])


def test_a_tree_forgets_what_it_does_not_see():
    problem, _ = problem_of(((0, 1), (2,)))
    start = random_hierarchy((2, 2), D, np.random.default_rng(0), steepness=1.0, sigma=0.5)
    tree = HierarchicalProblem(problem, (2, 2))
    for max_iter in (0, 3):
        fit = tree.run(start, max_iter=max_iter)
        assert not fit.mixture.coef[:, 2:].any()
        for level in fit.mixture.gate_coef:
            assert not level[..., [0, 1, 3]].any()
        assert (np.diff(fit.trace) > -1e-9).all()


# ---- what it counts --------------------------------------------------------------------------------------


def test_collinear_columns_do_not_count():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 5))
    X[:, 3] = X[:, 0] - 2 * X[:, 1]
    X[:, 4] = 7.0
    y = rng.normal(size=100)

    def count(k=3, **options):
        return EmProblem(Samples(X, y, np.ones(100)), EmOptions(**options)).n_parameters(k)

    assert count() == 3 * 4 + 2 * 4 + 3
    assert count(noise="shared") == 3 * 4 + 2 * 4 + 1
    assert count(gate_columns=()) == 3 * 4 + 2 * 1 + 3
    assert count(gate_columns=(), fit_gate_intercept=False) == 3 * 4 + 3  # the constant column is an intercept
    assert count(expert_columns=(0, 1), gate_columns=(0, 1, 3)) == 3 * 3 + 2 * 3 + 3
    assert count(expert_columns=(4,), gate_columns=(4,)) == 3 + 2 + 3
    assert count(fit_intercept=False, fit_gate_intercept=False, gate_columns=(0,)) == 3 * 4 + 2 * 1 + 3
    assert count(k=1) == 4 + 1


def test_columns_are_collinear_among_those_seen_together():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(100, 3))
    X[:, 2] = X[:, 0] + X[:, 1]

    def collinear(**options):
        return EmProblem(Samples(X, rng.normal(size=100), np.ones(100)), EmOptions(**options)).collinear

    assert len(collinear()) == 1
    assert collinear(expert_columns=(0, 1), gate_columns=(2,)) == []
    assert len(collinear(expert_columns=(0, 1), gate_columns=(0, 1, 2))) == 1


# ---- where they come from --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [spectral_start, l4_start])
def test_moments_are_those_of_the_experts_columns(make):
    """With constant gates the theory holds: the start is near the truth on the columns that experts see."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(80_000, 5))
    coef = np.array([[2.0, 0.0, 0, 0, 0], [0.0, 2.0, 0, 0, 0]])
    chosen = rng.random(80_000) < 0.4
    y = np.where(chosen, X @ coef[0], X @ coef[1]) + 0.1 * rng.normal(size=80_000)
    options = EmOptions(expert_columns=(0, 1, 2), gate_columns=(), n_threads=1)
    problem = EmProblem(Samples(X, y, np.ones(80_000)), options)
    start = make(problem, 2, np.random.default_rng(0)).make()
    assert not start.coef[:, 3:].any()
    assert not start.gate_coef.any()
    found = start.to_units(problem.standardisation).coef
    order = np.argsort(-found[:, 0])
    np.testing.assert_allclose(found[order], coef, atol=0.15)


def test_moments_need_as_many_columns_as_experts_among_those_that_experts_see():
    for columns, k, helps in (((0, 1, 2), 3, True), ((0, 1), 3, False), ((0, 1), 2, True), ((), 2, False)):
        problem, _ = problem_of((columns, None))
        assert moments_help(problem, k, 10) == helps


def test_moments_do_not_help_where_links_hide_the_experts():
    X, y = np.random.default_rng(0).normal(size=(2, 60, 2))
    for g, helps in ((np.abs, False), (np.tanh, True)):
        samples = Samples(X, y[:, 0], np.ones(60))
        assert moments_help(EmProblem(samples, EmOptions(), Link("own", g)), 2, 10) == helps


# ---- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["expert_columns", "gate_columns"])
@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ("ab", TypeError, "must be positions of columns or None, got 'ab'"),
        (3, TypeError, "must be positions of columns or None, got 3"),
        ((0.0,), TypeError, "must be an integer, got 0.0"),
        ((True,), TypeError, "must be an integer, got True"),
        ((-1,), ValueError, "must be at least 0, got -1"),
        ((1, 1), ValueError, r"must name each column once, got \(1, 1\)"),
    ],
)
def test_options_refuse_what_is_no_set_of_columns(name, columns, error, message):
    with pytest.raises(error, match=f"^{name} {message}"):
        EmOptions(**{name: columns})


@pytest.mark.parametrize("name", ["expert_columns", "gate_columns"])
def test_columns_beyond_those_of_X_are_refused(name):
    X, y, _ = make_moe(50, 3, 2, random_state=0)
    with pytest.raises(ValueError, match=f"^{name} has column 3, X has 3 columns"):
        EmProblem(Samples(X, y, np.ones(50)), EmOptions(**{name: (0, 3)}))


def test_columns_may_come_in_any_order():
    assert EmOptions(gate_columns=[np.int64(2), 0]).gate_columns == (0, 2)
