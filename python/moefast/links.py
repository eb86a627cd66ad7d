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

    def __call__(self, z: npt.ArrayLike) -> Floats:
        """Apply g elementwise."""
        return np.asarray(self.function(np.asarray(z, dtype=np.float64)), dtype=np.float64)


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
