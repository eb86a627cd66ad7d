"""Collapsed experts: at the noise floor, or responsible for too few different rows."""

import numpy as np
import pytest

from moefast.em import EmOptions, EmProblem
from moefast.samples import Samples


def test_the_noise_floor_holds_and_collapse_is_told():
    """An expert fits ten rows exactly; its sigma stops at the floor instead of 0."""
    rng = np.random.default_rng(8)
    X, y = rng.normal(size=(100, 2)), rng.normal(size=100)
    y[:10] = 50 + X[:10] @ [1.0, 2.0]
    r = np.zeros((100, 2))
    r[:10, 0] = r[10:, 1] = 1
    for floor in (1e-3, 0.02):
        problem = EmProblem(Samples(X, y, np.ones(100)), EmOptions(noise_floor=floor))
        fit = problem.to_units(problem.run(responsibilities=r))
        assert fit.mixture.sigma[0] == pytest.approx(floor * np.std(y), rel=1e-9)
        assert fit.mixture.sigma[1] > 0.5
        assert fit.collapsed == (0,)


def test_an_expert_on_too_few_rows_is_collapsed_above_the_floor_too():
    """d + 2 rows' weight is the least that can tell a slope, an intercept and a noise."""
    rng = np.random.default_rng(15)
    X, y = rng.normal(size=(100, 2)), rng.normal(size=100)
    y[:6] += 50  # so that no other row is near
    for rows, collapsed in ((3, (0,)), (6, ())):
        r = np.zeros((100, 2))
        r[:rows, 0] = r[rows:, 1] = 1
        some = np.r_[:rows, 6:100]
        samples = Samples(X[some], y[some], np.ones(94 + rows))
        fit = EmProblem(samples, EmOptions("shared")).run(responsibilities=r[some])
        assert fit.totals[0] == pytest.approx(rows, abs=0.5)
        assert fit.collapsed == collapsed


@pytest.mark.parametrize("as_weights", [False, True])
def test_copies_of_a_row_count_once_for_collapse(as_weights):
    """Four rows tell a slope in two dimensions, an intercept and a noise; three do not, however often written."""
    rng = np.random.default_rng(15)
    for rows, collapsed in ((3, (0,)), (4, ()), (5, ())):
        X, y, r = rng.normal(size=(100, 2)), rng.normal(size=100), np.zeros((100, 2))
        y[:rows] += 50  # so that no other row is near
        r[:rows, 0] = r[rows:, 1] = 1
        weights = np.full(100, 4.0)
        if not as_weights:
            X, y, r, weights = (np.repeat(a, 4, axis=0) for a in (X, y, r, np.ones(100)))
        fit = EmProblem(Samples(X, y, weights), EmOptions("shared")).run(responsibilities=r)
        assert fit.totals[0] == pytest.approx(4 * rows, abs=0.5)
        assert fit.collapsed == collapsed


def test_collapse_counts_rows_where_weights_differ():
    """An expert on many light rows is no collapsed one; one on two heavy rows is."""
    rng = np.random.default_rng(16)
    X, y, r = rng.normal(size=(100, 2)), rng.normal(size=100), np.zeros((100, 2))
    for rows, weight, collapsed in ((30, 0.05, ()), (2, 50.0, (0,))):
        far = np.arange(100) < rows
        r[:, 0], r[:, 1] = far, ~far
        fit = EmProblem(Samples(X, y + 50 * far, np.where(far, weight, 1.0)), EmOptions("shared")).run(
            responsibilities=r
        )
        assert fit.totals[0] == pytest.approx(weight * rows, abs=0.5)
        assert fit.collapsed == collapsed


@pytest.mark.parametrize("offset", [0.0, 1e12])
def test_rows_are_told_apart_at_any_distance(offset):
    rng = np.random.default_rng(17)
    X, y = rng.normal(size=(200, 2)) + offset, rng.normal(size=200) + offset
    problem = EmProblem(Samples(X, y, np.ones(200)), EmOptions(fit_intercept=False))
    assert problem.n_distinct == 200
    twice = EmProblem(
        Samples(np.repeat(X, 2, axis=0), np.repeat(y, 2), np.ones(400)), EmOptions(fit_intercept=False)
    )
    assert twice.n_distinct == 200
