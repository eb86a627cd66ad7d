"""What the laws leave over: residuals by expert, and quantile residuals of the whole mixture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import beta

from moefast._typing import Floats
from moefast.families import Gaussian
from moefast.mixture import GatedExperts
from moefast.plotting.calibration import probability_below
from moefast.plotting.figures import axes_or_new, legend_beside, wrapped
from moefast.plotting.style import Experts, Rows, limits, refuse_classes, target_label
from moefast.quantiles import mixture_cdf
from moefast.samples import NO_TERMS, RowTerms

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from moefast.estimators.base import MixtureEstimator

__all__ = ["plot_quantile_residuals", "plot_residuals", "quantile_residuals"]

_TAIL, _MIDDLE = 500, 1000  # points shown of each tail, and between them
_LEAST = 1e-300  # a probability that underflows is at 37 standard deviations


def plot_residuals(
    model: MixtureEstimator,
    X: Any,
    y: Any = None,
    *,
    offset: Any = None,
    n_trials: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw each row's residual from the law of the expert most responsible for it, in its standard deviations.

    A curve in one colour says that this expert's law is not straight, a funnel that its noise is not constant.
    Since a row is given to the expert that explains it best, residuals are a little smaller than normal ones
    where experts overlap; :func:`plot_quantile_residuals` is free of that.

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
    >>> from moefast.plotting import plot_residuals
    >>> from matplotlib.figure import Figure
    >>> X, y, _ = make_moe(300, 3, 2, random_state=0)
    >>> model = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    >>> plot_residuals(model, X, y, ax=Figure().subplots()).get_ylabel()
    'residual / sigma of its expert'
    """
    refuse_classes(model)
    ax = axes_or_new(ax)
    values, response, terms = model._checked_samples(X, y, offset, n_trials)
    experts = Experts.of(model)
    rows = Rows.of(model.responsibilities(X, y, offset=offset, n_trials=n_trials), experts)
    of_owner = model.mixture_.predictors(values, terms).chosen(rows.owner)
    family = model.mixture_.family
    law = family.mean(of_owner)[:, 0]
    spread = model.sigma_[rows.owner] if family.has_scale else family.std(of_owner)[:, 0]
    residuals = np.where(response == law, 0.0, response - law)  # of an expert that is sure the spread is 0 as well
    residuals = np.divide(residuals, spread, out=residuals, where=residuals != 0)
    low, high = limits(residuals)
    ax.set(xlim=limits(law), ylim=(min(low, -3.2), max(high, 3.2)))
    rows.draw(ax, law, residuals, experts.colours[rows.owner])
    for level, style in ((0, "-"), (-2, "--"), (2, "--")):
        ax.axhline(level, color="0.4", linestyle=style, linewidth=1, zorder=0)
    for i, name in enumerate(experts.names):
        ax.plot(
            [], [], "o", color=experts.colours[i], markersize=4, label=f"{name}: {(rows.owner == i).sum()} rows"
        )
    unit = "sigma" if family.has_scale else "standard deviation"
    ax.set(xlabel=wrapped(f"{target_label(model)} by the law of its expert"))
    ax.set(ylabel=f"residual / {unit} of its expert")
    legend_beside(ax, title=rows.note)
    return ax


def plot_quantile_residuals(
    model: MixtureEstimator,
    X: Any,
    y: Any = None,
    *,
    offset: Any = None,
    n_trials: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the quantiles of the quantile residuals against those of the normal distribution.

    A quantile residual is the normal quantile of F(y | x): standard normal whatever the experts overlap, if the
    model is right. 95 % of a right model's points are within the band, each taken alone.

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

    References
    ----------
    Dunn, Smyth, "Randomized quantile residuals", Journal of Computational and Graphical Statistics 5, 1996.

    Examples
    --------
    >>> from moefast import MixtureOfExpertsRegressor
    >>> from moefast.datasets import make_moe
    >>> from moefast.plotting import plot_quantile_residuals
    >>> from matplotlib.figure import Figure
    >>> X, y, _ = make_moe(300, 3, 2, random_state=0)
    >>> model = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    >>> ax = plot_quantile_residuals(model, X, y, ax=Figure().subplots())
    >>> len(ax.lines[0].get_xdata())
    300
    """
    refuse_classes(model)
    ax = axes_or_new(ax, 6.0, 4.2)
    residuals = np.sort(quantile_residuals(model.mixture_, *model._checked_samples(X, y, offset, n_trials)))
    n = len(residuals)
    middle = np.linspace(_TAIL, max(n - 1 - _TAIL, _TAIL), _MIDDLE)
    shown = (
        np.arange(n)
        if n <= 2 * _TAIL + _MIDDLE
        else np.unique(np.concatenate([np.arange(_TAIL), middle, np.arange(n - _TAIL, n)]).astype(np.intp))
    )
    rank = shown + 1.0
    normal = ndtri((rank - 0.5) / n)
    low, high = (ndtri(beta.ppf(q, rank, n - rank + 1)) for q in (0.025, 0.975))  # of an order statistic
    ax.plot(normal, residuals[shown], "o", color="#0072B2", markersize=3, label=f"{n} rows", rasterized=n > 1000)
    ax.fill_between(
        normal, low, high, color="0.5", alpha=0.3, linewidth=0, label="95 % of a right\nmodel's points"
    )
    least, most = limits(residuals)
    widest = 1.05 * max(float(normal[-1]), 1.0)
    ax.set(xlim=(-widest, widest), ylim=(min(least, -3), max(most, 3)))
    span = np.array(ax.get_xlim())
    ax.plot(span, span, color="0.3", linewidth=1)
    ax.set(xlabel="normal quantile", ylabel="quantile residual")
    legend_beside(ax)
    return ax


def quantile_residuals(mixture: GatedExperts, X: Floats, y: Floats, terms: RowTerms = NO_TERMS) -> Floats:
    """Return the normal quantile of F(y | x), by the nearer tail, where rounding leaves something, shape (n,)."""
    if not isinstance(mixture.family, Gaussian):
        return np.asarray(ndtri(np.clip(probability_below(mixture, X, y, terms), _LEAST, 1.0 - 1e-16)))
    p, means = mixture.gates(X), mixture.expert_means(X, terms)
    below, above = mixture_cdf(p, means, mixture.sigma, y), mixture_cdf(p, -means, mixture.sigma, -y)
    lower, upper = ndtri(np.maximum(below, _LEAST)), -ndtri(np.maximum(above, _LEAST))
    return np.where(below < above, lower, upper)
