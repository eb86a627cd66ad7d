r"""Gates by gradient descent with the experts frozen: the loss L_log of the AISTATS 2020 paper.

.. math::

    L_{\log}(W) = -\frac{1}{\sum_n w_n} \sum_n w_n \log \sum_i \mathrm{softmax}_i(W x_n)\,
        N(y_n \mid \mu_i(x_n), s_i^2)

Source: Makkuva, Oh, Kannan, Viswanath, "Learning in Gated Neural Networks", AISTATS 2020.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import moefast._core as _core
from moefast._typing import Floats
from moefast.em.fit import EmFit
from moefast.em.problem import EmProblem
from moefast.mixture import Mixture

__all__ = ["descend_gates"]


# A step has to gain this share of what its slope promises (Armijo), or it is halved, this often at most.
_ENOUGH, _HALVINGS = 1e-4, 60


def descend_gates(problem: EmProblem, start: Mixture, means: Floats) -> EmFit:
    """Fit the gates by gradient descent on all rows, with step halving.

    The first trial step is 1, later ones are those of Barzilai and Borwein: the inverse of the curvature seen
    along the last step. Each is halved until the objective rises enough, so the learning curve never falls.

    Parameters
    ----------
    problem : EmProblem
        Its options `fit_gate_intercept`, `gate_columns`, `gate_alpha`, `max_iter`, `tol` and `n_threads` matter.
    start : Mixture
        In standard units; gates and noise are used.
    means : ndarray of shape (n, k)
        Predictions of the experts in standard units.

    Returns
    -------
    EmFit
        In standard units. Converged: two gains in a row of at most `tol`, as for EM.

    References
    ----------
    Barzilai, Borwein, "Two-point step size gradient methods", IMA Journal of Numerical Analysis, 1988.
    """
    start, (experts, gates, dispersion) = problem._parameters(start, update_noise=False)
    objective = _Objective(problem, experts, dispersion, means)
    value, slope, totals = objective(gates)
    trace, step, n_settled = [value], 1.0, 0
    status = "iteration_limit" if np.isfinite(value) else "degenerate"
    while status == "iteration_limit" and len(trace) <= problem.options.max_iter:
        ends = _climb(objective, gates, value, slope, step)
        if ends is None:  # nothing above rounding is left to gain
            status = "converged"
            break
        moved, new_value, new_slope, totals = ends
        change, bend = moved - gates, slope - new_slope
        seen = float((change * bend).sum())
        step = float((change * change).sum()) / seen if seen > 0 else 2.0 * step
        gain = new_value - value
        gates, value, slope = moved, new_value, new_slope
        trace.append(value)
        n_settled = n_settled + 1 if gain <= problem.options.tol * max(1.0, abs(value)) else 0
        if n_settled == 2:
            status = "converged"
    return problem._fit(
        start,
        {
            "experts": experts,
            "gates": gates,
            "variance": dispersion[:, 0],
            "shape": dispersion[:, 1],
            "log_likelihood": objective.log_likelihood(gates, value),
            "trace": np.array(trace) * problem.total_weight,
            "totals": totals,
            "n_iter": len(trace) - 1,
            "n_before": 0,
            "gradient": float(np.abs(slope).max()),
            "status": status,
        },
        means,
    )


class _Objective:
    """Mean log-likelihood less the ridge, its gradient by the gates and the experts' totals."""

    def __init__(self, problem: EmProblem, experts: Floats, dispersion: Floats, means: Floats) -> None:
        self._problem, self._experts, self._dispersion = problem, experts, dispersion
        self._data: Any = problem._data(means)
        self._settings: Any = problem._settings(update_noise=False)
        width = problem.gate_design.width + 1
        self._alpha = np.full(width, problem.options.gate_ridge)
        self._alpha[-1] = 0.0  # intercepts are free
        self._free = np.ones((len(experts), width))
        self._free[-1] = 0.0  # the reference
        self._free[:, -1] *= bool(problem.options.fit_gate_intercept)

    def __call__(self, gates: Floats) -> tuple[float, Floats, Floats]:
        p = self._problem
        at = (self._experts, gates, self._dispersion, None, None)
        sums = _core.e_step(self._data, at, self._settings, "gradient")
        value = float(sums["log_likelihood"]) - self._ridge(gates)
        slope = sums["gate_slope"] - self._alpha * (gates - gates.mean(axis=0))
        return value / p.total_weight, slope * self._free / p.total_weight, np.asarray(sums["totals"])

    def _ridge(self, gates: Floats) -> float:
        return float(0.5 * (((gates - gates.mean(axis=0)) ** 2) @ self._alpha).sum())

    def log_likelihood(self, gates: Floats, value: float) -> float:
        """Return the log-likelihood from the value at the gates."""
        return float(value * self._problem.total_weight + self._ridge(gates))


def _climb(
    objective: _Objective, gates: Floats, value: float, slope: Floats, step: float
) -> tuple[Floats, float, Floats, Floats] | None:
    """Return the first of gates + step slope, with ever half the step, that gains enough; None if none does."""
    promise = float((slope * slope).sum())
    for _ in range(_HALVINGS):
        moved = gates + step * slope
        new_value, new_slope, totals = objective(moved)
        if new_value >= value + _ENOUGH * step * promise and new_value > value:
            return moved, new_value, new_slope, totals
        step *= 0.5
    return None
