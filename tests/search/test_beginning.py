"""What a search begins with, and how long it is then."""

import numpy as np
import pytest

from moefast.datasets import make_moe
from moefast.search.beginning import Beginning
from moefast.search.settings import SearchSettings

SETTINGS = SearchSettings()


def begin(mixture_of, k):
    _, _, truth = make_moe(50, 3, mixture_of, random_state=0)
    return Beginning.at_neighbour(truth, k, np.random.default_rng(0))


@pytest.mark.parametrize("k", [2, 3, 5, 8, 20])
@pytest.mark.parametrize("n_distinct", [100, 10_000])
def test_a_search_from_a_neighbour_is_shorter(k, n_distinct):
    full = SETTINGS.iterations(k, n_distinct, 3)
    assert Beginning().iterations(SETTINGS, k, n_distinct, 3) == full
    up, down = (begin(near, k).iterations(SETTINGS, k, n_distinct, 3) for near in (k - 1, k + 1))
    assert up == min(full, max(SETTINGS.least_from_fewer, round(SETTINGS.share_from_fewer * full)))
    assert down == round(SETTINGS.share_from_more * full)


def test_random_starts_stand_beside_splits_only():
    assert begin(2, 3).n_beside(SETTINGS) == SETTINGS.starts_beside
    assert begin(4, 3).n_beside(SETTINGS) == 0


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
