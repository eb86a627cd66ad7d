"""The order and the names of the parameters in one vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.columns import column_names
from moefast.em.options import EmOptions
from moefast.em.response_covariance import covariance_of, pairs, scales_of
from moefast.families import GAUSSIAN, Family, MultivariateGaussian
from moefast.formulas.fitted import FittedFormula
from moefast.gate_basis import FittedGateBasis
from moefast.links import Link
from moefast.mixture import GatedExperts, Mixture
from moefast.standardisation import Standardisation
from moefast.validation import check_features

__all__ = ["FittedModel", "ParameterLayout", "ParameterTable"]


class FittedModel(Protocol):
    """What inference reads of a fitted estimator."""

    mixture_: GatedExperts
    n_features_in_: int
    formula_: FittedFormula | None
    gate_basis_: FittedGateBasis | None


@dataclass(frozen=True)
class ParameterTable:
    """Numbers that belong to the parameters of a mixture, in the shapes of its attributes.

    Attributes
    ----------
    coef, gate_coef : ndarray of shape (k, d)
        NaN where a feature is not used; of the reference expert's gate all are. Of experts with q predictors, as
        those of more than two classes, `coef` has shape (k, q, d) and `intercept` (k, q).
    intercept, gate_intercept : ndarray of shape (k,)
    log_sigma, log_shape : ndarray of shape (k,)
        With shared noise the same number for all; NaN where the family has none. Of q responses `log_sigma` has
        shape (k, q).
    correlation : ndarray of shape (k, m), or None
        Of several responses what belongs to atanh of their correlations, see :attr:`ParameterLayout.pairs`.
    """

    coef: Floats
    intercept: Floats
    gate_coef: Floats
    gate_intercept: Floats
    log_sigma: Floats
    log_shape: Floats
    correlation: Floats | None = None


@dataclass(frozen=True)
class ParameterLayout:
    """Where each parameter of a mixture stands in the vector theta.

    theta = (a_i, b_i of every expert | W_j - W_ref, c_j - c_ref of every expert but the reference | log s_i |
    log shape_i), with one log s and one log shape where the noise is shared, and none where the family has none.

    Parameters
    ----------
    feature_names : tuple of str
        d of them.
    n_experts : int
        k.
    expert_columns, gate_columns : tuple of int
        What experts and gates use of the features and the constant, which is number d.
    shared_noise : bool
    reference : int
        The expert whose gate is 0.
    has_scale : bool
        Whether there are s_i.
    shape_name : str or None
        What the shapes are called, if there are any.
    predictors : tuple of str
        What an expert's predictors are called; one without a name, or one for each class but the first, or for
        each response.
    covariance_type : str or None
        Of several responses, whose log s and correlations stand where log s_i stands.
    """

    feature_names: tuple[str, ...]
    n_experts: int
    expert_columns: tuple[int, ...]
    gate_columns: tuple[int, ...]
    shared_noise: bool
    reference: int
    has_scale: bool = True
    shape_name: str | None = None
    predictors: tuple[str, ...] = ("",)
    covariance_type: str | None = None

    @classmethod
    def of(cls, model: FittedModel, options: EmOptions) -> ParameterLayout:
        """Return the layout of a fitted estimator."""
        layout = cls.of_names(feature_names(model), model.mixture_, options)
        responses = getattr(model, "response_names_", None)
        if layout.covariance_type is not None and responses is not None:
            return replace(layout, predictors=tuple(responses))
        classes = getattr(model, "classes_", None)
        if classes is None or len(layout.predictors) == 1:
            return layout
        return replace(layout, predictors=tuple(str(label) for label in classes[1:]))

    @classmethod
    def of_names(cls, names: Sequence[str], mixture: GatedExperts, options: EmOptions) -> ParameterLayout:
        """Return the layout of a mixture on features with these names."""
        d = len(names)
        every = tuple(range(d))
        seen = (
            every if columns is None else columns for columns in (options.expert_columns, options.gate_columns)
        )
        intercepts = (options.fit_intercept, options.fit_gate_intercept)
        experts, gates = ((*columns, d) if has else columns for columns, has in zip(seen, intercepts, strict=True))
        k, family, shared = mixture.n_experts, mixture.family, options.noise == "shared"
        q = family.n_predictors
        predictors = ("",) if q == 1 else tuple(str(a) for a in range(1, q + 1))
        covariance_type = None
        if isinstance(family, MultivariateGaussian):
            predictors, covariance_type = tuple(f"y{a}" for a in range(q)), family.covariance_type
        dispersions = family.has_scale, family.shape_name
        return cls(tuple(names), k, experts, gates, shared, k - 1, *dispersions, predictors, covariance_type)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Of several responses, those whose correlations are parameters."""
        return pairs(len(self.predictors), diagonal=self.covariance_type != "full")

    @property
    def n_scales(self) -> int:
        """How many parameters the noise of an expert has."""
        if self.covariance_type is None:
            return int(self.has_scale)
        return len(self.predictors) + len(self.pairs)

    @property
    def scale_names(self) -> list[str]:
        """What they are called."""
        if self.covariance_type is None:
            return ["log(sigma)"] * self.has_scale
        y = self.predictors
        correlations = [f"atanh(corr [{y[a]}, {y[b]}])" for a, b in self.pairs]
        return [f"log(sigma [{name}])" for name in y] + correlations

    @property
    def n_features(self) -> int:
        """The number of features d."""
        return len(self.feature_names)

    @property
    def n_parameters(self) -> int:
        """The length P of theta."""
        return int(self.shapes.stop)

    @property
    def gated(self) -> tuple[int, ...]:
        """The experts whose gates are in theta, in its order."""
        return tuple(i for i in range(self.n_experts) if i != self.reference)

    @property
    def gates(self) -> slice:
        """Where the gates stand."""
        first = self.n_experts * len(self.predictors) * len(self.expert_columns)
        return slice(first, first + (self.n_experts - 1) * len(self.gate_columns))

    @property
    def noise(self) -> slice:
        """Where log s_i stand, and what there is of correlations."""
        return self._dispersion(self.gates.stop, self.n_scales)

    @property
    def shapes(self) -> slice:
        """Where log shape_i stand."""
        return self._dispersion(self.noise.stop, int(self.shape_name is not None))

    def _dispersion(self, start: int, n: int) -> slice:
        return slice(start, start + n * (1 if self.shared_noise else self.n_experts))

    def expert(self, i: int) -> slice:
        """Where a_i and b_i stand, of all its predictors."""
        m = len(self.predictors) * len(self.expert_columns)
        return slice(i * m, (i + 1) * m)

    def forms(self, i: int) -> list[slice]:
        """Where they stand, predictor by predictor."""
        m, first = len(self.expert_columns), self.expert(i).start
        return [slice(first + a * m, first + (a + 1) * m) for a in range(len(self.predictors))]

    def gate(self, i: int) -> slice:
        """Where W_i and c_i stand; `i` is not the reference."""
        m, first = len(self.gate_columns), self.gates.start
        at = self.gated.index(i)
        return slice(first + at * m, first + (at + 1) * m)

    def scales(self, i: int) -> list[int]:
        """Where log s_i, or log s and correlations of all responses, stand, as far as there are any."""
        first = self.noise.start + (0 if self.shared_noise else i) * self.n_scales
        return list(range(first, first + self.n_scales))

    @property
    def log_sigmas(self) -> npt.NDArray[np.intp]:
        """Where log s_i stand, shape (k,) or where it is shared (1,); of q responses (k, q) or (1, q)."""
        places = np.arange(self.noise.start, self.noise.stop).reshape(-1, max(1, self.n_scales))
        return places[:, 0] if self.covariance_type is None else places[:, : len(self.predictors)]

    def log_shape(self, i: int) -> int:
        """Where log shape_i stands; there is one."""
        return int(self.shapes.start) + (0 if self.shared_noise else i)

    def dispersion(self, i: int) -> list[int]:
        """Where log s_i and log shape_i stand, as far as there are any."""
        return self.scales(i) + [self.log_shape(i)] * (self.shape_name is not None)

    def common(self, columns: Sequence[int]) -> Floats:
        """Return J (P, m) with theta = J phi, where all experts have the coefficients of some columns in common.

        Without such columns it is the identity.
        """
        J = np.eye(self.n_parameters)
        for j in columns:
            at = self.expert_columns.index(j)
            places = [self.expert(i).start + at for i in range(self.n_experts)]
            J[places[1:], places[0]] = 1.0
        dropped = [
            self.expert(i).start + self.expert_columns.index(j) for j in columns for i in range(1, self.n_experts)
        ]
        return np.delete(J, dropped, axis=1)

    @property
    def names(self) -> list[tuple[str, str]]:
        """What the parameters belong to, and their names there: one pair for each."""
        terms = [*self.feature_names, "(intercept)"]
        found = [
            (f"expert {i}", f"{terms[j]} [{name}]" if name else terms[j])
            for i in range(self.n_experts)
            for name in self.predictors
            for j in self.expert_columns
        ]
        found += [(f"gate {i}", terms[j]) for i in self.gated for j in self.gate_columns]
        owners = ["all experts"] if self.shared_noise else [f"expert {i}" for i in range(self.n_experts)]
        found += [(owner, name) for owner in owners for name in self.scale_names]
        return found + [(owner, f"log({self.shape_name})") for owner in owners if self.shape_name]

    def vector(self, mixture: Mixture) -> Floats:
        """Return theta of a mixture, shape (P,)."""
        experts = np.concatenate([mixture.coef, mixture.intercept[..., None]], axis=-1)
        experts = experts[..., list(self.expert_columns)]
        gates = np.column_stack([mixture.gate_coef, mixture.gate_intercept])
        gates = (gates - gates[self.reference])[np.ix_(self.gated, self.gate_columns)]
        there = [np.log(mixture.sigma)] * self.has_scale + [np.log(mixture.shape)] * (self.shape_name is not None)
        if mixture.covariance is not None:
            there[0] = scales_of(mixture.covariance, diagonal=self.covariance_type == "diag")
        dispersions = [(values[:1] if self.shared_noise else values).ravel() for values in there]
        return np.concatenate([experts.ravel(), gates.ravel(), *dispersions])

    def mixture(self, theta: Floats, link: Link, family: Family = GAUSSIAN) -> Mixture:
        """Return the mixture of theta; its gate of the last expert is 0, as always."""
        t = self._filled(theta, 0.0)
        sigma, shape = np.exp(t.log_sigma), np.exp(t.log_shape)
        covariance = None
        if t.correlation is not None:
            scales = np.column_stack([t.log_sigma, t.correlation])
            covariance = covariance_of(scales, len(self.predictors), diagonal=self.covariance_type == "diag")
        mixture = Mixture(
            t.coef, t.intercept, t.gate_coef, t.gate_intercept, sigma, link, family, shape, covariance
        )
        return mixture.ordered(np.arange(self.n_experts))

    def table(self, values: Floats) -> ParameterTable:
        """Return a number for each parameter, shape (P,), in the shapes of the model's attributes."""
        return self._filled(values, np.nan)

    def _filled(self, values: Floats, rest: float) -> ParameterTable:
        k, d = self.n_experts, self.n_features
        q = len(self.predictors)
        experts, gates = np.full((k, q, d + 1), rest), np.full((k, d + 1), rest)
        experts[..., list(self.expert_columns)] = values[: self.gates.start].reshape(k, q, -1)
        several = self.covariance_type is not None
        experts = experts if q > 1 or several else experts[:, 0]
        gates[np.ix_(self.gated, self.gate_columns)] = values[self.gates].reshape(k - 1, len(self.gate_columns))
        log_sigma, log_shape, correlation = np.full((k, q) if several else k, rest), np.full(k, rest), None
        if self.has_scale:
            log_sigma[:] = values[self.log_sigmas]
        if several:
            places = np.array([self.scales(i) for i in range(k)])
            correlation = values[places[:, q:]]
        if self.shape_name is not None:
            log_shape[:] = values[self.shapes]
        of_gates = gates[:, :d], gates[:, d]
        return ParameterTable(experts[..., :d], experts[..., d], *of_gates, log_sigma, log_shape, correlation)

    def checked_features(self, X: Any, basis: FittedGateBasis | None = None) -> Floats:
        """Return X as finite float64 of shape (n, d), or raise where it has not the columns of the fit.

        With the functions of a gates' basis, which are among the features.
        """
        given = column_names(X)
        X = check_features(X)
        names = self.feature_names if basis is None else self.feature_names[: basis.n_features]
        if X.shape[1] != len(names):
            wanted = ", ".join(names)
            raise ValueError(f"X must have the {len(names)} columns of the fit ({wanted}), got {X.shape[1]}")
        if given is not None and tuple(given) != names:
            raise ValueError(f"X must have the columns of the fit, {', '.join(names)}, got {', '.join(given)}")
        return np.asarray(X if basis is None else basis.expand(X))

    def to_units(self, s: Standardisation) -> tuple[Floats, Floats]:
        """Return T (P, P) and the constant (P,) with theta in the units of the data = T theta_standard + constant.

        Exact. An expert's intercept takes in its slopes times the means of the features, so T is not diagonal.
        """
        T, constant = np.eye(self.n_parameters), np.zeros(self.n_parameters)
        q = len(self.predictors)
        scales, means = np.broadcast_to(s.y_scale, q), np.broadcast_to(s.y_mean, q)
        blocks = [
            (form, self.expert_columns, scales[a], means[a])
            for i in range(self.n_experts)
            for a, form in enumerate(self.forms(i))
        ]
        blocks += [(self.gate(i), self.gate_columns, 1.0, 0.0) for i in self.gated]
        for where, columns, scale, mean in blocks:
            block = T[where, where]
            for at, j in enumerate(columns):
                if j < self.n_features:
                    block[at, at] = scale / s.x_scale[j]
            if self.n_features in columns:
                last = columns.index(self.n_features)
                slopes = [at for at in range(len(columns)) if at != last]
                used = [columns[at] for at in slopes]
                block[last, last] = scale
                block[last, slopes] = -scale * (s.x_mean * s.inverse_x_scale)[used]
                constant[where.start + last] = mean
        constant[self.log_sigmas] = np.log(s.y_scale)
        return T, constant

    def change_of_reference(self, reference: int) -> tuple[ParameterLayout, Floats]:
        """Return the layout with another expert's gate 0, and M (P, P) with the new theta = M theta.

        W_j - W_new = (W_j - W_old) - (W_new - W_old).
        """
        new = replace(self, reference=reference)
        M = np.eye(self.n_parameters)
        if reference == self.reference:
            return new, M
        M[self.gates, self.gates] = 0.0
        identity = np.eye(len(self.gate_columns))
        for i in new.gated:
            if i != self.reference:
                M[new.gate(i), self.gate(i)] = identity
            M[new.gate(i), self.gate(reference)] -= identity
        return new, M

    def ridge_metric(self, intercepts: bool) -> npt.NDArray[np.float64]:
        """Return the matrix of sum_i ||W_i - mean W||^2 as a form in the gates' part of theta.

        With `intercepts` those of the gates are in it too. The same for every reference.
        """
        of_columns = np.array([intercepts or j < self.n_features for j in self.gate_columns], dtype=np.float64)
        k, m = self.n_experts, len(of_columns)
        of_experts = np.eye(k - 1) - 1.0 / k
        both = (
            of_experts[:, None, :, None] * np.diag(of_columns)[None, :, None, :]
        )  # as np.kron, which takes longer
        return np.asarray(both.reshape((k - 1) * m, (k - 1) * m))


def feature_names(model: FittedModel) -> list[str]:
    """Return the names of the features, x0, x1, ... without names, and of the functions of the gates."""
    names = getattr(model, "feature_names_in_", None)
    found = [f"x{j}" for j in range(model.n_features_in_)] if names is None else [str(name) for name in names]
    return found if model.gate_basis_ is None else [*found, *model.gate_basis_.names]
