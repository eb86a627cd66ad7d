"""What experts and gates are linear in: some of the columns, and a constant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpstrf

from moefast._typing import Floats

__all__ = ["Design"]

# 1 - R^2 of a column on others from which on it counts as a linear combination of them.
_INDEPENDENT = 1e-10


@dataclass(frozen=True, eq=False)
class Design:
    """The columns that experts or gates see.

    Attributes
    ----------
    n_features : int
        Of the samples, D.
    columns : ndarray of shape (c,), intp, or None
        Positions among them, increasing; None for all.
    intercept : bool
        Whether a constant is seen beside them.
    rank : int
        Of these columns and the constant: how many coefficients can be told apart.
    dependent : tuple of int
        Columns that depend linearly on the others and the constant.
    """

    n_features: int
    columns: npt.NDArray[np.intp] | None
    intercept: bool
    rank: int
    dependent: tuple[int, ...]

    @classmethod
    def of(cls, Z: Floats, share: Floats, columns: tuple[int, ...] | None, intercept: bool) -> Design:
        """Return the design of standard features with the weights `share` of sum 1."""
        d = Z.shape[1]
        seen = None if columns is None or len(columns) == d else np.array(columns, dtype=np.intp)
        U = Z if seen is None else Z[:, seen]
        width = U.shape[1]
        weighted = U * share[:, None]
        gram = U.T @ weighted
        if intercept:
            gram = np.block([[gram, weighted.sum(axis=0)[:, None]], [weighted.sum(axis=0)[None], 1.0]])
        rank, dependent = 0, np.zeros(0, dtype=np.intp)
        if len(gram) > 0:
            _, pivots, rank, _ = dpstrf(gram, tol=_INDEPENDENT, lower=1)
            dependent = pivots[rank:] - 1
        dependent = dependent[dependent < width]
        found = dependent if seen is None else seen[dependent]
        return cls(d, seen, intercept, int(rank), tuple(sorted(int(j) for j in found)))

    @property
    def width(self) -> int:
        """The number of columns, the constant not counted."""
        return self.n_features if self.columns is None else len(self.columns)

    @property
    def uses(self) -> set[int]:
        """The columns as a set."""
        return set(range(self.n_features) if self.columns is None else map(int, self.columns))

    def take(self, values: Floats) -> Floats:
        """Return the columns of (..., D) that are seen, (..., c)."""
        return values if self.columns is None else np.ascontiguousarray(values[..., self.columns])

    def spread(self, values: Floats) -> Floats:
        """Undo :meth:`take`, with zeros for the columns that are not seen."""
        if self.columns is None:
            return values
        full = np.zeros((*values.shape[:-1], self.n_features))
        full[..., self.columns] = values
        return full
