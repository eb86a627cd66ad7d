"""Parts that are no files: fragments of a pyarrow Dataset, what a function returns, partitions of Dask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from moefast.sources.arrow import arrow_errors, pyarrow_module
from moefast.sources.batch import Batch, Columns, SourceError, changed, place
from moefast.sources.fingerprint import fingerprint

__all__ = ["FragmentPart", "FunctionPart", "PartitionPart"]


@dataclass(frozen=True)
class FragmentPart:
    """A fragment of a pyarrow Dataset, as a rule a file.

    Attributes
    ----------
    fragment, schema
        Of pyarrow.
    number : int
    rows : int
    state : tuple of (int, int), optional
        Bytes of its file and when it was last changed, in ns, where it is a file.
    """

    fragment: Any
    schema: Any
    number: int
    rows: int
    state: tuple[int, int] | None = None

    @classmethod
    def of(cls, fragment: Any, schema: Any, number: int) -> FragmentPart:
        """Return a fragment as it is now."""
        return cls(fragment, schema, number, fragment.count_rows(), _state(fragment))

    @property
    def path(self) -> str | None:
        """Of its file."""
        return getattr(self.fragment, "path", None)

    @property
    def label(self) -> str:
        """The path where there is one."""
        return str(getattr(self.fragment, "path", f"fragment {self.number} of the dataset"))

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return self.rows

    def identity(self) -> list[Any]:
        """Return the path, or the number, how many rows there are, and size and time of change of a file."""
        return [self.label, self.number, self.rows, *(self.state or ())]

    def batches(self, columns: Columns, batch_rows: int) -> Iterator[Batch]:
        """Read the rows in order."""
        read = 0
        self._refuse_change()
        try:
            tables = self.fragment.to_batches(
                schema=self.schema, columns=columns.all, batch_size=batch_rows, use_threads=False
            )
            for table in tables:
                if table.num_rows:
                    yield Batch.of(table, columns, partial(self._where, read))
                    read += table.num_rows
        except SourceError:
            raise
        except arrow_errors() as error:
            raise SourceError(f"{self.label} cannot be read: {error}") from error
        if read != self.rows:
            raise SourceError(f"{self.label} had {self.rows} rows when it was opened, and now has {read}")
        self._refuse_change()

    def _where(self, before: int, row: int) -> str:
        """Say where a row of a batch stands, which so many rows come before."""
        groups = getattr(self.fragment, "row_groups", None) or ()  # of Parquet
        return place(self.label, "row group", [(group.id, group.num_rows) for group in groups], before + row)

    def _refuse_change(self) -> None:
        if _state(self.fragment) != self.state:
            raise changed(self.label)


def _state(fragment: Any) -> tuple[int, int] | None:
    """Return size and time of change of a fragment's file, None where it is none."""
    path = getattr(fragment, "path", None)
    if path is None:
        return None
    info = fragment.filesystem.get_file_info(path)
    return int(info.size or 0), int(info.mtime_ns or 0)


@dataclass(frozen=True)
class FunctionPart:
    """What a function of the user's returns anew for every pass: record batches one after another.

    Attributes
    ----------
    make : callable
        Without arguments.
    """

    make: Callable[[], Iterable[Any]]

    @property
    def label(self) -> str:
        """The function's name."""
        return f"{getattr(self.make, '__name__', 'data')}()"

    @property
    def n_rows(self) -> None:
        """Not known."""
        return None

    def identity(self) -> list[Any]:
        """Return name and code: what it reads nobody knows."""
        return [self.label, fingerprint(self.make)]

    def tables(self) -> Iterator[Any]:
        """Return what the function has to offer."""
        pa = pyarrow_module()
        made = self.make()
        if isinstance(made, (pa.RecordBatch, pa.Table)):
            made = [made]
        for table in made if isinstance(made, Iterable) else [made]:
            if not isinstance(table, (pa.RecordBatch, pa.Table)):
                raise TypeError(
                    f"{self.label} must return pyarrow record batches or tables, got {type(table).__name__}"
                )
            yield table

    def batches(self, columns: Columns, batch_rows: int) -> Iterator[Batch]:
        """Read the rows in order."""
        for number, table in enumerate(self.tables()):
            for begin in range(0, table.num_rows, batch_rows):
                some = table.slice(begin, batch_rows)
                yield Batch.of(some, columns, lambda _: f"{self.label}, batch {number}")  # noqa: B023 at once


@dataclass(frozen=True)
class PartitionPart:
    """A partition of a Dask data frame, which is computed where it is read, for every pass.

    Attributes
    ----------
    partition : dask.delayed.Delayed
    number : int
    """

    partition: Any
    number: int

    @property
    def label(self) -> str:
        """Its number."""
        return f"partition {self.number} of the data frame"

    @property
    def n_rows(self) -> None:
        """Not known."""
        return None

    def identity(self) -> list[Any]:
        """Return the key, which says how it is computed."""
        return [str(self.partition.key), self.number]

    def batches(self, columns: Columns, batch_rows: int) -> Iterator[Batch]:
        """Compute the partition, and return its rows in order."""
        frame = self.partition.compute(scheduler="synchronous")
        missing = [name for name in columns.all if name not in frame.columns]
        if missing:
            raise SourceError(f"{self.label}: no column {', '.join(map(repr, missing))}")
        table = pyarrow_module().Table.from_pandas(frame[columns.all], preserve_index=False)
        for begin in range(0, table.num_rows, batch_rows):
            yield Batch.of(table.slice(begin, batch_rows), columns, lambda _: self.label)
