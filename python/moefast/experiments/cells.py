"""Cells: the smallest pieces of an experiment that are computed and recorded, and the key each is known by."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import FunctionType
from typing import Any, TypeAlias

import moefast

__all__ = ["Cell", "CellFunction", "Row", "cell_key", "code_of"]

Cell: TypeAlias = Mapping[str, Any]
"""Parameters of a cell, its seed among them: strings, numbers, booleans, and lists of these."""

Row: TypeAlias = dict[str, Any]
"""One row of results by column name."""

CellFunction: TypeAlias = Callable[[Cell], list[Row]]
"""What computes a cell: a function of the cell alone, so that neither order nor processes matter."""

_PACKAGE = __name__.rpartition(".")[0] + "."


def cell_key(code: str, cell: Cell) -> str:
    """Return the key under which the rows of a cell are recorded.

    Parameters
    ----------
    code : str
        Of the function that computes it, from :func:`code_of`.
    cell : dict

    Returns
    -------
    str
        16 hexadecimal digits; another one for other parameters, another code or another version of moefast.

    Examples
    --------
    >>> from moefast.experiments.cells import cell_key
    >>> cell_key("", {"n": 100, "seed": 0}) == cell_key("", {"seed": 0, "n": 100})
    True
    >>> cell_key("", {"n": 100, "seed": 0}) == cell_key("", {"n": 100, "seed": 1})
    False
    """
    text = json.dumps([moefast.__version__, code, cell], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_of(function: CellFunction) -> str:
    """Return the code that computes a cell, as text for :func:`cell_key`.

    The function itself with all functions, classes and constants it names of this package of experiments, without
    comments and docstrings, however the lines are broken. The rest of moefast counts by its version.
    """
    found: dict[str, str] = {}
    _collect(function, found)
    return "\n".join(found[name] for name in sorted(found))


def _collect(thing: Any, found: dict[str, str]) -> None:
    """Add the code of a function or class, and of what it names, to `found`."""
    name = f"{thing.__module__}.{thing.__qualname__}"
    if name in found:
        return
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    found[name] = ast.unparse(tree)
    space = vars(inspect.getmodule(thing))
    for used in sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & set(space)):
        for part in _parts(space[used]):
            if isinstance(part, FunctionType | type):
                if f"{part.__module__}.".startswith(_PACKAGE):
                    _collect(part, found)
            elif isinstance(part, str | int | float | bool | None):
                found[f"{thing.__module__}.{used}"] = found.get(f"{thing.__module__}.{used}", "") + f"{part!r} "


def _parts(value: Any) -> Iterator[Any]:
    """Return the value, or what a container or dataclass holds, in order."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _parts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _parts(item)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _parts({field.name: getattr(value, field.name) for field in fields(value)})
    else:
        yield value
