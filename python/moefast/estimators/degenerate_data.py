"""Data that leave something undetermined: what to tell the user."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moefast._typing import Floats
from moefast.em.finite import column_list
from moefast.em.fit import FitResult
from moefast.em.problem import EmProblem
from moefast.exceptions import DegenerateDataWarning
from moefast.mixture import GatedExperts
from moefast.samples import RowTerms, Samples

__all__ = [
    "degenerate_data_warnings",
    "discrete_response_warnings",
    "misses_constant",
    "refuse_infinite_predictions",
    "sure_experts",
]

# Of a response that is discrete: a handful of rows shows nothing, measurements differ within the first rows, and
# counts of more values are near enough to normal.
_LEAST_ROWS = 50
_LOOK_AT = 1000
_MOST_VALUES = 10

# Of experts that are sure of their rows: a share of a row that is none, and counts that make one unsure.
_NO_SHARE = 1e-6
_LEAST_VARYING = 0.5


def degenerate_data_warnings(
    problem: EmProblem, n_parameters: int, names: Sequence[str] | None, responses: Sequence[str] | None
) -> list[DegenerateDataWarning]:
    """Return warnings, by column name, of constant and collinear columns, likewise of y, and too few rows."""
    found = []
    if problem.constant:
        found.append(f"X column(s) {column_list(problem.constant, names)} are constant; their coefficients are 0")
    if problem.collinear:
        found.append(
            f"X column(s) {column_list(problem.collinear, names)} are linear combinations of the others; of all "
            "equally good coefficients the smallest are returned"
        )
    found += _degenerate_responses(problem, responses)
    if len(problem.t) < n_parameters:
        found.append(f"{len(problem.t)} rows are fewer than the model's {n_parameters} parameters")
    return [DegenerateDataWarning(message) for message in found]


def _degenerate_responses(problem: EmProblem, names: Sequence[str] | None) -> list[str]:
    """Say which responses are constant, or depend on others."""
    if problem.constant_response:
        return ["y is constant"]
    constant, found = [int(j) for j in np.flatnonzero(problem.constant_responses)], []
    if constant:
        found.append(f"y column(s) {column_list(constant, names)} are constant")
    if problem.dependent_responses:
        dependent = column_list(problem.dependent_responses, names)
        found.append(
            f"y column(s) {dependent} are linear combinations of the others: "
            'no covariance is small enough; leave them out, or take covariance_type="diag"'
        )
    return found


def discrete_response_warnings(y: Floats) -> list[DegenerateDataWarning]:
    """Return a warning of a y that has two values, or is a small count or a grade; none for measurements.

    Normal noise gives such a y infinite density where an expert meets one of the values, so experts collapse
    onto them, and no probabilities come out.
    """
    if len(y) < _LEAST_ROWS or len(np.unique(y[:_LOOK_AT])) > _MOST_VALUES:
        return []
    values = np.unique(y)
    if len(values) == 2:
        shown = " and ".join(f"{value:.6g}" for value in values)
        advice = f"takes only the values {shown}: a model of classes, such as logistic regression,"
    elif 2 < len(values) <= _MOST_VALUES and values[0] in (0, 1) and (values == np.round(values)).all():
        advice = (
            f"takes only {len(values)} values, whole numbers from {values[0]:.0f} to {values[-1]:.0f}: a model of "
        )
        advice += "counts or of classes"
    else:
        return []
    return [DegenerateDataWarning(f"y {advice} fits it better than normal noise, and experts may collapse")]


def sure_experts(problem: EmProblem, mixture: GatedExperts, samples: Samples) -> tuple[int, ...]:
    """Return the experts that are sure of y on all their rows: their predictors have run away.

    They expect all their rows together to vary by less than half a count, failure, or uncensored response.
    """
    if not mixture.family.may_be_sure:
        return ()
    weight = samples.sample_weight / problem.weight_per_row
    mass = weight[:, None] * mixture.responsibilities(samples.X, samples.y, samples.terms)
    with np.errstate(over="ignore"):
        spread = mixture.family.std(mixture.predictors(samples.X, samples.terms)) / mixture.sigma
    rows = np.where(mass > _NO_SHARE, mass, 0.0)
    varying = np.sum(rows * np.where(rows > 0, spread, 0.0) ** 2, axis=0)
    return tuple(int(i) for i in np.flatnonzero((varying < _LEAST_VARYING) & (rows.sum(axis=0) >= 1)))


def refuse_infinite_predictions(mixture: GatedExperts, X: Floats, terms: RowTerms) -> None:
    """Raise OverflowError when the mixture has no finite prediction for a row it was fitted to."""
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(mixture.mean(X, terms))
    if not finite.all():
        raise OverflowError(
            f"{_of_mean(mixture)} leaves the range of float64: the fit has no finite prediction for "
            f"training row {int(np.argmin(finite))} of those with positive weight; rescale X or y, take "
            "fewer experts or another link"
        )


def _of_mean(mixture: GatedExperts) -> str:
    """Name what makes the mean of the predictor."""
    if mixture.link.is_linear:
        return f"family {mixture.family.name!r}"
    return f"link {mixture.link.name!r}"


def misses_constant(problem: EmProblem, fit: FitResult) -> bool:
    """Whether y is constant and a fit in the units of the data stays away from it.

    A link need not take that value, and one that is flat somewhere (ReLU) can leave all experts stuck there.
    """
    one = problem.family.is_location and not problem.family.has_covariance
    if not problem.constant_response or not one:
        return False
    s = problem.standardisation
    near = max(1.5 * float(np.sqrt(problem.variance_floor)) * s.y_scale, 1e-3 * float(np.abs(problem.y_level)))
    away = fit.totals[fit.mixture.sigma > near].sum()
    return bool(away > 0.01 * fit.totals.sum())
