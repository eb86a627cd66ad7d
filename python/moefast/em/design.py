"""What experts and gates are linear in: some of the columns, and a constant."""

from __future__ import annotations

from collections.abc import Sequence
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
    n_varying : int
        How many columns vary independently: a constant among them does not count, nor does the intercept.
    """

    n_features: int
    columns: npt.NDArray[np.intp] | None
    intercept: bool
    rank: int
    dependent: tuple[int, ...]
    n_varying: int

    @classmethod
    def of(cls, gram: Floats, columns: tuple[int, ...] | None, intercept: bool) -> Design:
        """Return the design of features whose weighted products with each other and a constant are `gram`.

        Its last row and column are those of the constant; weights add up to 1.
        """
        d = len(gram) - 1
        seen = None if columns is None or len(columns) == d else np.array(columns, dtype=np.intp)
        used = np.arange(d) if seen is None else seen
        width = len(used)
        rank, dependent = _independent(gram, np.append(used, d) if intercept else used)
        n_varying = (rank if intercept else _independent(gram, np.append(used, d))[0]) - 1
        dependent = dependent[dependent < width]
        found = dependent if seen is None else seen[dependent]
        return cls(d, seen, intercept, rank, tuple(sorted(int(j) for j in found)), n_varying)

    @property
    def width(self) -> int:
        """The number of columns, the constant not counted."""
        return self.n_features if self.columns is None else len(self.columns)

    @property
    def uses(self) -> set[int]:
        """The columns as a set."""
        return set(range(self.n_features) if self.columns is None else map(int, self.columns))

    def positions(self, columns: Sequence[int]) -> list[int]:
        """Return where columns, given by their position among the features, stand among those that are seen."""
        seen = range(self.n_features) if self.columns is None else [int(j) for j in self.columns]
        return [list(seen).index(j) for j in columns]

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


def _independent(gram: Floats, used: npt.NDArray[np.intp]) -> tuple[int, npt.NDArray[np.intp]]:
    """Return how many of some columns are linearly independent, and which of them depend on the others."""
    if len(used) == 0:
        return 0, np.zeros(0, dtype=np.intp)
    _, pivots, rank, _ = dpstrf(gram[np.ix_(used, used)], tol=_INDEPENDENT, lower=1)
    return int(rank), pivots[rank:] - 1
