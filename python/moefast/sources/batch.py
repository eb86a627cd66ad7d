"""Some rows of a data set, by columns, checked, as views of what pyarrow has read wherever that is possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from moefast._typing import AnyFloats, Floats
from moefast.sources.arrow import pyarrow_module

__all__ = ["Batch", "Columns", "SourceError", "changed", "is_number"]


# So that sums of weights, and of their products with squares, stay in range.
_LARGEST_WEIGHT = 1e80


class SourceError(ValueError):
    """A data set that is no table of numbers; the message names file, row group and column."""


def changed(label: str) -> SourceError:
    """Return the error for a part that is no longer what it was."""
    return SourceError(f"{label} has changed since the data set was opened: every pass has to see the same rows")


@dataclass(frozen=True)
class Columns:
    """What the columns of a data set are for, by name.

    Attributes
    ----------
    features : tuple of str
    target : str or None
    weights : str or None
    """

    features: tuple[str, ...]
    target: str | None = None
    weights: str | None = None

    @property
    def all(self) -> list[str]:
        """Every column that is read, once."""
        others = [name for name in (self.target, self.weights) if name is not None]
        return list(dict.fromkeys([*self.features, *others]))


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows.

    Attributes
    ----------
    features : list of ndarray of shape (n,), float64 or float32
    y, sample_weight : ndarray of shape (n,), float64
        Of length 0 and ones where the columns have none. Weights are positive: other rows have been left out.
    n_read : int
        Rows that were read, those of weight zero too.
    """

    features: list[AnyFloats]
    y: Floats
    sample_weight: Floats
    n_read: int

    @property
    def n_rows(self) -> int:
        """How many there are."""
        return len(self.sample_weight)

    @classmethod
    def of(cls, table: Any, columns: Columns, where: Callable[[int], str]) -> Batch:
        """Return the rows of a pyarrow RecordBatch or Table.

        Parameters
        ----------
        table : pyarrow.RecordBatch or pyarrow.Table
        columns : Columns
        where : callable
            Says for a row of the table where it is: "data.parquet, row group 3".

        Raises
        ------
        SourceError
            For columns that are missing, no numbers, or have missing or infinite values, and for negative weights.
        """
        arrays = {name: _numbers(table, name, where) for name in columns.all}
        n = int(table.num_rows)
        y, w = np.zeros(0), np.ones(n)
        if columns.target is not None:
            y = np.asarray(arrays[columns.target], dtype=np.float64)
        if columns.weights is not None:
            w = np.asarray(arrays[columns.weights], dtype=np.float64)
        for name, values in arrays.items():
            _refuse_bad(values, name, where)
        features = [arrays[name] for name in columns.features]
        if columns.weights is not None:
            if (w < 0).any():
                row = int(np.argmax(w < 0))
                raise SourceError(
                    f"{where(row)}: weights {columns.weights!r} must not be negative, got {w[row]:g}"
                )
            if n and w.max() > _LARGEST_WEIGHT:
                row = int(np.argmax(w))
                raise SourceError(
                    f"{where(row)}: weights {columns.weights!r} must be at most {_LARGEST_WEIGHT:g}, got "
                    f"{w[row]:g}; scale them"
                )
            keep = w > 0
            if not keep.all():
                features, w = [np.ascontiguousarray(x[keep]) for x in features], w[keep]
                y = y[keep] if len(y) else y
        return cls(features, y, w, n)


def is_number(kind: Any) -> bool:
    """Whether a type of pyarrow is one of numbers, or of categories that are numbers, or true and false."""
    types = pyarrow_module("pyarrow.types")
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind)
    )


def _numbers(table: Any, name: str, where: Callable[[int], str]) -> AnyFloats:
    """Return a column as 64-bit or 32-bit numbers, without a copy where it has these."""
    pa = pyarrow_module()
    found: Sequence[int] = table.schema.get_all_field_indices(name)
    if len(found) != 1:
        how = "no column" if not found else "more than one column"
        names = ", ".join(map(repr, table.schema.names))
        raise SourceError(f"{where(0)}: {how} {name!r}; its columns are {names}")
    column = table.column(found[0])
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [])
    if not is_number(column.type):
        raise SourceError(f"{where(0)}: column {name!r} is not numeric, but {column.type}")
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise SourceError(
            f"{where(row)}: column {name!r} has {column.null_count} missing value(s) in the rows "
            "read with it; remove or fill these"
        )
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.type not in (pa.float64(), pa.float32()):
        single = pa.types.is_float16(column.type)
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.uint8())
        column = column.cast(pa.float32() if single else pa.float64(), safe=False)
    values: AnyFloats = column.to_numpy(zero_copy_only=True)
    return values


def _refuse_bad(values: AnyFloats, name: str, where: Callable[[int], str]) -> None:
    """Raise SourceError for values that are not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum(dtype=np.float64)):  # one fast pass; a sum that overflows is looked at below
            return
    bad: npt.NDArray[np.bool_] = ~np.isfinite(values)
    if bad.any():
        row = int(np.argmax(bad))
        what = "NaN" if np.isnan(values[row]) else "infinity"
        raise SourceError(
            f"{where(row)}: column {name!r} has {int(bad.sum())} value(s) that are not finite, first {what}, "
            "in the rows read with it; remove or fill these"
        )
