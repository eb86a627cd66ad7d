"""The options that name columns which are no features: what is known of each row besides them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from moefast.cli.options import gathered
from moefast.io.tables import CsvTable

__all__ = ["RowColumns", "row_options"]


@dataclass(frozen=True)
class RowColumns:
    """The columns named, each None where it is not.

    Attributes
    ----------
    weights, offset, trials : str or None
        Numbers.
    groups : str or None
        Anything that tells the groups apart.
    """

    weights: str | None
    offset: str | None
    trials: str | None
    groups: str | None

    @property
    def names(self) -> list[str]:
        """Those that are named."""
        return [name for name in (self.weights, self.offset, self.trials, self.groups) if name is not None]

    def read(self, table: CsvTable) -> dict[str, Any]:
        """Return the arguments of `fit` that the columns are."""
        numbers = {"sample_weight": self.weights, "offset": self.offset, "n_trials": self.trials}
        found = {what: table.numeric([name])[name] for what, name in numbers.items() if name is not None}
        if self.groups is not None:
            column = table.frame[self.groups]
            if column.isna().any():
                row = int(column.isna().to_numpy().argmax())
                raise ValueError(f"{table.path}: column {self.groups!r} names no group in data row {row + 1}")
            found["groups"] = column
        return found


row_options = gathered(
    RowColumns,
    "rows",
    [
        click.option("--weights", metavar="COLUMN", help="Sample weights."),
        click.option("--offset", metavar="COLUMN", help="Added to every expert's predictor; log of an exposure."),
        click.option("--trials", metavar="COLUMN", help="Trials of each row, with --family binomial."),
        click.option("--groups", metavar="COLUMN", help="Rows of equal value, as of a subject, share an expert."),
    ],
)
"""Adds the options that name columns of the rows; the command gets them as `rows`."""
