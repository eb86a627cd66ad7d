r"""Moments along a few directions: the second of two passes over the samples.

With directions D (d x q) the moments of :math:`D^T (x - m)` of order three take :math:`q^3` numbers where the
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
from moefast.links import Link
from moefast.moments.scores import ScoreMoments, score_correction
from moefast.samples import Samples
from moefast.threads import resolve_threads
from moefast.transforms.optimal import marginal_sigma
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
    r"""Return the weighted mean of :math:`P(y) \, v^{\otimes m}`, :math:`v = (D^T (x - m), 1)`, in one pass.

    Parameters
    ----------
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
    directions : array-like of shape (d, q)
        D.
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
    d = samples.n_features
    check_integer("order", order, low=2, high=4)
    D = np.ascontiguousarray(directions, dtype=np.float64)
    if D.ndim != 2 or len(D) != d or D.shape[1] == 0:
        raise ValueError(f"directions must have shape ({d}, q), got {D.shape}")
    m = np.zeros(d) if offset is None else np.ascontiguousarray(offset, dtype=np.float64)
    if m.shape != (d,):
        raise ValueError(f"offset must have shape ({d},), got {m.shape}")
    for name, values in (("directions", D), ("offset", m), ("transform", np.array(transform.coefficients))):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} contains NaN or infinity")
    return projected_mean(samples, transform, order, D, m, n_threads)


def projected_mean(
    samples: Samples,
    transform: PolynomialTransform,
    order: int,
    directions: Floats,
    offset: Floats,
    n_threads: int | None,
) -> Floats:
    """Do the same as :func:`projected_moments` on checked arguments."""
    P = list(map(float, transform.coefficients))
    sums = _core.projected_moments(
        samples.X,
        samples.y,
        samples.sample_weight,
        directions,
        offset,
        order,
        P,
        float(transform.about),
        resolve_threads(n_threads),
    )
    sums = sums.recentred(np.zeros(directions.shape[1] + 1))
    return np.asarray(sums.to_dense([1.0]) / sums.weight)


def centred_response(samples: Samples, transform: ResponseTransform) -> tuple[Samples, PolynomialTransform]:
    """Return (samples, P) with P(their y) = h(y) - mean h(y): their y is h(y) itself where h is no polynomial."""
    h = transform(samples.y)
    level = float(np.average(h, weights=samples.sample_weight))
    if not isinstance(transform, PolynomialTransform):
        identity = PolynomialTransform((-level, 1.0), transform.constant, order=1)
        return replace(samples, y=np.ascontiguousarray(h)), identity
    constant, *rest = transform.coefficients or (0.0,)
    return samples, replace(transform, coefficients=(constant - level, *rest))


def projected_score_tensor(
    samples: Samples,
    moments: ScoreMoments,
    order: int,
    transform: ResponseTransform,
    directions: Floats,
    n_threads: int | None = None,
) -> Floats:
    """Return what ``moments.score_tensor(order, transform, directions)`` would, by a second pass.

    Parameters
    ----------
    samples : Samples
    moments : ScoreMoments
        Of a first pass over the same samples, of any order: its means and whitening are used.
    order : {2, 3, 4}
        m.
    transform : PolynomialTransform, OptimalTransform
        h, not necessarily a polynomial.
    directions : ndarray of shape (rank, q)
        In whitened coordinates.
    n_threads : int or None

    Returns
    -------
    ndarray of shape (q,) * order
    """
    if moments.y_variance == 0:  # h(y) - mean h(y) of a constant response is rounding
        return np.zeros((directions.shape[1],) * order)
    transformed, P = centred_response(samples, transform)
    along = np.ascontiguousarray(moments.whitening @ directions)
    mean = projected_mean(transformed, P, order, along, moments.x_mean, n_threads)
    return score_correction(mean, directions.T @ directions)


class TwoPassMoments:
    """What :class:`moefast.moments.ScoreMoments` answers, from the samples where its moments do not reach.

    Parameters
    ----------
    samples : Samples
    moments : ScoreMoments
        Of these samples.
    n_threads : int or None
    """

    def __init__(self, samples: Samples, moments: ScoreMoments, n_threads: int | None = None) -> None:
        self.samples = samples
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

    def noise(self, link: Link) -> float:
        """Return the noise that makes the responses most likely; see :func:`moefast.transforms.marginal_sigma`."""
        return marginal_sigma(self.samples.y, link, self.samples.sample_weight)

    def score_tensor(self, order: int, transform: ResponseTransform, directions: Floats | None = None) -> Floats:
        """Return the mean of (h(y) - mean h(y)) S_m(z) along directions; see ScoreMoments.score_tensor."""
        if isinstance(transform, PolynomialTransform):
            degree = len(transform.coefficients) - 1
            if max(order, degree) <= self.moments.order:
                return self.moments.score_tensor(order, transform, directions)
        if directions is None:
            directions = np.eye(self.rank)
        return projected_score_tensor(self.samples, self.moments, order, transform, directions, self.n_threads)
