"""Two experts become one, and the others stay as they are."""

from itertools import combinations

import numpy as np

from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.samples import Samples
from moefast.search.expert_merges import expert_merges
from moefast.search.local_optimum import LocalOptimum


def test_every_pair_of_experts_is_merged():
    X, y, truth = make_moe(200, 3, 4, noise=0.3, random_state=0)
    problem = EmProblem(Samples(X, y, np.ones(200)), EmOptions())
    optimum = LocalOptimum(problem, truth.to_standard(problem.standardisation))
    before = optimum.responsibilities.copy()
    starts = expert_merges(optimum)
    assert [start.kind for start in starts] == 6 * ["merge"]
    for start, pair in zip(starts, combinations(range(4), 2), strict=True):
        columns = sorted(start.make().round(12).T.tolist())
        others = [before[:, i] for i in range(4) if i not in pair]
        expected = [before[:, list(pair)].sum(axis=1), *others]
        assert columns == sorted(np.round(expected, 12).tolist())
        np.testing.assert_allclose(start.make().sum(axis=1), 1.0, rtol=1e-12)
    assert np.array_equal(optimum.responsibilities, before)
