r"""EM for a hierarchical mixture of linear experts, with soft splits.

With :math:`P_v(y \mid x)` the density of the node v of the tree, that of a leaf its normal law, and
:math:`h_v` the probability, given x and y, that a sample went through v, one iteration

* fits every leaf by least squares with the weights :math:`w h_v`, and its noise;
* goes through the gates from the lowest level to the root. A gate sees its children as frozen densities and
  takes one Newton step of :math:`\sum_n w_n h_v \log \sum_c p_{c \mid v}(x_n) P_c(y_n \mid x_n)`, halved until
  that does not fall. Densities and :math:`h_v` are brought up to date between levels.

Each part raises the log-likelihood less the ridges (those of :mod:`moefast.em`, the gates' summed over all
nodes), so that it never falls.

Both parts are runs of the flat EM with other weights; a gate's run takes the log densities of its children in
place of experts.

Source: Jordan, Jacobs, Neural Computation 6, 1994; levels in turn as in Meng, Rubin, Biometrika 80, 1993 (ECM).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np

from moefast._typing import Floats
from moefast.em.collapse import collapsed_experts
from moefast.em.fit import FitResult, HardAssignment
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.hierarchy.mixture import HierarchicalMixture, log_sum_exp, nodes_of_level
from moefast.mixture import Mixture

__all__ = ["HierarchicalFit", "HierarchicalProblem", "HierarchicalStart"]


HierarchicalStart: TypeAlias = "HierarchicalMixture | HardAssignment | Floats"
"""Where a run begins: parameters in standard units, or an assignment to leaves for the first M-step, hard or as
responsibilities of shape (n, K)."""

# As in the core: a node with less than this share of the weight stays as it is, a gain below this is rounding.
_SMALLEST_SHARE = 1e-12
_NO_GAIN = 1e-15
_ROUNDING = 1e-12


@dataclass(frozen=True)
class HierarchicalFit(FitResult):
    """The end of an EM run of a :class:`moefast.hierarchy.HierarchicalMixture`; see :class:`FitResult`."""

    mixture: HierarchicalMixture


class HierarchicalProblem:
    """One data set in standard units, on which hierarchical EM runs from many starts.

    Parameters
    ----------
    flat : EmProblem
        The samples, the units and the options.
    branches : tuple of int
        Children of a node at each level, top first.
    """

    def __init__(self, flat: EmProblem, branches: Sequence[int]) -> None:
        self.flat = flat
        self.branches = tuple(int(b) for b in branches)
        self.n_leaves = nodes_of_level(self.branches, len(self.branches))

    @property
    def options(self) -> EmOptions:
        """The settings of EM."""
        return self.flat.options

    @property
    def n_rows(self) -> int:
        """The number of samples."""
        return self.flat.n_rows

    @property
    def constant_response(self) -> bool:
        """Whether y is constant."""
        return self.flat.constant_response

    @property
    def t(self) -> Floats:
        """The standard response, shape (n,)."""
        return self.flat.t

    def run_many(
        self, starts: Sequence[HierarchicalStart], *, max_iter: int | None = None, to_beat: float | None = None
    ) -> list[HierarchicalFit]:
        """Run EM from every start, one after the other. No run is given up early, whatever `to_beat`."""
        return [self.run(start, max_iter=max_iter) for start in starts]

    def run(self, start: HierarchicalStart, *, max_iter: int | None = None) -> HierarchicalFit:
        """Run EM until it settles.

        Parameters
        ----------
        start : HierarchicalMixture, HardAssignment or ndarray of shape (n, K)
            In standard units.
        max_iter : int, optional
            The default is that of the options.

        Returns
        -------
        HierarchicalFit
            In standard units.
        """
        o, weight = self.options, self.flat.total_weight
        state = _State(self, self._first_model(start))
        trace = [state.objective]
        status, previous_gain, was_settled = "iteration_limit", 0.0, False
        while len(trace) <= (o.max_iter if max_iter is None else max_iter):
            if not np.isfinite(state.objective):
                status = "degenerate"
                break
            following = _State(self, self._improved(state))
            size = abs(state.objective)
            if not following.objective >= state.objective - _ROUNDING * (size + weight):
                status = "converged" if np.isfinite(following.objective) else "degenerate"
                break
            gain = (following.objective - state.objective) / weight
            state = following
            trace.append(state.objective)
            size = abs(state.objective / weight)
            settled = gain <= o.tol * max(1.0, size)
            # Twice in a row, and falling: a small gain that grows is a run leaving a saddle.
            if (settled and was_settled and gain <= previous_gain) or gain <= _NO_GAIN * size:
                status = "converged"
                break
            previous_gain, was_settled = gain, settled
        responsibilities = state.reach()[-1]
        totals = responsibilities @ self.flat.sample_weight
        return HierarchicalFit(
            mixture=state.model,
            log_likelihood=state.log_likelihood,
            trace=np.array(trace),
            totals=totals,
            n_iter=len(trace) - 1,
            status=status,
            collapsed=collapsed_experts(self.flat, state.model, totals, lambda: responsibilities.T),
        )

    def to_units(self, fit: HierarchicalFit) -> HierarchicalFit:
        """Return a fit made in standard units in the units of the data."""
        standardisation = self.flat.standardisation
        shift = self.flat.total_weight * np.log(standardisation.y_scale)
        with np.errstate(over="ignore", invalid="ignore"):  # the estimator refuses what is not finite
            mixture = fit.mixture.to_units(standardisation)
        return replace(fit, mixture=mixture, log_likelihood=fit.log_likelihood - shift)

    def blank(self) -> HierarchicalMixture:
        """Return equal gates over experts that are all 0, with noise 1."""
        k, d = self.n_leaves, self.flat.Z.shape[1]
        shapes = [(nodes_of_level(self.branches, level), b) for level, b in enumerate(self.branches)]
        return HierarchicalMixture(
            self.branches,
            np.zeros((k, d)),
            np.zeros(k),
            tuple(np.zeros((*shape, d)) for shape in shapes),
            tuple(np.zeros(shape) for shape in shapes),
            np.ones(k),
        )

    # ---- where a run begins ----------------------------------------------------------------------

    def _first_model(self, start: HierarchicalStart) -> HierarchicalMixture:
        if isinstance(start, HierarchicalMixture):
            return self._within_options(start)
        if isinstance(start, HardAssignment):
            start = np.eye(start.n_experts)[start.labels]
        leaves = np.ascontiguousarray(start.T)
        model = self._fit_leaves(self.blank(), leaves)
        for level, b in enumerate(self.branches):
            if b == 1:
                continue
            children = leaves.reshape(nodes_of_level(self.branches, level), b, -1, len(self.t)).sum(axis=2)
            reach = children.sum(axis=1)
            share = np.divide(
                children, reach[:, None], out=np.full(children.shape, 1 / b), where=reach[:, None] > 0
            )
            model = self._fit_gates(model, level, reach, np.zeros_like(share), share)
        return model

    def _within_options(self, start: HierarchicalMixture) -> HierarchicalMixture:
        """Return a start with its last gate rows 0, without what is switched off, and noise as it has to be."""
        o, start = self.options, start.ordered(np.arange(self.n_leaves))
        variance = np.maximum(start.sigma**2, self.flat.variance_floor)
        if o.noise == "shared":
            variance[:] = variance.mean()
        experts, gates = self.flat.expert_design, self.flat.gate_design
        return replace(
            start,
            coef=experts.spread(experts.take(start.coef)),
            gate_coef=tuple(gates.spread(gates.take(W)) for W in start.gate_coef),
            intercept=start.intercept * bool(o.fit_intercept),
            gate_intercept=tuple(c * bool(o.fit_gate_intercept) for c in start.gate_intercept),
            sigma=np.sqrt(variance),
        )

    # ---- one iteration ---------------------------------------------------------------------------

    def _improved(self, state: _State) -> HierarchicalMixture:
        """Return the model after one iteration."""
        model = self._fit_leaves(state.model, state.reach()[-1])
        for level, b in reversed(list(enumerate(self.branches))):
            if b == 1:  # nothing to choose
                continue
            state = _State(self, model, state)
            children = state.values[level + 1].reshape(*state.gates[level].shape)
            model = self._fit_gates(model, level, state.reach(level)[-1], children)
        return model

    def _fit_leaves(self, model: HierarchicalMixture, reach: Floats) -> HierarchicalMixture:
        """Weighted least squares for each leaf, and its noise; `reach` (K, n) are the leaves' posteriors."""
        o, flat = self.options, self.flat
        experts, variance = np.column_stack([model.coef, model.intercept]), model.sigma**2
        weights = flat.sample_weight * reach
        for i, mine in enumerate(weights):
            if mine.sum() <= _SMALLEST_SHARE * flat.total_weight:
                continue
            experts[i], variance[i] = flat.expert_improved(experts[i], mine)
        coef, intercept = np.ascontiguousarray(experts[:, :-1]), experts[:, -1].copy()
        if o.noise == "shared":
            residuals = self.t - (coef @ flat.Z.T + intercept[:, None])
            squares = np.einsum("kn,kn->", weights, residuals**2) + o.alpha * np.einsum("kj,kj->", coef, coef)
            variance[:] = max(flat.variance_floor, squares / flat.total_weight)
        return replace(model, coef=coef, intercept=intercept, sigma=np.sqrt(variance))

    def _fit_gates(
        self,
        model: HierarchicalMixture,
        level: int,
        reach: Floats,
        children: Floats,
        share: Floats | None = None,
    ) -> HierarchicalMixture:
        """Move the gates of a level: one safeguarded Newton step, or the first M-step when `share` is given.

        `reach` (G, n) are the posteriors of the nodes, `children` (G, b, n) the log densities of their
        children, `share` (G, b, n) posteriors of a child given its node.
        """
        flat = self.flat
        coef, intercept = model.gate_coef[level].copy(), model.gate_intercept[level].copy()
        b, d = coef.shape[1:]
        for g, weights in enumerate(flat.sample_weight * reach):
            if weights.sum() <= _SMALLEST_SHARE * flat.total_weight:
                continue
            gates = Mixture(np.zeros((b, d)), np.zeros(b), coef[g], intercept[g], np.ones(b))
            fitted, _ = flat.reweighted(weights).gates_improved(
                gates,
                np.ascontiguousarray(children[g].T),
                responsibilities=None if share is None else np.ascontiguousarray(share[g].T),
                max_iter=1 if share is None else 0,
            )
            coef[g], intercept[g] = fitted.gate_coef, fitted.gate_intercept
        return replace(
            model,
            gate_coef=(*model.gate_coef[:level], coef, *model.gate_coef[level + 1 :]),
            gate_intercept=(*model.gate_intercept[:level], intercept, *model.gate_intercept[level + 1 :]),
        )


class _State:
    """A model on the samples: what its leaves and gates say there, samples last.

    Attributes
    ----------
    leaves : ndarray of shape (K, n)
        Log densities of the leaves.
    gates : list of ndarray of shape (G_l, b_l, n)
        Log probabilities of the gates.
    values : list of ndarray of shape (G_l, n)
        Log densities of the nodes of each level, from the root to the leaves.
    """

    def __init__(
        self, problem: HierarchicalProblem, model: HierarchicalMixture, previous: _State | None = None
    ) -> None:
        self.problem, self.model = problem, model
        self.leaves: Floats
        self.values: list[Floats]
        self.gates: list[Floats]
        flat, old = problem.flat, previous
        # What has not been touched since the previous state is the same object.
        if old is not None and old.model.coef is model.coef:
            self.leaves = old.leaves
        else:
            z = flat.t - (model.coef @ flat.Z.T + model.intercept[:, None])
            z /= model.sigma[:, None]
            self.leaves = -0.5 * z**2 - (np.log(model.sigma) + 0.5 * np.log(2 * np.pi))[:, None]
        self.gates = [
            old.gates[level]
            if old is not None and old.model.gate_coef[level] is coef
            else model.level_log_gates(flat.Z, level)
            for level, coef in enumerate(model.gate_coef)
        ]
        values, same = [self.leaves], old is not None and old.leaves is self.leaves
        for level, gate in reversed(list(enumerate(self.gates))):
            same = same and old is not None and old.gates[level] is gate
            if same and old is not None:
                values.append(old.values[level])
            elif gate.shape[1] == 1:
                values.append(values[-1])
            else:
                values.append(log_sum_exp(gate + values[-1].reshape(gate.shape), 1))
        self.values = values[::-1]

    def reach(self, level: int | None = None) -> list[Floats]:
        """Return h_v, the posteriors of the nodes, (G_l, n) for each level from the root down to `level`."""
        reach: list[Floats] = [np.ones((1, len(self.problem.t)))]
        for gate, value, below in zip(self.gates[:level], self.values, self.values[1:], strict=False):
            if gate.shape[1] == 1:
                reach.append(reach[-1])
                continue
            share = np.exp(gate + below.reshape(gate.shape) - value[:, None])
            reach.append((reach[-1][:, None] * share).reshape(below.shape))
        return reach

    @cached_property
    def log_likelihood(self) -> float:
        """The sum of w log P(y | x) in standard units."""
        return float(np.einsum("n,n->", self.problem.flat.sample_weight, self.values[0][0]))

    @cached_property
    def objective(self) -> float:
        """The log-likelihood less the ridges: what EM climbs."""
        o, model = self.problem.options, self.model
        value = self.log_likelihood - 0.5 * o.alpha * float(((model.coef / model.sigma[:, None]) ** 2).sum())
        for coef in model.gate_coef:
            value -= 0.5 * o.gate_ridge * float(((coef - coef.mean(axis=1, keepdims=True)) ** 2).sum())
        return value
