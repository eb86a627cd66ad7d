"""Tables from pipes, and tables that are not quite what was said: explained, with advice that is right."""

import io
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from as_a_process import process
from click.testing import CliRunner

from moefast import load_model
from moefast.cli import main
from moefast.cli.csv_file import CsvFile
from moefast.io.table_layout import TableLayout
from moefast.io.tables import TableError, read_table

posix = pytest.mark.skipif(os.name != "posix", reason="needs devices, links, pipes or signals of POSIX")
PNG = b"\x89PNG\r\n\x1a\n"


@posix
def test_a_table_from_standard_input(csv_file, tmp_path):
    text = csv_file.read_text()
    done = process("fit - --target yield --no-plot", tmp_path, "", input=text)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("standard input: 400 rows")
    assert load_model(tmp_path / "stdin.moefast.json").n_samples_fit_ == 400
    model, outputs = str(tmp_path / "stdin.moefast.json"), []
    for arguments in ((str(csv_file),), ("-",), ("-", "--output", "-")):
        outputs.append(CliRunner().invoke(main, ["predict", model, *arguments], input=text).stdout)
    assert len(outputs[0].splitlines()) == 401
    assert outputs == outputs[:1] * 3


def test_standard_input_that_is_no_table(run, csv_file):
    for text, arguments, message in (
        ("", (), "standard input is empty"),
        ("a;yield\n1;2\n3;4\n", (), 'give --sep ";"'),
        ("a,b\n1,2\n3,4\n", (), "standard input has no column 'yield'"),
        (b"\xff\xfe", (), "standard input is not UTF-8 text"),
        ("a,yield\n1,2\n", ("--model", "-"), "- stands for standard output"),
        ("a,yield\n1,2\n", ("--plot", "-"), "- stands for standard output"),
    ):
        result = CliRunner().invoke(main, ["fit", "-", "--target", "yield", *arguments], input=text)
        assert result.exit_code == 1
        assert message in result.stderr, result.output


def test_standard_input_that_is_closed(monkeypatch):
    for stream in (None, io.StringIO()):
        monkeypatch.setattr(sys, "stdin", stream)
        if stream:
            stream.close()
        with pytest.raises(OSError, match=r"standard input is closed.*give the name of a file"):
            CsvFile(None).read(TableLayout())


@posix
def test_a_table_from_a_pipe_is_read_once(csv_file, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text(csv_file.read_text()), daemon=True)
    writer.start()
    # Who reads twice waits for ever; ten minutes are enough for anybody else.
    done = process("fit pipe --target yield --no-plot --model m.json", tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr
    writer.join()


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


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("exponent", ["92493538084", "+0092493538084"])
def test_exponents_that_no_int_holds_are_refused(tmp_path, decimal, exponent):
    """They end the process where pandas before 3.0 reads them, found by fuzzing; later ones read infinity."""
    path, layout = tmp_path / "t.csv", TableLayout(";", decimal)
    path.write_text(f"a;y\n1;2\n0{decimal}7E{exponent};3\n")
    with pytest.raises(TableError, match=r"'a' (is not numeric: '0.7E|has 1 infinite).* in data row 2"):
        read_table(path, layout).numeric(["a"])


def test_numbers_are_read_to_the_last_bit(tmp_path):
    values = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.arange(-300, 300, 0.6)
    for decimal in ".,":
        texts = [repr(v).replace(".", decimal) for v in values.tolist()]
        (tmp_path / "t.csv").write_text("\n".join(["y", *texts, ""]))
        found = read_table(tmp_path / "t.csv", TableLayout(";", decimal)).numeric(["y"])["y"]
        np.testing.assert_array_equal(found, values)


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
