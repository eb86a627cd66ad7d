r"""From score tensors to directions: whiten by T2, decompose T3 by the robust power method.

:math:`T_2 = \sum_i \lambda_i v_i v_i^T` and :math:`T_3 = \sum_i \mu_i v_i^{\otimes 3}` with linearly independent
:math:`v_i`. With W such that :math:`W^T T_2 W = I` the vectors :math:`\sqrt{\lambda_i} W^T v_i` are
orthonormal, so :math:`T_3(W, W, W)` is an orthogonal tensor; its eigenvectors, taken back through the
pseudo-inverse of W, are the :math:`v_i`.

Source: Anandkumar, Ge, Hsu, Kakade, Telgarsky, "Tensor decompositions for learning latent variable
models", JMLR 2014.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import moefast._core as _core
from moefast._typing import Floats
from moefast.randomness import RandomState, get_generator
from moefast.tensors.symmetric import SymmetricTensor, pack
from moefast.validation import check_integer

__all__ = ["TensorPairs", "power_iteration"]


@dataclass(frozen=True)
class TensorPairs:
    """Eigenpairs of a symmetric tensor of order 3 or 4.

    Attributes
    ----------
    values : ndarray of shape (rank,)
        T(u, .., u). Of order 3 not negative, since -value goes with -u; of order 4 of either sign, the same for u
        and -u. 0 where a pair is degenerate.
    vectors : ndarray of shape (rank, dim)
        Unit rows.
    residuals : ndarray of shape (rank,)
        Norm of T(I, u, .., u) - value u, on the tensor deflated so far.
    n_iter : tuple of int
    statuses : tuple of str
        "converged", "iteration_limit" or "degenerate".
    """

    values: Floats
    vectors: Floats
    residuals: Floats
    n_iter: tuple[int, ...]
    statuses: tuple[str, ...]

    @property
    def converged(self) -> bool:
        """Whether every pair settled."""
        return all(status == "converged" for status in self.statuses)


def power_iteration(
    tensor: npt.ArrayLike | SymmetricTensor,
    rank: int,
    *,
    n_restarts: int = 30,
    max_iter: int = 300,
    tol: float = 1e-12,
    random_state: RandomState = None,
) -> TensorPairs:
    """Robust tensor power method with restarts and deflation.

    All restarts go on together, so that the tensor is read once for a batch of them.

    Parameters
    ----------
    tensor : SymmetricTensor, or array-like of shape (dim, dim, dim) or (dim, dim, dim, dim)
        Symmetric, of order 3 or 4. A dense array is packed first.
    rank : int
        The number of pairs, at most dim.
    n_restarts : int
        Random starting vectors; each pair keeps the best: the largest value (order 3), the largest absolute
        value (order 4).
    max_iter : int
        Updates of each restart.
    tol : float
        On the change of the unit vector.
    random_state : int, Generator, RandomState or None
        For the starting vectors.

    Returns
    -------
    TensorPairs
        In the order found, by and large by decreasing absolute value.

    Raises
    ------
    ValueError
        For a tensor that is not cubic, not finite or not symmetric, or a rank out of range.
    OverflowError
        When a value goes beyond the range of float64.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.tensors import power_iteration
    >>> T = 2.0 * np.einsum("i,j,k->ijk", *[np.eye(3)[0]] * 3) + np.einsum("i,j,k->ijk", *[np.eye(3)[2]] * 3)
    >>> power_iteration(T, rank=2, random_state=0).values.round(6)
    array([2., 1.])
    """
    if not isinstance(tensor, SymmetricTensor):
        tensor = pack("tensor", tensor, orders=(3, 4))
    if tensor.order == 2:
        raise ValueError("tensor must be of order 3 or 4, got order 2; numpy.linalg.eigh takes a matrix apart")
    for name, value in (("rank", rank), ("n_restarts", n_restarts), ("max_iter", max_iter)):
        check_integer(name, value)
    rng = get_generator(random_state)
    starts = np.ascontiguousarray(rng.normal(size=(n_restarts, tensor.dim)))
    values, vectors, residuals, n_iter, statuses = _core.power_iteration(tensor._core, starts, rank, max_iter, tol)
    return TensorPairs(values, vectors, residuals, tuple(n_iter), tuple(statuses))
