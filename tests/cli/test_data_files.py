"""The console fits and predicts files of columns."""

import distributed
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from moefast import MixtureOfExpertsClassifier, load_model, save_model
from moefast.cli import main
from moefast.datasets import make_moe
from oracles.row_files import table_of, write_parquet


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y, _ = make_moe(4000, 2, 2, noise=0.5, random_state=0)
    (tmp_path / "data").mkdir()
    write_parquet(tmp_path / "data", table_of(X, y, id=range(len(y))), 3)
    return tmp_path


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_fit_and_predict(folder):
    common = ["--target", "y", "--ignore", "id", "--sample-rows", 1000, "--checkpoint", "c"]
    out = run("fit", "data/*.parquet", *common)
    assert "4000 rows" in out
    assert "saved to data.moefast.json" in out
    assert run("fit", "data", *common, "--model", "other.json")  # from the checkpoint
    assert "predictions written" in run(
        "predict", "data.moefast.json", "data", "--output", "out.parquet", "--details"
    )
    found = pq.read_table(folder / "out.parquet")
    assert found.column_names == ["prediction", "std", "gate_0", "gate_1"]
    assert len(found) == 4000


def test_offsets_and_classes(folder):
    run("fit", "data", "--target", "y", "--offset", "x1", "--ignore", "id", "--sample-rows", 1000)
    run("predict", "data.moefast.json", "data", "--offset", "x1", "--output", "with.parquet")
    table = pq.read_table(folder / "data").to_pandas()
    fitted = load_model(folder / "data.moefast.json")
    assert list(fitted.feature_names_in_) == ["x0"]
    wanted = fitted.predict(table[["x0"]], offset=table["x1"])
    np.testing.assert_array_equal(pq.read_table(folder / "with.parquet")["prediction"], wanted)
    classes = MixtureOfExpertsClassifier(2, random_state=0).fit(table[["x0", "x1"]], table["y"] > 0)
    save_model(classes, folder / "classes.json")
    run("predict", "classes.json", "data", "--output", "classes.parquet", "--details")
    found = pq.read_table(folder / "classes.parquet")
    assert found.column_names == ["prediction", "probability_False", "probability_True", "gate_0", "gate_1"]
    np.testing.assert_array_equal(found["prediction"], classes.predict(table[["x0", "x1"]]))


def test_what_is_refused(folder, monkeypatch):
    client = distributed.Client
    monkeypatch.setattr(distributed, "Client", lambda address, timeout: client(address, timeout="0.2s"))
    fit = ["fit", "data/*.parquet"]
    for arguments, message in (
        ([*fit], "give the response by --target"),
        ([*fit, "--target", "y", "--experts", "1-3"], "--experts must be one number"),
        ([*fit, "--target", "y", "--errors", "robust"], "--errors needs a table in memory"),
        ([*fit, "--target", "y", "--groups", "id"], "--groups needs a table in memory"),
        ([*fit, "--target", "y", "--offset", "z"], "offset must be of the columns"),
        ([*fit, "--target", "y", "--ignore", "z"], "--ignore must be of the columns"),
        ([*fit, "--target", "y", "--plot", "x.png"], "--plot needs a table in memory"),
        ([*fit, "--target", "z"], "target must be of the columns"),
        (["fit", "none/*.parquet", "--target", "y"], "no file is named"),
        ([*fit, "--target", "y", "--scheduler", "nonsense:1"], "--scheduler nonsense:1 cannot be reached"),
    ):
        code = 2 if message.startswith("give") else 1
        assert message in run(*arguments, code=code).replace("\n", " ")
    (folder / "t.csv").write_text("x,y\n1,2\n3,4\n5,6\n")
    assert "--checkpoint is for Parquet" in run("fit", "t.csv", "--target", "y", "--checkpoint", "c", code=1)
    run("fit", "data", "--target", "y", "--ignore", "id", "--sample-rows", 1000)
    assert "give --output" in run("predict", "data.moefast.json", "data", code=1)
    before = {path.name for path in folder.iterdir()}
    assert before == {"data", "t.csv", "data.moefast.json"}
