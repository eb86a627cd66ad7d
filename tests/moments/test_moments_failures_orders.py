"""Overflow and bad values with order 4, float32 and a transform: named, and nothing has changed."""

import numpy as np
import pytest

from moefast import MomentAccumulator, build_info
from moefast.transforms import PolynomialTransform
from oracles import moments as oracles

BLOCK = build_info()["super_block_rows"]
CUBE = PolynomialTransform((0.0, 0.0, 0.0, 1.0), 1.0, order=3)
SIXTH = PolynomialTransform((0.0,) * 6 + (1.0,), 1.0, order=3)

# Name: (arguments, columns x y w multiplied by, who is named)
OVERFLOWS = {
    "order4_x": ({"order": 4}, (1e80, 1, 1), r"^X column 1: "),
    "order4_y": ({"order": 4}, (1, 1e80, 1), r"^y: "),
    "order4_product": ({"order": 4}, (1e40, 1e45, 1), r"^y: "),
    "order4_weight": ({"order": 4}, (10, 1, 1e304), r"^sample_weight: "),
    "order4_weight_and_x": ({"order": 4}, (1e3, 1, 1e299), r"^sample_weight: "),
    "order2_x": ({"order": 2}, (1e160, 1, 1), r"^X column 1: "),
    "order2_sum": ({"order": 2}, (1e307, 1, 1), r"^X column 1: "),
    "single_y": ({"order": 3, "transform": SIXTH}, (1, 1e60, 1), r"^y: "),
    "single_x": ({"order": 4, "transform": CUBE}, (1e80, 1, 1), r"^X column 1: "),
    "float32_weight": ({"order": 4, "dtype": "float32"}, (1e36, 1, 1e200), r"^sample_weight: "),
    "float32_y_x": ({"order": 4, "dtype": "float32"}, (1e36, 1e37, 1e30), r"^y: "),
    "float32_single": ({"order": 4, "dtype": "float32", "transform": SIXTH}, (1e35, 1e36, 1), r"^y: "),
}


@pytest.mark.parametrize("n", [20, BLOCK + 20], ids=["pending", "block"])
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("case", OVERFLOWS)
def test_an_overflow_names_its_column_and_changes_nothing(case, n, n_threads):
    arguments, factors, match = OVERFLOWS[case]
    X, y, w = oracles.sample(BLOCK + 40, 3)
    accumulator = MomentAccumulator(3, n_threads=n_threads, **arguments).update(X, y, w)
    before = accumulator.to_bytes()
    X, y, w = oracles.sample(n, 3, seed=1)
    X[:, 1] *= factors[0]
    with pytest.raises(OverflowError, match=match):
        accumulator.update(X, y * factors[1], w * factors[2])
    assert accumulator.to_bytes() == before
    X, y, w = oracles.sample(n, 3, seed=1)
    accumulator.update(X, y, w)
    assert np.isfinite(accumulator.raw_moment(arguments["order"])).all()


@pytest.mark.parametrize("d", [4, 26])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_largest_values_that_fit(d, dtype):
    """Just inside the range, nothing is refused: fourth powers of 1e75, or of what float32 holds."""
    X, y, w = oracles.sample(BLOCK + 20, d)
    size = 1e74 if dtype == "float64" else 1e37
    plain = MomentAccumulator(d, 4, dtype).update(X, y, w)
    large = MomentAccumulator(d, 4, dtype).update(X * size, y, w)
    np.testing.assert_allclose(
        np.diag(large.central_moment(2)), np.diag(plain.central_moment(2)) * size**2, rtol=1e-6
    )
    assert np.isfinite(large.central_moment(4)).all()


# ---- bad values ------------------------------------------------------------------------------------------

ROWS = [3, BLOCK - 1, BLOCK, 2 * BLOCK + 5, 3 * BLOCK + 90]


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize(("order", "d"), [(2, 2), (4, 3), (4, 26), (3, 80)])
@pytest.mark.parametrize("row", ROWS)
def test_a_bad_value_is_named_wherever_it_stands(order, d, n_threads, row):
    X, y, w = oracles.sample(3 * BLOCK + 100, d)
    accumulator = MomentAccumulator(d, order, n_threads=n_threads).update(X[:50], y[:50], w[:50])
    before = accumulator.to_bytes()
    bad = X.copy()
    bad[row, d - 1] = np.nan
    with pytest.raises(ValueError, match=rf"X column {d - 1} at row {row}: is NaN"):
        accumulator.update(bad, y, w)
    bad = y.copy()
    bad[row] = -np.inf
    with pytest.raises(ValueError, match=rf"y at row {row}: is infinite"):
        accumulator.update(X, bad, w)
    assert accumulator.to_bytes() == before


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("order", [3, 4])
def test_the_first_of_many_bad_values_is_named(order, n_threads):
    """In the order of the rows, and before an overflow, whichever thread met what."""
    X, y, w = oracles.sample(4 * BLOCK, 3)
    X[BLOCK + 7, 2], y[BLOCK + 7], y[BLOCK + 8] = np.inf, np.nan, np.nan
    X[3 * BLOCK + 1, 0], X[-1, 0] = np.nan, np.nan
    X[0, 0] = 1e200
    accumulator = MomentAccumulator(3, order, n_threads=n_threads).update(X[1:9], y[1:9])
    for _ in range(3):
        with pytest.raises(ValueError, match=rf"X column 2 at row {BLOCK + 7}: is infinite"):
            accumulator.update(X, y, w)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_infinities_of_both_signs_do_not_cancel(dtype):
    X, y, _ = oracles.sample(2 * BLOCK, 2)
    X[70, 1], X[71, 1] = np.inf, -np.inf
    with pytest.raises(ValueError, match="X column 1 at row 70: is infinite"):
        MomentAccumulator(2, 4, dtype).update(X, y)


# ---- odd arguments ---------------------------------------------------------------------------------------


class _Subclass(np.ndarray):
    def __array_finalize__(self, other):
        pass


ODD = {
    "subclass": lambda a: a.view(_Subclass),
    "matrix_of_one": lambda a: np.broadcast_to(a[:1], a.shape),
    "booleans": lambda a: a > 0,
    "objects": lambda a: a.astype(object),
    "lists": lambda a: a.tolist(),
    "half": lambda a: a.astype(np.float16),
    "unsigned": lambda a: np.abs(a * 9).astype(np.uint64),
    "record_field": lambda a: np.rec.fromarrays([a, a > 0], names="value,flag")["value"],
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_odd_arrays_are_the_numbers_in_them(odd, dtype):
    X, y, _ = oracles.sample(200, 3)
    X, y = ODD[odd](X), ODD[odd](y)
    plain = np.array(X, dtype=dtype), np.array(y, dtype=dtype)
    found = MomentAccumulator(3, 4, dtype).update(X, y)
    assert found.to_bytes() == MomentAccumulator(3, 4, dtype).update(*plain).to_bytes()


@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (3,), (2, 3, 1), ()])
def test_odd_shapes(shape):
    accumulator = MomentAccumulator(3, 4)
    before = accumulator.to_bytes()
    if shape == (0, 3):
        assert accumulator.update(np.empty(shape), np.empty(0), np.empty(0)).to_bytes() == before
        return
    with pytest.raises(ValueError, match=r"X must have shape \(n, 3\)"):
        accumulator.update(np.empty(shape), np.empty(shape[0] if shape else 1))
    assert accumulator.to_bytes() == before


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int64])
def test_numpy_integers_as_parameters(kind):
    X, y, w = oracles.sample(30)
    found = MomentAccumulator(kind(3), kind(4), n_threads=kind(2)).update(X, y, w)
    assert found.to_bytes() == MomentAccumulator(3, 4).update(X, y, w).to_bytes()
    np.testing.assert_array_equal(found.raw_moment(kind(2), kind(1)), found.raw_moment(2, 1))


def test_more_threads_than_anyone_has():
    X, y, w = oracles.sample(2 * BLOCK)
    many = MomentAccumulator(3, 4, n_threads=64).update(X, y, w)
    assert many.to_bytes() == MomentAccumulator(3, 4).update(X, y, w).to_bytes()
