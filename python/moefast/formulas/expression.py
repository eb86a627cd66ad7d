"""What may stand in a formula beside names and signs: calls of a few functions.

The formula's library evaluates expressions as Python. A formula may come from a file, and reading a model runs no
code from it: so nothing is evaluated here or there unless every part of it is in the list below.
"""

from __future__ import annotations

import ast
import keyword
import re
from typing import Any

__all__ = ["FUNCTIONS", "variables_of"]

_SPLINES_AND_SCALES = ("bs", "cc", "cr", "cs", "poly", "center", "scale", "standardize")
_NUMBERS = ("log", "log2", "log10", "exp", "exp2", "exp10")
_CONTRASTS = ("Treatment", "Sum", "Poly", "Helmert", "Diff")
FUNCTIONS = frozenset((*_SPLINES_AND_SCALES, *_NUMBERS, *_CONTRASTS, "C", "I", "Q"))
"""What a formula may call, besides numpy's functions of numbers."""
_HARMLESS = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.List, ast.Tuple, ast.Dict, ast.expr_context)
_SIGNS = (ast.operator, ast.unaryop, ast.cmpop)


def variables_of(expression: str) -> set[str]:
    """Return the names of the columns that an expression reads.

    Parameters
    ----------
    expression : str
        Of Python, where names in backquotes may be any text.

    Raises
    ------
    ValueError
        When it is no expression, or calls what a formula may not call.
    """
    from formulaic.utils.code import sanitize_variable_names

    aliases: dict[str, str] = {}
    try:
        tree = ast.parse(sanitize_variable_names(expression, {}, aliases), mode="eval")
    except SyntaxError as error:
        words = [word for word in re.findall(r"\w+", expression) if keyword.iskeyword(word)]
        hint = f"; {words[0]!r} is a word of Python, a column of that name is Q('{words[0]}')" if words else ""
        raise ValueError(f"{expression!r} is no expression: {error.msg}{hint}") from None
    found: set[str] = set()
    _collect(tree, found)
    return {aliases.get(name, name) for name in found}


def _collect(node: ast.AST, found: set[str]) -> None:
    """Add the names that a part of the expression reads, or raise for what a formula may not hold."""
    if isinstance(node, ast.Call):
        _collect_call(node, found)
    elif isinstance(node, ast.Name):
        found.add(node.id)
    elif isinstance(node, ast.Constant):
        _check_constant(node.value)
    elif isinstance(node, (*_HARMLESS, *_SIGNS)):
        for child in ast.iter_child_nodes(node):
            _collect(child, found)
    elif not _is_contrast(node):
        raise ValueError(f"{ast.unparse(node)!r} may not stand in a formula: {_REMEDY}")


_REMEDY = (
    f"it may call {', '.join(sorted(FUNCTIONS))}, contr.treatment and its like, and functions of numbers such as "
    "np.sqrt; anything else is to be made a column of the data before: data.assign(...)"
)


def _collect_call(node: ast.Call, found: set[str]) -> None:
    function, name = node.func, ast.unparse(node.func)
    numpy_name = _attribute_of("np", function)
    named = isinstance(function, ast.Name) and function.id in FUNCTIONS
    if not named and not _is_contrast(function) and not (numpy_name and _is_function_of_numbers(numpy_name)):
        raise ValueError(f"{name!r} is no function that a formula may call: {_REMEDY}")
    if (numpy_name or name in _NUMBERS) and (node.keywords or len(node.args) > _n_inputs(numpy_name or name)):
        # a further argument of theirs is an array to write to
        raise ValueError(f"{ast.unparse(node)!r}: {name} takes columns and nothing else in a formula")
    for argument in node.keywords:
        if argument.arg is None or argument.arg.startswith("_"):
            raise ValueError(f"{ast.unparse(node)!r}: {name} has no such argument")
    if name == "Q":  # Q("any name") reads the column of that name
        if len(node.args) != 1 or node.keywords or not isinstance(node.args[0], ast.Constant):
            raise ValueError(f"{ast.unparse(node)!r}: Q takes the name of a column")
        found.add(str(node.args[0].value))
    values = [*node.args, *(argument.value for argument in node.keywords)]
    for at, value in enumerate(values):
        if not (name == "C" and at > 0 and isinstance(value, ast.Name) and value.id in _CONTRASTS):
            _collect(value, found)


def _check_constant(value: Any) -> None:
    """Raise for what would not stay itself where the library writes expressions into code of its own."""
    if not (value is None or isinstance(value, (bool, int, float, str))):
        raise ValueError(f"{value!r} may not stand in a formula: only numbers, texts, True, False and None may")
    if isinstance(value, str) and (not value.isprintable() or any(sign in value for sign in "\"'`\\{}")):
        raise ValueError(f"the text {value!r} may not stand in a formula: it has quotes, braces or control signs")


def _attribute_of(module: str, node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == module:
        return node.attr
    return None


def _is_contrast(node: ast.AST) -> bool:
    name = _attribute_of("contr", node)
    return name in ("treatment", "SAS", "sum", "poly", "helmert", "diff")


def _is_function_of_numbers(name: str) -> bool:
    import numpy as np

    return isinstance(getattr(np, name, None), np.ufunc)


def _n_inputs(name: str) -> int:
    import numpy as np

    function = getattr(np, name, None)
    return int(function.nin) if isinstance(function, np.ufunc) else 1
