"""exp and log of the kernels against extended precision, over the whole range, on every instruction set."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moefast import _core, build_info

SETS = build_info()["instruction_sets"]
# Where long double is double, the reference is no better than what is tested.
BOUND = 1.5 if np.finfo(np.longdouble).eps < 1e-18 else 2.5
SMALLEST = np.finfo(float).smallest_subnormal


@pytest.fixture(params=SETS)
def instruction_set(request):
    before = build_info()["instruction_set"]
    _core.use_instruction_set(request.param)
    yield request.param
    _core.use_instruction_set(before)


def units(found, wanted):
    """The error in units in the last place of the double nearest to what is wanted."""
    wanted = np.asarray(wanted, dtype=np.longdouble)
    return np.abs((found - wanted) / np.spacing(np.abs(wanted.astype(float))))


# 100 003 numbers: whole vectors, and a rest that is done one by one.
@pytest.mark.parametrize(
    "low_high", [(-1, 1), (-50, 0), (-708, 0), (-745.1, -708.5), (0, 709.7), (-1e-300, 1e-300)]
)
def test_exp(instruction_set, low_high):
    x = np.random.default_rng(0).uniform(*low_high, size=100_003)
    assert units(_core.exponential(x), np.exp(x.astype(np.longdouble))).max() < BOUND


@pytest.mark.parametrize("low_high", [(-1, 1), (-1e-3, 1e-3), (-1074, -1022), (-1022, 1023.9)])
def test_log(instruction_set, low_high):
    x = np.exp2(np.random.default_rng(0).uniform(*low_high, size=100_003))
    assert units(_core.logarithm(x), np.log(x.astype(np.longdouble))).max() < BOUND


def test_log_near_one_loses_nothing(instruction_set):
    x = 1 + np.arange(-2000, 2001) * np.finfo(float).eps
    assert units(_core.logarithm(x), np.log(x.astype(np.longdouble))).max() < BOUND


# Alone (plain numbers) and among seven others (a vector).
@pytest.mark.parametrize("beside", [0, 7])
@pytest.mark.parametrize(
    ("x", "exp"),
    [
        (0.0, 1.0),
        (-0.0, 1.0),
        (SMALLEST, 1.0),
        (-SMALLEST, 1.0),
        (-745.13, SMALLEST),
        (-745.14, 0.0),
        (-746.5, 0.0),
        (-1e308, 0.0),
        (-np.inf, 0.0),
        (709.79, np.inf),
        (710.5, np.inf),
        (1e308, np.inf),
        (np.inf, np.inf),
        (np.nan, np.nan),
    ],
)
def test_exp_at_the_ends(instruction_set, x, exp, beside):
    values = np.linspace(-3, 3, beside + 1)
    values[beside // 2] = x
    found = _core.exponential(values)
    np.testing.assert_array_equal(found[beside // 2], exp)
    others = np.arange(beside + 1) != beside // 2
    np.testing.assert_allclose(found[others], np.exp(values[others]), rtol=1e-15)  # nobody else is touched


@pytest.mark.parametrize("beside", [0, 7])
@pytest.mark.parametrize(
    ("x", "log"),
    [
        (0.0, -np.inf),
        (-0.0, -np.inf),
        (1.0, 0.0),
        (-SMALLEST, np.nan),
        (-1.0, np.nan),
        (-np.inf, np.nan),
        (np.inf, np.inf),
        (np.nan, np.nan),
        (SMALLEST, -744.4400719213812),
        (np.finfo(float).max, 709.782712893384),
    ],
)
def test_log_at_the_ends(instruction_set, x, log, beside):
    values = np.linspace(0.5, 3, beside + 1)
    values[beside // 2] = x
    found = _core.logarithm(values)
    np.testing.assert_array_equal(found[beside // 2], log)
    others = np.arange(beside + 1) != beside // 2
    np.testing.assert_allclose(found[others], np.log(values[others]), rtol=1e-15)


@settings(deadline=None)  # the first call may wait for a busy machine
@given(st.lists(st.floats(), max_size=20))
def test_any_numbers_as_numpy_does(values):
    """NaN for NaN, infinities where numpy has them, 2 units elsewhere."""
    x = np.array(values, dtype=float)
    with np.errstate(all="ignore"):
        np.testing.assert_array_max_ulp(_core.exponential(x), np.exp(x), maxulp=2)
        np.testing.assert_array_max_ulp(_core.logarithm(x), np.log(x), maxulp=2)


def test_one_dimension_is_asked_for():
    with pytest.raises(ValueError, match="x must have 1 dimension"):
        _core.exponential(np.zeros((2, 2)))
