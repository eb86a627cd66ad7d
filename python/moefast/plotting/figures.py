"""Figures and files: what all pictures share of matplotlib."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING, Any

from moefast.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "axes_or_new",
    "label",
    "legend_beside",
    "picture_format",
    "require_matplotlib",
    "save_figure",
    "wrapped",
]


_LABEL_WIDTH = 46  # characters


def require_matplotlib() -> None:
    """Raise ImportError that says how to get matplotlib when it is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError('pictures need matplotlib: pip install "moefast[plot]"') from None


def axes_or_new(ax: Axes | None, width: float = 7.0, height: float = 4.5) -> Axes:
    """Return the axes given, or those of a new figure of pyplot, which notebooks show, in inches."""
    require_matplotlib()
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def legend_beside(ax: Axes, **options: Any) -> None:
    """Put the legend to the right of the panel, where it hides no data; constrained layout makes room for it."""
    place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "fontsize": 8, "frameon": False}
    ax.legend(**{**place, **options})


def label(name: str, longest: int = 40) -> str:
    """Return a name as text for matplotlib: no formula, and the middle of a long one left out."""
    half = (longest - 3) // 2
    short = name if len(name) <= longest else f"{name[: longest - 3 - half]}...{name[-half:]}"
    return short.replace("$", r"\$")


def wrapped(text: str) -> str:
    """Return the label of an axis in lines that fit below a small panel."""
    return textwrap.fill(text, _LABEL_WIDTH)


def picture_format(path: str | os.PathLike[str]) -> str:
    """Return the format that the ending of `path` names, matplotlib's default (PNG) where it has none.

    Raises
    ------
    ValueError
        When matplotlib cannot write that format.
    """
    from matplotlib import rcParams
    from matplotlib.backend_bases import FigureCanvasBase

    chosen = os.path.splitext(path)[1].lstrip(".").lower() or str(rcParams["savefig.format"])
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if chosen not in known:
        raise ValueError(f"{path}: pictures of the format {chosen!r} cannot be written; use {', '.join(known)}")
    return chosen


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Save a picture, whole or not at all; the ending of `path` chooses the format, PNG where it has none."""
    chosen = picture_format(path)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format=chosen)
