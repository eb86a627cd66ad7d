"""Moves by few rows, and the optima of a search on more rows than it saw."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from tqdm import tqdm

from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.samples import Samples
from moefast.search import SearchSettings, best_optimum, search
from moefast.search.beginning import Beginning
from moefast.search.budget import Budget, Deadline
from moefast.search.bumping import fewer_rows
from moefast.search.local_optimum import LocalOptimum
from moefast.search.more_rows import bump_on_more_rows
from moefast.search.run import Run

X, Y, TRUTH = make_moe(2000, 3, 3, noise=0.5, random_state=4)
OPTIONS = EmOptions(n_threads=1)
PROBLEM = EmProblem(Samples(X, Y, np.ones(2000)), OPTIONS)
OPTIMUM = PROBLEM.run(TRUTH.to_standard(PROBLEM.standardisation))


def test_fewer_rows_lead_to_an_optimum_of_these_and_no_further():
    """By about the chance error on so many rows: their likelihood rises, that of all falls."""
    charged = []
    optimum = LocalOptimum(PROBLEM, OPTIMUM.mixture, lambda fits, n_rows: charged.append((len(fits), n_rows)))
    p = PROBLEM.n_parameters(3)
    for seed in range(5):
        moved = fewer_rows(optimum, np.random.default_rng(seed))
        (n_runs, n_rows) = charged[-1]
        assert n_runs == 1
        assert 2.0 * p < n_rows < 12.0 * p
        (there,) = PROBLEM.run_many([moved], max_iter=0)
        # Twice the fall is about chi-square of p degrees of freedom times the ratio of the numbers of rows.
        fall = 2.0 * (OPTIMUM.log_likelihood - there.log_likelihood) / (p * 2000 / n_rows)
        assert 0.2 < fall < 10.0
    np.testing.assert_array_equal(moved.coef, fewer_rows(optimum, np.random.default_rng(4)).coef)
    assert np.abs(moved.coef - fewer_rows(optimum, np.random.default_rng(3)).coef).max() > 1e-3


def test_fewer_rows_are_a_function_of_the_rows():
    order = np.random.default_rng(1).permutation(2000)
    weights = np.full(2000, 2.0)
    once = EmProblem(Samples(X, Y, weights), OPTIONS)
    again = EmProblem(Samples(X[order], Y[order], weights), OPTIONS)
    moved = [fewer_rows(LocalOptimum(p, OPTIMUM.mixture), np.random.default_rng(0)) for p in (once, again)]
    np.testing.assert_allclose(moved[0].coef, moved[1].coef, atol=1e-7)
    np.testing.assert_allclose(moved[0].gate_coef, moved[1].gate_coef, atol=1e-6)


def _run(problem, mixture):
    (fit,) = problem.run_many([mixture], max_iter=0)
    return Run("start", "", fit, 0, 7)


def test_the_best_optima_go_on_on_more_rows():
    """The first come in front, by their likelihood on these rows; a bad start is left or stays behind."""
    some = PROBLEM.subset(np.arange(2000) < 500)
    settings = SearchSettings(bumped=2)
    bad = _run(some, replace(OPTIMUM.mixture, sigma=9.0 * OPTIMUM.mixture.sigma))
    good, third = _run(some, OPTIMUM.mixture), _run(some, OPTIMUM.mixture)
    budget = Budget(10**6, some.n_rows, Deadline(), tqdm(disable=True))
    out = bump_on_more_rows(PROBLEM, [bad, good, third], budget, np.random.default_rng(0), settings)
    assert out[-1] is third
    assert out[0].log_likelihood == pytest.approx(OPTIMUM.log_likelihood, abs=1e-3)
    assert out[0].start == 7
    assert [run.log_likelihood for run in out[:-1]] == sorted((r.log_likelihood for r in out[:-1]), reverse=True)
    assert budget.work > 2 * settings.finalist_iterations  # rows of more weight count for more


def test_a_search_on_few_rows_ends_where_one_on_all_does(monkeypatch):
    """By way of more rows, where there are more, with what is left of the work."""
    seen = []

    def spy(more, candidates, budget, *rest):
        seen.append((more.n_rows, len(candidates), budget.used_up()))
        return bump_on_more_rows(more, candidates, budget, *rest)

    monkeypatch.setattr(best_optimum, "bump_on_more_rows", spy)
    few = SearchSettings(max_rows=300, more_rows=1000)
    for seed in range(3):
        fit, report = search(PROBLEM, 3, np.random.default_rng(seed), settings=few)
        assert report.n_rows < 400
        assert fit.converged
        assert fit.log_likelihood > OPTIMUM.log_likelihood - 0.01
    assert all(800 < n_rows < 1200 and n > 0 and not used_up for n_rows, n, used_up in seen)
    assert len(seen) == 3
    search(PROBLEM, 3, np.random.default_rng(0), settings=SearchSettings(max_rows=2000))
    assert len(seen) == 3


def test_more_rows_get_the_rest_of_the_work_and_of_the_time(monkeypatch):
    left = []

    def spy(more, candidates, budget, *rest):
        left.append((budget.n_iter - budget.work, budget.deadline))
        return candidates

    monkeypatch.setattr(best_optimum, "bump_on_more_rows", spy)
    few = SearchSettings(max_rows=300, more_rows=1000)
    deadline = Deadline(1.0, itertools.count(step=0.01).__next__)
    for end in (None, deadline):
        _, report = search(PROBLEM, 3, np.random.default_rng(0), settings=few, deadline=end)
    n_iter = Beginning().iterations(few, 3, report.n_rows, 3)
    assert left[0][0] == pytest.approx((1.0 - few.share_of_some_rows) * n_iter, rel=1e-12)
    assert left[1][1] is deadline


def test_time_is_left_for_more_rows():
    now = [0.0]

    def clock():
        now[0] += 0.01
        return now[0]

    few = SearchSettings(max_rows=300, more_rows=2000)
    deadline = Deadline(1.0, clock)
    fit, report = search(PROBLEM, 3, np.random.default_rng(0), settings=few, deadline=deadline)
    assert report.out_of_time
    assert report.n_rows < 400
    assert fit.log_likelihood > OPTIMUM.log_likelihood - 0.01
