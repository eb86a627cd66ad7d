"""Intervals by rows held out: the quantiles of conformal prediction, found slowly, and what they promise."""

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import t as student

from moefast.calibration import Calibration


@pytest.fixture
def rng():
    """Of each test's own: tests run in any order."""
    return np.random.default_rng(0)


def conformal(below, share):
    """The score with at least a share of the n rows and a further one up to it, by counting."""
    scores = sorted(abs(2 * b - 1) for b in below)
    return next(s for s in scores if sum(other <= s for other in scores) >= share * (len(scores) + 1) - 1e-9)


@pytest.mark.parametrize("n", [1, 9, 19, 250])
def test_levels_are_those_of_conformal_prediction(n, rng):
    below = rng.beta(0.5, 0.7, size=n)
    found = Calibration.of(below, np.ones(n))
    for j in range(1, n + 1):
        share = j / (n + 1)
        low, high = found.levels(np.array([0.5 - 0.5 * share, 0.5 + 0.5 * share]))
        assert high - low == pytest.approx(conformal(below, share), abs=1e-12)
        assert low == pytest.approx(1 - high, abs=1e-12)


def test_levels_grow_inside_zero_and_one_and_the_median_stays(rng):
    below = np.concatenate([ndtr(rng.normal(size=30) * 3), [0.0, 1.0, 0.5]])
    found = Calibration.of(below, rng.uniform(0.1, 5, size=33))
    q = np.concatenate([np.geomspace(1e-300, 0.5, 200), 1 - np.geomspace(0.5, 1e-16, 200)])
    levels = found.levels(q)
    assert (levels > 0).all()
    assert (levels < 1).all()
    assert (np.diff(levels) >= 0).all()
    assert levels[200] == found.levels(np.array([0.5]))[0] == 0.5


def test_what_left_the_range_is_farthest_out():
    q = np.array([0.01, 0.2, 0.9])
    lost, out = (Calibration.of(np.array([0.4, far, 0.7]), np.ones(3)) for far in (np.nan, 0.0))
    np.testing.assert_array_equal(lost.levels(q), out.levels(q))


def test_beyond_the_rows_the_law_has_the_word():
    """What is left out is in proportion to what the law leaves out, as much as for the row farthest out."""
    found = Calibration.of(np.array([0.3, 0.01, 0.8]), np.ones(3))
    tails = np.array([1 / 4, 1 / 40, 1 / 4e6])
    assert found.levels(0.5 * tails) == pytest.approx(0.5 * 0.02 * tails * 4, rel=1e-12)


def test_right_laws_are_left_as_they_are():
    n = 400
    below = (np.arange(n) + 1.0) / (n + 1)
    q = np.linspace(0.01, 0.99, 99)
    assert Calibration.of(below, np.ones(n)).levels(q) == pytest.approx(q, abs=2 / n)


def test_weights_count_as_copies_in_any_unit(rng):
    below, weights = rng.uniform(size=60) ** 2, rng.integers(1, 4, size=60).astype(float)
    q = np.linspace(0.05, 0.95, 19)
    found = Calibration.of(below, weights)
    assert found.levels(q) == pytest.approx(
        Calibration.of(np.repeat(below, weights.astype(int)), np.ones(int(weights.sum()))).levels(q), abs=0.02
    )
    for unit in (1e-300, 1e-3, 1e300):
        assert Calibration.of(below, unit * weights).levels(q) == pytest.approx(found.levels(q), rel=1e-9)
    # Weights of 2 and 1 say as much as 3^2 / (2^2 + 1^2) = 1.8 rows of one weight.
    two = Calibration.of(np.array([0.4, 0.1]), np.array([1.0, 2.0]))
    assert two.left_out == pytest.approx([(1.8 / 3 + 0.5) / 2.8, (1.8 * 2.5 / 3 + 0.5) / 2.8], rel=1e-12)
    assert two.by_law == pytest.approx([0.2, 0.8], rel=1e-12)
    same = Calibration.of(below, np.full(60, 7.0))
    assert same.levels(q) == pytest.approx(Calibration.of(below, np.ones(60)).levels(q), rel=1e-12)


def test_many_rows_are_kept_at_few_points(rng):
    below = student.cdf(rng.normal(size=50_000) * 1.5, df=3)
    found = Calibration.of(below, np.ones(50_000))
    assert len(found.left_out) == len(found.by_law) == 500
    for share in (0.05, 0.5, 0.9, 0.99, 0.9999):
        low, high = found.levels(np.array([0.5 - 0.5 * share, 0.5 + 0.5 * share]))
        exact = np.quantile(np.abs(2 * below - 1), share, method="weibull")
        assert 1 - (high - low) == pytest.approx(1 - exact, rel=0.02)


@pytest.mark.parametrize("noise", ["student", "uniform"])
@pytest.mark.parametrize("n", [19, 99])
def test_a_further_row_is_inside_with_the_probability_that_is_asked_for(noise, n, rng):
    """Whatever the law is: over 4000 draws of n rows and one more. The law's own intervals do not have that."""
    draws = student(df=2).rvs if noise == "student" else rng.uniform
    values = ndtr(
        draws(size=(4000, n + 1), **({"random_state": 0} if noise == "student" else {"low": -1, "high": 1}))
    )
    for share in (0.5, 0.9):
        inside = []
        for row in values:
            low, high = Calibration.of(row[:-1], np.ones(n)).levels(np.array([0.5 - share / 2, 0.5 + share / 2]))
            inside.append(low <= row[-1] <= high)
        assert np.mean(inside) == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 4000))
        own = np.mean(np.abs(2 * values[:, -1] - 1) <= share)
        assert abs(own - share) > 0.05
