"""Gates along a feature: exact with one feature, partial dependence with several; steps look like steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from moefast._typing import Floats
from moefast.estimators.summary import feature_names
from moefast.plotting.figures import axes_or_new, label, legend_beside, wrapped
from moefast.plotting.style import Experts, limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from moefast.estimators.base import MixtureEstimator

__all__ = ["gate_curve", "gates_of_columns", "is_discrete", "plot_gates"]

Gates: TypeAlias = Callable[[Floats], Floats]

_ROWS = 300  # that a partial dependence averages over
_BLOCK = 64  # values of the feature for which rows are copied at once
_GRID, _FINEST = 101, 4000  # values of the feature: at first, at most
_STEP = 0.02  # a gate that changes more between two values is looked at between them
_ROUNDS = 10
_DISCRETE = 12  # a feature with no more different values is drawn as bars


def plot_gates(
    model: MixtureEstimator, X: Any, feature: str | int | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw where each expert applies: its gate along one feature, stacked to 1.

    With one feature these are the gates themselves. With several it is their partial dependence: the mean over
    rows (300 of them, evenly chosen) whose value of the feature is replaced. Features of up to 12 different
    values are drawn as bars.

    Parameters
    ----------
    model : MixtureOfExpertsRegressor or HierarchicalMixtureOfExpertsRegressor
        Fitted.
    X : array-like of shape (n, d)
        The rows to average over.
    feature : str or int, optional
        The feature's name or position. Default: the one along which the gates change most.
    ax : matplotlib Axes, optional
        Where to draw; a new figure for None.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        When there is no such feature.
    ImportError
        When matplotlib is not installed; the message says how to get it.

    Examples
    --------
    >>> from moefast import MixtureOfExpertsRegressor
    >>> from moefast.datasets import make_moe
    >>> from moefast.plotting import plot_gates
    >>> from matplotlib.figure import Figure
    >>> X, y, _ = make_moe(300, 3, 2, random_state=0)
    >>> model = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    >>> plot_gates(model, X, "x1", ax=Figure().subplots()).get_xlabel()
    'x1'
    """
    ax = axes_or_new(ax, 7.0, 3.5)
    values = model._checked_features(X)[:, : model.n_features_in_]
    names, gates = feature_names(model)[: model.n_features_in_], gates_of_columns(model)
    j = _steepest(gates, values) if feature is None else _position(feature, names)
    experts = Experts.of(model)
    column = values[:, j]
    if is_discrete(column):
        _draw_bars(ax, *_at(gates, values, j, np.unique(column)), experts)
    else:
        grid, p = gate_curve(gates, values, j, limits(column))
        ax.stackplot(grid, p.T, colors=experts.colours, labels=experts.names, alpha=0.8, linewidth=0)
        ax.set_xlim(grid[0], grid[-1])
        deciles = np.quantile(column, np.linspace(0.1, 0.9, 9))
        marks: dict[str, Any] = {
            "color": "black",
            "markersize": 7,
            "clip_on": False,
            "label": "deciles of the rows",
        }
        ax.plot(deciles, np.zeros(9), "|", transform=ax.get_xaxis_transform(), **marks)
    ax.set(
        xlabel=wrapped(label(names[j], 80)),
        ylabel="gate" if len(names) == 1 else "gate, mean over rows",
        ylim=(0, 1),
    )
    legend_beside(ax, reverse=True)
    return ax


def gates_of_columns(model: MixtureEstimator) -> Gates:
    """Return the function from columns of X, or of a design matrix, to the gates."""
    basis, mixture = model.gate_basis_, model.mixture_
    return mixture.gates if basis is None else lambda X: mixture.gates(basis.expand(X))


def gate_curve(gates: Gates, X: Floats, j: int, ends: tuple[float, float]) -> tuple[Floats, Floats]:
    """Return values of feature `j` and the mean gates there, close together where the gates are steep."""
    grid, p = _at(gates, X, j, np.linspace(*ends, _GRID))
    for _ in range(_ROUNDS):
        steep = np.flatnonzero(np.abs(np.diff(p, axis=0)).max(axis=1) > _STEP)
        if len(steep) == 0 or len(grid) + len(steep) > _FINEST:
            break
        new, p_new = _at(gates, X, j, 0.5 * (grid[steep] + grid[steep + 1]))
        order = np.argsort(np.concatenate([grid, new]), kind="stable")
        grid, p = np.concatenate([grid, new])[order], np.concatenate([p, p_new])[order]
    return grid, p


def is_discrete(column: Floats) -> bool:
    """Whether a feature has few values, each of them several times."""
    n_values = len(np.unique(column))
    return n_values <= _DISCRETE and len(column) > 2 * n_values


def _at(gates: Gates, X: Floats, j: int, values: Floats) -> tuple[Floats, Floats]:
    """Return the values, and the gates averaged over rows whose feature `j` is replaced by each of them."""
    rows = X[:1] if X.shape[1] == 1 else X[np.linspace(0, len(X) - 1, min(len(X), _ROWS)).astype(np.intp)]
    means = []
    for first in range(0, len(values), _BLOCK):
        some = values[first : first + _BLOCK]
        tables = np.repeat(rows[None], len(some), axis=0)
        tables[:, :, j] = some[:, None]
        p = gates(tables.reshape(-1, X.shape[1]))
        means.append(p.reshape(len(some), len(rows), -1).mean(axis=1))
    return values, np.concatenate(means)


def _draw_bars(ax: Axes, values: Floats, p: Floats, experts: Experts) -> None:
    """One bar for each value of the feature."""
    width = 0.8 * (np.diff(values).min() if len(values) > 1 else 1.0)
    bottom = np.zeros(len(values))
    for i, name in enumerate(experts.names):
        ax.bar(values, p[:, i], width, bottom, color=experts.colours[i], alpha=0.8, label=name)
        bottom += p[:, i]
    if len(values) > 1 and np.allclose(values, np.round(values)):
        ax.set_xticks(values)


def _steepest(gates: Gates, X: Floats) -> int:
    """Return the feature along which the mean gates vary most, over quantiles of its values."""
    levels = np.linspace(0.05, 0.95, 10)
    spreads = [_at(gates, X, j, np.quantile(X[:, j], levels))[1].var(axis=0).sum() for j in range(X.shape[1])]
    return int(np.argmax(spreads))


def _position(feature: str | int, names: list[str]) -> int:
    if isinstance(feature, str) and feature in names:
        return names.index(feature)
    if isinstance(feature, (int, np.integer)) and not isinstance(feature, bool) and 0 <= feature < len(names):
        return int(feature)
    raise ValueError(f"feature must be a position from 0 to {len(names) - 1} or one of {names}, got {feature!r}")
