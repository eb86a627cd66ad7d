"""Moments beside the limit of the machine: their share of the multiply-add peak, fused channels, single passes.

One thread, CPU time. The calibration kernel, one channel, and all order + 1 channels at once take turns; the
least time of each counts, and every answer is checked. The share counts two flops for every unique entry of the
highest order and sample: the lower orders, centring and merging come on top. "Fused" is the time of all channels
over that of as many single-channel passes: 1 at most is the aim.

    python bench/peak_share.py [--isa avx512 avx2 baseline] [--orders 3 4] [--dims 50 100] [--turns 7]
"""

import argparse

import one_thread

one_thread.pin()

# ruff: noqa: E402 - the threads have to be pinned first
import time

from tabulate import tabulate

import baselines
import cases_moments
import moefast
import moefast._core as core

DIMS = (5, 10, 20, 30, 50, 80, 100)
# Least shares asked for, by (order, d) and instruction set.
ASKED = {(3, 50), (3, 100), (4, 50), (4, 80)}
LEAST = {"avx512": 0.70, "avx2": 0.75}
# Multiply-adds of a single pass: some hundredths of a second.
WORK = 1.5e9


def timed(prepared, own_time=False):
    """Call once; return the CPU seconds and the answer."""
    start = time.process_time()
    answer = prepared.call()
    seconds = time.process_time() - start
    return answer if own_time else (seconds, answer)


def measure(order, d, turns):
    """Return n, GF/s of a single pass, its share of the peak and the time of fused channels over single passes."""
    block = moefast.build_info()["super_block_rows"]
    flops = baselines.unique_flops(d, order)
    n = block * int(min(max(WORK / flops / block, 1), 40))
    data = cases_moments.moment_data(d, order, n)
    routes = {
        "peak": (cases_moments.fma_peak(data), True),
        "single": (cases_moments.our_moment(data), False),
        "fused": (cases_moments.our_channels(data), False),
    }
    best = {}
    for turn in range(turns):
        for name, (prepared, own_time) in routes.items():
            seconds, answer = timed(prepared, own_time)
            best[name] = min(best.get(name, seconds), seconds)
            if turn == 0:
                prepared.check(answer)
            del answer
    rate = flops * n / best["single"] / 1e9
    return n, rate, best["peak"] / best["single"], best["fused"] / ((order + 1) * best["single"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", nargs="+", default=moefast.build_info()["instruction_sets"])
    parser.add_argument("--orders", nargs="+", type=int, default=[2, 3, 4], choices=(2, 3, 4))
    parser.add_argument("--dims", nargs="+", type=int, default=DIMS)
    parser.add_argument("--turns", type=int, default=7)
    arguments = parser.parse_args()
    for isa in arguments.isa:
        core.use_instruction_set(isa)
        rows = []
        for order in arguments.orders:
            for d in arguments.dims:
                n, rate, share, fused = measure(order, d, arguments.turns)
                least = LEAST.get(isa) if (order, d) in ASKED else None
                aim = f"{100 * least:.0f} %" if least else ""
                reached = ("yes" if share >= least else "no") if least else ""
                rows.append([order, d, n, f"{rate:.1f}", f"{100 * share:.0f} %", aim, reached, f"{fused:.2f}"])
        headers = ["order", "d", "n", "GF/s, one channel", "share of the peak", "aim", "reached", "fused / single"]
        print(f"\n**{isa}**\n")
        print(tabulate(rows, headers, tablefmt="github", disable_numparse=True), flush=True)


if __name__ == "__main__":
    main()
