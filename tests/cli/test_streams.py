"""Standard streams that are closed, full, pipes or no terminals."""

import io
import os
import sys

import click
import pytest
from as_a_process import process

from moefast import MixtureOfExpertsRegressor, load_model
from moefast.progress import progress_bar

posix = pytest.mark.skipif(os.name != "posix", reason="needs devices, links, pipes or signals of POSIX")
PNG = b"\x89PNG\r\n\x1a\n"


@posix
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_standard_error_may_be_closed_or_full(csv_file, table, tmp_path, redirection):
    """A constant column makes the fit warn, too."""
    table.assign(always=1).to_csv(csv_file, index=False)
    done = process("fit data.csv --target yield --no-plot", tmp_path, redirection)
    assert done.returncode == 0
    assert "model saved" in done.stdout
    assert load_model(tmp_path / "data.moefast.json").converged_


@posix
def test_the_model_is_kept_when_nobody_reads_the_output(csv_file, tmp_path):
    process("fit data.csv --target yield --no-plot", tmp_path, ">/dev/full 2>/dev/null")
    assert load_model(tmp_path / "data.moefast.json").converged_


@posix
@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
def test_predictions_that_nobody_gets_are_an_error(run, csv_file, tmp_path, redirection):
    assert run("fit", csv_file, "--target", "yield", "--no-plot", "--model", "../m.json").exit_code == 0
    done = process("predict m.json data.csv", tmp_path, redirection)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "the predictions" in done.stderr
    assert done.stderr.count("\n") == 1
    written = process("predict m.json data.csv --output p.csv", tmp_path, redirection)
    assert written.returncode == 0
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 401


def test_what_could_not_be_printed_is_said(run, csv_file, monkeypatch):
    assert run("fit", csv_file, "--target", "yield", "--no-plot", "--model", "m.json").exit_code == 0
    echo = click.echo

    def full(text, err=False, **options):
        if not err:
            raise OSError(28, "No space left on device")
        echo(text, err=err, **options)

    monkeypatch.setattr(click, "echo", full)
    for arguments, what in (
        (("summary", "m.json"), "the summary"),
        (("predict", "m.json", csv_file), "the predictions"),
        (("demo", "--samples", 100), "the results"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1
        assert result.stderr == f"Error: {what} could not be printed: No space left on device\n"


@posix
def test_a_reader_that_goes_away_stops_no_picture(csv_file, tmp_path):
    done = process("fit data.csv --target yield", tmp_path, "| true")
    assert done.stderr == ""
    assert (tmp_path / "data.moefast.png").read_bytes().startswith(PNG)


@posix
def test_output_through_a_pipe_of_the_system(run, csv_file, tmp_path):
    assert run("fit", csv_file, "--target", "yield", "--no-plot", "--model", "../m.json").exit_code == 0
    done = process("predict m.json data.csv --output /dev/stdout", tmp_path, "| cat")
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
