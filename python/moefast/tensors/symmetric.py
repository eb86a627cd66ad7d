r"""Symmetric tensors of order 2, 3 and 4 in packed storage, contracted with many vectors at once.

Only the unique entries :math:`T_{abc..}, a \le b \le c \le ..` are kept: a sixth of a dense tensor of order 3, a
24th of one of order 4. Contractions read each of them once for a batch of vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import moefast._core as _core
from moefast._typing import Floats
from moefast.columns import refuse_misread

__all__ = ["SymmetricTensor"]


class SymmetricTensor:
    """A symmetric tensor, dim x dim [x dim [x dim]].

    Made by :meth:`from_dense` or :meth:`from_canonical`; it does not change afterwards, may be used from several
    threads, and can be pickled. The first contraction makes a second copy of the unique entries, multiplied by
    how often each occurs.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.tensors import SymmetricTensor
    >>> u = np.array([1.0, 2.0, 3.0])
    >>> T = SymmetricTensor.from_dense(np.einsum("a,b,c,e->abce", u, u, u, u))
    >>> T
    SymmetricTensor(dim=3, order=4)
    >>> T.value([1.0, 1.0, 0.0])
    81.0
    >>> T.apply(np.eye(3)[:2])
    array([[ 1.,  2.,  3.],
           [ 8., 16., 24.]])
    """

    def __init__(self, core: _core.SymmetricTensor) -> None:
        self._core = core

    @classmethod
    def from_dense(cls, array: npt.ArrayLike) -> SymmetricTensor:
        """Pack a dense array.

        Parameters
        ----------
        array : array-like of shape (dim,) * order, order 2, 3 or 4
            Entries with the same indices in another order may differ by 1e-8 of the largest absolute entry; the
            one with sorted indices is kept.

        Returns
        -------
        SymmetricTensor

        Raises
        ------
        ValueError
            For an array that is not cubic, not finite or not symmetric.
        """
        return pack("array", array, orders=(2, 3, 4))

    @classmethod
    def from_canonical(cls, values: npt.ArrayLike, dim: int, order: int) -> SymmetricTensor:
        """Take the unique entries.

        Parameters
        ----------
        values : array-like of shape (comb(dim + order - 1, order),)
            T[a, b, ...] for a <= b <= ..., in lexicographic order of the indices: the order of
            ``itertools.combinations_with_replacement(range(dim), order)``.
        dim : int
        order : {2, 3, 4}

        Returns
        -------
        SymmetricTensor

        Raises
        ------
        ValueError
            For a wrong number of values, values that are not finite, or another order.

        Examples
        --------
        >>> from moefast.tensors import SymmetricTensor
        >>> SymmetricTensor.from_canonical([1.0, 2.0, 3.0], dim=2, order=2).to_dense()
        array([[1., 2.],
               [2., 3.]])
        """
        for name, number in (("dim", dim), ("order", order)):
            if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
                raise TypeError(f"{name} must be an integer, got {number!r}")
            if not -(2**31) <= number < 2**31:
                raise ValueError(f"{name} is out of range, got {number}")
        return cls(_core.SymmetricTensor.from_canonical(_finite("values", values), int(dim), int(order)))

    @property
    def dim(self) -> int:
        """How many values each index takes."""
        return self._core.dim

    @property
    def order(self) -> int:
        """How many indices there are."""
        return self._core.order

    def to_dense(self) -> Floats:
        """Return the dense array, shape (dim,) * order."""
        return self._core.to_dense()

    def to_canonical(self) -> Floats:
        """Return the unique entries as :meth:`from_canonical` takes them, bit for bit."""
        return self._core.to_canonical()

    def apply(self, U: npt.ArrayLike) -> Floats:
        """Return T(I, u, .., u).

        Parameters
        ----------
        U : array-like of shape (R, dim) or (dim,)
            The vectors, a row each.

        Returns
        -------
        ndarray of the shape of U

        Raises
        ------
        ValueError
            For a wrong shape, NaN or infinity.
        OverflowError
            When a result goes beyond the range of float64; so in all contractions.
        """
        rows, single = self._rows("U", U)
        images = self._core.apply(rows)
        return images[0] if single else images

    def value(self, U: npt.ArrayLike) -> Floats | float:
        """Return T(u, .., u): shape (R,) for U of shape (R, dim), a number for one vector (dim,)."""
        rows, single = self._rows("U", U)
        values = self._core.value(rows)
        return float(values[0]) if single else values

    def project(self, W: npt.ArrayLike) -> Floats:
        """Return T(W, .., W), the dense tensor seen along the columns of W.

        Parameters
        ----------
        W : array-like of shape (dim, m)

        Returns
        -------
        ndarray of shape (m,) * order
            Symmetric to the last bit.

        Raises
        ------
        ValueError, OverflowError
            As :meth:`apply`.
        """
        W = _finite("W", W)
        if W.ndim != 2 or len(W) != self.dim:
            raise ValueError(f"W must have shape ({self.dim}, m), got {W.shape}")
        return self._core.project(W)

    def pair_value(self, U: npt.ArrayLike, V: npt.ArrayLike) -> Floats | float:
        """Return T(u, u, v, v) of a tensor of order 4 for R pairs.

        Parameters
        ----------
        U, V : array-like of shape (R, dim) or (dim,)

        Returns
        -------
        ndarray of shape (R,), or float for one pair

        Raises
        ------
        ValueError, OverflowError
            As :meth:`apply`, and for a tensor of another order.
        """
        (U, V), single = self._pairs(U, V)
        values = self._core.pair_value(U, V)
        return float(values[0]) if single else values

    def pair_gradient(self, U: npt.ArrayLike, V: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Return the gradients of T(u, u, v, v) by u, 2 T(I, u, v, v), and by v, 2 T(I, u, u, v).

        Parameters
        ----------
        U, V : array-like of shape (R, dim) or (dim,)

        Returns
        -------
        by_u, by_v : ndarray of the shape of U
            The value itself is (by_u * U).sum(axis=-1) / 2.

        Raises
        ------
        ValueError, OverflowError
            As :meth:`pair_value`.
        """
        (U, V), single = self._pairs(U, V)
        by_u, by_v = self._core.pair_gradient(U, V)
        return (by_u[0], by_v[0]) if single else (by_u, by_v)

    def _rows(self, name: str, vectors: npt.ArrayLike) -> tuple[Floats, bool]:
        """Return the vectors as rows, and whether it was a single one."""
        rows = _finite(name, vectors)
        if rows.ndim not in (1, 2) or rows.shape[-1] != self.dim:
            raise ValueError(f"{name} must have shape (R, {self.dim}) or ({self.dim},), got {rows.shape}")
        return np.atleast_2d(rows), rows.ndim == 1

    def _pairs(self, U: npt.ArrayLike, V: npt.ArrayLike) -> tuple[tuple[Floats, Floats], bool]:
        if self.order != 4:
            raise ValueError(f"pairs need a tensor of order 4, this one is of order {self.order}")
        if np.shape(U) != np.shape(V):
            raise ValueError(f"U and V must have the same shape, got {np.shape(U)} and {np.shape(V)}")
        (rows, single), (others, _) = self._rows("U", U), self._rows("V", V)
        return (rows, others), single

    def __reduce__(self) -> tuple[Any, ...]:
        return SymmetricTensor.from_canonical, (self.to_canonical(), self.dim, self.order)

    def __repr__(self) -> str:
        return f"SymmetricTensor(dim={self.dim}, order={self.order})"


def pack(name: str, array: npt.ArrayLike, orders: Sequence[int]) -> SymmetricTensor:
    """Pack a dense array of one of the orders; errors call it `name`."""
    dense = _finite(name, array)
    if dense.ndim not in orders or len(set(dense.shape)) != 1:
        shapes = " or ".join(f"({', '.join(['dim'] * order)})" for order in orders)
        raise ValueError(f"{name} must have shape {shapes}, got {dense.shape}")
    try:
        return SymmetricTensor(_core.SymmetricTensor.from_dense(dense))
    except ValueError as error:
        raise ValueError(f"{name} is {error}") from None


def _finite(name: str, values: npt.ArrayLike) -> Floats:
    """Return C-ordered float64, or raise an error that names the argument."""
    refuse_misread(values, name)
    if np.iscomplexobj(values):
        raise ValueError(f"{name} must be real, got complex values")
    try:
        array = np.asarray(values, dtype=np.float64, order="C")
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"{name} is not numeric: {error}") from None
    if not np.isfinite(array).all():
        raise ValueError(f"{name} contains NaN or infinity")
    return array
