"""A search on rows in groups keeps groups together, whatever it does."""

import numpy as np
import pytest

from moefast.em import EmOptions, EmProblem, HardAssignment
from moefast.em.newton import takes_newton
from moefast.search.assignments import KINDS
from moefast.search.local_optimum import LocalOptimum
from moefast.search.some_rows import some_rows
from moefast.search.split_and_merge import hyperplane_sides, residual_sides
from moefast.validation import check_samples
from oracles import grouped


def problem_of(n_groups=200, seed=0, **options):
    X, y, group, _ = grouped.simulate(n_groups, seed)
    options = {"expert_columns": (0, 1), "gate_columns": (2,), "n_threads": 1, **options}
    return EmProblem(check_samples(X, y, groups=group), EmOptions(**options))


def of_one_group(problem, values):
    np.testing.assert_array_equal(values, problem.groups.spread(values[problem.groups.first]))


@pytest.mark.parametrize("kind", list(KINDS))
def test_assignments(kind):
    problem = problem_of()
    for seed in range(5):
        labels = KINDS[kind](problem, 3, np.random.default_rng(seed))
        of_one_group(problem, labels)
        assert labels.min() >= 0
        assert labels.max() <= 2
    assert len(set(labels)) > 1


def test_sides_of_splits():
    problem = problem_of()
    (fit,) = problem.run_many([HardAssignment(problem.groups.of_rows.astype(np.int32) % 2, 2)], max_iter=5)
    optimum = LocalOptimum(problem, fit.mixture)
    of_one_group(problem, optimum.responsibilities)
    for sides in (residual_sides(optimum), hyperplane_sides(optimum, np.random.default_rng(0))):
        of_one_group(problem, sides(0))
        assert 0 < sides(0).mean() < 1
    residual = problem.groups.sums(optimum.residuals[:, 0])
    np.testing.assert_array_equal(residual_sides(optimum)(0)[problem.groups.first], residual > 0)


def test_the_mean_assignment_of_a_group_counts():
    problem = problem_of()
    rng = np.random.default_rng(1)
    r, labels = rng.dirichlet(np.ones(3), size=problem.n_rows), rng.integers(0, 3, size=problem.n_rows)
    for given in (r, np.eye(3)[labels]):
        means = problem.groups.spread(problem.groups.sums(given) / problem.groups.sizes[:, None])
        (found,), (expected,) = (problem.run_many([start], max_iter=3) for start in (given, means))
        np.testing.assert_allclose(found.trace, expected.trace, rtol=1e-12)
        alone = problem.run(responsibilities=given, max_iter=3)
        np.testing.assert_allclose(alone.trace, expected.trace, rtol=1e-12)
    (hard,) = problem.run_many([HardAssignment(labels.astype(np.int32), 3)], max_iter=3)
    np.testing.assert_allclose(hard.trace, expected.trace, rtol=1e-12)


def test_some_rows_are_whole_groups_and_not_too_few():
    problem = problem_of(3000)
    some = some_rows(problem, 2000, np.random.default_rng(0))
    assert 1600 < some.n_rows < 2400
    kept = set(some.groups.labels)
    assert kept < set(problem.groups.labels)
    sizes = dict(zip(problem.groups.labels, problem.groups.sizes, strict=True))
    assert all(sizes[g] == n for g, n in zip(some.groups.labels, some.groups.sizes, strict=True))
    few = some_rows(problem, 20, np.random.default_rng(0))
    assert 60 < few.groups.n_groups < 140


def test_newton_is_for_rows_by_themselves():
    assert not takes_newton(problem_of(), 2)
