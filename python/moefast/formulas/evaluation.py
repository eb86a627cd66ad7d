"""Parts of a formula on a table: by formulaic, which learns what terms need or takes what they have learnt."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from moefast._typing import Floats
from moefast.bad_columns import listed

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Columns", "Learnt", "evaluate"]

Columns: TypeAlias = "dict[str, Floats]"
"""Columns of a part by name, in its order, without that of the intercept."""

_INTERCEPT = "Intercept"  # formulaic's name of its column of ones


@dataclass(frozen=True, eq=False)
class Learnt:
    """What terms have learnt of data.

    Attributes
    ----------
    levels : mapping of str to tuple
        Of each categorical term.
    state : mapping of str to mapping
        Centres, scales, knots of the terms that have them.
    """

    levels: Mapping[str, tuple[Any, ...]]
    state: Mapping[str, Mapping[str, Any]]

    def check_terms(self, terms: Mapping[str, Any]) -> None:
        """Raise for evaluated terms with levels that are not known, or with categories in place of numbers."""
        for term, factor in terms.items():
            if term in self.levels:
                _check_levels(term, factor.values, self.levels[term])
            elif factor.metadata.kind.value == "categorical":
                raise ValueError(f"{term} has numbers at the fit, in X it has categories")

    def check_unchanged(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Raise where the state after an evaluation has more than before: the rows to predict were learnt of."""
        before, after = ({term: set(of) for term, of in s.items()} for s in (self.state, state))
        if before != after:
            raise ValueError(
                "what the fit has learnt for a term is not found again; rename columns whose names differ in "
                "signs alone, such as 'a b' and 'a_b'"
            )


def evaluate(
    table: DataFrame, parts: Mapping[str, Any], learnt: Learnt | None = None
) -> tuple[dict[str, Columns], Learnt]:
    """Return the columns of each part, and what its terms have learnt.

    Parameters
    ----------
    table : DataFrame
        Without missing values, see :func:`moefast.formulas.table.table_of`.
    parts : mapping of str to terms of formulaic
    learnt : Learnt, optional
        Of the fit; without it terms learn of the table.

    Raises
    ------
    ValueError
        For a term that cannot be evaluated, or not with what was learnt.
    """
    from formulaic import ModelSpecs
    from formulaic.errors import FormulaicError
    from formulaic.materializers import PandasMaterializer

    if _INTERCEPT in table:
        raise ValueError(f"a column cannot be called {_INTERCEPT!r}; rename it")
    evaluator = PandasMaterializer(table, context={})  # no names but those of the table and formulaic's own
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NaN and levels that are not known are errors of our own
            matrices = evaluator.get_model_matrix(ModelSpecs(**_specs(parts, learnt)))
    except (
        FormulaicError,
        ValueError,
        TypeError,
        KeyError,
        NameError,
        AttributeError,
        IndexError,
        ArithmeticError,
    ) as error:
        if learnt is not None:
            learnt.check_terms(evaluator.factor_cache)  # the usual reason
        raise ValueError(f"it cannot be evaluated on X: {error}") from error
    found = {name: getattr(matrices, name) for name in parts}
    state = _merged(matrix.model_spec.transform_state for matrix in found.values())
    if learnt is None:
        learnt = Learnt(_levels(found.values()), dict(sorted(state.items())))
    else:
        learnt.check_terms(evaluator.factor_cache)
        learnt.check_unchanged(state)
    columns = {name: _columns(matrix) for name, matrix in found.items()}
    _refuse_two_of_a_name(columns)
    return columns, learnt


def _specs(parts: Mapping[str, Any], learnt: Learnt | None) -> dict[str, Any]:
    """Return formulaic's specifications of the parts, which it changes while it evaluates them."""
    from formulaic import ModelSpec
    from formulaic.parser.types import Factor

    levels, state = ({}, {}) if learnt is None else (learnt.levels, deepcopy(dict(learnt.state)))
    known = {term: (Factor.Kind.CATEGORICAL, {"categories": list(of)}) for term, of in levels.items()}
    how = {"na_action": "ignore", "output": "pandas", "transform_state": state}
    return {name: ModelSpec(part, encoder_state=dict(known), **how) for name, part in parts.items()}


def _columns(matrix: Any) -> Columns:
    names = [name for name in matrix.model_spec.column_names if name != _INTERCEPT]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two columns are called {name!r}; rename one in the data")
    try:
        return {str(name): matrix[name].to_numpy(dtype=np.float64) for name in names}
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"its columns are not all numbers: {error}") from error


def _refuse_two_of_a_name(parts: Mapping[str, Columns]) -> None:
    """Raise for columns of two parts with one name and different values."""
    for name in parts.get("gates", {}).keys() & parts.get("experts", {}).keys():
        if not np.array_equal(parts["gates"][name], parts["experts"][name], equal_nan=True):
            raise ValueError(f"experts and gates have columns {name!r} that differ; rename one in the data")


def _levels(matrices: Any) -> dict[str, tuple[Any, ...]]:
    learnt = _merged(matrix.model_spec.encoder_state for matrix in matrices)
    return {term: tuple(of["categories"]) for term, (kind, of) in learnt.items() if kind.value == "categorical"}


def _merged(mappings: Any) -> dict[str, Any]:
    return {key: value for mapping in mappings for key, value in mapping.items()}


def _check_levels(term: str, values: Any, known: Sequence[Any]) -> None:
    """Raise for levels that are not among those known."""
    import pandas as pd

    found = pd.Series(getattr(values, "__wrapped__", values)).astype(object)
    levels = frozenset(known)
    unseen = [level for level in pd.unique(found) if level not in levels]
    if unseen:
        rows = int(found.isin(unseen).sum())
        raise ValueError(
            f"{term} has levels in X that it had not at the fit: {listed([repr(level) for level in unseen])} "
            f"({rows} of {len(found)} rows); known are {listed([repr(level) for level in known])}"
        )
