"""What experiments measure: errors up to the order of the experts, slopes with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import linear_sum_assignment

from moefast._typing import Floats
from moefast.mixture import Mixture

__all__ = [
    "LARGEST_ERROR",
    "bootstrap_interval",
    "chord_errors",
    "fit_slope",
    "gate_error",
    "match_experts",
    "unit_rows",
]

LARGEST_ERROR = 0.3
"""Above, the experts found have little to do with the true ones and no rate can be seen."""

Indices: TypeAlias = npt.NDArray[np.intp]


def unit_rows(rows: Floats) -> Floats:
    """Return the rows divided by their norms; a row of zeros stays."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0))


def match_experts(found: Floats, true: Floats) -> Indices:
    """Return the order of the found experts in which they lie nearest to the true ones.

    Parameters
    ----------
    found, true : ndarray of shape (k, p)
        Parameters of experts.

    Returns
    -------
    ndarray of shape (k,)
        ``found[order]`` belongs to `true`, with the least sum of squared distances.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.experiments.measures import match_experts
    >>> match_experts(np.array([[0.0, 1.1], [0.9, 0.0]]), np.eye(2))
    array([1, 0])
    """
    squares = ((true[:, None] - found[None]) ** 2).sum(axis=2)
    return np.asarray(linear_sum_assignment(squares)[1])


def chord_errors(found: Floats, true: Floats) -> Floats:
    """Return the distances between the unit vectors of matched experts, shape (k,), in the order of `true`."""
    found, true = unit_rows(found), unit_rows(true)
    return np.asarray(np.linalg.norm(found[match_experts(found, true)] - true, axis=1))


def gate_error(found: Mixture, truth: Mixture) -> float:
    """Return the norm of the gates' error relative to that of the true gates; experts are matched first."""
    found = found.ordered(match_experts(found.coef, truth.coef))
    return float(np.linalg.norm(found.gate_coef - truth.gate_coef) / np.linalg.norm(truth.gate_coef))


def bootstrap_interval(
    samples: Floats, statistic: Callable[[Floats], Floats], *, level: float = 0.95, resamples: int = 2000
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a statistic over the rows of a table.

    :func:`scipy.stats.bootstrap` resamples numbers; here whole rows (a seed at every n) stay together.

    Parameters
    ----------
    samples : ndarray of shape (s, ...)
        One row a seed.
    statistic : callable
        From an array of shape (r, s, ...) to one of shape (r,): r samples at once.
    level : float
    resamples : int

    Returns
    -------
    low, high : float
        NaN where the statistic is.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.experiments.measures import bootstrap_interval
    >>> low, high = bootstrap_interval(np.arange(100.0), lambda s: s.mean(axis=1))
    >>> 40 < low < 49.5 < high < 60
    True
    """
    chosen = np.random.default_rng(0).integers(len(samples), size=(resamples, len(samples)))
    low, high = np.quantile(statistic(samples[chosen]), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def fit_slope(errors: pd.DataFrame) -> tuple[float, float, float]:
    """Return the slope of log median error against log n where the median is small, with its interval over seeds.

    Parameters
    ----------
    errors : DataFrame
        One row a seed, one column an n.

    Returns
    -------
    slope, low, high : float
        NaN when fewer than two sizes have a small error.
    """
    kept = errors.loc[:, errors.median() < LARGEST_ERROR]
    if kept.shape[1] < 2:
        return (np.nan,) * 3
    x = np.log(kept.columns.to_numpy(dtype=np.float64))
    x -= x.mean()

    def slope(samples: Floats) -> Floats:
        return np.asarray(np.log(np.median(samples, axis=1)) @ x / (x @ x))

    samples = kept.to_numpy()
    return float(slope(samples[None])[0]), *bootstrap_interval(samples, slope)
