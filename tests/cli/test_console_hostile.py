"""The console under bad conditions: outputs that cannot be written, streams that are closed, odd tables, kills."""

import io
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from moefast import MixtureOfExpertsRegressor, load_model
from moefast.cli import commands as console
from moefast.cli import main
from moefast.io import atomic
from moefast.io.atomic import check_writable, replacing
from moefast.io.table_layout import TableLayout
from moefast.io.tables import TableError, read_table
from moefast.plotting import save_figure
from moefast.progress import progress_bar

posix = pytest.mark.skipif(os.name != "posix", reason="needs devices, links, pipes or signals of POSIX")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command in an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return lambda *args: CliRunner().invoke(main, [str(a) for a in args])


@pytest.fixture
def no_fit(monkeypatch):
    """Let a fit be the failure of a test: the error must come before."""

    def fit(*_args, **_kwargs):
        raise AssertionError("the fit began")

    monkeypatch.setattr(MixtureOfExpertsRegressor, "fit", fit)


def _process(arguments, folder, redirections="", **options):
    """Run the command in a shell, as a user does."""
    command = f'exec "{sys.executable}" -m moefast.cli {arguments} {redirections}'
    return subprocess.run(["/bin/sh", "-c", command], cwd=folder, capture_output=True, text=True, **options)


# ---- pictures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["picture", "picture.", ".png", "picture.PNG"])
def test_a_picture_goes_to_the_very_name_given(run, csv_file, name):
    Path(name).write_text("old")
    result = run("fit", csv_file, "--target", "yield", "--plot", name)
    assert result.exit_code == 0, result.output
    assert Path(name).read_bytes().startswith(PNG)
    assert sorted(os.listdir()) == sorted(["data.moefast.json", name])


def test_formats_that_cannot_be_drawn_are_refused_before_the_fit(run, csv_file, no_fit):
    for command in (("fit", csv_file, "--target", "yield"), ("demo",)):
        result = run(*command, "--plot", "picture.nonsense")
        assert result.exit_code == 1
        assert "'nonsense'" in result.stderr
        assert "png" in result.stderr
        assert os.listdir() == []


# ---- outputs that cannot be written ----------------------------------------------------------------------


def _outputs(folder):
    (folder / "folder").mkdir()
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    (folder / "nowhere").symlink_to("no/such/file.json")
    return {
        "": "directory",
        "folder": "directory",
        "a": "cannot be written",
        "nowhere": "does not exist",
        "n" * 300: "cannot be written",
        "/proc/model.json": "cannot write in the folder",
        "/dev/full": "cannot be written",
        "no/such/model.json": "does not exist",
    }


@posix
@pytest.mark.parametrize("option", ["--model", "--plot"])
def test_outputs_that_cannot_be_written_are_found_before_the_fit(run, csv_file, no_fit, option):
    outputs = _outputs(Path.cwd())
    before = sorted(os.listdir())
    for output, word in outputs.items():
        result = run("fit", csv_file, "--target", "yield", option, output)
        assert isinstance(result.exception, SystemExit), output
        assert result.exit_code != 0
        assert "Error: " in result.stderr
        assert word in result.stderr
        assert sorted(os.listdir()) == before


def test_write_protected_files_are_found_before_the_fit(run, csv_file, no_fit, monkeypatch):
    """Asked of the system: its administrator may write everything."""
    Path("m.json").write_text("old")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    result = run("fit", csv_file, "--target", "yield", "--model", "m.json")
    assert "write-protected" in result.stderr
    assert Path("m.json").read_text() == "old"


@posix
def test_outputs_of_predict_that_cannot_be_written(run, csv_file):
    assert run("fit", csv_file, "--target", "yield", "--no-plot", "--model", "../m.json").exit_code == 0
    for output, word in _outputs(Path.cwd()).items():
        result = run("predict", "../m.json", csv_file, "--output", output)
        assert isinstance(result.exception, SystemExit), output
        assert word in result.stderr


@posix
def test_the_check_leaves_nothing_and_reads_no_pipe(tmp_path):
    check_writable(tmp_path / "new")
    os.mkfifo(tmp_path / "pipe")
    check_writable(tmp_path / "pipe")  # would wait for a reader for ever
    (tmp_path / "old").write_text("old")
    check_writable(tmp_path / "old")
    assert (tmp_path / "old").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["old", "pipe"]
    with pytest.raises(FileNotFoundError, match="empty"):
        check_writable("")


def test_the_summary_is_printed_when_the_model_cannot_be_saved(run, csv_file, monkeypatch):
    """The disk may fill up during the fit."""

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(console, "save_model", full)
    result = run("fit", csv_file, "--target", "yield")
    assert result.exit_code == 1
    assert "log-likelihood" in result.stdout
    assert "picture saved" in result.stdout
    assert "model saved" not in result.stdout
    assert "the model could not be saved to data.moefast.json" in result.stderr
    monkeypatch.undo()


def test_a_picture_that_cannot_be_saved_is_an_error_after_everything_else(run, csv_file, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(console, "save_figure", full)
    result = run("fit", csv_file, "--target", "yield", "--plot", "p.png")
    assert result.exit_code == 1
    assert "model saved" in result.stdout
    assert "picture saved" not in result.stdout
    assert "the picture could not be saved to p.png" in result.stderr
    assert os.listdir() == ["data.moefast.json"]


# ---- streams ---------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_standard_error_may_be_closed_or_full(csv_file, table, tmp_path, redirection):
    """A constant column makes the fit warn, too."""
    table.assign(always=1).to_csv(csv_file, index=False)
    done = _process("fit data.csv --target yield --no-plot", tmp_path, redirection)
    assert done.returncode == 0
    assert "model saved" in done.stdout
    assert load_model(tmp_path / "data.moefast.json").converged_


@posix
@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
def test_predictions_that_nobody_gets_are_an_error(run, csv_file, tmp_path, redirection):
    assert run("fit", csv_file, "--target", "yield", "--no-plot", "--model", "../m.json").exit_code == 0
    done = _process("predict m.json data.csv", tmp_path, redirection)
    assert done.returncode != 0
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr
    written = _process("predict m.json data.csv --output p.csv", tmp_path, redirection)
    assert written.returncode == 0
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 401


@posix
def test_a_reader_that_goes_away_stops_no_picture(csv_file, tmp_path):
    done = _process("fit data.csv --target yield", tmp_path, "| true")
    assert done.stderr == ""
    assert (tmp_path / "data.moefast.png").read_bytes().startswith(PNG)


@posix
def test_output_through_a_pipe_of_the_system(run, csv_file, tmp_path):
    assert run("fit", csv_file, "--target", "yield", "--no-plot", "--model", "../m.json").exit_code == 0
    done = _process("predict m.json data.csv --output /dev/stdout", tmp_path, "| cat")
    assert len(done.stdout.splitlines()) == 401


@pytest.mark.parametrize("stream", [None, io.StringIO(), "closed", pytest.param("terminal", marks=posix)])
def test_bars_are_drawn_on_terminals_alone(monkeypatch, stream):
    if stream == "closed":
        stream = io.StringIO()
        stream.close()
    leader = None
    if stream == "terminal":
        leader, follower = os.openpty()
        stream = os.fdopen(follower, "w")
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar(shown=True, total=3, desc="fitting", ncols=60, nrows=9) as bar:
        bar.update()
        assert bar.disable == (leader is None)
    with progress_bar(shown=False, total=3) as bar:
        assert bar.disable
    monkeypatch.undo()
    if leader is not None:
        stream.close()
        assert b"fitting" in os.read(leader, 1000)
        os.close(leader)


@pytest.mark.parametrize("n_init", ["auto", 3])
def test_the_library_draws_no_bar_into_a_file(table, capsys, n_init):
    model = MixtureOfExpertsRegressor(2, n_init=n_init, random_state=0, verbose=1)
    model.fit(table.drop(columns="yield"), table["yield"])
    assert capsys.readouterr().err == ""


# ---- tables ----------------------------------------------------------------------------------------------


@posix
def test_a_table_from_standard_input(csv_file, tmp_path):
    done = _process(
        "fit /dev/stdin --target yield --no-plot --model m.json", tmp_path, "", input=csv_file.read_text()
    )
    assert done.returncode == 0, done.stderr
    assert load_model(tmp_path / "m.json").n_samples_fit_ == 400


@posix
def test_a_table_from_a_pipe_is_read_once(csv_file, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text(csv_file.read_text()), daemon=True)
    writer.start()
    done = _process("fit pipe --target yield --no-plot --model m.json", tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    writer.join(timeout=30)


@posix
def test_links_that_go_round_in_circles(run):
    Path("a").symlink_to("b")
    Path("b").symlink_to("a")
    for arguments in (("fit", "a", "--target", "y"), ("predict", "a", "a")):
        result = run(*arguments)
        assert isinstance(result.exception, SystemExit)
        assert "'a'" in result.stderr


ODD_TABLES = {
    "semicolons and commas": (";", ",", "", ("semicolons", "decimal commas", '--sep ";" --decimal ","')),
    "semicolons": (";", ".", "", ("semicolons", 'give --sep ";"')),
    "tabs": ("\t", ".", "", ("tabs", r'--sep "\t"')),
    "quoted decimal commas": (",", ",", "", ("decimal commas", '--decimal ","')),
    "a title": (",", ".", "Field trial\n", ("1 line(s) above the header", "--skip-rows 1")),
    "a title with commas": (",", ".", "Field, trial, 2024\n\n", ("line(s) above the header", "--skip-rows 1")),
    "comments": (",", ".", "# by hand\n# twice\n", ("comments that begin with #", '--comment "#"')),
    "all at once": (";", ",", "Field trial\n# by hand\n", ("--sep", "--decimal", "--skip-rows 2")),
}


@pytest.mark.parametrize("name", ODD_TABLES)
def test_odd_tables_are_explained_and_the_advice_is_right(run, csv_file, table, tmp_path, name):
    separator, decimal, above, words = ODD_TABLES[name]
    path = tmp_path / "odd.csv"
    path.write_text(above + table.to_csv(index=False, sep=separator, decimal=decimal))
    result = run("fit", path, "--target", "yield")
    assert result.exit_code == 1
    assert "loss of data" not in result.stderr
    for word in words:
        assert word in result.stderr
    assert os.listdir() == []
    advice = result.stderr[result.stderr.rindex("give ") + 5 :].replace('"', "").split()
    fitted = run("fit", path, "--target", "yield", "--no-plot", "--model", "odd.json", *advice)
    assert fitted.exit_code == 0, fitted.output
    assert run("fit", csv_file, "--target", "yield", "--no-plot", "--model", "plain.json").exit_code == 0
    np.testing.assert_array_equal(load_model("odd.json").coef_, load_model("plain.json").coef_)
    assert "--" in run("predict", "odd.json", path).stderr
    predicted = run("predict", "odd.json", path, *advice)
    assert predicted.stdout == run("predict", "plain.json", csv_file).stdout


def test_no_advice_where_nothing_better_is_seen(run, tmp_path):
    for content in ("a,yield\n1,5,2,0\n1,6,2,0\n", "a,yield\n1,2\n4,5,6,7\n", "a,b\n1,2\n3,4\n"):
        (tmp_path / "bad.csv").write_text(content)
        result = run("fit", tmp_path / "bad.csv", "--target", "yield")
        assert result.exit_code == 1
        assert "looks like" not in result.stderr


def test_texts_and_thousands_beside_decimal_commas(tmp_path):
    """The culprit is named, not the first number of its column; a point is no decimal mark then."""
    path, layout = tmp_path / "t.csv", TableLayout(";", ",")
    path.write_text("a;b;y\n1,5;2.345;1,0\nred;1.234;2,5\n")
    table = read_table(path, layout)
    assert table.numeric(["y"])["y"].tolist() == [1.0, 2.5]
    with pytest.raises(TableError, match="'a' is not numeric: 'red' in data row 2"):
        table.numeric(["a"])
    with pytest.raises(TableError, match=r"'b' is not numeric: '2\.345' in data row 1"):
        table.numeric(["b"])


def test_options_that_clash(run, csv_file):
    for arguments, word in {
        ("--decimal", "1"): "decimal",
        ("--decimal", ""): "decimal",
        ("--comment", "//"): "comment",
        ("--comment", ","): "separator and comment",
        ("--sep", '"'): "separator",
        ("--sep", "§"): "separator",
        ("--skip-rows", "-1"): "skip-rows",
        ("--skip-rows", "9999"): "nothing left",
    }.items():
        result = run("fit", csv_file, "--target", "yield", *arguments)
        assert result.exit_code != 0
        assert word in result.stderr, arguments


# ---- kills and power cuts --------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from moefast.io.atomic import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@posix
def test_leftovers_of_the_dead_are_swept_and_those_of_the_living_are_not(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2
    (tmp_path / ".moefast-notes.tmp").write_text("not ours")
    with replacing(tmp_path / "slow.txt") as living:
        living.write_text("slow")
        with replacing(path) as temporary:
            assert str(os.getpid()) in temporary.name
            temporary.write_text("new")
        assert living.exists()
    assert sorted(os.listdir(tmp_path)) == [".moefast-notes.tmp", "out.txt", "slow.txt"]


@posix
def test_temporary_files_of_other_machines_are_left_alone(tmp_path, monkeypatch):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "out.txt")], check=False)
    monkeypatch.setattr("platform.node", lambda: "another machine")
    with replacing(tmp_path / "out.txt") as temporary:
        temporary.write_text("new")
    assert len(os.listdir(tmp_path)) == 2


@posix
def test_file_and_folder_are_synced_before_and_after_the_rename(tmp_path, monkeypatch):
    events = []
    sync, replace = os.fsync, os.replace

    def fsync(handle):
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"{os.fstat(handle).st_size} bytes"
        events.append(kind)
        sync(handle)

    def rename(*names):
        events.append("rename")
        replace(*names)

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    monkeypatch.setattr(atomic.os, "replace", rename)
    with replacing(tmp_path / "out.txt") as temporary:
        temporary.write_text("12345")
    assert events == ["5 bytes", "rename", "folder"]


def test_what_could_not_be_synced_is_not_put_in_place(tmp_path, monkeypatch):
    path = tmp_path / "out.txt"
    path.write_text("old")

    def broken(_handle):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(atomic.os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"), replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


@posix
def test_names_as_long_as_the_system_allows(tmp_path):
    from matplotlib.figure import Figure

    save_figure(Figure(), tmp_path / ("n" * 251 + ".png"))
    with replacing(tmp_path / ("n" * 255)) as temporary:
        temporary.write_text("new")
    assert len(os.listdir(tmp_path)) == 2
