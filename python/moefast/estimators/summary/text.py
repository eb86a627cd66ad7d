"""The summary as plain text of a given width."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from math import ceil, isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moefast.estimators.summary.errors import StandardError
    from moefast.estimators.summary.summary import Summary
    from moefast.estimators.summary.tables import Coefficients

__all__ = ["number", "summary_text"]

_GAP, _P_VALUE = "   ", "P>|z|"


def summary_text(summary: Summary, width: int) -> str:
    """Return the summary in lines of `width` at most, or as wide as one column of a table needs."""
    title = f"{summary.model}{'' if summary.target is None else f' for {summary.target}'}"
    parts = [textwrap.wrap(title, width), _pairs(summary, width)]
    membership = summary.membership
    rows = [
        [name, f"{prior:.4f}", f"{share:.4f}", f"{size:.7g}", f"{support:.7g}", f"{ratio:.3f}"]
        for name, prior, share, size, support, ratio in zip(
            summary.experts.components,
            membership.prior,
            summary.shares,
            membership.size,
            membership.support,
            membership.ratio,
            strict=True,
        )
    ]
    header = ["", "prior", "posterior", "size", "post>0", "ratio"]
    parts.append(["Rows", *_lines(header, rows)])
    for table in (summary.experts, *summary.gates):
        parts += _long(table, width) if summary.has_errors else [[table.title, *_wide(table, width)]]
        if table.zeros:
            parts[-1] += textwrap.wrap(f"All 0: {', '.join(table.zeros)}", width, break_long_words=False)
    parts.append([line for note in summary.notes for line in textwrap.wrap(note, width, break_long_words=False)])
    return "\n\n".join("\n".join(lines) for lines in parts)


def number(value: float) -> str:
    """Return a number to four digits, whole numbers up to a million as they are.

    Examples
    --------
    >>> [number(x) for x in (0.12345, 12345.6, 1.5e7, 0.0)]
    ['0.1235', '12346', '1.5e+07', '0']
    """
    text = f"{value:.4g}"
    return f"{value:.0f}" if "e+" in text and isfinite(value) and abs(value) < 1e6 else text


def _pairs(summary: Summary, width: int) -> list[str]:
    """Return the figures of the fit, name beside number, on two lines, or one below another where that is wide."""
    figures = {
        name: f"{value}" if name in ("n", "df") else f"{value:.3f}" for name, value in summary.figures.items()
    }
    columns = (("n", "df"), ("log-likelihood", "AIC"), ("BIC", "ICL"), ("entropy",))
    blocks: list[list[str]] = []
    for names in columns:
        wide = max(map(len, names)), max(len(figures[name]) for name in names)
        blocks.append([f"{name:<{wide[0]}} {figures[name]:>{wide[1]}}" for name in names])
    lines = [_GAP.join(block[i] for block in blocks if len(block) > i) for i in range(2)]
    if max(map(len, lines)) > width:
        lines = [line for block in blocks for line in block]
    if "weight" in figures:
        lines.append(f"sum of weights {summary.figures['weight']:.7g}, which is the n of BIC and ICL")
    return lines


def _wide(table: Coefficients, width: int) -> list[str]:
    """Return a row for each term, a column for each component, in as many tables as the width asks for."""
    if not table.terms:
        return []
    k = len(table.components)
    names = _shortened(table.terms, width // 3)
    for n_tables in range(1, k + 1):
        per_table = ceil(k / n_tables)
        lines: list[str] = []
        for first in range(0, k, per_table):
            some = slice(first, first + per_table)
            shown = table.components[some]
            rows = [
                [
                    name,
                    *(
                        number(value) + table.mark(who, term)
                        for who, value in zip(shown, values[some], strict=True)
                    ),
                ]
                for name, term, values in zip(names, table.terms, table.values, strict=True)
            ]
            lines += [*([""] if lines else []), *_lines(["", *shown], rows)]
        if max(map(len, lines)) <= width:
            break
    return lines


def _long(table: Coefficients, width: int) -> list[list[str]]:
    """Return a table for each component: a row for each term with its standard error, z, p and 95 % interval.

    The interval is left out where the width is not enough for it.
    """
    names = _shortened(table.terms, width // 3)
    parts: list[list[str]] = []
    if not table.terms:
        return [[table.title]]
    for j, component in enumerate(table.components):
        rows = []
        for name, term, value in zip(names, table.terms, table.values[:, j], strict=True):
            rows.append([name, number(value) + table.mark(component, term), *_known(table.error(component, term))])
        header = ["", "estimate", "std. error", "z", _P_VALUE, "[0.025", "0.975]"]
        lines = _lines(header, rows)
        if max(map(len, lines)) > width:
            lines = _lines(header[:-2], [row[:-2] for row in rows])
        parts.append([*([] if parts else [table.title]), component, *lines])
    return parts


def _known(error: StandardError | None) -> list[str]:
    """Return standard error, z, p value and interval as text, empty where they are not known."""
    if error is None or not isfinite(error.std_error):
        return [""] * 5
    test = [f"{error.z:.2f}", "<0.001" if error.p_value < 0.0005 else f"{error.p_value:.3f}"]
    ends = map(number, (error.ci_low, error.ci_high))
    return [number(error.std_error), *(test if isfinite(error.z) else ["", ""]), *ends]


def _shortened(names: Sequence[str], longest: int) -> list[str]:
    """Return the names with the middle of long ones left out, so that they stay different where they can."""
    half = max(longest - 3, 8) // 2
    return [name if len(name) <= longest else f"{name[: half + 1]}...{name[-half:]}" for name in names]


def _lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    from tabulate import tabulate  # for who prints a summary

    # Numbers are text already; they are aligned at the point, which "<0.001" is not. Stars have columns of their
    # own: a number with one is none to tabulate.
    align = ["left", *("right" if name == _P_VALUE else "decimal" for name in header[1:])]
    columns = []
    for name, how, *cells in zip(header, align, *rows, strict=True):
        numbers = (cell.removesuffix("*") if how == "decimal" else cell for cell in cells)
        columns.append((name, how, *numbers))
        if how == "decimal" and any(cell.endswith("*") for cell in cells):
            columns.append(("", "left", *("*" * cell.endswith("*") for cell in cells)))
    header, align, *rows = map(list, zip(*columns, strict=True))
    table = tabulate(rows, headers=header, disable_numparse=True, colalign=align)
    return [line.rstrip() for line in table.splitlines()]
