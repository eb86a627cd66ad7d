"""One state for one stream of rows, for every kind of accumulator; merging, moving the centre, saving."""

import pickle
import struct
import zlib

import numpy as np
import pytest

from moefast import MomentAccumulator, build_info
from moefast.transforms import PolynomialTransform
from oracles import moments as oracles

BLOCK = build_info()["super_block_rows"]
CUBE = PolynomialTransform((0.2, -3.0, 0.0, 1.0), 6.0, order=3, about=0.5)

# Name: (arguments, rows). Blocks of more than 2.5 MB are summed by all threads together, in parts; from 2 MB on
# a single thread takes parts as well. Order 4 changes its form at 25 features, float32 has wider panels.
KINDS = {
    "order2": ({"n_features": 5, "order": 2}, 3 * BLOCK + 17),
    "order4_dot": ({"n_features": 6, "order": 4}, 3 * BLOCK + 17),
    "order4_outer": ({"n_features": 26, "order": 4}, 2 * BLOCK + 17),
    "order4_outer_single": ({"n_features": 25, "order": 4, "dtype": "float32"}, 2 * BLOCK + 17),
    "order4_parts": ({"n_features": 50, "order": 4, "transform": CUBE}, BLOCK + 17),
    "order4_shared": ({"n_features": 40, "order": 4}, BLOCK + 17),
    "order3_shared": ({"n_features": 80, "order": 3}, 2 * BLOCK + 17),
    "order3_shared_single": ({"n_features": 80, "order": 3, "dtype": "float32"}, 2 * BLOCK + 17),
    "transform": ({"n_features": 6, "order": 3, "transform": CUBE}, 3 * BLOCK + 17),
    "transform_single": ({"n_features": 6, "order": 4, "dtype": "float32", "transform": CUBE}, 2 * BLOCK + 17),
}
SMALL = [name for name in KINDS if "shared" not in name and "parts" not in name]


@pytest.fixture(scope="module", params=KINDS)
def stream(request):
    arguments, n = KINDS[request.param]
    X, y, w = oracles.sample(n, arguments["n_features"], seed=4)
    whole = MomentAccumulator(**arguments, n_threads=1).update(X, y, w)
    return arguments, X, y, w, whole.to_bytes()


@pytest.mark.parametrize("n_threads", [2, 7])
def test_threads_change_nothing(stream, n_threads):
    arguments, X, y, w, expected = stream
    assert MomentAccumulator(**arguments, n_threads=n_threads).update(X, y, w).to_bytes() == expected


@pytest.mark.parametrize("n_threads", [1, 2])
def test_cuts_change_nothing(stream, n_threads):
    arguments, X, y, w, expected = stream
    parts = MomentAccumulator(**arguments, n_threads=n_threads)
    for rows in np.split(np.arange(len(y)), [0, 1, 63, 900, BLOCK - 1, BLOCK + 5]):
        parts.update(X[rows], y[rows], w[rows])
    assert parts.to_bytes() == expected


@pytest.mark.parametrize("layout", ["fortran", "negative_strides", "slices"])
def test_memory_order_changes_nothing(stream, layout):
    arguments, X, y, w, expected = stream
    lay = oracles.LAYOUTS[layout]
    X, y = (a.astype(arguments.get("dtype", "float64")) for a in (X, y))  # or the package makes a C-ordered copy
    assert MomentAccumulator(**arguments, n_threads=2).update(lay(X), lay(y), lay(w)).to_bytes() == expected


def test_a_saved_state_is_the_state(stream):
    arguments, X, y, w, expected = stream
    copy = MomentAccumulator.from_bytes(expected)
    assert copy.to_bytes() == pickle.loads(pickle.dumps(copy)).to_bytes() == expected
    assert (copy.order, copy.transform, copy.dtype) == (
        arguments["order"],
        arguments.get("transform"),
        arguments.get("dtype", "float64"),
    )
    assert copy.n_samples == len(y)
    rows = slice(BLOCK)
    more = MomentAccumulator(**arguments).update(X, y, w).update(X[rows], y[rows], w[rows])
    assert copy.update(X[rows], y[rows], w[rows]).to_bytes() == more.to_bytes()


def test_damaged_bytes_are_refused(stream):
    data = stream[-1]
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(data), size=5):
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(rng.integers(8))
        with pytest.raises(ValueError, match=r"data (is|has)"):
            MomentAccumulator.from_bytes(bytes(damaged))
    for length in rng.integers(0, len(data), size=3):
        with pytest.raises(ValueError, match="data is"):
            MomentAccumulator.from_bytes(data[:length])


@pytest.mark.parametrize("version", [0, 1, 3])
def test_other_versions_are_refused_even_with_a_good_checksum(version):
    data = MomentAccumulator(2, 4).to_bytes()
    body = data[:16] + struct.pack("<I", version) + data[20:-4]
    with pytest.raises(ValueError, match=rf"format version {version}; this moefast reads version 2"):
        MomentAccumulator.from_bytes(body + struct.pack("<I", zlib.crc32(body)))


@pytest.mark.parametrize("kind", SMALL)
def test_an_empty_accumulator_can_be_saved(kind):
    arguments, _ = KINDS[kind]
    empty = MomentAccumulator(**arguments).update(np.empty((0, arguments["n_features"])), np.empty(0))
    copy = pickle.loads(pickle.dumps(empty))
    assert copy.n_samples == 0
    assert copy.to_bytes() == empty.to_bytes() == MomentAccumulator(**arguments).to_bytes()
    with pytest.raises(ValueError, match="empty"):
        copy.raw_moment(1)


# ---- merging and moving the centre -----------------------------------------------------------------------


def _assert_close(found, expected, tol):
    powers = range(expected.order + 1) if expected.transform is None else [0]
    plain = np.sqrt(np.maximum(np.diag(expected.covariance), 1e-300))
    for order in range(expected.order + 1):
        for power in powers:
            scale = expected.response_scale[power]
            for _ in range(order):
                scale = np.multiply.outer(scale, plain)
            difference = found.central_moment(order, power) - expected.accumulator.central_moment(order, power)
            assert (np.abs(difference) <= tol * scale).all(), (order, power)


class _Expected:
    """An accumulator and the sizes its central moments have."""

    def __init__(self, accumulator, X, y, w):
        self.accumulator, self.order, self.transform = accumulator, accumulator.order, accumulator.transform
        centred = X - np.average(X, axis=0, weights=w)
        self.covariance = (centred * w[:, None]).T @ centred / w.sum()
        sd = np.sqrt(np.average((y - np.average(y, weights=w)) ** 2, weights=w))
        self.response_scale = [sd**power for power in range(self.order + 1)]
        if self.transform is not None:
            self.response_scale = [np.average(np.abs(self.transform(y)), weights=w)]


@pytest.mark.parametrize("kind", ["order2", "order4_dot", "order4_outer", "transform"])
@pytest.mark.parametrize("at", [1, 100, BLOCK, BLOCK + 100])
def test_merged_halves_equal_the_whole(kind, at):
    arguments, _ = KINDS[kind]
    X, y, w = oracles.sample(BLOCK + 300, arguments["n_features"], seed=5)
    X[:at] += 3.0
    whole = MomentAccumulator(**arguments).update(X, y, w)
    left, right = (MomentAccumulator(**arguments).update(X[p], y[p], w[p]) for p in (slice(at), slice(at, None)))
    before = right.to_bytes()
    _assert_close(left.merge(right), _Expected(whole, X, y, w), 1e-12)
    assert right.to_bytes() == before


def _sorted(X, y):
    return np.sort(X, axis=0), np.sort(y)


def _outlier_first(X, y):
    X, y = X.copy(), y.copy()
    X[0], y[0] = 1e6, -1e6
    return X, y


def _far_away(X, y):
    return X + 1e6, y - 1e6


@pytest.mark.parametrize("arrange", [_sorted, _outlier_first, _far_away])
@pytest.mark.parametrize("n", [500, 2 * BLOCK + 37])
def test_central_moments_of_order_4_keep_their_digits(arrange, n):
    rng = np.random.default_rng(1)
    X, y = arrange(rng.normal(size=(n, 2)) ** 3, rng.normal(size=n) ** 3)
    accumulator = MomentAccumulator(2, 4).update(X, y)
    for order in range(5):
        for power in range(5):
            value, scale = oracles.two_pass_central_moment(X, y, np.ones(n), order, power)
            error = np.abs(accumulator.central_moment(order, power) - value)
            if order + power != 1:
                assert (error <= 1e-9 * scale).all(), (order, power)


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("d", [1, 3, 26])
def test_moving_the_centre_there_and_back(order, d):
    X, y, w = oracles.sample(400, d)
    sums = MomentAccumulator(d, order).update(X, y, w)._snapshot()
    away = sums.recentred(np.random.default_rng(0).normal(size=d + 1))
    for power in range(order + 1):
        unit = [float(h == power) for h in range(order + 1)]
        response, U = y - away.centre[-1], np.column_stack([X - away.centre[:-1], np.ones(400)])
        expected = oracles.matrix_moment(U, response, w, order, power)
        scale = oracles.expanded_moment(U, response, w, order, power)
        assert (np.abs(away.to_dense(unit) - expected) <= 1e-13 * scale).all()
        for lower in range(order):
            part = expected[(slice(None),) * lower + (-1,) * (order - lower)]
            np.testing.assert_allclose(away.lower_order(lower, unit), part, atol=1e-12 * scale.max(), rtol=0)
