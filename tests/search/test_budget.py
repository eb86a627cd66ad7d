"""What a search may spend: iterations in proportion to rows, or time, and more of it later."""

from types import SimpleNamespace

import pytest
from tqdm import tqdm

from moefast.search.budget import Budget, Deadline


def test_iterations_count_in_proportion_to_their_rows():
    budget = Budget(10, 100, Deadline(), tqdm(disable=True))
    budget.charge([SimpleNamespace(cost=4), SimpleNamespace(cost=2)], 50)
    assert (budget.spent, budget.work) == (6, 3.0)
    budget.charge([SimpleNamespace(cost=3)], 200)
    assert (budget.spent, budget.work) == (9, 9.0)
    assert not budget.used_up()
    budget.charge([SimpleNamespace(cost=1)], 100)
    assert budget.used_up()


def test_what_is_allowed_later_is_beyond_the_work_so_far():
    """Not beyond what was allowed before, nor beyond the number of passes."""
    budget = Budget(10, 100, Deadline(), tqdm(disable=True))
    budget.charge([SimpleNamespace(cost=40)], 50)  # a run overshoots
    assert budget.used_up()
    budget.extend(5, Deadline())
    budget.charge([SimpleNamespace(cost=4)], 100)
    assert not budget.used_up()
    budget.charge([SimpleNamespace(cost=1)], 100)
    assert budget.used_up()


def test_a_later_moment_takes_the_place_of_an_earlier_one():
    now = [0.0]
    whole = Deadline(10.0, lambda: now[0])
    budget = Budget(1, 100, whole.part(0.5), tqdm(disable=True))
    budget.charge([SimpleNamespace(cost=50)], 100)
    assert not budget.used_up()  # time counts alone
    now[0] = 5.0
    assert budget.used_up()
    budget.extend(0, whole)
    assert not budget.used_up()
    now[0] = 10.0
    assert budget.used_up()


@pytest.mark.parametrize(("begun", "end"), [(0.0, 4.0), (5.0, 7.0), (20.0, 20.0)])
def test_parts_are_of_the_time_that_is_left(begun, end):
    now = [0.0]
    whole = Deadline(10.0, lambda: now[0])
    now[0] = begun
    part = whole.part(0.4)
    for moment, passed in ((end - 1e-9, False), (end, True)):
        now[0] = moment
        assert part.passed() is passed
    assert Deadline().part(0.4).is_set is False


def test_the_last_run_may_take_as_long_again():
    now = [3.0]
    deadline = Deadline(2.0, lambda: now[0])
    for moment, passed, long_passed in (
        (4.9, False, False),
        (5.0, True, False),
        (6.9, True, False),
        (7.0, True, True),
    ):
        now[0] = moment
        assert (deadline.passed(), deadline.long_passed()) == (passed, long_passed)
    assert not Deadline().long_passed()
