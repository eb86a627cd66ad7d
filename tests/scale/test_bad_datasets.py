"""Bad data sets: the error names file, row group and column, and an earlier fit stays."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from moefast import (
    HierarchicalMixtureOfExpertsRegressor,
    MixtureOfExpertsClassifier,
    MixtureOfExpertsRegressor,
)
from moefast.sources import SourceError, open_source
from moefast.streams.stages import DECREMENT_TOL
from oracles.row_files import table_of, write_parquet


def rows(n=3000):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 2))
    return X, np.where(X[:, 0] + 0.5 * rng.normal(size=n) > 0, X[:, 1], -X[:, 1]) + 0.3 * rng.normal(size=n)


def fit(data, **options):
    return MixtureOfExpertsRegressor(2, random_state=0).fit_dataset(data, "y", **{"sample_rows": 500, **options})


def with_value(name, row, value):
    X, y = rows()
    frame = table_of(X, y, w=np.ones(len(y))).to_pandas()
    frame.loc[row, name] = value
    return pa.Table.from_pandas(frame, preserve_index=False)


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("x1", np.nan, "missing"),
        ("x0", np.inf, "infinity"),
        ("y", -np.inf, "infinity"),
        ("y", np.nan, "missing"),
        ("w", -1.0, "negative"),
    ],
)
def test_bad_values_are_named(name, value, what, tmp_path):
    pq.write_table(with_value("x0", 0, 1.0), tmp_path / "a.parquet", row_group_size=500)
    pq.write_table(with_value(name, 1234, value), tmp_path / "b.parquet", row_group_size=500)
    with pytest.raises(SourceError, match=rf"b.parquet, row group 2 \(row 234 of it\).*'{name}'.*{what}"):
        fit(tmp_path, weights="w", features=["x0", "x1"], batch_rows=300)


@pytest.mark.parametrize("kind", ["one", "all", "tiny"])
def test_weights_that_leave_the_range_are_named(kind, tmp_path):
    X, y = rows()
    w = np.full(len(y), {"one": 1.0, "all": 1e308, "tiny": 1e-308}[kind])
    w[5] = 1e308 if kind == "one" else w[5]
    pq.write_table(table_of(X, y, w=w), tmp_path / "a.parquet")
    match = {
        "one": r"a.parquet, row group 0 \(row 5 of it\): weights 'w' must be at most 1e\+80, got 1e\+308; scale",
        "all": r"a.parquet, row group 0 \(row 0 of it\): weights 'w' must be at most",
        "tiny": r"weights 'w' add up to 3e-305, .* scale them",
    }[kind]
    with pytest.raises(SourceError, match=match):
        fit(tmp_path, weights="w", features=["x0", "x1"])


@pytest.mark.parametrize("who", ["x1", "y"])
def test_values_at_the_ends_of_the_range_are_fitted(who):
    """Sums of such columns overflow; they are put in units of their own, as in memory."""
    X, y = rows(1000)
    ends = 1.7e308 * np.linspace(-1, 1, 1000)[np.random.default_rng(1).permutation(1000)]
    table = table_of(X, ends) if who == "y" else table_of(np.column_stack([X[:, 0], ends]), y)
    model = MixtureOfExpertsRegressor(1, random_state=0).fit_dataset(lambda: [table], "y", sample_rows=300)
    frame = table.to_pandas()
    memory = MixtureOfExpertsRegressor(1, random_state=0).fit(frame[["x0", "x1"]], frame["y"])
    np.testing.assert_allclose(model.log_likelihood_, memory.log_likelihood_, rtol=1e-9, atol=DECREMENT_TOL)


def test_nan_is_no_null(tmp_path):
    X, y = rows()
    X[7, 1] = np.nan
    with pytest.raises(SourceError, match=r"column 'x1' has 1 value.*NaN"):
        fit(lambda: [table_of(X, y)])


def test_columns_that_are_not_there_or_are_no_numbers(tmp_path):
    X, y = rows()
    pq.write_table(table_of(X, y), tmp_path / "a.parquet")
    pq.write_table(table_of(X[:, :1], y), tmp_path / "b.parquet")
    with pytest.raises(SourceError, match=r"b.parquet: no column 'x1'; its columns are 'x0', 'y'"):
        fit(tmp_path)
    pq.write_table(table_of(X, y).set_column(1, "x1", [["a"] * len(y)]), tmp_path / "b.parquet")
    with pytest.raises(SourceError, match=r"b.parquet, row group 0.*: column 'x1' is not numeric, but string"):
        fit(tmp_path)
    for match, arguments in (
        ("target must be of the columns 'x0', 'x1', 'y', got 'z'", {"target": "z"}),
        ("weights must be", {"target": "y", "weights": "w"}),
        ("features must be", {"target": "y", "features": ["x0", "x7"]}),
        ("each column once", {"target": "y", "features": ["x0", "x0"]}),
        ("cannot be of two uses", {"target": "y", "features": ["x0", "y"]}),
        ("cannot be of two uses", {"target": "y", "weights": "y"}),
        ("features must be a list", {"target": "y", "features": "x0"}),
        ("target must be the name", {"target": 2}),
        ("sample_rows", {"target": "y", "sample_rows": 0}),
        ("batch_rows", {"target": "y", "batch_rows": 2.5}),
        ("max_passes", {"target": "y", "max_passes": 0}),
        ("client must be", {"target": "y", "client": 3}),
        ("checkpoint must be", {"target": "y", "checkpoint": 3}),
    ):
        with pytest.raises((ValueError, TypeError), match=match):
            MixtureOfExpertsRegressor().fit_dataset(tmp_path / "a.parquet", **arguments)


def test_what_can_be_read_but_once_is_refused():
    X, y = rows()
    batches = table_of(X, y).to_batches()
    for once in (iter(batches), (batch for batch in batches), pa.Table.from_batches(batches).to_reader()):
        with pytest.raises(TypeError, match=r"read but once|must be paths"):
            fit(once)
    with pytest.raises(TypeError, match="a table in memory is for fit"):
        fit(table_of(X, y))
    for made, kind in (([X], "ndarray"), (None, "NoneType"), (3, "int"), ([None], "NoneType")):
        with pytest.raises(TypeError, match=f"must return pyarrow record batches or tables, got {kind}"):
            fit(lambda made=made: made)


def test_a_function_that_has_less_to_offer_the_second_time():
    X, y = rows()
    left = iter(table_of(X, y).to_batches(max_chunksize=500))
    with pytest.raises(SourceError, match=r"changed between passes|no rows"):
        fit(lambda: left)


def test_files_that_change_or_vanish(tmp_path, monkeypatch):
    from moefast.streams import stages

    X, y = rows()
    inner = stages.optimum_of_stream
    for act, match in (
        (lambda path: os.utime(path, ns=(1, 1)), "has changed since"),
        (lambda path: path.unlink(), "has vanished since"),
    ):
        paths = write_parquet(tmp_path, table_of(X, y), 3)

        def later(*args, act=act, path=paths[1], **kwargs):
            act(path)
            return inner(*args, **kwargs)

        monkeypatch.setattr(stages, "optimum_of_stream", later)
        with pytest.raises(SourceError, match=rf"part-01.parquet {match}"):
            fit(tmp_path)


def test_files_of_other_kinds_and_without_rows(tmp_path):
    X, y = rows()
    none = table_of(X[:0], y[:0])
    with pytest.raises(FileNotFoundError, match="no file is named by"):
        fit(str(tmp_path / "*.parquet"))
    pq.write_table(none, tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="no rows"):
        fit(tmp_path)
    write_parquet(tmp_path, table_of(X, y), 2)
    assert fit(tmp_path).n_samples_fit_ == len(y)  # an empty file among others is none
    (tmp_path / "z.csv").write_text("x0,y\n1,2\n")
    with pytest.raises(SourceError, match=r"z.csv is neither Parquet nor"):
        fit(tmp_path)
    (tmp_path / "z.csv").write_bytes(b"")
    with pytest.raises(SourceError, match=r"z.csv is empty"):
        fit(tmp_path)
    (tmp_path / "z.csv").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(SourceError, match=r"z.csv cannot be read"):
        fit(tmp_path)
    with pytest.raises(SourceError, match="returned no rows"):
        fit(list)
    with pytest.raises(SourceError, match="no row of positive weight"):
        fit(lambda: [table_of(X, y, w=np.zeros(len(y)))], weights="w", features=["x0"])


def test_a_file_that_is_cut_in_the_middle(tmp_path):
    X, y = rows()
    (path,) = write_parquet(tmp_path, table_of(X, y), 1, row_group_size=500)
    data = path.read_bytes()
    path.write_bytes(data[:3000] + bytes(2000) + data[5000:])
    with pytest.raises(SourceError, match=r"part-00.parquet, row group .*cannot be read"):
        fit(tmp_path)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_names_of_columns_that_are_no_text(kind, tmp_path):
    X, y = rows()
    table, path = table_of(X, y, zzzz=y), tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    path.write_bytes(path.read_bytes().replace(b"zzzz", b"\x81zzz"))
    with pytest.raises(SourceError, match=rf"a.{kind} cannot be read: .*utf-8"):
        fit(tmp_path)


def test_what_a_stream_cannot_have(tmp_path):
    X, y = rows()

    def data():
        return [table_of(X, y)]

    for match, model in (
        ("formula needs a data frame", MixtureOfExpertsRegressor(formula="y ~ x0")),
        ("polish=False", MixtureOfExpertsRegressor(start="spectral", polish=False)),
        ("binomial", MixtureOfExpertsRegressor(family="binomial")),
        ("rows are not in memory", MixtureOfExpertsRegressor(start=np.zeros(len(y), dtype=int))),
        ("give gate_features", MixtureOfExpertsRegressor(gate_features=["x0"])),
        ("poisson|whole numbers|counts", MixtureOfExpertsRegressor(family="poisson")),
    ):
        with pytest.raises(ValueError, match=match):
            model.fit_dataset(data, "y", gate_features=["x1"])
    with pytest.raises(ValueError, match=r"family='poisson' is for one response, y has 2 columns"):
        MixtureOfExpertsRegressor(family="poisson").fit_dataset(data, ["y", "x0"])
    with pytest.raises(ValueError, match=r"several responses are for MixtureOfExpertsRegressor"):
        MixtureOfExpertsClassifier().fit_dataset(data, ["y", "x0"])
    with pytest.raises(ValueError, match=r"target must be of the columns .*, got 'z'"):
        MixtureOfExpertsRegressor().fit_dataset(data, ["y", "z"])
    with pytest.raises(NotImplementedError, match="no fit_dataset: fit it to a sample"):
        HierarchicalMixtureOfExpertsRegressor().fit_dataset(data, "y")
    with pytest.raises(ValueError, match="different rows of positive weight are fewer than"):
        MixtureOfExpertsRegressor(3).fit_dataset(lambda: [table_of(X[:2], y[:2])], "y")
    with pytest.raises(TypeError, match="other processes"):
        fit(data, client=object())


def test_an_earlier_fit_stays():
    X, y = rows()
    model = MixtureOfExpertsRegressor(2, random_state=0).fit_dataset(lambda: [table_of(X, y)], "y")
    coef = model.coef_.copy()
    with pytest.raises(SourceError):
        model.fit_dataset(lambda: [with_value("x0", 5, np.nan)], "y")
    np.testing.assert_array_equal(model.coef_, coef)


def test_parts_are_runs_of_row_groups(tmp_path, monkeypatch):
    from moefast.sources import files

    monkeypatch.setattr(files, "_PART_ROWS", 1000)
    X, y = rows()
    (path,) = write_parquet(tmp_path, table_of(X, y), 1, row_group_size=400)
    source = open_source(path)
    assert [(part.first, part.group_rows) for part in source.parts] == [
        (0, (400, 400)),
        (2, (400, 400)),
        (4, (400, 400)),
        (6, (400, 200)),
    ]
    columns = source.columns("y")
    y_read = np.concatenate([batch.y for part in source.parts for batch in part.batches(columns, 150)])
    np.testing.assert_array_equal(y_read, y)


def test_a_dataset_names_the_row_group_too(tmp_path):
    values = np.arange(3000.0)
    values[2533] = np.nan
    pq.write_table(pa.table({"a": values, "y": np.arange(3000.0)}), tmp_path / "n.parquet", row_group_size=500)
    with pytest.raises(SourceError, match=r"n.parquet, row group 5 \(row 33 of it\): column 'a'"):
        MixtureOfExpertsRegressor(2).fit_dataset(ds.dataset(tmp_path), "y", batch_rows=200)
