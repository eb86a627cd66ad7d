"""Rows in groups: sums, subsets and copies of them against loops."""

import numpy as np
import pandas as pd
import pytest

from moefast.em import EmOptions, EmProblem
from moefast.em.rows import row_groups, row_phase
from moefast.groups import RowGroups, group_labels
from moefast.mixture import Mixture
from moefast.repeated import draw_groups, group_responsibilities
from moefast.samples import Samples
from moefast.validation import check_samples
from oracles import grouped

LABELS = np.array(["b", "a", "c", "b", "b", "a"])


def test_groups_of_labels():
    groups = RowGroups.of(LABELS)
    assert groups.n_groups == 3
    np.testing.assert_array_equal(LABELS[groups.order], ["a", "a", "b", "b", "b", "c"])
    np.testing.assert_array_equal(groups.order, [1, 5, 0, 3, 4, 2])  # rows of a group keep their order
    np.testing.assert_array_equal(groups.starts, [0, 2, 5, 6])
    np.testing.assert_array_equal(groups.of_rows, [0, 0, 1, 1, 1, 2])
    assert [groups.name(g) for g in range(3)] == ["'a'", "'b'", "'c'"]
    assert RowGroups.of(np.array([7, 7])).name(0) == "7"


def test_sums_means_and_parts():
    groups, values = RowGroups.of(LABELS), np.arange(12.0).reshape(6, 2)
    np.testing.assert_array_equal(groups.sums(values), [[2, 4], [18, 21], [10, 11]])
    np.testing.assert_array_equal(groups.means(values)[[0, 1, 2, 5]], [[1, 2], [1, 2], [6, 7], [10, 11]])
    np.testing.assert_array_equal(groups.means(values[:, 0]), [1, 1, 6, 6, 6, 10])
    np.testing.assert_array_equal(groups.spread(np.array([3, 4, 5])), [3, 3, 4, 4, 4, 5])
    np.testing.assert_array_equal(groups.rows_of(np.array([2, 0, 0])), [5, 0, 1, 0, 1])
    twice = groups.take(np.array([2, 0, 0]))
    np.testing.assert_array_equal(twice.starts, [0, 1, 3, 5])
    some = groups.subset(np.array([True, False, False, False, True, True]))
    np.testing.assert_array_equal(some.starts, [0, 1, 2, 3])
    np.testing.assert_array_equal(some.order, [1, 4, 2])
    none_of_b = groups.subset(np.array([True, True, False, False, False, True]))
    np.testing.assert_array_equal(none_of_b.labels, ["a", "c"])
    assert groups.varying(np.array([1, 1, 2, 2, 2, 2])) is None
    assert groups.varying(np.array([1, 1, 2, 2, 3, 2])) == 1


def test_labels_that_are_missing():
    assert group_labels(pd.Categorical(["u", "v"]), 2).tolist() == ["u", "v"]
    for labels in ([1.0, np.nan], ["a", None], [pd.Timestamp("2020-01-01"), pd.NaT], [1, pd.NA]):
        with pytest.raises(ValueError, match="groups has no label at row 1"):
            group_labels(pd.Series(labels), 2)


def test_samples_that_do_not_fit_their_groups():
    with pytest.raises(ValueError, match="groups must have 5 rows, got 6"):
        Samples(np.zeros((5, 1)), np.zeros(5), np.ones(5), groups=RowGroups.of(LABELS))


def test_samples_are_sorted_and_without_rows_of_weight_zero():
    X, y, weights = np.arange(12.0).reshape(6, 2), np.arange(6.0), np.array([1.0, 2, 0, 1, 1, 2])
    samples = check_samples(X, y, weights, groups=LABELS)
    np.testing.assert_array_equal(samples.y, [1, 5, 0, 3, 4])
    np.testing.assert_array_equal(samples.X[:, 0], [2, 10, 0, 6, 8])
    np.testing.assert_array_equal(samples.unit_weight, [2, 1])
    assert (samples.n_units, samples.n_rows) == (2, 5)
    np.testing.assert_array_equal(samples.groups.order, [1, 4, 0, 2, 3])  # among the rows that are left


# ---- functions of the rows' values ---------------------------------------------------------------------


def problem_of(X, y, group):
    samples = check_samples(X, y, groups=group)
    return EmProblem(samples, EmOptions(expert_columns=(0, 1), gate_columns=(2,)))


def test_the_phase_of_a_group_is_a_function_of_all_its_rows():
    X, y, group, _ = grouped.simulate(60, 0)
    problem = problem_of(X, y, group)
    phase = row_phase(problem, np.random.default_rng(0))
    assert ((phase >= 0) & (phase < 1)).all()
    of_groups = phase[problem.groups.first]
    np.testing.assert_array_equal(problem.groups.spread(of_groups), phase)
    assert len(np.unique(of_groups)) == 60
    order = np.random.default_rng(1).permutation(len(y))
    other = problem_of(X[order], y[order], group[order])
    np.testing.assert_allclose(
        row_phase(other, np.random.default_rng(0))[other.groups.first], of_groups, atol=1e-6
    )
    last = problem.groups.starts[8] - 1
    t = problem.t.copy()
    t[last] += 0.1
    moved = row_phase(problem.with_response(t), np.random.default_rng(0))
    np.testing.assert_array_equal(np.flatnonzero(moved != phase), np.flatnonzero(group == 7))


def test_equal_groups():
    """Rows are the same where they are equal and of groups with the same rows, in any order."""
    rows = np.array([[0.0, 1, 5], [1, 0, 5], [2, 2, 5]])
    X = np.concatenate([rows, rows[[2, 0, 1]], rows[:2], rows[[0, 0, 1]], rows[[1, 0, 0]]])
    y = X[:, 0] * 2
    group = np.repeat([0, 1, 2, 3, 4], [3, 3, 2, 3, 3])
    found = row_groups(problem_of(X, y, group))
    first, second, pair, double, turned = np.split(found, [3, 6, 8, 11])
    np.testing.assert_array_equal(second, first[[2, 0, 1]])
    assert double[0] == double[1] == turned[1] == turned[2]
    assert double[2] == turned[0]
    assert len(set(found)) == 3 + 2 + 2
    assert not set(pair) & set(first)
    assert not set(double) & set(first)
    np.testing.assert_array_equal(np.unique(found), np.arange(7))


def test_responsibilities_of_a_problem_are_those_of_groups():
    X, y, group, _ = grouped.simulate(60, 2)
    problem = problem_of(X, y, group)
    coef = np.array([[1.0, -1, 0], [-1, 0.5, 0]])
    mixture = Mixture(
        coef, np.zeros(2), np.array([[0, 0, 1.0], [0, 0, 0]]), np.array([0.3, 0]), np.array([0.5, 1.0])
    )
    U = np.column_stack([problem.Z, np.ones(len(y))])
    experts, gates = np.column_stack([coef, np.zeros(2)]), np.array([[0, 0, 1.0, 0.3], [0, 0, 0, 0]])
    r = grouped.posterior(grouped.joint(U, U, problem.t, group, experts, gates, mixture.sigma))
    np.testing.assert_allclose(problem.responsibilities(mixture), r[group], atol=1e-12)
    np.testing.assert_allclose(
        group_responsibilities(mixture, problem.Z, problem.t, problem.groups), r, atol=1e-12
    )


def test_draws_of_a_group_are_of_one_expert():
    groups = RowGroups.of(np.repeat(np.arange(2000), 3))
    X = np.repeat(np.random.default_rng(0).normal(size=(2000, 1)), 3, axis=0)
    mixture = Mixture(
        np.zeros((2, 1)), np.array([0.0, 9.0]), np.array([[2.0], [0]]), np.zeros(2), np.array([0.1, 1.0])
    )
    y = draw_groups(mixture, X, groups, np.random.default_rng(1)).reshape(2000, 3)
    second = y.mean(axis=1) > 4
    assert ((y > 4) == second[:, None]).all()
    p = mixture.gates(X)[::3, 1]
    assert abs(second.mean() - p.mean()) < 4 * np.sqrt((p * (1 - p)).mean() / 2000)
    assert np.abs(second - p)[p < 0.02].mean() < 0.03
    np.testing.assert_allclose(y[second].std(), 1.0, rtol=0.06)
