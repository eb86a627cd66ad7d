"""Columns of a table of pyarrow as numbers, or as labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from moefast._typing import AnyFloats, Floats
from moefast.sources.arrow import pyarrow_module

__all__ = ["SourceError", "is_number", "label_numbers", "labels_of", "numbers"]

Where = Callable[[int], str]


class SourceError(ValueError):
    """A data set that is no table of numbers; the message names file, row group and column."""


def is_number(kind: Any) -> bool:
    """Whether a type of pyarrow is one of numbers, or of categories that are numbers, or true and false."""
    types = pyarrow_module("pyarrow.types")
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind)
    )


def _column(table: Any, name: str, where: Where) -> Any:
    """Return a column as one array."""
    pa = pyarrow_module()
    found: Sequence[int] = table.schema.get_all_field_indices(name)
    if len(found) != 1:
        how = "no column" if not found else "more than one column"
        names = ", ".join(map(repr, table.schema.names))
        raise SourceError(f"{where(0)}: {how} {name!r}; its columns are {names}")
    column = table.column(found[0])
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [])
    return column


def _refuse_missing_values(column: Any, name: str, where: Where) -> None:
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise SourceError(
            f"{where(row)}: column {name!r} has {column.null_count} missing value(s) in the rows "
            "read with it; remove or fill these"
        )


def numbers(table: Any, name: str, where: Where) -> AnyFloats:
    """Return a column as 64-bit or 32-bit numbers, without a copy where it has these."""
    pa, column = pyarrow_module(), _column(table, name, where)
    if not is_number(column.type):
        raise SourceError(f"{where(0)}: column {name!r} is not numeric, but {column.type}")
    _refuse_missing_values(column, name, where)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.type not in (pa.float64(), pa.float32()):
        single = pa.types.is_float16(column.type)
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.uint8())
        column = column.cast(pa.float32() if single else pa.float64(), safe=False)
    values: AnyFloats = column.to_numpy(zero_copy_only=True)
    return values


def _labels(table: Any, name: str, where: Where) -> Any:
    """Return a column of labels as one array."""
    pa, column = pyarrow_module(), _column(table, name, where)
    types = pa.types
    if types.is_dictionary(column.type):
        _refuse_missing_values(column, name, where)
        column = column.dictionary_decode()
    kind = column.type
    if getattr(types, "is_string_view", lambda _: False)(kind):  # for which few functions are there
        column, kind = column.cast(pa.string()), pa.string()
    fits = (types.is_integer, types.is_boolean, types.is_string, types.is_large_string, types.is_floating)
    if not any(of_kind(kind) for of_kind in fits):
        raise SourceError(f"{where(0)}: column {name!r} must have labels, texts or whole numbers, got {kind}")
    _refuse_missing_values(column, name, where)
    return column


def labels_of(table: Any, name: str, where: Where) -> frozenset[Any]:
    """Return the labels in a column."""
    found = frozenset(_labels(table, name, where).unique().to_pylist())
    bad = [label for label in found if isinstance(label, float) and not np.isfinite(label)]
    if bad:
        raise SourceError(
            f"{where(0)}: column {name!r} has the label {bad[0]} in the rows read with it; remove these"
        )
    return found


def label_numbers(table: Any, name: str, labels: Sequence[Any], where: Where) -> Floats:
    """Return a column of labels as the numbers of these."""
    pa, column = pyarrow_module(), _labels(table, name, where)
    try:
        known = pa.array(list(labels)).cast(column.type)
    except pa.ArrowInvalid:
        known = pa.array([], column.type)
    found = pyarrow_module("pyarrow.compute").index_in(column, value_set=known)
    if found.null_count:
        row = int(np.argmax(found.is_null().to_numpy(zero_copy_only=False)))
        raise SourceError(
            f"{where(row)}: column {name!r} must be one of the classes {list(labels)}, got {column[row].as_py()!r}"
        )
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.float64)
