"""pytest-benchmark: moments, tensors and EM against what a good numpy user writes. Each checks its answer.

One thread on both sides:  OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 pytest bench --benchmark-group-by=group
"""

import math

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from moefast import MomentAccumulator
from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.tensors import SymmetricTensor


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(limits=1):
        yield


def numpy_third_moment(X, h, rows=4096):
    """sum_n h x x x by unique pairs i <= j and one matrix product a chunk: (pairs, d)."""
    i, j = np.triu_indices(X.shape[1])
    total = np.zeros((len(i), X.shape[1]))
    for s in range(0, len(X), rows):
        block = X[s : s + rows]
        total += (block[:, i] * block[:, j] * h[s : s + rows, None]).T @ block
    return total


def _moment_data(d):
    X, y, _ = make_moe(max(10_000_000 // d**2, 20_480), d, 2, random_state=0)
    return X, y


@pytest.mark.parametrize("d", [10, 20, 50])
def test_moments_moefast(benchmark, d):
    """All four channels 1, y, y^2, y^3 and all orders up to 3 in one pass."""
    benchmark.group = f"third moments with 4 channels, d={d}"
    X, y = _moment_data(d)

    def accumulate():
        moments = MomentAccumulator(d, n_threads=1).update(X, y)
        moments.score_moments()  # sums the rows that still wait for a full block
        return moments

    found = benchmark(accumulate)
    i, j = np.triu_indices(d)
    np.testing.assert_allclose(found.raw_moment(3, 3)[i, j], numpy_third_moment(X, y**3), rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("d", [10, 20, 50])
def test_moments_numpy(benchmark, d):
    """The same third moments, a channel at a time."""
    benchmark.group = f"third moments with 4 channels, d={d}"
    X, y = _moment_data(d)
    channels = benchmark(lambda: [numpy_third_moment(X, y**h) for h in range(4)])
    i, j = np.triu_indices(d)
    direct = np.einsum("n,ni,nj,nk->ijk", y**2, X, X, X, optimize=True)[i, j]
    np.testing.assert_allclose(channels[2], direct, rtol=1e-8, atol=1e-7)


def _tensor_data(dim, order):
    rng = np.random.default_rng(0)
    values = rng.normal(size=math.comb(dim + order - 1, order))
    return SymmetricTensor.from_canonical(values, dim, order), rng.normal(size=(16, dim))


@pytest.mark.parametrize(("dim", "order"), [(100, 3), (50, 4)])
@pytest.mark.parametrize("how", ["moefast", "numpy, one after another", "numpy, one matrix product"])
def test_contraction_with_16_vectors(benchmark, dim, order, how):
    """T(I, u, .., u) of 16 vectors; the matrix product takes 16 Kronecker products at once."""
    benchmark.group = f"T(I, u, .., u) of 16 vectors, order {order}, d={dim}"
    tensor, U = _tensor_data(dim, order)
    dense = tensor.to_dense()

    def one_after_another():
        images = []
        for u in U:
            image = dense
            for _ in range(order - 1):
                image = image.reshape(-1, dim) @ u
            images.append(image)
        return np.array(images)

    def one_product():
        powers = U
        for _ in range(order - 2):
            powers = (powers[:, :, None] * U[:, None, :]).reshape(len(U), -1)
        return (dense.reshape(dim, -1) @ powers.T).T

    run = {"moefast": lambda: tensor.apply(U), "numpy, one after another": one_after_another}.get(how, one_product)
    np.testing.assert_allclose(benchmark(run), one_after_another(), rtol=1e-8, atol=1e-7)


@pytest.mark.parametrize("n", [1_000, 100_000])
def test_em_iterations(benchmark, n):
    """Ten EM iterations, d = 10, k = 3, with the gate's Newton step."""
    benchmark.group = f"10 EM iterations, n={n}"
    X, y, truth = make_moe(n, 10, 3, random_state=0)
    problem = EmProblem(X, y, np.ones(n), EmOptions(tol=0.0, n_threads=1))
    start = truth.to_standard(problem.standardisation)
    fit = benchmark(lambda: problem.run(start, max_iter=10))
    assert (np.diff(fit.trace) >= -1e-9 * abs(fit.trace[-1])).all()
    found = fit.mixture.to_units(problem.standardisation)
    assert fit.log_likelihood == pytest.approx(
        found.log_density(X, y).sum() + n * np.log(problem.standardisation.y_scale), rel=1e-10
    )
