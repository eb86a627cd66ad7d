"""The columns of a data frame that a formula reads, with types that its library understands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from moefast.bad_columns import missing_values_error
from moefast.columns import column_names, refuse_misread

if TYPE_CHECKING:
    from pandas import DataFrame, Series

__all__ = ["names_of_table", "some_rows", "table_of"]


def names_of_table(data: Any) -> list[str]:
    """Return the names of the columns of a data frame or an Arrow table.

    Raises
    ------
    TypeError
        When it is neither.
    """
    names = column_names(data)
    if names is None or not hasattr(data, "shape"):
        raise TypeError(f"with a formula X must be a data frame with named columns, got {type(data).__name__}")
    return names


def table_of(data: Any, wanted: Sequence[str], formula: str) -> DataFrame:
    """Return the wanted columns as a data frame of pandas with rows 0, 1, ...; the data are not changed.

    Raises
    ------
    TypeError
        When `data` is no table, or a column holds dates or complex numbers.
    ValueError
        When a column is not there or twice, or has missing values.
    """
    import pandas as pd

    names = names_of_table(data)
    for name in wanted:
        if names.count(name) != 1:
            how = "twice" if name in names else "not"
            raise ValueError(f"formula {formula!r} has the column {name!r}, which X has {how}: {', '.join(names)}")
    if not isinstance(data, pd.DataFrame):
        data = data.select(list(wanted)).to_pandas()  # polars, Arrow
    frame = data.loc[:, list(wanted)]
    refuse_misread(frame, "X")
    missing = frame.isna().to_numpy()
    if missing.any():
        raise missing_values_error(missing, [repr(name) for name in wanted])
    return pd.DataFrame({name: _plain(frame[name]) for name in wanted}, index=frame.index).reset_index(drop=True)


def some_rows(data: Any, rows: Any) -> Any:
    """Return the rows of a table where `rows`, a mask of shape (n,), is true."""
    if rows.all():
        return data
    positions = np.flatnonzero(rows)
    if hasattr(data, "iloc"):
        return data.iloc[positions]
    return data.take(positions) if hasattr(data, "take") else data[positions]


def _plain(column: Series[Any]) -> Series[Any]:
    """Return a column of numpy's numbers or bools, of categories that occur, or of objects."""
    import pandas as pd

    column = column.infer_objects()
    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        return column.cat.remove_unused_categories()
    if pd.api.types.is_complex_dtype(kind):
        raise TypeError(f"X column {column.name!r} holds complex numbers; experts and gates take real ones")
    if isinstance(kind, np.dtype):
        return _wide(column)
    if pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind):
        return _wide(column.astype(getattr(kind, "numpy_dtype")))  # noqa: B009  # numbers of pandas and Arrow
    return column.astype(object)


def _wide(column: Series[Any]) -> Series[Any]:
    """Return numbers in 64 bits with a sign, so that differences and squares do not wrap around."""
    kind = np.dtype(column.dtype)  # type: ignore[arg-type]  # no other is left
    whole = kind.kind == "i" or (kind.kind == "u" and kind.itemsize < 8)
    if whole or kind.kind in "uf":
        return column.astype(np.int64 if whole else np.float64)
    return column
