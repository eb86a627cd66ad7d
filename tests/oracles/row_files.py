"""Tables of rows, and the files they are written to."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def table_of(X, y, **others):
    """Return an Arrow table with columns x0, x1, ..., y and others."""
    return pa.table({**{f"x{j}": X[:, j] for j in range(X.shape[1])}, "y": y, **others})


def write_parquet(folder, table, n_files, row_group_size=2000):
    """Write a table as files, in order, whose numbers of rows differ; return their paths."""
    ends = (np.linspace(0, 1, n_files + 1) ** 1.3 * len(table)).astype(int)
    paths = []
    for i, (first, last) in enumerate(pairwise(ends)):
        paths.append(folder / f"part-{i:02d}.parquet")
        pq.write_table(table.slice(first, last - first), paths[-1], row_group_size=row_group_size)
    return paths
