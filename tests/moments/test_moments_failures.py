"""A failed update of a MomentAccumulator names the culprit and changes nothing."""

import numpy as np
import pandas as pd
import pytest

from moefast import MomentAccumulator, build_info
from oracles.moments import sample

BLOCK = build_info()["super_block_rows"]

N = 2 * BLOCK + 50  # an update that completes blocks
NAMES = ["age", "dose", "3"]


def _frame(X):
    return pd.DataFrame(X, columns=NAMES)


def _set(array, index, value):
    array = array.copy()
    array[index] = value
    return array


def _x(index, value, wrap=np.asarray):
    return lambda X, y, w: (wrap(_set(X, index, value)), y, w)


def _y(index, value):
    return lambda X, y, w: (X, _set(y, index, value), w)


def _w(index, value):
    return lambda X, y, w: (X, y, _set(w, index, value))


def _weightless_before(X, y, w):
    return X, _set(y, 5, np.nan), _set(w, slice(3), 0.0)


def _strings_in_dose(X, y, w):
    return _frame(X).assign(dose=["a"] * len(X)), y, w


# What to do to (X, y, w); the error; what its message must say. Every case is tried on updates that leave
# rows pending and on updates that complete blocks.
FAILURES = {
    "nan_x": (_x((7, 0), np.nan, _frame), ValueError, r"X column 'age' at row 7\b.*NaN"),
    "inf_x": (_x((-1, 2), -np.inf), ValueError, r"X column 2 at row {last}\b.*infinite"),
    "nan_y": (_y(5, np.nan), ValueError, r"^y at row 5\b.*NaN"),
    "row_counts_weightless": (_weightless_before, ValueError, r"^y at row 5\b"),
    "few_columns": (lambda X, y, w: (X[:, :2], y, w), ValueError, r"X must have shape \(n, 3\), got \({n}, 2\)"),
    "flat_x": (lambda X, y, w: (X[:, 0], y, w), ValueError, r"X must have shape"),
    "short_y": (lambda X, y, w: (X, y[1:], w), ValueError, r"y must have shape \({n},\)"),
    "two_columns_y": (lambda X, y, w: (X, np.column_stack([y, y]), w), ValueError, r"y must have shape \({n},\)"),
    "short_weights": (lambda X, y, w: (X, y, w[1:]), ValueError, r"sample_weight must have one entry per row"),
    "negative_weight": (_w(9, -1.0), ValueError, r"sample_weight.*-1\.0 at row 9\b"),
    "nan_weight": (_w(9, np.nan), ValueError, r"sample_weight.*NaN.*row 9\b"),
    "inf_weight": (_w(9, np.inf), ValueError, r"sample_weight.*infinity.*row 9\b"),
    "complex_weights": (lambda X, y, w: (X, y, w + 0j), ValueError, r"sample_weight.*complex"),
    "overflow_y": (_y(-1, 1e105), OverflowError, r"^y: "),
    "overflow_x": (_x((-1, 1), 1e105, _frame), OverflowError, r"X column 'dose': "),
    "overflow_product": (lambda X, y, w: (1e60 * X, 1e50 * y, w), OverflowError, r"X column \d: "),
    "strings_x": (_strings_in_dose, ValueError, r"X column 'dose' is not numeric.*'a'"),
    "dicts_x": (lambda X, y, w: _x((2, 1), {})(X.astype(object), y, w), TypeError, r"X column 1 is not numeric"),
    "strings_y": (lambda X, y, w: (X, ["a"] * len(y), w), ValueError, r"^y is not numeric"),
    "dicts_y": (lambda X, y, w: _y(2, {})(X, y.astype(object), w), TypeError, r"^y is not numeric"),
    "complex_x": (lambda X, y, w: (X + 0j, y, w), ValueError, r"^X.*complex"),
    "complex_y": (lambda X, y, w: (X, y + 0j, w), ValueError, r"^y.*complex"),
}


@pytest.mark.parametrize("n", [20, N], ids=["pending", "blocks"])
@pytest.mark.parametrize("seen", [30, BLOCK], ids=["after_pending", "after_block"])
@pytest.mark.parametrize("case", FAILURES)
def test_a_failed_update_names_the_culprit_and_changes_nothing(case, n, seen):
    spoil, error, match = FAILURES[case]
    X, y, w = sample(seen, seed=8)
    accumulator = MomentAccumulator(3).update(X, y, w)
    before = accumulator.to_bytes()
    with pytest.raises(error, match=match.replace("{n}", str(n)).replace("{last}", str(n - 1))):
        accumulator.update(*spoil(*sample(n)))
    assert accumulator.to_bytes() == before
    X, y, w = sample(n)  # and it goes on as if nothing had been
    assert accumulator.update(X, y, w).n_samples == seen + n


@pytest.mark.parametrize("n", [1, 2])
def test_rows_that_would_overflow_with_earlier_blocks_are_refused_at_once(n):
    # On their own these rows have no spread; with the block before them their cubes leave the range. Taken
    # in, they would spoil every later read.
    X, y, _ = sample(BLOCK)
    accumulator = MomentAccumulator(3).update(X, y)
    before = accumulator.to_bytes()
    with pytest.raises(OverflowError, match=r"^y: "):
        accumulator.update(np.zeros((n, 3)), np.full(n, 1e110))
    assert accumulator.to_bytes() == before


def test_float32_values_beyond_its_range_are_infinite():
    with pytest.raises(ValueError, match=r"X column 1 at row 0\b.*infinite"):
        MomentAccumulator(2, dtype="float32").update([[1.0, 1e39]], [1.0])
