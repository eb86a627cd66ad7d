"""Running experiments: cells in parallel, each recorded when it ends; then pictures and a report."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from joblib import Parallel, delayed, parallel_config
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from moefast.atomic import replacing
from moefast.exceptions import DegenerateDataWarning
from moefast.experiments.cells import Cell, CellFunction, Row, cell_key, code_of
from moefast.experiments.results import Results
from moefast.plotting import require_matplotlib, save_figure
from moefast.progress import progress_bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DataFile", "Experiment", "Plan", "run_experiment"]


@dataclass(frozen=True)
class DataFile:
    """A table on disk and the column to predict."""

    path: Path
    target: str

    @classmethod
    def parse(cls, text: str) -> DataFile:
        """Read ``FILE:TARGET``.

        Raises
        ------
        ValueError
            When there is no such file, or no target.
        """
        name, _, target = text.rpartition(":")
        if not name or not target:
            raise ValueError(f"data must be FILE:TARGET, got {text!r}")
        if not Path(name).is_file():
            raise ValueError(f"data: there is no file {name}")
        return cls(Path(name), target)


@dataclass(frozen=True)
class Plan:
    """What is asked of an experiment.

    Parameters
    ----------
    quick : bool
        Tiny sizes: every experiment in seconds, to see that all works.
    seeds : int, optional
        How many seeds (data sets, repetitions); the default is the experiment's own.
    data : tuple of DataFile
        Tables for the experiment on real data.
    """

    quick: bool = False
    seeds: int | None = None
    data: tuple[DataFile, ...] = ()

    def choose_seeds(self, full: int, quick: int) -> range:
        """Return the seeds 0, 1, ... when the experiment has so many by itself."""
        return range(self.seeds if self.seeds is not None else quick if self.quick else full)


@dataclass(frozen=True)
class Experiment:
    """A comparison that can be reproduced.

    Parameters
    ----------
    name : str
        Of the command, and of the files.
    title : str
    columns : tuple of str
        Of the rows.
    cells : callable
        Plan -> list of cells.
    run : callable
        Cell -> list of rows; a function of a module, so that other processes find it.
    draw : callable
        Table of all rows -> pictures by name; the name "" is the main one.
    report : callable
        Table of all rows -> Markdown.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    cells: Callable[[Plan], list[Cell]]
    run: CellFunction
    draw: Callable[[pd.DataFrame], Mapping[str, Figure]]
    report: Callable[[pd.DataFrame], str]


def run_experiment(
    experiment: Experiment,
    plan: Plan,
    folder: Path,
    *,
    jobs: int = 1,
    echo: Callable[[str], None] = print,
    verbose: bool = True,
) -> str:
    """Compute the cells that are missing, draw, and report.

    Parameters
    ----------
    experiment : Experiment
    plan : Plan
    folder : Path
        Made when it does not exist. NAME.csv, NAME.md and NAME.png are written there, by a quick run NAME-quick.*.
    jobs : int
        Processes; each computes with one thread. The results do not depend on it.
    echo : callable
        Told what was written, or why there is no picture.
    verbose : bool
        Show a progress bar where standard error is a terminal.

    Returns
    -------
    str
        The report.

    Raises
    ------
    ValueError
        When there is nothing to do, or NAME.csv is something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = experiment.name + ("-quick" if plan.quick else "")
    cells = experiment.cells(plan)
    if not cells:
        raise ValueError(f"{experiment.name} has nothing to compute: seeds must be at least 1, got {plan.seeds}")
    code = code_of(experiment.run)
    keyed = {cell_key(code, cell): cell for cell in cells}
    results = Results(folder / f"{stem}.csv", experiment.columns)
    missing = [key for key in keyed if key not in results.keys]
    with (
        progress_bar(
            shown=verbose,
            total=len(keyed),
            initial=len(keyed) - len(missing),
            desc=stem,
            unit="cell",
        ) as bar,
        parallel_config(backend="loky", inner_max_num_threads=1),
    ):
        work = (delayed(_compute)(experiment.run, key, keyed[key]) for key in missing)
        for key, rows in Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(work):
            results.add(key, rows)
            bar.update()
    results.sort(list(keyed))
    table = results.table(list(keyed))
    text = f"# {experiment.title}\n\n{experiment.report(table)}\n"
    with replacing(folder / f"{stem}.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    written = [f"{stem}.csv", f"{stem}.md", *_draw(experiment, table, folder, stem, echo)]
    echo(f"{', '.join(written)} written to {folder}")
    return text


def _compute(run: CellFunction, key: str, cell: Cell) -> tuple[str, list[Row]]:
    """Compute a cell with one thread; what did not converge is in the rows, not in warnings."""
    with threadpool_limits(1), warnings.catch_warnings():
        for kind in (ConvergenceWarning, DegenerateDataWarning):
            warnings.simplefilter("ignore", kind)
        return key, run(cell)


def _draw(
    experiment: Experiment, table: pd.DataFrame, folder: Path, stem: str, echo: Callable[[str], None]
) -> Sequence[str]:
    """Draw and save; a missing matplotlib never spoils the work."""
    try:
        require_matplotlib()
    except ImportError as error:
        echo(f"no pictures of {experiment.name}: {error}")
        return []
    names = []
    for name, figure in experiment.draw(table).items():
        names.append(f"{stem}-{name}.png" if name else f"{stem}.png")
        save_figure(figure, folder / names[-1])
    return names
