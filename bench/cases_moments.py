"""Moments of order 3 and 4: one channel, all channels, float32, share of the FMA peak."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

import baselines
import moefast._core as core
from case import Case, Prepared, Route, optional
from moefast import MomentAccumulator, build_info
from moefast.transforms import PolynomialTransform

POLYNOMIAL = (0.3, -1.0, 0.5, 0.2)


def sizes(n):
    """Return the n of each mode; those that are timed leave no rows waiting for a full block."""
    block = build_info()["super_block_rows"]
    found = {"full": n, "quick": max(block, n // 4), "test": 300}
    if found["full"] % block or found["quick"] % block:
        raise ValueError(f"{n} samples are not whole blocks of {block}: their sums would not be timed")
    return found


@dataclass(frozen=True)
class MomentData:
    """Rows, responses, the weights t = P(y), and some entries (sorted indices) that routes are checked on."""

    X: np.ndarray
    y: np.ndarray
    t: np.ndarray
    order: int
    index: np.ndarray

    def reference(self, weights):
        """Sums of the terms of the entries and of their absolute values, one entry after another."""
        value, scale = np.empty(len(self.index)), np.empty(len(self.index))
        for row, entry in enumerate(self.index):
            terms = weights * np.prod([self.X[:, j] for j in entry], axis=0)
            value[row], scale[row] = terms.sum(), np.abs(terms).sum()
        return value, scale

    def check(self, entries, weights=None, accuracy=1e-12):
        """Assert that `entries` are those of the moment with these weights, by default t."""
        value, scale = self.reference(self.t if weights is None else weights)
        error = np.abs(entries - value)
        assert (error <= accuracy * scale).all(), f"off by {(error / scale).max():.2g} of the absolute terms"


@lru_cache(maxsize=2)
def moment_data(d, order, n):
    """Normal X (n, d) and y (n,), t = P(y), 60 entries with three extreme ones among them."""
    rng = np.random.default_rng(d + order)
    X, y = rng.normal(size=(n, d)), rng.normal(size=n)
    t = np.polynomial.Polynomial(POLYNOMIAL)(y)
    index = np.sort(rng.integers(d, size=(60, order)), axis=1)
    index[:3] = [[0] * order, [d - 1] * order, [0] * (order - 1) + [d - 1]]
    return MomentData(X, y, t, order, index)


def accumulator(d, order, dtype="float64", single=True):
    """Return an empty accumulator of one channel, t = P(y), or of all channels 1, y, .. y^order."""
    transform = PolynomialTransform(POLYNOMIAL, 1.0, order=order) if single else None
    return MomentAccumulator(d, order=order, dtype=dtype, n_threads=1, transform=transform)


def our_moment(data, dtype="float64", passes=1):
    r"""One channel, :math:`\sum_n P(y_n) x_n^{\otimes m}` with its lower orders; `passes` times.

    Timed are the sums, as in the numpy routes; not the dense tensor that is made of them for the check.
    """
    d, order = data.X.shape[1], data.order
    X, y = data.X.astype(dtype), data.y.astype(dtype)

    def call():
        for _ in range(passes):
            result = accumulator(d, order, dtype).update(X, y)
        return result

    def check(result):
        accuracy = 1e-12 if dtype == "float64" else 4e-7
        data.check(baselines.dense_entries(result.raw_moment(order), data.index), accuracy=accuracy)

    return Prepared(call, check)


def our_channels(data):
    r"""All channels :math:`\sum_n y_n^h x_n^{\otimes m}`, h = 0 .. m, and all lower orders, as `fit` does."""
    d, order = data.X.shape[1], data.order

    def check(result):
        for power in range(order + 1):
            entries = baselines.dense_entries(result.raw_moment(order, power), data.index)
            data.check(entries, data.y**power)

    return Prepared(lambda: accumulator(d, order, single=False).update(data.X, data.y), check)


def numpy_moment(function, entries, data, candidates=baselines.CHUNKS, channels=False):
    """A function of baselines.py with its best chunk size; with `channels` for each weight y^h in turn."""
    X, t, order = data.X, data.t, data.order
    n, d = X.shape
    head = min(max(n // 4, 1024), max(2048, int(3e8 / baselines.unique_flops(d, order))), n)
    candidates = [c for c in candidates if c <= head] or [n]
    rows = candidates[0]
    if len(candidates) > 1:
        rows = baselines.best_chunk(lambda rows: function(X[:head], t[:head], order, rows), candidates)
    weights = [data.y**h for h in range(order + 1)] if channels else [t]

    def check(results):
        for weight, result in zip(weights, results, strict=True):
            data.check(entries(result, data.index), weight)

    return Prepared(lambda: [function(X, w, order, rows) for w in weights], check, f"{rows} rows a chunk")


def torch_moment(data):
    """torch.einsum of all operands over chunks, dense."""
    torch = optional("torch")
    torch.set_num_threads(1)
    spec = "n,na,nb,nc->abc" if data.order == 3 else "n,na,nb,nc,nd->abcd"

    def function(X, t, order, rows):
        X, t = torch.from_numpy(X), torch.from_numpy(t)
        total = torch.zeros((X.shape[1],) * order, dtype=torch.float64)
        for s in baselines.chunks(len(X), rows):
            total += torch.einsum(spec, t[s], *[X[s]] * order)
        return total.numpy()

    return numpy_moment(function, baselines.dense_entries, data)


def tensorly_moment(data):
    """The moment is the CP tensor with weights t and factors X', X', .., X': tensorly.cp_to_tensor over chunks."""
    tensorly = optional("tensorly")

    def function(X, t, order, rows):
        parts = (tensorly.cp_to_tensor((t[s], [X[s].T] * order)) for s in baselines.chunks(len(X), rows))
        return sum(parts, start=np.zeros((X.shape[1],) * order))

    return numpy_moment(function, baselines.dense_entries, data)


def fma_peak(data):
    """The time the minimal flops would take at the rate of the calibration kernel: `n` C(d + m - 1, m) FMAs."""
    work = baselines.unique_flops(data.X.shape[1], data.order) * len(data.X)

    def timed(steps):
        start = time.process_time()
        flops = core.fma_peak("float64", steps)
        return time.process_time() - start, flops

    steps = 1000
    while timed(steps)[0] < 0.01:
        steps *= 2

    def call():
        seconds, flops = timed(steps)
        return work * seconds / flops, (seconds, flops)

    def check(measured):
        assert min(measured) > 0

    return Prepared(call, check)


def numpy_route(name, function, entries, asked=None, most=None, blas=True, **options):
    return Route(name, partial(numpy_moment, function, entries, **options), asked, most, blas=blas)


def moment_cases():
    pair, rectangle, dense = baselines.pair_entries, baselines.rectangle_entries, baselines.dense_entries
    ours = Route("moefast", our_moment)
    asked = {
        (3, 20): (8, 5),
        (3, 50): (5.5, 4.5),
        (3, 100): (5, 3.5),
        (4, 20): (5.5, 4),
        (4, 50): (6, 2.1),
        (4, 80): (6, 1.5),
    }
    n = {(3, 20): 262_144, (3, 50): 65_536, (3, 100): 16_384, (4, 20): 131_072, (4, 50): 8192, (4, 80): 8192}
    for (order, d), (against_pairs, against_tuned) in asked.items():
        routes = [
            numpy_route("unique-pair GEMM", baselines.unique_pair_gemm, pair, against_pairs),
            numpy_route("tuned numpy", baselines.middle_index, rectangle, against_tuned),
            numpy_route("tuned numpy, transposed chunks", baselines.middle_index_transposed, rectangle),
        ]
        if (order, d) == (3, 50):
            einsum = partial(baselines.einsum, optimize=True)
            routes += [
                numpy_route("Khatri-Rao GEMM", baselines.khatri_rao_gemm, dense, 9, 16_384),
                numpy_route("np.einsum", baselines.einsum, dense, 150, 2048, False, candidates=(64, 512)),
                numpy_route("np.einsum, optimize=True", einsum, dense, None, 8192, candidates=(64, 256, 1024)),
                Route("torch.einsum", torch_moment, 10, 16_384, optional="torch"),
                Route("tensorly.cp_to_tensor", tensorly_moment, 10, 8192, blas=True, optional="tensorly"),
            ]
        if (order, d) == (4, 50):
            einsum = partial(baselines.einsum, optimize=True)
            routes += [
                numpy_route("np.einsum", baselines.einsum, dense, 25, 32, False, candidates=(32,)),
                numpy_route("np.einsum, optimize=True", einsum, dense, 25, 1024, candidates=(64, 256, 1024)),
                numpy_route("dense GEMM", baselines.khatri_rao_gemm, dense, 20, 2048, candidates=(128, 256, 512)),
            ]
        if (order, d) in ((3, 100), (4, 50)):
            peak = "FMA peak, the ratio is the share of it that we reach"
            least = {"avx512": 0.60, "avx2": 0.70}
            routes.append(Route(peak, fma_peak, least, repeats=15, own_time=True, share=True))
        yield Case(
            f"Moments of order {order}, one channel",
            f"T{order} d={d}",
            sizes(n[order, d]),
            partial(moment_data, d, order),
            ours,
            tuple(routes),
            flops=baselines.unique_flops(d, order),
        )


def channel_cases():
    pair = baselines.pair_entries
    for order, d, n in (
        (3, 10, 262_144),
        (3, 20, 131_072),
        (3, 50, 32_768),
        (4, 10, 131_072),
        (4, 20, 32_768),
        (4, 50, 8192),
    ):
        channels = order + 1
        passes = Route(f"{channels} single-channel passes of ours", partial(our_moment, passes=channels), 1 / 0.9)
        numpy = numpy_route(
            "unique-pair GEMM, channel by channel", baselines.unique_pair_gemm, pair, channels=True
        )
        yield Case(
            "Raw moments as `fit` uses them: all channels, all lower orders",
            f"order {order}, {channels} channels, d={d}",
            sizes(n),
            partial(moment_data, d, order),
            Route("moefast", our_channels),
            (passes, numpy),
            flops=channels * baselines.unique_flops(d, order),
        )


def float32_cases():
    for order, d, n in ((3, 50, 65_536), (3, 100, 16_384), (4, 30, 32_768), (4, 50, 8192), (4, 80, 8192)):
        yield Case(
            "float32 beside float64",
            f"T{order} d={d}, float32",
            sizes(n),
            partial(moment_data, d, order),
            Route("moefast, float32", partial(our_moment, dtype="float32")),
            (Route("moefast, float64", our_moment, 1.5),),
            flops=baselines.unique_flops(d, order),
        )


def float32_error(order, d, n, shift=0.0):
    """Return the largest error of a float32 entry as a share of the sum of its absolute terms.

    Against float64 sums of the same float32 data, all unique entries; `shift` is the mean of the features.
    """
    rng = np.random.default_rng(n)
    X, y = (rng.normal(size=(n, d)) + shift).astype(np.float32), rng.normal(size=n).astype(np.float32)
    found = accumulator(d, order, "float32").update(X, y).raw_moment(order)
    X, t = X.astype(np.float64), np.polynomial.Polynomial(POLYNOMIAL)(y.astype(np.float64))
    exact = baselines.unique_pair_gemm(X, t, order, 512)
    terms = baselines.unique_pair_gemm(np.abs(X), np.abs(t), order, 512)
    i, j = np.triu_indices(d)
    error = np.abs((found[i, j] if order == 3 else found[i, j][:, i, j]) - exact)
    return float((error / terms).max())


def float32_data(mode):
    """Return (order, d, n, shift) of the errors that are reported: n up to 1e5, 4096 in tests, else 1e4."""
    most = {"full": 100_000, "quick": 10_000, "test": 4096}[mode]
    return [
        (order, d, n, shift)
        for order, d in ((3, 50), (4, 30))
        for n in (1, 30, 1000, 4096, 10_000, 100_000)
        for shift in (0.0, 2.0)
        if n <= most
    ]


def float32_bound(n):
    """Return the largest share asked for: 4e-7, from 10 000 samples on 1e-7."""
    return 4e-7 if n < 10_000 else 1e-7
