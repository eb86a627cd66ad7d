"""The moments of rows that no memory holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from moefast.moments.accumulator import MomentAccumulator
from moefast.sources import open_source
from moefast.validation import check_integer

__all__ = ["accumulate_dataset"]


def accumulate_dataset(
    data: Any,
    target: str,
    features: Sequence[str] | None = None,
    weights: str | None = None,
    *,
    order: int = 3,
    batch_rows: int = 65_536,
    n_threads: int | None = None,
) -> MomentAccumulator:
    """Accumulate the moments of a data set in one pass.

    Parameters
    ----------
    data : str, path-like or sequence of these, pyarrow.dataset.Dataset, callable or dask.dataframe.DataFrame
        As in ``fit_dataset``.
    target : str
        The column of y.
    features : sequence of str, optional
        The columns of X. Default: all columns of numbers but the target and the weights.
    weights : str, optional
        The column of sample weights.
    order : {2, 3, 4}
    batch_rows : int
        Rows that are read at a time. The result does not depend on it.
    n_threads : int or None

    Returns
    -------
    MomentAccumulator
        To the bit that of all rows in memory.

    Raises
    ------
    ValueError, TypeError
        For bad data; the message names file, row group and column.
    ImportError
        Without pyarrow.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from moefast.datasets import make_moe
    >>> from moefast.moments import accumulate_dataset
    >>> X, y, _ = make_moe(1000, 2, 2, random_state=0)
    >>> moments = accumulate_dataset(lambda: pa.table({"a": X[:, 0], "b": X[:, 1], "y": y}), "y")
    >>> moments.n_samples
    1000
    """
    check_integer("batch_rows", batch_rows)
    source = open_source(data)
    columns = source.columns(target, None if features is None else list(features), weights)
    found = MomentAccumulator(len(columns.features), order, n_threads=n_threads)
    for part in source.parts:
        for batch in part.batches(columns, batch_rows):
            if batch.n_rows:
                X = np.column_stack(batch.features).astype(np.float64, copy=False)
                found.update(X, batch.y, batch.sample_weight)
    return found
