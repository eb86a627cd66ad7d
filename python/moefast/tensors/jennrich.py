r"""Symmetric tensors of order 3 whose components are not orthogonal, without a matrix to whiten by.

:math:`T = \sum_{i \le k} \lambda_i v_i^{\otimes 3}` with linearly independent unit vectors. The k leading left
singular vectors of its unfolding span them; in their coordinates two contractions :math:`T(\cdot, \cdot, \theta)`
are :math:`V \Lambda V^T` with the same V, so that V are the eigenvectors of one times the inverse of the other. Of
several random pairs of contractions the one that fits T best is taken.

Sources: Harshman, "Foundations of the PARAFAC procedure", 1970 (who gives credit to Jennrich); Leurgans, Ross,
Abel, "A decomposition for three-way arrays", SIAM Journal on Matrix Analysis and Applications 14, 1993.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError

from moefast._typing import Floats
from moefast.randomness import RandomState, get_generator
from moefast.tensors.symmetric import pack
from moefast.validation import check_integer

__all__ = ["Components", "jennrich"]


@dataclass(frozen=True, eq=False)
class Components:
    """Components of a symmetric tensor of order 3.

    Attributes
    ----------
    values : ndarray of shape (rank,)
        lambda_i, not negative, decreasing.
    vectors : ndarray of shape (rank, dim)
        Unit rows; rows of 0 where there is no component.
    residual : float
        Norm of what the components leave of the tensor, over its own.
    """

    values: Floats
    vectors: Floats
    residual: float


def jennrich(
    tensor: npt.ArrayLike, rank: int, *, n_pairs: int = 20, random_state: RandomState = None
) -> Components:
    """Return the components of a symmetric tensor of order 3.

    Parameters
    ----------
    tensor : array-like of shape (dim, dim, dim)
        Symmetric.
    rank : int
        The number of components, at most dim.
    n_pairs : int
        Pairs of contractions.
    random_state : int, Generator, RandomState or None
        For the contractions.

    Returns
    -------
    Components

    Raises
    ------
    ValueError
        For a tensor that is not cubic, not finite or not symmetric, or a rank out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.tensors import jennrich
    >>> V = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]])
    >>> T = np.einsum("i,ia,ib,ic->abc", [2.0, 1.0], V, V, V)
    >>> found = jennrich(T, rank=2, random_state=0)
    >>> found.values.round(6), found.vectors.round(6) + 0.0
    (array([2., 1.]), array([[1. , 0. , 0. ],
           [0.6, 0.8, 0. ]]))
    """
    pack("tensor", tensor, orders=(3,))
    T = np.asarray(tensor, dtype=np.float64)
    check_integer("rank", rank, high=len(T))
    check_integer("n_pairs", n_pairs)
    size = float(np.linalg.norm(T))
    if size == 0.0:
        return Components(np.zeros(rank), np.zeros((rank, len(T))), 0.0)
    T = T / size
    basis = np.linalg.svd(T.reshape(len(T), -1), full_matrices=False)[0][:, :rank]
    core = np.einsum("abc,ai,bj,ck->ijk", T, basis, basis, basis)
    rng = get_generator(random_state)
    starts = [_from_pair(core, rng.normal(size=(2, rank))) for _ in range(n_pairs)]
    best = starts[int(np.argmin([np.linalg.norm(_difference(parts, core)) for parts in starts]))]
    parts = best @ basis.T
    rest = float(np.linalg.norm(T - np.einsum("ia,ib,ic->abc", parts, parts, parts)))
    norms = np.linalg.norm(parts, axis=1)
    order = np.argsort(-norms, kind="stable")
    vectors = np.divide(parts, norms[:, None], out=np.zeros_like(parts), where=norms[:, None] > 0)
    return Components(size * norms[order] ** 3, vectors[order], rest)


def _from_pair(core: Floats, directions: Floats) -> Floats:
    """Return lambda_i^(1/3) v_i, (k, k), from two contractions of a tensor (k, k, k)."""
    first, second = (core @ direction for direction in directions)
    try:
        vectors = np.linalg.eig(first @ np.linalg.inv(second))[1].real.T
    except LinAlgError:
        vectors = np.eye(len(core))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    cubes = np.einsum("ia,ib,ic->iabc", vectors, vectors, vectors).reshape(len(core), -1)
    values = np.linalg.lstsq(cubes.T, core.ravel(), rcond=None)[0]
    return np.asarray(np.cbrt(values)[:, None] * vectors)


def _difference(parts: Floats, core: Floats) -> Floats:
    return np.asarray((np.einsum("ia,ib,ic->abc", parts, parts, parts) - core).ravel())
