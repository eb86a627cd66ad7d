"""Is the predicted distribution right? The histogram of its probability integral transform tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binom

from moefast._typing import Floats
from moefast.mixture import GatedExperts
from moefast.plotting.figures import axes_or_new, legend_beside
from moefast.plotting.style import refuse_classes
from moefast.samples import NO_TERMS, RowTerms
from moefast.validation import check_integer, check_weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from moefast.estimators.base import MixtureEstimator

__all__ = ["plot_calibration", "probability_below"]


def plot_calibration(
    model: MixtureEstimator,
    X: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    n_bins: int = 20,
    offset: Any = None,
    n_trials: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the histogram of F(y | x), the probability that the model gives to values below the one observed.

    Where y jumps, as counts do and censored responses at their limits, a random point of the jump is taken.

    It is flat where the predicted distributions are right: a hump says that they are too wide, a trough that
    they are too narrow, a slope that they lie too high or too low. 95 % of the bars of a right model are within
    the band. Held-out rows are the honest test: those of the fit look a little better.

    Parameters
    ----------
    model : MixtureOfExpertsRegressor or HierarchicalMixtureOfExpertsRegressor
        Fitted.
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
        May be left out with a formula.
    sample_weight : array-like of shape (n,), optional
    n_bins : int
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
    Gneiting, Balabdaoui, Raftery, "Probabilistic forecasts, calibration and sharpness", Journal of the Royal
    Statistical Society B 69, 2007.

    Examples
    --------
    >>> from moefast import MixtureOfExpertsRegressor
    >>> from moefast.datasets import make_moe
    >>> from moefast.plotting import plot_calibration
    >>> from matplotlib.figure import Figure
    >>> X, y, _ = make_moe(600, 3, 2, random_state=0)
    >>> model = MixtureOfExpertsRegressor(2, random_state=0).fit(X[:300], y[:300])
    >>> ax = plot_calibration(model, X[300:], y[300:], n_bins=10, ax=Figure().subplots())
    >>> len(ax.containers[0])
    10
    """
    check_integer("n_bins", n_bins)
    refuse_classes(model)
    ax = axes_or_new(ax, 6.5, 3.8)
    below = probability_below(model.mixture_, *model._checked_samples(X, y, offset, n_trials))
    weights = check_weights(sample_weight, len(below))
    edges = np.linspace(0, 1, n_bins + 1)
    heights = n_bins * np.histogram(below, edges, weights=weights)[0] / weights.sum()
    n = float(weights.sum() ** 2 / (weights**2).sum())  # rows that count as much as these with their weights
    low, high = (n_bins * binom.ppf(q, round(n), 1 / n_bins) / round(n) for q in (0.025, 0.975))
    ax.bar(
        edges[:-1],
        heights,
        1 / n_bins,
        align="edge",
        color="#56B4E9",
        edgecolor="white",
        label=f"{len(below)} rows",
    )
    ax.axhspan(low, high, color="0.5", alpha=0.25, linewidth=0, label="95 % of a right\nmodel's bars")
    ax.axhline(1.0, color="0.3", linewidth=1)
    ax.set(xlim=(0, 1), ylim=(0, 1.08 * max(float(heights.max()), high)))
    ax.set(xlabel="probability below the observed value", ylabel="density (1 if calibrated)")
    legend_beside(ax)
    return ax


def probability_below(mixture: GatedExperts, X: Floats, y: Floats, terms: RowTerms = NO_TERMS) -> Floats:
    """Return F(y | x), uniform where the model is right, shape (n,).

    Where y jumps it is that of a random point of the jump, the same each time (Dunn and Smyth, J. Comput. Graph.
    Stat. 1996).
    """
    upper = mixture.cdf(X, y, terms)
    if mixture.family.is_continuous:
        return upper
    lower = mixture.cdf(X, y - 1.0 if mixture.family.is_discrete else np.nextafter(y, -np.inf), terms)
    return np.asarray(lower + np.random.default_rng(0).uniform(size=len(y)) * (upper - lower))
