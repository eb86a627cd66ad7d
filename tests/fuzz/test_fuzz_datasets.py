"""`fit_dataset`, `predict_dataset` and `accumulate_dataset` on anything; a failure leaves no file behind."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import strategies as some
from fuzz_oracle import assert_finite, attempt, unchanged
from hypothesis import given, settings
from hypothesis import strategies as st

from moefast import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from moefast.moments import accumulate_dataset

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

OF_FITS = {
    n: some.OF_FLAT[n]
    for n in (
        "n_experts",
        "link",
        "noise",
        "fit_intercept",
        "gate_features",
        "l1_ratio",
        "alpha",
        "gate_basis",
        "start",
    )
}
OF_DATASETS = {
    "features": some.mostly(st.just(["x0"]), st.sampled_from([["x9"], ["x0", "x0"], ["y"], [], "x0"]), 3),
    "gate_features": some.mostly(st.just(["x0"]), st.sampled_from([[], ["x9"], ["y"], ["x0", "x0"]]), 3),
    "weights": some.mostly(st.just("w"), st.sampled_from(["x9", "y", "x0"]), 4),
    "offset": some.mostly(st.just("w"), st.sampled_from(["x9", "y", "x0", 3])),
    "n_trials": some.mostly(st.just("w"), st.sampled_from(["x9", "y", "x0", 3])),
    "sample_rows": some.mostly(st.just(20), st.sampled_from([1, 10**9])),
    "batch_rows": some.mostly(st.sampled_from([1, 7, 1000]), some.odd_values),
    "max_passes": st.integers(1, 3),
}
OF_COLUMNS = [
    lambda c: pa.array(c),
    lambda c: pa.array(c),
    lambda c: pa.array(c, from_pandas=True),
    lambda c: pa.array(c.astype(np.float32)),
    lambda c: pa.array(np.nan_to_num(c).astype(np.int64)),
]
OF_ODD_COLUMNS = [
    lambda c: pa.array([str(v) for v in c]),
    lambda c: pa.nulls(len(c)),
    lambda c: pa.array(c > 0),
    lambda c: pa.array([None, *c[1:]]) if len(c) else pa.nulls(0),
    lambda c: pa.array(np.where(np.arange(len(c)) == 1, np.inf, c)),
    lambda c: pa.array(c).dictionary_encode(),
    lambda c: pa.array(np.arange(len(c)), pa.timestamp("s")),
    lambda c: pa.array([[v] for v in c]),
]


def column(values):
    """Draw how a column is held."""
    return some.mostly(st.sampled_from(OF_COLUMNS), st.sampled_from(OF_ODD_COLUMNS), 30).map(
        lambda kind: _quietly(kind, values)
    )


def _quietly(kind, values):
    with np.errstate(all="ignore"):
        return kind(values)


@st.composite
def arrow_tables(draw, family="gaussian"):
    """Draw a table with columns x0, x1, ..., y and w."""
    X = draw(some.tables(most_columns=3))
    n = len(X)
    y = draw(some.columns(n)) if draw(st.booleans()) else draw(some.responses(n, family))
    y = y if y.ndim == 1 else y[:, 0]
    columns = {f"x{j}": draw(column(X[:, j])) for j in range(min(X.shape[1], 5))}
    columns["y"] = draw(column(y.astype(float)))
    columns["w"] = draw(column(np.ones(n) if draw(st.booleans()) else np.arange(n, dtype=float)))
    return pa.table(columns)


def written(data, table, folder):
    """Draw in what form the table is given."""
    form = data.draw(st.sampled_from(["parquet", "arrow", "function", "two files", "dataset", "folder"]))
    half = len(table) // 2
    if form == "function":
        return lambda: table.to_batches(max_chunksize=data_rows(table))
    if form == "arrow":
        with pa.ipc.new_file(folder / "a.arrow", table.schema) as file:
            file.write_table(table)
        return folder / "a.arrow"
    pq.write_table(table.slice(0, half), folder / "0.parquet", row_group_size=5)
    pq.write_table(table.slice(half), folder / "1.parquet")
    if form == "dataset":
        import pyarrow.dataset

        return pyarrow.dataset.dataset(folder)
    return {
        "parquet": folder / "1.parquet",
        "two files": [folder / "0.parquet", folder / "1.parquet"],
        "folder": str(folder),
    }[form]


def data_rows(table):
    """Rows of a batch."""
    return max(1, len(table) // 3)


@given(st.data())
@settings(max_examples=12)
def test_datasets(data):
    family = data.draw(some.mostly(st.just("gaussian"), st.sampled_from(some.FAMILIES), 3))
    few = {"n_init": 1, "max_iter": 5, "n_threads": 1, "random_state": 0, "family": family}
    model = MixtureOfExpertsRegressor(**(few | data.draw(some.parameters(OF_FITS))))
    table = data.draw(arrow_tables(family))
    how = {"sample_rows": 20, "max_passes": 2} | data.draw(some.parameters(OF_DATASETS))
    if data.draw(st.integers(0, 5)) == 5:
        model = MixtureOfExpertsClassifier(2, n_init=1, max_iter=5, n_threads=1, random_state=0)
    target = data.draw(
        some.mostly(st.just("y"), st.one_of(some.odd_values, st.sampled_from([["y", "w"], ["y"]])), 5)
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = written(data, table, folder)
        before = sorted(os.listdir(folder))
        if data.draw(st.booleans()):
            attempt("dataset.moments", lambda: accumulate_dataset(source, "y"))
        fit = attempt("dataset.fit", unchanged(model, lambda: model.fit_dataset(source, target, **how)))
        assert sorted(os.listdir(folder)) == before
        if fit is None:
            return
        assert_finite("coef_", model.coef_)
        what = data.draw(
            some.mostly(st.just(["prediction", "std", "gates", "experts", "assigned"]), some.odd_values)
        )
        quantiles = data.draw(some.mostly(st.sampled_from([(), (0.1, 0.9)]), some.odd_values))
        output = Path(name) / data.draw(st.sampled_from(["out.parquet", "out.arrow"]))
        n = attempt(
            "dataset.predict", lambda: model.predict_dataset(source, output, what, quantiles=quantiles, target="y")
        )
        if n is None:
            assert sorted(os.listdir(folder)) == before
            return
        found = pd.read_parquet(output) if output.suffix == ".parquet" else pd.read_feather(output)
        assert len(found) == n
        assert_finite("predictions", found.select_dtypes("number"))
