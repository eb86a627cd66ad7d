"""A formula with what a fit has learnt of the data: levels of categories, centres, knots of splines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from moefast._typing import Floats
from moefast.bad_columns import listed
from moefast.formulas.evaluation import Columns, Learnt, evaluate
from moefast.formulas.formula import Formula, needs_columns
from moefast.formulas.table import names_of_table, table_of

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["FittedFormula"]


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

    Examples
    --------
    >>> import pandas as pd
    >>> from moefast.formulas import FittedFormula
    >>> data = pd.DataFrame({"y": [1.0, 2.0, 4.0], "x": [0.0, 1.0, 2.0], "site": ["b", "a", "c"]})
    >>> fitted = FittedFormula.learn("y ~ center(x) | site", data)
    >>> fitted.expert_names, fitted.gate_names, fitted.levels
    (('center(x)',), ('site[T.b]', 'site[T.c]'), {'site': ('a', 'b', 'c')})
    >>> fitted.matrix(pd.DataFrame({"x": [3.0], "site": ["b"]})).to_numpy().tolist()
    [[2.0, 1.0, 0.0]]
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
        dot = tuple(names_of_table(data)) if needs_columns(text) else ()
        formula = Formula.read(text, dot)
        parts = {"experts": formula.experts, "gates": formula.gates}
        if formula.response is not None:
            parts["response"] = formula.response
        table = table_of(data, sorted({*formula.variables, *formula.response_variables}), text)
        columns, learnt = _evaluate(text, table, parts)
        if formula.response is not None:
            term = str(formula.response[0])
            if term in learnt.levels or len(columns["response"]) != 1:
                raise ValueError(f"formula {text!r}: the response {term} must be one column of numbers")
        names = (tuple(columns["experts"]), tuple(columns["gates"]))
        return cls(text, *names, learnt.levels, learnt.state, dot)

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
        of_parts = self._evaluated(data, self.formula.variables, parts)
        names = self.names
        found = {**of_parts["gates"], **of_parts["experts"]}
        if found.keys() != set(names):
            raise ValueError(
                f"formula {self.text!r} has the columns {sorted(found)} on X, at its fit {sorted(names)}"
            )
        values = np.empty((len(data), len(names)))
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
        parts = {"response": self.formula.response}
        (values,) = self._evaluated(data, self.formula.response_variables, parts)["response"].values()
        return values

    def _evaluated(self, data: Any, variables: Sequence[str], parts: Mapping[str, Any]) -> dict[str, Columns]:
        table = table_of(data, variables, self.text)
        return _evaluate(self.text, table, parts, Learnt(self.levels, self.state))[0]


def _evaluate(
    text: str, table: DataFrame, parts: Mapping[str, Any], learnt: Learnt | None = None
) -> tuple[dict[str, Columns], Learnt]:
    try:
        return evaluate(table, parts, learnt)
    except ValueError as error:
        raise ValueError(f"formula {text!r}: {error}") from error
