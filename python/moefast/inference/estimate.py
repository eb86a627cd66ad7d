"""Estimates with standard errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from moefast._typing import Floats
from moefast.validation import check_number

__all__ = ["FunctionEstimate", "MeanPrediction", "normal_interval", "parameter_frame"]


def normal_interval(estimates: Floats, errors: Floats, alpha: float) -> Floats:
    """Return intervals (..., 2) of normal estimates that miss the truth with probability `alpha`."""
    check_number("alpha", alpha, low=0.0, open_low=True, high=1.0)
    reach = -ndtri(alpha / 2) * errors
    return np.stack([estimates - reach, estimates + reach], axis=-1)


@dataclass(frozen=True)
class FunctionEstimate:
    """A function of the parameters at the fit, with its covariance by the delta method.

    Attributes
    ----------
    estimate : ndarray of shape (m,)
    covariance : ndarray of shape (m, m)
        NaN where a value depends on what the data do not determine.
    """

    estimate: Floats
    covariance: Floats

    @property
    def bse(self) -> Floats:
        """Standard errors, shape (m,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    def conf_int(self, alpha: float = 0.05) -> Floats:
        """Return confidence intervals of level 1 - alpha, shape (m, 2)."""
        return normal_interval(self.estimate, self.bse, alpha)


@dataclass(frozen=True)
class MeanPrediction:
    """E[y | x] of some rows with standard errors: how sure the mean is, not how far y lies from it.

    Attributes
    ----------
    mean : ndarray of shape (n,), or (n, q) for q responses
    se_mean : ndarray of the same shape
        NaN where a mean depends on what the data do not determine.
    """

    mean: Floats
    se_mean: Floats

    def conf_int(self, alpha: float = 0.05) -> Floats:
        """Return confidence intervals of level 1 - alpha for the mean, shape (n, 2), or (n, q, 2)."""
        return normal_interval(self.mean, self.se_mean, alpha)


def parameter_frame(
    names: list[tuple[str, str]], columns: dict[str, Floats], interval: Floats, alpha: float
) -> Any:
    """Return a pandas DataFrame of parameters with their intervals."""
    import pandas as pd  # for who wants a table

    index = pd.MultiIndex.from_tuples(names, names=["part", "parameter"])
    columns = {**columns, f"[{alpha / 2:g}": interval[:, 0], f"{1 - alpha / 2:g}]": interval[:, 1]}
    return pd.DataFrame(columns, index=index)
