"""With one feature: y against x, the experts' laws as lines with their bands, and the gates below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from moefast.estimators.summary import feature_names
from moefast.plotting.figures import axes_or_new, label, legend_beside, require_matplotlib, wrapped
from moefast.plotting.gates import gate_curve, gates_of_columns, plot_gates
from moefast.plotting.style import Experts, Rows, expert_in_words, limits, refuse_classes, target_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from moefast.estimators.base import MixtureEstimator

__all__ = ["plot_fit", "plot_laws"]

_APPLIES = 0.05  # an expert's line is solid where its gate is above this, or half its largest


def plot_laws(model: MixtureEstimator, X: Any, y: Any = None, *, ax: Axes | None = None) -> Axes:
    """Draw y against the only feature, each expert's law as a line with the band of its middle 95 %.

    A point has the mixed colours of the experts responsible for it. Lines are solid, and have bands, where the
    expert's gate is above 5 %; elsewhere they are dotted. Rows far outside are drawn as diamonds at the edge;
    above 5000 rows some are left out, of small experts the last.

    Parameters
    ----------
    model : MixtureOfExpertsRegressor or HierarchicalMixtureOfExpertsRegressor
        Fitted on one feature.
    X : array-like of shape (n, 1)
    y : array-like of shape (n,)
        May be left out with a formula.
    ax : matplotlib Axes, optional
        Where to draw; a new figure for None.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        When the model has several features.
    ImportError
        When matplotlib is not installed; the message says how to get it.

    Examples
    --------
    >>> from moefast import MixtureOfExpertsRegressor
    >>> from moefast.datasets import make_moe
    >>> from moefast.plotting import plot_laws
    >>> from matplotlib.figure import Figure
    >>> X, y, _ = make_moe(300, 1, 2, random_state=0)
    >>> model = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    >>> ax = plot_laws(model, X, y, ax=Figure().subplots())
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('x0', 'y')
    """
    require_matplotlib()
    refuse_classes(model)
    values, response, _ = model._checked_samples(X, y)
    names = feature_names(model)[: model.n_features_in_]
    if len(names) != 1:
        raise ValueError(
            f"y can be drawn against one feature, the model has {len(names)}: use plot_experts, plot_coefficients "
            "and plot_gates"
        )
    ax = axes_or_new(ax)
    experts, x = Experts.of(model), values[:, 0]
    ax.set(xlim=limits(x), ylim=limits(response), xlabel=wrapped(label(names[0], 80)), ylabel=target_label(model))
    responsibilities = model.responsibilities(X, y)
    rows = Rows.of(responsibilities, experts)
    rows.draw(ax, x, response, np.clip(responsibilities @ experts.colours, 0.0, 1.0))
    grid, p = gate_curve(gates_of_columns(model), values[:, :1], 0, limits(x))
    at = np.zeros((len(grid), values.shape[1]))  # experts see the first column alone
    at[:, 0] = grid
    of, family = model.mixture_.predictors(at), model.mixture_.family
    means = family.mean(of)
    for i in experts.order:
        applies = p[:, i] >= min(_APPLIES, 0.5 * p[:, i].max())
        law, colour = means[:, i], experts.colours[i]
        solid = np.where(applies, law, np.nan)
        below, above = (family.quantile(of.of_expert(i), float(ndtr(z)))[:, 0] for z in (-2, 2))
        ax.fill_between(grid, below, above, _widened(applies), color=colour, alpha=0.15, linewidth=0, zorder=1.5)
        ax.plot(grid, law, ":", color=colour, linewidth=1, zorder=2.5)
        what = f"{experts.names[i]}: {expert_in_words(model, i)}"
        ax.plot(grid, solid, color=colour, linewidth=2, zorder=2.6, label=what, path_effects=_outline())
    _in_order_of_experts(ax, experts, rows.note)
    return ax


def plot_fit(
    model: MixtureEstimator, X: Any, y: Any = None, *, axes: npt.NDArray[Any] | None = None
) -> npt.NDArray[Any]:
    """Draw a fit on one feature: the laws (:func:`plot_laws`) above the gates (:func:`plot_gates`).

    Parameters
    ----------
    model : MixtureOfExpertsRegressor or HierarchicalMixtureOfExpertsRegressor
        Fitted on one feature.
    X : array-like of shape (n, 1)
    y : array-like of shape (n,)
        May be left out with a formula.
    axes : ndarray of two matplotlib Axes, optional
        Where to draw; a new figure for None.

    Returns
    -------
    ndarray of two matplotlib Axes

    Raises
    ------
    ValueError
        When the model has several features.
    ImportError
        When matplotlib is not installed; the message says how to get it.

    Examples
    --------
    >>> from moefast import MixtureOfExpertsRegressor
    >>> from moefast.datasets import make_moe
    >>> from moefast.plotting import plot_fit
    >>> from matplotlib.figure import Figure
    >>> X, y, _ = make_moe(300, 1, 2, random_state=0)
    >>> model = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    >>> above, below = plot_fit(model, X, y, axes=Figure().subplots(2, sharex=True))
    >>> above.get_xlim() == below.get_xlim()
    True
    """
    require_matplotlib()
    refuse_classes(model)
    if axes is None:
        from matplotlib import pyplot

        shape: dict[str, Any] = {
            "height_ratios": (3, 1),
            "sharex": True,
            "figsize": (8.0, 5.5),
            "layout": "constrained",
        }
        axes = pyplot.subplots(2, 1, **shape)[1]
    above, below = axes
    plot_laws(model, X, y, ax=above)
    plot_gates(model, X, ax=below)
    if len(model.coef_) > 5:  # the lower panel is small
        legend_beside(below, reverse=True, ncols=2)
    above.set_xlim(below.get_xlim())
    above.set_xlabel("")
    return axes


def _widened(applies: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """A band needs two points: a single one gets a neighbour."""
    wide = applies.copy()
    alone = applies & ~np.roll(applies, 1) & ~np.roll(applies, -1)
    wide |= np.roll(alone, 1)
    return wide


def _outline() -> list[Any]:
    """A thin white edge keeps a line apart from points of its colour."""
    from matplotlib import patheffects

    return [patheffects.Stroke(linewidth=3.5, foreground="white"), patheffects.Normal()]


def _in_order_of_experts(ax: Axes, experts: Experts, note: str | None) -> None:
    """Add the legend with expert 0 first, whatever was drawn first; what else there is comes last."""
    handles, texts = ax.get_legend_handles_labels()
    place = {name: i for i, name in enumerate(experts.names)}
    order = sorted(range(len(texts)), key=lambda i: place.get(texts[i].split(":")[0], len(place)))
    legend_beside(ax, handles=[handles[i] for i in order], labels=[texts[i] for i in order], title=note)
