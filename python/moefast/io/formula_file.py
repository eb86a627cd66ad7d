"""The formula of a model as JSON: its text, and what was learnt for it as numbers, texts and lists of them.

A text is not run when it is read; what a formula may call is checked then, see :mod:`moefast.formulas.expression`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from moefast.file_fields import Either, Field, Flag, Listing, Nothing, Number, Record, Row, Text
from moefast.formulas.fitted import FittedFormula

__all__ = ["formula_content", "formula_fields", "formula_of"]

_LEVEL = Either(Text(), Either(Flag(), Number()))
_SIMPLE = Either(Nothing(), _LEVEL)


@dataclass(frozen=True)
class _Learnt:
    """Numbers, texts, lists of them, and objects with one of the fields "array" and "pairs"."""

    def fits(self, value: object) -> bool:
        if isinstance(value, list):
            return all(map(self.fits, value))
        if not isinstance(value, dict):
            return _SIMPLE.fits(value)
        if value.keys() == {"array"}:
            return _is_array(value["array"])
        pairs = value.get("pairs") if value.keys() == {"pairs"} else None
        return isinstance(pairs, list) and all(
            isinstance(pair, list) and len(pair) == 2 and _LEVEL.fits(pair[0]) and self.fits(pair[1])
            for pair in pairs
        )

    def check(self, name: str, value: object) -> None:
        if not self.fits(value):
            raise ValueError(f"{name} must be {self}, got {type(value).__name__}")

    def __str__(self) -> str:
        return "what a term learns: numbers, texts, arrays and pairs of them"


_FORMULA = Record(
    {
        "text": Text(),
        "expert_names": Listing(Text()),
        "gate_names": Listing(Text()),
        "levels": Listing(Row((Text(), Listing(_LEVEL)))),
        "state": Listing(Row((Text(), _Learnt()))),
        "columns": Listing(Text()),
    }
)


def formula_fields(content: Mapping[str, Any]) -> Field:
    """Return the rule for the field "formula" of a model file."""
    return Nothing() if content.get("formula") is None else _FORMULA


def formula_content(formula: FittedFormula | None) -> dict[str, Any] | None:
    """Return the content of the field for a formula.

    Raises
    ------
    ValueError
        When levels of a category are neither texts nor numbers, or a term has learnt what is neither.
    """
    if formula is None:
        return None
    return {
        "text": formula.text,
        "expert_names": list(formula.expert_names),
        "gate_names": list(formula.gate_names),
        "levels": [[term, [_level(term, level) for level in of]] for term, of in formula.levels.items()],
        "state": [[term, _plain(term, dict(of))] for term, of in formula.state.items()],
        "columns": list(formula.columns),
    }


def formula_of(content: dict[str, Any] | None) -> FittedFormula | None:
    """Return the formula of a checked content.

    Raises
    ------
    ValueError
        When its text is no formula.
    """
    if content is None:
        return None
    fitted = FittedFormula(
        content["text"],
        tuple(content["expert_names"]),
        tuple(content["gate_names"]),
        {term: tuple(of) for term, of in content["levels"]},
        {term: _restored(of) for term, of in content["state"]},
        tuple(content["columns"]),
    )
    fitted.formula  # noqa: B018  # read now, so that a bad one is a damaged file
    return fitted


def _is_array(value: Any) -> bool:
    try:
        array = np.array(value)
    except ValueError:  # lists of different lengths
        return False
    return bool(array.dtype.kind in "fi" and np.isfinite(array).all())


def _level(term: str, level: Any) -> Any:
    level = level.item() if isinstance(level, np.generic) else level
    if not _LEVEL.fits(level):
        raise ValueError(
            f"the model cannot be saved: the levels of {term} are of type {type(level).__name__}; fit with levels "
            "that are texts or numbers: data.assign(name=data['name'].astype(str))"
        )
    return level


def _plain(term: str, value: Any) -> Any:
    """Return what a term learnt as JSON."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fi":
        return {"array": value.tolist()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return {"pairs": [[_plain(term, key), _plain(term, of)] for key, of in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_plain(term, entry) for entry in value]
    if not _SIMPLE.fits(value):
        raise ValueError(f"the model cannot be saved: {term} has learnt a {type(value).__name__}; pickle it")
    return value


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return [_restored(entry) for entry in value]
    if isinstance(value, dict):
        return np.array(value["array"]) if "array" in value else {key: _restored(of) for key, of in value["pairs"]}
    return value
