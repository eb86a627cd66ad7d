"""From a fitted estimator and its data to standard errors."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from moefast.em.fit import EmFit
from moefast.em.newton import newton_end, takes_newton
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.exceptions import DegenerateDataWarning
from moefast.inference.covariance import Covariance, covariance
from moefast.inference.estimable import Precision
from moefast.inference.fit import Fit
from moefast.inference.information import Information
from moefast.inference.layout import FittedModel, ParameterLayout
from moefast.inference.messages import messages_of
from moefast.inference.result import InferenceResult
from moefast.mixture import Mixture
from moefast.samples import Samples

__all__ = ["infer"]

# Largest component of the gradient of the mean objective at which second derivatives are taken.
_GRADIENT = 1e-8
_MAX_ITER = 5000
# Of the objective for rows of weight 1, where Newton's method ends what EM has not.
_DECREMENT = 1e-9


def infer(
    model: FittedModel,
    samples: Samples,
    groups: npt.NDArray[np.intp] | None,
    *,
    options: EmOptions,
    cov_type: Covariance,
) -> InferenceResult:
    """Return standard errors of a fitted estimator, see :meth:`MixtureOfExpertsRegressor.inference`.

    Parameters
    ----------
    model : FittedModel
        Fitted to these samples.
    samples : Samples
    groups : ndarray of shape (n,) or None
        See :func:`moefast.inference.covariance.check_groups`.
    options : EmOptions
        With which it was fitted.
    cov_type : {"robust", "nonrobust", "cluster"}

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
    if options.alpha > 0 and options.l1_ratio > 0:
        raise ValueError(
            "the lasso has selected coefficients by these data, and errors of what is selected are not those of a "
            f"coefficient that was given, got l1_ratio={options.l1_ratio:g}; fit with l1_ratio=0"
        )
    mixture = model.mixture_
    return _inference(model, EmProblem(samples, options, mixture.link, mixture.family), groups, cov_type)


def _inference(
    model: FittedModel,
    problem: EmProblem,
    groups: npt.NDArray[np.intp] | None,
    cov_type: Covariance,
) -> InferenceResult:
    layout, mixture = ParameterLayout.of(model, problem.options), model.mixture_
    assert isinstance(mixture, Mixture)
    given = mixture.to_standard(problem.standardisation)
    fit = polished(problem, given)
    information = Information.at(problem, fit.mixture, layout)
    precision = Precision.of(problem, fit.mixture, layout, information, fit.collapsed)
    found = covariance(problem, fit.mixture, information, precision, groups, cov_type=cov_type)
    moved = layout.vector(fit.mixture) - layout.vector(given)
    messages = messages_of(problem, precision, fit.totals, moved)
    for message in messages:
        warnings.warn(message, DegenerateDataWarning, stacklevel=4)  # the caller of model.inference
    return InferenceResult(
        params=layout.vector(mixture),
        cov_type=cov_type,
        messages=messages,
        fit=Fit(problem, fit.mixture, precision, groups, model.formula_, model.gate_basis_),
        layout=layout,
        _covariance=found,
    )


def polished(problem: EmProblem, start: Mixture) -> EmFit:
    """Return EM's fit from a start in standard units, run on until the gradient vanishes."""
    (fit,) = problem.run_many([start], gradient_tol=_GRADIENT, max_iter=_MAX_ITER)
    if fit.gradient > _GRADIENT and not fit.collapsed and takes_newton(problem, start.n_experts):
        tol = _DECREMENT * problem.weight_per_row
        end = newton_end(problem, fit.mixture, tol=tol, gradient_tol=_GRADIENT).fit
        return end if end.converged and not end.collapsed else fit
    return fit
