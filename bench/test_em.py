"""pytest-benchmark: EM iterations and batches of short runs. Each checks its answer.

One thread on both sides:  OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 pytest bench/test_em.py
"""

import time

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem, HardAssignment

OPTIONS = {"tol": 0.0, "gate_alpha": 0.0, "n_threads": 1}


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(limits=1):
        yield


def numpy_statistics(U, y, experts, gates, variance):
    """Sums of one chunk by BLAS: totals, squares, residuals, slopes, Gram matrices and the gates' Hessian."""
    k = len(variance)
    logits = U @ gates.T
    logits -= logits.max(axis=1, keepdims=True)
    gate = np.exp(logits)
    total = gate.sum(axis=1, keepdims=True)
    gate /= total
    e = y[:, None] - U @ experts.T
    joint = logits - np.log(total) - 0.5 * (e**2 / variance + np.log(2 * np.pi * variance))
    top = joint.max(axis=1, keepdims=True)
    r = np.exp(joint - top)
    total = r.sum(axis=1, keepdims=True)
    r /= total
    re = r * e
    weights = [r[:, i] for i in range(k)]
    weights += [gate[:, i] * ((i == j) - gate[:, j]) for i in range(k - 1) for j in range(i, k - 1)]
    grams = np.stack([(U * w[:, None]).T @ U for w in weights])
    likelihood = (top + np.log(total)).sum()
    return [likelihood, r.sum(axis=0), (re * e).sum(axis=0), re.T @ U, (r - gate).T @ U, grams]


def numpy_iteration(U, y, experts, gates, variance, rows):
    """One EM iteration with the gate's full Newton step, `rows` samples at a time."""
    k, dim = experts.shape
    sums = None
    for s in range(0, len(U), rows):
        chunk = numpy_statistics(U[s : s + rows], y[s : s + rows], experts, gates, variance)
        sums = chunk if sums is None else [a + b for a, b in zip(sums, chunk, strict=True)]
    likelihood, totals, squares, residuals, slopes, grams = sums
    delta = np.stack([np.linalg.solve(grams[i], residuals[i]) for i in range(k)])
    image = np.einsum("kab,kb->ka", grams[:k], delta)
    new_variance = (squares + ((image - 2 * residuals) * delta).sum(axis=1)) / totals
    hessian, row = np.zeros(((k - 1) * dim, (k - 1) * dim)), k
    for i in range(k - 1):
        for j in range(i, k - 1):
            hessian[i * dim : (i + 1) * dim, j * dim : (j + 1) * dim] = grams[row]
            hessian[j * dim : (j + 1) * dim, i * dim : (i + 1) * dim] = grams[row]
            row += 1
    moved = gates.copy()
    moved[:-1] += np.linalg.solve(hessian, slopes[:-1].ravel()).reshape(k - 1, dim)
    return likelihood, experts + delta, moved, new_variance


@pytest.fixture(scope="module")
def large():
    """Return a problem with n = 1e5, d = 10, k = 3 and a start."""
    X, y, truth = make_moe(100_000, 10, 3, random_state=0)
    problem = EmProblem(X, y, np.ones(len(y)), EmOptions(**OPTIONS))
    return problem, truth.to_standard(problem.standardisation)


def numpy_arguments(problem, start):
    start = start.ordered(np.arange(start.n_experts))
    U = np.column_stack([problem.Z, np.ones(len(problem.t))])
    experts = np.column_stack([start.coef, start.intercept])
    return U, problem.t, experts, np.column_stack([start.gate_coef, start.gate_intercept]), start.sigma**2


def test_iteration_moefast(benchmark, large):
    """A run of one iteration is two passes, one of none is one: four iterations are four passes more."""
    benchmark.group = "4 EM iterations + 1 pass, n=1e5, d=10, k=3"
    problem, start = large
    fit = benchmark(lambda: problem.run(start, max_iter=4))
    assert fit.n_iter == 4
    arguments = numpy_arguments(problem, start)
    for value in fit.trace[:4]:
        likelihood, *parameters = numpy_iteration(*arguments, 4096)
        assert likelihood == pytest.approx(value, rel=1e-10)
        arguments = (*arguments[:2], *parameters)
    np.testing.assert_allclose(fit.mixture.coef, arguments[2][:, :-1], atol=1e-8)
    np.testing.assert_allclose(fit.mixture.gate_coef, arguments[3][:, :-1], atol=1e-6)


def test_iteration_numpy(benchmark, large):
    """The same, with the best of several chunk sizes."""
    benchmark.group = "4 EM iterations + 1 pass, n=1e5, d=10, k=3"
    arguments = numpy_arguments(*large)

    def seconds(rows):
        began = time.perf_counter()
        numpy_iteration(*arguments, rows)
        return time.perf_counter() - began

    rows = min(
        (512, 1024, 2048, 4096, 8192, 16_384, 100_000), key=lambda rows: min(seconds(rows) for _ in range(3))
    )
    benchmark.extra_info["rows"] = rows

    def iterations():
        values = arguments
        for _ in range(5):  # the fifth stands for the pass that tells where the fourth arrived
            likelihood, *parameters = numpy_iteration(*values, rows)
            values = (*arguments[:2], *parameters)
        return likelihood

    last = benchmark(iterations)
    assert last == pytest.approx(large[0].run(large[1], max_iter=4).trace[-1], rel=1e-10)


def test_a_thousand_short_runs(benchmark):
    """20 iterations each from random assignments, n = 1000, d = 8, k = 3, on one thread."""
    X, y, truth = make_moe(1000, 8, 3, noise=0.1, random_state=0)
    problem = EmProblem(X, y, np.ones(1000), EmOptions(**OPTIONS))
    rng = np.random.default_rng(0)
    starts = [HardAssignment(rng.integers(0, 3, size=1000, dtype=np.int32), 3) for _ in range(1000)]
    fits = benchmark.pedantic(lambda: problem.run_many(starts, max_iter=20), rounds=3)
    assert all(0 < fit.n_iter <= 20 and (np.diff(fit.trace) > -1e-6).all() for fit in fits)
    alone = problem.run(responsibilities=np.eye(3)[starts[7].labels], max_iter=20)
    np.testing.assert_array_equal(fits[7].trace, alone.trace)
    best = problem.run(truth.to_standard(problem.standardisation)).trace[-1]
    assert max(fit.trace[-1] for fit in fits) > best - 1.0
