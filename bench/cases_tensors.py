"""Contractions of symmetric tensors and the tensor power method."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np

import baselines
from case import Case, Prepared, Route, optional
from moefast.tensors import SymmetricTensor
from moefast.tensors.power_method import power_iteration


@lru_cache(maxsize=2)
def contraction_data(dim, order, n):
    """A random symmetric tensor, 16 vectors u (16, dim), their images T(I, u, ..); n calls."""
    rng = np.random.default_rng(dim)
    A, weights = rng.normal(size=(2 * dim, dim)), rng.normal(size=2 * dim)
    T = baselines.khatri_rao_gemm(A, weights, order, 64).reshape((dim,) * order)
    U = rng.normal(size=(16, dim)) / np.sqrt(dim)
    return T, U, ((U @ A.T) ** (order - 1) * weights) @ A, n


def contraction(data, kind):
    """Call n times T(I, u, .., u) of all 16 vectors, (16, dim); `kind` is "ours" or a function of baselines.py."""
    T, U, expected, n = data
    if kind == "ours":
        once = partial(SymmetricTensor.from_dense(T).apply, U)
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
                Route("dense numpy, per vector", partial(contraction, kind="contract_each"), asked, 10, blas=True),
                Route(
                    "dense numpy, vectors together",
                    partial(contraction, kind="contract_together"),
                    most=10,
                    blas=True,
                ),
            ),
            unit="calls",
        )


@lru_cache(maxsize=2)
def power_data(n):
    """Three orthonormal vectors (3, 40) and values (3,) in a dense tensor (40,) * 4; n updates a start."""
    rng = np.random.default_rng(4)
    vectors = np.linalg.qr(rng.normal(size=(40, 3)))[0].T
    values = np.array([3.0, 2.0, 1.0])
    return np.einsum("i,ia,ib,ic,id->abcd", values, *[vectors] * 4, optimize=True), values, vectors, n


def check_pairs(values, vectors, found_values, found_vectors):
    """Assert that found (3,) and (3, 40) are the pairs, in any order, vectors up to their sign."""
    order = np.argsort(found_values)[::-1]
    np.testing.assert_allclose(np.asarray(found_values)[order], values, rtol=1e-8)
    np.testing.assert_allclose(np.abs(np.einsum("ia,ia->i", vectors, found_vectors[order])), 1.0, rtol=1e-8)


def our_power(data, pack):
    """11 restarts of n updates for each of 3 pairs; tol=0 stops none of them before. Packed before, or inside."""
    T, values, vectors, n = data
    tensor = SymmetricTensor.from_dense(T) if pack else T

    def call():
        return power_iteration(tensor, 3, n_restarts=11, max_iter=n, tol=0.0, random_state=0)

    def check(found):
        check_pairs(values, vectors, found.values, found.vectors)
        assert found.n_iter == (n,) * 3, f"not {n} updates: {found.n_iter}"

    return Prepared(call, check)


def tensorly_power(data):
    """Do n // 4 of its iterations, each 4 updates, for each of 10 starts and once more for the best of them."""
    T, values, vectors, n = data
    optional("tensorly")
    from tensorly.decomposition import symmetric_parafac_power_iteration

    def call():
        np.random.seed(0)  # noqa: NPY002 (tensorly draws from the global generator)
        return symmetric_parafac_power_iteration(T, 3, n_repeat=10, n_iteration=n // 4)

    note = f"n_repeat=10, n_iteration={n // 4}"
    return Prepared(call, lambda found: check_pairs(values, vectors, found[0], found[1].T), note)


def power_cases():
    name = "T4, d=40, rank 3, 11 starts of n updates a pair"
    counted = "tensorly, (10 starts + the refinement) of n / 4 iterations of 4 updates a pair"
    n = {"full": 40, "quick": 8, "test": 8}
    for pack, suffix, asked in ((True, "SymmetricTensor", 1000), (False, "dense array, packed inside", None)):
        tensorly = Route(counted, tensorly_power, asked, repeats=1, blas=True, optional="tensorly")
        yield Case(
            "Tensor power method, equal update counts",
            f"{name}; {suffix}",
            n,
            power_data,
            Route("moefast", partial(our_power, pack=pack)),
            (tensorly,),
        )
