"""Ctrl-C within single steps that are long: large systems of EM, and moments of many features.

Seconds on the clock say little on a machine that others use too. What is bounded is the processor time between the
signal and its arrival, and by a fraction of what the whole step takes.
"""

import signal
import threading
import time

import numpy as np
import pytest

from moefast import MomentAccumulator, _core
from moefast.moments.scores import score_correction


class Interrupt:
    """Sends Ctrl-C after a while, and knows the processor time spent since."""

    def __init__(self):
        self.sent = None
        self.timer = None

    def after(self, seconds):
        def send():
            self.sent = time.process_time()
            signal.raise_signal(signal.SIGINT)

        self.timer = threading.Timer(seconds, send)
        self.timer.start()

    def spent(self):
        return time.process_time() - self.sent


@pytest.fixture
def interrupt():
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt = Interrupt()
    try:
        yield interrupt
    finally:
        if interrupt.timer is not None:
            interrupt.timer.cancel()
            interrupt.timer.join()
        signal.signal(signal.SIGINT, previous)


# The Hessian of the gates has 2402 rows and rank 600 at most: with Eigen's decomposition that is twenty seconds.
@pytest.mark.parametrize("accelerate", [True, False])
def test_an_interrupt_gets_out_of_a_large_solve_of_em(interrupt, accelerate):
    rng = np.random.default_rng(0)
    n, d, k = 300, 1200, 3
    X, y = rng.normal(size=(n, d)), rng.normal(size=n)
    settings = _core.EmSettings(max_iter=1, tol=0.0, variance_floor=1e-6, accelerate=accelerate)
    start = np.zeros((k, d + 1)), np.zeros((k, d + 1)), np.ones(k)
    data = _core.EmData(X, y, np.ones(n))
    interrupt.after(1.5)
    with pytest.raises(KeyboardInterrupt):
        _core.em_run(data, [(*start, rng.dirichlet(np.ones(k), size=n), None)], settings)
    assert interrupt.spent() < 2


def test_an_interrupt_gets_out_of_the_sum_of_the_rows_that_wait(interrupt):
    rng = np.random.default_rng(0)
    many_features = MomentAccumulator(350, n_threads=1).update(rng.normal(size=(4000, 350)), rng.normal(size=4000))
    interrupt.after(0.3)
    with pytest.raises(KeyboardInterrupt):
        many_features.score_moments()
    assert interrupt.spent() < 2


def test_an_interrupt_gets_out_of_a_projection_on_all_directions(interrupt):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(10, 400))
    accumulator = _core.Accumulator("float64", 400, 3, [], 0.0)
    accumulator.update(X, X[:, 0], None, 1)
    sums, directions = accumulator.snapshot(), rng.normal(size=(401, 400))
    interrupt.after(0.5)
    with pytest.raises(KeyboardInterrupt):
        sums.contract([0.0, 0.0, 0.0, 1.0], directions)
    assert interrupt.spent() < 2


@pytest.mark.parametrize("order", [3, 4])
def test_the_correction_in_parts_has_the_bits_of_the_whole(order):
    rng = np.random.default_rng(0)
    q = 5
    moments, gram = rng.normal(size=(q + 1,) * order), rng.normal(size=(q, q))
    top = moments[(slice(q),) * order]
    if order == 3:
        term = np.multiply.outer(moments[:q, q, q], gram)
        whole = top - (term + term.transpose(1, 0, 2) + term.transpose(1, 2, 0))
    else:
        pairs, both = np.multiply.outer(moments[:q, :q, q, q], gram), np.multiply.outer(gram, gram)
        places = ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 2, 1), (2, 1, 0, 3), (3, 1, 2, 0), (2, 3, 0, 1))
        constant = both + both.transpose(0, 2, 1, 3) + both.transpose(0, 3, 2, 1)
        whole = top - sum(pairs.transpose(p) for p in places) + moments[q, q, q, q] * constant
    np.testing.assert_array_equal(score_correction(moments, gram), whole)


def test_bytes_of_more_than_one_part_make_the_round_trip():
    # 21 MB a channel: the checksum goes over many parts.
    rng = np.random.default_rng(0)
    many_features = MomentAccumulator(250, n_threads=1).update(rng.normal(size=(5, 250)), rng.normal(size=5))
    data = many_features.to_bytes()
    assert MomentAccumulator.from_bytes(data).to_bytes() == data
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 1
    with pytest.raises(ValueError, match="checksum"):
        MomentAccumulator.from_bytes(bytes(damaged))
