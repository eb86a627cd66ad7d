"""How much work the fit of a tree is: counts, since times depend on the machine."""

import numpy as np

from moefast import HierarchicalMixtureOfExpertsRegressor
from moefast.em import EmOptions, EmProblem, HardAssignment
from moefast.hierarchy import em as hierarchical_em
from moefast.hierarchy.em import HierarchicalProblem
from moefast.hierarchy.starts import _Trees
from moefast.samples import Samples
from oracles.hierarchy import random_hierarchy

RNG = np.random.default_rng(4)
X = RNG.normal(size=(300, 2))
Y = random_hierarchy((2, 2), 2, RNG, steepness=4.0, sigma=0.2).draw(X, RNG)


def counted(monkeypatch, owner, name):
    """Count the calls of a function from now on."""
    calls, real = [], getattr(owner, name)

    def call(*args, **options):
        calls.append(None)
        return real(*args, **options)

    monkeypatch.setattr(owner, name, call)
    return calls


def test_collapse_is_judged_once_a_run(monkeypatch):
    """Not in each of the steps that a run is made of: there it would be most of the work."""
    problem = HierarchicalProblem(EmProblem(Samples(X, Y, np.ones(len(Y))), EmOptions(n_threads=1)), (3, 4))
    leaves = counted(monkeypatch, EmProblem, "expert_improved")
    gates = counted(monkeypatch, EmProblem, "gates_improved")
    judged = counted(monkeypatch, hierarchical_em, "collapsed_experts")
    start = HardAssignment(np.arange(len(Y), dtype=np.int32) % 12, 12)
    problem.run(start, max_iter=5)
    assert (len(leaves), len(gates)) == (6 * 12, 6 * 4)  # of the start and of 5 iterations
    assert len(judged) == 1


def test_branches_of_one_child_cost_nothing(monkeypatch):
    steps = counted(monkeypatch, EmProblem, "gates_improved")
    sums = counted(monkeypatch, hierarchical_em, "log_sum_exp")
    work, models = [], []
    for branches in ((2, 2), (1,) * 6 + (2,) + (1,) * 6 + (2,) + (1,) * 6):
        models.append(HierarchicalMixtureOfExpertsRegressor(branches, n_init=1, random_state=0).fit(X, Y))
        work.append((len(steps), len(sums)))
        steps.clear(), sums.clear()
    assert work[0] == work[1]
    np.testing.assert_array_equal(models[0].coef_, models[1].coef_)
    assert models[0].log_likelihood_ == models[1].log_likelihood_


def test_the_cuts_of_deep_trees_that_are_judged_do_not_grow_with_a_power_of_the_depth(monkeypatch):
    flat = EmProblem(Samples(X, Y, np.ones(len(Y))), EmOptions(n_threads=1))
    leaves = flat.run(responsibilities=np.eye(16)[np.arange(len(Y)) % 16], max_iter=3).mixture
    judged = counted(monkeypatch, _Trees, "_score")
    _Trees(HierarchicalProblem(flat, (2,) * 4), leaves, np.random.default_rng(0)).best(2)
    # 40 cuts of the root, 35 of each of 30 branches, 3 of each of at most 60 nodes, and pairs.
    assert len(judged) <= 40 + 30 * 35 + 60 * 3 + 120
