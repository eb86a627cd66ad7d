"""The sample depends on the rows alone; copies are the same as a weight."""

import numpy as np
import pytest

import moefast._core as _core
from moefast.streams.smallest_hashes import SampleMaker


def rows_and_weights(n=5000):
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=(n, 2)).round(), rng.normal(size=n).round(1)])  # many are equal
    return rows, rng.integers(1, 4, size=n).astype(float)


def drawn(rows, weight, limit, sizes):
    """Return the sample of rows that come some at a time, the sizes of batches in turn."""
    maker, first, i = SampleMaker(limit, rows.shape[1]), 0, 0
    while first < len(rows):
        some = slice(first, first + sizes[i % len(sizes)])
        maker.add([np.ascontiguousarray(rows[some, j]) for j in range(rows.shape[1])], weight[some])
        first, i = some.stop, i + 1
    return maker.sample()


def oracle(rows, weight, limit):
    """All different rows with their weights, those of the smallest hashes."""
    distinct, of_row = np.unique(rows + 0.0, axis=0, return_inverse=True)
    hashes = _core.row_hashes(tuple(np.ascontiguousarray(distinct[:, j]) for j in range(rows.shape[1])))
    order = np.argsort(hashes)[:limit]
    return distinct[order], np.bincount(of_row.ravel(), weight)[order]


@pytest.mark.parametrize("limit", [1, 100, 700, 10_000])
@pytest.mark.parametrize("sizes", [[1], [7, 300], [5000], [1000, 1]])
def test_it_is_the_one_of_all_rows_at_once(limit, sizes):
    rows, weight = rows_and_weights(600 if sizes == [1] else 5000)
    found = drawn(rows, weight, limit, sizes)
    wanted_rows, wanted_weight = oracle(rows, weight, limit)
    np.testing.assert_array_equal(found.rows, wanted_rows)
    np.testing.assert_array_equal(found.weight, wanted_weight)
    assert found.complete == (len(np.unique(rows, axis=0)) <= limit)


def test_order_partition_and_copies_do_not_matter():
    rows, weight = rows_and_weights()
    wanted = drawn(rows, weight, 500, [5000])
    order = np.random.default_rng(1).permutation(len(rows))
    halves = [drawn(rows[part], weight[part], 500, [999]) for part in np.array_split(order, 7)]
    merged = halves[0]
    for other in halves[1:]:
        merged = merged.merged(other)
    copies = np.repeat(rows, weight.astype(int), axis=0)
    for found in (merged, drawn(copies, np.ones(len(copies)), 500, [321])):
        np.testing.assert_array_equal(found.rows, wanted.rows)
        np.testing.assert_array_equal(found.weight, wanted.weight)
        assert not found.complete


def test_rows_are_drawn_alike_and_counted():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(200_000, 1))
    found = drawn(rows, np.ones(len(rows)), 5000, [50_000])
    assert abs(found.n_distinct / len(rows) - 1) < 5 / np.sqrt(5000)
    assert abs(found.rows.mean()) < 5 / np.sqrt(5000)
    assert abs(found.rows.std() - 1) < 5 / np.sqrt(10_000)
