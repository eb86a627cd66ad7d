"""The comparisons: what is timed, on which data, against what, and how each answer is checked.

One definition serves the table of ratios (``python bench/ratios.py``) and pytest-benchmark (``pytest bench``).
"""

from __future__ import annotations

import importlib
import inspect
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import baselines
import moefast._core as core
from moefast import MomentAccumulator
from moefast.datasets import make_moe
from moefast.decomposition import power_iteration
from moefast.em import GATE_ALPHA_AUTO, EmOptions, EmProblem
from moefast.transforms import PolynomialTransform


class Missing(Exception):
    """Something a comparison needs is not there: an optional library, or a part of this build."""


@dataclass(frozen=True)
class Prepared:
    """A route on its data, ready to be timed.

    Attributes
    ----------
    call : callable
        What is timed; returns what `check` looks at. With `own_time` it returns (CPU seconds, answer).
    check : callable
        Raises AssertionError for a wrong answer.
    note : str
        What the preparation found, for instance the chunk size.
    """

    call: Callable[[], Any]
    check: Callable[[Any], None]
    note: str = ""


@dataclass(frozen=True)
class Route:
    """One way to do the work of a case.

    Attributes
    ----------
    name : str
    prepare : callable
        Takes the data; not timed. May raise :class:`Missing`.
    asked : float, dict or None
        The least ratio of this route's time to ours; by instruction set where it is a dict.
    most : int or None
        The largest n it is run on; its time is then scaled to that of the case.
    repeats : int
        At least this many times.
    own_time : bool
        `call` measures itself.
    optional : str
        What it needs that may not be installed.
    """

    name: str
    prepare: Callable[[Any], Prepared]
    asked: float | dict[str, float] | None = None
    most: int | None = None
    repeats: int = 3
    own_time: bool = False
    optional: str = ""


@dataclass(frozen=True)
class Case:
    """Our way to do some work beside others.

    Attributes
    ----------
    table, name : str
    n : dict
        Samples (or calls) in mode "full", "quick" and "test".
    make : callable
        The data for n.
    ours : Route
    against : tuple of Route
    parts : int
        Times are divided by it, for instance by the passes of an EM run.
    flops : int or None
        The least flops a sample costs.
    unit : str
        What n counts.
    """

    table: str
    name: str
    n: dict[str, int]
    make: Callable[[int], Any]
    ours: Route
    against: tuple[Route, ...] = field(default_factory=tuple)
    parts: int = 1
    flops: int | None = None
    unit: str = "n"

    def size(self, route: Route, mode: str) -> int:
        """Return the n a route is run on."""
        n = self.n[mode]
        return n if route.most is None else min(n, route.most)


def sizes(n: int, quick: int | None = None, test: int = 300) -> dict[str, int]:
    return {"full": n, "quick": quick or max(4096, n // 4), "test": test}


# ---- moments ----

POLYNOMIAL = (0.3, -1.0, 0.5, 0.2)


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
    rng = np.random.default_rng(d + order)
    X, y = rng.normal(size=(n, d)), rng.normal(size=n)
    t = np.polynomial.Polynomial(POLYNOMIAL)(y)
    index = np.sort(rng.integers(d, size=(60, order)), axis=1)
    index[:3] = [[0] * order, [d - 1] * order, [0] * (order - 1) + [d - 1]]
    return MomentData(X, y, t, order, index)


def accumulator(d, order, dtype="float64", single=True):
    """Return an empty accumulator of one channel, t = P(y), or of all channels 1, y, .. y^order."""
    if order == 4 and not _has_order_4():
        raise Missing("MomentAccumulator(order=4)")
    if not single:
        return MomentAccumulator(d, order=order, dtype=dtype, n_threads=1)
    if "transform" not in inspect.signature(MomentAccumulator).parameters:
        raise Missing("MomentAccumulator(transform=)")
    transform = PolynomialTransform(POLYNOMIAL, 1.0, order=order)
    return MomentAccumulator(d, order=order, dtype=dtype, n_threads=1, transform=transform)


@lru_cache
def _has_order_4():
    try:
        return MomentAccumulator(2, order=4).order == 4
    except ValueError:
        return False


def our_moment(data, dtype="float64", passes=1):
    """One channel; with `passes` as many times as there are channels."""
    d, order = data.X.shape[1], data.order
    X, y = data.X.astype(dtype), data.y.astype(dtype)
    accumulator(d, order, dtype)

    def call():
        for _ in range(passes):
            result = accumulator(d, order, dtype).update(X, y)
        return result

    def check(result):
        accuracy = 1e-12 if dtype == "float64" else 4e-7
        data.check(baselines.dense_entries(result.raw_moment(order), data.index), accuracy=accuracy)

    return Prepared(call, check)


def our_channels(data):
    """All channels y^0 .. y^order and all orders below, which is what `fit` accumulates."""
    d, order = data.X.shape[1], data.order
    accumulator(d, order, single=False)

    def check(result):
        for power in range(order + 1):
            entries = baselines.dense_entries(result.raw_moment(order, power), data.index)
            data.check(entries, data.y**power)

    return Prepared(lambda: accumulator(d, order, single=False).update(data.X, data.y), check)


def numpy_moment(function, entries, data, candidates=baselines.CHUNKS, channels=False):
    """A function of baselines.py with its best chunk size; with `channels` for each weight y^h in turn."""
    X, t, order = data.X, data.t, data.order
    n, d = X.shape
    head = min(n, max(2048, int(3e8 / baselines.unique_flops(d, order))))
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


def fma_peak(data, dtype="float64"):
    """The time the minimal flops would take at the rate of the calibration kernel."""
    if not hasattr(core, "fma_peak"):
        raise Missing("_core.fma_peak")
    work = baselines.unique_flops(data.X.shape[1], data.order) * len(data.X)

    def timed(steps):
        start = time.process_time()
        flops = core.fma_peak(dtype, steps)
        return time.process_time() - start, flops

    steps = 1000
    while timed(steps)[0] < 0.02:
        steps *= 2

    def call():
        seconds, flops = timed(steps)
        return work * seconds / flops, flops

    def check(flops):
        assert flops > 0

    return Prepared(call, check)


def optional(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Missing(name) from None


def numpy_route(name, function, entries, asked=None, most=None, **options):
    return Route(name, lambda data: numpy_moment(function, entries, data, **options), asked, most)


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
    least_share = {"avx512": 0.60, "avx2": 0.70}
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
                numpy_route("np.einsum", baselines.einsum, dense, 150, 2048, candidates=(64, 512)),
                numpy_route("np.einsum, optimize=True", einsum, dense, None, 8192, candidates=(64, 256, 1024)),
                Route("torch.einsum", torch_moment, 10, 16_384, optional="torch"),
                Route("tensorly.cp_to_tensor", tensorly_moment, 10, 8192, optional="tensorly"),
            ]
        if (order, d) == (4, 50):
            einsum = partial(baselines.einsum, optimize=True)
            routes += [
                numpy_route("np.einsum", baselines.einsum, dense, 25, 32, candidates=(32,)),
                numpy_route("np.einsum, optimize=True", einsum, dense, 25, 1024, candidates=(64, 256, 1024)),
                numpy_route("dense GEMM", baselines.khatri_rao_gemm, dense, 20, 2048, candidates=(128, 256, 512)),
            ]
        if (order, d) in ((3, 100), (4, 50)):
            routes.append(Route("FMA peak (ratio: share of it)", fma_peak, least_share, repeats=7, own_time=True))
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


def float32_errors(order, d, n, shift=0.0):
    """Return the largest error of a float32 entry as a share of the sum of its absolute terms.

    Against float64 sums of the same float32 data, all unique entries; `shift` is the mean of the features.
    """
    rng = np.random.default_rng(n)
    X, y = (rng.normal(size=(n, d)) + shift).astype(np.float32), rng.normal(size=n).astype(np.float32)
    found = accumulator(d, order, "float32").update(X, y).raw_moment(order)
    X = X.astype(np.float64)
    t = np.polynomial.Polynomial(POLYNOMIAL)(y.astype(np.float64))
    exact = baselines.unique_pair_gemm(X, t, order, 512)
    scale = baselines.unique_pair_gemm(np.abs(X), np.abs(t), order, 512)
    i, j = np.triu_indices(d)
    pairs = found[i, j] if order == 3 else found[i, j][:, i, j]
    return float((np.abs(pairs - exact) / scale).max())


FLOAT32_ERRORS = [
    (order, d, n, shift)
    for order, d in ((3, 50), (4, 30))
    for n in (1, 30, 1000, 4096, 10_000, 100_000)
    for shift in (0.0, 2.0)
]


def float32_bound(n):
    return 4e-7 if n < 10_000 else 1e-7


# ---- contractions ----


def packed(T):
    """The symmetric tensor that holds the unique entries of T."""
    try:
        from moefast.tensors import SymmetricTensor
    except ImportError:
        raise Missing("moefast.tensors.SymmetricTensor") from None
    return SymmetricTensor.from_dense(T)


@lru_cache(maxsize=2)
def contraction_data(dim, order, n):
    """A random symmetric tensor, 16 vectors and the images of the first two; `n` is the number of calls."""
    rng = np.random.default_rng(dim)
    A, weights = rng.normal(size=(2 * dim, dim)), rng.normal(size=2 * dim)
    T = baselines.khatri_rao_gemm(A, weights, order, 64).reshape((dim,) * order)
    U = rng.normal(size=(16, dim)) / np.sqrt(dim)
    return T, U, ((U @ A.T) ** (order - 1) * weights) @ A, n


def contraction(data, kind):
    T, U, expected, n = data
    if kind == "ours":
        once = partial(packed(T).apply, U)
    else:
        once = partial(getattr(baselines, kind), T, U)

    def call():
        for _ in range(n):
            found = once()
        return found

    def check(found):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())

    return Prepared(call, check)


def contraction_cases():
    for order, dim, n, asked in ((3, 100, 100, 6), (4, 50, 100, 35)):
        yield Case(
            "Contractions with 16 vectors",
            f"T{order}({', '.join(['I'] + ['u'] * (order - 1))}) d={dim}",
            {"full": n, "quick": n // 5, "test": 1},
            partial(contraction_data, dim, order),
            Route("moefast", partial(contraction, kind="ours")),
            (
                Route("dense numpy, per vector", partial(contraction, kind="contract_each"), asked, 10),
                Route("dense numpy, vectors together", partial(contraction, kind="contract_together"), None, 10),
            ),
            unit="calls",
        )


@lru_cache(maxsize=2)
def power_data(n):
    """Three orthonormal vectors and values in a dense tensor of order 4; n // 4 iterations of tensorly's."""
    rng = np.random.default_rng(4)
    vectors = np.linalg.qr(rng.normal(size=(40, 3)))[0].T
    values = np.array([3.0, 2.0, 1.0])
    return np.einsum("i,ia,ib,ic,id->abcd", values, *[vectors] * 4, optimize=True), values, vectors, n


def check_pairs(values, vectors, found_values, found_vectors):
    order = np.argsort(found_values)[::-1]
    np.testing.assert_allclose(np.asarray(found_values)[order], values, rtol=1e-8)
    np.testing.assert_allclose(np.abs(np.einsum("ia,ia->i", vectors, found_vectors[order])), 1.0, rtol=1e-8)


def our_power(data, pack):
    """11 restarts of n updates for each of 3 pairs, as many as tensorly's 10 repeats and the refinement."""
    T, values, vectors, n = data
    tensor = packed(T) if pack else T
    if not pack:
        packed(np.zeros((1,) * 4))  # without it there is no order 4

    def call():
        return power_iteration(tensor, 3, n_restarts=11, max_iter=n, tol=0.0, random_state=0)

    return Prepared(call, lambda found: check_pairs(values, vectors, found.values, found.vectors))


def tensorly_power(data):
    T, values, vectors, n = data
    optional("tensorly")
    from tensorly.decomposition import symmetric_parafac_power_iteration

    def call():
        np.random.seed(0)  # noqa: NPY002 (tensorly draws from the global generator)
        return symmetric_parafac_power_iteration(T, 3, n_repeat=10, n_iteration=n // 4)

    return Prepared(call, lambda found: check_pairs(values, vectors, found[0], found[1].T))


def power_cases():
    tensorly = Route("tensorly", tensorly_power, 1000, repeats=1, optional="tensorly")
    name = "tensor power, order 4, d=40, rank 3"
    n = {"full": 40, "quick": 8, "test": 8}
    for pack in (True, False):
        yield Case(
            "Tensor power method, 11 starts for each pair, equal update counts",
            name + ("" if pack else ", packed and checked inside"),
            n,
            power_data,
            Route("moefast", partial(our_power, pack=pack)),
            (tensorly if pack else replace(tensorly, asked=None),),
            unit="updates a start",
        )


# ---- EM ----

EM_ITERATIONS = 10


@dataclass(frozen=True)
class EmData:
    """One mixture's data, and a start some way from the truth; in standard units for numpy."""

    X: np.ndarray
    y: np.ndarray
    problem: EmProblem
    start: Any
    clusters: np.ndarray

    def check(self, trace, parameters):
        """Compare with another route's objective after each pass and its parameters at the end."""
        fit = _our_fit(self)
        np.testing.assert_allclose(trace, fit.trace, rtol=1e-9, atol=1e-9 * len(self.y))
        for found, name in zip(
            parameters, ("coef", "intercept", "gate_coef", "gate_intercept", "sigma"), strict=True
        ):
            np.testing.assert_allclose(found, getattr(fit.mixture, name), rtol=1e-6, atol=1e-8)


def _our_fit(data):
    return data.problem.run(data.start, max_iter=EM_ITERATIONS)


@lru_cache(maxsize=2)
def em_data(n):
    X, y, truth = make_moe(n, 10, 3, random_state=0)
    problem = EmProblem(X, y, np.ones(n), EmOptions(tol=0.0, n_threads=1))
    start = truth.to_standard(problem.standardisation)
    start = replace(
        start,
        coef=start.coef + 0.3 * np.random.default_rng(1).normal(size=start.coef.shape),
        sigma=3 * start.sigma,
    )
    return EmData(X, y, problem, start, truth.responsibilities(X, y).argmax(axis=1))


def our_em(data):
    problem = data.problem

    def check(fit):
        assert fit.n_iter == EM_ITERATIONS
        assert (np.diff(fit.trace) >= -1e-9 * abs(fit.trace[-1])).all()
        scale = problem.standardisation
        found = fit.mixture.to_units(scale)
        expected = found.log_density(data.X, data.y).sum() + len(data.y) * np.log(scale.y_scale)
        np.testing.assert_allclose(fit.log_likelihood, expected, rtol=1e-10)

    return Prepared(partial(_our_fit, data), check)


def numpy_em(data, one_pass):
    scale, s = data.problem.standardisation, data.start
    Z, t = scale.features(data.X), scale.response(data.y)
    experts, gates = (np.column_stack(pair) for pair in ((s.coef, s.intercept), (s.gate_coef, s.gate_intercept)))
    start = baselines.EmParameters(experts, gates, s.sigma**2)
    U = np.column_stack([Z, np.ones(len(Z))])
    rows = baselines.best_chunk(lambda rows: one_pass(U, t, start, rows))

    def check(result):
        p, trace = result
        parts = (p.experts[:, :-1], p.experts[:, -1], p.gates[:, :-1], p.gates[:, -1], np.sqrt(p.variance))
        data.check(trace, parts)

    call = partial(baselines.em_run, Z, t, start, EM_ITERATIONS, one_pass, rows, GATE_ALPHA_AUTO)
    return Prepared(call, check, f"{rows} rows a chunk")


FLEXMIX = r"""
suppressMessages(library(flexmix))
M <- read.csv(commandArgs(TRUE)[1])
xs <- setdiff(names(M), c("response", "cluster"))
run <- function(iterations) {
  start <- proc.time()
  m <- flexmix(reformulate(xs, "response"), data = M, k = 3, cluster = M$cluster + 1, model = FLXMRglm(),
               concomitant = FLXPmultinom(reformulate(xs)),
               control = list(iter.max = iterations, minprior = 0, tolerance = 1e-15, verbose = 0))
  spent <- proc.time() - start
  c(sum(spent[c("user.self", "sys.self")]), as.numeric(logLik(m)), m@iter)
}
short <- run(2); long <- run(8)
cat(sprintf("%.17g", c((long[1] - short[1]) / (long[3] - short[3]), long[2])), "\n")
"""


def flexmix_em(data):
    """R's flexmix from the true clusters: (8 iterations less 2) / 6, so without set-up; user + system time."""
    if shutil.which("Rscript") is None:
        raise Missing("Rscript")
    if subprocess.run(["Rscript", "-e", "library(flexmix)"], capture_output=True).returncode != 0:
        raise Missing("R's flexmix")

    def call():
        with tempfile.TemporaryDirectory() as folder:
            table, script = Path(folder) / "data.csv", Path(folder) / "flexmix.R"
            columns = [f"x{j}" for j in range(data.X.shape[1])] + ["response", "cluster"]
            rows = np.column_stack([data.X, data.y, data.clusters])
            np.savetxt(table, rows, delimiter=",", header=",".join(columns), comments="", fmt="%.17g")
            script.write_text(FLEXMIX)
            out = subprocess.run(["Rscript", str(script), str(table)], capture_output=True, text=True, check=True)
        seconds, log_likelihood = map(float, out.stdout.split())
        return seconds * (EM_ITERATIONS + 1), log_likelihood  # the case divides by its passes

    def check(log_likelihood):
        n = len(data.y)
        responsibilities = np.eye(3)[data.clusters]
        fit = data.problem.to_units(data.problem.run(responsibilities=responsibilities, max_iter=50))
        assert abs(log_likelihood - fit.log_likelihood) < 0.01 * n

    return Prepared(call, check)


def em_cases():
    yield Case(
        f"EM, an iteration: {EM_ITERATIONS} iterations, hence {EM_ITERATIONS + 1} passes, divided by the passes",
        "one EM iteration, d=10, k=3, softmax gate with Newton step",
        {"full": 100_000, "quick": 100_000, "test": 2000},
        em_data,
        Route("moefast", our_em),
        (
            Route("chunked numpy", partial(numpy_em, one_pass=baselines.em_pass), 6),
            Route("chunked numpy, transposed", partial(numpy_em, one_pass=baselines.em_pass_transposed)),
            Route(
                "R flexmix (an iteration holds a whole multinomial fit)",
                flexmix_em,
                200,
                repeats=1,
                own_time=True,
                optional="R with flexmix",
            ),
        ),
        parts=EM_ITERATIONS + 1,
    )


CASES = [
    *moment_cases(),
    *channel_cases(),
    *float32_cases(),
    *contraction_cases(),
    *power_cases(),
    *em_cases(),
]
