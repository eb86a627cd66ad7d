"""Errors for tables that no fit can take as they are: missing values, categories. Each says what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["categories_error", "listed", "missing_values_error"]

# How many columns, and how many levels of one, an error lists.
_SHOWN = 8

_TO_COLUMNS = (
    "name them in a formula, as in MixtureOfExpertsRegressor(formula='y ~ age + C(sex)').fit(data), or turn them "
    "into columns of 0 and 1 in a Pipeline that begins with sklearn.compose.make_column_transformer("
    "(OneHotEncoder(drop='first'), {columns}), remainder='passthrough')"
)


def missing_values_error(missing: npt.NDArray[np.bool_], labels: Sequence[str], what: str = "X") -> ValueError:
    """Return the error for missing values, which counts them by column.

    Parameters
    ----------
    missing : ndarray of shape (n, d), or (n,) for values without columns
        Where they are.
    labels : sequence of str
        What to call the d columns.
    what : str
        The argument.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, 4.0]])
    >>> print(missing_values_error(np.isnan(X), ["'age'", "'bmi'"]))  # doctest: +NORMALIZE_WHITESPACE
    X has missing values (NaN): 1 in 'age', 2 in 'bmi' (2 of 3 rows, first at row 0); drop these rows
    (data.dropna()) or impute them (sklearn.impute.SimpleImputer in a Pipeline)
    """
    n = len(missing)
    table = missing.reshape(n, -1)
    bad = np.flatnonzero(table.any(axis=1))
    rows = f"{len(bad)} of {n} rows, first at row {bad[0]}"
    counts = [f"{int(m)} in {label}" for m, label in zip(table.sum(axis=0), labels, strict=True) if m]
    remedy = "remove or replace these rows"
    if what == "X":
        remedy = "drop these rows (data.dropna()) or impute them (sklearn.impute.SimpleImputer in a Pipeline)"
    where = rows if missing.ndim == 1 else f"{listed(counts)} ({rows})"
    return ValueError(f"{what} has missing values (NaN): {where}; {remedy}")


def categories_error(columns: Mapping[Any, str], cause: Exception | None = None) -> Exception:
    """Return the error for columns that are not numbers, of the type of its cause.

    Parameters
    ----------
    columns : mapping of a column's name or position to what it holds
    cause : Exception, optional
        What was said when they were to be turned into numbers.
    """
    named = [(repr(name), f" ({holds})" if holds else "") for name, holds in columns.items()]
    if len(named) == 1:
        (name, holds), *_ = named
        found = f"X column {name} is not numeric{holds}"
    else:
        found = f"X columns {listed([name + holds for name, holds in named])} are not numeric"
    why = "" if cause is None else f": {cause}"
    kind = ValueError if cause is None else type(cause)
    return kind(f"{found}{why}; {_TO_COLUMNS.format(columns=list(columns))}")


def listed(words: Sequence[str]) -> str:
    """Return some words with commas, and how many more there are."""
    more = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
