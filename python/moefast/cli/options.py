"""What several console commands have in common: the options of tables, the checks of outputs, the messages."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from moefast.io.atomic import check_writable
from moefast.io.table_layout import TableLayout
from moefast.io.tables import TableError

__all__ = ["check_outputs", "closed", "helpful", "plainly", "table_options", "tell"]

P = ParamSpec("P")
R = TypeVar("R")


def tell(text: str) -> None:
    """Write a line on standard error; one that is closed or full stops no work."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(text, err=True)


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


def table_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add the options that say how FILE is written."""
    for option in (
        click.option("--comment", metavar="MARK", help="Leave out what follows this mark in a line, such as #."),
        click.option(
            "--skip-rows",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Lines above the header of FILE, such as titles.",
        ),
        click.option("--decimal", default=".", show_default=True, help="The decimal mark of FILE."),
        click.option(
            "--separator",
            "--sep",
            default=",",
            show_default=True,
            help=r"Between the fields of FILE; \t is a tab.",
        ),
    ):
        command = option(command)
    return command


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
        When an output is an input, or another output.
    OSError
        When one cannot be written.
    """
    for output in outputs:
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
