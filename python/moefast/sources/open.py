"""From what users have to a source."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from moefast.sources.arrow import pyarrow_module
from moefast.sources.columns import SourceError, is_number
from moefast.sources.files import file_parts, paths_of
from moefast.sources.others import FragmentPart, FunctionPart, PartitionPart
from moefast.sources.part import Source

__all__ = ["open_source"]


def open_source(data: Any) -> Source:
    """Return a source of rows.

    Parameters
    ----------
    data : str, path-like or sequence of these, pyarrow.dataset.Dataset, callable or dask.dataframe.DataFrame
        Paths, globs or folders of Parquet or Arrow IPC files; a function without arguments that returns fresh
        record batches of pyarrow whenever it is called.

    Raises
    ------
    TypeError
        For anything else: what can be read but once cannot be fitted, which takes several passes.
    SourceError
        For files that cannot be read or have no rows.
    FileNotFoundError
        Where there is no such file.
    ImportError
        Without pyarrow.
    """
    pyarrow_module()
    if isinstance(data, Iterator):
        raise TypeError(
            "data can be read but once, being an iterator or a generator: a fit reads all rows several times, "
            "since where experts are depends on all of them; give a function that returns a fresh one whenever it "
            "is called"
        )
    if isinstance(data, (str, os.PathLike)) or _is_sequence_of_paths(data):
        parts, schema = file_parts(paths_of(data))
        return _source(parts, schema, can_travel=True)
    if isinstance(data, pyarrow_module("pyarrow.dataset").Dataset):
        fragments = [FragmentPart.of(fragment, data.schema, i) for i, fragment in enumerate(data.get_fragments())]
        some = tuple(part for part in fragments if part.rows)
        if not some:
            raise SourceError("the dataset has no rows")
        return _source(some, data.schema, can_travel=True)
    if type(data).__module__.startswith("dask") and hasattr(data, "to_delayed"):
        partitions = tuple(PartitionPart(p, i) for i, p in enumerate(data.to_delayed()))
        names = tuple(map(str, data.columns))
        numeric = tuple(str(n) for n, kind in data.dtypes.items() if getattr(kind, "kind", "O") in "biuf")
        return Source(partitions, names, numeric, can_travel=True)
    if callable(data):
        part = FunctionPart(data)
        table = next(part.tables(), None)
        if table is None:
            raise SourceError(f"{part.label} returned no rows")
        return _source((part,), table.schema, can_travel=False)
    raise TypeError(
        "data must be paths of Parquet or Arrow IPC files, a pyarrow Dataset, a function that returns record "
        f"batches or a dask DataFrame, got {type(data).__name__}; a table in memory is for fit(X, y)"
    )


def _is_sequence_of_paths(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and all(isinstance(item, (str, os.PathLike)) for item in data)


def _source(parts: tuple[Any, ...], schema: Any, can_travel: bool) -> Source:
    # What pandas writes of an index without a name is no column of the user's.
    own = [field for field in schema if not field.name.startswith("__index_level_")]
    # A column without a value in the first file has no type: it is one of the user's all the same.
    types = pyarrow_module("pyarrow.types")
    numeric = tuple(field.name for field in own if is_number(field.type) or types.is_null(field.type))
    return Source(parts, tuple(schema.names), numeric, can_travel)
