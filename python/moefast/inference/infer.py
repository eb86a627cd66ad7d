"""From a fitted estimator and its data to standard errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.em.fit import EmFit
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.exceptions import DegenerateDataWarning
from moefast.inference.covariance import Covariance, check_groups, covariance
from moefast.inference.estimable import Precision
from moefast.inference.fit import Fit
from moefast.inference.information import Information
from moefast.inference.layout import FittedModel, ParameterLayout
from moefast.inference.messages import messages_of
from moefast.inference.result import InferenceResult
from moefast.mixture import Mixture
from moefast.validation import check_weights, column_names, weighted_samples

__all__ = ["infer"]

# Largest component of the gradient of the mean objective at which second derivatives are taken.
_GRADIENT = 1e-8
_MAX_ITER = 5000


def infer(
    model: FittedModel,
    X: Floats,
    y: Floats,
    sample_weight: Any = None,
    *,
    options: EmOptions,
    cov_type: Covariance,
    groups: Any = None,
) -> InferenceResult:
    """Return standard errors of a fitted estimator, see :meth:`MixtureOfExpertsRegressor.inference`.

    Parameters
    ----------
    model : FittedModel
        Fitted to these data.
    X : ndarray of shape (n, d)
    y : ndarray of shape (n,)
    sample_weight : array-like of shape (n,), optional
    options : EmOptions
        With which it was fitted.
    cov_type : {"robust", "nonrobust", "cluster"}
    groups : array-like of shape (n,), optional

    Returns
    -------
    InferenceResult
    """
    if not isinstance(model.mixture_, Mixture):
        raise TypeError(
            f"inference is for flat gates (MixtureOfExpertsRegressor); a {type(model).__name__} has none yet: "
            "refit it to rows drawn with replacement to see how its parameters vary"
        )
    if not getattr(model, "polish", True):
        raise ValueError(
            "inference is for maximum likelihood, and a fit with polish=False is none; fit with polish=True"
        )
    weights = check_weights(sample_weight, len(y))
    groups = check_groups(cov_type, groups, weights, len(y))
    samples = weighted_samples(X, y, weights, column_names(X))
    problem = EmProblem(samples.X, samples.y, samples.sample_weight, options, model.mixture_.link)
    return _inference(model, problem, groups, cov_type)


def _inference(
    model: FittedModel,
    problem: EmProblem,
    groups: npt.NDArray[np.intp] | None,
    cov_type: Covariance,
) -> InferenceResult:
    layout, mixture = ParameterLayout.of(model), model.mixture_
    assert isinstance(mixture, Mixture)
    given = mixture.to_standard(problem.standardisation)
    fit = polished(problem, given)
    information = Information.at(problem, fit.mixture, layout)
    precision = Precision.of(problem, fit.mixture, layout, information, fit.collapsed)
    found = covariance(problem, fit.mixture, information, precision, groups, cov_type=cov_type)
    moved = layout.vector(fit.mixture) - layout.vector(given)
    messages = messages_of(problem, precision, moved)
    for message in messages:
        warnings.warn(message, DegenerateDataWarning, stacklevel=4)  # the caller of model.inference
    return InferenceResult(
        params=layout.vector(mixture),
        cov_type=cov_type,
        messages=messages,
        fit=Fit(problem, fit.mixture, precision, groups),
        layout=layout,
        _covariance=found,
    )


def polished(problem: EmProblem, start: Mixture) -> EmFit:
    """Return EM's fit from a start in standard units, run on until the gradient vanishes."""
    (fit,) = problem.run_many([start], gradient_tol=_GRADIENT, max_iter=_MAX_ITER)
    return fit
