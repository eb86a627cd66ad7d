"""Hierarchical EM: densities, one iteration, the climb, where it ends, where it starts."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_em import INTERCEPTS, assert_never_falls, degenerate_data

from moefast.em import EmOptions, EmProblem, HardAssignment
from moefast.hierarchy import HierarchicalMixture
from moefast.hierarchy.em import HierarchicalProblem
from moefast.hierarchy.mixture import log_sum_exp
from moefast.hierarchy.starts import _n_partitions, _partitions, _Trees, balanced_groups, hierarchical_portfolio
from moefast.mixture import Mixture
from moefast.samples import Samples
from moefast.search.portfolio import StartOptions
from moefast.standardisation import Standardisation
from oracles import hierarchy as hierarchy_oracles
from oracles.hierarchy import random_hierarchy

TREES = [(2, 2), (3, 2), (1, 3), (2, 1), (4,), (2, 3, 2)]


def data(branches, n, d, seed, **options):
    """Weights, truth and problem of samples of a random hierarchy."""
    rng = np.random.default_rng(seed)
    truth = random_hierarchy(branches, d, rng, steepness=3.0)
    X = rng.normal(size=(n, d))
    y, w = truth.draw(X, rng), rng.uniform(0.2, 3.0, size=n)
    return w, truth, HierarchicalProblem(EmProblem(Samples(X, y, w), EmOptions(**options)), branches)


def assert_same_model(a, b, **tolerance):
    for name in ("coef", "intercept", "sigma"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), err_msg=name, **tolerance)
    for name in ("gate_coef", "gate_intercept"):
        for level, (p, q) in enumerate(zip(getattr(a, name), getattr(b, name), strict=True)):
            np.testing.assert_allclose(p, q, err_msg=f"{name}, level {level}", **tolerance)


# ---- the model -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("branches", TREES)
def test_densities_are_those_of_the_loops(branches):
    rng = np.random.default_rng(1)
    h, X, y = random_hierarchy(branches, 3, rng), rng.normal(size=(40, 3)), rng.normal(size=40)
    wanted = [hierarchy_oracles.leaf_probabilities(h, x) for x in X]
    np.testing.assert_allclose(h.gates(X), wanted, rtol=1e-12)
    np.testing.assert_allclose(h.log_density(X, y), hierarchy_oracles.log_density(h, X, y), rtol=1e-11)
    product = np.ones((40, 1))
    for level in range(len(branches)):
        product = (product[:, :, None] * h.level_gates(X, level)).reshape(40, -1)
    np.testing.assert_allclose(product, wanted, rtol=1e-12)


@pytest.mark.parametrize("branches", TREES)
def test_no_rows(branches):
    """Averages ask each replicate for the rows that it has not seen, which may be none."""
    h, X = random_hierarchy(branches, 3, np.random.default_rng(0)), np.empty((0, 3))
    assert h.gates(X).shape == h.expert_means(X).shape == (0, h.n_experts)
    assert h.gates(X, 0).shape == (0, branches[0])
    assert h.log_density(X, np.empty(0)).shape == h.mean(X).shape == h.std(X).shape == (0,)
    assert h.quantile(X, np.array([0.5, 0.6])).shape == (0, 2)


def test_a_tree_of_one_level_is_the_flat_mixture():
    rng = np.random.default_rng(2)
    h, X, y = random_hierarchy((3,), 2, rng), rng.normal(size=(30, 2)), rng.normal(size=30)
    flat = Mixture(h.coef, h.intercept, h.gate_coef[0][0], h.gate_intercept[0][0], h.sigma)
    np.testing.assert_allclose(h.log_density(X, y), flat.log_density(X, y), rtol=1e-12)
    np.testing.assert_allclose(h.responsibilities(X, y), flat.responsibilities(X, y), rtol=1e-10)


@pytest.mark.parametrize("branches", TREES)
def test_swapping_siblings_changes_the_order_of_the_leaves_alone(branches):
    rng = np.random.default_rng(3)
    h, X, y = random_hierarchy(branches, 3, rng), rng.normal(size=(20, 3)), rng.normal(size=20)
    totals = rng.uniform(1, 9, size=h.n_experts)
    order = h.canonical_order(totals)
    other = h.ordered(order)
    np.testing.assert_allclose(other.gates(X), h.gates(X)[:, order], rtol=1e-10)
    np.testing.assert_allclose(other.log_density(X, y), h.log_density(X, y), rtol=1e-10)
    assert not any(coef[:, -1].any() for coef in (*other.gate_coef, *other.gate_intercept))
    # By decreasing weight at every node, and whatever siblings were swapped before.
    sums = totals[order]
    for b in reversed(branches):
        assert (np.diff(sums.reshape(-1, b), axis=1) <= 0).all()
        sums = sums.reshape(-1, b).sum(axis=1)
    shuffled = other.canonical_order(totals[order])
    np.testing.assert_array_equal(shuffled, np.arange(h.n_experts))


def test_change_of_units():
    rng = np.random.default_rng(4)
    h, X, y = random_hierarchy((2, 2), 3, rng), rng.normal(size=(30, 3)), rng.normal(size=30)
    s = Standardisation(rng.normal(size=3), rng.uniform(0.5, 20, size=3), 4.0, 7.0)
    assert_same_model(h.to_units(s).to_standard(s), h, rtol=1e-11, atol=1e-12)
    inside = h.log_density(s.features(X), s.response(y)) - np.log(7.0)
    np.testing.assert_allclose(h.to_units(s).log_density(X, y), inside, rtol=1e-10)


def test_log_sum_exp_far_from_zero():
    np.testing.assert_allclose(log_sum_exp(np.array([[-1e6, 1e6], [-1e6, -1e6]]), 0), [np.log(2) - 1e6, 1e6])


# ---- frozen densities ----------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [1.0, 1e3, 1e8])
def test_a_run_on_log_densities_climbs_the_likelihood_of_the_gates(spread):
    """Also where all children but one underflow."""
    rng = np.random.default_rng(6)
    X, w = rng.normal(size=(200, 2)), rng.uniform(0.5, 2, size=200)
    values = spread * rng.normal(size=(3, 200))
    problem = EmProblem(Samples(X, rng.normal(size=200), w), EmOptions())
    start = Mixture(np.zeros((3, 2)), np.zeros(3), rng.normal(size=(3, 2)), rng.normal(size=3), np.ones(3))
    fit = problem.run(start, log_densities=np.ascontiguousarray(values.T), max_iter=3)

    def likelihood(mixture):
        return w @ log_sum_exp(mixture.log_gates(problem.Z).T + values, 0)

    assert np.isfinite(fit.trace).all()
    assert fit.log_likelihood == pytest.approx(likelihood(fit.mixture), rel=1e-12)
    assert likelihood(fit.mixture) > likelihood(start)


# ---- EM ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"gate_alpha": 0.0},
        {"noise": "shared"},
        {"alpha": 4.0, "gate_alpha": 0.5},
        {"alpha": 4.0, "noise": "shared"},
    ],
)
@pytest.mark.parametrize("branches", [(2, 2), (2, 3)])
def test_one_iteration_is_that_of_the_loops(branches, options):
    """From a start so near that no Newton step has to be halved."""
    w, truth, problem = data(branches, 300, 2, 7, **options)
    flat = problem.flat
    start = truth.to_standard(flat.standardisation)
    if problem.options.noise == "shared":
        start = replace(start, sigma=np.full(problem.n_leaves, 0.4))
    wanted = hierarchy_oracles.two_level_iteration(
        start,
        flat.Z,
        flat.t,
        w,
        shared=problem.options.noise == "shared",
        alpha=problem.options.alpha,
        gate_alpha=problem.options.gate_ridge,
    )
    fit = problem.run(start, max_iter=1)
    assert_same_model(fit.mixture, wanted, rtol=1e-7, atol=1e-8)
    for h, value in zip((start, wanted), fit.trace, strict=True):
        ridges = {"alpha": problem.options.alpha, "gate_alpha": problem.options.gate_ridge}
        assert value == pytest.approx(hierarchy_oracles.objective(h, flat.Z, flat.t, w, **ridges), rel=1e-9)
    posterior = hierarchy_oracles.two_level_posterior(wanted, flat.Z, flat.t).reshape(300, -1)
    np.testing.assert_allclose(fit.totals, w @ posterior, rtol=1e-7)


@pytest.mark.parametrize("noise", ["per_expert", "shared"])
@pytest.mark.parametrize("intercepts", INTERCEPTS)
@pytest.mark.parametrize(("alpha", "gate_alpha"), [(0.0, "auto"), (0.0, 0.0), (3.0, 0.5)])
def test_the_objective_never_falls(noise, intercepts, alpha, gate_alpha):
    for seed, branches in enumerate([(2, 2), (1, 3), (2, 2, 2)]):
        options = dict(zip(("fit_intercept", "fit_gate_intercept"), intercepts, strict=True))
        options |= {"noise": noise, "alpha": alpha, "gate_alpha": gate_alpha, "max_iter": 8}
        w, _, problem = data(branches, 150, 3, seed, **options)
        rng = np.random.default_rng(seed)
        k = problem.n_leaves
        for start in (
            random_hierarchy(branches, 3, rng, steepness=5.0),
            HardAssignment(rng.integers(k, size=150).astype(np.int32), k),
        ):
            fit = problem.run(start)
            assert fit.n_iter == len(fit.trace) - 1 >= 1
            assert_never_falls(fit.trace, w.sum())
            assert intercepts[0] or not fit.mixture.intercept.any()
            assert intercepts[1] or not any(c.any() for c in fit.mixture.gate_intercept)


KINDS = [
    "separable gates",
    "repeated rows",
    "collinear columns",
    "fewer rows than parameters",
    "constant response",
    "heavy tails",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noise", ["per_expert", "shared"])
def test_the_objective_never_falls_on_degenerate_data(kind, noise):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X, y = degenerate_data(kind, rng)
        problem = HierarchicalProblem(
            EmProblem(Samples(X, y, np.ones(len(y))), EmOptions(noise, max_iter=40)), (2, 2)
        )
        fit = problem.run(HardAssignment(rng.integers(4, size=len(y)).astype(np.int32), 4))
        assert_never_falls(fit.trace, len(y))
        assert np.isfinite(fit.mixture.coef).all()
        assert fit.status in ("converged", "iteration_limit")


@pytest.mark.parametrize("ridges", [{"gate_alpha": 1e-3}, {"alpha": 3.0, "gate_alpha": 0.5, "noise": "shared"}])
def test_the_end_is_a_stationary_point(ridges):
    """Finite differences of the objective in the loops, over every free parameter."""
    w, truth, problem = data((2, 2), 250, 2, 8, tol=1e-14, max_iter=3000, **ridges)
    flat, o = problem.flat, problem.options
    end = problem.run(truth.to_standard(flat.standardisation))
    assert end.converged
    assert not end.collapsed
    h = end.mixture
    free = np.concatenate(
        [h.coef.ravel(), h.intercept, np.log(h.sigma), *(g[:, :-1].ravel() for g in h.gate_coef)]
    )

    def objective(values):
        parts = np.split(values, np.cumsum([8, 4, 4, 2]))
        sigma = np.exp(parts[2] if o.noise == "per_expert" else np.full(4, parts[2][0]))
        gates = (np.zeros((1, 2, 2)), np.zeros((2, 2, 2)))
        gates[0][:, :-1], gates[1][:, :-1] = parts[3].reshape(1, 1, 2), parts[4].reshape(2, 1, 2)
        other = HierarchicalMixture((2, 2), parts[0].reshape(4, 2), parts[1], gates, h.gate_intercept, sigma)
        return hierarchy_oracles.objective(other, flat.Z, flat.t, w, alpha=o.alpha, gate_alpha=o.gate_ridge)

    assert objective(free) == pytest.approx(end.trace[-1], rel=1e-10)
    for i in range(len(free)):
        step = np.zeros(len(free))
        step[i] = 1e-4
        slope = (objective(free + step) - objective(free - step)) / 2e-4
        curvature = (objective(free + step) - 2 * objective(free) + objective(free - step)) / 1e-8
        assert abs(slope) < 2e-4 * max(1.0, abs(curvature)), i


def test_a_run_goes_on_from_where_it_stopped():
    _, truth, problem = data((2, 2), 300, 3, 9)
    start = truth.to_standard(problem.flat.standardisation)
    whole, part = problem.run(start, max_iter=6), problem.run(start, max_iter=2)
    rest = problem.run(part.mixture, max_iter=4)
    assert_same_model(rest.mixture, whole.mixture, rtol=0, atol=0)
    np.testing.assert_array_equal(np.concatenate([part.trace, rest.trace[1:]]), whole.trace)


def test_a_start_is_brought_within_the_options():
    _, truth, problem = data((2, 2), 100, 2, 0, fit_intercept=False, fit_gate_intercept=False, noise="shared")
    start = problem.run(replace(truth, sigma=np.array([1e-9, 0.3, 0.4, 0.5])), max_iter=0).mixture
    assert not start.intercept.any()
    assert not any(c.any() for c in start.gate_intercept)
    floor = problem.flat.variance_floor
    np.testing.assert_allclose(start.sigma**2, (floor + 0.3**2 + 0.4**2 + 0.5**2) / 4)


# ---- starts --------------------------------------------------------------------------------------------


def test_balanced_groups_are_of_one_size_and_find_clusters():
    rng = np.random.default_rng(10)
    points = np.repeat(10 * rng.normal(size=(3, 2)), 4, axis=0) + 0.1 * rng.normal(size=(12, 2))
    shuffle = rng.permutation(12)
    groups = balanced_groups(points[shuffle], 3, rng)
    assert sorted(map(len, groups)) == [4, 4, 4]
    assert sorted(sorted(shuffle[g] // 4) for g in groups) == [[0] * 4, [1] * 4, [2] * 4]
    # One size even where clusters are of several.
    assert [len(g) for g in balanced_groups(np.append(np.zeros(5), 9.0)[:, None], 2, rng)] == [3, 3]


@pytest.mark.parametrize(("k", "n_groups"), [(4, 2), (6, 2), (6, 3), (6, 6), (5, 1)])
def test_partitions_are_counted_and_all_looked_at(k, n_groups):
    orders = (np.reshape(p, (n_groups, -1)) for p in itertools.permutations(range(k)))
    wanted = {frozenset(map(frozenset, rows.tolist())) for rows in orders}
    rng = np.random.default_rng(12)
    found = _partitions([rng.normal(size=(k, 2))], n_groups, rng)
    assert len(found) == len(wanted) == _n_partitions(k, n_groups)
    assert {frozenset(frozenset(group.tolist()) for group in groups) for groups in found} == wanted


@pytest.mark.parametrize("branches", [(2, 2), (3, 2), (2, 2, 2)])
def test_the_best_tree_for_true_experts_is_the_true_one(branches):
    """Given the posteriors of the true experts in any order: linear gates tell the true branches apart best."""
    for seed in range(3):
        _, truth, problem = data(branches, 1500, 4, seed)
        rng = np.random.default_rng(seed)
        shuffle = rng.permutation(problem.n_leaves)
        standard = truth.to_standard(problem.flat.standardisation)
        posterior = standard.responsibilities(problem.flat.Z, problem.t)[:, shuffle]
        told_nothing = SimpleNamespace(
            responsibilities=lambda X, y, posterior=posterior: posterior,
            gate_coef=rng.normal(size=truth.coef.shape),
            gate_intercept=rng.normal(size=problem.n_leaves),
        )
        trees = _Trees(problem, told_nothing, rng).best(3)
        assert all(sorted(tree) == list(range(problem.n_leaves)) for tree in trees)
        leaves = shuffle[trees[0]].reshape(branches[0], -1)
        size = leaves.shape[1]
        assert all(len(set(branch // size)) == 1 for branch in leaves), seed


def test_the_score_of_groups_nobody_can_tell_apart():
    """Posteriors of a half everywhere: log 1/2 for each unit of weight, whatever the gates."""
    w, truth, problem = data((2, 2), 60, 2, 0)
    blind = SimpleNamespace(
        responsibilities=lambda X, y: np.full((60, 4), 0.25), gate_coef=truth.coef, gate_intercept=truth.intercept
    )
    score = _Trees(problem, blind, np.random.default_rng(0))._score([[0, 2], [1, 3]])
    assert score == pytest.approx(w.sum() * np.log(0.5))


def test_the_portfolio():
    _, _, problem = data((2, 2), 300, 4, 11)

    def kinds(start, n_init, n_parameters=30):
        wanted = StartOptions(start, n_init, n_parameters)
        starts = hierarchical_portfolio(problem, wanted, None, np.random.default_rng(0))
        return [s.kind for s in starts]

    assert kinds("auto", 4) == ["grouped leaves"] * 2 + ["random assignment", "random regions"]
    assert kinds("random", 3) == ["random assignment", "random regions", "random assignment"]
    assert kinds("spectral", 20) == ["grouped spectral leaves"] * 9  # three flat fits, three trees of four leaves
    assert not any("leaves" in kind for kind in kinds("auto", 4, n_parameters=10_000))
