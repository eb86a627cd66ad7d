"""Pictures of a fitted model. matplotlib is needed here and nowhere else (``pip install "moefast[plot]"``)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from moefast._typing import Floats
from moefast.estimators.summary import feature_names
from moefast.io.atomic import replacing
from moefast.search.detours import ANNEALED, DIRECT, OTHER_NOISE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from moefast.estimators.base import MixtureEstimator

__all__ = ["picture_format", "plot_experts", "plot_search", "require_matplotlib", "save_figure"]


_MAX_POINTS = 5000
_MAX_FEATURES = 12
_BINS = 20
# Of the search: smaller gaps look the same; how a start went.
_LEAST_GAP = 0.01
_MARKERS = {DIRECT: "o", OTHER_NOISE: "^", ANNEALED: "s"}
_MARK_LABELS = {DIRECT: "at once", OTHER_NOISE: "other noise first", ANNEALED: "annealed first"}


def plot_experts(
    model: MixtureEstimator,
    X: Any,
    y: Any,
    *,
    target: str = "y",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw what each expert explains.

    Three panels: each row on the line of the expert most responsible for it (which is known once y is
    seen); what one standard deviation of each feature does to the response, by expert; and where along one
    feature (the one on which the gates depend most) each expert applies.

    Parameters
    ----------
    model : MixtureOfExpertsRegressor or HierarchicalMixtureOfExpertsRegressor
        Fitted.
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
    target : str
        The response's name for the axes.
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
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    values = np.asarray(X, dtype=np.float64)
    response = np.asarray(y, dtype=np.float64)
    k = len(model.coef_)
    palette = colormaps["tab10" if k <= 10 else "tab20"]
    colours = [palette(i % palette.N) for i in range(k)]
    names, target = [_literal(name) for name in feature_names(model)], _literal(target)
    figure = Figure(figsize=(15, 4.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _draw_predictions(left, model, X, response, colours, target)
    _draw_effects(middle, model, values, colours, names, target)
    _draw_regions(right, model.mixture_.gates(values), values, colours, names)
    if path is not None:
        save_figure(figure, path)
    return figure


def plot_search(model: MixtureEstimator, *, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw how the fit came about: what the starts reached, and the best by the EM iterations spent.

    Both panels show how far below the result the log-likelihood was, in units of log-likelihood on a logarithmic
    scale; 0.01 stands for less too, and for starts that were likelier but collapsed. Left, each start when
    successive halving dropped it or was over, by kind. Right, the best against the EM iterations of all runs
    together, and where each climb (the moves from one start) ended. Where there were no moves, the right panel
    says so.

    Parameters
    ----------
    model : MixtureEstimator
        Fitted.
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
    >>> from moefast.plotting import plot_search
    >>> X, y, _ = make_moe(300, 3, 2, random_state=0)
    >>> len(plot_search(MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)).axes)
    2
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    report = model.fit_report_
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)

    def below(log_likelihood: float) -> float:
        return max(_LEAST_GAP, model.log_likelihood_ - log_likelihood)

    kinds = sorted({start.kind for start in report.starts}, reverse=True)
    for start in report.starts:
        colour, place = "tab:red" if start.collapsed else "tab:blue", kinds.index(start.kind)
        left.plot(below(start.log_likelihood), place, _MARKERS[start.detour], alpha=0.6, color=colour)
    left.set_yticks(range(len(kinds)), kinds)
    left.set(xscale="log", xlabel="log-likelihood below the result")
    left.set(title="Starts after successive halving (red: collapsed)")
    left.invert_xaxis()
    _plain_ticks(left.xaxis)
    shown = [detour for detour in _MARKERS if any(detour == start.detour for start in report.starts)]
    marks = [left.plot([], [], _MARKERS[d], color="0.4", label=_MARK_LABELS[d]) for d in shown]
    if len(marks) > 1:
        left.legend(loc="best")
    if report.progress:
        spent, best = zip(*report.progress, strict=True)
        gaps = [below(value) for value in best]
        right.step([*spent, report.n_iter_total], [*gaps, gaps[-1]], where="post", color="tab:green")
        ends = [below(climb.log_likelihood) for climb in report.climbs]
        right.plot(np.full(len(ends), report.n_iter_total), ends, "<", alpha=0.6, color="tab:blue", clip_on=False)
        right.set(yscale="log", ylabel="log-likelihood below the result")
        right.invert_yaxis()
        _plain_ticks(right.yaxis)
        right.set(title="The best so far, and where climbs ended (at the right)")
        right.set(xlabel=f"EM iterations of all runs ({report.cpu_seconds:.2g} s of CPU time)")
    else:
        right.set_axis_off()
        right.set_title("Starts compared without moves")
    if path is not None:
        save_figure(figure, path)
    return figure


def _plain_ticks(axis: Axis) -> None:
    """Label 1, 2, 5 of every decade of a logarithmic axis as plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def require_matplotlib() -> None:
    """Raise ImportError that says how to get matplotlib when it is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError('pictures need matplotlib: pip install "moefast[plot]"') from None


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


def _literal(text: str) -> str:
    """Keep matplotlib from reading a name as a formula."""
    return text.replace("$", r"\$")


def _draw_predictions(
    axes: Axes, model: MixtureEstimator, X: Any, y: Floats, colours: list[Any], target: str
) -> None:
    owner = model.responsibilities(X, y).argmax(axis=1)
    predicted = model.mixture_.expert_means(np.asarray(X, dtype=np.float64))[np.arange(len(y)), owner]
    shown = np.linspace(0, len(y) - 1, min(len(y), _MAX_POINTS)).astype(np.intp)
    for i, colour in enumerate(colours):
        mine = shown[owner[shown] == i]
        label = f"expert {i}: {model.shares_[i]:.0%} of the rows, sigma {model.sigma_[i]:.3g}"
        axes.scatter(predicted[mine], y[mine], s=7, alpha=0.6, color=colour, linewidths=0, label=label)
    ends = [float(min(y.min(), predicted.min())), float(max(y.max(), predicted.max()))]
    axes.plot(ends, ends, color="0.4", linewidth=1, zorder=0)
    axes.set(
        xlabel=f"{target} by the law of the row's own expert",
        ylabel=f"observed {target}",
        title=f"What each expert explains ($R^2$ of predict, before y is seen: {model.score(X, y):.3f})",
    )
    axes.title.set_fontsize(10)
    axes.legend(fontsize=8, markerscale=2, loc="upper left")


def _draw_effects(
    axes: Axes, model: MixtureEstimator, X: Floats, colours: list[Any], names: list[str], target: str
) -> None:
    effects = model.coef_ * X.std(axis=0)
    order = np.argsort(np.abs(effects).max(axis=0))[::-1][:_MAX_FEATURES][::-1]
    height = 0.8 / len(colours)
    for i, colour in enumerate(colours):
        # expert 0 on top, as in the legend
        place = np.arange(len(order)) + height * ((len(colours) - 1) / 2 - i)
        axes.barh(place, effects[i, order], height=height, color=colour)
    axes.axvline(0, color="0.4", linewidth=1)
    axes.set_yticks(np.arange(len(order)), [names[j] for j in order], fontsize=8)
    unit = target if model.mixture_.link.is_linear else "the linear form"
    title = "The experts' laws"
    if len(order) < len(names):
        title += f" ({len(order)} largest of {len(names)} features)"
    axes.set(xlabel=f"change of {unit} per standard deviation of the feature", title=title)
    axes.title.set_fontsize(10)


def _draw_regions(axes: Axes, p: Floats, X: Floats, colours: list[Any], names: list[str]) -> None:
    """Mean gate by quantile of the feature that separates the experts best."""
    best, best_spread, best_curve = 0, -1.0, (np.zeros(1), np.zeros((1, p.shape[1])))
    for j in range(X.shape[1]):
        edges = np.unique(np.quantile(X[:, j], np.linspace(0, 1, _BINS + 1)))
        bin_of = np.clip(np.searchsorted(edges, X[:, j], side="right") - 1, 0, max(len(edges) - 2, 0))
        counts = np.bincount(bin_of)
        used = counts > 0
        means = np.stack([np.bincount(bin_of, p[:, i])[used] / counts[used] for i in range(p.shape[1])], axis=1)
        centres = np.bincount(bin_of, X[:, j])[used] / counts[used]
        spread = float((counts[used] @ (means - p.mean(axis=0)) ** 2).sum() / len(X))
        if spread > best_spread:
            best, best_spread, best_curve = j, spread, (centres, means)
    centres, means = best_curve
    if len(centres) == 1:  # the feature has one value: a bar in place of an area
        centres, means = centres[0] + np.array([-0.5, 0.5]), np.repeat(means, 2, axis=0)
    axes.stackplot(centres, means.T, colors=colours, alpha=0.85)
    axes.set(
        xlabel=f"{names[best]} (means of up to {_BINS} equal groups of rows)",
        ylabel="gate: share of each expert",
        ylim=(0, 1),
        xlim=(float(centres.min()), float(centres.max())),
        title=f"Where each expert applies: along {names[best]}",
    )
    axes.title.set_fontsize(10)
