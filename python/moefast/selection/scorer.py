"""A scorer for scikit-learn's searches: the log-likelihood of rows held out."""

from __future__ import annotations

from typing import Any

import numpy as np

from moefast.validation import check_weights

__all__ = ["log_likelihood_scorer"]


def log_likelihood_scorer(estimator: Any, X: Any, y: Any = None, sample_weight: Any = None) -> float:
    """Return the mean of log P(y | x) over rows: ``scoring=`` for scikit-learn's searches and cross-validation.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor, HierarchicalMixtureOfExpertsRegressor or Pipeline
        Fitted; a pipeline ends in one of the former.
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
        May be left out with a formula.
    sample_weight : array-like of shape (n,), optional

    Returns
    -------
    float
        The greater, the better. R^2, the default of these searches, looks at the mean alone.

    Raises
    ------
    TypeError
        When the estimator has no density of y given x.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from moefast import MixtureOfExpertsRegressor
    >>> from moefast.datasets import make_moe
    >>> from moefast.selection import log_likelihood_scorer
    >>> X, y, truth = make_moe(400, 3, 2, noise=0.3, random_state=0)
    >>> model = MixtureOfExpertsRegressor(n_init=5, random_state=0)
    >>> search = GridSearchCV(model, {"n_experts": [1, 2]}, scoring=log_likelihood_scorer, cv=3)
    >>> search.fit(X, y).best_params_
    {'n_experts': 2}
    """
    from sklearn.pipeline import Pipeline  # loads much that fitting does not need

    model = estimator
    if isinstance(estimator, Pipeline):
        steps, model = estimator[:-1], estimator[-1]
        X = steps.transform(X) if len(steps) > 0 else X
    if not hasattr(model, "score_samples"):
        raise TypeError(f"{type(model).__name__} has no score_samples, so no log-likelihood")
    log_density = model.score_samples(X, y)
    return float(np.average(log_density, weights=check_weights(sample_weight, len(log_density))))
