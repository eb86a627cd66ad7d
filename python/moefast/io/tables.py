"""CSV files as tables of numbers, with errors that name the file, the column and the row."""

from __future__ import annotations

import csv
import io
import lzma
import os
import re
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from moefast.io.table_layout import TableLayout, likely_layout

__all__ = ["CsvTable", "TableError", "read_table"]

_UNREADABLE = (
    EOFError,
    ImportError,
    OSError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
_COMPRESSIONS = {
    ".tar": "tar",
    ".tar.gz": "tar",
    ".tar.bz2": "tar",
    ".tar.xz": "tar",
    ".gz": "gzip",
    ".bz2": "bz2",
    ".xz": "xz",
    ".zip": "zip",
    ".zst": "zstd",
}
_SAMPLE_LINES = 60
# To the nearest float64, as pandas from 3.1 on reads always: its own way before is a bit off for a third of
# all numbers, and see _FATAL_EXPONENT.
_PRECISION: dict[str, Any] = (
    {"float_precision": "round_trip"} if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1) else {}
)
# Exponents that no int holds end the process in pandas before 3.0.
_FATAL_EXPONENT = r"[eE][+-]?0*[1-9][0-9]{9}"


class TableError(ValueError):
    """A CSV file that is no table of numbers.

    Attributes
    ----------
    likely : TableLayout or None
        How it seems to be written, where that is another way than it was read.
    """

    def __init__(self, message: str, likely: TableLayout | None = None) -> None:
        super().__init__(message)
        self.likely = likely


@dataclass(frozen=True)
class CsvTable:
    """What was read of a CSV file.

    Attributes
    ----------
    path : pathlib.Path
    layout : TableLayout
        How it was read.
    frame : pandas.DataFrame
    first_lines : tuple of str
        What the errors look at to guess how the file is written.
    """

    path: Path
    layout: TableLayout
    frame: pd.DataFrame
    first_lines: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """The column names."""
        return [str(name) for name in self.frame.columns]

    def numeric(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return these columns as float64.

        Raises
        ------
        TableError
            When a column is missing, not numeric, or has missing or infinite values; it is named, with the row.
        """
        missing = [name for name in columns if name not in self.frame.columns]
        if missing:
            raise _error(
                f"{self.path} has no column {', '.join(map(repr, missing))}; its columns are "
                f"{', '.join(map(repr, self.columns))}",
                self.first_lines,
                self.layout,
            )
        return pd.DataFrame({name: self._numbers(name) for name in columns})

    def _numbers(self, name: str) -> pd.Series[float]:
        column = self.frame[name]
        values = pd.to_numeric(self._as_pandas_reads(column), errors="coerce")
        bad = values.isna() & column.notna()
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise _error(
                f"{self.path}: column {name!r} is not numeric: {column.iloc[row]!r} in data row {row + 1}",
                self.first_lines,
                self.layout,
            )
        for kind, wrong in (("missing", values.isna()), ("infinite", np.isinf(values.astype(np.float64)))):
            if wrong.any():
                rows = np.flatnonzero(wrong)
                raise TableError(
                    f"{self.path}: column {name!r} has {len(rows)} {kind} value(s), first in data row "
                    f"{rows[0] + 1}; remove or fill these rows"
                )
        return values.astype(np.float64)

    def _as_pandas_reads(self, column: pd.Series[Any]) -> pd.Series[Any]:
        """Give texts decimal points; one that has points already is no number where the mark is another."""
        if pd.api.types.is_numeric_dtype(column):
            return column
        texts = column.astype(str).where(column.notna())
        if self.layout.decimal != ".":
            texts = texts.mask(texts.str.contains(".", regex=False, na=False))
            texts = texts.str.replace(self.layout.decimal, ".", regex=False)
        return texts.mask(texts.str.contains(_FATAL_EXPONENT, na=False))


def read_table(
    path: str | os.PathLike[str], layout: TableLayout | None = None, data: bytes | None = None
) -> CsvTable:
    """Read a CSV file with one header row, once: it may be a pipe.

    Parameters
    ----------
    path : str or path-like
        Compressed files are known by their ending.
    layout : TableLayout, optional
        How it is written.
    data : bytes, optional
        What it holds, where that was read already; `path` is its name then.

    Raises
    ------
    TableError
        When the file is empty, has no rows, a column name twice, ragged rows or is no text.
    OSError
        When it cannot be read or is a directory.
    """
    path, layout = Path(path), layout or TableLayout()
    if data is None:
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a directory, not a CSV file")
        data = path.read_bytes()
    lines: tuple[str, ...] = ()
    try:
        lines = _first_lines(data, path)
        header = _parse(data, path, layout, header=None, nrows=1, dtype=str, na_filter=False)
        with warnings.catch_warnings():
            # pandas drops surplus fields with no more than this warning
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = _parse(data, path, layout, index_col=False, low_memory=False)
    except pd.errors.EmptyDataError:
        skipped = layout.skip_rows > 0 or layout.comment is not None
        left = "has nothing left below the skipped lines" if lines and skipped else "is empty"
        raise TableError(f"{path} {left}: a header row and data rows are needed") from None
    except pd.errors.ParserWarning:
        what = f"rows have more fields than the header, which has {header.shape[1]}"
        hint = "; numbers with decimal commas need quotes or another separator between the fields"
        raise _error(f"{path} is not a regular CSV table: {what}", lines, layout, hint) from None
    except pd.errors.ParserError as error:
        found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        what = (
            "line {1} has {2} field(s), those above it {0}".format(*found.groups())
            if found
            else str(error).strip()
        )
        raise _error(f"{path} is not a regular CSV table: {what}", lines, layout) from None
    except UnicodeDecodeError as error:
        raise TableError(f"{path} is not UTF-8 text: {error}") from None
    except _UNREADABLE as error:  # compressed files, by their ending
        raise TableError(f"{path} cannot be read: {error}") from None
    names = [str(name).strip() for name in header.iloc[0]]
    if "" in names:
        raise _error(f"{path}: column {names.index('') + 1} has no name in the header row", lines, layout)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        what = f"more than one column named {', '.join(map(repr, repeated))}"
        raise _error(f"{path} has {what}", lines, layout)
    if len(names) == len(frame.columns):
        frame.columns = pd.Index(names)
    if frame.empty:
        raise _error(f"{path} has a header but no data rows", lines, layout)
    return CsvTable(path, layout, frame, lines)


def _parse(data: bytes, path: Path, layout: TableLayout, **options: Any) -> pd.DataFrame:
    frame: pd.DataFrame = pd.read_csv(
        io.BytesIO(data),
        sep=layout.separator,
        decimal=layout.decimal,
        skiprows=layout.skip_rows,
        comment=layout.comment,
        encoding="utf-8-sig",
        compression=_compression(path),
        **_PRECISION,
        **options,
    )
    return frame


def _first_lines(data: bytes, path: Path) -> tuple[str, ...]:
    """Return the first lines as they are; the reader is used for what it knows of compression."""
    try:
        lines = pd.read_csv(
            io.BytesIO(data),
            sep="\x1f",  # hardly a text has this
            header=None,
            nrows=_SAMPLE_LINES,
            dtype=str,
            quoting=csv.QUOTE_NONE,
            na_filter=False,
            skip_blank_lines=False,
            encoding="utf-8-sig",
            compression=_compression(path),
        )
    except pd.errors.ParserError:
        return ()
    return tuple(lines[0])


def _compression(path: Path) -> Any:
    name = path.name.lower()
    return next((kind for ending, kind in _COMPRESSIONS.items() if name.endswith(ending)), None)


def _error(message: str, lines: Sequence[str], layout: TableLayout, otherwise: str = "") -> TableError:
    """Say how the file seems to be written, where that is another way than it was read, else what is given."""
    likely = likely_layout(lines, layout)
    seen = otherwise if likely is None else f". It looks like a table with {likely.seen_from(layout)}"
    return TableError(message + seen, likely)
