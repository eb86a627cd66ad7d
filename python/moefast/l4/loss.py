r"""The L4 loss: experts as the minimum of a quartic, from the fourth score tensor or from mini-batches.

With :math:`T_4 = E[Q_4(y) S_4(x)] / c_4 = \sum_i p_i a_i^{\otimes 4}` and one candidate :math:`\hat a_j` an expert

.. math::

    L_4(\hat A) = \sum_{j \ne l} T_4(\hat a_j, \hat a_j, \hat a_l, \hat a_l)
        - \mu \sum_j T_4(\hat a_j, \hat a_j, \hat a_j, \hat a_j)
        + \lambda \sum_j (\|\hat a_j\|^2 - 1)^2 .

Where the :math:`a_i` are orthonormal (after whitening by T2 they are), every local minimum is the set of experts,
up to order, signs and one length each.

Source: Makkuva, Oh, Kannan, Viswanath, "Learning in Gated Neural Networks", AISTATS 2020.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.tensors.power_method import power_iteration
from moefast.tensors.symmetric import SymmetricTensor, pack
from moefast.validation import check_number, check_weights

__all__ = ["L4Loss", "StochasticL4Loss"]


# Of mu, lam and learning rates: their products stay in range.
LARGEST_FACTOR = 1e50


class L4Loss:
    """L4 on a tensor that is known.

    Candidates A have shape (m, dim), or (.., m, dim) for many sets of them at once.

    Parameters
    ----------
    tensor : array-like of shape (dim, dim, dim, dim), or SymmetricTensor
        T4, symmetric. A dense array serves few dimensions (whitened experts), a packed one many.
    mu : float
        How much the experts' own values count; not negative.
    lam : float
        Penalty on lengths other than 1; positive.

    Raises
    ------
    ValueError
        For a tensor that is not of order 4, not symmetric or not finite, or mu and lam out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.l4 import L4Loss
    >>> A = np.eye(2)
    >>> loss = L4Loss(np.einsum("ia,ib,ic,id->abcd", A, A, A, A), mu=0.5, lam=2.0)
    >>> loss.value(A), loss.largest_value()
    (-1.0, 1.0)
    >>> longer = A * np.sqrt(2.0 / (2.0 - 0.5))  # the minimum: |a|^2 = lam / (lam - mu)
    >>> bool(abs(loss.gradient(longer)).max() < 1e-14)
    True
    """

    def __init__(self, tensor: npt.ArrayLike | SymmetricTensor, mu: float, lam: float) -> None:
        self.mu, self.lam = _checked_factors(mu, lam)
        packed = tensor if isinstance(tensor, SymmetricTensor) else pack("tensor", tensor, orders=(4,))
        if packed.order != 4:
            raise ValueError(f"tensor must be of order 4, got order {packed.order}")
        self.dim = packed.dim
        self._packed = packed
        # T as a matrix over pairs of indices: T(I, I, a, a) of many a is one product.
        self._pairs = None if packed is tensor else packed.to_dense().reshape(self.dim**2, self.dim**2)

    def value(self, A: npt.ArrayLike) -> Floats | float:
        """Return L4(A), a number, or an array of shape (..) for many sets."""
        A = self._checked("A", A)
        products = (self._slope(A) * A).sum(axis=(-2, -1)) / 4.0 + self.lam * (_excess(A) ** 2).sum(axis=-1)
        return products if A.ndim > 2 else float(products)

    def gradient(self, A: npt.ArrayLike) -> Floats:
        """Return the gradient, of the shape of A."""
        A = self._checked("A", A)
        return np.asarray(self._slope(A) + 4.0 * self.lam * _excess(A)[..., None] * A)

    def hessian_vector(self, A: npt.ArrayLike, V: npt.ArrayLike) -> Floats:
        """Return the second derivative at A times V, both of shape (.., m, dim)."""
        A, V = self._checked("A", A), self._checked("V", V)
        if A.shape != V.shape:
            raise ValueError(f"A and V must have the same shape, got {A.shape} and {V.shape}")
        along = (A * V).sum(axis=-1, keepdims=True)
        length = 4.0 * _excess(A)[..., None] * V + 8.0 * along * A
        return np.asarray(self._curvature(A, V) + self.lam * length)

    def largest_value(self) -> float:
        r"""Return the largest :math:`T_4(u, u, u, u)` over unit vectors, or a little more; at least 0.

        The loss is bounded below when lam exceeds mu times this. A dense tensor answers with the largest
        eigenvalue of its matrix over pairs of indices, which is that number for a sum over orthonormal experts;
        a packed one by the power method.
        """
        if self._pairs is not None:
            return max(float(np.linalg.eigvalsh(self._pairs)[-1]), 0.0)
        # Pairs come by absolute value: a few, so that a negative one in front does not hide the largest.
        return max(float(power_iteration(self._packed, min(self.dim, 4), random_state=0).values.max()), 0.0)

    def _slope(self, A: Floats) -> Floats:
        """Return 4 sum_l C_jl T(I, a_j, a_l, a_l), C = 1 off the diagonal and -mu on it."""
        if self._pairs is not None:
            seen = self._seen(A, A)
            return 4.0 * np.asarray((self._mixed(seen) @ A[..., None])[..., 0])
        own = self._packed.apply(A.reshape(-1, self.dim)).reshape(A.shape)
        return 4.0 * np.asarray(self._others(A, A) - self.mu * own)

    def _curvature(self, A: Floats, V: Floats) -> Floats:
        """Return the derivative of :meth:`_slope` along V."""
        if self._pairs is not None:
            straight = self._mixed(self._seen(A, A)) @ V[..., None]
            return 4.0 * np.asarray((straight + 2.0 * self._mixed(self._seen(A, V)) @ A[..., None])[..., 0])
        rows = self._packed.pair_gradient(V.reshape(-1, self.dim), A.reshape(-1, self.dim))[0]
        own = 1.5 * rows.reshape(A.shape)  # 3 T(I, v, a, a)
        # 2 T(I, u, a, v) by polarisation, exact; a and v of one length, so that nothing cancels.
        sizes, steps = (np.linalg.norm(B, axis=-1, keepdims=True) for B in (A, V))
        both = (sizes > 0) & (steps > 0)
        ratio = np.divide(sizes, steps, out=np.ones_like(sizes), where=both)
        factors = np.where(both, 0.5 / ratio, 0.0)
        crossed = self._others(A, A + ratio * V, factors) - self._others(A, A - ratio * V, factors)
        return 4.0 * np.asarray(self._others(V, A) + crossed - self.mu * own)

    def _seen(self, A: Floats, B: Floats) -> Floats:
        """Return T(I, I, a_l, b_l), shape (.., m, dim, dim), of the dense tensor."""
        assert self._pairs is not None
        outer = A[..., :, None] * B[..., None, :]
        return (outer.reshape(*A.shape[:-1], -1) @ self._pairs).reshape(*A.shape, self.dim)

    def _mixed(self, seen: Floats) -> Floats:
        """Return sum_l C_jl seen_l."""
        return np.asarray(seen.sum(axis=-3, keepdims=True) - (1.0 + self.mu) * seen)

    def _others(self, A: Floats, B: Floats, factors: Floats | None = None) -> Floats:
        """Return sum over l != j of factor_l T(I, a_j, b_l, b_l) of the packed tensor."""
        m = A.shape[-2]
        shape = (*A.shape[:-1], m, self.dim)
        U = np.broadcast_to(A[..., :, None, :], shape).reshape(-1, self.dim)
        V = np.broadcast_to(B[..., None, :, :], shape).reshape(-1, self.dim)
        images = 0.5 * self._packed.pair_gradient(U, V)[0].reshape(shape)
        if factors is not None:
            images = images * factors[..., None, :, :]
        return np.asarray((images * (1.0 - np.eye(m))[..., None]).sum(axis=-2))

    def _checked(self, name: str, A: npt.ArrayLike) -> Floats:
        return _checked_candidates(name, A, self.dim)


class StochasticL4Loss:
    r"""L4 as a mean over samples, without the tensor: values and gradients of mini-batches.

    One sample adds, with :math:`\langle u, v \rangle = u^T G v`, to :math:`T_4(u, u, v, v)`

    .. math::

        h \left( |u|^2 |v|^2 + 2 \langle u, v \rangle^2 - |u|^2 (v z)^2 - |v|^2 (u z)^2
            - 4 (u z)(v z) \langle u, v \rangle + (u z)^2 (v z)^2 \right).

    The mean over all rows is :class:`L4Loss` on the mean tensor, up to rounding. A batch of b rows costs
    O(b m dim) operations for m candidates: the sum over pairs of candidates is never written out.

    Parameters
    ----------
    Z : array-like of shape (n, dim)
        z = D' x with x whitened.
    response : array-like of shape (n,)
        h = (Q4(y) - its mean) / c4; without the mean taken off the gradients are as right, but far noisier.
    mu, lam : float
        As for :class:`L4Loss`.
    gram : array-like of shape (dim, dim), optional
        G = D' D, the covariance of z; the default is the identity.
    sample_weight : array-like of shape (n,), optional

    Raises
    ------
    ValueError
        For shapes that do not fit, NaN or infinity, negative weights, or mu and lam out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.l4 import StochasticL4Loss
    >>> rng = np.random.default_rng(0)
    >>> Z, h, A = rng.normal(size=(1000, 2)), rng.normal(size=1000), np.eye(2)
    >>> loss = StochasticL4Loss(Z, h - h.mean(), mu=0.5, lam=2.0)
    >>> batches = [loss.gradient(A, slice(i, i + 100)) for i in range(0, 1000, 100)]
    >>> bool(np.allclose(np.mean(batches, axis=0), loss.gradient(A)))
    True
    """

    def __init__(
        self,
        Z: npt.ArrayLike,
        response: npt.ArrayLike,
        mu: float,
        lam: float,
        *,
        gram: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> None:
        self.mu, self.lam = _checked_factors(mu, lam)
        self.Z = np.ascontiguousarray(_real("Z", Z))
        if self.Z.ndim != 2 or 0 in self.Z.shape:
            raise ValueError(f"Z must have shape (n, dim), got {self.Z.shape}")
        self.n, self.dim = self.Z.shape
        self.response = _real("response", response)
        self.gram = np.eye(self.dim) if gram is None else _real("gram", gram)
        weights = check_weights(sample_weight, self.n)
        for name, array, shape in (
            ("Z", self.Z, self.Z.shape),
            ("response", self.response, (self.n,)),
            ("gram", self.gram, (self.dim, self.dim)),
        ):
            if array.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} contains NaN or infinity")
        if weights.sum() < self.n * np.finfo(np.float64).tiny:  # the quotient below would leave the range
            weights = weights / weights.max()
        # Rows are drawn evenly; a weight counts as a factor of the response, which every term has once.
        self._h = self.response * (weights * (self.n / weights.sum()))

    def value(self, A: npt.ArrayLike, rows: slice | npt.NDArray[np.intp] | None = None) -> Floats | float:
        """Return L4(A) of a batch, a number, or an array of shape (..) for A of shape (.., m, dim)."""
        A = _checked_candidates("A", A, self.dim)
        gradient = self._quartic_gradient(A, *self._batch(rows))
        values = (gradient * A).sum(axis=(-2, -1)) / 4.0 + self.lam * (_excess(A) ** 2).sum(axis=-1)
        return values if A.ndim > 2 else float(values)

    def gradient(self, A: npt.ArrayLike, rows: slice | npt.NDArray[np.intp] | None = None) -> Floats:
        """Return the gradient of the loss of a batch, of the shape of A.

        Parameters
        ----------
        A : array-like of shape (m, dim) or (.., m, dim)
        rows : slice or ndarray of int, optional
            The batch; the default is all rows.
        """
        A = _checked_candidates("A", A, self.dim)
        return self.batch_gradient(A, *self._batch(rows))

    def batch_gradient(self, A: Floats, Z: Floats, h: Floats) -> Floats:
        """Return the gradient for rows given as such: Z (b, dim) and weighted responses h (b,), unchecked."""
        return self._quartic_gradient(A, Z, h) + 4.0 * self.lam * _excess(A)[..., None] * A

    def shuffled(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return all rows in a random order, as :meth:`batch_gradient` takes them."""
        order = rng.permutation(self.n)
        return self.Z[order], self._h[order]

    def _batch(self, rows: slice | npt.NDArray[np.intp] | None) -> tuple[Floats, Floats]:
        Z, h = (self.Z, self._h) if rows is None else (self.Z[rows], self._h[rows])
        if len(h) == 0:
            raise ValueError("rows must not be empty")
        return Z, h

    def _quartic_gradient(self, A: Floats, Z: Floats, h: Floats) -> Floats:
        """Return the gradient of the part of degree four: a quarter of its product with A is its value."""
        shape, m, G = A.shape, A.shape[-2], self.gram
        A = A.reshape(-1, m, self.dim)
        h = h / len(h)
        # The term (u z)^2 (v z)^2. Candidates come first, so that sums over them run along memory.
        projected = np.moveaxis(A, 1, 0).reshape(-1, self.dim) @ Z.T
        squares = projected * projected
        by_candidate = squares.reshape(m, -1)
        total = by_candidate.sum(axis=0)
        by_candidate *= -(1.0 + self.mu)
        by_candidate += total
        squares *= projected
        squares *= h
        top = np.moveaxis((squares @ Z).reshape(m, -1, self.dim), 0, 1)
        # The others need the batch through two sums alone: of h, and of h z z'.
        level, second = h.sum(), (Z * h[:, None]).T @ Z
        C = 1.0 - (1.0 + self.mu) * np.eye(m)
        AG, AM = A @ G, A @ second
        products, seconds = AG @ A.transpose(0, 2, 1), AM @ A.transpose(0, 2, 1)  # a_j' G a_l, a_j' M a_l
        sizes, energies = (np.diagonal(B, axis1=1, axis2=2) @ C for B in (products, seconds))
        low = (
            (level * sizes - energies)[..., None] * AG
            - sizes[..., None] * AM
            + 2.0 * (C * (level * products - seconds)) @ AG
            - 2.0 * (C * products) @ AM
        )
        return np.asarray(4.0 * (top + low)).reshape(shape)


def _excess(A: Floats) -> Floats:
    """Return |a|^2 - 1."""
    return np.asarray((A * A).sum(axis=-1) - 1.0)


def _checked_factors(mu: float, lam: float) -> tuple[float, float]:
    check_number("mu", mu, high=LARGEST_FACTOR)
    check_number("lam", lam, open_low=True, high=LARGEST_FACTOR)
    return float(mu), float(lam)


def _real(name: str, values: npt.ArrayLike) -> Floats:
    if np.iscomplexobj(values):
        raise ValueError(f"{name} must be real, got complex values")
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"{name} is not numeric: {error}") from None


def _checked_candidates(name: str, A: npt.ArrayLike, dim: int) -> Floats:
    A = _real(name, A)
    if A.ndim < 2 or A.shape[-1] != dim or A.size == 0:
        raise ValueError(f"{name} must have shape (m, {dim}) or (.., m, {dim}), got {A.shape}")
    if not np.isfinite(A).all():
        raise ValueError(f"{name} contains NaN or infinity")
    return A
