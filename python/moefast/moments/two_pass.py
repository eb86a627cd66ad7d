r"""Moments along a few directions: the second of two passes over the samples.

With directions W (d x q) the moments of :math:`z = W^T (x - m)` of order three take :math:`q^3` numbers where the
tensor of all features takes :math:`d^3`. What is lost: the directions, and with them the transform, must be
known before the pass, and the samples are read twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

import moefast._core as _core
from moefast._typing import Floats
from moefast.moments.scores import ScoreMoments, score_correction
from moefast.threads import resolve_threads
from moefast.transforms.polynomial import PolynomialTransform, ResponseTransform
from moefast.validation import check_integer, check_samples

__all__ = ["TwoPassMoments", "projected_moments", "projected_score_tensor"]


def projected_moments(
    X: Any,
    y: Any,
    directions: npt.ArrayLike,
    transform: PolynomialTransform,
    *,
    order: int = 3,
    offset: npt.ArrayLike | None = None,
    sample_weight: Any = None,
    n_threads: int | None = None,
) -> Floats:
    r"""Return the weighted mean of :math:`P(y) \, v^{\otimes m}`, :math:`v = (W^T (x - m), 1)`, in one pass.

    Parameters
    ----------
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
    directions : array-like of shape (d, q)
        W.
    transform : PolynomialTransform
        P.
    order : {2, 3, 4}
        m.
    offset : array-like of shape (d,), optional
        m; the default is 0.
    sample_weight : array-like of shape (n,), optional
    n_threads : int or None

    Returns
    -------
    ndarray of shape (q + 1,) * order
        The last index stands for the appended 1, so the lower orders are in it.

    Raises
    ------
    ValueError
        For bad input; the column is named.
    OverflowError
        When the moments leave the range of float64.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.moments import projected_moments
    >>> from moefast.transforms import PolynomialTransform, ResponseTransform
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(1000, 50)), rng.normal(size=1000)
    >>> identity = PolynomialTransform((0.0, 1.0), 1.0, order=3)
    >>> moments = projected_moments(X, y, np.eye(50, 2), identity)
    >>> bool(np.allclose(moments[:2, :2, 2], (X[:, :2].T * y) @ X[:, :2] / 1000))
    True
    """
    samples = check_samples(X, y, sample_weight)
    X, y, weights = samples.X, samples.y, samples.sample_weight
    check_integer("order", order, low=2, high=4)
    W = np.ascontiguousarray(directions, dtype=np.float64)
    if W.ndim != 2 or len(W) != X.shape[1] or W.shape[1] == 0:
        raise ValueError(f"directions must have shape ({X.shape[1]}, q), got {W.shape}")
    m = np.zeros(X.shape[1]) if offset is None else np.ascontiguousarray(offset, dtype=np.float64)
    if m.shape != (X.shape[1],):
        raise ValueError(f"offset must have shape ({X.shape[1]},), got {m.shape}")
    for name, values in (("directions", W), ("offset", m), ("transform", np.array(transform.coefficients))):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} contains NaN or infinity")
    return projected_mean(X, y, weights, W, m, transform, order, n_threads)


def projected_mean(
    X: Floats,
    y: Floats,
    weights: Floats,
    W: Floats,
    offset: Floats,
    transform: PolynomialTransform,
    order: int,
    n_threads: int | None,
) -> Floats:
    """Do the same as :func:`projected_moments` on checked arguments."""
    P = list(map(float, transform.coefficients))
    sums = _core.projected_moments64(
        X, y, weights, W, offset, order, P, float(transform.about), resolve_threads(n_threads)
    )
    sums = sums.recentred(np.zeros(W.shape[1] + 1))
    return np.asarray(sums.to_dense([1.0]) / sums.weight)


def centred_response(
    y: Floats, weights: Floats, transform: ResponseTransform
) -> tuple[Floats, PolynomialTransform]:
    """Return (t, P) with P(t) = h(y) - mean h(y): a polynomial of y, or of t = h(y) where h is none."""
    level = float(np.average(transform(y), weights=weights))
    if not isinstance(transform, PolynomialTransform):
        return np.ascontiguousarray(transform(y)), PolynomialTransform((-level, 1.0), transform.constant, order=1)
    constant, *rest = transform.coefficients or (0.0,)
    return y, replace(transform, coefficients=(constant - level, *rest))


def projected_score_tensor(
    X: Floats,
    y: Floats,
    weights: Floats,
    moments: ScoreMoments,
    order: int,
    transform: ResponseTransform,
    directions: Floats,
    n_threads: int | None = None,
) -> Floats:
    """Return what ``moments.score_tensor(order, transform, directions)`` would, by a second pass.

    Parameters
    ----------
    X : ndarray of shape (n, d), float64
    y : ndarray of shape (n,), float64
    weights : ndarray of shape (n,), float64
        Positive.
    moments : ScoreMoments
        Of a first pass over the same samples, of any order: its means and whitening are used.
    order : {2, 3, 4}
        m.
    transform : PolynomialTransform, OptimalTransform
        h, not necessarily a polynomial.
    directions : ndarray of shape (rank, q)
        W, in whitened coordinates.
    n_threads : int or None

    Returns
    -------
    ndarray of shape (q,) * order
    """
    t, P = centred_response(y, weights, transform)
    W = np.ascontiguousarray(moments.whitening @ directions)
    mean = projected_mean(X, t, weights, W, moments.x_mean, P, order, n_threads)
    return score_correction(mean, directions.T @ directions)


class TwoPassMoments:
    """What :class:`moefast.moments.ScoreMoments` answers, from the samples where its moments do not reach.

    Parameters
    ----------
    X, y, weights : ndarray of shape (n, d), (n,), (n,), float64
        Weights positive.
    moments : ScoreMoments
        Of these samples.
    n_threads : int or None
    """

    def __init__(
        self, X: Floats, y: Floats, weights: Floats, moments: ScoreMoments, n_threads: int | None = None
    ) -> None:
        self.samples = (X, y, weights)
        self.moments = moments
        self.n_threads = n_threads
        self.x_mean, self.y_mean, self.y_variance = moments.x_mean, moments.y_mean, moments.y_variance
        self.whitening = moments.whitening

    @property
    def rank(self) -> int:
        """The dimension of z."""
        return self.moments.rank

    def cross_moment(self) -> Floats:
        """Return the mean of (y - mean y) S_1(z), shape (rank,)."""
        return self.moments.cross_moment()

    def score_tensor(self, order: int, transform: ResponseTransform, directions: Floats | None = None) -> Floats:
        """Return the mean of (h(y) - mean h(y)) S_m(z) along directions; see ScoreMoments.score_tensor."""
        if isinstance(transform, PolynomialTransform):
            degree = len(transform.coefficients) - 1
            if max(order, degree) <= self.moments.order:
                return self.moments.score_tensor(order, transform, directions)
        W = np.eye(self.rank) if directions is None else directions
        return projected_score_tensor(*self.samples, self.moments, order, transform, W, self.n_threads)
