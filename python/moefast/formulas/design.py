"""From data frames to the design matrix and the response that a formula makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from moefast._typing import Floats
from moefast.formulas.fitted import FittedFormula
from moefast.formulas.formula import check_formula
from moefast.formulas.table import names_of_table, some_rows
from moefast.validation import check_response, check_weights

__all__ = ["check_formula_alone", "design", "learnt", "response"]

# How far a y that is given may be from the formula's response: further than float32 rounds.
_SAME = 1e-6


def check_formula_alone(formula: Any, others: Mapping[str, tuple[Any, Any, str]]) -> None:
    """Raise unless the formula is None, or a text and what it says is not said by other parameters too.

    Parameters
    ----------
    formula : str or None
    others : mapping of a parameter's name to its value, its default and what the formula has in its place
    """
    if formula is None:
        return
    check_formula(formula)
    for name, (value, default, instead) in others.items():
        if value is not default:
            raise ValueError(
                f"{name}={value!r} and a formula: leave {name} out and write {instead}, got {formula!r}"
            )


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
