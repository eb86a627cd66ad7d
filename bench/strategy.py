"""One pass or two: what each takes, what the cost model says, and whether it chooses right.

CPU time of one thread, minimum of several runs, of forming T3 (or T4) along q whitened directions.

    python bench/strategy.py [--order 4]
"""

import argparse
import time

import one_thread

one_thread.pin()

# ruff: noqa: E402 - the threads have to be pinned first
import numpy as np
from tabulate import tabulate

from moefast import MomentAccumulator
from moefast.moments.strategy import choose_strategy, strategy_costs
from moefast.moments.two_pass import projected_score_tensor
from moefast.samples import Samples
from moefast.transforms import PolynomialTransform

CASES = {3: [5, 10, 15, 20, 30, 50, 100, 200], 4: [5, 10, 15, 20, 30, 50]}


def seconds(function, repeats):
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        best = min(best, time.process_time() - start)
    return best, result


def measure(d, q, order):
    """Nanoseconds a row of both strategies, which have to agree."""
    n = 4096 * max(1, min(20, 40_000_000 // (4096 * d ** (order - 1))))
    rng = np.random.default_rng(0)
    X, y, weights = rng.normal(size=(n, d)), rng.normal(size=n), np.ones(n)
    transform = PolynomialTransform((0.0, -3.0, 0.0, 1.0), 6.0, order=order)
    W = np.linalg.qr(rng.normal(size=(d, q)))[0]

    def one_pass():
        moments = MomentAccumulator(d, order, n_threads=1).update(X, y, weights).score_moments()
        return moments.score_tensor(order, transform, W)

    def two_pass():
        moments = MomentAccumulator(d, 2, n_threads=1).update(X, y, weights).score_moments()
        return projected_score_tensor(Samples(X, y, weights), moments, order, transform, W, 1)

    (one, T), (two, projected) = seconds(one_pass, 3), seconds(two_pass, 5)
    np.testing.assert_allclose(projected, T, rtol=0, atol=1e-10 * np.abs(T).max())
    return 1e9 * one / n, 1e9 * two / n


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--order", type=int, default=3, choices=(3, 4))
    order = parser.parse_args().order
    rows = []
    for d in CASES[order]:
        for q in sorted({2, 3, 5, max(2, d // 2)}):
            if q > d or q > 25:
                continue
            one, two = measure(d, q, order)
            costs = strategy_costs(d, q, order)
            chosen = choose_strategy(d, q, order)
            loss = {"one_pass": one, "two_pass": two}[chosen] / min(one, two)
            rows.append([d, q, one, costs["one_pass"], two, costs["two_pass"], one / two, chosen, loss])
    headers = [
        "d",
        "directions",
        "one pass, ns a row",
        "model",
        "two passes",
        "model",
        "ratio",
        "chosen",
        "time lost",
    ]
    print(
        tabulate(
            rows, headers, tablefmt="github", floatfmt=("d", "d", ".0f", ".0f", ".0f", ".0f", ".2f", "", ".2f")
        )
    )


if __name__ == "__main__":
    main()
