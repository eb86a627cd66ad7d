"""Covariances of several responses: their floor, and their parameters.

The core has M = L^-1 of a covariance L L' in numbers (cpp/src/em/covariance.hpp): l_r = -log M_rr and, row by row,
what stands below the diagonal. Inference is about log s_a of every response and atanh of the correlations of
responses a < b, sorted by b then a, whose estimates are nearly normal (R. A. Fisher 1921).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.linalg.lapack import dpstrf

from moefast._typing import Floats

__all__ = [
    "at_floor",
    "core_numbers",
    "covariance_of",
    "dependent_responses",
    "least_correlation",
    "numbers_by_scales",
    "pairs",
    "raised",
    "ridge_by_numbers",
    "scales_of",
]

# 1 - R^2 of a response on others from which on it counts as a linear combination of them.
_INDEPENDENT = 1e-10
# Of the correlations of responses: below it, where responses depend on each other, the floor falls no further.
_LEAST_EIGENVALUE = 1e-6
# Eigenvalues this near to the floor's are at it, relatively: of responses that depend on each other they are known
# no better.
_AT_FLOOR = 1e-5


def _correlation(t: Floats, share: Floats) -> Floats:
    """Return the correlations of responses (n, q) with weights that add up to 1; of constants 0 with others."""
    centred = t - share @ t
    covariance = (centred * share[:, None]).T @ centred
    deviation = np.sqrt(np.diag(covariance))
    scale = np.where(deviation > 0, deviation, 1.0)
    correlation = covariance / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation)


def least_correlation(t: Floats, share: Floats) -> Floats:
    """Return the correlations of responses (n, q), the smallest of their eigenvalues raised to a bound.

    A floor in proportion to the covariance of y makes a fit the same for y and for y B, whatever the matrix B.
    """
    values, vectors = np.linalg.eigh(_correlation(t, share))
    return np.asarray((vectors * np.maximum(values, _LEAST_EIGENVALUE)) @ vectors.T)


def dependent_responses(t: Floats, share: Floats) -> tuple[int, ...]:
    """Return the responses (n, q) that depend linearly on others."""
    _, pivots, rank, _ = dpstrf(_correlation(t, share), tol=_INDEPENDENT, lower=1)
    return tuple(sorted(int(j) for j in pivots[rank:] - 1))


def at_floor(covariance: Floats, floor: Floats, *, diagonal: bool) -> npt.NDArray[np.bool_]:
    """Whether covariances (k, q, q) have an eigenvalue in units of the floor (q, q), or a variance, that is 1."""
    if diagonal:
        variances = np.diagonal(covariance, axis1=1, axis2=2)
        return np.asarray((variances <= np.diag(floor) * (1 + _AT_FLOOR)).any(axis=1))
    return np.array([eigh(own, floor, eigvals_only=True)[0] <= 1 + _AT_FLOOR for own in covariance])


def raised(covariance: Floats, floor: Floats, *, diagonal: bool) -> Floats:
    """Return covariances (k, q, q) that are nowhere below the floor (q, q)."""
    if diagonal:
        variances = np.maximum(np.diagonal(covariance, axis1=1, axis2=2), np.diag(floor))
        return np.asarray(variances[:, :, None] * np.eye(len(floor)))
    R = np.linalg.cholesky(floor)
    inner = np.linalg.solve(R, np.swapaxes(np.linalg.solve(R, covariance), 1, 2))
    values, vectors = np.linalg.eigh(0.5 * (inner + np.swapaxes(inner, 1, 2)))
    if (values >= 1).all():
        return covariance
    half = R @ (vectors * np.sqrt(np.maximum(values, 1.0))[:, None, :])
    return np.asarray(half @ np.swapaxes(half, 1, 2))


def pairs(q: int, *, diagonal: bool) -> list[tuple[int, int]]:
    """Return the responses a < b whose correlations are parameters."""
    return [] if diagonal else [(a, b) for b in range(q) for a in range(b)]


def core_numbers(q: int, *, diagonal: bool) -> list[tuple[int, int]]:
    """Return row and column of the numbers that the core has of M."""
    return [(r, c) for r in range(q) for c in range(r if diagonal else 0, r + 1)]


def scales_of(covariance: Floats, *, diagonal: bool) -> Floats:
    """Return the parameters of covariances (k, q, q), shape (k, m)."""
    sigma = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    correlation = [
        covariance[:, a, b] / (sigma[:, a] * sigma[:, b]) for a, b in pairs(sigma.shape[1], diagonal=diagonal)
    ]
    return np.column_stack([np.log(sigma), *map(np.arctanh, correlation)])


def covariance_of(scales: Floats, q: int, *, diagonal: bool) -> Floats:
    """Undo :func:`scales_of`."""
    sigma, correlation = np.exp(scales[:, :q]), np.tile(np.eye(q), (len(scales), 1, 1))
    for (a, b), z in zip(pairs(q, diagonal=diagonal), scales[:, q:].T, strict=True):
        correlation[:, a, b] = correlation[:, b, a] = np.tanh(z)
    return np.asarray(sigma[:, :, None] * correlation * sigma[:, None, :])


def numbers_by_scales(covariance: Floats, *, diagonal: bool) -> Floats:
    """Return the derivative of the core's numbers by the parameters of one covariance (q, q), shape (m, m).

    dM = -Phi(M dSigma M') M, Phi being the lower triangle with half of the diagonal.
    """
    q, sigma = len(covariance), np.sqrt(np.diag(covariance))
    M = np.linalg.inv(np.linalg.cholesky(covariance))
    changes = []
    for a in range(q):
        change = np.zeros((q, q))
        change[a] += covariance[a]
        change[:, a] += covariance[:, a]
        changes.append(change)
    for a, b in pairs(q, diagonal=diagonal):
        change = np.zeros((q, q))
        scale = sigma[a] * sigma[b]
        change[a, b] = change[b, a] = scale * (1 - (covariance[a, b] / scale) ** 2)
        changes.append(change)
    columns = []
    for change in changes:
        inner = M @ change @ M.T
        dM = -(np.tril(inner, -1) + 0.5 * np.diag(np.diag(inner))) @ M
        columns.append(
            [-dM[r, r] / M[r, r] if r == c else dM[r, c] for r, c in core_numbers(q, diagonal=diagonal)]
        )
    return np.array(columns).T


def ridge_by_numbers(covariance: Floats, slopes: Floats, *, diagonal: bool) -> tuple[Floats, Floats, Floats]:
    """Return the second derivatives of sum_j |M a_j|^2 / 2 over the columns a_j of `slopes`, (q, d).

    By a column twice, (q, q), which is the same for all of them; by a column and the core's numbers, (d, q, m); by
    these twice, (m, m).
    """
    q = len(covariance)
    M = np.linalg.inv(np.linalg.cholesky(covariance))
    z, numbers = M @ slopes, core_numbers(q, diagonal=diagonal)
    mixed, both = np.zeros((slopes.shape[1], q, len(numbers))), np.zeros((len(numbers), len(numbers)))
    unit = [-M[r, r] if r == c else 1.0 for r, c in numbers]
    for m, (r, c) in enumerate(numbers):
        mixed[:, :, m] = unit[m] * np.outer(slopes[c], M[r])
        mixed[:, c, m] += unit[m] * z[r]
        for n, (s, d) in enumerate(numbers):
            if s == r:
                both[m, n] = unit[m] * unit[n] * (slopes[c] @ slopes[d])
        if r == c:
            both[m, m] -= unit[m] * (z[r] @ slopes[r])
    return M.T @ M, mixed, both
