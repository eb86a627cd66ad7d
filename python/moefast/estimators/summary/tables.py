"""The coefficients of a block, experts or one gate, with their standard errors where these are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from moefast._typing import Floats

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INTERCEPT", "SIGMA", "Coefficients", "GateTable", "Inferred"]

INTERCEPT, SIGMA = "(intercept)", "sigma"

Inferred: TypeAlias = "Mapping[tuple[str, str, str], tuple[float, float, float]]"
"""Standard error, z and p value by block ("experts", "gates"), component ("expert 0") and term (a column's name or
"(intercept)"). What is not estimable is NaN; what is not there is not shown."""


@dataclass(frozen=True)
class GateTable:
    """What to print of one gate.

    Attributes
    ----------
    title : str
    children : sequence of str
        What the gate chooses among; log-odds are against the last.
    coef : ndarray of shape (b, d)
    intercept : ndarray of shape (b,)
    """

    title: str
    children: Sequence[str]
    coef: Floats
    intercept: Floats


@dataclass(frozen=True, eq=False)
class Coefficients:
    """A table of estimates: a row for each term, a column for each component.

    Attributes
    ----------
    block : str
        "experts" or "gates".
    title : str
    terms : tuple of str
        Names of columns, "(intercept)", "sigma".
    components : tuple of str
        "expert 0", or what a gate chooses among.
    values : ndarray of shape (terms, components)
    errors : ndarray of shape (terms, components, 3) or None
        Standard error, z and p value; NaN where there is none.
    """

    block: str
    title: str
    terms: tuple[str, ...]
    components: tuple[str, ...]
    values: Floats
    errors: Floats | None = None

    def with_errors(self, inferred: Inferred) -> Coefficients:
        """Return the same estimates with the standard errors, z and p values of a mapping."""
        nothing = (np.nan, np.nan, np.nan)
        errors = np.array(
            [[inferred.get((self.block, c, t), nothing) for c in self.components] for t in self.terms],
            dtype=np.float64,
        ).reshape(len(self.terms), len(self.components), 3)
        return Coefficients(self.block, self.title, self.terms, self.components, self.values, errors)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each coefficient, by (block, component, term): its estimate, and errors where known."""
        import pandas as pd  # for who wants frames

        keys = [(self.block, component, term) for component in self.components for term in self.terms]
        index = pd.MultiIndex.from_tuples(keys, names=["block", "component", "term"])
        columns = {"estimate": self.values.T.ravel()}
        if self.errors is not None:
            errors = self.errors.transpose(1, 0, 2).reshape(-1, 3)
            columns |= {"std_error": errors[:, 0], "z": errors[:, 1], "p_value": errors[:, 2]}
        return pd.DataFrame(columns, index=index)
