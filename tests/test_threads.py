"""The thread rule, work in a forked child, and Ctrl-C during long work."""

import multiprocessing
import os
import signal
import threading

import numpy as np
import pytest

import moefast
from moefast import MomentAccumulator, _core, build_info
from moefast.threads import resolve_threads
from moefast.transforms import PolynomialTransform

BLOCK = build_info()["super_block_rows"]


# ---- one rule for the number of threads ----------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 7, np.int64(3), 1000])
def test_a_number_is_taken_as_it_is(n_threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert resolve_threads(n_threads) == n_threads
    assert type(resolve_threads(n_threads)) is int


@pytest.mark.parametrize(
    ("n_threads", "error"),
    [(0, ValueError), (-1, ValueError), (True, TypeError), (2.0, TypeError), ("2", TypeError)],
)
def test_other_numbers_are_refused(n_threads, error):
    with pytest.raises(error, match="n_threads must be"):
        resolve_threads(n_threads)
    with pytest.raises(error, match="n_threads must be"):
        MomentAccumulator(1, n_threads=n_threads)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("1", 1), ("3", 3), (" 2 ,4", 2), ("9", 4), ("", 4), ("0", 4), ("-2", 4), ("many", 4), (None, 4)],
)
def test_none_means_the_processors_available_or_fewer_by_the_environment(limit, expected, monkeypatch):
    monkeypatch.setattr("moefast.threads.cpu_count", lambda: 4)
    if limit is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert resolve_threads(None) == expected
    if build_info()["openmp"]:
        assert moefast.build_info()["threads"] == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity mask")
def test_none_respects_the_affinity_mask(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert resolve_threads(None) == 1
    finally:
        os.sched_setaffinity(0, allowed)


# ---- fork ----------------------------------------------------------------------------------------------


def _update_in_child(connection, X, y, before, order):
    fresh = MomentAccumulator(X.shape[1], order, n_threads=4).update(X, y)
    going_on = MomentAccumulator.from_bytes(before, n_threads=4).update(X, y)
    connection.send((fresh.to_bytes(), going_on.to_bytes()))
    connection.close()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
# The warning tells of the very thing that is tested here.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize(("d", "order", "n"), [(3, 3, 4 * BLOCK + 9), (40, 4, BLOCK + 9)])
def test_a_child_forked_after_threads_had_run_computes_the_same(d, order, n):
    # The OpenMP threads of the parent do not exist in the child; waiting for them would never end.
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, d)), rng.normal(size=n)
    accumulator = MomentAccumulator(d, order, n_threads=4).update(X, y)
    before = accumulator.to_bytes()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_update_in_child, args=(sender, X, y, before, order), daemon=True)
    child.start()
    sender.close()
    try:
        assert receiver.poll(60), "the child hangs"
        fresh, going_on = receiver.recv()
    finally:
        child.kill()
        child.join()
    assert fresh == before
    assert going_on == accumulator.update(X, y).to_bytes()  # and the parent still has its threads


# ---- Python threads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2])
def test_reads_while_another_thread_updates_see_whole_updates(n_threads):
    X = np.ones((2 * BLOCK + 100, 5))
    accumulator = MomentAccumulator(5, 4, n_threads=n_threads)
    writer = threading.Thread(target=lambda: [accumulator.update(X, X[:, 0]) for _ in range(20)])
    writer.start()
    seen = set()
    while writer.is_alive():
        seen.add(MomentAccumulator.from_bytes(accumulator.to_bytes()).n_samples % len(X))
        if accumulator.n_samples:
            assert accumulator.raw_moment(0)[()] % len(X) == accumulator.raw_moment(4)[0, 0, 0, 0] % len(X) == 0
    writer.join()
    assert seen == {0}
    assert accumulator.n_samples == 20 * len(X)


def test_updates_from_several_python_threads_all_count():
    # Whole blocks, so that one update is long enough for the others to come in between.
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 5, size=(BLOCK, 8)).astype(float), rng.integers(0, 5, size=BLOCK).astype(float)
    accumulator = MomentAccumulator(8, n_threads=1)
    threads = [threading.Thread(target=lambda: [accumulator.update(X, y) for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert accumulator.n_samples == 40 * BLOCK
    np.testing.assert_allclose(accumulator.raw_moment(2, 1), 40 * np.einsum("n,na,nb->ab", y, X, X), rtol=1e-12)


# ---- Ctrl-C ----------------------------------------------------------------------------------------------


@pytest.fixture
def interrupted():
    """Do some work into which Ctrl-C comes after a quarter of a second, whatever our shell does with it."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.25, signal.raise_signal, [signal.SIGINT])

    def run(work):
        timer.start()
        work()

    try:
        yield run
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGINT, previous)


# Signals are looked at within a block and between blocks: one case of long blocks, one of many short ones.
@pytest.mark.parametrize(("d", "n", "seen"), [(60, 1_000_000, 10), (2, 3_000_000_000, BLOCK + 10)])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_interrupted_update_changes_nothing(interrupted, n_threads, d, n, seen):
    # The rows are one row seen many times: they take no memory, but seconds to minutes of work.
    rng = np.random.default_rng(0)
    accumulator = MomentAccumulator(d, n_threads=n_threads).update(
        rng.normal(size=(seen, d)), rng.normal(size=seen)
    )
    before = accumulator.to_bytes()
    X, y = np.broadcast_to(rng.normal(size=d), (n, d)), np.broadcast_to(1.0, n)
    with pytest.raises(KeyboardInterrupt):
        interrupted(lambda: accumulator.update(X, y))
    assert accumulator.to_bytes() == before
    assert accumulator.n_samples == seen


# All rows are one block of some seconds, the second with the slowest kernels: an interrupt that is not looked for
# within it comes when the block is in.
@pytest.mark.parametrize(("d", "transform"), [(95, None), (120, PolynomialTransform((0.0, 1.0), 1.0, 2))])
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_interrupt_is_heard_within_a_block_in_order_4(interrupted, n_threads, dtype, d, transform):
    seen = np.random.default_rng(0).normal(size=(10, d))
    accumulator = MomentAccumulator(d, 4, dtype, n_threads, transform=transform).update(seen, seen[:, 0])
    before = accumulator.to_bytes()
    X, y = np.broadcast_to(seen[0].astype(dtype), (BLOCK, d)), np.broadcast_to(np.dtype(dtype).type(1), BLOCK)
    fastest = build_info()["instruction_set"]
    try:
        _core.use_instruction_set("baseline" if transform else fastest)
        with pytest.raises(KeyboardInterrupt):
            interrupted(lambda: accumulator.update(X, y))
    finally:
        _core.use_instruction_set(fastest)
    assert accumulator.to_bytes() == before


def test_an_interrupt_reaches_em_though_its_passes_are_short(interrupted):
    """A pass over these rows takes milliseconds, but on pure noise EM needs thousands of them."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(8000, 15)), rng.normal(size=8000)
    model = moefast.MixtureOfExpertsRegressor(10, n_init=1, start="random", random_state=0, n_threads=1)
    model.set_params(tol=1.0).fit(X, y)
    before = model.coef_
    model.set_params(tol=0.0, max_iter=10**9)
    with pytest.raises(KeyboardInterrupt):
        interrupted(lambda: model.fit(X, y))
    np.testing.assert_array_equal(model.coef_, before)


def test_an_interrupt_reaches_a_contraction_with_many_vectors(interrupted):
    rng = np.random.default_rng(0)
    tensor = moefast.tensors.SymmetricTensor.from_canonical(rng.normal(size=123_410), 40, 4)
    U = rng.normal(size=(100_000, 40))
    with pytest.raises(KeyboardInterrupt):
        interrupted(lambda: tensor.pair_gradient(U, U))


def test_an_interrupt_reaches_the_power_method(interrupted):
    T = np.random.default_rng(0).normal(size=(60, 60, 60))
    T = sum(T.transpose(p) for p in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
    with pytest.raises(KeyboardInterrupt):
        interrupted(
            lambda: moefast.tensors.power_iteration(T, 5, n_restarts=1, max_iter=200_000, tol=0.0, random_state=0)
        )


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="interval timers are POSIX")
def test_a_signal_handler_cannot_lock_itself_out():
    """A handler that looks at the accumulator being updated gets an error; waiting would be for ever."""
    accumulator = MomentAccumulator(60, n_threads=1)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60_000, 60)), rng.normal(size=60_000)
    before = accumulator.to_bytes()
    previous = signal.signal(signal.SIGALRM, lambda *_: accumulator.n_samples)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(RuntimeError, match="signal handler"):
            accumulator.update(X, y)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert accumulator.to_bytes() == before
