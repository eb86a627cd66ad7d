"""What the moments need to know of the response: its level, size and noise, and its transforms for a link."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moefast.links import Link
from moefast.moments.options import MomentOptions
from moefast.moments.source import MomentSource
from moefast.transforms.optimal import optimal_transform
from moefast.transforms.polynomial import (
    PolynomialTransform,
    ResponseTransform,
    check_sigma,
    cubic_transform,
    quadratic_transform,
    quartic_transform,
)

__all__ = ["ResponseScale", "far_from_links"]


# A response this many times larger or smaller than 1 is not that of a link: its fourth powers leave the range.
_FAR = 1e30


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
    def of(cls, moments: MomentSource, options: MomentOptions) -> ResponseScale:
        """Read level, mean square and, where it is needed and not given, the noise off the moments."""
        link, sigma = options.link, options.sigma
        if not link.is_linear:
            _check_range(moments, link)
        if sigma is not None:
            check_sigma(sigma)
        elif not link.is_linear:
            sigma = moments.noise(link)
        about = moments.y_mean if link.is_linear and options.fit_intercept else 0.0
        square = moments.y_variance + (moments.y_mean - about) ** 2
        return cls(link, about, square, sigma, options.fit_intercept, options.transform == "optimal")

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
