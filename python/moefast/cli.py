"""The console command: ``moefast demo``, ``moefast fit``, ``moefast predict``, ``moefast reproduce``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from tabulate import tabulate

from moefast import __version__
from moefast.datasets import make_moe
from moefast.estimator import MixtureOfExpertsRegressor
from moefast.experiments import EXPERIMENTS, DataFile, Plan, run_experiment
from moefast.files import replacing
from moefast.model_file import load_model, save_model
from moefast.plotting import plot_experts
from moefast.tables import numeric_columns, read_table

__all__ = ["main"]

P = ParamSpec("P")
R = TypeVar("R")

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUTPUT = click.Path(dir_okay=False, path_type=Path)


def _plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Show errors and warnings as one line each on standard error, never as a traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        def show(message: Warning | str, *_: Any, **__: Any) -> None:
            click.echo(f"Warning: {message}", err=True)

        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = show
            try:
                return command(*args, **kwargs)
            except BrokenPipeError:
                raise
            except MemoryError:
                raise click.ClickException("out of memory") from None
            except (ValueError, TypeError, OverflowError, OSError) as error:
                raise click.ClickException(str(error)) from None

    return run


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
@_plainly
def demo(samples: int, features: int, experts: int, seed: int, plot: Path) -> None:
    """Fit simulated data and print the truth beside what was found."""
    X, y, truth = make_moe(
        samples, features, experts, noise=0.2, expert_intercept=0.5, gate_intercept=0.5, random_state=seed
    )
    click.echo(f"{samples} rows, {features} features, {experts} linear experts with softmax gates, sigma 0.2")
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

    click.echo("\nExperts: y = a.x + b")
    click.echo(side_by_side([*labels, "sigma"], true, found))
    if experts > 1:
        click.echo(f"\nGates: log-odds against expert {experts - 1}")
        click.echo(
            side_by_side(
                labels,
                np.column_stack([truth.gate_coef, truth.gate_intercept]),
                np.column_stack([model.gate_coef_, model.gate_intercept_]),
            )
        )
    at_truth = float(truth.log_density(X, y).sum())
    click.echo(f"\nlargest error of an expert's coefficient: {np.abs(true - found)[:, :-1].max():.4f}")
    click.echo(f"log-likelihood: {model.log_likelihood_:.2f} found, {at_truth:.2f} at the truth")
    click.echo(
        f"{'converged' if model.converged_ else 'NOT converged'} after {model.n_iter_} iterations, "
        f"best of {len(model.fit_report_.starts)} start(s)"
    )
    _save_picture(model, X, y, "y", plot)


@main.command()
@click.argument("file", type=_FILE)
@click.option("--target", required=True, metavar="COLUMN", help="The response.")
@click.option("--experts", type=click.IntRange(min=1), default=2, show_default=True, help="How many experts.")
@click.option("--ignore", multiple=True, metavar="COLUMN", help="Leave this column out. May be repeated.")
@click.option("--weights", metavar="COLUMN", help="Sample weights.")
@click.option("--noise", type=click.Choice(["per_expert", "shared"]), default="per_expert", show_default=True)
@click.option("--separator", default=",", show_default=True, help="Between the fields of FILE.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--threads", type=click.IntRange(min=1), default=None, help="Default: the CPUs this process may use."
)
@click.option(
    "--model", "model_path", type=_OUTPUT, help="Where to save the model. Default: FILE's name .moefast.json"
)
@click.option("--plot", type=_OUTPUT, help="Where to save the picture. Default: FILE's name .moefast.png")
@click.option("--no-plot", is_flag=True, help="Draw nothing.")
@_plainly
def fit(
    file: Path,
    target: str,
    experts: int,
    ignore: tuple[str, ...],
    weights: str | None,
    noise: Any,
    separator: str,
    seed: int,
    threads: int | None,
    model_path: Path | None,
    plot: Path | None,
    no_plot: bool,
) -> None:
    """Fit a mixture of experts to the CSV table FILE.

    Every column but the target, the weights and ignored ones is a feature. Model and picture are written to
    the current folder.
    """
    model_path = model_path or Path(f"{file.stem}.moefast.json")
    plot = plot or Path(f"{file.stem}.moefast.png")
    outputs = [model_path] if no_plot else [model_path, plot]
    for output in outputs:
        if output.exists() and output.samefile(file):
            raise ValueError(f"{output} is the input file; choose another name")
        if not output.resolve().parent.is_dir():
            raise ValueError(f"the folder {output.parent} of {output} does not exist")
    if not no_plot and model_path.resolve() == plot.resolve():
        raise ValueError(f"{plot} cannot be both the model and the picture")
    if target in (weights, *ignore):
        raise ValueError(f"column {target!r} cannot be the target and be ignored or a weight too")
    table = read_table(file, separator)
    for name in [target, *ignore, *([weights] if weights else [])]:
        if name not in table.columns:
            numeric_columns(table, [name], file)  # raises, naming it
    apart = {target, weights, *ignore}
    features = [str(name) for name in table.columns if name not in apart]
    if not features:
        raise ValueError(f"{file} has no column left for a feature beside {target!r}")
    try:
        data = numeric_columns(table, [*features, target, *([weights] if weights else [])], file)
    except ValueError as error:
        hint = " (--ignore COLUMN leaves a column out)" if "is not numeric" in str(error) else ""
        raise ValueError(f"{error}{hint}") from None
    X, y = data[features], data[target]
    model = MixtureOfExpertsRegressor(experts, noise=noise, random_state=seed, n_threads=threads, verbose=1)
    model.fit(X, y, sample_weight=data[weights] if weights else None)
    save_model(model, model_path, target=target)  # first: whatever becomes of the output, the work is kept
    click.echo(f"{file.name}: {len(X)} rows, {len(features)} features, target {target}\n")
    click.echo(model.summary())
    click.echo(f"\nmodel saved to {model_path}")
    if not no_plot:
        _save_picture(model, X, y, target, plot)


@main.command()
@click.argument("model", type=_FILE)
@click.argument("file", type=_FILE)
@click.option("--output", type=_OUTPUT, help="Write the CSV there and not to standard output.")
@click.option("--details", is_flag=True, help="Add the standard deviation and every expert's probability.")
@click.option("--separator", default=",", show_default=True, help="Between the fields of FILE.")
@_plainly
def predict(model: Path, file: Path, output: Path | None, details: bool, separator: str) -> None:
    """Predict the rows of the CSV table FILE with a saved MODEL; prints CSV.

    Columns are matched by name, whatever their order; others are ignored.
    """
    if output is not None and output.exists() and (output.samefile(file) or output.samefile(model)):
        raise ValueError(f"{output} is an input file; choose another name")
    fitted = load_model(model)
    names = getattr(fitted, "feature_names_in_", None)
    if names is None:
        raise ValueError(f"{model} was fitted without column names, so the columns of {file} cannot be matched")
    X = numeric_columns(read_table(file, separator), [str(n) for n in names], file)
    mean, std = fitted.predict(X, return_std=True)
    result = {"prediction": mean}
    if details:
        result["std"] = std
        result.update({f"expert_{i}": p for i, p in enumerate(fitted.mixture_.gate_proba(X.to_numpy()).T)})
    text = pd.DataFrame(result).to_csv(index=False, lineterminator="\n")
    if output is None:
        click.echo(text, nl=False)
        return
    with replacing(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    click.echo(f"{len(X)} predictions written to {output}", err=True)


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
@_plainly
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
            report = run_experiment(
                experiment, plan, output, jobs=jobs, echo=lambda text: click.echo(text, err=True)
            )
        except KeyboardInterrupt:
            click.echo(
                f"stopped; what was done is kept in {output}, the same command goes on from there", err=True
            )
            raise click.exceptions.Exit(130) from None
        click.echo(report)


def _save_picture(model: MixtureOfExpertsRegressor, X: Any, y: Any, target: str, path: Path) -> None:
    """Draw, or say how to get matplotlib; a missing picture never spoils a fit."""
    try:
        plot_experts(model, X, y, target=target, path=path)
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        click.echo(f"no picture: {str(error).strip() or type(error).__name__}", err=True)
        return
    click.echo(f"picture saved to {path}")


if __name__ == "__main__":
    sys.exit(main())
