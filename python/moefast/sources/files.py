"""Parts that are Parquet or Arrow IPC files, or runs of row groups of one."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from moefast.sources.arrow import arrow_errors, pyarrow_module
from moefast.sources.batch import Batch, Columns, SourceError, changed, place

__all__ = ["FilePart", "file_parts", "paths_of", "refuse_among"]

# Rows up to which row groups of one file are read together: a task of about a second.
_PART_ROWS = 2**20


@dataclass(frozen=True)
class FilePart:
    """A run of row groups (Parquet) or of record batches (Arrow IPC) of a file.

    Attributes
    ----------
    path : str
    kind : {"parquet", "arrow"}
    first : int
        Of the groups.
    group_rows : tuple of int
        How many rows each of them has.
    size, changed : int
        Bytes of the file, and when it was last changed, in ns.
    """

    path: str
    kind: Literal["parquet", "arrow"]
    first: int
    group_rows: tuple[int, ...]
    size: int
    changed: int

    @property
    def label(self) -> str:
        """The path."""
        return self.path

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return sum(self.group_rows)

    def identity(self) -> list[Any]:
        """Return path, groups, size and time of change."""
        return [os.path.abspath(self.path), self.first, len(self.group_rows), self.size, self.changed]

    def batches(self, columns: Columns, batch_rows: int) -> Iterator[Batch]:
        """Read the rows in order."""
        self._refuse_change()
        read = 0

        def where(row: int) -> str:
            what = "row group" if self.kind == "parquet" else "record batch"
            return place(self.path, what, list(enumerate(self.group_rows, self.first)), read + row)

        try:
            tables = self._parquet(columns, batch_rows) if self.kind == "parquet" else self._arrow(batch_rows)
            for table in tables:
                yield Batch.of(table, columns, where)
                read += table.num_rows
        except SourceError:
            raise
        except FileNotFoundError:
            raise SourceError(f"{self.path} has vanished since the data set was opened") from None
        except arrow_errors() as error:
            self._refuse_change()
            raise SourceError(f"{where(0)} cannot be read: {error}") from error
        self._refuse_change()

    def _refuse_change(self) -> None:
        """Raise SourceError where the file is no longer what it was."""
        try:
            now = os.stat(self.path)
        except FileNotFoundError:
            raise SourceError(f"{self.path} has vanished since the data set was opened") from None
        if (now.st_size, now.st_mtime_ns) != (self.size, self.changed):
            raise changed(self.path)

    def _parquet(self, columns: Columns, batch_rows: int) -> Iterator[Any]:
        parquet = pyarrow_module("pyarrow.parquet")
        groups = list(range(self.first, self.first + len(self.group_rows)))
        with parquet.ParquetFile(self.path) as file:
            _refuse_missing(file.schema_arrow, columns, self.path)
            yield from file.iter_batches(batch_rows, row_groups=groups, columns=columns.all, use_threads=False)

    def _arrow(self, batch_rows: int) -> Iterator[Any]:
        pa = pyarrow_module()
        with pa.memory_map(self.path) as memory, pa.ipc.open_file(memory) as file:
            for i in range(self.first, self.first + len(self.group_rows)):
                whole = file.get_batch(i)
                for begin in range(0, whole.num_rows, batch_rows):
                    yield whole.slice(begin, batch_rows)


def _refuse_missing(schema: Any, columns: Columns, path: str) -> None:
    missing = [name for name in columns.all if name not in schema.names]
    if missing:
        names = ", ".join(map(repr, schema.names))
        raise SourceError(f"{path}: no column {', '.join(map(repr, missing))}; its columns are {names}")


def paths_of(data: str | os.PathLike[str] | Sequence[Any]) -> list[str]:
    """Return the paths that a path, a glob or several of these name, those of a glob or a folder sorted.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    """
    if isinstance(data, (str, os.PathLike)):
        text = os.fspath(data)
        if os.path.isdir(text):
            found = sorted(str(p) for p in Path(text).rglob("*") if p.is_file() and not _is_hidden(p, text))
        elif os.path.exists(text):
            found = [text]
        else:
            found = sorted(path for path in glob.glob(text, recursive=True) if os.path.isfile(path))
        if not found:
            raise FileNotFoundError(f"no file is named by data={text!r}")
        return found
    if len(data) == 0:
        raise ValueError("data is an empty list; name at least one file")
    return [path for item in data for path in paths_of(item)]


def _is_hidden(path: Path, folder: str) -> bool:
    """Whether a file in a folder is hidden, or what others write of their own, or in a folder of such a name."""
    return any(part[0] in "._" for part in path.relative_to(folder).parts)


def refuse_among(data: Any, path: str | os.PathLike[str], argument: str) -> None:
    """Raise ValueError where a file that is written would be read as one of the data the next time."""
    if isinstance(data, (str, os.PathLike)):
        text, own = os.path.abspath(data), Path(os.path.abspath(path))
        if os.path.isdir(text):
            among = own.is_relative_to(text) and not _is_hidden(own, text)
        else:
            among = own.match(text)
        if among:
            raise ValueError(
                f"{argument}={os.fspath(path)!r} lies among the data, {os.fspath(data)!r}, and would be read as "
                "one of them the next time; choose another place"
            )
    elif isinstance(data, (list, tuple)):
        for item in data:
            refuse_among(item, path, argument)


def file_parts(paths: Sequence[str]) -> tuple[tuple[FilePart, ...], Any]:
    """Return the parts of files, in their order, and the schema of the first that has rows.

    Files without rows have no part.

    Raises
    ------
    SourceError
        For files of another kind, and where no file has rows.
    """
    parts: list[FilePart] = []
    schema = None
    for path in paths:
        status = os.stat(path)
        kind = _kind(path)
        group_rows, own = (_parquet_groups if kind == "parquet" else _arrow_groups)(path)
        schema = own if schema is None or not parts else schema
        first = 0
        while first < len(group_rows):
            last, rows = first + 1, group_rows[first]
            while last < len(group_rows) and rows + group_rows[last] <= _PART_ROWS:
                rows += group_rows[last]
                last += 1
            if rows > 0:
                own_rows = tuple(group_rows[first:last])
                parts.append(FilePart(path, kind, first, own_rows, status.st_size, status.st_mtime_ns))
            first = last
    if not parts:
        raise SourceError(f"{paths[0]}{' and the other files' if len(paths) > 1 else ''}: no rows")
    return tuple(parts), schema


def _kind(path: str) -> Literal["parquet", "arrow"]:
    with open(path, "rb") as file:
        start = file.read(6)
    if start[:4] == b"PAR1":
        return "parquet"
    if start == b"ARROW1":
        return "arrow"
    size = os.path.getsize(path)
    what = "is empty" if size == 0 else "is neither Parquet nor an Arrow IPC file (Feather 2)"
    raise SourceError(f"{path} {what}")


def _parquet_groups(path: str) -> tuple[list[int], Any]:
    parquet = pyarrow_module("pyarrow.parquet")

    def look() -> tuple[list[int], Any]:
        with parquet.ParquetFile(path) as file:
            metadata = file.metadata
            return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)], file.schema_arrow

    return _looked_at(look, path)


def _arrow_groups(path: str) -> tuple[list[int], Any]:
    pa = pyarrow_module()

    def look() -> tuple[list[int], Any]:
        with pa.memory_map(path) as memory, pa.ipc.open_file(memory) as file:
            return [file.get_batch(i).num_rows for i in range(file.num_record_batches)], file.schema

    return _looked_at(look, path)


def _looked_at(look: Callable[[], tuple[list[int], Any]], path: str) -> tuple[list[int], Any]:
    try:
        group_rows, schema = look()
        _ = schema.names  # are decoded when they are asked for
        return group_rows, schema
    except arrow_errors() as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
