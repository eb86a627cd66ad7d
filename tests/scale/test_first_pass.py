"""The first pass measures what a table in memory would show."""

import numpy as np
import pytest

from moefast.families import GAUSSIAN, get_family
from moefast.samples import Samples
from moefast.sources import open_source
from moefast.standardisation import Spread
from moefast.streams.first_pass import BoundedLook, FirstLook, FirstPass
from oracles.row_files import table_of


def look_at(tables, batch_rows, family=GAUSSIAN, weights=None):
    source = open_source(lambda: tables)
    return FirstLook(source.columns("y", None, weights), batch_rows, 300, family)(source.parts[0])


@pytest.mark.parametrize("batch_rows", [1, 83, 5000])
@pytest.mark.parametrize("shift", [0.0, 1e5])
def test_spread_is_that_of_all_rows(batch_rows, shift):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 3)) * [1.0, 1e-140, 1e160] + [shift, 0.0, 0.0]
    y, w = rng.normal(size=1500), rng.uniform(0.1, 3.0, size=1500)
    X = np.column_stack([X, np.full(1500, 0.1)])
    found = look_at([table_of(X, y, w=w)], batch_rows, weights="w")
    spread, wanted = found.spread(3 + 1), Spread.of(Samples(X, y, w))
    for name in ("x_mean", "x_deviation", "y_mean", "y_deviation"):
        np.testing.assert_allclose(getattr(spread, name), getattr(wanted, name), rtol=1e-10, atol=1e-13)
    assert spread.x_deviation[3] == 0
    assert found.n_rows == found.n_read == 1500
    np.testing.assert_allclose(found.weight, w.sum(), rtol=1e-12)


def test_parts_add():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(900, 2)), rng.normal(size=900)
    whole = look_at([table_of(X, y)], 100)
    halves = [look_at([table_of(X[rows], y[rows])], 100) for rows in (slice(0, 250), slice(250, 900))]
    merged = FirstPass.merged(*halves)
    np.testing.assert_allclose(merged.deviation, whole.deviation, rtol=1e-13)
    np.testing.assert_array_equal(merged.sample.rows, whole.sample.rows)
    assert merged.n_rows == 900


def test_rows_of_weight_zero_count_for_nothing():
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(500, 2)), rng.normal(size=500)
    w = np.repeat([1.0, 0.0], [400, 100])
    X[400:] *= 1e6
    found, wanted = look_at([table_of(X, y, w=w)], 64, weights="w"), look_at([table_of(X[:400], y[:400])], 64)
    np.testing.assert_array_equal(found.sample.rows, wanted.sample.rows)
    np.testing.assert_array_equal(found.deviation, wanted.deviation)
    assert (found.n_rows, found.n_read) == (400, 500)


def test_rows_with_a_density_are_counted():
    y = np.array([0.0, 1.0, 2.0, 0.0])
    found = look_at([table_of(np.arange(4.0)[:, None], y)], 3, get_family("tobit"))
    assert (found.density_weight, found.weight) == (2.0, 4.0)


def test_what_was_seen_bounds_what_is_kept():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(6000, 2)).round(1), rng.normal(size=6000).round(1)
    parts = [open_source(lambda r=r: [table_of(X[r], y[r])]) for r in np.array_split(np.arange(6000), 6)]
    look = FirstLook(parts[0].columns("y"), 500, 300, GAUSSIAN)
    bounded = BoundedLook(look)
    plain = [look(source.parts[0]) for source in parts]
    found = [bounded(source.parts[0]) for source in parts]
    assert sum(len(one.sample.hashes) for one in found) < 0.6 * sum(len(one.sample.hashes) for one in plain)
    one, other = found[0], plain[0]
    for next_one, next_other in zip(found[1:], plain[1:], strict=True):
        one, other = one.merged(next_one), other.merged(next_other)
    np.testing.assert_array_equal(one.sample.rows, other.sample.rows)
    np.testing.assert_array_equal(one.sample.count, other.sample.count)
    assert not one.sample.complete
