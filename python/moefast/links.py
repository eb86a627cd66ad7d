"""Links g: what an expert does to its linear form a.x + b.

g gives the mean of a response with normal noise. ``link="sigmoid"`` is no logistic regression: that is a model of
the probability of a class, with the likelihood of a Bernoulli variable, for a y of 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtr

from moefast._typing import Floats

__all__ = ["LINKS", "Link", "get_link"]


@dataclass(frozen=True)
class Link:
    """A link function.

    Parameters
    ----------
    name : str
        How it is called in messages and model files.
    function : callable
        Vectorised ``g(z)``.
    breakpoints : tuple of float
        Where g or a derivative jumps; quadrature is done piecewise between them.
    derivative : callable, optional
        Vectorised ``g'(z)``. Without it slopes are central differences.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.links import Link, get_link
    >>> get_link("relu")(-1.0)
    array(0.)
    >>> float(Link("arctan", np.arctan).slope(0.0).round(6))
    1.0
    """

    name: str
    function: Callable[[Any], Any]
    breakpoints: tuple[float, ...] = ()
    derivative: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        for what, function in (("function", self.function), ("derivative", self.derivative)):
            if not callable(function) and (what == "function" or function is not None):
                raise TypeError(f"the {what} of link {self.name!r} must be callable, got {function!r}")
        try:
            breakpoints = tuple(float(b) for b in self.breakpoints)
        except (TypeError, ValueError):
            breakpoints = (np.nan,)
        if not np.isfinite(breakpoints).all():
            raise ValueError(
                f"breakpoints of link {self.name!r} must be a sequence of finite numbers, got {self.breakpoints!r}"
            )
        object.__setattr__(self, "breakpoints", breakpoints)

    @property
    def is_linear(self) -> bool:
        """Whether this is the identity of :data:`LINKS`; a name proves nothing."""
        return self.function is _identity

    @property
    def is_homogeneous(self) -> bool:
        """Whether g(c z) = c g(z) for c > 0 is known, so that the response may be rescaled."""
        return self.function in (_identity, _relu, _leaky_relu)

    @property
    def is_built_in(self) -> bool:
        """Whether this is one of :data:`LINKS`, which the C++ core knows too."""
        known = LINKS.get(self.name)
        return known is not None and self.function is known.function

    def __call__(self, z: npt.ArrayLike) -> Floats:
        """Apply g elementwise.

        Raises
        ------
        ValueError
            When g changes the shape, returns something else than real numbers, or NaN for a number.
        """
        return self._checked("link", self.function, z)

    def values(self, z: npt.ArrayLike) -> Floats:
        """Return the same as a call where NaN may come out, as it does of a mixture that diverges."""
        return self._evaluated("link", self.function, z)

    def slope(self, z: npt.ArrayLike) -> Floats:
        """Return g'(z) elementwise: `derivative`, or a central difference with an error of about 1e-10.

        Raises
        ------
        ValueError
            As for g itself.
        """
        if self.derivative is not None:
            return self._checked("the derivative of link", self.derivative, z)
        z = np.asarray(z, dtype=np.float64)
        step = _STEP * np.maximum(1.0, np.abs(z))
        above, below = z + step, z - step
        with np.errstate(over="ignore", invalid="ignore"):  # of a link that has left the range
            return np.asarray((self(above) - self(below)) / (above - below))

    def curvature(self, z: npt.ArrayLike) -> Floats:
        """Return g''(z) elementwise, by differences: an error of about 1e-10, or 1e-7 without `derivative`.

        At a breakpoint it is that of one side.

        Raises
        ------
        ValueError
            As for g itself.
        """
        z = np.asarray(z, dtype=np.float64)
        step = (_STEP if self.derivative is not None else _WIDE_STEP) * np.maximum(1.0, np.abs(z))
        for b in self.breakpoints:
            z = np.where(np.abs(z - b) <= step, b + np.where(z > b, 1.001, -1.001) * step, z)
        above, below = z + step, z - step
        with np.errstate(over="ignore", invalid="ignore"):
            if self.derivative is not None:
                return np.asarray((self.slope(above) - self.slope(below)) / (above - below))
            return np.asarray((self(above) - 2.0 * self(z) + self(below)) / (0.5 * (above - below)) ** 2)

    def _checked(self, what: str, function: Callable[[Any], Any], z: npt.ArrayLike) -> Floats:
        values = self._evaluated(what, function, z)
        missing = np.isnan(values)
        if missing.any() and (missing & np.isfinite(z)).any():
            raise ValueError(f"{what} {self.name!r} is not finite: it returned NaN for a number")
        return values

    def _evaluated(self, what: str, function: Callable[[Any], Any], z: npt.ArrayLike) -> Floats:
        z = np.asarray(z, dtype=np.float64)
        # What overflows is infinite, and looked at where it matters. Foreign functions may write into what they
        # are given.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            values = np.asarray(function(z if self.is_built_in else z.copy()))
        if values.shape != z.shape or values.dtype.kind not in "fiub":
            raise ValueError(
                f"{what} {self.name!r} must return real numbers of the shape it is given, {z.shape}; got "
                f"{values.dtype} of shape {values.shape}"
            )
        return values.astype(np.float64, copy=False)


# Of the central difference: the cube root of the rounding error balances it against the third derivative.
_STEP = 6e-6
# Of the second difference: the fourth root.
_WIDE_STEP = 1e-4
_LEAK = 0.1


def _identity(z: Floats) -> Floats:
    return z


def _sigmoid_slope(z: Floats) -> Floats:
    return np.asarray(expit(z) * expit(-z))


def _tanh_slope(z: Floats) -> Floats:
    return np.asarray(4.0 * _sigmoid_slope(2.0 * z))  # 1 - tanh^2 would cancel


def _relu(z: Floats) -> Floats:
    return np.maximum(z, 0.0)


def _relu_slope(z: Floats) -> Floats:
    return np.where(z > 0, 1.0, 0.0)


def _leaky_relu(z: Floats) -> Floats:
    return np.where(z > 0, z, _LEAK * z)


def _leaky_relu_slope(z: Floats) -> Floats:
    return np.where(z > 0, 1.0, _LEAK)


def _softplus(z: Floats) -> Floats:
    return np.logaddexp(0.0, z)


def _normal_density(z: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi))


def _gelu(z: Floats) -> Floats:
    return np.asarray(z * ndtr(z))


def _gelu_slope(z: Floats) -> Floats:
    return np.asarray(ndtr(z) + z * _normal_density(z))


def _silu(z: Floats) -> Floats:
    return np.asarray(z * expit(z))


def _silu_slope(z: Floats) -> Floats:
    return np.asarray(expit(z) + z * _sigmoid_slope(z))


LINKS: dict[str, Link] = {
    "linear": Link("linear", _identity, derivative=np.ones_like),
    "sigmoid": Link("sigmoid", expit, derivative=_sigmoid_slope),
    "tanh": Link("tanh", np.tanh, derivative=_tanh_slope),
    "relu": Link("relu", _relu, (0.0,), _relu_slope),
    "leaky_relu": Link("leaky_relu", _leaky_relu, (0.0,), _leaky_relu_slope),
    "softplus": Link("softplus", _softplus, derivative=expit),
    "gelu": Link("gelu", _gelu, derivative=_gelu_slope),
    "silu": Link("silu", _silu, derivative=_silu_slope),
}
"""The links known by name. The slope of a kink is the one on its left; leaky ReLU leaks a tenth."""


def get_link(link: str | Link | Callable[[Any], Any]) -> Link:
    """Return a :class:`Link` for a name, a Link or any vectorised callable.

    Raises
    ------
    ValueError
        For an unknown name.
    TypeError
        For anything else.
    """
    if isinstance(link, Link):
        return link
    if isinstance(link, str):
        if link not in LINKS:
            raise ValueError(f"link must be one of {', '.join(map(repr, LINKS))} or a callable, got {link!r}")
        return LINKS[link]
    if callable(link):
        return Link(getattr(link, "__name__", type(link).__name__), link)
    raise TypeError(f"link must be a name, a Link or a callable, got {link!r}")
