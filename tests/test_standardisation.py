"""Units: one way in, one way back, whatever is asked of mean and scale."""

from dataclasses import replace

import numpy as np
import pytest

from moefast.samples import Samples
from moefast.standardisation import Spread, Standardisation


def draw(n=200, d=3):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d)) * [1e-3, 2.0, 1e5] + [5.0, 0.0, -3e5]
    return Samples(X, 7.0 + 4.0 * rng.normal(size=n), rng.uniform(0.5, 2.0, size=n))


@pytest.mark.parametrize("units", ["centred", "deviation", "root mean square", "own"])
def test_units_are_what_they_are_called(units):
    samples = draw()
    share = samples.sample_weight / samples.sample_weight.sum()
    columns = np.column_stack([samples.X, samples.y])
    mean = share @ columns
    deviation = np.sqrt(share @ (columns - mean) ** 2)
    size = np.sqrt(share @ columns**2)
    expected = {
        "centred": (columns - mean) / deviation,
        "deviation": columns / deviation,
        "root mean square": columns / size,
        "own": columns,
    }[units]
    standard = Standardisation.of(samples, x=units, y=units).samples(samples)
    np.testing.assert_allclose(np.column_stack([standard.X, standard.y]), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(standard.sample_weight, samples.sample_weight)


def test_features_and_response_have_units_of_their_own():
    samples = draw()
    units = Standardisation.of(samples, x="centred", y="own")
    assert (units.y_mean, units.y_scale) == (0.0, 1.0)
    assert (units.x_mean != 0).all()
    spread = Spread.of(samples)
    again = Standardisation.of(spread, x="centred", y="own")
    np.testing.assert_array_equal(again.x_scale, units.x_scale)


@pytest.mark.parametrize("unit", [2.0**-60, 2.0**-10, 2.0**40])
def test_outliers_count_for_little_in_any_unit(unit):
    """Median and quartiles of a response move with its unit and hardly with one row."""
    samples = draw()
    y = samples.y.copy()
    y[0] = 1e6
    plain, far = (Spread.of(replace(samples, y=one), outliers=True) for one in (samples.y, unit * y))
    assert far.y_mean == pytest.approx(unit * plain.y_mean, rel=0.05)
    assert far.y_deviation == pytest.approx(unit * plain.y_deviation, rel=0.05)


def test_a_column_that_does_not_vary_keeps_its_unit():
    samples = Samples(np.full((5, 1), 3.0), np.zeros(5), np.ones(5))
    for units in ("centred", "deviation"):
        assert Standardisation.of(samples, x=units, y=units).x_scale == 1.0
    assert Standardisation.of(samples, y="root mean square").y_scale == 1.0


@pytest.mark.parametrize("units", ["centred", "deviation", "root mean square", "own"])
def test_experts_predict_the_same_in_either_units(units):
    samples = draw()
    s = Standardisation.of(samples, x=units, y=units)
    coef, intercept = np.random.default_rng(1).normal(size=(2, 3)), np.array([0.5, -1.0])
    a, b = s.finite_expert_to_units(coef, intercept)
    standard = s.samples(samples)
    expected = s.y_mean + s.y_scale * (standard.X @ coef.T + intercept)
    np.testing.assert_allclose(samples.X @ a.T + b, expected, rtol=1e-9, atol=1e-9)
    for there, back in zip(s.expert_to_standard(a, b), (coef, intercept), strict=True):
        np.testing.assert_allclose(there, back, rtol=1e-7, atol=1e-7)


def test_what_leaves_the_range_is_blamed_on_its_column():
    s = Standardisation(np.zeros(2), np.array([1.0, 1e-300]), 0.0, 1e100)
    with pytest.raises(OverflowError, match="rescale X column 1, whose standard deviation is 1e-300"):
        s.finite_expert_to_units(np.ones((1, 2)), np.zeros(1))
    s = Standardisation(np.zeros(1), np.ones(1), 0.0, 1e300)
    with pytest.raises(OverflowError, match=r"the intercepts leave .* rescale y"):
        s.finite_expert_to_units(np.ones((1, 1)), np.full(1, 1e10))


def test_a_response_without_digits_is_refused():
    y = np.array([0.0, 1e-310, 2e-310])
    with pytest.raises(OverflowError, match="y has a standard deviation of"):
        Spread.of(Samples(np.ones((3, 1)), y, np.ones(3)))
