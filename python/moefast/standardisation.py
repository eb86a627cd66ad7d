"""Standard units: the change of units in which moments and EM work, safe for huge and tiny values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from moefast._typing import Floats

__all__ = ["Standardisation", "coef_in_units", "location_and_scale", "refuse_denormal_response"]


def _shifted(values: Floats, mean: Any, scale: Any) -> Floats:
    """Return (values - mean) / scale, also where the difference leaves the range but the quotient does not."""
    with np.errstate(over="ignore"):
        difference = values - mean
    if np.isfinite(difference).all():
        return np.asarray(difference / scale)
    return np.asarray(values / scale - mean / scale)


def refuse_denormal_response(spread: float) -> None:
    """Raise OverflowError for a standard deviation of y that float64 holds with fewer digits than others."""
    if 0 < spread < np.finfo(np.float64).tiny:
        raise OverflowError(
            f"y has a standard deviation of {spread:.3g}, where float64 loses its digits and the noise would "
            "become 0; rescale y"
        )


def coef_in_units(coef: Floats, x_scale: Floats, y_scale: float) -> Floats:
    """Return the slopes (..., d) of experts in units of the scales in those of the data.

    Raises
    ------
    OverflowError
        When they leave the range of float64; the column is named.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.asarray(coef * (y_scale / x_scale))
    if not np.isfinite(found).all():
        j = int(np.flatnonzero(~np.isfinite(found).reshape(-1, len(x_scale)).all(axis=0))[0])
        raise OverflowError(
            f"the coefficients leave the range of float64 in the units of the data; rescale X column {j}, whose "
            f"standard deviation is {x_scale[j]:.3g}, or y"
        )
    return found


@dataclass(frozen=True)
class Standardisation:
    """The change of units x -> (x - x_mean) / x_scale, y -> (y - y_mean) / y_scale.

    Attributes
    ----------
    x_mean, x_scale : ndarray of shape (n_features,)
    y_mean, y_scale : float
    """

    x_mean: Floats
    x_scale: Floats
    y_mean: float
    y_scale: float

    def features(self, X: Floats) -> Floats:
        """Return X in standard units, C-ordered."""
        return np.ascontiguousarray(_shifted(X, self.x_mean, self.x_scale))

    def response(self, y: Floats) -> Floats:
        """Return y in standard units."""
        return _shifted(y, self.y_mean, self.y_scale)

    def expert_to_units(self, coef: Floats, intercept: Floats) -> tuple[Floats, Floats]:
        """Return the linear functions y = coef.x + intercept, (..., d) and (...), in the units of the data."""
        coef = coef * (self.y_scale / self.x_scale)
        return coef, self.y_mean + self.y_scale * intercept - coef @ self.x_mean

    def expert_to_standard(self, coef: Floats, intercept: Floats) -> tuple[Floats, Floats]:
        """Undo :meth:`expert_to_units`."""
        return coef * (self.x_scale / self.y_scale), (intercept + coef @ self.x_mean - self.y_mean) / self.y_scale

    def gate_to_units(self, coef: Floats, intercept: Floats) -> tuple[Floats, Floats]:
        """Return the logits coef.x + intercept, (..., d) and (...), in the units of the data."""
        coef = coef / self.x_scale
        return coef, intercept - coef @ self.x_mean

    def gate_to_standard(self, coef: Floats, intercept: Floats) -> tuple[Floats, Floats]:
        """Undo :meth:`gate_to_units`."""
        return coef * self.x_scale, intercept + coef @ self.x_mean


def location_and_scale(columns: Floats, share: Floats) -> tuple[Floats, Floats]:
    """Weighted mean and standard deviation (ddof = 0) of each column, safe for huge and tiny values.

    A column whose values differ by rounding only has its own value as the mean and scale 0.
    """
    anchor = columns[0]
    largest = np.abs(columns).max(axis=0)
    unit = np.where(largest > 0, largest, 1.0)
    deviation = columns / unit - anchor / unit
    # einsum and not @: BLAS sums in another order for another number of its threads.
    mean = np.einsum("n,nj->j", share, deviation)
    centred = deviation - mean
    width = np.abs(centred).max(axis=0)
    varies = width > 8 * np.finfo(np.float64).eps
    width = np.where(varies, width, 1.0)
    scale = width * np.sqrt(np.einsum("n,nj->j", share, (centred / width) ** 2))
    return (
        np.where(varies, unit * (anchor / unit + mean), anchor),
        np.where(varies, scale * unit, 0.0),
    )
