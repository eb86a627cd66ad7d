"""The overview of a fit: what each expert explains, its law, and where it applies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from moefast.plotting.coefficients import plot_coefficients
from moefast.plotting.figures import axes_or_new, legend_beside, require_matplotlib, save_figure, wrapped
from moefast.plotting.gates import plot_gates
from moefast.plotting.laws import plot_fit
from moefast.plotting.style import Experts, Rows, expert_in_words, limits, refuse_classes, target_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from moefast.estimators.base import MixtureEstimator

__all__ = ["plot_experts", "plot_explained"]


def plot_experts(
    model: MixtureEstimator, X: Any, y: Any = None, *, path: str | os.PathLike[str] | None = None
) -> Figure:
    """Draw what each expert explains.

    With one feature: the laws above the gates, as :func:`plot_fit` draws them. With several, three panels: each
    row on the line of the expert most responsible for it (which is known once y is seen); what one standard
    deviation of each feature does to the response, by expert (:func:`plot_coefficients`); and where along the
    feature on which the gates depend most each expert applies (:func:`plot_gates`).

    Parameters
    ----------
    model : MixtureOfExpertsRegressor or HierarchicalMixtureOfExpertsRegressor
        Fitted.
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
        May be left out with a formula.
    path : str or path-like, optional
        Where to save the picture; its ending chooses the format, PNG where it has none.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        When matplotlib is not installed; the message says how to get it.

    Examples
    --------
    >>> from moefast import MixtureOfExpertsRegressor
    >>> from moefast.datasets import make_moe
    >>> from moefast.plotting import plot_experts
    >>> X, y, _ = make_moe(300, 3, 2, random_state=0)
    >>> len(plot_experts(MixtureOfExpertsRegressor(2, random_state=0).fit(X, y), X, y).axes)
    3
    """
    require_matplotlib()
    refuse_classes(model)
    from matplotlib.figure import Figure

    if model.n_features_in_ == 1:
        figure = Figure(figsize=(9, 6), layout="constrained")
        plot_fit(model, X, y, axes=figure.subplots(2, 1, height_ratios=(3, 1), sharex=True))
    else:
        figure = Figure(figsize=(17, 4.8), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        plot_explained(model, X, y, ax=left)
        plot_coefficients(model, X, ax=middle)
        plot_gates(model, X, ax=right)
    if path is not None:
        save_figure(figure, path)
    return figure


def plot_explained(
    model: MixtureEstimator,
    X: Any,
    y: Any = None,
    *,
    offset: Any = None,
    n_trials: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw y against what the law of each row's own expert says, the expert being most responsible for the row.

    That is known once y is seen: it shows what the experts explain, not how well y is predicted.

    Parameters
    ----------
    model : MixtureOfExpertsRegressor or HierarchicalMixtureOfExpertsRegressor
        Fitted.
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
        May be left out with a formula.
    offset, n_trials : float or array-like of shape (n,), optional
        Of these rows, as in ``fit``.
    ax : matplotlib Axes, optional
        Where to draw; a new figure for None.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        When matplotlib is not installed; the message says how to get it.

    Examples
    --------
    >>> from moefast import MixtureOfExpertsRegressor
    >>> from moefast.datasets import make_moe
    >>> from moefast.plotting import plot_explained
    >>> from matplotlib.figure import Figure
    >>> X, y, _ = make_moe(300, 3, 2, random_state=0)
    >>> model = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    >>> plot_explained(model, X, y, ax=Figure().subplots()).get_ylabel()
    'y'
    """
    refuse_classes(model)
    ax = axes_or_new(ax)
    values, response, terms = model._checked_samples(X, y, offset, n_trials)
    experts = Experts.of(model)
    rows = Rows.of(model.responsibilities(X, y, offset=offset, n_trials=n_trials), experts)
    law = model.mixture_.expert_means(values, terms)[np.arange(len(response)), rows.owner]
    ax.set(xlim=limits(law), ylim=limits(response))
    rows.draw(ax, law, response, experts.colours[rows.owner])
    ends = np.array([max(ax.get_xlim()[0], ax.get_ylim()[0]), min(ax.get_xlim()[1], ax.get_ylim()[1])])
    ax.plot(ends, ends, color="0.4", linewidth=1, zorder=0)
    for i, name in enumerate(experts.names):
        what = f"{name}: {expert_in_words(model, i)}"
        ax.plot([], [], "o", color=experts.colours[i], markersize=4, label=what)
    target = target_label(model)
    ax.set(xlabel=wrapped(f"{target} by the law of the row's own expert"), ylabel=target)
    legend_beside(ax, title=rows.note)
    return ax
