"""Whitening by the second score tensor: the coordinates in which the experts' directions are orthonormal."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from moefast._typing import Floats

__all__ = ["SubspaceWhitening", "subspace_whitening"]


class SubspaceWhitening(NamedTuple):
    """The leading k eigenvectors of T2, scaled such that T2 becomes the identity in their coordinates.

    Attributes
    ----------
    into : ndarray of shape (r, k)
        into' T2 into = I.
    back : ndarray of shape (r, k)
        The pseudo-inverse of into', which takes eigenvectors back: v_i is parallel to back @ u_i.
    spectrum : ndarray of shape (r,)
        All eigenvalues of T2, in decreasing order. Eigenvalues of the leading ones that are not clearly positive
        are lifted to 1e-3 of the first one in `into`, so that noise cannot blow it up.
    """

    into: Floats
    back: Floats
    spectrum: Floats


def subspace_whitening(T2: Floats, rank: int, frame: Floats | None = None) -> SubspaceWhitening:
    """Whiten by the leading eigenvectors of T2.

    Parameters
    ----------
    T2 : ndarray of shape (r, r)
        Symmetric; positive semi-definite up to sampling error.
    rank : int
        The number of directions k <= r.
    frame : ndarray of shape (d, r), optional
        Coordinates in which the signs of the eigenvectors are fixed: those of the features, which unlike
        whitened ones have no arbitrary signs themselves.
    """
    values, vectors = np.linalg.eigh(T2)
    values, vectors = values[::-1], vectors[:, ::-1]
    vectors = _with_fixed_signs(vectors, vectors if frame is None else frame @ vectors)
    lifted = np.maximum(values[:rank], 1e-3 * float(np.abs(values).max()))
    lifted = np.where(lifted > 0, lifted, 1.0)  # no signal at all: T3 is zero too
    leading = vectors[:, :rank]
    return SubspaceWhitening(leading / np.sqrt(lifted), leading * np.sqrt(lifted), values)


def _with_fixed_signs(vectors: Floats, seen: Floats) -> Floats:
    """Flip columns of `vectors` such that the largest entry of each column of `seen` is positive.

    Eigenvectors come with arbitrary signs that a change in the last bit of the data can flip; restarts drawn in
    their coordinates would then be others.
    """
    largest = np.take_along_axis(seen, np.abs(seen).argmax(axis=0)[None], axis=0)[0]
    return np.asarray(vectors * np.where(largest < 0, -1.0, 1.0))
