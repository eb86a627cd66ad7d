"""The text of a formula, read: its response, the terms of the experts and those of the gates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from moefast.formulas.expression import FUNCTIONS, variables_of

__all__ = ["Formula", "check_formula", "needs_columns"]

_EXAMPLE = '"y ~ age + C(sex) | region"'


@dataclass(frozen=True, eq=False)
class Formula:
    """A formula, read: ``response ~ experts | gates``.

    Without a bar the gates have the terms of the experts.

    Attributes
    ----------
    text : str
    response, experts, gates
        Terms, as formulaic has them; `response` is None where nothing stands before the ``~``.
    """

    text: str
    response: Any
    experts: Any
    gates: Any

    @classmethod
    def read(cls, text: str, columns: Sequence[str] = ()) -> Formula:
        """Read a formula.

        Parameters
        ----------
        text : str
        columns : sequence of str
            Of the data: what ``.`` stands for, less those of the response.

        Raises
        ------
        ValueError
            When it is none, or has other parts than one response and up to two on the right, or calls what a
            formula may not call.
        ImportError
            When formulaic is not installed; the message says how to get it.
        """
        check_formula(text)
        calls = [token.token for token in _tokens(text) if token.kind.value == "python"]
        for call in calls:
            _checked(text, call)
        left, right = _sides(text, columns)
        parts = right if isinstance(right, tuple) else (right,)
        if len(parts) > 2:
            raise ValueError(f"formula {text!r} has {len(parts)} parts on the right; there may be two: {_EXAMPLE}")
        if left is not None:
            _check_response(text, left)
        formula = cls(text, left, parts[0], parts[-1])
        if not formula.variables:
            raise ValueError(f"formula {text!r} has no column: experts or gates need at least one")
        clash = {*formula.variables, *formula.response_variables} & {*FUNCTIONS, "np", "contr"}
        if clash and calls:
            raise ValueError(
                f"formula {text!r}: {min(clash)!r} is a function there; rename the column of that name"
            )
        return formula

    @property
    def intercepts(self) -> tuple[bool, bool]:
        """Whether experts and gates have intercepts."""
        return _has_intercept(self.experts), _has_intercept(self.gates)

    @property
    def response_variables(self) -> list[str]:
        """The columns of the data that the response is made of, in alphabetical order."""
        return _variables(self.text, [] if self.response is None else [self.response])

    @property
    def variables(self) -> list[str]:
        """The columns of the data that the terms of experts and gates are made of, in alphabetical order."""
        return _variables(self.text, [self.experts, self.gates])


def check_formula(text: Any) -> None:
    """Raise unless `text` is a text with a ``~``."""
    if not isinstance(text, str):
        raise TypeError(f"formula must be a text such as {_EXAMPLE} or None, got {text!r}")
    if "~" not in text:
        raise ValueError(
            f"formula must have a ~ between the response and the terms, as in {_EXAMPLE}, got {text!r}"
        )


def needs_columns(text: str) -> bool:
    """Whether the formula has a ``.``, which stands for all other columns of the data."""
    return any(token.token == "." for token in _tokens(text))


def _tokens(text: str) -> list[Any]:
    try:
        from formulaic.parser.algos.tokenize import tokenize
    except ImportError:
        raise ImportError('formulas need formulaic: pip install "moefast[formula]"') from None
    try:
        return list(tokenize(text))
    except Exception as error:
        raise ValueError(f"formula {text!r} cannot be read: {_first_line(error)}") from None


def _sides(text: str, columns: Sequence[str]) -> tuple[Any, Any]:
    """Return the terms on the left, or None, and those on the right, a tuple where there are several parts."""
    import formulaic

    context = {"__formulaic_variables_available__": list(columns)}
    try:
        read = formulaic.Formula(text, _context=context)
    except Exception as error:  # its parser fails in many ways, "(]" by an AttributeError
        raise ValueError(f"formula {text!r} cannot be read: {_first_line(error)}") from None
    if isinstance(read, formulaic.formula.SimpleFormula):
        return None, read
    return getattr(read, "lhs", None), read.rhs if hasattr(read, "rhs") else read.root


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _check_response(text: str, left: Any) -> None:
    terms = [] if isinstance(left, tuple) else list(left)
    if len(terms) != 1 or len(terms[0].factors) != 1 or _is_number(terms[0].factors[0]):
        raise ValueError(f"formula {text!r} must have one response before the ~: {_EXAMPLE}")


def _is_number(factor: Any) -> bool:
    return bool(factor.eval_method.value == "literal")


def _has_intercept(part: Iterable[Any]) -> bool:
    return any(all(_is_number(factor) for factor in term.factors) for term in part)


def _checked(text: str, expression: str) -> set[str]:
    try:
        return variables_of(expression)
    except ValueError as error:
        raise ValueError(f"formula {text!r}: {error}") from None


def _variables(text: str, parts: Iterable[Any]) -> list[str]:
    found: set[str] = set()
    for part in parts:
        for term in part:
            for factor in term.factors:
                if factor.eval_method.value == "python":
                    found |= _checked(text, factor.expr)
                elif factor.eval_method.value == "lookup":
                    found.add(factor.expr)
    return sorted(found)
