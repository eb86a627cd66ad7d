"""What the pictures of the experiments share. matplotlib is imported only when something is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["colours_of", "new_figure", "plot_band"]


def new_figure(
    rows: int, columns: int, *, width: float = 5.0, height: float = 4.0, **options: Any
) -> tuple[Figure, Any]:
    """Return a figure and its axes, an array of shape (rows, columns); `options` as for Figure.subplots."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def colours_of(names: Sequence[Any]) -> dict[Any, Any]:
    """Return a colour for each name."""
    from matplotlib import colormaps

    return {name: colormaps["tab10"](i % 10) for i, name in enumerate(names)}


def plot_band(axes: Axes, table: pd.DataFrame, x: str, y: str, **style: Any) -> None:
    """Draw the median of column `y` at each value of column `x`, and the quartiles as a band."""
    quartiles = table.groupby(x)[y].quantile(np.array([0.25, 0.5, 0.75])).unstack()
    (line,) = axes.plot(quartiles.index, quartiles[0.5], **style)
    axes.fill_between(
        quartiles.index, quartiles[0.25], quartiles[0.75], color=line.get_color(), alpha=0.15, linewidth=0
    )
