"""What a search begins with, and how long it is then."""

import numpy as np
import pytest

from moefast.datasets import make_moe
from moefast.search.beginning import Beginning, Neighbour
from moefast.search.settings import SearchSettings

SETTINGS = SearchSettings()


def mixture(k):
    _, _, truth = make_moe(50, 3, k, random_state=0)
    return truth


def begin(mixture_of, k, known=None):
    return Beginning.at_neighbour(Neighbour(mixture(mixture_of), known), k, np.random.default_rng(0))


@pytest.mark.parametrize("k", [2, 3, 5, 8, 20])
@pytest.mark.parametrize("n_distinct", [100, 10_000])
def test_a_search_from_a_neighbour_is_shorter(k, n_distinct):
    full = SETTINGS.iterations(k, n_distinct, 3)
    assert Beginning().iterations(SETTINGS, k, n_distinct, 3) == full
    up, down = (begin(near, k).iterations(SETTINGS, k, n_distinct, 3) for near in (k - 1, k + 1))
    assert up == round(min(1.0, 36 * SETTINGS.share_from_fewer / k**2) * full)
    assert down == round(SETTINGS.share_from_more * full)


def test_a_search_beyond_what_is_known_is_short_whatever_it_begins_at():
    for near in (4, 6):
        given = begin(near, 5, known=mixture(5))
        assert given.iterations(SETTINGS, 5, 10_000, 3) == round(
            SETTINGS.share_from_more * SETTINGS.iterations(5, 10_000, 3)
        )


def test_random_starts_stand_beside_splits_only():
    assert begin(2, 3).is_of_fewer
    assert not begin(4, 3).is_of_fewer
    assert SETTINGS.n_beside(4) == SETTINGS.starts_from_fewer - 4
    assert SETTINGS.n_beside(30) == SETTINGS.least_beside


@pytest.mark.parametrize("name", ["share_from_fewer", "share_from_more"])
def test_shares_are_checked(name):
    for share in (0.0, 1.5):
        with pytest.raises(ValueError, match=name):
            SearchSettings(**{name: share})


def test_few_rows_are_searched_for_less_long_and_many_columns_for_longer():
    few, enough = SETTINGS.full_rows // 4, SETTINGS.full_rows
    assert SETTINGS.iterations(3, few, 4) == SETTINGS.iterations(3, enough, 4) // 2
    assert SETTINGS.iterations(3, few, 2 * SETTINGS.full_features + 1) == round(
        SETTINGS.iterations(3, enough, 4) * 0.5**0.5
    )
    assert SETTINGS.iterations(3, enough, 100) == SETTINGS.iterations(3, 10 * enough, 1)
    assert [SETTINGS.climbs(n) for n in (100, few, 650, enough, 10 * enough)] == [5, 5, 6, 8, 8]
    assert SearchSettings(fewest_climbs=3).climbs(100) == 3
