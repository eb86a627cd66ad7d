r"""Score tensors of whitened inputs from accumulated moments.

With :math:`z = L^T (x - \bar x)` of mean 0 and covariance I:

.. math::

    S_2(z) = z z^T - I, \qquad S_3(z) = z^{\otimes 3} - \sum_i \mathrm{sym}_3(z \otimes e_i \otimes e_i).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from moefast.transforms import PolynomialTransform

__all__ = ["ScoreMoments"]

Floats: TypeAlias = npt.NDArray[np.float64]

# Directions of x with less than this share of the largest variance (of unit-scaled columns) count as none.
_RANK_TOLERANCE = 1e-10


class ScoreMoments:
    """Moments about the means, together with the whitening of x.

    Made by :meth:`moefast.MomentAccumulator.score_moments`.

    Attributes
    ----------
    x_mean : ndarray of shape (n_features,)
    y_mean : float
    y_variance : float
    covariance : ndarray of shape (n_features, n_features)
        Of x, weighted, divided by the sum of the weights.
    whitening : ndarray of shape (n_features, rank)
        L, with L' covariance L = I.
    """

    def __init__(self, sums: Any) -> None:
        d = sums.n_features
        centre = sums.centre
        self._sums = sums
        self._weight = float(sums.weight)
        self.x_mean: Floats = centre[:d].copy()
        self.y_mean = float(centre[d])
        self.y_variance = float(sums.lower_order([0.0, 0.0, 1.0, 0.0])[d, d] / self._weight)
        self.covariance: Floats = sums.lower_order([1.0, 0.0, 0.0, 0.0])[:d, :d] / self._weight
        scale = np.sqrt(np.diag(self.covariance))
        inverse = np.divide(1.0, scale, out=np.zeros(d), where=scale > 0)
        values, vectors = np.linalg.eigh(self.covariance * np.outer(inverse, inverse))
        keep = values > _RANK_TOLERANCE * max(1.0, float(values[-1]))
        self.whitening: Floats = inverse[:, None] * vectors[:, keep] / np.sqrt(values[keep])

    @property
    def rank(self) -> int:
        """The dimension of z."""
        return int(self.whitening.shape[1])

    def cross_moment(self) -> Floats:
        """Return the mean of (y - mean y) z, shape (rank,); under the model E[g'] sum_i p_i a_i."""
        d = len(self.x_mean)
        first = self._sums.lower_order([0.0, 1.0, 0.0, 0.0])[:d, d] / self._weight
        moment: Floats = self.whitening.T @ first
        return moment

    def transform_mean(self, transform: PolynomialTransform) -> float:
        """Return the mean of P(y)."""
        d = len(self.x_mean)
        channels = list(transform.channels_about(self.y_mean))
        return float(self._sums.lower_order(channels)[d, d] / self._weight)

    def score_tensor(self, order: int, transform: PolynomialTransform, directions: Floats | None = None) -> Floats:
        """Return the mean of (P(y) - mean P(y)) S_m(z), seen along some directions.

        Parameters
        ----------
        order : {2, 3}
            m.
        transform : PolynomialTransform
            P.
        directions : ndarray of shape (rank, q), optional
            W: T(W, ..., W) is returned. Only the q-dimensional projection is ever formed. The default is
            the identity.

        Returns
        -------
        ndarray of shape (q,) * order
        """
        if order not in (2, 3):
            raise ValueError(f"order must be 2 or 3, got {order!r}")
        W = np.eye(self.rank) if directions is None else np.asarray(directions, dtype=np.float64)
        if W.ndim != 2 or len(W) != self.rank:
            raise ValueError(f"directions must have shape ({self.rank}, q), got {W.shape}")
        d, q = len(self.x_mean), W.shape[1]
        channels = list(transform.channels_about(self.y_mean))
        channels[0] -= self.transform_mean(transform)
        if order == 2:
            LW = self.whitening @ W
            second = self._sums.lower_order(channels)
            raw = LW.T @ second[:d, :d] @ LW
            matrix: Floats = (raw - second[d, d] * W.T @ W) / self._weight
            return matrix
        V = np.zeros((d + 1, q + 1))  # u = (x - mean, 1) goes to (W' z, 1)
        V[:d, :q] = self.whitening @ W
        V[d, q] = 1.0
        moments = self._sums.contract(channels, V) / self._weight
        first = moments[:q, q, q]
        trace = np.einsum("i,jk->ijk", first, W.T @ W)
        tensor: Floats = moments[:q, :q, :q] - (trace + trace.transpose(1, 0, 2) + trace.transpose(1, 2, 0))
        return tensor
