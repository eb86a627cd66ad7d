"""A formula with what a fit has learnt of the data: levels of categories, centres, knots of splines."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from moefast._typing import Floats
from moefast.bad_columns import listed
from moefast.formulas.formula import Formula, needs_columns
from moefast.formulas.table import names_of_table, table_of

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["FittedFormula"]

_INTERCEPT = "Intercept"  # formulaic's name of its column of ones


@dataclass(frozen=True, eq=False)
class FittedFormula:
    """A formula with what a fit has learnt of the data, for new data.

    Attributes
    ----------
    text : str
    expert_names, gate_names : tuple of str
        Columns that experts and gates see, without the intercepts.
    levels : mapping of str to tuple
        Of each categorical term, the reference first unless the term says otherwise.
    state : mapping of str to mapping
        Centres, scales, knots of the terms that have them.
    columns : tuple of str
        Of the data of the fit, where the formula has a ``.``, which stands for them.
    """

    text: str
    expert_names: tuple[str, ...]
    gate_names: tuple[str, ...]
    levels: Mapping[str, tuple[Any, ...]]
    state: Mapping[str, Mapping[str, Any]]
    columns: tuple[str, ...] = ()

    @classmethod
    def learn(cls, text: str, data: Any) -> FittedFormula:
        """Read a formula and learn what its terms are on these data.

        Raises
        ------
        ValueError, TypeError
            When it cannot be read, or not on these data.
        """
        columns = tuple(names_of_table(data)) if needs_columns(text) else ()
        formula = Formula.read(text, columns)
        parts = {"experts": formula.experts, "gates": formula.gates}
        if formula.response is not None:
            parts["response"] = formula.response
        table = table_of(data, sorted({*formula.variables, *formula.response_variables}), text)
        evaluation = _Evaluation(text, table, parts)
        experts, gates = (tuple(evaluation.columns(part)) for part in ("experts", "gates"))
        return cls(text, experts, gates, evaluation.levels, evaluation.state, columns)

    @cached_property
    def formula(self) -> Formula:
        """The text, read."""
        return Formula.read(self.text, self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the design matrix: those of the experts, then those of the gates alone."""
        return tuple(dict.fromkeys((*self.expert_names, *self.gate_names)))

    @property
    def response_name(self) -> str | None:
        """What stands before the ``~``."""
        return None if self.formula.response is None else str(self.formula.response[0])

    @property
    def settings(self) -> dict[str, Any]:
        """Which columns of the design matrix experts and gates see, None for all, and who has intercepts."""
        experts, gates = (self._positions(names) for names in (self.expert_names, self.gate_names))
        has = dict(zip(("fit_intercept", "fit_gate_intercept"), self.formula.intercepts, strict=True))
        return {"expert_columns": experts, "gate_columns": gates, **has}

    def _positions(self, names: Sequence[str]) -> tuple[int, ...] | None:
        every = self.names
        return None if tuple(names) == every else tuple(every.index(name) for name in names)

    def matrix(self, data: Any) -> DataFrame:
        """Return the design matrix of the data, without intercepts.

        Raises
        ------
        ValueError, TypeError
            When columns are not there, have missing values, levels that the fit has not seen or another type, or
            when a term is not defined on them.
        """
        import pandas as pd

        parts = {"experts": self.formula.experts, "gates": self.formula.gates}
        evaluation = self._evaluated(data, self.formula.variables, parts)
        names = self.names
        found = {**evaluation.columns("gates"), **evaluation.columns("experts")}
        if found.keys() != set(names):
            raise ValueError(
                f"formula {self.text!r} has the columns {sorted(found)} on X, at its fit {sorted(names)}"
            )
        values = np.empty((len(evaluation.table), len(names)))
        for j, name in enumerate(names):
            values[:, j] = found[name]
        bad = np.isnan(values)
        if bad.any():
            counts = [f"{n} in {name!r}" for n, name in zip(bad.sum(axis=0), names, strict=True) if n]
            raise ValueError(
                f"formula {self.text!r} is not defined on all rows of X, it gives NaN: {listed(counts)} of "
                f"{len(values)} rows"
            )
        return pd.DataFrame(values, columns=list(names))

    def has_response(self, data: Any) -> bool:
        """Whether the response can be taken from the data."""
        variables = self.formula.response_variables
        return self.formula.response is not None and set(variables) <= set(names_of_table(data))

    def response(self, data: Any) -> Floats:
        """Return the response, as it stands before the ``~``, shape (n,).

        Raises
        ------
        ValueError, TypeError
            As :meth:`matrix`, and when there is none or it is no number.
        """
        if self.formula.response is None:
            raise ValueError(f"formula {self.text!r} has no response before its ~, so y is needed")
        evaluation = self._evaluated(data, self.formula.response_variables, {"response": self.formula.response})
        (values,) = evaluation.columns("response").values()
        return np.array(values, dtype=np.float64)

    def _evaluated(self, data: Any, variables: Sequence[str], parts: Mapping[str, Any]) -> _Evaluation:
        table = table_of(data, variables, self.text)
        return _Evaluation(self.text, table, parts, self.levels, self.state)


class _Evaluation:
    """Parts of a formula on a table: their columns, and what was learnt or is given of them."""

    def __init__(
        self,
        text: str,
        table: DataFrame,
        parts: Mapping[str, Any],
        levels: Mapping[str, tuple[Any, ...]] | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        from formulaic import ModelSpec, ModelSpecs
        from formulaic.errors import FormulaicError
        from formulaic.materializers import PandasMaterializer
        from formulaic.parser.types import Factor

        self.text, self.table = text, table
        if _INTERCEPT in table:
            raise ValueError(f"formula {text!r}: a column cannot be called {_INTERCEPT!r}; rename it")
        kind = Factor.Kind.CATEGORICAL
        known = {term: (kind, {"categories": list(of)}) for term, of in (levels or {}).items()}
        given = deepcopy(dict(state or {}))
        specs = {
            name: ModelSpec(
                part, na_action="ignore", output="pandas", transform_state=given, encoder_state=dict(known)
            )
            for name, part in parts.items()
        }
        evaluator = PandasMaterializer(table, context={})
        failure = None
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # NaN and unseen levels are errors, below
                matrices = evaluator.get_model_matrix(ModelSpecs(**specs))
        except (FormulaicError, ValueError, TypeError, KeyError, NameError, AttributeError, IndexError) as error:
            failure = error
        for term in known.keys() & evaluator.factor_cache.keys():
            self._check_levels(term, evaluator.factor_cache[term].values, known[term][1]["categories"])
        if failure is not None:
            raise ValueError(f"formula {text!r} cannot be evaluated on X: {failure}") from failure
        self._parts = {name: getattr(matrices, name) for name in parts}
        self.levels, self.state = self._learnt(kind)
        if state is not None and not self.state.keys() <= state.keys():
            raise ValueError(
                f"formula {text!r}: rename columns whose names differ in signs alone, such as 'a b', 'a_b'"
            )

    def columns(self, part: str) -> dict[str, Any]:
        """Return the columns of a part by name, without that of the intercept."""
        matrix = self._parts[part]
        return {str(name): matrix[name].to_numpy() for name in matrix.columns if name != _INTERCEPT}

    def _learnt(self, categorical: Any) -> tuple[dict[str, tuple[Any, ...]], dict[str, Any]]:
        levels: dict[str, tuple[Any, ...]] = {}
        state: dict[str, Any] = {}
        for matrix in self._parts.values():
            spec = matrix.model_spec
            state |= dict(sorted(spec.transform_state.items()))
            levels |= {
                t: tuple(s["categories"]) for t, (kind, s) in spec.encoder_state.items() if kind is categorical
            }
        return levels, state

    def _check_levels(self, term: str, values: Any, known: Sequence[Any]) -> None:
        """Raise for levels that are not among those known."""
        import pandas as pd

        found = pd.Series(getattr(values, "__wrapped__", values)).astype(object)
        unseen = [level for level in pd.unique(found) if level not in known]
        if unseen:
            rows = int(found.isin(unseen).sum())
            raise ValueError(
                f"formula {self.text!r}: {term} has levels in X that it had not at the fit: "
                f"{listed([repr(level) for level in unseen])} ({rows} of {len(found)} rows); known are "
                f"{listed([repr(level) for level in known])}"
            )
