"""How a fit came about: its starts and climbs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from moefast.plotting.figures import legend_beside, require_matplotlib, save_figure
from moefast.search.detours import ANNEALED, DIRECT, OTHER_NOISE

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from moefast.estimators.base import MixtureEstimator

__all__ = ["plot_search"]

# Smaller gaps look the same; how a start went.
_LEAST_GAP = 0.01
_SOUND, _COLLAPSED = "#0072B2", "#D55E00"
_MARKERS = {DIRECT: "o", OTHER_NOISE: "^", ANNEALED: "s"}
_MARK_LABELS = {DIRECT: "at once", OTHER_NOISE: "other noise first", ANNEALED: "annealed first"}


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
    figure = Figure(figsize=(13, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)

    def below(log_likelihood: float) -> float:
        return max(_LEAST_GAP, model.log_likelihood_ - log_likelihood)

    kinds = sorted({start.kind for start in report.starts}, reverse=True)
    looks = []
    for start in report.starts:
        colour, place = _COLLAPSED if start.collapsed else _SOUND, kinds.index(start.kind)
        left.plot(below(start.log_likelihood), place, _MARKERS[start.detour], alpha=0.6, color=colour)
        looks.append((start.detour, bool(start.collapsed)))
    left.set_yticks(range(len(kinds)), kinds)
    left.set(xscale="log", xlabel="log-likelihood below the result", title="Starts after successive halving")
    left.invert_xaxis()
    _plain_ticks(left.xaxis)
    for detour, collapsed in sorted(set(looks)):
        name = _MARK_LABELS[detour] + (", collapsed" if collapsed else "")
        left.plot([], [], _MARKERS[detour], color=_COLLAPSED if collapsed else _SOUND, label=name)
    legend_beside(left)
    if report.progress:
        spent, best = zip(*report.progress, strict=True)
        gaps = [below(value) for value in best]
        line = [*spent, report.n_iter_total], [*gaps, gaps[-1]]
        right.step(*line, where="post", color="#009E73", label="the best so far")
        ends = [below(climb.log_likelihood) for climb in report.climbs]
        marks = np.full(len(ends), report.n_iter_total), ends
        right.plot(*marks, "<", alpha=0.6, color=_SOUND, clip_on=False, label="ends of climbs")
        right.set(yscale="log", ylabel="log-likelihood below the result", title="The search")
        right.invert_yaxis()
        _plain_ticks(right.yaxis)
        right.set(xlabel=f"EM iterations of all runs ({report.cpu_seconds:.2g} s of CPU time)")
        legend_beside(right)
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
