"""How experts and rows look: colours that all can tell apart, small experts on top, outliers at the edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from moefast._typing import Floats
from moefast.plotting.figures import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from moefast.estimators.base import MixtureEstimator

__all__ = ["Experts", "Rows", "expert_in_words", "limits", "refuse_classes", "target_label"]

# Okabe, Ito, "Color universal design", 2008, without its yellow, too light for lines; for more experts the ten of
# Petroff, "Accessible color sequences for data visualization", arXiv:2107.02270.
_FEW = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MANY = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
_MAX_POINTS = 5000
_FEWEST_POINTS = 200  # of an expert, before its rows are left out
_MARGIN = 0.5  # of the range of the middle 98 % beyond which values are outliers


@dataclass(frozen=True)
class Experts:
    """How the experts of a model are called and coloured.

    Attributes
    ----------
    names : tuple of str
        "expert 0"; what the summary calls them.
    colours : ndarray of shape (k, 3)
        Red, green, blue.
    order : ndarray of int
        The experts by decreasing share: what is drawn last is on top.
    """

    names: tuple[str, ...]
    colours: Floats
    order: npt.NDArray[np.intp]

    @classmethod
    def of(cls, model: MixtureEstimator) -> Experts:
        """Return names and colours of a fitted model's experts."""
        from matplotlib.colors import to_rgb

        names = list(model.summary().experts.components)
        for i in model.fit_report_.collapsed:
            names[i] += " (collapsed)"
        palette = _FEW if len(names) <= len(_FEW) else _MANY
        colours = np.array([to_rgb(palette[i % len(palette)]) for i in range(len(names))])
        return cls(tuple(names), colours, np.argsort(-model.shares_, kind="stable"))


@dataclass(frozen=True)
class Rows:
    """The rows that are drawn: those of small experts last, thinned evenly where there are many.

    Attributes
    ----------
    index : ndarray of int
        In the order in which they are drawn.
    owner : ndarray of int
        The expert most responsible, of every row.
    note : str or None
        How many of the rows are shown, where not all are.
    """

    index: npt.NDArray[np.intp]
    owner: npt.NDArray[np.intp]
    note: str | None

    @classmethod
    def of(cls, responsibilities: Floats, experts: Experts) -> Rows:
        """Choose the rows to draw: at least 200 of each expert, or all it has."""
        n = len(responsibilities)
        owner = responsibilities.argmax(axis=1)
        parts = []
        for i in experts.order:
            mine = np.flatnonzero(owner == i)
            most = max(_MAX_POINTS * len(mine) // n, _FEWEST_POINTS) if n > _MAX_POINTS else n
            parts.append(mine[np.linspace(0, len(mine) - 1, min(len(mine), most)).astype(np.intp)])
        index = np.concatenate(parts)
        note = None if len(index) == n else f"{len(index)} of {n} rows shown"
        return cls(index, owner, note)

    def draw(self, ax: Axes, x: Floats, y: Floats, colours: Floats) -> None:
        """Draw the rows, as triangles at the edge where they lie outside the panel.

        `x`, `y` and `colours` are of all rows; the panel's limits have been set.
        """
        (left, right), (bottom, top) = sorted(ax.get_xlim()), sorted(ax.get_ylim())
        x, y, colours = x[self.index], y[self.index], colours[self.index]
        outside = (x < left) | (x > right) | (y < bottom) | (y > top)
        style: dict[str, Any] = {"linewidths": 0, "rasterized": len(x) > 1000}
        size = 16 if len(x) < 300 else 9 if len(x) < 2000 else 5
        ax.scatter(x[~outside], y[~outside], s=size, c=colours[~outside], alpha=0.7, **style)
        if outside.any():
            edge = np.clip(x[outside], left, right), np.clip(y[outside], bottom, top)
            name = f"outside the panel: {outside.sum()} rows" if outside.sum() > 1 else "outside the panel: 1 row"
            ax.scatter(
                *edge,
                s=30,
                marker="d",
                c=colours[outside],
                edgecolors="black",
                clip_on=False,
                zorder=3,
                label=name,
            )


def expert_in_words(model: MixtureEstimator, i: int) -> str:
    """Return the share of an expert and what else its law has, for legends: "40%, sigma 0.2"."""
    family, parts = model.mixture_.family, [f"{model.shares_[i]:.0%}"]
    if family.has_scale:
        parts.append(f"sigma {model.sigma_[i]:.3g}")
    if family.shape_name is not None:
        parts.append(f"{family.shape_name} {model.mixture_.shape[i]:.3g}")
    return ", ".join(parts)


def limits(values: Floats) -> tuple[float, float]:
    """Return limits for an axis: the range of the values, a bit more, without far outliers."""
    low, high = float(values.min()), float(values.max())
    inner_low, inner_high = np.quantile(values, (0.01, 0.99))
    span = float(inner_high - inner_low)
    if span > 0:
        low, high = max(low, float(inner_low) - _MARGIN * span), min(high, float(inner_high) + _MARGIN * span)
    pad = 0.04 * (high - low) or 0.5 * max(abs(high), 1.0)
    return low - pad, high + pad


def target_label(model: MixtureEstimator) -> str:
    """Return what to call y."""
    return label(getattr(model, "target_name_", None) or "y")


def refuse_classes(model: MixtureEstimator) -> None:
    """Raise ValueError for a fitted model of several classes, which are no numbers to be drawn, or responses."""
    check_is_fitted(model)
    family = model.mixture_.family
    if family.has_covariance:
        raise ValueError(
            f"this picture is of one response, the model has {family.in_words}: draw model.marginal(0), of the "
            "first of them, with its column of y"
        )
    if family.n_predictors > 1:
        raise ValueError(
            f"this picture is of a response that is a number, the model has {family.in_words}: draw plot_gates or "
            "plot_search, or what predict_proba returns"
        )
