"""What both methods of moments share: the transforms of a response, and experts made of their directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from moefast._typing import Floats
from moefast.links import Link
from moefast.transforms.optimal import marginal_sigma, optimal_transform
from moefast.transforms.polynomial import (
    PolynomialTransform,
    ResponseTransform,
    check_sigma,
    cubic_transform,
    hermite_moment,
    mean_slope,
    quadratic_transform,
    quartic_transform,
)

__all__ = [
    "MomentSource",
    "ResponseScale",
    "ScaledExperts",
    "check_number_of_experts",
    "far_from_links",
    "scale_directions",
]


# A response this many times larger or smaller than 1 is not that of a link: its fourth powers leave the range.
_FAR = 1e30


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


def check_number_of_experts(k: int, moments: MomentSource) -> None:
    """Raise unless k directions can be linearly independent."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)):
        raise TypeError(f"n_experts must be an integer, got {k!r}")
    if not 1 <= k <= moments.rank:
        raise ValueError(
            f"n_experts must lie between 1 and {moments.rank}, the number of linearly independent columns of X, "
            f"for the methods of moments, got {k}"
        )


@dataclass(frozen=True)
class ResponseScale:
    """What the transforms and the scales of experts need to know of the response.

    Attributes
    ----------
    link : Link
    about : float
        The level that stands for the common intercept; 0 for links other than linear.
    square : float
        Mean of (y - about)^2.
    sigma : float or None
        The noise, given or estimated; None for linear experts whose noise nobody gave.
    fit_intercept : bool
    optimal : bool
        Transforms of least variance in place of polynomials; for linear experts these are the polynomials.
    """

    link: Link
    about: float
    square: float
    sigma: float | None
    fit_intercept: bool
    optimal: bool = False

    @classmethod
    def of(
        cls,
        moments: MomentSource,
        link: Link,
        sigma: float | None,
        fit_intercept: bool,
        *,
        optimal: bool = False,
        samples: tuple[Floats, Floats, Floats] | None = None,
    ) -> ResponseScale:
        """Read level, mean square and noise off the moments, or the noise off `samples` where there are some."""
        if not link.is_linear:
            _check_range(moments, link)
        if sigma is not None:
            check_sigma(sigma)
        elif not link.is_linear:
            sigma = marginal_sigma(samples[1], link, samples[2]) if samples else _moment_sigma(moments, link)
        about = moments.y_mean if link.is_linear and fit_intercept else 0.0
        square = moments.y_variance + (moments.y_mean - about) ** 2
        return cls(link, about, square, sigma, fit_intercept, optimal)

    def transform(self, order: int) -> ResponseTransform:
        """Return the transform for the score tensor of an order.

        Linear experts of one norm need neither it nor the noise: with t = y - about these are t^2,
        t^3 - 3 t mean(t^2) and t^4 - 6 t^2 mean(t^2).
        """
        if self.link.is_linear:
            coefficients, constant = {
                2: ((0.0, 0.0, 1.0), 2.0),
                3: ((0.0, -3.0 * self.square, 0.0, 1.0), 6.0),
                4: ((0.0, 0.0, -6.0 * self.square, 0.0, 1.0), 24.0),
            }[order]
            return PolynomialTransform(coefficients, constant, order=order, about=self.about)
        sigma = float(self.sigma or 0.0)
        if self.optimal:
            return optimal_transform(self.link, sigma, order)
        return {2: quadratic_transform, 3: cubic_transform, 4: quartic_transform}[order](self.link, sigma)


@dataclass(frozen=True)
class ScaledExperts:
    """Experts made of directions: fields as of :class:`moefast.spectral.SpectralExperts`."""

    coef: Floats
    intercept: Floats
    weights: Floats
    sigma: float
    directions: Floats


def scale_directions(raw: Floats, moments: MomentSource, T2: Floats, response: ResponseScale) -> ScaledExperts:
    """Give directions in whitened coordinates, of any sign and length, signs, norms and weights.

    They come from the lowest moment, which has the least variance: E[y z] = E[g'] sum_i q_i v_i.
    """
    norms = np.linalg.norm(raw, axis=1, keepdims=True)
    V = np.divide(raw, norms, out=np.zeros_like(raw), where=norms > 0)
    q = np.linalg.lstsq(V.T, moments.cross_moment(), rcond=1e-6)[0] / mean_slope(response.link)
    V = V * np.where(q < 0, -1.0, 1.0)[:, None]
    q = np.abs(q)
    square, noise = response.square, response.sigma
    if response.link.is_linear:
        scales, weights = _linear_scales(V, q, T2, square)
        if noise is None:
            noise = np.sqrt(max(square - float(weights @ scales**2), 1e-4 * square))
    else:
        scales, weights = np.ones(len(q)), q
    weights = np.maximum(weights, 1e-3 * float(weights.max())) if weights.max() > 0 else np.ones(len(q))
    coef = scales[:, None] * V @ moments.whitening.T
    return ScaledExperts(
        coef=coef,
        intercept=response.about - coef @ moments.x_mean if response.fit_intercept else np.zeros(len(q)),
        weights=weights / weights.sum(),
        sigma=float(noise or 0.0),
        directions=V,
    )


def _linear_scales(V: Floats, q: Floats, T2: Floats, variance: float) -> tuple[Floats, Floats]:
    """Norms and weights of linear experts from q_i = p_i |a_i| and T2 = sum_i p_i |a_i|^2 v_i v_i'."""
    inverse = np.linalg.pinv(V, rcond=1e-6)
    energy = np.maximum(np.einsum("ai,ab,bi->i", inverse, T2, inverse), 0.0)
    common = np.sqrt(max(float(energy.sum()), 1e-6 * variance))
    ratio = np.divide(energy, q, out=np.full_like(q, common), where=q > 1e-6 * common)
    scales = np.clip(ratio, 0.25 * common, 4.0 * common)
    return scales, np.divide(q, scales, out=np.zeros_like(q), where=scales > 0)


def far_from_links(size: float) -> bool:
    """Return whether a response of this size is in other units than any link, but not all 0."""
    return size > _FAR or 0 < size < 1 / _FAR


def _check_range(moments: MomentSource, link: Link) -> None:
    """Raise where a response that keeps its units is so far from those of g that products leave the range."""
    if far_from_links(float(np.hypot(np.sqrt(moments.y_variance), moments.y_mean))):
        raise OverflowError(
            f"y has a mean of {moments.y_mean:.3g} and a standard deviation of {moments.y_variance**0.5:.3g}; "
            f"link {link.name!r} leaves y its units, so rescale y"
        )


def _moment_sigma(moments: MomentSource, link: Link) -> float:
    """Return s from s^2 = mean(y^2) - E[g(Z)^2], at least a hundredth of the spread of y.

    Good enough for the transforms, poor as a number: its standard error is std(y^2) / (2 s sqrt(n)).
    """
    square = moments.y_variance + moments.y_mean**2
    return float(np.sqrt(max(square - hermite_moment(link, 2, 0)[0], 1e-4 * moments.y_variance)))
