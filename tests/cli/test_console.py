"""The console command: what it prints and writes, and that no error is a traceback or half a file."""

import builtins
import gzip
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from moefast import MixtureOfExpertsRegressor, load_model
from moefast.cli import main


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command in an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return lambda *args: CliRunner().invoke(main, [str(a) for a in args])


def _fails(result, *words):
    """One plain line on standard error, nothing else, and no file left behind."""
    assert result.exit_code != 0
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)
    assert "Error" in result.stderr
    for word in words:
        assert word in result.stderr
    assert os.listdir() == []


def test_fit_writes_a_model_that_is_the_python_fit(run, csv_file, table):
    result = run("fit", csv_file, "--target", "yield", "--experts", 2)
    assert result.exit_code == 0, result.output
    assert sorted(os.listdir()) == ["data.moefast.json", "data.moefast.png"]
    X, y = table.drop(columns="yield"), table["yield"]
    direct = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    np.testing.assert_allclose(load_model("data.moefast.json").predict(X), direct.predict(X), rtol=1e-9)
    for word in (
        "age",
        "dose",
        "flow rate",
        "sigma",
        "log-likelihood",
        "BIC",
        "Converged",
        "model saved",
        "picture",
    ):
        assert word in result.stdout
    assert f"{direct.log_likelihood_:.3f}" in result.stdout
    assert "nan" not in result.stdout.lower()
    with open("data.moefast.png", "rb") as picture:
        assert picture.read(8) == b"\x89PNG\r\n\x1a\n"


def test_predict_matches_columns_by_name(run, csv_file, table, tmp_path):
    """Shuffled columns, additional ones (even text) and a missing target change nothing."""
    assert run("fit", csv_file, "--target", "yield", "--no-plot").exit_code == 0
    shuffled = tmp_path / "new.csv"
    table[["flow rate", "age", "dose"]].assign(note="text").to_csv(shuffled, index=False)
    result = run("predict", "data.moefast.json", shuffled, "--details", "--output", "out.csv")
    assert result.exit_code == 0, result.output
    out = pd.read_csv("out.csv")
    model = load_model("data.moefast.json")
    X = table.drop(columns="yield")
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(out["prediction"], mean, rtol=1e-12)
    np.testing.assert_allclose(out["std"], std, rtol=1e-12)
    np.testing.assert_allclose(out[["expert_0", "expert_1"]], model.predict_gates(X), rtol=1e-12)
    printed = run("predict", "data.moefast.json", shuffled)
    assert printed.stdout.splitlines()[0] == "prediction"
    assert len(printed.stdout.splitlines()) == len(table) + 1


def test_weights_and_ignored_columns(run, table, tmp_path):
    """A weights column of zeros and ones equals leaving rows out."""
    path, fewer = tmp_path / "w.csv", tmp_path / "fewer.csv"
    weights = (np.arange(len(table)) % 4 > 0).astype(int)
    table.assign(w=weights, note="text").to_csv(path, index=False)
    table[weights > 0].to_csv(fewer, index=False)
    arguments = ("--target", "yield", "--no-plot", "--model")
    weighted = run("fit", path, "--weights", "w", "--ignore", "note", *arguments, "a.json")
    assert weighted.exit_code == 0, weighted.output
    assert run("fit", fewer, *arguments, "b.json").exit_code == 0
    a, b = load_model("a.json"), load_model("b.json")
    np.testing.assert_array_equal(a.coef_, b.coef_)
    assert list(a.feature_names_in_) == ["age", "dose", "flow rate"]


def test_demo_prints_truth_beside_found(run):
    result = run("demo", "--samples", 2000, "--plot", "demo.png")
    assert result.exit_code == 0, result.output
    assert os.listdir() == ["demo.png"]
    for word in ("expert 0 true", "expert 0 found", "Gates", "largest error", "converged"):
        assert word in result.stdout
    rows = [line.split() for line in result.stdout.splitlines() if line.startswith("x")]
    experts = np.array([[float(v) for v in row[1:]] for row in rows[:5]])
    np.testing.assert_allclose(experts[:, ::2], experts[:, 1::2], atol=0.1)


def test_without_matplotlib_the_work_is_done_all_the_same(run, csv_file, monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    result = run("fit", csv_file, "--target", "yield")
    assert result.exit_code == 0
    assert 'pip install "moefast[plot]"' in result.stderr
    assert os.listdir() == ["data.moefast.json"]


BAD_TABLES = {
    "empty file": ("", ("is empty",)),
    "header only": ("a,b,yield\n", ("no data rows",)),
    "text": ("a,yield\n1,2\nred,3\n4,5\n", ("'a'", "'red'", "row 2", "--ignore")),
    "text in the target": ("a,yield\n1,2\n2,three\n", ("'yield'", "'three'")),
    "missing value": ("a,yield\n1,2\n,3\n4,5\n", ("'a'", "missing", "row 2")),
    "infinity": ("a,yield\n1,2\ninf,3\n4,5\n", ("'a'", "infinite", "row 2")),
    "too many fields": ("a,yield\n1,2,3\n4,5,6\n", ("not a regular CSV table",)),
    "ragged later": ("a,yield\n1,2\n4,5,6,7\n", ("not a regular CSV table",)),
    "column twice": ("a,a,yield\n1,2,3\n4,5,6\n", ("more than one column named 'a'",)),
    "no target": ("a,b\n1,2\n3,4\n", ("no column 'yield'", "'a', 'b'")),
    "column without a name": (",b,yield\n1,2,3\n4,5,6\n", ("column 1 has no name",)),
    "target only": ("yield\n1\n2\n3\n", ("no column left",)),
    "too few rows": ("a,yield\n1,2\n", ("n_samples=1", "n_experts=2")),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables(run, tmp_path, name):
    content, words = BAD_TABLES[name]
    path = tmp_path / "bad.csv"
    path.write_text(content)
    _fails(run("fit", path, "--target", "yield"), *words)


def test_other_bad_input(run, csv_file, tmp_path):
    _fails(run("fit", tmp_path, "--target", "yield"), "directory")
    _fails(run("fit", tmp_path / "none.csv", "--target", "yield"), "none.csv")
    _fails(run("fit", csv_file, "--target", "Yield"), "no column 'Yield'")
    _fails(run("fit", csv_file, "--target", "yield", "--weights", "w"), "no column 'w'")
    _fails(run("fit", csv_file, "--target", "yield", "--weights", "dose"), "sample_weight", "negative")
    _fails(run("fit", csv_file, "--target", "yield", "--experts", 0), "experts")
    _fails(run("fit", csv_file, "--target", "yield", "--model", csv_file), "input file")
    _fails(run("fit", csv_file, "--target", "yield", "--model", "no/such/folder/m.json"), "folder")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(bytes(range(256)))
    _fails(run("fit", binary, "--target", "yield"), "binary.csv")


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zip"])
def test_damaged_compressed_tables(run, tmp_path, ending):
    """pandas unpacks by the ending; whatever its libraries raise comes out as one line."""
    path = tmp_path / f"bad.csv.{ending}"
    path.write_bytes(b"a,yield\n1,2\n3,4\n")
    _fails(run("fit", path, "--target", "yield"), path.name)
    if ending == "gz":
        whole = gzip.compress(b"a,yield\n" + b"1,2\n" * 5000)
        for damaged in (whole[: len(whole) // 2], whole[:20] + b"\xff\x00" + whole[22:]):
            path.write_bytes(damaged)
            _fails(run("fit", path, "--target", "yield"), path.name)


def test_clashing_options(run, csv_file):
    _fails(run("fit", csv_file, "--target", "yield", "--model", "a.png", "--plot", "a.png"), "both")
    _fails(run("fit", csv_file, "--target", "yield", "--ignore", "yield"), "'yield'")
    _fails(run("fit", csv_file, "--target", "yield", "--separator", ""), "separator")


@pytest.mark.parametrize(
    "names", [("NA", "nan"), ("null", "price $"), ("a$x^$", r"$\frac$"), ("(intercept)", "täglich")]
)
def test_odd_column_names(run, table, tmp_path, names):
    """Names that pandas takes for missing values and matplotlib for formulas are names like others."""
    path = tmp_path / "odd.csv"
    table.set_axis([*names, "c", "NaN"], axis=1).to_csv(path, index=False)
    result = run("fit", path, "--target", "NaN")
    assert result.exit_code == 0, result.output
    assert "picture saved" in result.stdout
    assert all(name in result.stdout for name in names)
    assert list(load_model("odd.moefast.json").feature_names_in_) == [*names, "c"]


def test_tabs_between_fields(run, table, tmp_path):
    path = tmp_path / "tabs.csv"
    table.to_csv(path, index=False, sep="\t")
    assert run("fit", path, "--target", "yield", "--no-plot", "--separator", r"\t").exit_code == 0


def test_bad_models_and_columns_in_predict(run, csv_file, table, tmp_path):
    assert run("fit", csv_file, "--target", "yield", "--no-plot", "--model", tmp_path / "m.json").exit_code == 0
    fewer = tmp_path / "fewer.csv"
    table.drop(columns=["dose"]).to_csv(fewer, index=False)
    _fails(run("predict", tmp_path / "m.json", fewer, "--output", "o.csv"), "no column 'dose'")
    cut = tmp_path / "cut.json"
    cut.write_bytes((tmp_path / "m.json").read_bytes()[:500])
    _fails(run("predict", cut, csv_file), "cut.json", "cut short")
    _fails(run("predict", csv_file, csv_file), "data.csv")
    _fails(run("predict", tmp_path, csv_file), "directory")
    _fails(run("predict", tmp_path / "m.json", csv_file, "--output", csv_file), "input file")


def test_warnings_are_one_line_without_a_source_path(run, table, tmp_path):
    path = tmp_path / "constant.csv"
    table.assign(always=1).to_csv(path, index=False)
    result = run("fit", path, "--target", "yield", "--no-plot")
    assert result.exit_code == 0
    lines = [line for line in result.stderr.splitlines() if "always" in line]
    assert len(lines) == 1
    assert lines[0].startswith("Warning: ")
    assert ".py" not in lines[0]


def test_the_installed_command_runs_as_a_process(csv_file, tmp_path):
    """A real process, with an error: exit code 1, one line, no traceback."""
    command = [sys.executable, "-m", "moefast.cli", "fit", str(csv_file), "--target", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
