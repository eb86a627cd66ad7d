"""Coefficients by feature, with intervals where standard errors are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from moefast.estimators.summary import Inference, feature_names
from moefast.plotting.figures import axes_or_new, label, legend_beside, wrapped
from moefast.plotting.style import Experts, refuse_classes, target_label
from moefast.validation import check_choice, check_integer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from moefast.estimators.base import MixtureEstimator

__all__ = ["plot_coefficients"]


def plot_coefficients(
    model: MixtureEstimator,
    X: Any,
    *,
    inference: Inference | None = None,
    block: str = "experts",
    max_features: int = 12,
    ax: Axes | None = None,
) -> Axes:
    """Draw what one standard deviation of each feature does: to y by each expert, or to the log-odds of gates.

    Features stand by decreasing size of their largest effect. With standard errors the bars are intervals of
    95 %; without, lines from 0.

    Parameters
    ----------
    model : MixtureOfExpertsRegressor or HierarchicalMixtureOfExpertsRegressor
        Fitted.
    X : array-like of shape (n, d)
        Their standard deviations are the units.
    inference : Inference, optional
        Of the same fit, for the intervals.
    block : {"experts", "gates"}
        Log-odds of gates are against the last expert, in a tree against the last child of each node.
    max_features : int
        How many features are shown.
    ax : matplotlib Axes, optional
        Where to draw; a new figure for None.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        When there are no gates, since there is one expert.
    ImportError
        When matplotlib is not installed; the message says how to get it.

    Examples
    --------
    >>> from moefast import MixtureOfExpertsRegressor
    >>> from moefast.datasets import make_moe
    >>> from moefast.plotting import plot_coefficients
    >>> from matplotlib.figure import Figure
    >>> X, y, _ = make_moe(300, 3, 2, random_state=0)
    >>> model = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    >>> ax = plot_coefficients(model, X, ax=Figure().subplots())
    >>> len(ax.get_yticklabels())
    3
    """
    check_choice("block", block, ("experts", "gates"))
    check_integer("max_features", max_features)
    if block == "experts":
        refuse_classes(model)
    spread = model._checked_features(X).std(axis=0)
    summary = model.summary(inference)
    tables = (summary.experts,) if block == "experts" else summary.gates
    if not tables:
        raise ValueError('block="gates": a model of one expert has no gates')
    names = feature_names(model)
    if model.gate_basis_ is not None:  # of its functions experts see none, gates nothing else of their columns
        seen = [j for j, name in enumerate(names) if name in tables[0].terms]
        names, spread = [names[j] for j in seen], spread[seen]
    columns = [(table, component) for table in tables for component in table.components]
    components = [component for _, component in columns]
    estimates = [[table.estimate(component, name) for table, component in columns] for name in names]
    effects = np.array(estimates) * spread[:, None]
    shown = np.argsort(-np.abs(effects).max(axis=1), kind="stable")[:max_features]
    k = len(components)
    ax = axes_or_new(ax, 7.0, 1.2 + len(shown) * min(0.6, 0.15 + 0.09 * k))
    experts = Experts.of(model)
    colours = _colours(components, experts)
    height = 0.8 / k
    for c, component in enumerate(components):
        places = np.arange(len(shown)) + height * (c - (k - 1) / 2)  # the first on top, as in the legend
        values = effects[shown, c]
        if inference is None:
            ax.hlines(places, 0, values, color=colours[c], linewidth=1.2)
        else:
            errors = [columns[c][0].error(component, names[j]) for j in shown]
            ends = np.array([(np.nan, np.nan) if e is None else (e.ci_low, e.ci_high) for e in errors])
            known = np.isfinite(ends).all(axis=1)
            bars = (ends * spread[shown, None])[known].T
            ax.hlines(places[known], *bars, color=colours[c], linewidth=max(1.2, 4.0 - 0.4 * k))
        ax.plot(values, places, "o", color=colours[c], markersize=max(2.5, 6.5 - 0.4 * k), label=component)
    for row in range(0, len(shown), 2):
        ax.axhspan(row - 0.5, row + 0.5, color="0.95", zorder=0)
    ax.axvline(0, color="0.4", linewidth=1, zorder=1)
    ax.set_yticks(np.arange(len(shown)), [label(names[j], 30) for j in shown], fontsize=8)
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.set_xlabel(wrapped(f"change of {_unit(model, block)} per standard deviation of the feature"))
    if len(shown) < len(names):
        ax.set_title(f"the {len(shown)} largest of {len(names)} features", fontsize=9)
    legend_beside(ax, title=None if inference is None else "95 % intervals")
    return ax


def _unit(model: MixtureEstimator, block: str) -> str:
    """Say what the coefficients change."""
    if block == "gates":
        reference = model.summary().experts.components[-1]
        return "log-odds" if hasattr(model, "branches_") else f"log-odds against {reference}"
    if not model.family_.is_location:
        return model.family_.predicts
    return target_label(model) if model.mixture_.link.is_linear else "the linear form"


def _colours(components: list[str], experts: Experts) -> list[Any]:
    """Experts have their colour in all pictures; branches, which only trees have, are grey."""
    by_name = {
        name.removesuffix(" (collapsed)"): colour
        for name, colour in zip(experts.names, experts.colours, strict=True)
    }
    branches = [component for component in components if component not in by_name]
    greys = dict(zip(branches, np.linspace(0.0, 0.7, max(len(branches), 2)), strict=False))
    return [by_name[c] if c in by_name else (greys[c],) * 3 for c in components]
