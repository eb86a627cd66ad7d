"""Parquet and Arrow IPC files on the command line: read batch by batch, on a cluster where there is one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from moefast.cli.csv_file import CsvFile
from moefast.cli.model_options import ModelOptions
from moefast.cli.options import STANDARD_STREAM, gathered
from moefast.cli.row_columns import RowColumns
from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.sources import Source, open_source

__all__ = ["DataFiles", "PassOptions", "TableOrFiles", "fit_files", "pass_options"]

_ENDINGS = (".parquet", ".pq", ".arrow", ".feather", ".ipc")


@dataclass(frozen=True)
class DataFiles:
    """Files of columns.

    Attributes
    ----------
    pattern : str
        A path, a folder or a glob.
    """

    pattern: str

    def __str__(self) -> str:
        return self.pattern

    @property
    def stem(self) -> str:
        """What a model of them is called: like the file, or else the folder."""
        path = Path(self.pattern)
        return path.stem if path.is_file() else (path if path.is_dir() else path.parent).resolve().name or "data"

    @property
    def paths(self) -> list[Path]:
        """The file, where it is a single one."""
        return [Path(self.pattern)] if Path(self.pattern).is_file() else []


class TableOrFiles(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions
    """A CSV table, `-` for standard input, or files of columns."""

    name = "file"

    def convert(self, value: Any, param: Any, ctx: Any) -> CsvFile | DataFiles:
        """Tell them by their names."""
        if isinstance(value, (CsvFile, DataFiles)):
            return value
        text = str(value)
        if text == str(STANDARD_STREAM):
            return CsvFile(None)
        is_glob = any(mark in text for mark in "*?[") and not Path(text).exists()
        within = Path(text).rglob("*") if Path(text).is_dir() else ()
        if text.lower().endswith(_ENDINGS) or is_glob or any(path.suffix in _ENDINGS for path in within):
            return DataFiles(text)
        table = click.Path(exists=True, dir_okay=False, path_type=Path).convert(value, param, ctx)
        return CsvFile(Path(table))


@dataclass(frozen=True)
class PassOptions:
    """How files of columns are read.

    Attributes
    ----------
    checkpoint : Path or None
    scheduler : str or None
        The address of a Dask scheduler.
    sample_rows : int or None
    """

    checkpoint: Path | None
    scheduler: str | None
    sample_rows: int | None

    def refuse_for_table(self) -> None:
        """Raise ValueError where they are given for a CSV table."""
        for option in ("checkpoint", "scheduler", "sample_rows"):
            if getattr(self, option) is not None:
                name = option.replace("_", "-")
                raise ValueError(f"--{name} is for Parquet and Arrow IPC files, which are read batch by batch")

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """Give a client of the scheduler, None without one."""
        if self.scheduler is None:
            yield None
            return
        try:
            import distributed
        except ImportError as error:
            raise ValueError(f"--scheduler needs dask ({error}): pip install 'moefast[dask]'") from None
        try:
            client = distributed.Client(self.scheduler, timeout="10s")
        except (OSError, TimeoutError, ValueError) as error:
            raise ValueError(f"--scheduler {self.scheduler} cannot be reached: {error}") from None
        with client:
            yield client


pass_options = gathered(
    PassOptions,
    "passes",
    [
        click.option(
            "--checkpoint",
            type=click.Path(dir_okay=False, path_type=Path),
            help="For Parquet and Arrow files: go on from this file after a kill.",
        ),
        click.option("--scheduler", metavar="ADDRESS", help="For these: the Dask cluster that reads them."),
        click.option(
            "--sample-rows",
            type=click.IntRange(min=1),
            help="For these: rows on which the search runs. Default: 100000.",
        ),
    ],
)
"""Adds the options of passes; the command gets them as `passes`."""


def fit_files(
    files: DataFiles,
    target: str,
    ignore: tuple[str, ...],
    wanted: ModelOptions,
    rows: RowColumns,
    passes: PassOptions,
) -> MixtureOfExpertsRegressor:
    """Return the model, fitted to the files; raise ValueError for options that need a table in memory."""
    refused = {"--formula": wanted.formula, "--errors": wanted.errors, "--groups": rows.groups}
    for option, value in refused.items():
        if value is not None:
            raise ValueError(f"{option} needs a table in memory: it does not go with Parquet and Arrow files")
    source: Source = open_source(files.pattern)
    apart = {target, *rows.names, *ignore}
    for name in ignore:
        if name not in source.names:
            raise ValueError(f"--ignore must be of the columns {', '.join(map(repr, source.names))}, got {name!r}")
    features = [name for name in source.numeric if name not in apart]
    if not features:
        raise ValueError(f"{files} has no column of numbers left for a feature beside {target!r}")
    how: dict[str, Any] = {"checkpoint": passes.checkpoint, "offset": rows.offset, "n_trials": rows.trials}
    if passes.sample_rows is not None:
        how["sample_rows"] = passes.sample_rows
    with passes.client() as client:
        model = wanted.estimator()
        return model.fit_dataset(files.pattern, target, features, weights=rows.weights, client=client, **how)
