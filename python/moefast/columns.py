"""Columns of what users give: their names, and values that would be misread as numbers, or are none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, time, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import issparse

from moefast.bad_columns import categories_error, listed, missing_values_error

__all__ = [
    "check_finite",
    "column_label",
    "column_names",
    "explain_conversion",
    "refuse_categories",
    "refuse_misread",
]


def column_names(X: Any) -> list[str] | None:
    """Return the column names of a data frame or an Arrow table as strings, or None for anything else."""
    # An Arrow table calls its data `columns`. Its class is asked: a frame has columns of any name as attributes.
    arrow = hasattr(type(X), "column_names")
    columns = X.column_names if arrow else getattr(X, "columns", None)
    return None if columns is None else [str(name) for name in columns]


def column_label(index: int, names: Sequence[str] | None) -> str:
    """Say which column of X is meant: by name where there is one."""
    return f"column {index}" if names is None else f"column {names[index]!r}"


def check_finite(X: npt.NDArray[Any], names: Sequence[str] | None = None, what: str = "X") -> None:
    """Raise ValueError for NaN in X (2-D or 1-D), counted by column, and for infinity, naming the first."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(X.sum()):  # one fast pass; a sum that overflows is looked at below
            return
    missing = np.isnan(X)
    if missing.any():
        d = X.shape[1] if X.ndim > 1 else 1
        labels = [f"column {j}" if names is None else repr(names[j]) for j in range(d)]
        raise missing_values_error(missing, labels, what)
    bad = np.isinf(X)
    if not bad.any():
        return
    table = bad.reshape(len(X), -1)
    column = int(np.flatnonzero(table.any(axis=0))[0])
    row = int(np.flatnonzero(table[:, column])[0])
    where = what if X.ndim == 1 else f"{what} in {column_label(column, names)}"
    raise ValueError(
        f"Input {where} contains infinity ({int(table[:, column].sum())} bad value(s), first at row {row}); "
        "remove or replace these rows"
    )


def _column_types(values: Any) -> list[Any]:
    """Return the type of each column of a data frame or an Arrow table, of an array its only one."""
    types = getattr(values, "dtypes", None)  # pandas, polars
    if types is None:
        types = getattr(getattr(values, "schema", None), "types", None)  # Arrow
    if types is None:
        types = [getattr(values, "dtype", getattr(values, "type", None))]
    return list(types) if np.iterable(types) else [types]


def _is_temporal(kind: Any) -> bool:
    """Whether a type of numpy, pandas, polars or Arrow is one of dates, times of day or time spans."""
    words = ("date", "time", "duration", "month_day_nano_interval", "period")
    kind = getattr(kind, "value_type", kind)  # of an Arrow dictionary
    return getattr(kind, "kind", "") in ("m", "M") or str(kind).lower().startswith(words)


def refuse_misread(values: Any, what: str) -> None:
    """Raise for what numpy would silently misread: dates, time spans, masked entries, sparse tables.

    Raises
    ------
    TypeError
        For dates and time spans, by type or as objects, and for sparse tables; a column is named.
    ValueError
        For a masked array in which something is masked.
    """
    if np.ma.is_masked(values):
        raise ValueError(f"{what} has masked values; fill them or remove their rows")
    if issparse(values):
        raise TypeError(
            f"Sparse data was passed for {what}, but dense data is required. Use '.toarray()' to convert to a "
            "dense numpy array."
        )
    names, types = column_names(values), _column_types(values)

    def refuse_if(wrong: bool, column: int | None) -> None:
        if wrong:
            where = what if column is None else f"{what} {column_label(column, names)}"
            raise TypeError(f"{where} holds dates or time spans; turn them into numbers first")

    for j, kind in enumerate(types):
        if names is not None and str(kind).startswith("Sparse"):
            raise TypeError(
                f"{what} {column_label(j, names)} is sparse; dense data is required: convert the column, for "
                "instance with .sparse.to_dense()"
            )
        refuse_if(_is_temporal(kind), None if names is None else j)
    if all(getattr(kind, "kind", "O") in "biufc" for kind in types):
        return
    try:
        array = np.asarray(values)
    except Exception:  # whoever converts it says why
        return
    refuse_if(array.dtype.kind in "mM", None)
    if array.dtype.kind == "O" and array.ndim in (1, 2):
        table = array[:, None] if array.ndim == 1 else array
        for j in range(table.shape[1]):
            kinds = set(map(type, table[:, j]))
            wrong = any(issubclass(kind, (np.datetime64, np.timedelta64, date, time, timedelta)) for kind in kinds)
            refuse_if(wrong, j if array.ndim == 2 else None)


def explain_conversion(X: Any, error: Exception) -> Exception:
    """Turn a failed conversion of X to numbers into an error of the same type that names the column."""
    names = column_names(X)
    try:
        if np.iscomplexobj(X):
            return error
        table = np.asarray(X, dtype=object)
    except Exception:
        return _named(error)
    if table.ndim == 1:
        return type(error)(
            f"{_named(error)}\nOne feature is a table of one column: data[['x']], or x.reshape(-1, 1)."
        )
    if table.ndim != 2:
        return _named(error)
    missing = np.asarray(X.isna()) if hasattr(X, "isna") else np.zeros(table.shape, dtype=bool)
    table = np.where(missing, np.nan, table)  # also what pandas has in the place of NaN
    columns, causes = {}, []
    for j in range(table.shape[1]):
        try:
            table[:, j].astype(np.float64)
        except (TypeError, OverflowError) as cause:  # neither numbers nor texts; whole numbers of 400 digits
            return type(cause)(f"X {column_label(j, names)} is not numeric: {cause}")
        except ValueError as cause:
            columns[j if names is None else names[j]] = "" if names is None else _example(table[:, j])
            causes.append(cause)
    if columns:
        return categories_error(columns, causes[0])
    return missing_values_error(missing, list(map(repr, names or []))) if missing.any() else _named(error)


def _named(error: Exception) -> Exception:
    """Return an error of the same type that says that X is to blame, where it did not."""
    return error if re.search(r"\bX\b|array|[Ff]eature", str(error)) else type(error)(f"X is not numeric: {error}")


def refuse_categories(X: Any) -> None:
    """Raise ValueError for columns of pandas whose type is a category, also of numbers: these are codes."""
    types = _column_types(X)
    found = {
        name: f"categories {listed(list(map(repr, kind.categories)))}"
        for name, kind in zip(column_names(X) or [], types, strict=False)
        if type(kind).__name__ == "CategoricalDtype"
    }
    if found:
        raise categories_error(found)


def _example(column: npt.NDArray[Any]) -> str:
    """Say what a column of objects holds."""
    texts = [value for value in column if isinstance(value, str)]
    return f"such as {texts[0]!r}" if texts else type(column[0]).__name__
