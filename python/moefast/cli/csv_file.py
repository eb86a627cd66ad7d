"""A CSV table on the command line: a file, or standard input."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from moefast.cli.options import closed
from moefast.io.table_layout import TableLayout
from moefast.io.tables import CsvTable, read_table

__all__ = ["CsvFile"]


@dataclass(frozen=True)
class CsvFile:
    """A CSV table.

    Attributes
    ----------
    path : Path or None
        None is standard input.
    """

    path: Path | None

    def __str__(self) -> str:
        return "standard input" if self.path is None else str(self.path)

    @property
    def name(self) -> str:
        """What a summary calls it."""
        return str(self) if self.path is None else self.path.name

    @property
    def stem(self) -> str:
        """What a model of it is called."""
        return "stdin" if self.path is None else self.path.stem

    @property
    def paths(self) -> list[Path]:
        """The file, where it is one."""
        return [] if self.path is None else [self.path]

    def read(self, layout: TableLayout) -> CsvTable:
        """Read it, once: it may be a pipe."""
        if self.path is not None:
            return read_table(self.path, layout)
        if closed(sys.stdin):
            raise OSError("standard input is closed, so no table can be read from it; give the name of a file")
        return read_table(str(self), layout, sys.stdin.buffer.read())
