"""One expert becomes two, and the others stay as they are."""

import numpy as np

from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.samples import Samples
from moefast.search.expert_splits import expert_splits
from moefast.search.local_optimum import LocalOptimum


def test_every_expert_is_split_by_its_residual_and_by_a_hyperplane_through_its_centre():
    X, y, truth = make_moe(300, 3, 3, noise=0.3, random_state=0)
    w = np.random.default_rng(1).uniform(0.5, 2.0, size=300)
    problem = EmProblem(Samples(X, y, w), EmOptions())
    optimum = LocalOptimum(problem, truth.to_standard(problem.standardisation))
    before = optimum.responsibilities.copy()
    starts = expert_splits(optimum, np.random.default_rng(2))
    form = problem.Z @ np.random.default_rng(2).normal(size=3)
    assert [start.kind for start in starts] == 3 * ["split by residual", "split by hyperplane"]
    for number, start in enumerate(starts):
        expert, by_hyperplane = divmod(number, 2)
        R = start.make()
        r = before[:, expert]
        moved = form > np.average(form, weights=w * r) if by_hyperplane else optimum.residuals[:, expert] > 0
        assert 0 < moved.sum() < 300
        for i in range(3):
            expected = np.where(moved, 0.0, r) if i == expert else before[:, i]
            assert np.array_equal(R[:, i], expected)
        assert np.array_equal(R[:, 3], np.where(moved, r, 0.0))
    assert np.array_equal(optimum.responsibilities, before)
