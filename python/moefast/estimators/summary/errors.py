"""What the summary and the pictures read of inference: standard errors, tests and intervals by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from moefast._typing import Floats

__all__ = ["INTERCEPT", "SIGMA", "CoefficientKey", "Inference", "StandardError", "errors_by_name"]

INTERCEPT, SIGMA = "(intercept)", "sigma"


class Inference(Protocol):
    """The result of ``model.inference(X, y)``, as far as it is shown.

    Attributes
    ----------
    names : sequence of (str, str)
        Of each parameter: "expert 0", "gate 1" or "all experts", and a column's name, "(intercept)" or
        "log(sigma)", "log(size)", "atanh(corr [y0, y1])", ...
    params, bse, zvalues, pvalues : ndarray of shape (P,)
    cov_type : str
        "robust", "nonrobust" or "cluster".
    messages : sequence of str
        What to know before the numbers are used.
    """

    @property
    def names(self) -> Sequence[tuple[str, str]]: ...  # noqa: D102
    @property
    def params(self) -> Floats: ...  # noqa: D102
    @property
    def bse(self) -> Floats: ...  # noqa: D102
    @property
    def zvalues(self) -> Floats: ...  # noqa: D102
    @property
    def pvalues(self) -> Floats: ...  # noqa: D102
    @property
    def cov_type(self) -> str: ...  # noqa: D102
    @property
    def messages(self) -> Sequence[str]: ...  # noqa: D102

    def conf_int(self, alpha: float = 0.05) -> Floats:
        """Return intervals of level 1 - alpha, shape (P, 2)."""

    def with_reference(self, expert: int) -> Inference:
        """Return the same with the gates' log-odds against another expert."""


class StandardError(NamedTuple):
    """What is known of one coefficient beside its estimate; NaN where the data do not determine it."""

    estimate: float
    std_error: float
    z: float
    p_value: float
    ci_low: float
    ci_high: float


CoefficientKey = tuple[str, str, str]
"""Block ("experts", "gates"), component ("expert 0") and term (a column's name, "(intercept)", "sigma", ...)."""


def errors_by_name(
    inference: Inference, n_experts: int, dispersions: Sequence[str]
) -> dict[CoefficientKey, StandardError]:
    """Return the errors by the summary's names: gates against the last expert, no logarithms.

    `dispersions` is what the family has besides coefficients: "sigma", the name of its shape.
    """
    result = inference.with_reference(n_experts - 1)
    columns = (result.params, result.bse, result.zvalues, result.pvalues, *result.conf_int(0.05).T)
    found: dict[CoefficientKey, StandardError] = {}
    logarithms = {f"log({name})": name for name in dispersions}
    correlations = {f"atanh({name})": name for name in dispersions}
    for (owner, term), numbers in zip(result.names, zip(*columns, strict=True), strict=True):
        error = StandardError(*map(float, numbers))
        whose = [f"expert {i}" for i in range(n_experts)] if owner == "all experts" else [owner]
        if term in logarithms:
            found.update({("experts", expert, logarithms[term]): _exponential(error) for expert in whose})
        elif term in correlations:
            found.update({("experts", expert, correlations[term]): _correlation(error) for expert in whose})
        elif owner.startswith("gate "):
            found["gates", owner.replace("gate", "expert"), term] = error
        else:
            found["experts", owner, term] = error
    return found


def _correlation(atanh: StandardError) -> StandardError:
    """Return what is known of a correlation by that of its atanh; the test of 0 is the same."""
    value, low, high = np.tanh([atanh.estimate, atanh.ci_low, atanh.ci_high])
    error = (1.0 - value**2) * atanh.std_error
    return StandardError(float(value), float(error), atanh.z, atanh.p_value, float(low), float(high))


def _exponential(log: StandardError) -> StandardError:
    """Return what is known of a number by that of its logarithm, of whose interval its own is the exponential."""
    value, low, high = np.exp([log.estimate, log.ci_low, log.ci_high])
    return StandardError(float(value), float(value) * log.std_error, np.nan, np.nan, float(low), float(high))
