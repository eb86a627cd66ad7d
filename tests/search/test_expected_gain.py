"""What going on may bring, optima that are known again, starts that do well, and first iterations on few rows."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from tqdm import tqdm

from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.samples import Samples
from moefast.search.assignments import KINDS
from moefast.search.budget import Budget, Deadline
from moefast.search.expected_gain import chance_of_another, gain_of_second_half
from moefast.search.few_rows_first import FewRowsFirst
from moefast.search.optima import Optima
from moefast.search.plan import Plan
from moefast.search.random_starts import RandomStarts
from moefast.search.run import Run
from moefast.search.settings import SearchSettings
from moefast.search.short_runs import ShortRuns


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
def test_the_second_half_is_the_mean_over_all_halves(n):
    values = np.random.default_rng(n).normal(size=n).round(1)  # with ties
    halves = [max(half) for half in itertools.combinations(values, n // 2)]
    assert gain_of_second_half(values) == pytest.approx(values.max() - np.mean(halves), abs=1e-12)
    assert gain_of_second_half(np.full(n, 7.0)) == pytest.approx(0, abs=1e-12)


def test_going_on_brings_less_than_the_second_half_did():
    """Over many draws of a law, twice as many draws raise the best by less than the second half had."""
    rng = np.random.default_rng(0)
    draws = rng.exponential(size=(4000, 16))
    more = draws.max(axis=1) - draws[:, :8].max(axis=1)
    foretold = np.array([gain_of_second_half(row[:8]) for row in draws])
    error = np.std(more - foretold) / np.sqrt(4000)
    assert more.mean() <= foretold.mean() + 3 * error


def test_the_chance_of_another_is_that_of_a_law_with_many_rare_optima():
    """After Good and Turing: near the true chance on average, and never 0."""
    rng = np.random.default_rng(1)
    law = np.r_[0.5, 0.2, np.full(30, 0.01)]
    foretold, true = [], []
    for _ in range(2000):
        seen = rng.choice(len(law), size=12, p=law)
        foretold.append(chance_of_another(seen.tolist()))
        true.append(1 - law[np.unique(seen)].sum())
    assert np.mean(foretold) == pytest.approx(np.mean(true), abs=0.06)
    assert chance_of_another(["a"] * 4) == pytest.approx(1 / 5)
    assert chance_of_another(["a", "b"]) == 1.0


@dataclass(frozen=True)
class MadeUpFit:
    log_likelihood: float
    status: str = "converged"
    collapsed: tuple[int, ...] = ()


def run_at(value, kind="", detour=""):
    return Run(kind, detour, MadeUpFit(value), 1)


def test_an_optimum_is_known_again():
    optima = Optima(same=0.5)
    here = optima.of(run_at(1.0))
    here.in_vain += 2
    assert optima.of(run_at(1.4)).in_vain == 2
    assert optima.of(run_at(2.0)).in_vain == 0
    assert optima.of(Run("", "", MadeUpFit(1.0, collapsed=(0,)), 1)).in_vain == 0


def test_starts_that_do_well_come_more_often():
    X, y, _ = make_moe(50, 3, 2, random_state=1)
    problem = EmProblem(Samples(X, y, np.ones(50)), EmOptions(n_threads=1))
    settings = SearchSettings()
    starts = RandomStarts(problem, 2, np.random.default_rng(0), settings)
    drawn = []
    for _ in range(30):
        group = starts.draw(15)
        drawn += [(start.kind, start.detour) for start in group]
        runs = [run_at(0.0, start.kind, start.detour) for start in group]
        starts.learn(runs, [run for run in runs if (run.kind, run.detour) == ("tree leaves", "annealed")])
    in_turn = drawn[:30]
    assert {kind for kind, _ in in_turn} == set(KINDS)
    later = drawn[-150:]
    assert later.count(("tree leaves", "annealed")) > 0.3 * len(later)
    assert {kind for kind, _ in drawn[30:]} == set(KINDS)  # none is given up
    starts.learn([run_at(0.0, "spectral")], [])  # not random: nothing to learn


def test_first_iterations_on_few_rows_then_all():
    """Those that go on are evaluated on all rows; those left behind are told in their units."""
    X, y, _ = make_moe(4000, 2, 2, noise=0.5, random_state=3)
    problem = EmProblem(Samples(X, y, np.ones(4000)), EmOptions(n_threads=1))
    few = problem.subset(np.arange(4000) < 500)
    group = FewRowsFirst(ShortRuns(few), ShortRuns(problem), 8.0)
    starts = RandomStarts(few, 2, np.random.default_rng(0), SearchSettings()).draw(6)
    runs = sorted(group.begin(starts, 5, Deadline()), key=Run.rank)
    before = [run.log_likelihood for run in runs]
    for run in runs:
        assert run.log_likelihood == pytest.approx(8 * few.run(run.fit.mixture, max_iter=1).trace[0], rel=1e-2)
    group.advance(runs[:3], 0)
    for run in runs[:3]:
        whole = problem.run(run.fit.mixture, max_iter=1).trace[0]
        assert run.log_likelihood == pytest.approx(whole, abs=1e-3 * abs(whole))
    moved = [run.log_likelihood - value for run, value in zip(runs, before, strict=True)]
    assert moved[3:] == pytest.approx([np.median(moved[:3])] * 3)
    n_iter = [run.n_iter for run in runs]
    group.advance(runs[:3], 4)
    assert [run.n_iter - n for run, n in zip(runs, n_iter, strict=True)][3:] == [0, 0, 0]


class Ends:
    """A climb that leads nowhere."""

    def climb(self, run):
        return run


def plan_at_ends(**settings):
    X, y, _ = make_moe(200, 2, 2, random_state=2)
    problem = EmProblem(Samples(X, y, np.ones(200)), EmOptions(n_threads=1))
    settings = SearchSettings(**settings)
    budget = Budget(10**6, problem.n_rows, Deadline(), tqdm(disable=True))
    plan = Plan(problem, 2, np.random.default_rng(0), budget, settings)
    plan._local_search = Ends()
    return plan


def test_climbs_that_begin_at_one_optimum_count_once_and_agreement_ends_the_search():
    plan = plan_at_ends(fewest_climbs=3)
    groups = iter([[run_at(1.0)] * 3, [run_at(1.0), run_at(0.0)]])
    plan._halve = lambda starts, n: next(groups)
    plan._climb([run_at(1.0), run_at(1.0), run_at(-5.0)])
    # After three of them a half, one, may miss the best; after five a half, two, hardly.
    assert [run.log_likelihood for run in plan.account.independent] == [1.0, -5.0, 1.0, 1.0, 0.0]


def test_a_search_goes_on_while_the_second_half_is_worth_it():
    plan = plan_at_ends(fewest_climbs=4, worthwhile=0.1)
    chance_error = np.sqrt(plan._n_parameters / 2)
    plan.account.independent = [run_at(v) for v in (0.0, 0.0, 0.0)]
    assert not plan._enough()  # too few
    plan.account.independent.append(run_at(0.0))
    assert plan._enough()
    plan.account.independent[0] = run_at(0.3 * chance_error)  # seen once: half of it is expected
    assert not plan._enough()
    plan.account.independent[0] = run_at(0.1 * chance_error)
    assert plan._enough()


def test_a_collapsed_end_counts_as_the_worst():
    plan = plan_at_ends()
    collapsed = Run("", "", MadeUpFit(1e9, collapsed=(0,)), 1)
    plan.account.independent = [run_at(2.0), run_at(1.0), collapsed, run_at(2.0)]
    assert plan.account.expected_gain() == pytest.approx(gain_of_second_half([2.0, 1.0, 1.0, 2.0]))
