"""The record of an experiment: runs resume, and do not depend on how they were cut."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from reproduce import reproduce

from moefast.cli import main
from moefast.experiments import (
    Plan,
    expert_error,
    run_experiment,
)
from moefast.experiments.results import Results
from moefast.experiments.runner import Experiment


def _two_powers(cell):
    """Two rows; the log tells which cells were computed."""
    with open(cell["log"], "a") as log:
        log.write(f"{cell['seed']}\n")
    if os.environ.get("HANG_IN_CELL") == str(cell["seed"]):  # until it is killed
        print("here", flush=True)
        sys.stdin.read()
    value = float(np.random.default_rng(cell["seed"]).normal())
    return [{"seed": cell["seed"], "power": power, "value": value**power} for power in (1, 2)]


def _run_toy(folder, n=4, run=_two_powers, verbose=False):
    cells = [{"log": str(folder.parent / "log"), "seed": seed} for seed in range(n)]
    toy = Experiment(
        "toy", "Toy", ("seed", "power", "value"), lambda _: cells, run, lambda _: {}, lambda t: f"{len(t)} rows"
    )
    return run_experiment(toy, Plan(), folder, echo=lambda _: None, verbose=verbose)


def _computed(folder):
    log = folder.parent / "log"
    return log.read_text().split() if log.exists() else []


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results"


def test_a_second_run_computes_only_what_is_missing(folder):
    assert "4 rows" in _run_toy(folder, n=2)
    assert "10 rows" in _run_toy(folder, n=5)
    assert _computed(folder) == list("01234")
    assert "4 rows" in _run_toy(folder, n=2)  # what is not asked for is kept, and stays out of the report
    assert len(pd.read_csv(folder / "toy.csv")) == 10
    assert _computed(folder) == list("01234")


def test_no_bar_is_drawn_into_what_is_no_terminal(folder, capsys):
    _run_toy(folder, verbose=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("lines", [0.2, 1.0, 1.7, 2.0, 2.3])
def test_half_written_cells_are_taken_off_and_computed_again(folder, lines):
    """A file cut inside a line, between the two rows of a cell, or after a cell."""
    _run_toy(folder)
    whole = (folder / "toy.csv").read_bytes()
    rows = whole.splitlines(keepends=True)
    kept = b"".join(rows[: len(rows) - int(lines) - (lines % 1 > 0)])
    half = rows[len(rows) - int(lines) - 1][: int(len(rows[-1]) * (1 - lines % 1))] if lines % 1 else b""
    (folder / "toy.csv").write_bytes(kept + half)
    _run_toy(folder)
    assert (folder / "toy.csv").read_bytes() == whole
    assert _computed(folder)[4:] == (["3"] if lines <= 2 else ["2", "3"])


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    """Killed in the middle, then the same command: the CSV is that of an undisturbed run."""
    script = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import test_record as t;"
        "t._run_toy(pathlib.Path(sys.argv[2]), n=8)"
    )
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    command = [sys.executable, "-c", script, os.path.dirname(__file__), str(killed)]
    hanging = os.environ | {"HANG_IN_CELL": "3"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=hanging) as process:
        assert process.stdout.readline().strip() == b"here"
        process.kill()
    assert pd.read_csv(killed / "toy.csv")["cell"].nunique() == 3
    (tmp_path / "log").unlink()
    _run_toy(killed, n=8)
    assert _computed(killed) == list("34567")
    _run_toy(undisturbed, n=8)
    assert (killed / "toy.csv").read_bytes() == (undisturbed / "toy.csv").read_bytes()


def test_ctrl_c_keeps_what_is_done_and_says_so(tmp_path, monkeypatch):
    real, calls = expert_error.recover_from_moments, []

    def interrupted(*args, **options):
        calls.append(None)
        if len(calls) == 12:  # in the second cell
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(expert_error, "recover_from_moments", interrupted)
    stopped = reproduce("expert-error", "--quick", "--output", tmp_path)
    assert stopped.exit_code == 130
    assert "goes on from there" in stopped.stderr
    assert pd.read_csv(tmp_path / "expert-error-quick.csv")["seed"].unique().tolist() == [0]
    assert reproduce("expert-error", "--quick", "--output", tmp_path).exit_code == 0
    assert pd.read_csv(tmp_path / "expert-error-quick.csv")["seed"].unique().tolist() == [0, 1, 2]


def test_results_do_not_depend_on_the_number_of_jobs(tmp_path):
    texts = []
    for jobs in (1, 2):
        folder = tmp_path / str(jobs)
        result = reproduce("landscapes", "--quick", "--seeds", 1, "--jobs", jobs, "--output", folder)
        assert result.exit_code == 0, result.output
        texts.append((folder / "landscapes-quick.csv").read_bytes())
    assert texts[0] == texts[1]


def test_a_failing_cell_keeps_the_others(folder):
    def fails(cell):
        if cell["seed"] == 2:
            raise ArithmeticError("seed 2")
        return _two_powers(cell)

    with pytest.raises(ArithmeticError, match="seed 2"):
        _run_toy(folder, run=fails)
    assert pd.read_csv(folder / "toy.csv")["seed"].unique().tolist() == [0, 1]


def test_a_file_that_is_no_record_is_not_touched(folder):
    folder.mkdir()
    for text in ("a,b\n1,2\n", "no table\n", 'a,"b\n1,2\n'):
        (folder / "toy.csv").write_text(text)
        with pytest.raises(ValueError, match=r"toy\.csv is not a record of results"):
            _run_toy(folder)
        assert (folder / "toy.csv").read_text() == text


@pytest.mark.parametrize("content", [b"one line of somebody else", b"\xff\xfe\x00", b"cell,cell_row,cell_rows,b"])
def test_a_single_line_of_somebody_else_is_not_touched(tmp_path, content):
    path = tmp_path / "record.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"record.csv is not a record of results"):
        Results(path, ["a"])
    assert path.read_bytes() == content


def test_a_header_cut_off_is_a_record(tmp_path):
    path = tmp_path / "record.csv"
    path.write_text("cell,cell_ro")
    Results(path, ["a"]).add("first", [{"a": 1}])
    assert Results(path, ["a"]).keys == {"first"}


def test_processes_in_one_folder_keep_each_others_cells(tmp_path):
    path = tmp_path / "record.csv"
    ours, theirs = Results(path, ["a"]), Results(path, ["a"])
    ours.add("ours", [{"a": 1}])
    theirs.add("theirs", [{"a": 2}, {"a": 3}])
    ours.sort(["ours"])
    theirs.sort(["theirs"])
    assert Results(path, ["a"]).keys == {"ours", "theirs"}
    assert theirs.table(["theirs"]).a.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("a,y\n" + "1,2\n" * 3, "has 3 rows; 5 folds need at least 10"),
        ("y\n" + "1\n2\n" * 6, "no column left for a feature beside 'y'"),
        ("a,y\n" + "1,2\n2,2\n" * 6, "column 'y' is constant"),
        ("a,y\n" + "u,2\nv,3\n" * 6, "column 'a' is not numeric"),
        ("a,b\n" + "1,2\n2,3\n" * 6, "no column 'y'"),
    ],
)
def test_tables_without_use_are_refused_before_the_work(tmp_path, table, match):
    path = tmp_path / "t.csv"
    path.write_text(table)
    ran = CliRunner().invoke(main, ["reproduce", "real-data", "--output", str(tmp_path), "--data", f"{path}:y"])
    assert ran.exit_code == 1
    assert match in ran.stderr
    assert not list(tmp_path.glob("real-data*"))


def test_columns_may_be_added_to_a_record(tmp_path):
    path = tmp_path / "record.csv"
    Results(path, ["a"]).add("first", [{"a": 0.1}])
    wider = Results(path, ["a", "b"])
    wider.add("second", [{"a": 0.2, "b": "text, with comma"}])
    table = Results(path, ["a", "b"]).table(["first", "second"])
    assert table["a"].tolist() == [0.1, 0.2]
    assert table["b"].isna().tolist() == [True, False]
    with pytest.raises(ValueError, match="of the columns declared"):
        wider.add("third", [{"c": 1}])
