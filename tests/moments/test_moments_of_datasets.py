"""Moments of files are those of their rows in memory, to the bit."""

import numpy as np
import pytest

from moefast.datasets import make_moe
from moefast.moments import MomentAccumulator, accumulate_dataset
from moefast.sources import SourceError
from oracles.row_files import table_of, write_parquet


@pytest.mark.parametrize("batch_rows", [17, 4096, 65_536])
def test_the_bits_of_all_rows_at_once(batch_rows, tmp_path):
    X, y, _ = make_moe(9000 if batch_rows > 17 else 1000, 3, 2, random_state=0)
    w = np.random.default_rng(0).integers(1, 3, size=len(y)).astype(float)
    write_parquet(tmp_path, table_of(X, y, w=w), 3, row_group_size=700)
    found = accumulate_dataset(tmp_path, "y", ["x2", "x0"], "w", order=4, batch_rows=batch_rows)
    wanted = MomentAccumulator(2, 4)
    wanted.update(np.ascontiguousarray(X[:, [2, 0]]), y, w)
    assert found.to_bytes() == wanted.to_bytes()


def test_bad_rows_are_named(tmp_path):
    X, y, _ = make_moe(2000, 2, 2, random_state=0)
    X[1500, 1] = np.inf
    write_parquet(tmp_path, table_of(X, y), 2, row_group_size=300)
    with pytest.raises(SourceError, match=r"part-01.parquet, row group \d .*column 'x1'"):
        accumulate_dataset(tmp_path, "y")
    with pytest.raises(ValueError, match="batch_rows"):
        accumulate_dataset(tmp_path, "y", batch_rows=0)
