"""What an accumulator needs: said beforehand, refused when it would not fit, kept while it works."""

import os
import pickle
import subprocess
import sys
import sysconfig
from math import comb
from types import SimpleNamespace

import numpy as np
import pytest

from moefast import MomentAccumulator
from moefast.transforms import PolynomialTransform

CUBE = PolynomialTransform((0.0, 0.0, 0.0, 1.0), 6.0, order=3)


def _available(monkeypatch, n_bytes):
    monkeypatch.setattr("moefast.moments.memory.psutil.virtual_memory", lambda: SimpleNamespace(available=n_bytes))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_does_not_fit_is_refused_with_the_figure_and_the_alternative(monkeypatch, dtype):
    _available(monkeypatch, 10e9)
    # C(204, 4) = 70 058 751 numbers of 8 bytes in 5 channels: 2.8 GB for one copy.
    with pytest.raises(MemoryError) as caught:
        MomentAccumulator(200, 4, dtype, n_threads=1)
    message = str(caught.value)
    assert message.startswith("moments of order 4 of 200 features need 11.8 GB, and 10 GB are available")
    assert "projected_moments" in message
    assert "two_pass" in message
    assert MomentAccumulator(20, 4, dtype).memory < 1e9


def test_one_channel_may_fit_where_five_do_not(monkeypatch):
    needed = MomentAccumulator(60, 4, n_threads=1).memory
    _available(monkeypatch, needed - 1)
    with pytest.raises(MemoryError, match="order 4 of 60 features"):
        MomentAccumulator(60, 4, n_threads=1)
    # A fifth of the sums; panels and pending rows are the same. Four channels less are four states less, each with
    # a copy and 2.2 times as much for the block in work.
    one = MomentAccumulator(60, 4, n_threads=1, transform=CUBE).memory
    assert needed / 5 < one
    assert needed - one == pytest.approx(4 * 4.2 * 8 * comb(64, 4), rel=0.05)
    _available(monkeypatch, needed + 1)
    assert MomentAccumulator(60, 4, n_threads=1).memory == needed


@pytest.mark.parametrize(("d", "order"), [(4000, 4), (4000, 3)])
def test_sizes_beyond_any_machine_are_refused_at_once(d, order):
    with pytest.raises(MemoryError, match=rf"order {order} of {d} features need [\d.e+]+ GB"):
        MomentAccumulator(d, order)


PEAK = """
import sys
import sysconfig
import numpy as np
from moefast import MomentAccumulator
from moefast.transforms import PolynomialTransform

d, order, dtype, n_threads, transform = eval(sys.argv[1])
P = PolynomialTransform((0.0, 0.0, 0.0, 1.0), 6.0, 3) if transform else None
rng = np.random.default_rng(0)
n = 2 * 4096 + 50
X, y = rng.normal(size=(n, d)).astype(dtype), rng.normal(size=n).astype(dtype)
MomentAccumulator(2, 2, dtype).update(X[:, :2], y)


def peak():
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


open("/proc/self/clear_refs", "w").write("5")  # the peak so far is forgotten
before = peak()
accumulator = MomentAccumulator(d, order, dtype, n_threads, transform=P)
accumulator.update(X[:1000], y[:1000]).update(X, y).update(X, y)
print(peak() - before, accumulator.memory)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
@pytest.mark.parametrize(
    "case",
    [
        (60, 4, "float64", 1, False),
        (60, 4, "float32", 2, False),
        (80, 4, "float64", 1, True),
        (150, 3, "float64", 2, False),
    ],
)
def test_an_update_keeps_to_its_memory(case):
    done = subprocess.run([sys.executable, "-c", PEAK, repr(case)], capture_output=True, text=True, check=True)
    peak, memory = map(float, done.stdout.split())
    # The allocator and the stacks of threads need some; besides, nothing.
    assert 0.6 * memory < peak < memory + 4e6


BESIDE = """
import copy
import sys
import sysconfig
import numpy as np
from moefast import MomentAccumulator
from moefast.transforms import PolynomialTransform

d, order, dtype, transform, work = eval(sys.argv[1])
P = PolynomialTransform((0.0, 0.0, 0.0, 1.0), 6.0, 3) if transform else None
rng = np.random.default_rng(0)
X, y = rng.normal(size=(4096 + 3000, d)).astype(dtype), rng.normal(size=4096 + 3000).astype(dtype)


def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def do(a, b):
    return {"merge": lambda: a.merge(b), "snapshot": lambda: a._snapshot(), "to_bytes": a.to_bytes}[work]()


do(*(MomentAccumulator(2, order, dtype, 1, transform=P).update(X[:, :2], y) for _ in range(2)))
one, two = (MomentAccumulator(d, order, dtype, 1, transform=P).update(X, y) for _ in range(2))
asked = []
one._refuse_too_large = two._refuse_too_large = lambda *a: asked.append(a)
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
kept = do(one, two)
peak = status("VmHWM") - before
del one._refuse_too_large
sys.modules["moefast.moments.accumulator"].refuse_too_large = lambda *a: print(peak, a[2])
one._refuse_too_large(*asked[0])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
@pytest.mark.parametrize("work", ["merge", "snapshot", "to_bytes"])
@pytest.mark.parametrize("sums", [(60, 4, "float64", False), (60, 4, "float32", False), (80, 4, "float64", True)])
def test_merge_snapshot_and_bytes_keep_to_theirs(sums, work):
    if work == "to_bytes" and sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("free-threaded Python copies bytes that grow, which takes more than it is asked for")
    # Memory that is free goes back to the system, so that only what is in use counts.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "0"}
    command = [sys.executable, "-c", BESIDE, repr((*sums, work))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    peak, memory = map(float, done.stdout.split())
    assert 0.6 * memory < peak < memory + 4e6


def test_what_does_not_fit_beside_the_state_is_refused_and_nothing_changes(monkeypatch):
    rng = np.random.default_rng(0)
    one, two = (MomentAccumulator(20, 4).update(rng.normal(size=(50, 20)), rng.normal(size=50)) for _ in range(2))
    before = one.to_bytes()
    n_bytes = 8 * 5 * 10626  # C(24, 4) numbers in 5 channels
    work = {
        "to be merged": (lambda: one.merge(two), 5.5),
        "to be written": (lambda: pickle.dumps(one), 1.5),
        "to be looked at": (one.score_moments, 2.5),
    }
    for purpose, (do, n_states) in work.items():
        _available(monkeypatch, n_states * n_bytes)
        with pytest.raises(MemoryError, match=rf"order 4 of 20 features need [\d.]+ GB more {purpose}"):
            do()
    _available(monkeypatch, 1e12)
    assert one.to_bytes() == before
    for do, _ in work.values():
        do()


# ---- rows far into memory --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_beyond_two_to_the_31_elements_and_32_bytes(dtype, tmp_path):
    """The file has holes but for these rows: it takes no space and no memory."""
    big = np.memmap(tmp_path / "sparse", dtype, "w+", shape=3_000_000_000)
    step = 990_000_000  # elements from row to row; the third and fourth begin beyond 2^30 and 2^31
    X = np.lib.stride_tricks.as_strided(big, (4, 3), (step * big.itemsize, big.itemsize))
    y = big[10 :: step - 1][:4]
    rng = np.random.default_rng(0)
    X[...], y[...] = rng.normal(size=X.shape), rng.normal(size=4)
    assert X[3, 0] == big[3 * step] != 0
    columns = np.lib.stride_tricks.as_strided(big, (3, 4), (big.itemsize, step * big.itemsize))
    for rows, response in ((X, y), (X[::-1], y[::-1]), (columns, y[:3])):
        found = MomentAccumulator(rows.shape[1], 4, np.dtype(dtype).name).update(rows, response)
        near = MomentAccumulator(rows.shape[1], 4, np.dtype(dtype).name).update(rows.copy(), response.copy())
        assert found.to_bytes() == near.to_bytes()
