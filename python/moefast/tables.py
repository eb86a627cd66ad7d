"""CSV files as tables of numbers, with errors that name the file, the column and the row."""

from __future__ import annotations

import lzma
import os
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["numeric_columns", "read_table"]

_UNREADABLE = (
    EOFError,
    ImportError,
    OSError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_table(path: str | os.PathLike[str], separator: str = ",") -> pd.DataFrame:
    """Read a CSV file with one header row.

    Raises
    ------
    ValueError
        When the file is empty, has no rows, a column name twice, ragged rows or is no text.
    OSError
        When it cannot be read or is a directory.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory, not a CSV file")
    separator = {"\\t": "\t"}.get(separator, separator)
    if len(separator) != 1:
        raise ValueError(f"separator must be one character or \\t, got {separator!r}")
    try:
        header = pd.read_csv(
            path, sep=separator, header=None, nrows=1, dtype=str, encoding="utf-8-sig", na_filter=False
        )
        with warnings.catch_warnings():
            # pandas drops surplus fields with no more than this warning
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(path, sep=separator, index_col=False, encoding="utf-8-sig", low_memory=False)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path} is empty: a header row and data rows are needed") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise ValueError(f"{path} is not a regular CSV table: {str(error).strip()}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}") from None
    except _UNREADABLE as error:  # compressed files, by their ending
        raise ValueError(f"{path} cannot be read: {error}") from None
    names = [str(name).strip() for name in header.iloc[0]]
    if "" in names:
        raise ValueError(f"{path}: column {names.index('') + 1} has no name in the header row")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{path} has more than one column named {', '.join(map(repr, repeated))}")
    if len(names) == len(table.columns):
        table.columns = pd.Index(names)
    if table.empty:
        raise ValueError(f"{path} has a header but no data rows")
    return table


def numeric_columns(table: pd.DataFrame, columns: Sequence[str], path: str | os.PathLike[str]) -> pd.DataFrame:
    """Return these columns as float64.

    Raises
    ------
    ValueError
        When a column is missing, not numeric, or has missing or infinite values; it is named, with the row.
    """
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(
            f"{path} has no column {', '.join(map(repr, missing))}; its columns are "
            f"{', '.join(map(repr, map(str, table.columns)))}"
        )
    out = {}
    for name in columns:
        column = table[name]
        values = pd.to_numeric(column, errors="coerce")
        bad = values.isna() & column.notna()
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ValueError(f"{path}: column {name!r} is not numeric: {column.iloc[row]!r} in data row {row + 1}")
        for kind, wrong in (("missing", values.isna()), ("infinite", np.isinf(values.astype(np.float64)))):
            if wrong.any():
                rows = np.flatnonzero(wrong)
                raise ValueError(
                    f"{path}: column {name!r} has {len(rows)} {kind} value(s), first in data row {rows[0] + 1}; "
                    "remove or fill these rows"
                )
        out[name] = values.astype(np.float64)
    return pd.DataFrame(out)
