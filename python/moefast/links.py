"""Links g: what an expert does to its linear form a.x + b."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import expit

__all__ = ["LINKS", "Link", "get_link"]

Floats: TypeAlias = npt.NDArray[np.float64]


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

    Examples
    --------
    >>> from moefast.links import get_link
    >>> get_link("relu")(-1.0)
    array(0.)
    """

    name: str
    function: Callable[[Any], Any]
    breakpoints: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "breakpoints", tuple(float(b) for b in self.breakpoints))

    @property
    def is_linear(self) -> bool:
        """Whether this is the identity of :data:`LINKS`; a name proves nothing."""
        return self.function is _identity

    def __call__(self, z: npt.ArrayLike) -> Floats:
        """Apply g elementwise.

        Raises
        ------
        ValueError
            When g changes the shape, returns something else than real numbers, or NaN for a number.
        """
        z = np.asarray(z, dtype=np.float64)
        values = np.asarray(self.function(z))
        if values.shape != z.shape or values.dtype.kind not in "fiub":
            raise ValueError(
                f"link {self.name!r} must return real numbers of the shape it is given, {z.shape}; got "
                f"{values.dtype} of shape {values.shape}"
            )
        if np.isnan(values).any() and not np.isnan(z).any():
            raise ValueError(f"link {self.name!r} is not finite: it returned NaN for a number")
        return values.astype(np.float64, copy=False)


def _identity(z: Floats) -> Floats:
    return z


def _relu(z: Floats) -> Floats:
    return np.maximum(z, 0.0)


LINKS: dict[str, Link] = {
    "linear": Link("linear", _identity),
    "sigmoid": Link("sigmoid", expit),
    "tanh": Link("tanh", np.tanh),
    "relu": Link("relu", _relu, breakpoints=(0.0,)),
}
"""The links known by name."""


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
