"""The coefficients of a block, experts or one gate, with their standard errors where these are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from moefast._typing import Floats
from moefast.estimators.summary.errors import CoefficientKey, StandardError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Coefficients", "GateTable"]


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
    errors : mapping of (block, component, term) to StandardError, or None
        What is known of each beside its estimate; a term that is not there has no standard error.
    zeros : tuple of str
        Terms whose coefficients are all 0, and which are left out: columns that were not to be used, or that are
        constant, and intercepts that were not wanted.
    separated : frozenset of (str, str)
        Components and terms whose estimates are not finite: of separated gates, held by their ridge alone.

    Raises
    ------
    ValueError
        When the errors are those of other estimates.
    """

    block: str
    title: str
    terms: tuple[str, ...]
    components: tuple[str, ...]
    values: Floats
    errors: Mapping[CoefficientKey, StandardError] | None = None
    zeros: tuple[str, ...] = ()
    separated: frozenset[tuple[str, str]] = frozenset()

    def __post_init__(self) -> None:
        for j, component in enumerate(self.components):
            for t, term in enumerate(self.terms):
                error = self.error(component, term)
                if error is not None and not np.isclose(error.estimate, self.values[t, j], rtol=1e-6, atol=1e-12):
                    raise ValueError(
                        f"inference is of another fit: its estimate of {component}, {term} is "
                        f"{error.estimate:.6g}, the model's is {self.values[t, j]:.6g}"
                    )

    @classmethod
    def of(
        cls,
        block: str,
        title: str,
        estimates: Mapping[str, Floats],
        components: Sequence[str],
        errors: Mapping[CoefficientKey, StandardError] | None,
    ) -> Coefficients:
        """Return the table of estimates by term, one for each component, without the terms of which all are 0."""
        used = [term for term, values in estimates.items() if np.any(values)]
        values = np.array([estimates[term] for term in used]).reshape(len(used), len(components))
        zeros = tuple(term for term in estimates if term not in used)
        return cls(block, title, tuple(used), tuple(components), values, errors, zeros)

    def estimate(self, component: str, term: str) -> float:
        """Return an estimate, 0 for a term that was left out."""
        if term in self.zeros:
            return 0.0
        return float(self.values[self.terms.index(term), self.components.index(component)])

    def error(self, component: str, term: str) -> StandardError | None:
        """Return what is known of an estimate, or None."""
        return None if self.errors is None else self.errors.get((self.block, component, term))

    def mark(self, component: str, term: str) -> str:
        """Return a star for an estimate that is not finite."""
        return "*" if (component, term) in self.separated else ""

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each coefficient, by (block, component, term): its estimate, and errors where known."""
        import pandas as pd  # for who wants frames

        keys = [(self.block, component, term) for component in self.components for term in self.terms]
        index = pd.MultiIndex.from_tuples(keys, names=["block", "component", "term"])
        columns = {"estimate": self.values.T.ravel()}
        if self.errors is not None:
            known = [self.error(component, term) for _, component, term in keys]
            for name in StandardError._fields[1:]:
                columns[name] = np.array([np.nan if error is None else getattr(error, name) for error in known])
        return pd.DataFrame(columns, index=index)
