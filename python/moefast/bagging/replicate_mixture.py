"""The mixture of a replicate whose gates see functions of the columns, for the columns alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.families import Family, Predictors
from moefast.gate_basis import FittedGateBasis
from moefast.links import Link
from moefast.mixture import GatedExperts, Mixture
from moefast.samples import NO_TERMS, RowTerms

__all__ = ["MixtureOnBasis", "mixture_of"]


def mixture_of(fitted: Any) -> GatedExperts:
    """Return the mixture of a fitted estimator as a function of the columns that it was given."""
    basis = fitted.gate_basis_
    return fitted.mixture_ if basis is None else MixtureOnBasis(fitted.mixture_, basis)


@dataclass(frozen=True, eq=False)
class MixtureOnBasis(GatedExperts):
    """A mixture of columns and the functions behind them, which experts do not see."""

    mixture: Mixture
    basis: FittedGateBasis

    @property
    def coef(self) -> Floats:  # type: ignore[override]
        """a_i, without the zeros of the functions."""
        return self.mixture.coef[:, : self.basis.n_features]

    @property
    def intercept(self) -> Floats:  # type: ignore[override]
        """b_i."""
        return self.mixture.intercept

    @property
    def gate_coef(self) -> Floats:  # type: ignore[override]
        """W, with those of the functions."""
        return self.mixture.gate_coef

    @property
    def gate_intercept(self) -> Floats:  # type: ignore[override]
        """The intercepts of the gates."""
        return self.mixture.gate_intercept

    @property
    def sigma(self) -> Floats:  # type: ignore[override]
        """s_i."""
        return self.mixture.sigma

    @property
    def shape(self) -> Floats:
        """The shapes."""
        return self.mixture.shape

    @property
    def link(self) -> Link:  # type: ignore[override]
        """What experts do to their linear forms."""
        return self.mixture.link

    @property
    def family(self) -> Family:  # type: ignore[override]
        """The law of y."""
        return self.mixture.family

    def log_gates(self, X: Floats) -> Floats:
        """Return log p_i(x), shape (n, k)."""
        return self.mixture.log_gates(self.basis.expand(X))

    def predictors(self, X: Floats, terms: RowTerms = NO_TERMS) -> Predictors:
        """Return what the experts say."""
        return self.mixture.predictors(self.basis.expand(X), terms)

    def ordered(self, order: npt.NDArray[np.intp]) -> MixtureOnBasis:
        """Return the same with its experts in another order."""
        return MixtureOnBasis(self.mixture.ordered(order), self.basis)
