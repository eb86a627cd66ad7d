"""The sample depends on rows and their weights alone, and is drawn by these; copies are the same as a weight."""

from types import SimpleNamespace

import numpy as np
import pytest

import moefast._core as _core
from moefast.sources.batch import Batch, Columns
from moefast.streams.copies import HeavyLook, WeighingLook, candidates_of, sample_of
from moefast.streams.priority_sample import SampleMaker


def rows_and_weights(n=5000):
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=(n, 2)).round(), rng.normal(size=n).round(1)])  # many are equal
    return rows, rng.integers(1, 4, size=n).astype(float)


def drawn(rows, weight, n_drawn, sizes):
    """Return the sample of rows that come some at a time, the sizes of batches in turn."""
    maker, first, i = SampleMaker(n_drawn, rows.shape[1]), 0, 0
    while first < len(rows):
        some = slice(first, first + sizes[i % len(sizes)])
        maker.add([np.ascontiguousarray(rows[some, j]) for j in range(rows.shape[1])], weight[some])
        first, i = some.stop, i + 1
    return maker.sample()


def hashes_of(rows):
    return _core.row_hashes(tuple(np.ascontiguousarray(rows[:, j]) for j in range(rows.shape[1])))


def oracle(rows, weight, n):
    """The first n rows by hash over weight, rows of one weight together."""
    both = np.column_stack([rows + 0.0, weight])
    distinct, count = np.unique(both, axis=0, return_counts=True)
    order = np.argsort(hashes_of(distinct[:, :-1]) / distinct[:, -1])[:n]
    return distinct[order, :-1], distinct[order, -1], count[order]


def by_copies(parts, n_drawn, *, once=False):
    """Return the sample of parts of (rows, weights) by the passes that know copies."""

    def batches_of(rows, weight):
        def batches(columns, batch_rows):
            for first in range(0, len(rows), batch_rows):
                some = slice(first, first + batch_rows)
                features = [np.ascontiguousarray(column) for column in rows[some, :-1].T]
                yield Batch(features, np.ascontiguousarray(rows[some, -1]), weight[some], len(rows[some]))

        return SimpleNamespace(batches=batches)

    columns = Columns(tuple(f"x{j}" for j in range(parts[0][0].shape[1] - 1)), "y")
    parts, look = [batches_of(*part) for part in parts], HeavyLook(columns, 321, n_drawn)
    heavy = look(parts[0])
    for part in parts[1:]:
        heavy = heavy.merged(look(part))
    found = candidates_of(n_drawn, heavy)
    weigh = WeighingLook(look, found, once=once)
    weighed = weigh(parts[0])
    for part in parts[1:]:
        weighed = weighed.merged(weigh(part))
    return sample_of(n_drawn, found, weighed)


@pytest.mark.parametrize("n_drawn", [1, 100, 700, 10_000])
@pytest.mark.parametrize("sizes", [[1], [7, 300], [5000], [1000, 1]])
def test_it_is_the_one_of_all_rows_at_once(n_drawn, sizes):
    rows, weight = rows_and_weights(600 if sizes == [1] else 5000)
    found = drawn(rows, weight, n_drawn, sizes)
    for values, wanted in zip(
        (found.rows, found.weight, found.count), oracle(rows, weight, n_drawn + 1), strict=True
    ):
        np.testing.assert_array_equal(values, wanted)
    assert found.complete == (len(np.unique(np.column_stack([rows, weight]), axis=0)) <= n_drawn)
    assert found.has_copies or n_drawn == 1


def test_order_and_partition_do_not_matter():
    rows, weight = rows_and_weights()
    wanted = drawn(rows, weight, 500, [5000])
    order = np.random.default_rng(1).permutation(len(rows))
    halves = [drawn(rows[part], weight[part], 500, [999]) for part in np.array_split(order, 7)]
    merged = halves[0]
    for other in halves[1:]:
        merged = merged.merged(other)
    for name in ("rows", "weight", "count"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(wanted, name))
    assert not merged.complete


@pytest.mark.parametrize("n_parts", [1, 3, 23])
@pytest.mark.parametrize("shuffled", [False, True])
def test_copies_are_drawn_as_their_weight(n_parts, shuffled):
    """Of 4000 rows some are there 30 times, one 5000 times: the same as rows of these weights, without copies."""
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(4000, 3))
    n_copies = rng.choice([1, 2, 30], p=[0.6, 0.35, 0.05], size=4000)
    n_copies[77] = 5000
    wanted = drawn(rows, n_copies.astype(float), 300, [4000])
    of = np.repeat(np.arange(4000), n_copies)
    of = rng.permutation(of) if shuffled else of
    parts = [(rows[some], np.ones(len(some))) for some in np.array_split(of, n_parts)]
    for once in (False, True):
        found = by_copies(parts, 300, once=once)
        np.testing.assert_array_equal(found.rows, wanted.rows)
        np.testing.assert_array_equal(found.weight, wanted.weight)
    assert not wanted.has_copies
    assert drawn(np.concatenate([part[0] for part in parts]), np.ones(len(of)), 300, [999]).has_copies


def test_a_complete_sample_puts_copies_together():
    rows, weight = rows_and_weights(800)
    found = drawn(rows, weight, 2000, [100]).of_rows()
    distinct, of_row = np.unique(rows + 0.0, axis=0, return_inverse=True)
    order = np.lexsort(distinct.T[::-1])
    mine = np.lexsort(found.rows.T[::-1])
    np.testing.assert_array_equal(found.rows[mine], distinct[order])
    np.testing.assert_array_equal(found.weight[mine], np.bincount(of_row.ravel(), weight)[order])
    assert found.complete
    np.testing.assert_array_equal(found.drawn()[1], found.weight)


def test_sums_over_the_sample_are_unbiased():
    """Over many hashes, sums of 30 of 400 rows are on the average those of all; even weights change nothing."""
    rng = np.random.default_rng(3)
    weight = rng.pareto(1.1, size=400) + 0.1
    values = rng.normal(size=400) + 0.3
    estimates = []
    for salt in range(400):
        maker = SampleMaker(30, 2)
        maker.add([np.arange(400.0), np.full(400, salt + 0.5)], weight)
        sample = maker.sample()
        bound, own = sample.ranks[-1], sample.weight[:30]
        rows, drawn_weight = sample.drawn()
        stands_for = np.maximum(own, 1.0 / bound)
        np.testing.assert_allclose(drawn_weight / drawn_weight.sum(), stands_for / stands_for.sum(), rtol=1e-12)
        which = rows[:, 0].astype(int)
        estimates.append([stands_for.sum(), stands_for @ values[which]])
    off = np.mean(estimates, axis=0) - [weight.sum(), weight @ values]
    assert (np.abs(off) < 4 * np.std(estimates, axis=0) / np.sqrt(400)).all()
    even = drawn(rng.normal(size=(900, 2)), np.full(900, 2.5), 100, [900])
    np.testing.assert_allclose(even.drawn()[1], 2.5, rtol=1e-14)


def test_rows_are_drawn_alike():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(200_000, 1))
    found = drawn(rows, np.ones(len(rows)), 5000, [50_000])
    assert abs(found.rows.mean()) < 5 / np.sqrt(5000)
    assert abs(found.rows.std() - 1) < 5 / np.sqrt(10_000)
    np.testing.assert_array_equal(found.drawn()[1], 1.0)


@pytest.mark.parametrize("small", [5e-324, 1e-310, 1e-260])
@pytest.mark.parametrize("n_large", [0, 1, 40])
def test_weights_next_to_nothing(small, n_large):
    """They stand behind all others, and drawn weights are numbers in the right proportions."""
    rng = np.random.default_rng(0)
    weight = np.where(np.arange(100) < n_large, 1e80, 1.0)
    weight[50:] = small
    found, stands_for = drawn(rng.normal(size=(100, 2)), weight, 60, [100]).drawn()
    assert len(found) == 60
    assert np.isfinite(stands_for).all()
    order = np.sort(stands_for)[::-1]
    np.testing.assert_allclose(order[:50] / order[0], np.sort(weight)[::-1][:50] / weight.max(), rtol=1e-12)
    assert 0.0 < order[50] <= 1e-250 * order[49]
