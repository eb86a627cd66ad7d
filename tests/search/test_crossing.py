"""Crossing of two optima, and what a climb does where others have been."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from tqdm import tqdm

from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.samples import Samples
from moefast.search import SearchSettings
from moefast.search.account import Account, Climb
from moefast.search.budget import Budget, Deadline
from moefast.search.crossing import cross
from moefast.search.iterated_local_search import IteratedLocalSearch
from moefast.search.local_optimum import LocalOptimum
from moefast.search.moves import CROSSING
from moefast.search.run import Run
from moefast.search.short_runs import ShortRuns

K = 4
X, Y, TRUTH = make_moe(400, 3, K, noise=0.3, random_state=3)
OPTIONS = EmOptions(n_threads=1)
PROBLEM = EmProblem(Samples(X, Y, np.ones(400)), OPTIONS)
HERE = PROBLEM.run(TRUTH.to_standard(PROBLEM.standardisation)).mixture
PERMUTED = HERE.ordered(np.array([2, 0, 3, 1]))


def log_joint(problem, mixture):
    return mixture.joint_log_density(problem.Z, problem.t)


def test_experts_give_way_to_those_that_share_their_rows():
    """The other optimum is the same mixture in another order, with noise of its own: columns tell who is whose."""
    other = PROBLEM.run(PERMUTED, max_iter=1).mixture
    mine, theirs = log_joint(PROBLEM, HERE), log_joint(PROBLEM, other)[:, [1, 3, 0, 2]]
    possible = [
        softmax(np.where(np.isin(np.arange(K), taken), theirs, mine), axis=1)
        for m in range(1, K)
        for taken in itertools.combinations(range(K), m)
    ]
    met = set()
    for seed in range(60):
        R = cross(LocalOptimum(PROBLEM, HERE, others=[LocalOptimum(PROBLEM, other)]), np.random.default_rng(seed))
        differences = [np.abs(R - each).max() for each in possible]
        assert min(differences) < 1e-9
        met.add(int(np.argmin(differences)))
    assert len(met) > 10


def test_what_two_optima_have_right_is_put_together():
    """Each has another pair of experts right; some crossing is near the mixture of both."""
    at = {}
    for wrong in ((0, 1), (2, 3)):
        coef = HERE.coef.copy()
        coef[list(wrong)] *= -1.0
        at[wrong] = type(HERE)(
            coef, HERE.intercept, HERE.gate_coef, HERE.gate_intercept, HERE.sigma, HERE.link, HERE.family
        )
    optimum = LocalOptimum(PROBLEM, at[0, 1], others=[LocalOptimum(PROBLEM, at[2, 3])])
    (best,) = PROBLEM.run_many([HERE], max_iter=0)
    reached = [
        PROBLEM.run_many([cross(optimum, np.random.default_rng(seed))], max_iter=20)[0].log_likelihood
        for seed in range(30)
    ]
    assert max(reached) > best.log_likelihood - 0.5


def test_crossing_is_a_function_of_the_rows():
    order = np.random.default_rng(1).permutation(400)
    again = EmProblem(Samples(X[order], Y[order], np.ones(400)), OPTIONS)
    other = PROBLEM.run(PERMUTED, max_iter=1).mixture
    once, moved = (
        cross(LocalOptimum(p, HERE, others=[LocalOptimum(p, other)]), np.random.default_rng(5))
        for p in (PROBLEM, again)
    )
    np.testing.assert_allclose(moved, once[order], atol=1e-8)


def climbing(**settings):
    """A local search on the problem, and its account."""
    settings = SearchSettings(**settings)
    budget = Budget(1e9, 400, Deadline(), tqdm(disable=True))
    account = Account(PROBLEM, budget, settings)
    em = ShortRuns(PROBLEM)
    rng = np.random.default_rng(0)
    return IteratedLocalSearch(PROBLEM, em, account, account.moves, rng, budget, settings), account


def run_from(mixture):
    return Run("start", "", PROBLEM.run(mixture), 0)


def lowered(run, by):
    run.fit = replace(run.fit, log_likelihood=run.log_likelihood - by)
    return run


def crossings(account):
    return sum(n for (move, _), n in account.moves.tried.items() if move == CROSSING)


def test_there_is_no_crossing_without_another_optimum():
    search, account = climbing()
    search.climb(run_from(HERE), patience=10)
    assert crossings(account) == 0
    account.climbs.append(Climb(run_from(HERE.ordered(np.arange(K)[::-1])), 0))
    search.climb(run_from(HERE), patience=20)
    assert crossings(account) == 0  # the same optimum
    other = PROBLEM.run(HERE, max_iter=1).mixture
    elsewhere = run_from(other)
    elsewhere.fit = type(elsewhere.fit)(
        **{**vars(elsewhere.fit), "log_likelihood": elsewhere.log_likelihood - 9.0}
    )
    account.climbs.append(Climb(elsewhere, 0))
    search.climb(run_from(HERE), patience=30)
    assert crossings(account) > 0


def test_densities_of_another_optimum_are_made_once(monkeypatch):
    search, account = climbing()
    elsewhere = lowered(run_from(PROBLEM.run(HERE, max_iter=1).mixture), 9.0)
    account.climbs.append(Climb(elsewhere, 0))
    made = []

    def spy(mixture, *rest):
        made.append(mixture)
        return original(mixture, *rest)

    original = type(HERE).joint_log_density
    monkeypatch.setattr(type(HERE), "joint_log_density", spy)
    for mixture in (HERE, PROBLEM.run(HERE, max_iter=2).mixture):
        search.climb(run_from(mixture), patience=20)
    assert crossings(account) > 10
    assert sum(mixture is elsewhere.fit.mixture for mixture in made) == 1


def test_few_experts_are_not_crossed():
    search, account = climbing(crossing_experts=K + 1)
    elsewhere = run_from(HERE)
    elsewhere.fit = type(elsewhere.fit)(
        **{**vars(elsewhere.fit), "log_likelihood": elsewhere.log_likelihood - 9.0}
    )
    account.climbs.append(Climb(elsewhere, 0))
    search.climb(run_from(HERE), patience=20)
    assert crossings(account) == 0


@pytest.mark.parametrize("is_best", [True, False])
def test_who_comes_to_the_best_optimum_tries_one_round_more(is_best):
    search, account = climbing()
    here = run_from(HERE)
    account.note(here)
    search.climb(here)
    assert account.climbs[-1].n_moves == 8 * SearchSettings().patience
    if not is_best:
        lowered(account.best, -9.0)
    for _ in range(2):
        search.climb(run_from(HERE))
        assert account.climbs[-1].n_moves == (8 if is_best else 0)
