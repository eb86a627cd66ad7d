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


# One interpreter measures all cases: memory that is free goes back to the system, and only what is in use counts.
MEASURES = """
import sys
import numpy as np
from moefast import MomentAccumulator
from moefast.transforms import PolynomialTransform

rng = np.random.default_rng(0)


def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def peak_of(work):
    open("/proc/self/clear_refs", "w").write("5")  # the peak so far is forgotten
    before = status("VmRSS")
    kept = work()
    return status("VmHWM") - before


def rows(n, d, dtype):
    return rng.normal(size=(n, d)).astype(dtype), rng.normal(size=n).astype(dtype)


def polynomial(wanted):
    return PolynomialTransform((0.0, 0.0, 0.0, 1.0), 6.0, 3) if wanted else None
"""


def measured(script, cases):
    """Run the script's function `case` for each of the cases; return the pairs of numbers that it prints."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "0"}
    script = f"{MEASURES}\n{script}\nfor arguments in {cases!r}:\n    case(*arguments)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    return [tuple(map(float, line.split())) for line in done.stdout.splitlines()]


PEAK = """
def case(d, order, dtype, n_threads, transform):
    X, y = rows(2 * 4096 + 50, d, dtype)
    MomentAccumulator(2, 2, dtype).update(X[:, :2], y)

    def work():
        accumulator = MomentAccumulator(d, order, dtype, n_threads, transform=polynomial(transform))
        # Rows that wait, a block they fill, one straight from X; again a block of both, and rows that wait.
        return accumulator.update(X[:1000], y[:1000]).update(X, y).update(X[:3100], y[:3100])

    print(peak_of(work), MomentAccumulator(d, order, dtype, n_threads, transform=polynomial(transform)).memory)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
def test_an_update_keeps_to_its_memory():
    cases = [
        (60, 4, "float64", 1, False),
        (60, 4, "float32", 2, False),
        (80, 4, "float64", 1, True),
        (150, 3, "float64", 2, False),
    ]
    for case, (peak, memory) in zip(cases, measured(PEAK, cases), strict=True):
        # The allocator and the stacks of threads need some; besides, nothing.
        assert 0.6 * memory < peak < memory + 4e6, case


BESIDE = """
asked = []
sys.modules["moefast.moments.accumulator"].refuse_too_large = lambda *a: asked.append(a[2])


def beside(d, order, dtype, transform, names):
    X, y = rows(4096 + 3000, d, dtype)
    P = polynomial(transform)
    one, two = (MomentAccumulator(d, order, dtype, 1, transform=P).update(X, y) for _ in range(2))
    works = {"snapshot": one._snapshot, "to_bytes": one.to_bytes, "merge": lambda: one.merge(two)}
    for name in names:
        asked.clear()
        yield peak_of(works[name])
        yield asked[0]


def case(d, *arguments):
    list(beside(2, *arguments))  # what is taken once
    print(*beside(d, *arguments))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
def test_merge_snapshot_and_bytes_keep_to_theirs():
    works = ["snapshot", "to_bytes", "merge"]
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        # Free-threaded Python copies bytes that grow, which takes more than it is asked for.
        works.remove("to_bytes")
    sums = [(60, 4, "float64", False), (60, 4, "float32", False), (80, 4, "float64", True)]
    for case, numbers in zip(sums, measured(BESIDE, [(*case, works) for case in sums]), strict=True):
        for name, peak, memory in zip(works, numbers[::2], numbers[1::2], strict=True):
            assert 0.6 * memory < peak < memory + 4e6, (case, name)


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
