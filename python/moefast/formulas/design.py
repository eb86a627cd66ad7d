"""From data frames to the design matrix and the response that a formula makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from moefast._typing import Floats
from moefast.formulas.fitted import FittedFormula
from moefast.formulas.formula import check_formula
from moefast.formulas.table import names_of_table, some_rows
from moefast.samples import NO_TERMS, RowTerms, Samples
from moefast.validation import check_response, check_samples, check_weights

__all__ = ["check_formula_alone", "design", "learnt", "response", "samples_of"]

# How far a y that is given may be from the formula's response: further than float32 rounds.
_SAME = 1e-6
# What a formula says in place of parameters: these with their defaults.
_INSTEAD = {
    "expert_features": (None, "the experts' terms before the bar"),
    "gate_features": (None, "the gates' terms behind the bar"),
    "fit_intercept": (True, "'- 1' before the bar"),
    "fit_gate_intercept": (True, "'- 1' behind the bar"),
}


def check_formula_alone(parameters: Mapping[str, Any]) -> None:
    """Raise unless there is no formula, or it is a text and what it says is not said by other parameters too."""
    formula = parameters.get("formula")
    if formula is None:
        return
    check_formula(formula)
    for name, (default, instead) in _INSTEAD.items():
        value = parameters.get(name, default)
        value = bool(value) if isinstance(value, np.bool_) else value
        if value is not default:
            raise ValueError(
                f"{name}={value!r} and formula={formula!r}: leave {name} out and write {instead} in the formula"
            )


def samples_of(
    X: Any,
    y: Any,
    sample_weight: Any,
    formula: str | None,
    groups: Any = None,
    terms: RowTerms = NO_TERMS,
    use: Literal["function", "model"] = "function",
) -> tuple[Samples, FittedFormula | None]:
    """Return checked samples of positive weight, by way of a formula where there is one, and what it learnt.

    For a "model" y may have several columns.
    """
    if formula is None:
        return check_samples(X, y, sample_weight, use=use, terms=terms, groups=groups), None
    fitted = learnt(formula, X, sample_weight)
    data = design(fitted, X, y, sample_weight)
    return check_samples(*data, sample_weight, terms=terms, groups=groups), fitted


def learnt(formula: str, data: Any, sample_weight: Any) -> FittedFormula:
    """Return a formula with what it learns of the rows of positive weight."""
    names_of_table(data)
    return FittedFormula.learn(formula, some_rows(data, check_weights(sample_weight, len(data)) > 0))


def design(formula: FittedFormula, data: Any, y: Any, sample_weight: Any) -> tuple[Any, Floats]:
    """Return the design matrix, a data frame, and the response of all rows; rows of weight zero have zeros."""
    import pandas as pd

    names_of_table(data)
    n = len(data)
    rows = check_weights(sample_weight, n) > 0
    some = some_rows(data, rows)
    y = response(formula, some, None if y is None else check_response(y, n)[rows])
    X = formula.matrix(some)
    if rows.all():
        return X, y
    values, responses = np.zeros((n, X.shape[1])), np.zeros(n)
    values[rows], responses[rows] = X, y
    return pd.DataFrame(values, columns=X.columns), responses


def response(formula: FittedFormula, data: Any, y: Any = None) -> Floats:
    """Return the response that the formula takes from the data; `y`, where it is given, must be the same.

    Where the data have no response, or the formula none, it is `y`.
    """
    if not formula.has_response(data):
        if y is None:
            return formula.response(data)  # says what is missing
        return check_response(y, len(data))
    found = formula.response(data)
    if y is not None:
        given = check_response(y, len(found))
        same = np.isclose(given, found, rtol=_SAME, atol=0.0)
        if not same.all():
            row = int(np.argmin(same))
            raise ValueError(
                f"y must be the response {formula.response_name!r} of the formula {formula.text!r} or left out, "
                f"got {given[row]} at row {row} where it is {found[row]}; a formula that begins with ~ takes any y"
            )
    return found
