"""A family of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from moefast._typing import Floats
from moefast.families.family import Family, Predictors
from moefast.samples import RowTerms

__all__ = ["CustomFamily"]

_Function = Callable[..., Any]

# Slopes are compared with difference quotients of this step on so many rows, a little beside the predictor that
# suits y, where log f may have a kink; an error larger than this share is none of rounding.
_STEP, _BESIDE, _CHECKED, _SLOPE_TOL = 1e-5, 0.1, 1000, 1e-2


@dataclass(frozen=True, eq=False)
class CustomFamily(Family):
    r"""A family given by vectorised functions of y and the predictor :math:`\eta`, which have the same shape.

    It is slower than those that are built in, and has neither scale nor shape of its own; the search is the same.

    Parameters
    ----------
    name : str
        For messages.
    log_f, slope, weight : callable
        ``f(y, eta)``: log f(y | eta), its derivative by eta, and minus its second derivative or the expectation of
        that, not negative. ``fit`` compares the slope with difference quotients of log_f.
    predictor : callable
        ``f(y)``: an eta, finite, that suits each y.
    mean_of : callable
        ``f(eta)``: E[y | eta].
    std_of, cdf_of, quantile_of, draw_of : callable, optional
        ``f(eta)``, ``f(y, eta)``, ``f(level, eta)`` and ``f(eta, rng)``: what predictions of spread, probabilities
        and samples need.
    discrete : bool
        Whether y is a whole number.

    Examples
    --------
    The exponential distribution:

    >>> import numpy as np
    >>> from moefast.families import CustomFamily
    >>> exponential = CustomFamily(
    ...     "exponential",
    ...     log_f=lambda y, eta: -eta - y * np.exp(-eta),
    ...     slope=lambda y, eta: y * np.exp(-eta) - 1,
    ...     weight=lambda y, eta: np.ones_like(eta),
    ...     predictor=np.log,
    ...     mean_of=np.exp,
    ... )
    >>> exponential.core(np.array([2.0]), np.array([0.0]))[1]
    array([1.])
    """

    name: str
    log_f: _Function
    slope: _Function
    weight: _Function
    predictor: _Function
    mean_of: _Function
    std_of: _Function | None = None
    cdf_of: _Function | None = None
    quantile_of: _Function | None = None
    draw_of: _Function | None = None
    discrete: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"name of a family must be a text, got {self.name!r}")
        for what in ("log_f", "slope", "weight", "predictor", "mean_of"):
            if not callable(getattr(self, what)):
                raise TypeError(f"{what} of family {self.name!r} must be callable, got {getattr(self, what)!r}")
        object.__setattr__(self, "is_discrete", self.discrete)

    @property
    def predicts(self) -> str:
        """The predictor."""
        return "eta"

    @property
    def core(self) -> _Function:
        """A function of y and eta that returns log f, slope and weight."""

        def terms(y: Floats, eta: Floats) -> tuple[Floats, Floats, Floats]:
            weight = self._values("weight", self.weight, y, eta)
            if (weight < 0).any():
                raise ValueError(f"weight of family {self.name!r} must not be negative, got {weight.min():.6g}")
            return self._values("log_f", self.log_f, y, eta), self._values("slope", self.slope, y, eta), weight

        return terms

    def _values(self, what: str, function: _Function, *arguments: Any) -> Floats:
        wanted = np.broadcast_shapes(*(np.shape(argument) for argument in arguments))
        with np.errstate(over="ignore", divide="ignore"):
            values = np.asarray(function(*arguments))
        if values.dtype.kind not in "fiub":
            raise TypeError(f"{what} of family {self.name!r} must return real numbers, got {values.dtype}")
        values = values.astype(np.float64, copy=False)
        if values.shape != wanted:
            raise ValueError(
                f"{what} of family {self.name!r} must return numbers of the shape it is given, {wanted}; got "
                f"{values.shape}"
            )
        if np.isnan(values).any():
            raise ValueError(f"{what} of family {self.name!r} returned NaN")
        return np.ascontiguousarray(values)

    def _optional(self, what: str, *arguments: Any) -> Floats:
        function = getattr(self, what)
        if function is None:
            raise ValueError(f"family {self.name!r} has no {what}, which this needs: give it to CustomFamily")
        return np.asarray(function(*arguments), dtype=np.float64)

    def check(self, y: Floats, terms: RowTerms) -> None:
        """Refuse a y to which the family gives no finite density, and slopes that are not those of it."""
        self.refuse_terms(terms)
        with np.errstate(all="ignore"):
            first = np.broadcast_to(np.asarray(self.predictor(y), dtype=np.float64), y.shape)
            good = np.isfinite(first) & np.isfinite(np.asarray(self.log_f(y, first.copy()), dtype=np.float64))
            self.refuse(~good, y, "a value with a finite predictor and density")
            self._check_slope(y[:_CHECKED], first[:_CHECKED] + _BESIDE)

    def _check_slope(self, y: Floats, eta: Floats) -> None:
        """Raise where, in most rows, the slope is not the difference quotient of log f: EM would end nowhere."""
        up, down = (np.asarray(self.log_f(y, eta + h), dtype=np.float64) for h in (_STEP, -_STEP))
        differences = (up - down) / (2.0 * _STEP)
        error = np.abs(self._values("slope", self.slope, y, eta.copy()) - differences)
        known = np.isfinite(error)
        wrong = error > _SLOPE_TOL * (1.0 + np.abs(differences))
        if known.any() and np.mean(wrong[known]) > 0.5:
            row = int(np.argmax(wrong & known))
            raise ValueError(
                f"slope of family {self.name!r} is not the derivative of log_f by the predictor: at "
                f"y={y[row]:.6g} and eta={eta[row]:.6g} the latter is {differences[row]:.6g}"
            )

    def first_predictor(self, y: Floats, terms: RowTerms) -> Floats:
        """Return what the user says."""
        return self._values("predictor", self.predictor, y)

    def mean(self, of: Predictors) -> Floats:
        """Return E[y]."""
        return self._values("mean_of", self.mean_of, of.eta)

    def std(self, of: Predictors) -> Floats:
        """Return the standard deviation of y."""
        return self._optional("std_of", of.eta)

    def log_density(self, of: Predictors, y: Floats) -> Floats:
        """Return log f."""
        return self._values("log_f", self.log_f, *np.broadcast_arrays(y, of.eta))

    def cdf(self, of: Predictors, y: Floats) -> Floats:
        """Return P(Y <= y)."""
        return self._optional("cdf_of", *np.broadcast_arrays(y, of.eta))

    def quantile(self, of: Predictors, level: float) -> Floats:
        """Return a quantile."""
        return self._optional("quantile_of", level, of.eta)

    def draw(self, of: Predictors, rng: np.random.Generator) -> Floats:
        """Return draws."""
        return self._optional("draw_of", of.eta, rng)
