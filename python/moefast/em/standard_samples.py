"""The samples in the units in which EM works, with what a run has to know of them."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

import moefast._core as _core
from moefast._typing import Floats
from moefast.em.design import Design
from moefast.em.options import EmOptions
from moefast.em.response_covariance import at_floor, dependent_responses, least_correlation
from moefast.em.rows import row_groups
from moefast.em.standard_features import StandardFeatures
from moefast.em.standard_response import StandardResponse, absorb_offset
from moefast.families import GAUSSIAN, Family
from moefast.groups import RowGroups
from moefast.links import Link
from moefast.mixture import GatedExperts
from moefast.samples import Samples
from moefast.standardisation import Spread, Standardisation, Units
from moefast.transforms.polynomial import hermite_moment

__all__ = ["StandardSamples"]


# Cubes of a response that cannot be rescaled stay in range.
_LARGEST_RESPONSE = 1e100
# Variances this near to the floor are at it, relatively.
_AT_FLOOR = 1e-9

Self = TypeVar("Self", bound="StandardSamples")


class StandardSamples:
    """One data set in standard units.

    Parameters
    ----------
    samples : Samples
    options : EmOptions
    link : Link
        The link g. The response keeps its units, which g knows, unless g is homogeneous.
    family : Family
        Of the response, which keeps its units unless the family is one of location. Only the normal one takes a
        link.
    spread : Spread, optional
        Of which these samples are a part; that of the samples without it.

    Attributes
    ----------
    features : StandardFeatures
        They are centred only when both experts and gates have intercepts, since a shift would otherwise bring
        intercepts in; likewise t.
    response : StandardResponse
        The response t with what a family knows of it.
    sample_weight : ndarray of shape (n,)
        Positive.
    standardisation : Standardisation
    response_std : float
        Of y, 1 when it is constant; the noise floor is a multiple of it.
    constant_response : bool
    constant_responses : ndarray of shape (q,), bool
        Of each response.
    y_level : float
        The mean of y; (q,) for several responses, and so is `response_std`.
    variance_floor : float
        Smallest s_i^2, in standard units; next to 0 where there is none.
    least_covariance : ndarray of shape (q, q), or None
        Of several responses: what takes the place of it.
    dependent_responses : tuple of int
        Those that depend linearly on others.
    expert_design, gate_design : Design
        What experts and gates are linear in.
    constant, collinear : list of int
        Columns that do not vary, and columns that depend linearly on the others, among those that experts or gates
        see.
    groups : RowGroups or None
        Where several rows are of one expert, by which rows are sorted.
    row_group : ndarray of shape (n,), intp, or None
        A number for each row, the same for rows of the same values; None where all rows differ.
    weight_per_row : float
        Mean weight of the different rows: what "auto" ridges are in proportion to, so that neither the unit of the
        weights nor writing a row twice in place of weight 2 changes a fit.
    """

    def __init__(
        self,
        samples: Samples,
        options: EmOptions,
        link: Link,
        family: Family = GAUSSIAN,
        spread: Spread | None = None,
    ) -> None:
        self.link, self._family_in_units = link, family
        if not (link.is_linear or family == GAUSSIAN):
            raise ValueError(
                f"link must be 'linear' for family={family.name!r}, which has a link of its own, got {link.name!r}"
            )
        samples = absorb_offset(samples, family)
        for name in ("expert_columns", "gate_columns", "common_columns"):
            beyond = [j for j in getattr(options, name) or () if j >= samples.n_features]
            if beyond:
                raise ValueError(f"{name} has column {beyond[0]}, X has {samples.n_features} columns")
        self.groups = samples.groups
        if self.groups is not None:
            _refuse_varying_gates(samples, self.groups, options.gate_columns)
        self.sample_weight = np.ascontiguousarray(samples.sample_weight)
        centre_x = options.fit_intercept and options.fit_gate_intercept
        spread = spread or Spread.of(samples, outliers=family.has_outliers)
        self.constant_responses = np.atleast_1d(spread.y_deviation == 0)
        self.constant_response, self.y_level = bool(self.constant_responses.all()), spread.y_mean
        self.response_std = _or_one(spread.y_deviation)
        y_units: Units = "centred" if options.fit_intercept and link.is_linear else "root mean square"
        self.standardisation = Standardisation.of(
            spread,
            x="centred" if centre_x else "root mean square",
            y=y_units if family.is_location else "own",
        )
        if not link.is_homogeneous:
            self.standardisation = replace(self.standardisation, y_scale=1.0)
            if max(spread.y_deviation, abs(spread.y_mean)) > _LARGEST_RESPONSE:
                raise OverflowError(
                    f"y has a mean of {spread.y_mean:.3g} and a standard deviation of {spread.y_deviation:.3g}, "
                    f"beyond {_LARGEST_RESPONSE:g}; link {link.name!r} leaves y its units, so rescale y"
                )
        elif not link.is_linear and samples.y.any():  # an expert whose linear form has variance 1 keeps it
            unit = float(np.sqrt(hermite_moment(link, 2, 0)[0]))
            self.standardisation = replace(self.standardisation, y_scale=self.standardisation.y_scale / unit)
        self.features = StandardFeatures.of(samples.X, self.standardisation)
        self.response = StandardResponse.of(family, samples, self.standardisation)
        # The unit of a constant response has nothing to do with its value, which may be tiny.
        floor = np.minimum(options.noise_floor * self.response_std / self.standardisation.y_scale, 1e150)
        self.variance_floor = max(float(np.min(floor)) ** 2, 1e-300) if family.has_scale else 1e-300
        self.least_covariance: Floats | None = None
        self.dependent_responses: tuple[int, ...] = ()
        if family.has_covariance:
            correlation = np.eye(self.t.shape[1])
            if not self._is_diagonal:
                correlation = least_correlation(self.t, samples.share)
                self.dependent_responses = dependent_responses(self.t, samples.share)
            self.least_covariance = np.maximum(floor, 1e-150)[:, None] * correlation * np.maximum(floor, 1e-150)
        seen = (options.expert_columns, options.fit_intercept), (options.gate_columns, options.fit_gate_intercept)
        gram = self._gram(samples.share)
        designs = {s: Design.of(gram, *s) for s in dict.fromkeys(seen)}
        self.expert_design, self.gate_design = (designs[s] for s in seen)
        used = self.expert_design.uses | self.gate_design.uses
        self.constant = [j for j in sorted(used) if centre_x and spread.x_deviation[j] == 0]
        dependent = {*self.expert_design.dependent, *self.gate_design.dependent}
        self.collinear = sorted(dependent - set(self.constant))
        self.row_group = row_groups(self)
        self.weight_per_row = self.total_weight / self.n_distinct

    def __getstate__(self) -> dict[str, Any]:
        """Leave out of copies what was made of the rest: copies are made to be changed."""
        cls = type(self)
        made = {name for name in self.__dict__ if isinstance(getattr(cls, name, None), cached_property)}
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def _gram(self, share: Floats) -> Floats:
        """Return sum_n share_n u_n u_n' with u = (z, 1), of shape (D + 1, D + 1): the products of one expert."""
        d = self.features.shape[1]
        one = (np.zeros((1, d + 1)), np.zeros((1, d + 1)), np.ones(1), None, None)
        centre, inverse = self.features.core_units
        data = _core.EmData(self.features.values, share, share, centre=centre, inverse_scale=inverse)
        packed = _core.e_step(data, one, _core.EmSettings(variance_floor=1.0), "experts")["products"][:, 0]
        gram = np.zeros((d + 1, d + 1))
        gram[np.tril_indices(d + 1)] = packed
        return gram + np.tril(gram, -1).T

    @property
    def _is_diagonal(self) -> bool:
        """Whether several responses have covariances without correlations."""
        return self.family.n_scales == self.family.n_predictors

    def at_floor(self, mixture: GatedExperts) -> npt.NDArray[np.bool_]:
        """Whether the noise of each expert is at its floor, (k,); the mixture is in standard units."""
        if self.least_covariance is None:
            return np.asarray(mixture.sigma**2 <= self.largest_at_floor)
        assert mixture.covariance is not None
        return at_floor(mixture.covariance, self.least_covariance, diagonal=self._is_diagonal)

    @property
    def largest_at_floor(self) -> float:
        """The variance of one response up to which it counts as at the floor."""
        return self.variance_floor * (1 + _AT_FLOOR)

    @property
    def Z(self) -> Floats:
        """The standard features as an array, (n, d): it takes memory where there are many."""
        return self.features.array

    @property
    def t(self) -> Floats:
        """The response, (n,), or (n, q)."""
        return self.response.t

    def working_response(self, rng: np.random.Generator) -> Floats:
        """Return what starts take for a response that linear experts could explain, (n,)."""
        return self.response.drawn(self.sample_weight, rng)

    @property
    def family(self) -> Family:
        """Of the response, in standard units."""
        return self.response.family

    @property
    def row_value(self) -> Floats:
        """A number for each row, (n,), the same where the response, and all that goes with it, is the same."""
        return self.response.value

    @property
    def density_weight(self) -> float:
        """The weight of the rows whose likelihood is a density of y."""
        return float(np.sum(self.sample_weight * self.family.is_density(self.t)))

    @property
    def n_rows(self) -> int:
        """The number of samples."""
        return len(self.t)

    @cached_property
    def total_weight(self) -> float:
        """The sum of the weights, which counts as the number of rows."""
        return float(self.sample_weight.sum())

    @property
    def total_unit_weight(self) -> float:
        """The same of what is independent, rows or groups."""
        return float(self.unit_weight.sum())

    @property
    def unit_weight(self) -> Floats:
        """The weights of rows, shape (n,), or of groups, shape (G,)."""
        return self.sample_weight if self.groups is None else self.sample_weight[self.groups.first]

    @property
    def n_units(self) -> int:
        """How many rows, or groups, there are."""
        return self.n_rows if self.groups is None else self.groups.n_groups

    def for_rows(self, of_units: Floats) -> Floats:
        """Return what belongs to each row or group, shape (n,) or (G,), for each row."""
        return of_units if self.groups is None else self.groups.spread(of_units)

    def of_groups(self, values: Floats) -> Floats:
        """Return for each row the mean of its group's values, (n, ...); its own where rows are by themselves."""
        return values if self.groups is None else self.groups.means(values)

    @property
    def expert_samples(self) -> Samples:
        """The rows with the columns that experts see, in standard units."""
        return Samples(self.expert_design.take(self.Z), self.t, self.sample_weight)

    def reweighted(self: Self, sample_weight: Floats) -> Self:
        """Return the same samples in the same units with other weights, not negative, shape (n,)."""
        other = copy(self)
        other.sample_weight = np.ascontiguousarray(sample_weight)
        return other

    def subset(self: Self, rows: npt.NDArray[np.bool_]) -> Self:
        """Return some of the samples, in the same units; `rows` is a mask of shape (n,)."""
        other = copy(self)
        other._take(rows)
        other.sample_weight = self.sample_weight[rows]
        other.groups = None if self.groups is None else self.groups.subset(rows)
        if self.row_group is not None:
            other.row_group = np.unique(self.row_group[rows], return_inverse=True)[1]
        return other

    def _take(self, rows: npt.NDArray[Any]) -> None:
        """Keep some of the features and responses."""
        self.features, self.response = self.features.subset(rows), self.response[rows]

    @cached_property
    def distinct_weight(self) -> Floats:
        """The weights of the different rows, of all copies together."""
        weight, group = self.sample_weight, self.row_group
        return weight if group is None else np.asarray(np.bincount(group, weight), dtype=np.float64)

    @cached_property
    def largest_weight(self) -> float:
        """Of a different row."""
        return float(self.distinct_weight.max())

    @property
    def n_distinct(self) -> int:
        """The number of different rows."""
        return self.n_rows if self.row_group is None else int(self.row_group.max()) + 1


def _or_one(deviation: Any) -> Any:
    """Return standard deviations, 1 in place of 0."""
    return np.where(deviation == 0, 1.0, deviation) if np.ndim(deviation) else deviation or 1.0


def _refuse_varying_gates(samples: Samples, groups: RowGroups, gate_columns: tuple[int, ...] | None) -> None:
    """Raise ValueError, naming column and group, for a column of gates that varies within a group."""
    for j in range(samples.n_features) if gate_columns is None else gate_columns:
        g = groups.varying(samples.X[:, j])
        if g is not None:
            column = f"column {j}" if samples.names is None else f"column {samples.names[j]!r}"
            raise ValueError(
                f"X {column} varies within group {groups.name(g)}, so gates cannot see it: one expert has all "
                "rows of a group; give gate_features that are the same within each group, or [] for none"
            )
