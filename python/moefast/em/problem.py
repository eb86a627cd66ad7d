r"""Joint EM for experts with any link and softmax gates.

The E-step and all statistics of the M-step are one pass over the samples in C++; experts are solved by
weighted least squares, or where there is a link by one damped Gauss-Newton step; gates take one Newton step of
the weighted multinomial logistic regression, with a Hessian that is made seldom and corrected in between, halved
until the objective does not fall. The objective is

.. math::

    \sum_n w_n \log P(y_n \mid x_n) - \tfrac{\alpha}{2} \sum_i \|a_i\|^2 / s_i^2
        - \tfrac{\lambda}{2} \sum_i \|W_i - \overline{W}\|^2

in standard units (features and response divided by their standard deviations), so neither ridge depends on
the units of the data nor on which gate row is the reference. The ridge of the experts may be on what they differ
by, :math:`\|a_i - c\|^2` with their mean c, or have a lasso beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.linalg import block_diag
from scipy.special import softmax

import moefast._core as _core
from moefast._typing import Floats
from moefast.em.collapse import collapsed_experts
from moefast.em.core_problem import CoreProblem
from moefast.em.finite import refuse_infinite
from moefast.em.fit import EmFit, EmStart, HardAssignment, StagedStart
from moefast.em.grouped_information import grouped_derivatives
from moefast.em.response_covariance import numbers_by_scales
from moefast.mixture import Mixture
from moefast.threads import resolve_threads

__all__ = ["EmProblem"]


class EmProblem(CoreProblem):
    """One data set in standard units, on which EM runs from many starts; see :class:`CoreProblem`."""

    def run(
        self,
        start: Mixture | None = None,
        *,
        responsibilities: Floats | None = None,
        means: Floats | None = None,
        log_densities: Floats | None = None,
        update_noise: bool = True,
        max_iter: int | None = None,
    ) -> EmFit:
        """Run EM in standard units.

        Parameters
        ----------
        start : Mixture, optional
            In standard units. May be left out when `responsibilities` are given.
        responsibilities : ndarray of shape (n, k), optional
            The first M-step uses these in place of the posterior.
        means : ndarray of shape (n, k), optional
            Predictions in standard units of frozen experts with normal noise: gates are fitted, and noise.
        log_densities : ndarray of shape (n, k), optional
            log f_i(t_n | z_n) of frozen experts of any law: only gates are fitted. Not together with `means`.
        update_noise : bool
            False keeps the noise of `start`, as `log_densities` do, which say nothing about it.
        max_iter : int, optional
            The default is that of the options.

        Returns
        -------
        EmFit
            In standard units.
        """
        if start is None:
            if responsibilities is None:
                raise ValueError("either start or responsibilities must be given")
            start = self._blank(responsibilities.shape[1])
        if responsibilities is not None:
            responsibilities = self.of_groups(responsibilities)
        update_noise = update_noise and log_densities is None
        start, parameters = self._parameters(start, update_noise)
        settings = self._settings(max_iter, update_noise)
        (out,) = _core.em_run(self._data(means, log_densities), [(*parameters, responsibilities, None)], settings)
        return self._fit(start, out, means, log_densities)

    def gates_improved(
        self,
        start: Mixture,
        log_densities: Floats,
        *,
        responsibilities: Floats | None = None,
        max_iter: int | None = None,
    ) -> tuple[Mixture, float]:
        """Return the mixture and log-likelihood of :meth:`run`, without its judgement of collapse.

        On few rows the latter takes ten times as long as an iteration.
        """
        start, parameters = self._parameters(start, update_noise=False)
        (out,) = _core.em_run(
            self._data(log_densities=log_densities),
            [(*parameters, responsibilities, None)],
            self._settings(max_iter, update_noise=False),
        )
        return self._mixture(start, out), float(out["log_likelihood"])

    def expert_improved(self, expert: Floats, sample_weight: Floats) -> tuple[Floats, float]:
        """Return one linear expert (a, b), shape (d + 1,), and its variance: an iteration with other weights.

        The same as an iteration of :meth:`run` from a mixture of it alone, less what making mixtures takes.
        """
        variance, design = np.array([max(1.0, self.variance_floor)]), self.expert_design
        start = (
            np.append(design.take(expert[:-1]), expert[-1])[None],
            np.zeros((1, self.gate_design.width + 1)),
            variance,
            None,
            None,
        )
        (out,) = _core.em_run(self._core_data(sample_weight), [start], self._settings(1))
        found = out["experts"][0]
        return np.append(design.spread(found[:-1]), found[-1]), float(out["variance"][0])

    def run_many(
        self,
        starts: Sequence[EmStart],
        *,
        update_noise: bool = True,
        max_iter: int | None = None,
        to_beat: float | None = None,
        gradient_tol: float = np.inf,
    ) -> list[EmFit]:
        """Run EM from every start, in parallel.

        Each fit is bit for bit that of :meth:`run`, for any number of threads. A run goes on from where it
        stopped when given the mixture of its fit, though not as if it had not: it begins with a new Hessian of the
        gates, of which a run makes few.

        Parameters
        ----------
        starts : sequence of Mixture, HardAssignment or ndarray of shape (n, k), or StagedStart of them
            In standard units; experts may differ in number. Of rows in groups the mean assignment of each group
            counts. A run after stages is what runs one after the other make, and takes less time.
        update_noise : bool
            False keeps the noise of the starts, which is 1 for an assignment.
        max_iter : int, optional
            The default is that of the options.
        to_beat : float, optional
            An objective, as in :attr:`EmFit.trace`. A run whose gains fall, and would stay below it even if
            they added up to five times what their fall promises, stops with the status "beaten".
        gradient_tol : float
            A run goes on until :attr:`EmFit.gradient` is no larger than this, besides what `tol` asks, or nothing
            above rounding is left to gain.

        Returns
        -------
        list of EmFit
            In standard units, in the order of the starts.
        """
        mixtures, tuples, before = [], [], []
        blank = cache(lambda k: self._parameters(self._blank(k), update_noise))
        for start in starts:
            responsibilities = labels = noise = None
            stages = []
            if isinstance(start, StagedStart):
                noise = start.stages[0].noise
                stages = [(s.n_iter, s.noise == "shared", s.inverse_temperature) for s in start.stages]
                start = start.start
            if self.groups is not None and isinstance(start, HardAssignment):
                start = np.eye(start.n_experts)[start.labels]
            if isinstance(start, HardAssignment):
                labels = np.ascontiguousarray(start.labels, dtype=np.int32)
                mixture, parameters = blank(start.n_experts)
            elif isinstance(start, np.ndarray):
                responsibilities = np.ascontiguousarray(self.of_groups(start), dtype=np.float64)
                mixture, parameters = blank(start.shape[1])
            else:
                mixture, parameters = self._parameters(start, update_noise, noise)
            mixtures.append(mixture)
            tuples.append((*parameters, responsibilities, labels))
            before.append(stages)
        settings = self._settings(
            max_iter,
            update_noise,
            to_beat=-np.inf if to_beat is None else to_beat,
            gradient_tol=gradient_tol,
        )
        ends = _core.em_run(self._data(), tuples, settings, before)
        return [self._fit(start, end) for start, end in zip(mixtures, ends, strict=True)]

    def _fit(
        self, start: Mixture, out: Any, means: Floats | None = None, log_densities: Floats | None = None
    ) -> EmFit:
        """Return the core's result as a fit; `means` or `log_densities` are those of frozen experts."""
        mixture = self._mixture(start, out)

        def responsibilities() -> Floats:
            if log_densities is None:
                return self.responsibilities(mixture, means)
            return np.asarray(softmax(mixture.log_gates(self.Z) + log_densities, axis=1))

        return EmFit(
            mixture=mixture,
            log_likelihood=out["log_likelihood"],
            trace=out["trace"],
            totals=out["totals"],
            n_iter=out["n_iter"],
            gradient=out["gradient"],
            status=out["status"],
            collapsed=collapsed_experts(self, mixture, out["totals"], responsibilities),
            n_before=out["n_before"],
        )

    def derivatives(self, mixture: Mixture) -> tuple[Floats, Floats, Floats]:
        """Return the score, the Hessian and the sum of w_n s_n s_n' of the log-likelihood without its ridges.

        Of rows in groups the sum of w_g s_g s_g' over these.

        They are by the coefficients of all experts, of all gates but the last, log s_i and log shape_i of families
        that have them (one log s and one log shape where the noise is shared), P of them in this order, and exact.
        Columns that are not seen have none. Of several responses the parameters of the covariances stand in the
        place of log s_i, see :mod:`moefast.em.response_covariance`: with ridges, exact at an optimum.

        Parameters
        ----------
        mixture : Mixture
            In standard units.
        """
        if self.groups is not None:
            return grouped_derivatives(self, mixture)
        _, parameters = self._parameters(mixture)
        score, hessian, products = _core.information(self._data(), parameters, self._settings())
        if mixture.covariance is None:
            return score, hessian, products
        J = self._by_scales(mixture)  # exact where the objective does not change with the covariances
        return J.T @ score, J.T @ hessian @ J, J.T @ products @ J

    def _by_scales(self, mixture: Mixture) -> Floats:
        """Return the derivative of the core's parameters by ours, (P, P): those of covariances are others."""
        assert mixture.covariance is not None
        blocks = [numbers_by_scales(own, diagonal=self._is_diagonal) for own in mixture.covariance]
        blocks = blocks[:1] if self.options.noise == "shared" else blocks
        k, q = mixture.n_experts, self.family.n_predictors
        width = self.expert_design.width + int(self.options.fit_intercept)
        gates = (k - 1) * (self.gate_design.width + int(self.options.fit_gate_intercept))
        return block_diag(np.eye(k * q * width + gates), *blocks)

    def row_scores(self, mixture: Mixture, rows: npt.NDArray[np.intp]) -> Floats:
        """Return the scores s_n of some rows, without their weights, (rows, P); see :meth:`derivatives`."""
        other = copy(self)
        other._take(rows)
        other.sample_weight, other.groups = self.sample_weight[rows], None
        _, parameters = self._parameters(mixture)
        scores = _core.row_scores(other._data(), parameters, self._settings())
        return scores if mixture.covariance is None else scores @ self._by_scales(mixture)

    def with_response(self, t: Floats) -> EmProblem:
        """Return the same features and weights in the same units with other responses in standard units.

        Which rows are equal is still judged by the responses before.
        """
        other = copy(self)
        other.response = self.response.with_values(t, self.sample_weight)
        return other

    def without_groups(self, sample_weight: Floats) -> EmProblem:
        """Return the same rows in the same units, each by itself, with other weights."""
        other = self.reweighted(sample_weight)
        other.groups = None
        return other

    def with_threads(self, n_threads: int) -> EmProblem:
        """Return the same samples, on which runs take so many threads."""
        other = copy(self)
        other._n_threads = resolve_threads(n_threads)
        return other

    def with_noise(self, noise: Literal["per_expert", "shared"]) -> EmProblem:
        """Return the same samples in the same units with experts' noise of their own, or one for all."""
        other = copy(self)
        other.options = replace(self.options, noise=noise)
        return other

    def with_gate_alpha(self, gate_alpha: float) -> EmProblem:
        """Return the same samples in the same units with another ridge on the gates."""
        other = copy(self)
        other.options = replace(self.options, gate_alpha=gate_alpha)
        return other

    def with_ridges(self, alpha: float, gate_alpha: float) -> EmProblem:
        """Return the same samples in the same units with other ridges, on experts too."""
        other = self.with_gate_alpha(gate_alpha)
        other.options = replace(other.options, alpha=alpha)
        return other

    def to_units(self, fit: EmFit) -> EmFit:
        """Return a fit made in standard units in the units of the data."""
        shift = self.density_weight * self.standardisation.log_y_unit
        with np.errstate(over="ignore", invalid="ignore"):  # `result` refuses what is not finite
            mixture = fit.mixture.to_units(self.standardisation)
        mixture = replace(mixture, family=self._family_in_units)  # as it was given, to the last bit
        return replace(fit, mixture=mixture, log_likelihood=fit.log_likelihood - shift)

    def result(self, fit: EmFit) -> EmFit:
        """Do the same as :meth:`to_units`, or raise OverflowError naming the column whose units are to blame."""
        found = self.to_units(fit)
        m = found.mixture
        refuse_infinite(self, (m.coef, m.intercept, m.gate_coef, m.gate_intercept, m.sigma), found.log_likelihood)
        return found
