"""Means and standard deviations of columns, against sums of exact fractions."""

from fractions import Fraction
from math import isqrt

import numpy as np
import pytest

from moefast import _core
from moefast.standardisation import location_and_scale

EPS = np.finfo(np.float64).eps


def exact(column, weights):
    """Mean and standard deviation by fractions, rounded at the end."""
    x, w = [Fraction(float(v)) for v in column], [Fraction(float(v)) for v in weights]
    total = sum(w)
    mean = sum(a * b for a, b in zip(x, w, strict=True)) / total
    variance = sum(b * (a - mean) ** 2 for a, b in zip(x, w, strict=True)) / total
    digits = 10**900  # beyond the squares of the smallest numbers
    return float(mean), float(Fraction(isqrt(int(variance * digits**2)), digits))


def columns(n, rng):
    """Columns that are hard: far means, huge and tiny units, both in one, an outlier as the first row."""
    z = rng.normal(size=n)
    outlier = z.copy()
    outlier[0] = 1e12
    wide = z * 10.0 ** rng.integers(-12, 13, size=n)
    return np.column_stack(
        [
            z,
            1e8 + z,
            np.sort(z) - 1e6,
            outlier,
            wide,
            1e300 * z,
            1e-300 * z,
            5e-320 * np.round(10 * z),
            1e308 * np.sign(z),
            np.where(z > 1, 1e-200, 0.0),
            1 + 64 * EPS * np.round(z),
            np.arange(n, dtype=float),
        ]
    )


@pytest.mark.parametrize("n", [2, 37, 1200])
@pytest.mark.parametrize("weights", ["equal", "random", "extreme"])
def test_means_and_deviations_are_exact(n, weights):
    rng = np.random.default_rng(n)
    X = columns(n, rng)
    w = {
        "equal": np.ones(n),
        "random": rng.uniform(0.1, 3.0, size=n),
        "extreme": 1e-290 * 10.0 ** rng.integers(-20, 1, size=n),
    }[weights]
    mean, deviation = location_and_scale(X, w)
    for j in range(X.shape[1]):
        wanted = exact(X[:, j], w)
        # Rounding of the terms, which the sum of many adds up.
        rounding = np.sqrt(n) * EPS * np.abs(X[:, j]).max() + 5e-324
        assert mean[j] == pytest.approx(wanted[0], rel=1e-13, abs=rounding), j
        assert deviation[j] == pytest.approx(wanted[1], rel=1e-9, abs=5e-324), j


@pytest.mark.parametrize("value", [0.0, 0.1, -3e300, 2e-300, 1e308])
def test_a_column_that_differs_by_rounding_does_not_vary(value):
    X = np.full((500, 2), value)
    X[::7, 1] = np.nextafter(value, np.inf) if value else 0.0
    mean, deviation = location_and_scale(X, np.ones(500))
    np.testing.assert_array_equal(mean, X[0])
    np.testing.assert_array_equal(deviation, 0.0)


def test_what_varies_by_more_than_rounding_varies():
    X = np.ones((100, 2))
    X[50:, 0] += 4 * EPS
    X[50:, 1] += 32 * EPS
    _, deviation = location_and_scale(X, np.ones(100))
    np.testing.assert_allclose(deviation, [0, 16 * EPS])


def test_a_weight_that_is_nothing_beside_others_counts_for_nothing_but_the_width():
    X = np.array([[0.0], [0.0], [1.0]])
    mean, deviation = location_and_scale(X, np.array([1e200, 1e200, 1e-200]))
    assert (mean[0], deviation[0]) == (0.0, 0.0)


def test_single_precision_is_read_as_it_is():
    rng = np.random.default_rng(0)
    X, w = rng.normal(loc=1e3, size=(3000, 4)).astype(np.float32), rng.uniform(size=3000)
    for found, wanted in zip(_core.spread(X, w), _core.spread(X.astype(np.float64), w), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_no_columns_and_wrong_shapes():
    assert [a.shape for a in _core.spread(np.zeros((3, 0)), np.ones(3))] == [(0,), (0,)]
    with pytest.raises(ValueError, match=r"w must have shape \(3,\)"):
        _core.spread(np.zeros((3, 1)), np.ones(2))
    with pytest.raises(ValueError, match="X must have at least one row"):
        _core.spread(np.zeros((0, 1)), np.ones(0))
