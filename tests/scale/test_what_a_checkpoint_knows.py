"""A checkpoint knows its call; rows that change and files of others are told."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.families import StudentT, Tobit
from moefast.links import Link
from moefast.sources.files import paths_of
from moefast.sources.fingerprint import fingerprint


def table(n=1500, seed=0):
    X, y, _ = make_moe(n, 2, 2, noise=0.5, random_state=seed)
    return pa.table({"a": X[:, 0], "b": X[:, 1], "y": y})


def model(**parameters):
    return MixtureOfExpertsRegressor(2, **{"random_state": 0, "n_init": 2} | parameters)


def scaled(factor):
    return lambda z: factor * z


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Tobit(-9.0, 9.0), Tobit(-1.0, 1.0)),
        (StudentT(3.0), StudentT(30.0)),
        (Link("mine", np.tanh), Link("mine", np.arctan)),
        (lambda z: z + 1, lambda z: z + 2),
        (scaled(2.0), scaled(3.0)),
        (np.random.RandomState(1), np.random.RandomState(2)),
        (np.random.default_rng(1), np.random.default_rng(2)),
        (np.array([1.0, 2.0]), np.array([1.0, 3.0])),
        (float("inf"), float("-inf")),
    ],
)
def test_what_differs_is_told_apart_and_what_is_equal_is_not(one, other):
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(one)


def test_equal_objects_made_anew_are_the_same():
    assert fingerprint(Tobit(-1.0, 1.0)) == fingerprint(Tobit(-1.0, 1.0))
    assert fingerprint(scaled(2.0)) == fingerprint(scaled(2.0))
    assert fingerprint(np.random.RandomState(1)) == fingerprint(np.random.RandomState(1))


@pytest.mark.filterwarnings("ignore:the fit did not settle")
def test_a_checkpoint_of_another_family_is_refused(tmp_path):
    rows = table()
    rows = rows.set_column(2, "y", [np.clip(rows["y"].to_numpy(), -1, 1)])
    keep = {"sample_rows": 500, "checkpoint": tmp_path / "c"}

    def read():
        return [rows]

    model(family=Tobit(-9.0, 9.0)).fit_dataset(read, "y", **keep)
    with pytest.raises(ValueError, match="family"):
        model(family=Tobit(-1.0, 1.0)).fit_dataset(read, "y", **keep)


def test_a_checkpoint_goes_on_with_more_passes(tmp_path):
    rows = table(4000)
    keep = {"sample_rows": 1500, "checkpoint": tmp_path / "c"}

    def read():
        return [rows]

    with pytest.warns(Warning, match="did not settle"):
        model().fit_dataset(read, "y", max_passes=1, **keep)
    more = model().fit_dataset(read, "y", max_passes=30, **keep)
    at_once = model().fit_dataset(read, "y", max_passes=30, sample_rows=1500)
    assert more.converged_
    assert more.log_likelihood_ == pytest.approx(at_once.log_likelihood_, abs=0.02)


def test_rows_of_hardly_any_weight_do_not_make_it_a_strange_one(tmp_path):
    rows = table(600)
    rows = rows.append_column("w", pa.array(np.where(np.arange(600) % 2, 5e-324, 1.0)))
    how = {"weights": "w", "sample_rows": 400, "checkpoint": tmp_path / "c"}
    one, again = (model().fit_dataset(lambda: [rows], "y", ["a", "b"], **how) for _ in range(2))
    assert one.log_likelihood_ == again.log_likelihood_


def test_fragments_that_were_rewritten_are_other_data(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(table(), path)
    keep = {"sample_rows": 500, "checkpoint": tmp_path / "c"}
    opened = ds.dataset(path)
    model().fit_dataset(opened, "y", **keep)
    pq.write_table(table(seed=9), path)
    os.utime(path, (1, 1))
    with pytest.raises(ValueError, match="data"):
        model().fit_dataset(ds.dataset(path), "y", **keep)


def test_a_dataset_is_not_overwritten_by_its_predictions(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(table(), path)
    fitted = model().fit_dataset(path, "y", sample_rows=500)
    with pytest.raises(ValueError, match="is one of the files that are read"):
        fitted.predict_dataset(ds.dataset(path), path)
    assert pq.read_table(path).num_rows == 1500
    assert pq.read_table(path).column_names == ["a", "b", "y"]


def test_other_rows_in_each_pass_are_an_error():
    seeds = iter(range(100))
    with pytest.raises(ValueError, match="changed between passes"):
        model().fit_dataset(lambda: [table(seed=next(seeds))], "y", sample_rows=500)


def test_folders_of_hidden_names_are_left_alone(tmp_path):
    for name in ("x.parquet", ".ipynb_checkpoints/x.parquet", "_temporary/0/x.parquet", "more/y.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table(10), tmp_path / name)
    found = [os.path.relpath(path, tmp_path).replace(os.sep, "/") for path in paths_of(tmp_path)]
    assert found == ["more/y.parquet", "x.parquet"]


def test_a_column_without_values_in_the_first_file_is_not_dropped(tmp_path):
    rows = table(600)
    pq.write_table(rows.append_column("c", pa.nulls(600)), tmp_path / "0.parquet")
    pq.write_table(rows.append_column("c", rows["a"]), tmp_path / "1.parquet")
    with pytest.raises(ValueError, match="'c'"):
        model().fit_dataset(tmp_path, "y", sample_rows=500)


def test_nothing_to_read_and_nothing_to_see_are_named(tmp_path):
    with pytest.raises(ValueError, match="data is an empty list"):
        model().fit_dataset([], "y")
    with pytest.raises(ValueError, match="features is empty"):
        model().fit_dataset(lambda: [table(100)], "y", features=[])
