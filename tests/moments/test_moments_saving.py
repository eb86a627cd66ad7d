"""Saved accumulators go on as if never stopped; damage is noticed."""

import pickle

import numpy as np
import pytest

from moefast import MomentAccumulator, build_info
from oracles.moments import sample

BLOCK = build_info()["super_block_rows"]

ROUND_TRIPS = {
    "pickle": lambda a: pickle.loads(pickle.dumps(a)),
    "bytes": lambda a: MomentAccumulator.from_bytes(a.to_bytes()),
}


@pytest.mark.parametrize("trip", ROUND_TRIPS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("at", [0, 10, BLOCK, BLOCK + 10])
def test_a_saved_accumulator_goes_on_as_if_never_stopped(trip, dtype, at):
    X, y, w = sample(2 * BLOCK + 5)
    first = MomentAccumulator(3, dtype=dtype, n_threads=1).update(X[:at], y[:at], w[:at] if at else None)
    copy = ROUND_TRIPS[trip](first)
    assert copy.to_bytes() == first.to_bytes()
    assert (copy.n_samples, copy.dtype) == (at, np.dtype(dtype))
    copy.update(X[at:], y[at:], w[at:])
    assert copy.to_bytes() == MomentAccumulator(3, dtype=dtype).update(X, y, w).to_bytes()


def test_pickle_keeps_the_number_of_threads():
    assert pickle.loads(pickle.dumps(MomentAccumulator(1, n_threads=3))).n_threads == 3


@pytest.fixture(scope="module")
def saved():
    X, y, w = sample(BLOCK + 2, 1)
    return MomentAccumulator(1).update(X, y, w).to_bytes()


def test_every_flipped_byte_is_noticed(saved):
    assert len(saved) < 1000  # so that all of them can be tried
    for at in range(len(saved)):
        damaged = bytearray(saved)
        damaged[at] ^= 0x10
        with pytest.raises(ValueError, match=r"data (is|has)"):
            MomentAccumulator.from_bytes(bytes(damaged))


def test_every_truncation_is_noticed(saved):
    for length in range(len(saved)):
        with pytest.raises(ValueError, match="data is"):
            MomentAccumulator.from_bytes(saved[:length])
    with pytest.raises(ValueError, match="damaged"):
        MomentAccumulator.from_bytes(saved + b"\0")


def test_another_version_is_named(saved):
    newer = saved[:16] + (99).to_bytes(4, "little") + saved[20:]
    with pytest.raises(ValueError, match="version 99"):
        MomentAccumulator.from_bytes(newer)


@pytest.mark.parametrize("data", [b"", b"moefast", bytes(500), pickle.dumps({"a": 1})])
def test_other_bytes_are_no_accumulator(data):
    with pytest.raises(ValueError, match="not a moefast moment accumulator"):
        MomentAccumulator.from_bytes(data)
