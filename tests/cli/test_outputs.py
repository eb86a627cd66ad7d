"""Outputs of the console that cannot be written are found before the work, and nothing is lost."""

import os
from pathlib import Path

import pytest

from moefast.atomic import check_writable
from moefast.cli import commands as console

posix = pytest.mark.skipif(os.name != "posix", reason="needs devices, links, pipes or signals of POSIX")
PNG = b"\x89PNG\r\n\x1a\n"


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


# ---- outputs that cannot be written --------------------------------------------------------------------


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
