"""Functions of the gates' columns, so that a region need not be a wedge: squares and products, or splines.

They stand behind the columns of X as further ones: experts see the former, gates the latter. scikit-learn's
transformers make them of columns in standard units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy.linalg.lapack import dpstrf

from moefast._typing import AnyFloats, Floats
from moefast.samples import Samples
from moefast.standardisation import Standardisation, location_and_scale

__all__ = ["GATE_BASES", "FittedGateBasis", "GateBasis"]

GateBasis: TypeAlias = Literal["linear", "quadratic", "spline"]
GATE_BASES = ("linear", "quadratic", "spline")

_DEGREE = 2
_KNOTS = 4
# Of the variance of a function, what the others do not explain where it counts as independent of them.
_INDEPENDENT = 1e-8


@dataclass(frozen=True, eq=False)
class FittedGateBasis:
    """The functions of the gates' columns that a fit has learnt.

    Attributes
    ----------
    kind : {"quadratic", "spline"}
    n_features : int
        d, the columns of X.
    linear : tuple of int
        Columns of X that gates see as they are.
    columns : tuple of int
        Columns of X that the functions are of.
    centre, scale : ndarray of shape (c,)
        Mean and standard deviation of these columns.
    knots : ndarray of shape (knots, c)
        Of splines, in standard units; those of others are empty.
    kept : tuple of int
        Positions of the functions, among those of the transformer, that do not depend linearly on others.
    names : tuple of str
        What coefficients call the functions.
    """

    kind: str
    n_features: int
    linear: tuple[int, ...]
    columns: tuple[int, ...]
    centre: Floats
    scale: Floats
    knots: Floats
    kept: tuple[int, ...]
    names: tuple[str, ...]

    @classmethod
    def learn(cls, kind: str, samples: Samples, columns: Sequence[int] | None) -> FittedGateBasis | None:
        """Return the functions of some columns, all for None; None where there is nothing but these columns.

        Parameters
        ----------
        kind : {"linear", "quadratic", "spline"}
        samples : Samples
        columns : sequence of int, optional
            Those that gates see.
        """
        if kind == "linear":
            return None
        d = samples.n_features
        seen = tuple(range(d)) if columns is None else tuple(columns)
        X = np.asarray(samples.X[:, list(seen)], dtype=np.float64)
        share = samples.share
        centre, scale = location_and_scale(X, samples.sample_weight)
        # Of a column of two values every function is linear.
        curved = [j for j in range(len(seen)) if scale[j] > 0 and len(np.unique(X[:, j])) > 2]
        if not curved:
            return None
        if kind == "quadratic":  # products of two-valued columns are functions of their own
            curved = [j for j in range(len(seen)) if scale[j] > 0]
        Z = _in_units(X[:, curved], centre[curved], scale[curved])
        knots = np.empty((0, len(curved)))
        if kind == "spline":
            knots = np.column_stack([_knots(z, samples.sample_weight) for z in Z.T])
        names = samples.names or [f"x{j}" for j in range(d)]
        basis = cls(
            kind,
            d,
            tuple(seen[j] for j in range(len(seen)) if kind == "quadratic" or j not in curved),
            tuple(seen[j] for j in curved),
            centre[curved],
            scale[curved],
            knots,
            (),
            (),
        )
        of_curved = basis._transformer.get_feature_names_out([names[j] for j in basis.columns])
        before = Z if kind == "quadratic" else np.empty((len(Z), 0))
        kept = _independent(basis._transformer.transform(Z), before, share)
        if not kept:
            return None
        return replace(basis, kept=kept, names=tuple(str(of_curved[i]) for i in kept))

    @property
    def gate_columns(self) -> tuple[int, ...]:
        """The columns that gates see, of those of X and the functions behind them."""
        return (*self.linear, *range(self.n_features, self.n_features + len(self.kept)))

    def expand(self, X: Floats) -> Floats:
        """Return the columns of X and the functions behind them, shape (n, d + number of functions)."""
        with np.errstate(over="ignore", invalid="ignore"):  # predictions name a row that is too far out
            Z = _in_units(X[:, list(self.columns)], self.centre, self.scale)
            functions = self._transformer.transform(Z)[:, list(self.kept)]
        return np.hstack([X, functions.astype(X.dtype, copy=False)])

    def of_samples(self, samples: Samples) -> Samples:
        """Return the samples with the functions behind the columns of X."""
        names = samples.names or tuple(f"x{j}" for j in range(self.n_features))
        return replace(samples, X=self.expand(samples.X), names=(*names, *self.names))

    @property
    def n_candidates(self) -> int:
        """How many functions the transformer makes, of which some are kept."""
        return len(self._transformer.get_feature_names_out())

    @cached_property
    def _transformer(self) -> Any:
        """scikit-learn's transformer; what it has to learn is given."""
        from sklearn.preprocessing import PolynomialFeatures, SplineTransformer  # loads what fitting does not need

        if self.kind == "quadratic":
            return PolynomialFeatures(2, include_bias=False).fit(np.zeros((1, len(self.columns))))
        splines = SplineTransformer(degree=_DEGREE, knots=self.knots, extrapolation="linear", include_bias=False)
        return splines.fit(self.knots)


def _in_units(X: AnyFloats, centre: Floats, scale: Floats) -> Floats:
    """Return the columns with mean 0 and standard deviation 1."""
    return Standardisation(centre, scale, 0.0, 1.0).features(X)


def _knots(values: Floats, weights: Floats) -> Floats:
    """Return knots at quantiles of values, evenly between the ends where quantiles coincide; shape (knots,)."""
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    levels = np.linspace(0.0, 1.0, _KNOTS)
    at = np.minimum(np.searchsorted(below, levels * below[-1] * (1.0 - 1e-12)), len(values) - 1)
    found = values[order][at]
    if (np.diff(found) > 1e-3 * (found[-1] - found[0])).all():
        return np.asarray(found)
    return np.linspace(found[0], found[-1], _KNOTS)


def _independent(functions: Floats, before: Floats, share: Floats) -> tuple[int, ...]:
    """Return the positions of functions that depend linearly neither on others nor on the columns before them."""
    root = np.sqrt(share)[:, None]
    spread = np.sqrt(share @ (functions - share @ functions) ** 2)
    scaled = root * (functions - share @ functions) / np.where(spread > 0, spread, 1.0)
    if before.shape[1]:
        of_before = root * (before - share @ before)
        scaled -= of_before @ np.linalg.lstsq(of_before, scaled, rcond=None)[0]
    _, pivots, rank, _ = dpstrf(scaled.T @ scaled, tol=_INDEPENDENT, lower=1)
    return tuple(sorted(int(j) for j in pivots[:rank] - 1))
