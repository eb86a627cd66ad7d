"""Standard units: the change of units in which moments and EM work, safe for huge and tiny values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

import moefast._core as _core
from moefast._typing import AnyFloats, Floats
from moefast.samples import Samples

__all__ = ["Spread", "Standardisation", "location_and_scale", "median_and_scale"]


# What becomes of a column: mean 0 and standard deviation 1; its standard deviation, or its root mean square, is
# the unit and zero stays where it is; its own units.
Units: TypeAlias = Literal["centred", "deviation", "root mean square", "own"]


def _shifted(values: AnyFloats, mean: Any, scale: Any) -> Floats:
    """Return (values - mean) / scale, also where the difference leaves the range but the quotient does not."""
    if not np.any(mean):
        return np.asarray(values / scale)
    with np.errstate(over="ignore"):
        difference = values - mean
    if np.isfinite(difference).all():
        return np.asarray(difference / scale)
    return np.asarray(values / scale - mean / scale)


@dataclass(frozen=True)
class Spread:
    """Weighted means and standard deviations of samples, safe for huge and tiny values.

    Attributes
    ----------
    x_mean, x_deviation : ndarray of shape (n_features,)
        A column whose values differ by rounding only has its own value as the mean and deviation 0.
    y_mean, y_deviation : float, or ndarray of shape (q,) for several responses
    """

    x_mean: Floats
    x_deviation: Floats
    y_mean: Any
    y_deviation: Any

    @classmethod
    def of(cls, samples: Samples, *, outliers: bool = False) -> Spread:
        """Measure samples; where y has outliers, its median and middle half are measured.

        Raises
        ------
        OverflowError
            For a standard deviation of y that float64 holds with fewer digits than others.
        """
        x_mean, x_deviation = location_and_scale(samples.X, samples.sample_weight)
        y = samples.y if samples.y.ndim == 2 else samples.y[:, None]
        y_mean, y_deviation = location_and_scale(y, samples.sample_weight)
        if outliers:
            median, scale = median_and_scale(samples.y, samples.sample_weight)
            if scale > 0:  # else more than half of all y are the same
                y_mean, y_deviation = np.array([median]), np.array([scale])
        tiny = (y_deviation > 0) & (y_deviation < np.finfo(np.float64).tiny)
        if tiny.any():
            j = int(np.argmax(tiny))
            who = "y" if samples.y.ndim == 1 else f"y {samples.response_label(j)}"
            raise OverflowError(
                f"{who} has a standard deviation of {y_deviation[j]:.3g}, where float64 loses its digits and the "
                "noise would become 0; rescale y"
            )
        if samples.y.ndim == 2:
            return cls(x_mean, x_deviation, y_mean, y_deviation)
        return cls(x_mean, x_deviation, float(y_mean[0]), float(y_deviation[0]))


@dataclass(frozen=True)
class Standardisation:
    """The change of units x -> (x - x_mean) / x_scale, y -> (y - y_mean) / y_scale.

    Attributes
    ----------
    x_mean, x_scale : ndarray of shape (n_features,)
    y_mean, y_scale : float, or ndarray of shape (q,) for several responses
    nought : ndarray of shape (n_features,), bool, or None
        Columns that are 0 in standard units, whatever rounding left of them: constants that are centred.
    """

    x_mean: Floats
    x_scale: Floats
    y_mean: Any
    y_scale: Any
    nought: npt.NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, samples: Samples | Spread, *, x: Units = "deviation", y: Units = "deviation") -> Standardisation:
        """Return the units of samples; a column of scale 0 keeps its own unit.

        Parameters
        ----------
        samples : Samples or Spread
        x, y : {"centred", "deviation", "root mean square", "own"}
            What features and response become: of mean 0 and standard deviation 1; not shifted and divided by their
            standard deviation (moments about the means need no more), or by their root mean square (where zero
            means something); what they were.
        """
        spread = samples if isinstance(samples, Spread) else Spread.of(samples)
        x_mean, x_scale = _shift_and_unit(x, spread.x_mean, spread.x_deviation)
        constant = spread.x_deviation == 0
        nought = constant if x == "centred" and constant.any() else None
        y_mean, y_scale = _shift_and_unit(y, np.array(spread.y_mean), np.array(spread.y_deviation))
        if y_mean.ndim == 1:
            return cls(x_mean, x_scale, y_mean, y_scale, nought)
        return cls(x_mean, x_scale, float(y_mean), float(y_scale), nought)

    @property
    def log_y_unit(self) -> float:
        """What a density of y in its own units has less, as a logarithm, than one in standard units."""
        return float(np.sum(np.log(self.y_scale)))

    def samples(self, samples: Samples) -> Samples:
        """Return samples in standard units."""
        return replace(samples, X=self.features(samples.X), y=self.response(samples.y))

    def features(self, X: AnyFloats) -> Floats:
        """Return X in standard units, C-ordered."""
        Z = np.ascontiguousarray(_shifted(X, self.x_mean, self.x_scale))
        if self.nought is not None:
            Z[:, self.nought] = 0.0
        return Z

    @property
    def inverse_x_scale(self) -> Floats:
        """What x - x_mean is multiplied by."""
        inverse = 1.0 / self.x_scale
        return np.asarray(inverse if self.nought is None else np.where(self.nought, 0.0, inverse))

    def response(self, y: Floats) -> Floats:
        """Return y in standard units."""
        return _shifted(y, self.y_mean, self.y_scale)

    def expert_to_units(self, coef: Floats, intercept: Floats) -> tuple[Floats, Floats]:
        """Return the linear functions y = coef.x + intercept, (..., d) and (...), in the units of the data."""
        coef = coef * (np.asarray(self.y_scale)[..., None] / self.x_scale)
        return coef, self.y_mean + self.y_scale * intercept - coef @ self.x_mean

    def finite_expert_to_units(self, coef: Floats, intercept: Floats) -> tuple[Floats, Floats]:
        """Do the same as :meth:`expert_to_units`.

        Raises
        ------
        OverflowError
            When the result leaves the range of float64; the column is named.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            coef, intercept = self.expert_to_units(coef, intercept)
        bad = ~np.isfinite(coef).reshape(-1, len(self.x_scale)).all(axis=0)
        if bad.any():
            j = int(np.argmax(bad))
            raise OverflowError(
                f"the coefficients leave the range of float64 in the units of the data; rescale X column {j}, "
                f"whose standard deviation is {self.x_scale[j]:.3g}, or y"
            )
        if not np.isfinite(intercept).all():
            raise OverflowError("the intercepts leave the range of float64 in the units of the data; rescale y")
        return coef, intercept

    def expert_to_standard(self, coef: Floats, intercept: Floats) -> tuple[Floats, Floats]:
        """Undo :meth:`expert_to_units`."""
        unit = np.asarray(self.y_scale)[..., None]
        return coef * (self.x_scale / unit), (intercept + coef @ self.x_mean - self.y_mean) / self.y_scale

    def gate_to_units(self, coef: Floats, intercept: Floats) -> tuple[Floats, Floats]:
        """Return the logits coef.x + intercept, (..., d) and (...), in the units of the data."""
        coef = coef / self.x_scale
        return coef, intercept - coef @ self.x_mean

    def gate_to_standard(self, coef: Floats, intercept: Floats) -> tuple[Floats, Floats]:
        """Undo :meth:`gate_to_units`."""
        return coef * self.x_scale, intercept + coef @ self.x_mean


def _shift_and_unit(units: Units, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
    if units == "own":
        return np.zeros_like(mean), np.ones_like(mean)
    scale = np.hypot(deviation, mean) if units == "root mean square" else deviation
    return mean if units == "centred" else np.zeros_like(mean), np.where(scale > 0, scale, 1.0)


def median_and_scale(y: Floats, weight: Floats) -> tuple[float, float]:
    """Weighted median, and the range of the middle half in units of a normal distribution's standard deviation."""
    order = np.argsort(y, kind="stable")
    below = np.cumsum(weight[order])
    at = np.searchsorted(below, np.array([0.25, 0.5, 0.75]) * below[-1])
    low, median, high = y[order][np.minimum(at, len(y) - 1)]
    return float(median), float((high - low) / (2.0 * ndtri(0.75)))


def location_and_scale(columns: AnyFloats, weight: Floats) -> tuple[Floats, Floats]:
    """Weighted mean and standard deviation (ddof = 0) of each column, safe for huge and tiny values.

    A column whose values differ by rounding only has its first value as the mean and scale 0.
    """
    return _core.spread(np.ascontiguousarray(columns), np.ascontiguousarray(weight))
