"""Slow, obvious versions of what the package computes fast, and awkward memory layouts."""

import itertools
import math

import numpy as np
from scipy.special import eval_hermitenorm

LETTERS = "abce"


def monomial_terms(X, y, weights, order, power):
    """The n terms w y^h x (x) .. (x) x of a moment, as an (n, d, .., d) array."""
    operands = [LETTERS[i] for i in range(order)]
    spec = ",".join(["n", *(f"n{letter}" for letter in operands)]) + "->n" + "".join(operands)
    return np.einsum(spec, weights * y**power, *[X] * order)


def raw_moment(X, y, weights, order, power):
    return monomial_terms(X, y, weights, order, power).sum(axis=0)


def absolute_moment(X, y, weights, order, power):
    """Sum of the absolute values of the terms: what rounding errors are measured against."""
    return np.abs(monomial_terms(X, y, weights, order, power)).sum(axis=0)


def two_pass_central_moment(X, y, weights, order, power):
    """Weighted mean of (y - mean)^h (x - mean)^m, and of the absolute values of its terms, by exact sums."""
    d, total = X.shape[1], math.fsum(weights)
    columns = [_centred(X[:, j], weights, total) for j in range(d)]
    response = _centred(y, weights, total)
    value, scale = np.empty((d,) * order), np.empty((d,) * order)
    for index in itertools.product(range(d), repeat=order):
        terms = weights * response**power
        for j in index:
            terms = terms * columns[j]
        value[index] = math.fsum(terms) / total
        scale[index] = math.fsum(np.abs(terms)) / total
    return value, scale


def _centred(column, weights, total):
    centred = column - math.fsum(weights * column) / total
    # The mean is a float64, off by up to half a unit in its last place; the second pass takes that off.
    return centred - math.fsum(weights * centred) / total


def score(z, order):
    """S_m(z) of one sample by its definition."""
    r = len(z)
    if order == 2:
        return np.outer(z, z) - np.eye(r)
    if order == 3:
        tensor = np.einsum("i,j,k->ijk", z, z, z)
        for i in range(r):
            e = np.eye(r)[i]
            tensor -= np.einsum("i,j,k->ijk", z, e, e)
            tensor -= np.einsum("i,j,k->ijk", e, z, e)
            tensor -= np.einsum("i,j,k->ijk", e, e, z)
        return tensor
    # Entry by entry: the product of the Hermite polynomials of how often each coordinate occurs.
    tensor = np.empty((r,) * 4)
    for index in itertools.product(range(r), repeat=4):
        tensor[index] = math.prod(eval_hermitenorm(index.count(i), z[i]) for i in range(r))
    return tensor


def score_tensor(X, response, weights, whitening, order):
    """Weighted mean of (response - its mean) S_m(z), one sample after another."""
    share = weights / weights.sum()
    mean, level = share @ X, share @ response
    rank = whitening.shape[1]
    total = np.zeros((rank,) * order)
    for x, p, w in zip(X, response, share, strict=True):
        total += w * (p - level) * score(whitening.T @ (x - mean), order)
    return total


def rank_one_sum(values, vectors, order=3):
    """sum_i value_i u_i (x) .. (x) u_i for the rows u_i of vectors."""
    letters = "abce"[:order]
    spec = "i," + ",".join(f"i{letter}" for letter in letters) + f"->{letters}"
    return np.einsum(spec, values, *[vectors] * order)


def symmetric_noise(dim, order=3, seed=0):
    """A dense symmetric tensor of normal numbers, symmetric to the last bit."""
    noise = np.random.default_rng(seed).normal(size=(dim,) * order)
    index = np.sort(np.indices(noise.shape).reshape(order, -1), axis=0)
    return noise[tuple(index)].reshape(noise.shape)


def contract(tensor, *vectors):
    """T(.., v, w): the last indices taken along the vectors, the last vector first."""
    for vector in reversed(vectors):
        tensor = tensor @ vector
    return tensor


def matched(found, truth):
    """Rows of `found` in the order that fits `truth` best (by the largest sum of cosines, signs included)."""
    return found[matching(found, truth)]


def matching(found, truth):
    """That order, as a list."""
    cosines = _unit(found) @ _unit(truth).T
    best = max(
        itertools.permutations(range(len(truth))), key=lambda p: sum(cosines[p[i], i] for i in range(len(truth)))
    )
    return list(best)


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# ---- the same numbers in other memory layouts ----


def _unaligned(a):
    buffer = np.empty(a.nbytes + 1, dtype=np.uint8)
    view = buffer[1:].view(a.dtype) if a.ndim == 1 else np.ndarray(a.shape, a.dtype, buffer, 1)
    view[...] = a
    return view


def _read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def _spread(a):
    whole = np.full([3 * n for n in a.shape], np.nan, dtype=a.dtype)
    whole[tuple(slice(1, None, 3) for _ in a.shape)] = a
    return whole[tuple(slice(1, None, 3) for _ in a.shape)]


LAYOUTS = {
    "c_order": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "negative_strides": lambda a: np.flip(np.flip(a).copy()),
    "slices": _spread,
    "read_only": _read_only,
    "big_endian": lambda a: a.astype(">f8"),
    "unaligned": _unaligned,
    "objects": lambda a: a.astype(object),
    "longdouble": lambda a: a.astype(np.longdouble),
}


def sample(n, d=3, seed=0, dtype=np.float64):
    """Rows of unequal location and scale, with weights: X, y, w."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * rng.uniform(0.5, 2.0, size=d) + rng.normal(size=d)
    return X.astype(dtype), (rng.normal(size=n) + 0.5).astype(dtype), rng.uniform(0.1, 3.0, size=n)


# ---- moments of any order by one product of matrices ----


def _products(X, order):
    """The products of `order` (0, 1 or 2) features, and which of them belongs to every tuple of indices."""
    d = X.shape[1]
    if order == 2:  # each pair once: four times fewer numbers in order 4
        rows, columns = np.triu_indices(d)
        place = np.empty((d, d), dtype=int)
        place[rows, columns] = place[columns, rows] = np.arange(len(rows))
        return X[:, rows] * X[:, columns], place.ravel()
    return (X, np.arange(d)) if order == 1 else (np.ones((len(X), 1)), np.zeros(1, dtype=int))


def matrix_moment(X, y, weights, order, power):
    """raw_moment, fast enough for order 4 of many features."""
    half, rows = _products(X, order // 2)
    rest, columns = _products(X, order - order // 2)
    sums = (half * (weights * y**power)[:, None]).T @ rest
    return sums[rows[:, None], columns].reshape((X.shape[1],) * order)


def absolute_scale(X, y, weights, order, power):
    """The moment of absolute values: absolute_moment, as fast."""
    return matrix_moment(np.abs(X), np.abs(y), np.abs(weights), order, power)


def expanded_moment(X, y, weights, order, power):
    """The moment of |value| + |mean|: the absolute terms of a moment written about the means."""
    share = weights / weights.max()
    means = share @ X / share.sum(), share @ y / share.sum()
    return matrix_moment(np.abs(X) + np.abs(means[0]), np.abs(y) + abs(means[1]), weights, order, power)
