"""MomentAccumulator: sums against slow oracles, one state for one stream of rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moefast import MomentAccumulator, build_info
from oracles import moments as oracles
from oracles.moments import sample

BLOCK = build_info()["super_block_rows"]
MOMENTS = [(order, power) for order in range(4) for power in range(4)]
bounded = settings(deadline=None, max_examples=25, derandomize=True)


def assert_raw_moments(accumulator, X, y, weights, tol=1e-13):
    X, y = X.astype(np.float64), y.astype(np.float64)
    for order, power in MOMENTS:
        error = np.abs(accumulator.raw_moment(order, power) - oracles.raw_moment(X, y, weights, order, power))
        scale = oracles.absolute_moment(X, y, weights, order, power)
        assert (error <= tol * scale).all(), (order, power, (error / scale).max())


def assert_close(a, b, tol):
    """All moments about the means agree, measured against the spread of the data."""
    sd = np.sqrt([*np.diag(a.central_moment(2)), a.central_moment(0, 2)])
    for order, power in MOMENTS:
        scale = sd[-1] ** power
        for _ in range(order):
            scale = np.multiply.outer(scale, sd[:-1])
        assert (np.abs(a.central_moment(order, power) - b.central_moment(order, power)) <= tol * scale).all()
    np.testing.assert_allclose(a.raw_moment(1), b.raw_moment(1), rtol=tol)
    np.testing.assert_allclose(a.raw_moment(0), b.raw_moment(0), rtol=tol)


# ---- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 100])
@pytest.mark.parametrize("weighted", [False, True])
def test_raw_moments_equal_einsum_across_chunk_and_block_boundaries(n, weighted):
    X, y, w = sample(n)
    accumulator = MomentAccumulator(3).update(X, y, w if weighted else None)
    assert_raw_moments(accumulator, X, y, w if weighted else np.ones(n))


@pytest.mark.parametrize("d", [1, 2, 4, 5, 9, 13])
def test_raw_moments_equal_einsum_for_every_tile_remainder(d):
    X, y, w = sample(300, d)
    assert_raw_moments(MomentAccumulator(d).update(X, y, w), X, y, w)


@given(
    d=st.integers(1, 6),
    n=st.integers(1, 200) | st.integers(BLOCK - 2, BLOCK + 2),
    dtype=st.sampled_from([np.float64, np.float32, np.float16, np.int32, np.uint8, ">f8"]),
    steps=st.tuples(st.sampled_from([-2, -1, 1, 3]), st.sampled_from([-1, 1, 2])),
    order=st.sampled_from("CF"),
    weighted=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@bounded
def test_raw_moments_equal_einsum_for_any_layout_and_dtype(d, n, dtype, steps, order, weighted, seed):
    rows, columns = steps
    rng = np.random.default_rng(seed)
    # Values far enough from 0 that no sum of absolute terms is tiny by chance; integers keep them.
    whole = np.array(rng.uniform(1, 9, size=(n * abs(rows), d * abs(columns))), dtype=dtype, order=order)
    X = whole[::rows, ::columns]
    y = np.repeat(rng.uniform(1, 9, size=n), abs(rows)).astype(dtype)[::rows]
    w = rng.uniform(0.1, 3.0, size=n)
    assert X.shape == (n, d)
    assert_raw_moments(
        MomentAccumulator(d).update(X, y, w if weighted else None), X, y, w if weighted else w * 0 + 1
    )


def test_float32_rows_can_be_summed_in_float64():
    X, y, w = sample(BLOCK + 10, dtype=np.float32)
    accumulator = MomentAccumulator(3, dtype="float64").update(X, y, w)
    assert_raw_moments(accumulator, X, y, w)


def test_float32_accumulator_rounds_float64_rows_once():
    X, y, w = sample(100)
    by_package = MomentAccumulator(3, dtype="float32").update(X, y, w)
    by_hand = MomentAccumulator(3, dtype="float32").update(X.astype(np.float32), y.astype(np.float32), w)
    assert by_package.to_bytes() == by_hand.to_bytes()


def _sorted(X, y):
    return np.sort(X, axis=0), np.sort(y)


def _outlier_first(X, y):
    X, y = X.copy(), y.copy()
    X[0], y[0] = 1e8, -1e8
    return X, y


def _far_away(X, y):
    return X + 1e6, y - 1e6


def _far_and_sorted(X, y):
    return _sorted(*_far_away(X, y))


@pytest.mark.parametrize("arrange", [_sorted, _outlier_first, _far_away, _far_and_sorted])
@pytest.mark.parametrize("n", [500, 2 * BLOCK + 37])
def test_central_moments_keep_their_digits(arrange, n):
    # Sums of squares and cubes of raw values would have lost all of them at a mean of 1e6 deviations.
    rng = np.random.default_rng(1)
    X, y = arrange(rng.normal(size=(n, 2)) ** 3, rng.normal(size=n) ** 3)
    accumulator = MomentAccumulator(2).update(X, y)
    for order, power in MOMENTS:
        value, scale = oracles.two_pass_central_moment(X, y, np.ones(n), order, power)
        error = np.abs(accumulator.central_moment(order, power) - value)
        if order + power != 1:  # the first moments about the mean are zero but for rounding
            assert (error <= 1e-9 * scale).all(), (order, power)


@pytest.mark.parametrize("at", [0, BLOCK])
def test_a_light_outlier_costs_no_digits(at):
    # Its share of every moment is small, but sums about it, or about half way to it, would be 1e12 of them.
    # In the first row it is part of a block, in the last one it is merged alone.
    rng = np.random.default_rng(2)
    X, y, w = rng.normal(size=(BLOCK + 1, 2)), rng.normal(size=BLOCK + 1), np.ones(BLOCK + 1)
    X[at], y[at], w[at] = 1e4, 1e4, 1e-24
    accumulator = MomentAccumulator(2).update(X, y, w)
    for order, power in [(1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]:
        value, scale = oracles.two_pass_central_moment(X, y, w, order, power)
        assert (np.abs(accumulator.central_moment(order, power) - value) <= 1e-9 * scale).all(), (order, power)


# ---- one state for one stream ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stream():
    X, y, w = sample(3 * BLOCK + 17)
    return X, y, w, MomentAccumulator(3, n_threads=1).update(X, y, w).to_bytes()


@pytest.mark.parametrize("layout", oracles.LAYOUTS)
def test_state_does_not_depend_on_memory_layout(stream, layout):
    X, y, w, expected = stream
    lay = oracles.LAYOUTS[layout]
    assert MomentAccumulator(3).update(lay(X), lay(y), lay(w)).to_bytes() == expected


@pytest.mark.parametrize("n_threads", [1, 2, 7, None])
def test_state_does_not_depend_on_threads(stream, n_threads):
    X, y, w, expected = stream
    assert MomentAccumulator(3, n_threads=n_threads).update(X, y, w).to_bytes() == expected


@given(cuts=st.lists(st.integers(0, 3 * BLOCK + 17), max_size=6), n_threads=st.sampled_from([1, 2, 7]))
@bounded
def test_state_does_not_depend_on_how_rows_are_cut(stream, cuts, n_threads):
    X, y, w, expected = stream
    accumulator = MomentAccumulator(3, n_threads=n_threads)
    for part in np.split(np.arange(len(y)), sorted(cuts)):
        accumulator.update(X[part], y[part], w[part])
    assert accumulator.n_samples == len(y)
    assert accumulator.to_bytes() == expected


@pytest.mark.parametrize("n_threads", [1, 7])
def test_state_does_not_depend_on_single_rows(n_threads):
    X, y, _ = sample(BLOCK + 3)
    accumulator = MomentAccumulator(3, n_threads=n_threads)
    for i in range(len(y)):
        accumulator.update(X[i : i + 1], y[i : i + 1])
    assert accumulator.to_bytes() == MomentAccumulator(3).update(X, y).to_bytes()


def test_different_data_give_different_bytes(stream):
    X, y, w, expected = stream
    y = y.copy()
    y[-1] = np.nextafter(y[-1], np.inf)  # in a pending row
    assert MomentAccumulator(3).update(X, y, w).to_bytes() != expected


@pytest.mark.parametrize("n", [200, BLOCK + 200])
def test_zero_weight_leaves_the_row_out(n):
    X, y, w = sample(n)
    w[::3] = 0.0
    X[0], y[3] = np.nan, np.inf  # not even looked at
    kept = w > 0
    with_zeros = MomentAccumulator(3).update(X, y, w)
    assert with_zeros.n_samples == kept.sum()
    assert with_zeros.to_bytes() == MomentAccumulator(3).update(X[kept], y[kept], w[kept]).to_bytes()


@pytest.mark.parametrize("n", [0, 200, BLOCK + 200])
def test_a_part_of_a_stream_may_have_no_weight(n):
    X, y, w = sample(500)
    once = MomentAccumulator(3).update(X, y, w)
    before = once.to_bytes()
    again = once.update(np.full((n, 3), np.nan), np.full(n, np.inf), np.zeros(n))  # not even looked at
    assert again.to_bytes() == before


def test_integer_weights_repeat_rows():
    X, y, _ = sample(BLOCK)
    w = np.random.default_rng(3).integers(1, 5, size=len(y))
    repeated = MomentAccumulator(3).update(np.repeat(X, w, axis=0), np.repeat(y, w))
    assert_close(MomentAccumulator(3).update(X, y, w), repeated, 1e-12)


# ---- merging ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1, 100, BLOCK, BLOCK + 1, 2 * BLOCK - 1, 2 * BLOCK + 100])
def test_merge_equals_one_accumulator(at):
    X, y, w = sample(2 * BLOCK + 100)
    X[:at] += 5.0  # so that the two sides have other means
    left, right = (MomentAccumulator(3).update(X[p], y[p], w[p]) for p in (slice(at), slice(at, None)))
    before = right.to_bytes()
    assert left.merge(right) is left
    assert right.to_bytes() == before
    assert left.n_samples == len(y)
    assert_close(MomentAccumulator(3).update(X, y, w), left, 1e-12)


@pytest.mark.parametrize("n", [50, 2 * BLOCK, 2 * BLOCK + 3000])
def test_merge_with_itself_counts_every_row_twice(n):
    X, y, w = sample(n)
    accumulator = MomentAccumulator(3).update(X, y, w)
    assert_close(MomentAccumulator(3).update(X, y, 2 * w), accumulator.merge(accumulator), 1e-12)
    assert accumulator.n_samples == 2 * n


@pytest.mark.parametrize(
    ("other", "error"),
    [(MomentAccumulator(2), ValueError), (MomentAccumulator(3, dtype="float32"), ValueError), ("x", TypeError)],
)
def test_merge_of_mismatching_accumulators_is_refused(other, error):
    X, y, w = sample(20)
    accumulator = MomentAccumulator(3).update(X, y, w)
    before = accumulator.to_bytes()
    with pytest.raises(error, match=r"merge|MomentAccumulator"):
        accumulator.merge(other)
    assert accumulator.to_bytes() == before


@pytest.mark.parametrize("n", [1, BLOCK, BLOCK + 1])
def test_merge_beyond_the_range_changes_nothing(n):
    near, far = (MomentAccumulator(1).update(np.zeros((n, 1)), np.full(n, value)) for value in (0.0, 1e110))
    before = near.to_bytes()
    with pytest.raises(OverflowError, match=r"^y: "):
        near.merge(far)
    assert near.to_bytes() == before


# ---- construction and the empty state ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"n_features": 0}, ValueError, "n_features"),
        ({"n_features": True}, TypeError, "n_features"),
        ({"n_features": 2.0}, TypeError, "n_features"),
        ({"n_features": 2, "order": 5}, ValueError, "order"),
        ({"n_features": 2, "order": 1}, ValueError, "order"),
        ({"n_features": 2, "transform": "y^3"}, TypeError, "transform"),
        ({"n_features": 2, "dtype": "int32"}, ValueError, "dtype"),
        ({"n_features": 2, "n_threads": 0}, ValueError, "n_threads"),
    ],
)
def test_bad_parameters_are_refused(arguments, error, match):
    with pytest.raises(error, match=match):
        MomentAccumulator(**arguments)


def test_an_empty_accumulator_has_no_moments():
    accumulator = MomentAccumulator(2).update(np.empty((0, 2)), [])
    assert accumulator.n_samples == 0
    assert (accumulator.n_features, accumulator.order) == (2, 3)
    for ask in (
        lambda: accumulator.raw_moment(1),
        lambda: accumulator.central_moment(2),
        accumulator.score_moments,
    ):
        with pytest.raises(ValueError, match="empty"):
            ask()
    assert MomentAccumulator.from_bytes(accumulator.to_bytes()).to_bytes() == accumulator.to_bytes()
    X, y, w = sample(10, 2)
    assert accumulator.update(X, y, w).to_bytes() == MomentAccumulator(2).update(X, y, w).to_bytes()


@pytest.mark.parametrize(("order", "power", "match"), [(4, 0, "order"), (-1, 0, "order"), (1, 4, "power")])
def test_moments_out_of_range_are_refused(order, power, match):
    accumulator = MomentAccumulator(1).update([[1.0], [2.0]], [1.0, 2.0])
    with pytest.raises(ValueError, match=match):
        accumulator.raw_moment(order, power)
