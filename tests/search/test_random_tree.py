"""Leaves of random regression trees, against all cuts that could have been drawn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.tree import DecisionTreeRegressor

from moefast.search.random_tree import random_leaves

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(200, 3))
WEIGHT = RNG.uniform(0.5, 2.0, size=200)


def unexplained(labels, target, weight):
    """The weighted squares around the means of the leaves."""
    return sum(
        np.sum(weight[own] * (target[own] - np.average(target[own], weights=weight[own])) ** 2)
        for own in (labels == leaf for leaf in np.unique(labels))
    )


@pytest.mark.parametrize("n_leaves", [2, 3, 5])
def test_leaves_are_boxes_of_enough_weight(n_leaves):
    target = Z[:, 0] + np.sin(3 * Z[:, 1])
    for seed in range(10):
        labels = random_leaves(Z, target, WEIGHT, n_leaves, np.random.default_rng(seed))
        assert set(labels) == set(range(n_leaves))
        assert min(WEIGHT[labels == leaf].sum() for leaf in range(n_leaves)) >= 0.2 / n_leaves * WEIGHT.sum()
        # A tree that may cut everywhere needs no more leaves to say which row is where.
        tree = DecisionTreeRegressor(max_leaf_nodes=2 * n_leaves).fit(Z, np.eye(n_leaves)[labels])
        assert tree.score(Z, np.eye(n_leaves)[labels]) == 1.0


def test_the_leaf_that_gains_most_is_cut_first():
    """Where the first cut is below 0 there is something to gain above it alone."""
    z = Z[:, :1]
    target = np.maximum(z[:, 0], 0.0)
    seen = 0
    for seed in range(20):
        two = random_leaves(z, target, WEIGHT, 2, np.random.default_rng(seed))
        three = random_leaves(z, target, WEIGHT, 3, np.random.default_rng(seed))
        if z[two == 0].max() <= 0:
            assert (two[three == 2] == 1).all()
            assert (three == 2).any()
            seen += 1
    assert seen >= 5


def test_half_of_the_columns_compete_for_a_cut():
    """Of two columns that may be drawn together one explains all: it wins whenever it takes part."""
    target = np.where(Z[:, 0] > 0, 1.0, -1.0)
    cut_by_first = 0
    for seed in range(60):
        labels = random_leaves(Z, target, np.ones(200), 2, np.random.default_rng(seed))
        sides = [Z[labels == leaf, 0] for leaf in (0, 1)]
        cut_by_first += sides[0].max() <= sides[1].min()
    assert 25 <= cut_by_first <= 55  # two thirds, less where its cut is far off


def test_explains_more_than_scikit_learns_tree_of_random_cuts():
    """Its cuts leave too few rows on one side more often, and then there are fewer leaves."""
    target = Z[:, 0] + np.sin(3 * Z[:, 1])
    ours, theirs = [], []
    for seed in range(60):
        ours.append(unexplained(random_leaves(Z, target, WEIGHT, 4, np.random.default_rng(seed)), target, WEIGHT))
        tree = DecisionTreeRegressor(
            max_leaf_nodes=4, max_features=2, splitter="random", min_weight_fraction_leaf=0.05, random_state=seed
        )
        theirs.append(unexplained(tree.fit(Z, target, WEIGHT).apply(Z), target, WEIGHT))
    best = unexplained(DecisionTreeRegressor(max_leaf_nodes=4).fit(Z, target, WEIGHT).apply(Z), target, WEIGHT)
    assert best < np.mean(ours) < np.mean(theirs)


def test_nothing_to_cut():
    rng = np.random.default_rng(0)
    assert set(random_leaves(np.ones((5, 2)), np.arange(5.0), np.ones(5), 3, rng)) == {0}
    assert set(random_leaves(np.zeros((5, 0)), np.arange(5.0), np.ones(5), 3, rng)) == {0}
    assert set(random_leaves(Z, np.ones(200), WEIGHT, 3, rng)) == {0}
    two_values = np.repeat([0.0, 1.0], 10)
    labels = random_leaves(two_values[:, None], two_values, np.ones(20), 5, rng)
    np.testing.assert_array_equal(labels, two_values)
