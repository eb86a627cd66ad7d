"""Successive halving alone, on made-up runs; time and iterations as a budget; settings that make no sense."""

from dataclasses import replace

import numpy as np
import pytest
from tqdm import tqdm

from moefast.em.fit import FitResult
from moefast.search.budget import Budget, Deadline
from moefast.search.detours import DETOURS
from moefast.search.move_choice import MoveChoice
from moefast.search.random_starts import RandomStarts
from moefast.search.run import Run
from moefast.search.settings import SearchSettings
from moefast.search.short_runs import ShortRuns
from moefast.search.starts import Start
from moefast.search.successive_halving import Round, first_runs, successive_halving

FIT = FitResult(None, 0.0, trace=np.zeros(1), totals=np.ones(2), n_iter=20, status="iteration_limit", collapsed=())


def made_up(log_likelihoods):
    return [Run(f"{i}", "", replace(FIT, log_likelihood=value), 20) for i, value in enumerate(log_likelihoods)]


def test_ever_fewer_runs_go_on():
    runs, advanced = made_up([3.0, 1.0, 5.0, 4.0, 2.0]), []

    def advance(field, n_iter):
        advanced.append(([run.kind for run in field], n_iter))
        for run in field:  # who was behind catches up
            run.go_on(replace(run.fit, log_likelihood=10.0 - run.log_likelihood, n_iter=n_iter))

    left = successive_halving(runs, [Round(3, 40), Round(2, 100)], advance)
    assert advanced == [(["2", "3", "0"], 40), (["0", "3"], 100)]
    assert [(run.kind, run.log_likelihood, run.n_iter) for run in left] == [("3", 4.0, 160), ("0", 3.0, 160)]
    assert [run.n_iter for run in runs] == [160, 20, 60, 160, 20]


def test_the_likelihood_of_spurious_maxima_does_not_count():
    sound, collapsed, degenerate = made_up([1.0, 8.0, 9.0])
    collapsed.fit = replace(collapsed.fit, collapsed=(0,))
    degenerate.fit = replace(degenerate.fit, status="degenerate")
    assert successive_halving([degenerate, collapsed, sound], [], print) == [sound, collapsed, degenerate]
    assert (sound.to_beat, collapsed.to_beat, degenerate.to_beat) == (0.0, None, None)


class MadeUpProblem:
    """Runs that take all the iterations they may."""

    class options:
        max_iter, n_threads = 50, 2

    n_rows = 10
    constant_response = False

    def run_many(self, starts, *, max_iter, to_beat=None):
        return [replace(FIT, n_iter=max_iter) for _ in starts]


def test_first_runs_end_with_the_time_but_not_before_the_first():
    ticks, made = iter(range(100)), []
    starts = [Start(f"{i}", lambda i=i: made.append(i)) for i in range(9)]
    em = ShortRuns(MadeUpProblem())
    runs = first_runs(em, starts, 20, Deadline())
    assert [(run.kind, run.start, run.n_iter) for run in runs] == [(f"{i}", i, 20) for i in range(9)]
    made.clear()
    # Two at a time, the clock looked at before each but the first: at 1, 2, 3, 4.
    deadline = Deadline(4, lambda: next(ticks))
    assert len(first_runs(em, starts, 20, deadline)) == 4
    assert made == [0, 1, 2, 3]
    assert len(first_runs(em, starts, 20, deadline)) == 1


def test_no_run_exceeds_the_iteration_limit():
    em = ShortRuns(MadeUpProblem())
    runs = em.begin([Start("a", int), Start("b", int)], 20)
    em.advance(runs, 20)
    em.advance(runs[:1], 20)
    assert [run.n_iter for run in runs] == [50, 40]
    runs[1].fit = replace(runs[1].fit, status="beaten")
    em.advance(runs[1:], 5)
    assert [run.n_iter for run in runs] == [50, 40]
    em.complete(runs[1])
    assert [run.n_iter for run in runs] == [50, 50]
    (late, early) = em.begin([Start("c", int), Start("d", int)], 20)
    late.n_iter = 45
    em.move([late, early], 40)
    assert [late.n_iter, early.n_iter] == [50, 25]


def test_a_budget_is_of_time_or_of_iterations():
    budget = Budget(42, 100, Deadline(), tqdm(disable=True))
    budget.charge([FIT], 100)
    assert (budget.spent, budget.used_up()) == (21, False)
    budget.charge([FIT], 100)
    assert (budget.spent, budget.used_up()) == (42, True)
    on_other_rows = Budget(42, 100, Deadline(), tqdm(disable=True))
    on_other_rows.charge([FIT, FIT, FIT], 25)
    assert (on_other_rows.spent, on_other_rows.work, on_other_rows.used_up()) == (63, 15.75, False)
    on_other_rows.charge([FIT], 200)
    assert (on_other_rows.spent, on_other_rows.work, on_other_rows.used_up()) == (84, 57.75, True)
    on_other_rows.extend(10, Deadline())
    assert not on_other_rows.used_up()
    on_other_rows.charge([FIT], 50)
    assert on_other_rows.used_up()
    now = [0.0]
    whole = Deadline(2.0, lambda: now[0])
    timed = Budget(0, 100, whole.part(0.25), tqdm(disable=True))
    assert not timed.used_up()
    now[0] = 0.5
    assert timed.used_up()
    timed.extend(0, whole)
    now[0] = 1.5
    assert not timed.used_up()
    now[0] = 2.0
    assert timed.used_up()
    assert whole.part(0.5).passed()
    assert not Deadline().part(0.5).is_set


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"patience": 0}, ValueError),
        ({"first_starts": 2.0}, TypeError),
        ({"gate_alpha": -1.0}, ValueError),
        ({"same_optimum": np.nan}, ValueError),
        ({"halving_rounds": ((1.5, 40),)}, ValueError),
        ({"halving_rounds": ()}, ValueError),
        ({"fewest_climbs": 1}, ValueError),
        ({"worthwhile": np.nan}, ValueError),
        ({"good_share": 0.0}, ValueError),
        ({"good_share": 1.5}, ValueError),
        ({"halving_rounds": ((0.5, 0),)}, ValueError),
        ({"move_iterations": (25, 50)}, ValueError),
        ({"move_iterations": (25, 50, 0)}, ValueError),
        ({"start_detours": ()}, ValueError),
        ({"lowest_temperatures": (0.0, 0.5)}, ValueError),
        ({"lowest_temperatures": (0.5, 0.2)}, ValueError),
        ({"prior_move_rates": {"flatten": 2.0}}, ValueError),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, error):
    (name,) = settings
    with pytest.raises(error, match="prior rate of 'flatten'" if name.startswith("prior") else name):
        SearchSettings(**settings)


def test_names_of_moves_and_detours_are_checked_where_they_are_used():
    with pytest.raises(ValueError, match=r"start_detours must be of .*'annealed', got 'scenic'"):
        RandomStarts(None, 2, np.random.default_rng(0), SearchSettings(start_detours=("scenic",)))
    with pytest.raises(ValueError, match=r"prior_move_rates must have the keys .*'tilt'.*, got \['flatten'\]"):
        MoveChoice(SearchSettings(prior_move_rates={"flatten": 0.5}))
    with pytest.raises(ValueError, match="prior_detour_rates"):
        MoveChoice(SearchSettings(prior_detour_rates=dict.fromkeys(DETOURS[1:], 0.5)))


def test_iterations_of_a_search():
    """They grow with the pairs of experts up to a limit that falls from six experts on, and with few rows."""
    of = SearchSettings().iterations
    assert [of(k, 10_000, 3) for k in (2, 3, 4, 5, 6, 10)] == [3000, 9000, 18_000, 18_000, 18_000, 10_800]
    assert of(2, 250, 3) == 1500
