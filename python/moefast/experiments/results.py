"""The record of an experiment: a CSV file to which whole cells are added and which survives a killed process."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from moefast.atomic import replacing
from moefast.experiments.cells import Row

__all__ = ["Results"]

_HEAD = ["cell", "cell_row", "cell_rows"]


class Results:
    """Rows of finished cells in a CSV file.

    Every line tells its cell's key, its place in the cell and how many rows the cell has, so that a cell that was
    not written to its end is seen to be incomplete; such cells, and a half-written last line, are taken off when
    the file is opened. Rows of other keys stay: they are those of other parameters or of changed code.

    Parameters
    ----------
    path : path-like
        Made when it does not exist.
    columns : sequence of str
        Of the rows; what a row does not have stays empty.

    Raises
    ------
    ValueError
        When the file is something else.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from moefast.experiments.results import Results
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(folder.name, "results.csv")
    >>> Results(path, ["n", "error"]).add("a cell", [{"n": 10, "error": 0.5}, {"n": 20, "error": 0.25}])
    >>> Results(path, ["n", "error"]).table(["a cell"]).error.tolist()
    [0.5, 0.25]
    >>> folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike[str], columns: Sequence[str]) -> None:
        self.path = Path(path)
        self._columns = [*_HEAD, *columns]
        text, self._table = self._read()
        if self._text(self._table) != text:
            self._write()

    def _read(self) -> tuple[str, pd.DataFrame]:
        """Return the file's text and its whole cells."""
        header = ",".join(self._columns)
        try:
            text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
            whole = text[: text.rfind("\n") + 1]
            if not whole and not header.startswith(text):  # a line of somebody else, not half of ours
                raise ValueError("its header is another one")
            found = pd.read_csv(io.StringIO(whole or header), dtype=str, keep_default_na=False)
            if list(found.columns[:3]) != _HEAD:
                raise ValueError("its header is another one")
        except ValueError as error:  # those of pandas and of the encoding too
            raise ValueError(
                f"{self.path} is not a record of results ({str(error).strip()}); choose another folder"
            ) from None
        found = found.drop_duplicates(["cell", "cell_row"])
        complete = found.groupby("cell")["cell_row"].transform("size").astype(str) == found["cell_rows"]
        others = [name for name in found.columns if name not in self._columns]
        return text, found[complete].reindex(columns=[*self._columns, *others], fill_value="")

    @property
    def keys(self) -> set[str]:
        """The cells that are recorded."""
        return set(self._table["cell"])

    def add(self, key: str, rows: Sequence[Row]) -> None:
        """Append a cell, whole."""
        numbered = [dict(zip(_HEAD, (key, i, len(rows)), strict=True)) | row for i, row in enumerate(rows)]
        unknown = {name for row in numbered for name in row} - set(self._table.columns)
        if unknown or not rows:
            raise ValueError(f"a cell must have rows, of the columns declared; got {len(rows)} rows, {unknown}")
        text = self._text(pd.DataFrame(numbered, columns=self._table.columns), header=False)
        with open(self.path, "ab") as file:  # one write, then on the disk
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        added = pd.read_csv(io.StringIO(text), names=list(self._table.columns), dtype=str, keep_default_na=False)
        self._table = pd.concat([self._table, added], ignore_index=True)

    def sort(self, keys: Sequence[str]) -> None:
        """Bring these cells into this order, other ones behind them, so that the file tells nothing of the run."""
        place = {key: i for i, key in enumerate(keys)}
        # Another process may have added cells to the file meanwhile.
        mine, theirs = self._table, self._read()[1]
        self._table = pd.concat([mine, theirs[~theirs["cell"].isin(set(mine["cell"]))]], ignore_index=True).fillna(
            ""
        )
        order = self._table["cell"].map(lambda key: place.get(key, len(place)))
        self._table = self._table.iloc[order.argsort(kind="stable")].reset_index(drop=True)
        self._write()

    def table(self, keys: Sequence[str]) -> pd.DataFrame:
        """Return the rows of these cells, with columns of the types that fit them."""
        mine = self._table[self._table["cell"].isin(set(keys))].drop(columns=_HEAD)
        return pd.read_csv(io.StringIO(self._text(mine)))

    def _write(self) -> None:
        with replacing(self.path) as temporary:
            temporary.write_text(self._text(self._table), encoding="utf-8", newline="")

    @staticmethod
    def _text(table: pd.DataFrame, header: bool = True) -> str:
        return str(table.to_csv(index=False, header=header, lineterminator="\n"))
