r"""The average of several mixtures of experts: their experts side by side, each with 1 / B of its gate.

.. math::

    P(y \mid x) = \frac1B \sum_b \sum_i p_{bi}(x)\, f(y \mid \text{expert } i \text{ of mixture } b)

Its mean is nearer to y than those of the mixtures, and its spread is more than theirs, since it has the spread
between them too. So an average of laws that are right is too wide, and one number may draw it together again:
each expert's predictor towards the mean of all, and its noise, by c < 1. That is the law of m + c (Y - m) in place
of that of Y, with the same mean m. Gneiting and Ranjan, "Combining predictive distributions", Electronic Journal
of Statistics 7, 2013, show that the average is too wide, and correct it by the noise alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from moefast._typing import Floats
from moefast.families import Family, Gaussian, Predictors, StudentT
from moefast.links import Link
from moefast.mixture import GatedExperts
from moefast.samples import NO_TERMS, RowTerms

__all__ = ["AveragedMixture", "can_be_drawn_together"]

# Numbers of an array of all experts for some rows: 8 MB.
_BLOCK = 2**20


def can_be_drawn_together(family: Family) -> bool:
    """Whether y lies around the predictor, which is its mean, in units of sigma."""
    return isinstance(family, (Gaussian, StudentT))


class AveragedMixture(GatedExperts):
    """The average of mixtures, as one of all their experts; memory is bounded by blocks of rows.

    Parameters
    ----------
    parts : sequence of GatedExperts
        Of the same family, link and features.
    spread : float
        The factor c, other than 1 for families around whose predictor y lies: see :func:`can_be_drawn_together`.
    """

    def __init__(self, parts: Sequence[GatedExperts], spread: float = 1.0) -> None:
        self.parts, self.spread = tuple(parts), float(spread)

    @property
    def family(self) -> Family:  # type: ignore[override]  # that of all parts
        """The law of y."""
        return self.parts[0].family

    @property
    def link(self) -> Link:  # type: ignore[override]
        """What experts do to their linear forms."""
        return self.parts[0].link

    @cached_property
    def coef(self) -> Floats:  # type: ignore[override]
        """The coefficients of all experts, mixture after mixture."""
        return np.concatenate([part.coef for part in self.parts])

    @cached_property
    def intercept(self) -> Floats:  # type: ignore[override]
        """Their intercepts."""
        return np.concatenate([part.intercept for part in self.parts])

    @cached_property
    def sigma(self) -> Floats:  # type: ignore[override]
        """Their noise, times c."""
        return self.spread * np.concatenate([part.sigma for part in self.parts])

    @cached_property
    def shape(self) -> Floats:
        """Their shapes."""
        return np.concatenate([part.shape for part in self.parts])

    @property
    def gate_coef(self) -> tuple[Floats, ...]:  # type: ignore[override]
        """The coefficients of the gates of each mixture."""
        return tuple(np.concatenate([np.atleast_2d(g) for g in _levels(part.gate_coef)]) for part in self.parts)

    @property
    def gate_intercept(self) -> tuple[Floats, ...]:  # type: ignore[override]
        """Their intercepts."""
        return tuple(np.concatenate([np.ravel(g) for g in _levels(part.gate_intercept)]) for part in self.parts)

    def log_gates(self, X: Floats) -> Floats:
        """Return log of the gates of all experts, (n, sum of k), which add up to 1."""
        return np.asarray(np.hstack([part.log_gates(X) for part in self.parts]) - np.log(len(self.parts)))

    def predictors(self, X: Floats, terms: RowTerms = NO_TERMS) -> Predictors:
        """Return what all experts say, drawn towards their mean by c."""
        of = [part.predictors(X, terms) for part in self.parts]
        eta = np.concatenate([one.eta for one in of], axis=1)
        if self.spread != 1.0:
            mean = np.sum(self.gates(X) * eta, axis=1, keepdims=True)
            eta = mean + self.spread * (eta - mean)
        return Predictors(eta, self.sigma, self.shape, of[0].n_trials)

    def part_means(self, X: Floats, terms: RowTerms = NO_TERMS) -> Floats:
        """Return E[y | x] of each mixture, shape (n, B)."""
        return np.stack([part.mean(X, terms) for part in self.parts], axis=1)

    def log_density(self, X: Floats, y: Floats, terms: RowTerms = NO_TERMS) -> Floats:
        """Return log P(y | x), shape (n,)."""
        return self._by_blocks(super().log_density, X, terms, y)

    def mean(self, X: Floats, terms: RowTerms = NO_TERMS) -> Floats:
        """Return E[y | x], shape (n,)."""
        return self._by_blocks(super().mean, X, terms)

    def std(self, X: Floats, terms: RowTerms = NO_TERMS) -> Floats:
        """Return the standard deviation of y given x, shape (n,)."""
        return self._by_blocks(super().std, X, terms)

    def cdf(self, X: Floats, y: Floats, terms: RowTerms = NO_TERMS) -> Floats:
        """Return P(Y <= y | x), shape (n,)."""
        return self._by_blocks(super().cdf, X, terms, y)

    def log_density_grid(self, X: Floats, grid: Floats, terms: RowTerms = NO_TERMS) -> Floats:
        """Return log P(y | x) at every row of X and every y of a grid of shape (g,), shape (n, g)."""
        of_blocks = super().log_density_grid
        return self._by_blocks(lambda rows, of: of_blocks(rows, grid, of), X, terms)

    def quantile(self, X: Floats, levels: Floats, terms: RowTerms = NO_TERMS) -> Floats:
        """Return the smallest y with P(Y <= y | x) >= q for each q of shape (m,), shape (n, m)."""
        of_blocks = super().quantile
        return self._by_blocks(lambda rows, of: of_blocks(rows, levels, of), X, terms)

    def draw(self, X: Floats, rng: np.random.Generator, terms: RowTerms = NO_TERMS) -> Floats:
        """Return one y for each row of X, shape (n,)."""
        of_blocks = super().draw
        return self._by_blocks(lambda rows, of: of_blocks(rows, rng, of), X, terms)

    def _by_blocks(self, compute: Callable[..., Floats], X: Floats, terms: RowTerms, *of_rows: Floats) -> Floats:
        """Return ``compute(X, *of_rows, terms)``, worked out for some rows at a time."""
        rows = max(1, _BLOCK // len(self.sigma))
        blocks = [slice(i, i + rows) for i in range(0, max(1, len(X)), rows)]
        return np.concatenate([compute(X[b], *(v[b] for v in of_rows), terms[b]) for b in blocks])


def _levels(gates: Any) -> tuple[Floats, ...]:
    """Return the arrays of a mixture's gates, one a level of a tree."""
    return gates if isinstance(gates, tuple) else (gates,)
