"""What a cross-validation has found: the log-likelihood of rows held out by the number of experts."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from moefast._typing import Floats
from moefast.hierarchy.mixture import tree_in_words
from moefast.plotting.figures import axes_or_new, legend_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_cross_validation"]

_TREES, _CHOSEN, _OTHERS = "#0072B2", "#D55E00", "0.75"
# Of trees, one after the other.
_MARKERS = "Ds^vPX*"


def plot_cross_validation(model: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the mean log-likelihood of a row held out against the number of experts, for all settings.

    Grey lines are the other settings, each of the same ridges and noise throughout; the thick one is the best
    setting of each number of experts, with a standard error up and down, and the choice is marked. The dotted line
    is a standard error below the best. Trees of gates stand beside the lines, each by the best of its settings.

    Parameters
    ----------
    model : MixtureOfExpertsRegressorCV
        Fitted.
    ax : matplotlib Axes, optional
        Where to draw; those of a new figure of pyplot for None.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        When matplotlib is not installed; the message says how to get it.

    Examples
    --------
    >>> from moefast import MixtureOfExpertsRegressorCV
    >>> from moefast.datasets import make_moe
    >>> from moefast.plotting import plot_cross_validation
    >>> X, y, _ = make_moe(300, 3, 2, noise=0.3, random_state=0)
    >>> model = MixtureOfExpertsRegressorCV(n_experts=(1, 2, 3), random_state=0).fit(X, y)
    >>> plot_cross_validation(model).get_xlabel()
    'number of experts'
    """
    check_is_fitted(model, "cv_results_")
    ax = axes_or_new(ax)
    results = model.cv_results_
    counts, means, errors = (results[name] for name in ("param_n_experts", "mean_test_score", "standard_error"))
    trees = results.get("param_branches", np.full(len(counts), None))
    flat = np.array([tree is None for tree in trees])
    names = [name for name in results if name.startswith("param_") and name != "param_n_experts"]
    others = list(zip(*(results[name] for name in names), strict=True))
    for i, setting in enumerate(dict.fromkeys(others)):
        rows = [row for row, other in enumerate(others) if other == setting]
        # Of trees a setting is one point.
        style: dict[str, Any] = {"linewidth": 0.8} if flat[rows[0]] else {"marker": ".", "linestyle": ""}
        name = "other settings" if i == 0 else None
        ax.plot(counts[rows], means[rows], color=_OTHERS, zorder=1, label=name, **style)
    best = np.array([_best_row(means, flat & (counts == k)) for k in np.unique(counts[flat])])
    ax.errorbar(
        counts[best],
        means[best],
        errors[best],
        color=_CHOSEN,
        marker="o",
        capsize=3,
        linewidth=2,
        label="the best of them",
    )
    tops = [_best_row(means, np.array([other == tree for other in trees])) for tree in dict.fromkeys(trees[~flat])]
    for i, marker in zip(tops, cycle(_MARKERS), strict=False):
        label = tree_in_words(trees[i])
        ax.errorbar(
            counts[i], means[i], errors[i], color=_TREES, marker=marker, linestyle="", capsize=3, label=label
        )
    best = np.array([*best, *tops])
    at, top = model.best_index_, int(means.argmax())
    ring: dict[str, Any] = {"markersize": 11, "markerfacecolor": "none", "markeredgewidth": 2, "zorder": 4}
    ax.plot(counts[at], means[at], "o", color=_CHOSEN, label="chosen", **ring)
    least = means[top] - errors[top]
    ax.axhline(least, color="0.4", linestyle=":", zorder=0, label="a standard error below the best")
    # Settings far below hide what is decided between the others.
    low = (means[best] - errors[best]).min()
    high = (means[best] + errors[best]).max()
    ax.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    ax.locator_params(axis="x", integer=True)
    unit = "row" if model.n_groups_fit_ == model.n_samples_fit_ else "group"
    ax.set(xlabel="number of experts", ylabel=f"log-likelihood of a {unit} held out, mean")
    chosen = ", ".join(_in_words(name, value) for name, value in model.best_params_.items())
    ax.set_title(chosen)
    legend_beside(ax)
    return ax


def _best_row(means: Floats, among: npt.NDArray[np.bool_]) -> int:
    """Return the row of the best mean among some."""
    return int(np.where(among, means, -np.inf).argmax())


def _in_words(name: str, value: Any) -> str:
    if name == "n_experts":
        return f"{value} expert{'' if value == 1 else 's'}"
    if name == "branches":
        return tree_in_words(value)
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
