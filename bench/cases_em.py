"""EM: an iteration on many samples, and many short runs on few."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import baselines
from case import Case, NotInstalled, Prepared, Route
from moefast.datasets import make_moe
from moefast.em import GATE_ALPHA_AUTO, EmOptions, EmProblem, HardAssignment
from moefast.samples import Samples

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
        """Compare with another route at the start, after the first pass and at the end, and the parameters there.

        Ours makes the gates' Hessian not in every pass, so from the second step on it goes another way.
        """
        fit = _our_fit(self)
        np.testing.assert_allclose(trace[:2], fit.trace[:2], rtol=1e-9, atol=1e-9 * len(self.y))
        assert fit.trace[-1] > trace[-1] - 1e-6 * len(self.y)
        for found, name in zip(
            parameters, ("coef", "intercept", "gate_coef", "gate_intercept", "sigma"), strict=True
        ):
            np.testing.assert_allclose(found, getattr(fit.mixture, name), rtol=1e-3, atol=1e-3)


def _our_fit(data):
    return data.problem.run(data.start, max_iter=EM_ITERATIONS)


@lru_cache(maxsize=2)
def em_data(n):
    X, y, truth = make_moe(n, 10, 3, random_state=0)
    problem = EmProblem(Samples(X, y, np.ones(n)), EmOptions(accelerate=False, tol=0.0, n_threads=1))
    start = truth.to_standard(problem.standardisation)
    start = replace(
        start,
        coef=start.coef + 0.3 * np.random.default_rng(1).normal(size=start.coef.shape),
        sigma=3 * start.sigma,
    )
    return EmData(X, y, problem, start, truth.responsibilities(X, y).argmax(axis=1))


def our_em(data):
    """A run whose likelihood is checked against the mixture's own density, and whose objective must not fall."""
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
    """A run of baselines.py from the same start: same objective after each pass, same parameters at the end."""
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
        raise NotInstalled("Rscript")
    if subprocess.run(["Rscript", "-e", "library(flexmix)"], capture_output=True).returncode != 0:
        raise NotInstalled("R's flexmix")

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


def iteration_cases():
    yield Case(
        f"EM, an iteration: {EM_ITERATIONS} iterations, hence {EM_ITERATIONS + 1} passes, divided by the passes",
        "one EM iteration, d=10, k=3, softmax gate with Newton step",
        {"full": 100_000, "quick": 100_000, "test": 2000},
        em_data,
        Route("moefast", our_em),
        (
            Route("chunked numpy", partial(numpy_em, one_pass=baselines.em_pass), 6, blas=True),
            Route(
                "chunked numpy, transposed",
                partial(numpy_em, one_pass=baselines.em_pass_transposed),
                blas=True,
            ),
            Route(
                "R flexmix (an iteration holds a whole multinomial fit)",
                flexmix_em,
                200,
                most=30_000,
                repeats=1,
                own_time=True,
                optional="R with flexmix",
            ),
        ),
        parts=EM_ITERATIONS + 1,
    )


# ---- many short runs ----

SHORT_ITERATIONS = 20


@lru_cache(maxsize=1)
def batch_data(n_runs, n, d, k):
    """A problem, n_runs random assignments (n,) to start from, the truth."""
    X, y, truth = make_moe(n, d, k, noise=0.1, random_state=0)
    problem = EmProblem(
        Samples(X, y, np.ones(n)), EmOptions(accelerate=False, tol=0.0, gate_alpha=0.0, n_threads=1)
    )
    rng = np.random.default_rng(0)
    starts = [HardAssignment(rng.integers(0, k, size=n, dtype=np.int32), k) for _ in range(n_runs)]
    return problem, starts, truth.to_standard(problem.standardisation)


def our_batch(data):
    """No objective may fall; one run equals `run`; the best of 100 and more with k = 3 finds the optimum."""
    problem, starts, truth = data

    def check(fits):
        assert len(fits) == len(starts)
        assert all(0 < fit.n_iter <= SHORT_ITERATIONS and (np.diff(fit.trace) > -1e-6).all() for fit in fits)
        alone = problem.run(responsibilities=np.eye(truth.n_experts)[starts[7].labels], max_iter=SHORT_ITERATIONS)
        np.testing.assert_array_equal(fits[7].trace, alone.trace)
        if len(fits) >= 100 and truth.n_experts == 3:
            assert max(fit.trace[-1] for fit in fits) > problem.run(truth).trace[-1] - 1.0

    return Prepared(lambda: problem.run_many(starts, max_iter=SHORT_ITERATIONS), check)


def millisecond_each(data):
    """Not a route: 1 ms for each run, which makes the ratio 1 where ours take that long."""
    seconds = 1e-3 * len(data[1])
    return Prepared(lambda: (seconds, None), lambda _: None)


def batch_cases():
    for n, d, k, runs, asked in ((1000, 8, 3, 1000, 1), (1000, 8, 5, 500, None), (5000, 10, 10, 50, None)):
        yield Case(
            f"EM, short runs in one call: {SHORT_ITERATIONS} iterations each, from random assignments",
            f"run_many, {n} samples, d={d}, k={k}, softmax gate with Newton step",
            {"full": runs, "quick": runs // 5, "test": 10},
            partial(batch_data, n=n, d=d, k=k),
            Route("moefast", our_batch),
            (Route("a millisecond a run", millisecond_each, asked, own_time=True),),
            unit="runs",
        )
