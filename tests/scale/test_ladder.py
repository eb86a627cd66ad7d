"""Between a sample and very many rows some of the parts are a step, which spares passes over all of them."""

import numpy as np
import pytest

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.streams import stages
from moefast.streams.passes import RowSums
from oracles.row_files import table_of, write_parquet

SAMPLE = 400


@pytest.fixture(scope="module")
def rows():
    X, y, _ = make_moe(40_000, 4, 3, noise=0.5, expert_intercept=1.0, gate_intercept=0.5, random_state=3)
    return X, y


def written(folder, X, y):
    write_parquet(folder, table_of(X, y), 24, row_group_size=20_000)
    return str(folder / "*.parquet")


def fit(data, **options):
    return MixtureOfExpertsRegressor(3, random_state=0).fit_dataset(data, "y", sample_rows=SAMPLE, **options)


def with_ladder(monkeypatch):
    monkeypatch.setattr(stages, "_LADDER", 20)
    monkeypatch.setattr(stages, "_LEAST_STEP", 4)


def test_which_parts_are_a_step():
    parts = list(range(1000))
    assert list(stages.rung(parts, 10**8, 10**5)) == parts[15::31]
    assert len(stages.rung(parts, 10**10, 10**5)) == 4  # 1 / 316 would be fewer
    assert len(stages.rung(parts, 10**8 - 1, 10**5)) == 0
    assert len(stages.rung(parts[:39], 10**10, 10**5)) == 0


@pytest.mark.parametrize("order", ["as drawn", "sorted"])
def test_it_spares_passes_and_ends_at_the_same_optimum(order, rows, tmp_path, monkeypatch):
    X, y = rows
    place = np.argsort(X[:, 0]) if order == "sorted" else np.arange(len(y))  # then parts are not like the whole
    data = written(tmp_path, X[place], y[place])
    plain = fit(data)
    with_ladder(monkeypatch)
    competed, inner = [], stages.optimum_of_stream

    def watched(problem, log, starts, **options):
        competed.append((problem.n_rows, len(starts)))
        return inner(problem, log, starts, **options)

    monkeypatch.setattr(stages, "optimum_of_stream", watched)
    found = fit(data)
    (some, n_some), (all_rows, n_starts) = competed
    assert some < all_rows / 3
    assert n_starts == min(3, n_some + 1)  # those of the sample too: parts need not be like the whole
    assert found.converged_
    assert found.fit_report_.n_passes <= plain.fit_report_.n_passes - (1 if order == "as drawn" else 0)
    assert abs(found.log_likelihood_ - plain.log_likelihood_) < 3 * stages.DECREMENT_TOL
    assert found.n_samples_fit_ == len(y)


def test_a_fit_that_stops_there_goes_on_to_the_same_bits(rows, tmp_path, monkeypatch):
    data = written(tmp_path, *rows)
    with_ladder(monkeypatch)
    undisturbed = fit(data)
    left, inner = 9, RowSums.__call__

    def stopped(self, part):
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        return inner(self, part)

    monkeypatch.setattr(RowSums, "__call__", stopped)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            fit(data, checkpoint=tmp_path / "c")
        left = 60
    monkeypatch.setattr(RowSums, "__call__", inner)
    again = fit(data, checkpoint=tmp_path / "c")
    np.testing.assert_array_equal(again.coef_, undisturbed.coef_)
    assert again.log_likelihood_ == undisturbed.log_likelihood_
    assert again.fit_report_ == undisturbed.fit_report_
