"""The E-step of rows in groups against sums over groups and rows one at a time, and EM made of it."""

import numpy as np
import pytest

from moefast import _core
from moefast.em import EmOptions, EmProblem, HardAssignment
from moefast.families import get_family
from moefast.groups import RowGroups
from moefast.links import LINKS
from moefast.samples import Samples
from moefast.validation import check_samples
from oracles import grouped

COLUMNS = [([0, 1], [2]), (None, [2]), ([0, 2], []), ([], [2]), ([2], [2])]


def sorted_subjects(n_groups, seed, **how):
    """Rows of subjects with weights of their own, one of them 0, as the core takes them."""
    X, y, group, _ = grouped.simulate(n_groups, seed, **how)
    starts = np.searchsorted(group, np.arange(n_groups + 1))
    weight = np.random.default_rng(seed).uniform(0.1, 2.0, size=n_groups)
    weight[n_groups // 2] = 0.0
    return X, y, group, starts, weight


def parameters(k, n_expert, n_gate, seed):
    rng = np.random.default_rng(seed)
    gates = rng.normal(size=(k, n_gate))
    gates[-1] = 0.0
    return rng.normal(size=(k, n_expert)), gates, rng.uniform(0.3, 2.0, size=k)


def designs(X, expert_columns, gate_columns):
    one, every = np.ones((len(X), 1)), range(X.shape[1])
    return [np.hstack([X[:, list(every if c is None else c)], one]) for c in (expert_columns, gate_columns)]


def oracle(X, y, group, weight, p, columns, *, link=LINKS["linear"], r=None, beta=1.0):
    """Every statistic, from the posterior of groups or the responsibilities r given for groups."""
    experts, gates, variance = p
    (U, V), k = designs(X, *columns), len(variance)
    first = np.unique(group, return_index=True)[1]
    terms = beta * grouped.joint(U, V, y, group, experts, gates, np.sqrt(variance), link)
    with_y = grouped.log_likelihood(terms, weight) / beta
    r = grouped.posterior(terms) if r is None else r
    V = V[first]
    p = np.exp(V @ gates.T)
    p /= p.sum(axis=1, keepdims=True)
    e, slope = y[:, None] - link(U @ experts.T), link.slope(U @ experts.T)
    rows = (weight[:, None] * r)[group]

    def pairs(D, weights):
        return np.array(
            [[(w * D[:, a] * D[:, b]).sum() for w in weights] for b in range(D.shape[1]) for a in range(b + 1)]
        )

    of_gates = [weight * p[:, i] * ((i == j) - p[:, j]) for i in range(k - 1) for j in range(i, k - 1)]
    return {
        "log_likelihood": with_y,
        "totals": rows.sum(axis=0),
        "group_totals": weight @ r,
        "squares": (rows * e**2).sum(axis=0),
        "residuals": (rows * e * slope).T @ U,
        "gate_slope": (weight[:, None] * (r - p)).T @ V,
        "products": pairs(U, (rows * slope**2).T),
        "gate_products": pairs(V, of_gates) if V.shape[1] > 1 else np.zeros((1, 0)),
    }


def agree(found, expected):
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("link", ["linear", "tanh"])
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("columns", COLUMNS)
def test_statistics_are_the_oracles(columns, k, link):
    X, y, group, starts, weight = sorted_subjects(150, k)
    p = parameters(k, *(D.shape[1] for D in designs(X, *columns)), seed=k)
    data = _core.EmData(
        X, y, weight[group], expert_columns=columns[0], gate_columns=columns[1], group_starts=starts
    )
    found = _core.e_step(data, (*p, None, None), _core.EmSettings(variance_floor=1e-9, link=link))
    agree(found, oracle(X, y, group, weight, p, columns, link=LINKS[link]))


def test_groups_longer_than_a_chunk_and_of_one_row():
    rng = np.random.default_rng(0)
    sizes = np.array([1, 900, 1, 383, 385, 2, 1500, 1])
    starts, group = np.append(0, np.cumsum(sizes)), np.repeat(np.arange(8), sizes)
    X, y, weight = rng.normal(size=(len(group), 2)), rng.normal(size=len(group)), rng.uniform(0.5, 2, size=8)
    X[:, 1] = rng.normal(size=8)[group]
    p = parameters(2, 2, 2, 0)
    data = _core.EmData(X, y, weight[group], expert_columns=[0], gate_columns=[1], group_starts=starts)
    found = _core.e_step(data, (*p, None, None), _core.EmSettings(variance_floor=1e-9))
    agree(found, oracle(X, y, group, weight, p, ([0], [1])))


def test_annealed_statistics():
    X, y, group, starts, weight = sorted_subjects(150, 5)
    columns, p = COLUMNS[0], parameters(3, 3, 2, 5)
    data = _core.EmData(X, y, weight[group], expert_columns=[0, 1], gate_columns=[2], group_starts=starts)
    settings = _core.EmSettings(variance_floor=1e-9, inverse_temperature=0.4)
    agree(_core.e_step(data, (*p, None, None), settings), oracle(X, y, group, weight, p, columns, beta=0.4))


def test_the_first_row_of_a_group_speaks_for_it_where_responsibilities_are_given():
    X, y, group, starts, weight = sorted_subjects(150, 6)
    rng = np.random.default_rng(6)
    columns, p = COLUMNS[0], parameters(3, 3, 2, 6)
    data = _core.EmData(X, y, weight[group], expert_columns=[0, 1], gate_columns=[2], group_starts=starts)
    settings = _core.EmSettings(variance_floor=1e-9)
    r = rng.dirichlet(np.ones(3), size=len(y))
    expected = oracle(X, y, group, weight, p, columns, r=r[starts[:-1]])
    agree(_core.e_step(data, (*p, r, None), settings), expected)
    labels = rng.integers(0, 3, size=len(y), dtype=np.int32)
    expected = oracle(X, y, group, weight, p, columns, r=np.eye(3)[labels[starts[:-1]]])
    agree(_core.e_step(data, (*p, None, labels), settings), expected)


@pytest.mark.parametrize("frozen", ["means", "log_densities"])
def test_frozen_experts(frozen):
    X, y, group, starts, weight = sorted_subjects(100, 7)
    experts, _, variance = p = parameters(2, 4, 2, 7)
    means = designs(X, None, [])[0] @ experts.T
    log_densities = -0.5 * ((y[:, None] - means) ** 2 / variance + np.log(2 * np.pi * variance))
    given = {"means": means} if frozen == "means" else {"log_densities": log_densities}
    data = _core.EmData(X, y, weight[group], gate_columns=[2], group_starts=starts, **given)
    settings = _core.EmSettings(variance_floor=1e-9, update_noise=frozen == "means")
    found = _core.e_step(data, (*p, None, None), settings)
    expected = oracle(X, y, group, weight, p, (None, [2]))
    wanted = ["log_likelihood", "totals", "group_totals", "gate_slope", "gate_products"]
    agree(found, {name: expected[name] for name in wanted})
    (end,) = _core.em_run(data, [(*p, None, None)], settings)
    assert end["log_likelihood"] > found["log_likelihood"]
    np.testing.assert_array_equal(end["experts"], experts)


def test_single_precision_and_units_that_are_changed_on_the_way():
    X, y, group, starts, weight = sorted_subjects(100, 8)
    X, centre, scale = X.astype(np.float32), np.array([0.3, -0.2, 0.5]), np.array([2.0, 0.5, 1.5])
    p = parameters(2, 3, 2, 8)
    data = _core.EmData(
        X,
        y,
        weight[group],
        expert_columns=[0, 1],
        gate_columns=[2],
        centre=centre,
        inverse_scale=1 / scale,
        group_starts=starts,
    )
    found = _core.e_step(data, (*p, None, None), _core.EmSettings(variance_floor=1e-9))
    agree(found, oracle((X.astype(float) - centre) / scale, y, group, weight, p, ([0, 1], [2])))


# ---- EM ------------------------------------------------------------------------------------------------


def problem_of(X, y, group, weights=None, **options):
    columns = {"expert_columns": (0, 1), "gate_columns": (2,)}
    samples = check_samples(X, y, weights, groups=group)
    return EmProblem(samples, EmOptions(**{"n_threads": 1, **columns, **options}))


def starts_of(problem, k, n, seed=0):
    rng = np.random.default_rng(seed)
    return [HardAssignment(rng.integers(0, k, size=problem.n_rows, dtype=np.int32), k) for _ in range(n)]


@pytest.mark.parametrize("noise", ["per_expert", "shared"])
@pytest.mark.parametrize("gate_columns", [(2,), ()])
def test_em_never_falls_and_ends_where_the_gradient_vanishes(noise, gate_columns):
    X, y, group, _ = grouped.simulate(300, 0)
    weights = np.random.default_rng(0).integers(1, 4, 300)[group]
    problem = problem_of(X, y, group, weights, noise=noise, gate_columns=gate_columns, gate_alpha=0.0)
    for fit in problem.run_many(starts_of(problem, 2, 4), gradient_tol=1e-9):
        assert fit.converged
        assert (np.diff(fit.trace) > -1e-9).all()
        m = fit.mixture
        U, V = designs(problem.Z, (0, 1), list(gate_columns))

        def value(experts, gates, log_sigma, U=U, V=V):
            terms = grouped.joint(U, V, problem.t, problem.groups.of_rows, experts, gates, np.exp(log_sigma))
            return grouped.log_likelihood(terms, problem.unit_weight)

        theta = [
            np.column_stack([m.coef[:, :2], m.intercept]),
            np.column_stack([m.gate_coef[:, list(gate_columns)], m.gate_intercept]),
            np.log(m.sigma[:1] if noise == "shared" else m.sigma),
        ]
        assert value(*theta) == pytest.approx(fit.log_likelihood, abs=1e-8)
        for which in range(3):
            for index in np.ndindex(theta[which].shape):
                moved = [part.astype(complex) for part in theta]
                moved[which][index] += 1e-30j
                assert abs(value(*moved).imag / 1e-30) < 1e-7 * problem.n_rows


@pytest.mark.parametrize("family", ["gaussian", "poisson", "student_t", "gamma"])
def test_groups_of_one_row_are_rows(family):
    X, y, _, _ = grouped.simulate(200, 1, most_rows=1)
    y = {"poisson": np.round(np.exp(y)), "gamma": np.exp(y)}.get(family, y)
    law = LINKS["linear"], get_family(family)
    alone = EmProblem(Samples(X, y, np.ones(200)), EmOptions(expert_columns=(0, 1), gate_columns=(2,)), *law)
    samples = Samples(X, y, np.ones(200), groups=RowGroups.of(np.arange(200)))
    in_groups = EmProblem(samples, alone.options, *law)
    for one, other in zip(*(p.run_many(starts_of(p, 2, 3), max_iter=20) for p in (alone, in_groups)), strict=True):
        np.testing.assert_allclose(one.trace, other.trace, rtol=1e-10)
        np.testing.assert_allclose(one.mixture.coef, other.mixture.coef, rtol=1e-7)
        np.testing.assert_allclose(one.mixture.gate_coef, other.mixture.gate_coef, rtol=1e-6, atol=1e-9)


def test_a_weight_is_so_many_copies_of_the_group():
    X, y, group, _ = grouped.simulate(80, 2)
    times = np.random.default_rng(2).integers(0, 4, size=80)
    rows = np.concatenate([np.flatnonzero(group == g) for g in range(80) for _ in range(times[g])])
    copies = np.concatenate([np.full((group == g).sum(), 4 * g + c) for g in range(80) for c in range(times[g])])
    weighted = problem_of(X, y, group, times[group].astype(float))
    repeated = problem_of(X[rows], y[rows], copies)
    assert weighted.n_distinct == repeated.n_distinct
    assert weighted.weight_per_row == pytest.approx(repeated.weight_per_row)
    begin = weighted.run_many(starts_of(weighted, 2, 1), max_iter=3)[0].mixture
    one, other = (problem.run(begin) for problem in (weighted, repeated))
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-10)
    np.testing.assert_allclose(one.mixture.coef, other.mixture.coef, rtol=1e-6)


@pytest.mark.parametrize("gate_columns", [(2,), ()])
def test_the_number_of_threads_changes_no_bit(gate_columns):
    X, y, group, _ = grouped.simulate(6000, 3)
    fits = []
    for n_threads in (1, 3):
        problem = problem_of(X, y, group, gate_columns=gate_columns, n_threads=n_threads)
        fits.append(problem.run_many(starts_of(problem, 2, 2), max_iter=6))
    for one, other in zip(*fits, strict=True):
        np.testing.assert_array_equal(one.trace, other.trace)
        np.testing.assert_array_equal(one.mixture.gate_coef, other.mixture.gate_coef)


@pytest.mark.parametrize("link", ["tanh", "softplus"])
def test_links(link):
    rng = np.random.default_rng(4)
    X, _, group, expert = grouped.simulate(400, 4)
    y = LINKS[link]((X[:, :2] * np.array([[2.0, -1], [-1, 2]])[expert[group]]).sum(axis=1))
    y = y + 0.1 * rng.normal(size=len(y))
    samples = check_samples(X, y, groups=group)
    problem = EmProblem(samples, EmOptions(expert_columns=(0, 1), gate_columns=(2,)), LINKS[link])
    truth = np.eye(2)[expert[group[samples.groups.order]]]
    fit = problem.run(responsibilities=truth)
    assert fit.converged
    found = problem.to_units(fit).mixture.coef[:, :2]
    np.testing.assert_allclose(found, [[2, -1], [-1, 2]], atol=0.1)


def test_bad_groups_are_refused():
    X, y = np.zeros((4, 1)), np.zeros(4)
    for starts in ([0, 4, 4], [0, 3], [1, 4], [0, 2, 5], [0, 3, 2, 4]):
        with pytest.raises(ValueError, match="group_starts must increase from 0 to the number of rows, 4"):
            _core.EmData(X, y, np.ones(4), group_starts=np.array(starts))
    with pytest.raises(ValueError, match="at least two entries"):
        _core.EmData(X, y, np.ones(4), group_starts=np.array([0]))
    data = _core.EmData(X, y, np.ones(4), gate_columns=[], group_starts=np.array([0, 2, 4]))
    p = np.zeros((2, 2)), np.zeros((2, 1)), np.ones(2)
    settings = _core.EmSettings(variance_floor=1e-9)
    for call in (
        lambda: _core.information(data, p, settings),
        lambda: _core.row_scores(data, p, settings),
        lambda: _core.newton_run(data, p, settings, 1e-8, 5),
    ):
        with pytest.raises(ValueError, match="group_starts must be left out here"):
            call()
    labels = np.array([0, 0, 2, 0], dtype=np.int32)
    with pytest.raises(ValueError, match="labels must be from 0 to 1, got 2"):
        _core.e_step(data, (*p, None, labels), settings)
