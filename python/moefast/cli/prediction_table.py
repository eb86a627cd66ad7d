"""The table that `moefast predict` writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from moefast.estimators.classifier import MixtureOfExpertsClassifier
from moefast.estimators.summary.names import response_names

__all__ = ["prediction_table"]


def prediction_table(fitted: Any, X: Any, of_rows: dict[str, Any], details: bool) -> pd.DataFrame:
    """Return a row of predictions for each of X.

    Parameters
    ----------
    fitted : estimator
        What :func:`moefast.load_model` returns.
    X : DataFrame
    of_rows : dict
        Arguments of `predict`: what is known of the rows besides.
    details : bool
        Standard deviations, or the probabilities of the classes, and those of the experts too.
    """
    result: dict[str, Any]
    if isinstance(fitted, MixtureOfExpertsClassifier):
        if "n_trials" in of_rows:
            raise ValueError("--trials is for models of the family binomial, and this is one of classes")
        result = {"prediction": fitted.predict(X, **of_rows)}
        if details:
            p = fitted.predict_proba(X, **of_rows)
            result |= {f"probability_{label}": of for label, of in zip(fitted.classes_, p.T, strict=True)}
    else:
        mean, std = fitted.predict(X, return_std=True, **of_rows)
        result = _by_response("prediction", mean, fitted)
        if details:
            result |= _by_response("std", std, fitted)
    if details:
        result |= {f"expert_{i}": p for i, p in enumerate(np.asarray(fitted.predict_gates(X)).T)}
    return pd.DataFrame(result)


def _by_response(what: str, values: Any, fitted: Any) -> dict[str, Any]:
    """Return a column, or one for each of several responses."""
    if values.ndim == 1:
        return {what: values}
    return {f"{what}_{name}": values[:, j] for j, name in enumerate(response_names(fitted))}
