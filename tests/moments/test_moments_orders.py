"""Moments of orders 2 to 4 in both dtypes, on every instruction set, against slow oracles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moefast import MomentAccumulator, _core, build_info
from oracles import moments as oracles

BLOCK = build_info()["super_block_rows"]
SETS = build_info()["instruction_sets"]
# Order 4 changes from the dot form to the outer form between 24 and 25 features.
WIDTHS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 23, 24, 25, 26, 27, 30]
ROWS = [1, 2, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513]
TOLERANCE = {"float64": 1e-13, "float32": 4e-7}


@pytest.fixture(autouse=True)
def instruction_set_as_before():
    before = build_info()["instruction_set"]
    yield
    _core.use_instruction_set(before)


def on_every_instruction_set(accumulate):
    """The oracles are slow and the same for all sets: tests compare all at once."""
    for name in SETS:
        _core.use_instruction_set(name)
        yield name, accumulate()


def assert_moments(accumulators, X, y, w, tol):
    """Orders and powers up to the highest; the scale is the sum of the absolute terms."""
    accumulators = list(accumulators)
    X, y = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    w = np.ones(len(y)) if w is None else w
    highest = accumulators[0][1].order
    for order in range(highest + 1):
        for power in range(highest + 1):
            assert_moment(accumulators, X, y, w, order, power, tol)


def assert_moment(accumulators, X, y, w, order, power, tol):
    value = oracles.matrix_moment(X, y, w, order, power)
    bound = tol * oracles.expanded_moment(X, y, w, order, power)
    for name, accumulator in accumulators:
        error = np.abs(accumulator.raw_moment(order, power) - value)
        assert (error <= bound).all(), (name, order, power, len(y))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("d", WIDTHS)
def test_every_width_on_every_instruction_set(dtype, order, d):
    X, y, w = oracles.sample(131, d, seed=d, dtype=np.dtype(dtype).type)
    found = on_every_instruction_set(lambda: MomentAccumulator(d, order, dtype).update(X, y, w))
    assert_moments(found, X, y, w, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("order", "d"), [(2, 5), (3, 5), (4, 5), (4, 26)])
@pytest.mark.parametrize("n", ROWS)
def test_every_chunk_edge_on_every_instruction_set(dtype, order, d, n):
    X, y, w = oracles.sample(n, d, seed=n, dtype=np.dtype(dtype).type)
    weights = w if n % 2 else None
    found = on_every_instruction_set(lambda: MomentAccumulator(d, order, dtype).update(X, y, weights))
    values = (np.float64(X), np.float64(y), w if n % 2 else np.ones(n))
    assert_moment(found, *values, order, order, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("order", "d"), [(2, 7), (3, 7), (4, 7), (4, 25)])
@pytest.mark.parametrize("n", [BLOCK - 1, BLOCK + 1])
def test_block_edges(dtype, order, d, n):
    X, y, w = oracles.sample(n, d, seed=n, dtype=np.dtype(dtype).type)
    found = MomentAccumulator(d, order, dtype).update(X, y, w)
    for power in (0, order):
        value = oracles.matrix_moment(np.float64(X), np.float64(y), w, order, power)
        scale = oracles.absolute_scale(np.float64(X), np.float64(y), w, order, power)
        assert (np.abs(found.raw_moment(order, power) - value) <= TOLERANCE[dtype] * scale).all()


@pytest.mark.parametrize(("order", "d"), [(3, 20), (4, 10), (4, 26)])
def test_float32_errors_average_out_over_many_rows(order, d):
    X, y, w = oracles.sample(10_000, d, seed=1, dtype=np.float32)
    found = list(on_every_instruction_set(lambda: MomentAccumulator(d, order, "float32").update(X, y, w)))
    for power in (0, order):
        assert_moment(found, np.float64(X), np.float64(y), w, order, power, 1e-7)


LAYOUTS = {
    "c_order": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "negative": oracles.LAYOUTS["negative_strides"],
    "slices": lambda a: np.repeat(a, 2, axis=0)[::2],
    "read_only": oracles.LAYOUTS["read_only"],
    "unaligned": oracles.LAYOUTS["unaligned"],
}


def _columns(rng, shape, scale, kind):
    """Values between 1 and 9 times the scale, with what the kind says."""
    values = rng.uniform(1, 9, size=shape) * scale
    if kind == "signs":
        values *= rng.choice([-1.0, 1.0], size=shape)
    if kind == "zeros":
        values *= rng.integers(0, 2, size=shape)
    if kind == "constant":
        values[...] = values[:1]
    return values


@given(
    order=st.sampled_from([2, 3, 4]),
    d=st.sampled_from([*range(1, 13), 23, 24, 25, 26, 29]),
    n=st.integers(1, 140) | st.sampled_from(ROWS),
    dtype=st.sampled_from(list(TOLERANCE)),
    kinds=st.tuples(*[st.sampled_from(["positive", "signs", "zeros", "constant"])] * 2),
    scales=st.tuples(*[st.sampled_from([-10, -3, 0, 4, 25])] * 2),
    weights=st.sampled_from([None, -300, 0, 60]),
    layouts=st.tuples(*[st.sampled_from(list(LAYOUTS))] * 3),
    instruction_set=st.sampled_from(SETS),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=100, derandomize=True)
def test_moments_of_any_rows(order, d, n, dtype, kinds, scales, weights, layouts, instruction_set, seed):
    _core.use_instruction_set(instruction_set)
    rng = np.random.default_rng(seed)
    exponents = scales if dtype == "float64" else [s // 2 for s in scales]
    if weights == -300:  # with small values too the products would leave the range of float64
        exponents = [max(0, e) for e in exponents]
    X = _columns(rng, (n, d), 10.0 ** exponents[0], kinds[0]).astype(dtype)
    y = _columns(rng, n, 10.0 ** exponents[1], kinds[1]).astype(dtype)
    w = None if weights is None else rng.uniform(0.1, 3.0, size=n) * 10.0**weights
    found = MomentAccumulator(d, order, dtype)
    lay = [LAYOUTS[name] for name in layouts]
    found.update(lay[0](X), lay[1](y), None if w is None else lay[2](w))
    assert_moments([(instruction_set, found)], X, y, w, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("weight", [1e-300, 1e-309, 1e-312, 1e290])
def test_weights_near_the_ends_of_the_range(dtype, order, weight):
    """Denormal weights have few digits, but they are weights like others."""
    X, y, _ = oracles.sample(700, 3, dtype=np.dtype(dtype).type)
    scaled = MomentAccumulator(3, order, dtype).update(X, y, np.full(700, weight))
    plain = MomentAccumulator(3, order, dtype).update(X, y)
    tol = 1e-12 if weight > 1e-305 else 1e-9
    tol = tol if dtype == "float64" else 4e-7
    for power in range(order + 1):
        spread = plain.central_moment(2).diagonal().max() ** (order / 2)
        difference = scaled.central_moment(order, power) - plain.central_moment(order, power)
        assert (np.abs(difference) <= tol * 10 * spread * plain.central_moment(0, 2) ** (power / 2)).all()


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("size", [1e-320, 1e-310, 1e-30, 1e60])
def test_columns_of_unlike_sizes_do_not_disturb_each_other(order, size):
    """Denormal or huge values in one column leave the moments of the others as they are, to the last bit."""
    X, y, w = oracles.sample(300, 4)
    plain = MomentAccumulator(4, order).update(X, y, w)
    X[:, 3] *= size
    mixed = MomentAccumulator(4, order).update(X, y, w)
    inner = (slice(3),) * order
    for power in range(order + 1):
        np.testing.assert_array_equal(mixed.raw_moment(order, power)[inner], plain.raw_moment(order, power)[inner])


@pytest.mark.parametrize("order", [2, 3, 4])
def test_powers_of_two_scale_float32_moments_exactly(order):
    X, y, w = oracles.sample(5000, 3, dtype=np.float32)
    plain = MomentAccumulator(3, order, "float32").update(X, y, w)
    scaled = MomentAccumulator(3, order, "float32").update(X * np.float32(2.0**90), y * np.float32(2.0**-60), w)
    for power in range(order + 1):
        np.testing.assert_array_equal(
            scaled.raw_moment(order, power), plain.raw_moment(order, power) * 2.0 ** (90 * order - 60 * power)
        )


@pytest.mark.parametrize("order", [2, 3, 4])
def test_switching_instruction_sets_between_updates(order):
    d = 26
    X, y, w = oracles.sample(2 * BLOCK + 100, d)
    found = MomentAccumulator(d, order)
    for i, rows in enumerate(np.array_split(np.arange(len(y)), 5)):
        _core.use_instruction_set(SETS[i % len(SETS)])
        found.update(X[rows], y[rows], w[rows])
    value = oracles.matrix_moment(X, y, w, order, 2)
    assert (np.abs(found.raw_moment(order, 2) - value) <= 1e-13 * oracles.absolute_scale(X, y, w, order, 2)).all()


def test_the_peak_kernel_counts_what_it_does():
    for name in SETS:
        _core.use_instruction_set(name)
        for dtype in TOLERANCE:
            once, ten = (_core.fma_peak(dtype, steps) for steps in (100, 1000))
            assert ten == 10 * once > 0
    for dtype in ("int32", "float16", ""):
        with pytest.raises(ValueError, match="dtype must be"):
            _core.fma_peak(dtype, 10)
