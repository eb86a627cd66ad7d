"""What the core is told of a problem, and what its answers mean."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

import moefast._core as _core
from moefast._typing import Floats
from moefast.em.options import EXPERT_ALPHA_LEAST, GATE_ALPHA_AUTO, EmOptions
from moefast.em.response_covariance import raised
from moefast.em.standard_samples import StandardSamples
from moefast.families import GAUSSIAN, Family
from moefast.links import LINKS, Link
from moefast.mixture import Mixture
from moefast.repeated import group_responsibilities
from moefast.samples import Samples
from moefast.standardisation import Spread
from moefast.threads import resolve_threads

__all__ = ["CoreProblem"]


class CoreProblem(StandardSamples):
    """One data set in standard units, as the core reads it; see :class:`StandardSamples`.

    Parameters
    ----------
    samples : Samples
    options : EmOptions
    link : Link
        The link g. The response keeps its units, which g knows, unless g is homogeneous.
    family : Family
        Of the response, in the units of the data.
    spread : Spread, optional
        As in :class:`StandardSamples`.
    """

    def __init__(
        self,
        samples: Samples,
        options: EmOptions,
        link: Link = LINKS["linear"],
        family: Family = GAUSSIAN,
        spread: Spread | None = None,
    ) -> None:
        self.options = options
        self._n_threads = resolve_threads(options.n_threads)  # looks at files of the system
        super().__init__(samples, options, link, family, spread)
        if options.gate_alpha == "auto":
            self.options = replace(options, gate_alpha=GATE_ALPHA_AUTO * self.weight_per_row)
        if options.l1_ratio > 0 and family.n_predictors > 1:
            raise ValueError(
                f"l1_ratio={options.l1_ratio:g} is for experts of one predictor, and those of family "
                f"{family.name!r} have {family.n_predictors}; set it to 0"
            )
        if family.may_be_sure:
            least = EXPERT_ALPHA_LEAST * self.weight_per_row
            self.options = replace(self.options, alpha=max(float(options.alpha), least))

    def _settings(self, max_iter: int | None = None, update_noise: bool = True, **of_search: Any) -> Any:
        max_iter = int(self.options.max_iter if max_iter is None else max_iter)
        return self._lasting_settings.but(max_iter=max_iter, update_noise=bool(update_noise), **of_search)

    @cached_property
    def _lasting_settings(self) -> Any:
        """What all runs have in common."""
        o, link = self.options, self.link

        def call_link(t: Floats) -> tuple[Floats, Floats]:
            return link(t), link.slope(t)

        return _core.EmSettings(
            tol=float(o.tol),
            fit_intercept=bool(o.fit_intercept),
            fit_gate_intercept=bool(o.fit_gate_intercept),
            shared_noise=o.noise == "shared",
            common_columns=self.expert_design.positions(o.common_columns),
            variance_floor=self.variance_floor,
            least_covariance=[] if self.least_covariance is None else self.least_covariance.ravel().tolist(),
            alpha=self.ridge_to_zero,
            alpha_mean=self.ridge_to_mean,
            alpha_l1=self.lasso,
            gate_alpha=o.gate_ridge,
            accelerate=bool(o.accelerate),
            n_threads=self._n_threads,
            link=link.name if link.is_built_in else (call_link, link.curvature),
            family=self.family.core,
        )

    @property
    def lasso(self) -> float:
        """The strength of the lasso of the experts."""
        return float(self.options.alpha * self.options.l1_ratio)

    @property
    def ridge_to_mean(self) -> float:
        """The ridge of what the experts differ by."""
        return float(self.options.alpha) if self.options.alpha_towards == "mean" else 0.0

    @property
    def ridge_to_zero(self) -> float:
        """The ridge of the experts' slopes; one towards their mean does not hold predictors that run away."""
        if self.options.alpha_towards == "mean":
            return EXPERT_ALPHA_LEAST * self.weight_per_row if self.family.may_be_sure else 0.0
        return float(self.options.alpha * (1.0 - self.options.l1_ratio))

    def _data(self, means: Floats | None = None, log_densities: Floats | None = None) -> Any:
        if means is None and log_densities is None:
            return self._lasting_data
        return self._core_data(self.sample_weight, means, log_densities)

    @cached_property
    def _lasting_data(self) -> Any:
        """The rows, of which no run takes a copy."""
        return self._core_data(self.sample_weight)

    def _core_data(
        self, sample_weight: Floats, means: Floats | None = None, log_densities: Floats | None = None
    ) -> Any:
        centre, inverse_scale = self.features.core_units
        offset, trials, row_term, first_predictor = self.response.of_core
        return _core.EmData(
            self.features.values,
            self.response.values_for_core,
            sample_weight,
            means,
            log_densities,
            expert_columns=self.expert_design.columns,
            gate_columns=self.gate_design.columns,
            centre=centre,
            inverse_scale=inverse_scale,
            offset=offset,
            trials=trials,
            row_term=row_term,
            first_predictor=first_predictor,
            group_starts=None if self.groups is None else self.groups.starts,
        )

    def _blank(self, k: int) -> Mixture:
        """Equal gates; the rest is made by the first M-step."""
        d = self.features.shape[1]
        shape, q = np.full(k, self.family.initial_shape), self.family.n_predictors
        several = self.family.has_covariance
        predictors = (k, q) if q > 1 or several else (k,)
        return Mixture(
            np.zeros((*predictors, d)),
            np.zeros(predictors),
            np.zeros((k, d)),
            np.zeros(k),
            np.ones(predictors if several else k),
            self.link,
            self.family,
            shape,
            np.broadcast_to(np.eye(q), (k, q, q)) if several else None,
        )

    def _parameters(
        self, start: Mixture, update_noise: bool = True, noise: str | None = None
    ) -> tuple[Mixture, tuple[Floats, Floats, Floats]]:
        """Return the start with its last gate row 0, and experts, gates, dispersions within the options.

        Experts and gates are those of the core: of the columns that they see. `noise` stands for that of the
        options.
        """
        shared = (noise or self.options.noise) == "shared"
        k = start.n_experts
        start = self._of_this_problem(start)
        intercept = start.intercept if self.options.fit_intercept else np.zeros_like(start.intercept)
        gate_intercept = start.gate_intercept if self.options.fit_gate_intercept else np.zeros(k)
        variance, shape = np.maximum(start.sigma**2, self.variance_floor if update_noise else 1e-300), start.shape
        if not self.family.has_scale or start.covariance is not None:
            variance = np.ones(k)
        if shared and update_noise:
            variance, shape = np.full(k, variance.mean()), np.full(k, np.exp(np.log(shape).mean()))
        dispersion = (
            _beside(variance[:, None], shape) if start.covariance is None else self._cholesky(start, shared)
        )
        coef = self.expert_design.take(start.coef)
        common = self.expert_design.positions(self.options.common_columns)
        if common:
            coef = coef.copy()
            coef[:, common] = coef[:, common].mean(axis=0)
        experts = _beside(coef, intercept)
        gates = _beside(self.gate_design.take(start.gate_coef), gate_intercept)
        return start, (experts.reshape(-1, experts.shape[-1]), gates, dispersion)

    def _of_this_problem(self, start: Mixture) -> Mixture:
        """Return the start with its last gate row 0 and this link and family: as it is where it has them."""
        of_a_run = not (start.gate_intercept[-1] or start.gate_coef[-1].any())
        if of_a_run and start.link is self.link and start.family is self.family:
            return start
        return replace(start.ordered(np.arange(start.n_experts)), link=self.link, family=self.family)

    def _cholesky(self, start: Mixture, shared: bool) -> Floats:
        """Return the Cholesky factors of the covariances of several responses, within the options."""
        covariance, k = start.covariance, start.n_experts
        assert covariance is not None
        assert self.least_covariance is not None
        if shared:
            covariance = np.broadcast_to(covariance.mean(axis=0), covariance.shape)
        covariance = raised(covariance, self.least_covariance, diagonal=self._is_diagonal)
        return np.ascontiguousarray(np.linalg.cholesky(covariance)).reshape(k, *covariance.shape[1:])

    def _mixture(self, start: Mixture, out: Any) -> Mixture:
        """Return the parameters in the core's result."""
        experts = out["experts"].reshape(*start.intercept.shape, -1)
        sigma, covariance = np.sqrt(out["variance"]), None
        if "cholesky" in out:
            covariance = out["cholesky"] @ np.swapaxes(out["cholesky"], 1, 2)
            sigma = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        return Mixture(
            coef=self.expert_design.spread(experts[..., :-1]),
            intercept=experts[..., -1],
            gate_coef=self.gate_design.spread(out["gates"][:, :-1]),
            gate_intercept=out["gates"][:, -1],
            sigma=sigma,
            link=start.link,
            family=start.family,
            shape=out["shape"],
            covariance=covariance,
        )

    def responsibilities(self, mixture: Mixture, means: Floats | None = None) -> Floats:
        """Return P(expert i | x, y) of each row, or of its group where it has one, (n, k).

        The mixture is in standard units; `means` replaces what the experts predict. Rows for which no expert has a
        density above 0 in float64 are as the gates have them.
        """
        terms, groups = self.response.terms, self.groups
        with np.errstate(over="ignore", invalid="ignore"):
            if groups is None:
                found = mixture.responsibilities(self.Z, self.t, terms, means)
            else:
                found = groups.spread(group_responsibilities(mixture, self.Z, self.t, groups, terms, means))
        lost = ~np.isfinite(found).all(axis=1)
        if lost.any():
            found[lost] = mixture.gates(self.Z[lost])
        return found

    def n_parameters(self, n_experts: int, n_gates: int | None = None) -> int:
        """Count what can be told apart of `n_experts` experts, of free gate rows (default one less) and of noise.

        Coefficients of columns that depend linearly on others do not count.
        """
        n_gates = n_experts - 1 if n_gates is None else n_gates
        dispersions = self.family.n_scales + int(self.family.shape_name is not None)
        noise = dispersions * (1 if self.options.noise == "shared" else n_experts)
        common = len(set(self.options.common_columns) - set(self.expert_design.dependent))
        of_expert = self.family.n_predictors * self.expert_design.rank
        experts = n_experts * of_expert - (n_experts - 1) * common
        return experts + n_gates * self.gate_design.rank + noise

    def n_left_out(self, mixture: Mixture) -> int:
        """Count what :meth:`n_parameters` has of coefficients that a lasso has made 0."""
        if self.lasso == 0:
            return 0
        used = np.count_nonzero(self.expert_design.take(mixture.coef), axis=1) + self.expert_design.intercept
        return int(np.maximum(self.expert_design.rank - used, 0).sum())

    def residuals(self, mixture: Mixture) -> Floats:
        """Return how far each expert is from each row, (n, k), with other families on the scale of predictors."""
        response = self.response
        if self.family.n_predictors > 1:  # along a contrast, the same for mixtures of as many experts
            missed = response.working[:, None] - self.family.expected_indicators(mixture.predictors(self.Z))
            return np.asarray(missed @ np.random.default_rng(mixture.n_experts).normal(size=missed.shape[-1]))
        if response.first_predictor is None:
            return np.asarray(self.t[:, None] - mixture.expert_means(self.Z))
        return np.asarray(response.first_predictor[:, None] - mixture.predictors(self.Z).eta)

    @property
    def shape_bounds(self) -> tuple[float, float]:
        """Between what the shapes of the family may lie; (0, 0) for families without."""
        least, largest = self._settings().shape_bounds
        return float(least), float(largest)


def _beside(values: Floats, last: Floats) -> Floats:
    """Return the values, (..., d), with one more column, (...)."""
    out = np.empty((*values.shape[:-1], values.shape[-1] + 1))
    out[..., :-1], out[..., -1] = values, last
    return out
