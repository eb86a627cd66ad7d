"""What several console commands have in common: the options of tables, the checks of outputs, the messages."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias, TypeVar

import click

from moefast.atomic import check_writable
from moefast.io.table_layout import TableLayout
from moefast.io.tables import TableError

__all__ = [
    "STANDARD_STREAM",
    "Option",
    "Outputs",
    "check_outputs",
    "closed",
    "gathered",
    "helpful",
    "output_options",
    "plainly",
    "say",
    "table_options",
    "tell",
]

P = ParamSpec("P")
R = TypeVar("R")
Option: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]
"""What click.option returns."""


def tell(text: str) -> None:
    """Write a line on standard error; one that is closed or full stops no work."""
    try:
        click.echo(text, err=True)
    except OSError:
        sys.stderr = None  # what is left in its buffer would fail again at the end, as exit code 120
    except ValueError:
        pass


def plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Show errors and warnings as one line each on standard error, never as a traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        def show(message: Warning | str, *_: Any, **__: Any) -> None:
            tell(f"Warning: {message}")

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


def say(text: str, what: str = "the results") -> None:
    """Print; where standard output fails, say what could not be printed. Who no longer listens is told nothing."""
    try:
        click.echo(text, nl=not text.endswith("\n"))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(f"{what} could not be printed: {error.strerror or error}") from None


def gathered(
    kind: type[Any], name: str, options: Sequence[Option]
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Return a decorator that adds options, which the command gets as one argument `name` of a dataclass `kind`.

    It stands below `plainly`, which tells what the dataclass refuses.
    """

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        @wraps(command)
        def run(*args: Any, **kwargs: Any) -> R:
            value = kind(**{field.name: kwargs.pop(field.name) for field in fields(kind)})
            return command(*args, **kwargs, **{name: value})

        with_options: Callable[..., R] = run
        for option in reversed(options):
            with_options = option(with_options)
        return with_options

    return decorate


table_options = gathered(
    TableLayout,
    "layout",
    [
        click.option(
            "--separator",
            "--sep",
            default=",",
            show_default=True,
            help=r"Between the fields of FILE; \t is a tab.",
        ),
        click.option("--decimal", default=".", show_default=True, help="The decimal mark of FILE."),
        click.option(
            "--skip-rows",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Lines above the header of FILE, such as titles.",
        ),
        click.option("--comment", metavar="MARK", help="Leave out what follows this mark in a line, such as #."),
    ],
)
"""Adds the options that say how FILE is written; the command gets them as `layout`."""


@dataclass(frozen=True)
class Outputs:
    """Where a fit is written; None is a name made from that of the table.

    Attributes
    ----------
    model_path, plot : Path or None
    no_plot : bool
        Draw nothing.
    """

    model_path: Path | None
    plot: Path | None
    no_plot: bool


STANDARD_STREAM = Path("-")
"""What stands for standard input and output in place of a file."""
_OUTPUT = click.Path(dir_okay=False, path_type=Path)
output_options = gathered(
    Outputs,
    "outputs",
    [
        click.option(
            "--model",
            "model_path",
            type=_OUTPUT,
            help="Where to save the model. Default: FILE's name .moefast.json",
        ),
        click.option("--plot", type=_OUTPUT, help="Where to save the picture. Default: FILE's name .moefast.png"),
        click.option("--no-plot", is_flag=True, help="Draw nothing."),
    ],
)
"""Adds the options that say where a fit is written; the command gets them as `outputs`."""


@contextlib.contextmanager
def helpful(layout: TableLayout) -> Iterator[None]:
    """Add to what is wrong with a table the options that would help."""
    try:
        yield
    except TableError as error:
        raise ValueError(f"{error}{_advice(error, layout)}") from None


def _advice(error: TableError, layout: TableLayout) -> str:
    if error.likely is None:
        return " (--ignore COLUMN leaves a column out)" if "is not numeric" in str(error) else ""
    options = {"--sep": "separator", "--decimal": "decimal", "--skip-rows": "skip_rows", "--comment": "comment"}
    changed = [
        (option, getattr(error.likely, name))
        for option, name in options.items()
        if getattr(error.likely, name) != getattr(layout, name)
    ]
    quoted = (
        f"{option} {value}" if isinstance(value, int) else f'{option} "{value}"' for option, value in changed
    )
    return f": give {' '.join(quoted)}".replace("\t", "\\t")


def check_outputs(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Raise for files that cannot be written or would replace an input; nothing is left behind.

    Raises
    ------
    ValueError
        When an output is an input, another output or standard output.
    OSError
        When one cannot be written.
    """
    for output in outputs:
        if output == STANDARD_STREAM:
            raise ValueError("- stands for standard output, which is for what is printed; give the name of a file")
        check_writable(output)
        for path in inputs:
            # What is no file, such as a terminal, can be both.
            if output.is_file() and path.is_file() and output.samefile(path):
                raise ValueError(f"{output} is the input file; choose another name")
    places = [os.path.realpath(output) for output in outputs if output.is_file() or not output.exists()]
    if len(set(places)) < len(places):
        raise ValueError(f"{outputs[-1]} cannot be both the model and the picture")


def closed(stream: Any) -> bool:
    """Whether a standard stream was closed before the command began."""
    return stream is None or stream.closed
