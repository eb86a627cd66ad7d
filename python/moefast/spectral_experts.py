r"""From score moments to experts: T2, T3, directions, signs, weights, noise; see :mod:`moefast.spectral`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from moefast.decomposition import TensorPairs, power_iteration, subspace_whitening
from moefast.links import Link
from moefast.optimal_transform import marginal_sigma, optimal_transform
from moefast.projection import TwoPassMoments
from moefast.randomness import RandomState
from moefast.scores import ScoreMoments
from moefast.transforms import (
    PolynomialTransform,
    ResponseTransform,
    check_sigma,
    cubic_transform,
    hermite_moment,
    mean_slope,
    quadratic_transform,
)

__all__ = ["SpectralExperts", "recover_from_moments"]

Floats: TypeAlias = npt.NDArray[np.float64]


class MomentSource(Protocol):
    """Moments about the means with the whitening of x, and score tensors from them."""

    x_mean: Floats
    y_mean: float
    y_variance: float
    whitening: Floats

    @property
    def rank(self) -> int:
        """The dimension of z = whitening' (x - x_mean)."""

    def cross_moment(self) -> Floats:
        """Return the mean of (y - mean y) S_1(z), shape (rank,)."""

    def score_tensor(self, order: int, transform: ResponseTransform, directions: Floats | None = None) -> Floats:
        """Return the mean of (h(y) - mean h(y)) S_m(z) along directions, shape (q,) * order."""


@dataclass(frozen=True)
class SpectralExperts:
    """What the spectral method finds, in the units of the data.

    Attributes
    ----------
    coef : ndarray of shape (k, d)
        a_i. For a link other than linear the norm is 1 in whitened coordinates.
    intercept : ndarray of shape (k,)
        b_i: the common one; the moments do not show differences.
    weights : ndarray of shape (k,)
        p_i = E[p_i(x)], estimated.
    sigma : float
        The common noise, given or estimated.
    directions : ndarray of shape (k, rank)
        Unit vectors v_i in whitened coordinates.
    spectrum : ndarray of shape (rank,)
        Eigenvalues of T2 over c_2, in units of the variance of y where the link is linear. A clear drop after
        the k-th supports the number of experts.
    pairs : TensorPairs
        The power method's report.
    link : Link
    """

    coef: Floats
    intercept: Floats
    weights: Floats
    sigma: float
    directions: Floats
    spectrum: Floats
    pairs: TensorPairs
    link: Link

    @property
    def converged(self) -> bool:
        """Whether every direction settled."""
        return self.pairs.converged


def recover_from_moments(
    moments: ScoreMoments | MomentSource,
    n_experts: int,
    *,
    link: Link,
    sigma: float | None = None,
    fit_intercept: bool = True,
    transform: str = "polynomial",
    samples: tuple[Floats, Floats, Floats] | None = None,
    random_state: RandomState = None,
    n_threads: int | None = None,
) -> SpectralExperts:
    """Do the same as :func:`moefast.spectral.recover_experts` from moments; parameters as there.

    Accumulated moments of order 2 need `samples`, the (X, y, weights) they are of, for a second pass. So does
    ``transform="optimal"``.
    """
    source: MomentSource = moments
    if isinstance(moments, ScoreMoments) and (moments.order < 3 or transform == "optimal"):
        if samples is None:
            raise ValueError("moments of order 3 are needed, or order 2 and the samples for a second pass")
        source = TwoPassMoments(*samples, moments, n_threads)
    k = n_experts
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)):
        raise TypeError(f"n_experts must be an integer, got {k!r}")
    if not 1 <= k <= source.rank:
        raise ValueError(
            f"n_experts must lie between 1 and {source.rank}, the number of linearly independent columns of X, "
            f"for the spectral method, got {k}"
        )
    if sigma is not None:
        check_sigma(sigma)
    about = source.y_mean if fit_intercept and link.is_linear else 0.0
    square = source.y_variance + (source.y_mean - about) ** 2  # mean (y - about)^2
    second: ResponseTransform
    third: ResponseTransform
    if link.is_linear:
        second, third = linear_transforms(about, square)
    else:
        if sigma is None:
            sigma = (
                estimate_sigma(source, link) if samples is None else marginal_sigma(samples[1], link, samples[2])
            )
        if transform == "optimal":
            second, third = optimal_transform(link, sigma, 2), optimal_transform(link, sigma, 3)
        else:
            second, third = quadratic_transform(link, sigma), cubic_transform(link, sigma)

    T2 = source.score_tensor(2, second) / second.constant
    W, back, spectrum = subspace_whitening(T2, k, source.whitening)
    T3 = source.score_tensor(3, third, W)
    if source.y_variance == 0:  # P(y) - mean P(y) of a constant response is rounding, not to be decomposed
        T3 = np.zeros_like(T3)
    pairs = power_iteration(T3 / third.constant, k, random_state=random_state)
    raw = pairs.vectors @ back.T
    norms = np.linalg.norm(raw, axis=1, keepdims=True)
    V = np.divide(raw, norms, out=np.zeros_like(raw), where=norms > 0)

    # Signs and weights from the lowest moment, which has the least variance: E[y z] = E[g'] sum_i q_i v_i.
    q = np.linalg.lstsq(V.T, source.cross_moment(), rcond=1e-6)[0] / mean_slope(link)
    V = V * np.where(q < 0, -1.0, 1.0)[:, None]
    q = np.abs(q)
    if link.is_linear:
        scales, weights = _linear_scales(V, q, T2, square)
        noise = np.sqrt(max(square - float(weights @ scales**2), 1e-4 * square))
    else:
        scales, weights, noise = np.ones(k), q, float(sigma or 0.0)
    weights = np.maximum(weights, 1e-3 * float(weights.max())) if weights.max() > 0 else np.ones(k)
    coef = scales[:, None] * V @ source.whitening.T
    intercept = about - coef @ source.x_mean if fit_intercept else np.zeros(k)
    return SpectralExperts(
        coef=coef,
        intercept=intercept,
        weights=weights / weights.sum(),
        sigma=float(noise) if sigma is None else float(sigma),
        directions=V,
        spectrum=spectrum,
        pairs=pairs,
        link=link,
    )


def linear_transforms(about: float, square: float) -> tuple[PolynomialTransform, PolynomialTransform]:
    """Return t^2 and t^3 - 3 t mean(t^2), t = y - about: they need neither the norm nor the noise."""
    return (
        PolynomialTransform((0.0, 0.0, 1.0), 2.0, order=2, about=about),
        PolynomialTransform((0.0, -3.0 * square, 0.0, 1.0), 6.0, order=3, about=about),
    )


def _linear_scales(V: Floats, q: Floats, T2: Floats, variance: float) -> tuple[Floats, Floats]:
    """Norms and weights of linear experts from q_i = p_i |a_i| and T2 = sum_i p_i |a_i|^2 v_i v_i'."""
    inverse = np.linalg.pinv(V, rcond=1e-6)
    energy = np.maximum(np.einsum("ai,ab,bi->i", inverse, T2, inverse), 0.0)
    common = np.sqrt(max(float(energy.sum()), 1e-6 * variance))
    ratio = np.divide(energy, q, out=np.full_like(q, common), where=q > 1e-6 * common)
    scales = np.clip(ratio, 0.25 * common, 4.0 * common)
    return scales, np.divide(q, scales, out=np.zeros_like(q), where=scales > 0)


def estimate_sigma(moments: MomentSource, link: Link) -> float:
    """Return s from s^2 = mean(y^2) - E[g(Z)^2], at least a hundredth of the spread of y.

    Good enough for the transforms, poor as a number: its standard error is std(y^2) / (2 s sqrt(n)).
    """
    square = moments.y_variance + moments.y_mean**2
    return float(np.sqrt(max(square - hermite_moment(link, 2, 0)[0], 1e-4 * moments.y_variance)))
