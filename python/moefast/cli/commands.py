"""The console command: ``moefast`` with ``demo``, ``fit``, ``predict``, ``summary`` and ``reproduce``."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from tabulate import tabulate

from moefast import __version__
from moefast.atomic import replacing
from moefast.cli.csv_file import CsvFile
from moefast.cli.data_files import DataFiles, PassOptions, TableOrFiles, fit_files, pass_options
from moefast.cli.model_options import ModelOptions, model_options
from moefast.cli.options import (
    STANDARD_STREAM,
    Outputs,
    check_outputs,
    closed,
    helpful,
    output_options,
    plainly,
    say,
    table_options,
    tell,
)
from moefast.cli.prediction_table import prediction_table
from moefast.cli.row_columns import RowColumns, row_options
from moefast.datasets import make_moe
from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.estimators.number_predictions import NumberPredictions
from moefast.experiments import EXPERIMENTS, DataFile, Plan, run_experiment
from moefast.io.model_file import load_model, save_model
from moefast.io.table_layout import TableLayout
from moefast.io.tables import CsvTable
from moefast.plotting import picture_format, plot_experts, save_figure

__all__ = ["main"]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUTPUT = click.Path(dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="moefast")
def main() -> None:
    """Mixtures of experts: different laws in different regions of the input."""


@main.command()
@click.option("--samples", type=click.IntRange(min=100), default=5000, show_default=True, help="Rows to simulate.")
@click.option("--features", type=click.IntRange(min=3), default=5, show_default=True, help="Columns.")
@click.option("--experts", type=click.IntRange(min=1), default=3, show_default=True, help="Experts.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--plot", type=_OUTPUT, default=Path("moefast-demo.png"), show_default=True, help="The picture.")
@plainly
def demo(samples: int, features: int, experts: int, seed: int, plot: Path) -> None:
    """Fit simulated data and print the truth beside what was found."""
    check_outputs([plot], [])
    _check_picture(plot)
    X, y, truth = make_moe(
        samples, features, experts, noise=0.2, expert_intercept=0.5, gate_intercept=0.5, random_state=seed
    )
    say(f"{samples} rows, {features} features, {experts} linear experts with softmax gates, sigma 0.2")
    model = MixtureOfExpertsRegressor(experts, random_state=seed, verbose=1).fit(X, y)
    # Labels are arbitrary: put the true experts in the order of the found ones that lie nearest.
    distance = np.linalg.norm(model.coef_[:, None] - truth.coef[None], axis=2)
    truth = truth.ordered(linear_sum_assignment(distance)[1])
    true = np.column_stack([truth.coef, truth.intercept, truth.sigma])
    found = np.column_stack([model.coef_, model.intercept_, model.sigma_])
    header = ["", *(f"expert {i} {what}" for i in range(experts) for what in ("true", "found"))]
    labels = [*(f"x{j}" for j in range(features)), "(intercept)"]

    def side_by_side(names: list[str], left: Any, right: Any) -> str:
        rows = [
            [name, *(v for i in range(experts) for v in (left[i, j], right[i, j]))] for j, name in enumerate(names)
        ]
        return tabulate(rows, headers=header, floatfmt=".3f")

    say("\nExperts: y = a.x + b")
    say(side_by_side([*labels, "sigma"], true, found))
    if experts > 1:
        say(f"\nGates: log-odds against expert {experts - 1}")
        say(
            side_by_side(
                labels,
                np.column_stack([truth.gate_coef, truth.gate_intercept]),
                np.column_stack([model.gate_coef_, model.gate_intercept_]),
            )
        )
    at_truth = float(truth.log_density(X, y).sum())
    say(f"\nlargest error of an expert's coefficient: {np.abs(true - found)[:, :-1].max():.4f}")
    say(f"log-likelihood: {model.log_likelihood_:.2f} found, {at_truth:.2f} at the truth")
    say(
        f"{'converged' if model.converged_ else 'NOT converged'} after {model.n_iter_} iterations, "
        f"best of {len(model.fit_report_.starts)} start(s)"
    )
    with _Ending() as ending:
        _save_picture(ending, model, X, y, plot)


@main.command()
@click.argument("file", type=TableOrFiles())
@click.option("--target", metavar="COLUMN", help="The response. Needed without --formula.")
@click.option("--ignore", multiple=True, metavar="COLUMN", help="Leave this column out. May be repeated.")
@plainly
@model_options
@row_options
@pass_options
@table_options
@output_options
def fit(
    file: CsvFile | DataFiles,
    target: str | None,
    ignore: tuple[str, ...],
    wanted: ModelOptions,
    rows: RowColumns,
    passes: PassOptions,
    layout: TableLayout,
    outputs: Outputs,
) -> None:
    """Fit a mixture of experts to the CSV table FILE, or to Parquet or Arrow IPC files of any size.

    FILE may be - for a CSV table from standard input; the model is called stdin.moefast.json then.
    Every column but the target, ignored ones and those of --weights, --offset, --trials and --groups is a feature,
    unless a formula says otherwise. Model and picture are written to the current folder. Files of columns may be a
    folder or a glob in quotes, 'data/*.parquet'; of these there is no picture.
    """
    if isinstance(file, DataFiles):
        _fit_files(file, target, ignore, wanted, rows, passes, outputs)
        return
    passes.refuse_for_table()
    if (target is None) == (wanted.formula is None):
        raise click.UsageError("give the response either by --target or by --formula")
    model_path = outputs.model_path or Path(f"{file.stem}.moefast.json")
    plot = outputs.plot or Path(f"{file.stem}.moefast.png")
    check_outputs([model_path] if outputs.no_plot else [model_path, plot], file.paths)
    if not outputs.no_plot:
        _check_picture(plot)
    others = [*rows.names, *ignore]
    if target is not None and target in others:
        raise ValueError(
            f"column {target!r} cannot be the target and be ignored, a weight, an offset, trials or a group too"
        )
    with helpful(layout):
        table = file.read(layout)
        apart = [name for name in (target, *others) if name is not None]
        for name in apart:
            if name not in table.columns:
                table.numeric([name])  # raises, naming it
        features = [name for name in table.columns if name not in apart]
        if not features:
            raise ValueError(
                f"{file} has no column left for a feature" + (f" beside {target!r}" if target else "")
            )
        X, y = (table.frame[features], None) if target is None else _numbers(table, features, target)
        of_rows = rows.read(table)
    model, selection = wanted.fit(X, y, of_rows)
    with _Ending() as ending:
        # The file first: whatever becomes of the output, the work is kept. And the summary whatever becomes of it.
        with ending.step(f"the model could not be saved to {click.format_filename(model_path)}"):
            save_model(model, model_path, target=target)
        saved, inference = not ending.failed, None
        if wanted.errors is not None:
            with ending.step("there are no standard errors"):
                inference = model.inference(X, y, cov_type=wanted.errors, **of_rows)
        with ending.printing():
            what = wanted.formula or f"{len(features)} features, target {target}"
            click.echo(f"{file.name}: {len(X)} rows, {what}\n")
            if selection is not None:
                click.echo(f"{selection}\n")
            click.echo(model.summary(inference).to_text(shutil.get_terminal_size().columns))
            if saved:
                click.echo(f"\nmodel saved to {click.format_filename(model_path)}")
        if not outputs.no_plot and (rows.offset or rows.trials):
            tell("no picture: what it would show depends on each row's offset or trials")
        elif not outputs.no_plot:
            _save_picture(ending, model, X, y, plot)


@main.command()
@click.argument("model", type=_FILE)
@click.argument("file", type=TableOrFiles())
@click.option("--output", type=_OUTPUT, help="Write there and not to standard output.")
@click.option("--details", is_flag=True, help="Add the standard deviation and every expert's probability.")
@click.option("--offset", metavar="COLUMN", help="As in fit.")
@click.option("--trials", metavar="COLUMN", help="As in fit.")
@plainly
@table_options
def predict(
    model: Path,
    file: CsvFile | DataFiles,
    output: Path | None,
    details: bool,
    offset: str | None,
    trials: str | None,
    layout: TableLayout,
) -> None:
    """Predict the rows of the CSV table FILE with a saved MODEL; prints CSV.

    FILE may be - for standard input, and --output - is standard output.
    Columns are matched by name, whatever their order; others are ignored. Of Parquet or Arrow IPC files, a folder
    or a glob in quotes, the predictions go to a Parquet file, --output.
    """
    if isinstance(file, DataFiles):
        _predict_files(model, file, output, details, RowColumns(None, offset, trials, None))
        return
    output = None if output == STANDARD_STREAM else output
    if output is not None:
        check_outputs([output], [*file.paths, model])
    elif closed(sys.stdout):
        raise OSError("standard output is closed, so the predictions cannot be printed; give --output")
    fitted = load_model(model)
    names = getattr(fitted, "feature_names_in_", None)
    if names is None:
        raise ValueError(f"{model} was fitted without column names, so the columns of {file} cannot be matched")
    with helpful(layout):
        table = file.read(layout)
        X = table.frame if fitted.formula_ is not None else table.numeric([str(n) for n in names])
        of_rows = RowColumns(None, offset, trials, None).read(table)
    result = prediction_table(fitted, X, of_rows, details)
    text = result.to_csv(index=False, lineterminator="\n")
    if output is None:
        say(text, "the predictions")
        return
    with replacing(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    tell(f"{len(X)} predictions written to {click.format_filename(output)}")


@main.command()
@click.argument("model", type=_FILE)
@plainly
def summary(model: Path) -> None:
    """Print the summary of a saved MODEL."""
    fitted = load_model(model)
    if not hasattr(fitted, "summary"):
        raise ValueError(
            f"{model} is an average of {len(fitted.estimators_)} mixtures, which has no summary; in Python "
            "agreement(X, y) says on what they agree"
        )
    say(fitted.summary().to_text(shutil.get_terminal_size().columns), "the summary")


@main.command()
@click.argument("name", type=click.Choice([*EXPERIMENTS, "all"]))
@click.option("--quick", is_flag=True, help="Tiny sizes: all of it in a minute, to see that it works.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("moefast-reproduce"),
    show_default=True,
    help="The folder for results, pictures and reports.",
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option("--seeds", type=click.IntRange(min=1), help="Data sets of each kind. Default: the experiment's own.")
@click.option(
    "--data",
    multiple=True,
    metavar="FILE:TARGET",
    help="A CSV table and its response, for real-data. May be repeated. Default: scikit-learn's diabetes data.",
)
@plainly
def reproduce(name: str, quick: bool, output: Path, jobs: int, seeds: int | None, data: tuple[str, ...]) -> None:
    """Run the experiment NAME, or all, and write its results, pictures and report.

    Results are kept as they come: a run that was stopped goes on where it stopped when the command is given again.
    """
    chosen = list(EXPERIMENTS.values()) if name == "all" else [EXPERIMENTS[name]]
    if data and EXPERIMENTS["real-data"] not in chosen:
        raise ValueError(f"--data is for the experiment real-data, not for {name}")
    plan = Plan(quick, seeds, tuple(DataFile.parse(text) for text in data))
    for experiment in chosen:
        try:
            report = run_experiment(experiment, plan, output, jobs=jobs, echo=tell)
        except KeyboardInterrupt:
            tell(f"stopped; what was done is kept in {output}, the same command goes on from there")
            raise click.exceptions.Exit(130) from None
        say(report, f"the report, which is in {output},")


def _fit_files(
    files: DataFiles,
    target: str | None,
    ignore: tuple[str, ...],
    wanted: ModelOptions,
    rows: RowColumns,
    passes: PassOptions,
    outputs: Outputs,
) -> None:
    if target is None:
        raise click.UsageError("give the response by --target")
    model_path = outputs.model_path or Path(f"{files.stem}.moefast.json")
    check_outputs([model_path], files.paths)
    if outputs.plot is not None:
        raise ValueError("--plot needs a table in memory: there is no picture of Parquet and Arrow files")
    model = fit_files(files, target, ignore, wanted, rows, passes)
    with _Ending() as ending:
        with ending.step(f"the model could not be saved to {click.format_filename(model_path)}"):
            save_model(model, model_path, target=target)
        saved = not ending.failed
        with ending.printing():
            click.echo(f"{files}: {model.n_samples_fit_} rows, {model.fit_report_.n_passes} passes\n")
            click.echo(model.summary().to_text(shutil.get_terminal_size().columns))
            if saved:
                click.echo(f"\nmodel saved to {click.format_filename(model_path)}")


def _predict_files(model: Path, files: DataFiles, output: Path | None, details: bool, rows: RowColumns) -> None:
    if output is None:
        raise ValueError("predictions of Parquet and Arrow files go to a file; give --output")
    check_outputs([output], [model, *files.paths])
    fitted = load_model(model)
    further = ("std", "gates") if isinstance(fitted, NumberPredictions) else ("proba", "gates")
    what = ("prediction", *(further if details else ()))
    n = fitted.predict_dataset(files.pattern, output, what, offset=rows.offset, n_trials=rows.trials)
    tell(f"{n} predictions written to {click.format_filename(output)}")


def _numbers(table: CsvTable, features: list[str], target: str) -> tuple[pd.DataFrame, pd.Series[float]]:
    data = table.numeric([*features, target])
    return data[features], data[target]


class _Ending:
    """The steps after a fit: each is taken whatever became of the others, and in the end all failures are told."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.unread: BrokenPipeError | None = None

    @contextlib.contextmanager
    def step(self, failure: str) -> Iterator[None]:
        """Take a step; `failure` says what it means when it fails."""
        try:
            yield
        except MemoryError:
            self.failed.append(f"{failure}: out of memory")
        except (ValueError, TypeError, OverflowError, OSError) as error:
            self.failed.append(f"{failure}: {error}")

    @contextlib.contextmanager
    def printing(self) -> Iterator[None]:
        """Print; a reader that has gone away wants to hear nothing of it."""
        with self.step("the summary could not be printed"):
            try:
                yield
            except BrokenPipeError as error:
                self.unread = error

    def __enter__(self) -> _Ending:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None and self.failed:
            raise click.ClickException("; ".join(dict.fromkeys(self.failed)))
        if kind is None and self.unread is not None:
            raise self.unread


def _check_picture(path: Path) -> None:
    """Raise for a format that cannot be drawn; without matplotlib there will be no picture anyway."""
    with contextlib.suppress(ImportError):
        picture_format(path)


def _save_picture(ending: _Ending, model: MixtureOfExpertsRegressor, X: Any, y: Any, path: Path) -> None:
    """Draw, or say how to get matplotlib; a picture that cannot be drawn never spoils a fit."""
    try:
        figure = plot_experts(model, X, y)
    except (ImportError, ValueError, RuntimeError) as error:
        tell(f"no picture: {str(error).strip() or type(error).__name__}")
        return
    failed = len(ending.failed)
    with ending.step(f"the picture could not be saved to {click.format_filename(path)}"):
        save_figure(figure, path)
    if len(ending.failed) == failed:
        with ending.printing():
            click.echo(f"picture saved to {click.format_filename(path)}")
