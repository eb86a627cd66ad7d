"""What the reports of the experiments share: Markdown tables and lines that say what is met."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tabulate import tabulate

__all__ = ["markdown_table", "verdict"]


def markdown_table(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table; numbers to three digits.

    Examples
    --------
    >>> from moefast.experiments.reporting import markdown_table
    >>> print(markdown_table(["n", "error"], [[10, 0.12345], [100, 0.5]]))
    |   n |   error |
    |-----|---------|
    |  10 |   0.123 |
    | 100 |   0.5   |
    """
    return tabulate([list(line) for line in lines], headers=list(header), tablefmt="github", floatfmt=".3g")


def verdict(holds: bool, what: str) -> str:
    """Return a line of a report that says whether a figure is what it should be."""
    return f"- {'met' if holds else 'NOT met'}: {what}"
