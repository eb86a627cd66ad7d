"""Data that leave something undetermined: what to tell the user."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from moefast.em import EmProblem
from moefast.exceptions import DegenerateDataWarning

__all__ = ["most_extreme_column", "warn_of_degenerate_data"]


def warn_of_degenerate_data(problem: EmProblem, n_parameters: int, names: Sequence[str] | None) -> None:
    """Warn, by column name, of constant and collinear columns, a constant y, and too few rows."""

    def warn(message: str) -> None:
        warnings.warn(message, DegenerateDataWarning, stacklevel=6)  # the caller of fit

    if problem.constant:
        warn(f"X column(s) {_list(problem.constant, names)} are constant; their coefficients are 0")
    if problem.collinear:
        warn(
            f"X column(s) {_list(problem.collinear, names)} are linear combinations of the others; of all equally "
            "good coefficients the smallest are returned"
        )
    if problem.constant_response:
        warn("y is constant")
    if len(problem.t) < n_parameters:
        warn(f"{len(problem.t)} rows are fewer than the model's {n_parameters} parameters")


def most_extreme_column(problem: EmProblem, names: Sequence[str] | None) -> str:
    """Name the column whose scale is farthest from 1, which is to blame when units overflow."""
    s = problem.standardisation
    j = int(np.argmax(np.abs(np.log(np.append(s.x_scale, s.y_scale)))))
    return "y" if j == len(s.x_scale) else f"X column {_list([j], names)}"


def _list(columns: Sequence[int], names: Sequence[str] | None) -> str:
    return ", ".join(str(j) if names is None else repr(names[j]) for j in columns)
