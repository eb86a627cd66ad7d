r"""Score tensors of whitened inputs from accumulated moments.

With :math:`z = L^T (x - \bar x)` of mean 0 and covariance I:

.. math::

    S_2(z) = z z^T - I, \qquad S_3(z) = z^{\otimes 3} - \mathrm{sym}_3(z \otimes I), \qquad
    S_4(z) = z^{\otimes 4} - \mathrm{sym}_6(z \otimes z \otimes I) + \mathrm{sym}_3(I \otimes I).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from moefast._typing import Floats
from moefast.links import Link
from moefast.transforms.polynomial import PolynomialTransform, ResponseTransform, hermite_moment

__all__ = ["ScoreMoments", "score_correction"]


# Directions of x with less than this share of the largest variance (of unit-scaled columns) count as none.
_RANK_TOLERANCE = 1e-10


def score_correction(moments: Floats, gram: Floats) -> Floats:
    r"""Return mean h S_m(z) along directions D from the mean of h times the monomials of (D' z, 1).

    Parameters
    ----------
    moments : ndarray of shape (q + 1,) * m
        Mean of :math:`h \, v^{\otimes m}`, v = (D' z, 1); m = 2, 3 or 4.
    gram : ndarray of shape (q, q)
        D' D: the covariance of D' z.

    Returns
    -------
    ndarray of shape (q,) * m
    """
    q = len(gram)
    top = moments[(slice(q),) * moments.ndim]
    if moments.ndim == 2:
        return np.asarray(top - moments[q, q] * gram)
    # One first index after another: with hundreds of directions the whole takes seconds, during which numpy
    # would let no Ctrl-C through, and several times the memory.
    corrected: Floats = np.empty_like(top)
    for i, row in enumerate(gram):
        if moments.ndim == 3:
            z = moments[:q, q, q]
            corrected[i] = top[i] - (z[i] * gram + np.multiply.outer(z, row) + np.multiply.outer(row, z))
            continue
        zz = moments[:q, :q, q, q]
        pairs = (
            np.einsum("j,kl->jkl", zz[i], gram),
            np.einsum("k,jl->jkl", zz[i], gram),
            np.einsum("l,kj->jkl", zz[i], gram),
            np.einsum("kj,l->jkl", zz, row),
            np.einsum("lj,k->jkl", zz, gram[:, i]),
            np.einsum("kl,j->jkl", zz, row),
        )
        first, second, third = (np.einsum(s, row, gram) for s in ("j,kl->jkl", "k,jl->jkl", "l,kj->jkl"))
        corrected[i] = top[i] - sum(pairs) + moments[q, q, q, q] * (first + second + third)
    return corrected


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
        self.y_variance = float(self._mean(0, self._power(2)))
        self.covariance: Floats = self._mean(2, self._power(0))[:d, :d]
        variances = np.diag(self.covariance)
        if not (variances >= 0.0).all():
            column = int(np.argmin(variances >= 0.0))
            raise ValueError(
                f"X column {column} has a variance of {variances[column]:g}: these are the sums of no rows, as of "
                "bytes that were changed"
            )
        scale = np.sqrt(variances)
        inverse = np.divide(1.0, scale, out=np.zeros(d), where=scale > 0)
        values, vectors = np.linalg.eigh(inverse[:, None] * self.covariance * inverse)
        keep = values > _RANK_TOLERANCE * max(1.0, float(values[-1]))
        self.whitening: Floats = inverse[:, None] * vectors[:, keep] / np.sqrt(values[keep])

    def _power(self, h: int) -> list[float]:
        """Coefficients of (y - mean y)^h over the channels."""
        return [float(channel == h) for channel in range(self._sums.n_channels)]

    def _mean(self, order: int, coefficients: list[float]) -> Floats:
        """Return the mean of Q(y) u u .., dense, u = (x - mean x, 1)."""
        if order == self._sums.order:
            return np.asarray(self._sums.to_dense(coefficients) / self._weight)
        return np.asarray(self._sums.lower_order(order, coefficients) / self._weight)

    @property
    def order(self) -> int:
        """The highest order of the moments."""
        return int(self._sums.order)

    @property
    def rank(self) -> int:
        """The dimension of z."""
        return int(self.whitening.shape[1])

    def cross_moment(self) -> Floats:
        """Return the mean of (y - mean y) z, shape (rank,); under the model E[g'] sum_i p_i a_i."""
        d = len(self.x_mean)
        first = self._mean(1, self._power(1))[:d]
        moment: Floats = self.whitening.T @ first
        return moment

    def noise(self, link: Link) -> float:
        """Return s from s^2 = mean(y^2) - E[g(Z)^2], at least a hundredth of the spread of y.

        Good enough for the transforms, poor as a number: its standard error is std(y^2) / (2 s sqrt(n)).
        """
        square = self.y_variance + self.y_mean**2
        return float(np.sqrt(max(square - hermite_moment(link, 2, 0)[0], 1e-4 * self.y_variance)))

    def score_tensor(self, order: int, transform: ResponseTransform, directions: Floats | None = None) -> Floats:
        """Return the mean of (P(y) - mean P(y)) S_m(z), seen along some directions.

        Parameters
        ----------
        order : {2, 3, 4}
            m, at most that of the moments.
        transform : PolynomialTransform
            P.
        directions : ndarray of shape (rank, q), optional
            D: T(D, ..., D) is returned. Only the q-dimensional projection is ever formed. The default is
            the identity.

        Returns
        -------
        ndarray of shape (q,) * order
        """
        if not isinstance(transform, PolynomialTransform):
            raise TypeError(
                f"moments of powers of y serve polynomials only, not {type(transform).__name__}: it needs a pass "
                "over the samples, see moefast.moments.TwoPassMoments"
            )
        if order not in range(2, self.order + 1):
            raise ValueError(f"order must lie between 2 and {self.order}, that of the moments, got {order!r}")
        D = np.eye(self.rank) if directions is None else np.asarray(directions, dtype=np.float64)
        if D.ndim != 2 or len(D) != self.rank:
            raise ValueError(f"directions must have shape ({self.rank}, q), got {D.shape}")
        d, q = len(self.x_mean), D.shape[1]
        channels = list(transform.channels_about(self.y_mean, self._sums.n_channels))
        # Less the mean: the constant falls out, so a constant response leaves exact zeros.
        channels[0] = 0.0
        channels[0] = -float(self._mean(0, channels))
        V = np.zeros((d + 1, q + 1))  # u = (x - mean, 1) goes to (D' z, 1)
        V[:d, :q] = self.whitening @ D
        V[d, q] = 1.0
        if order == self.order:
            moments = self._sums.contract(channels, V)
            moments /= self._weight
        else:
            moments = self._mean(order, channels)
            for _ in range(order):  # one index after the other; the last becomes the first
                moments = np.tensordot(moments, V, axes=(0, 0))
        return score_correction(np.asarray(moments), D.T @ D)
