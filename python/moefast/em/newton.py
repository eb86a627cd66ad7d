"""The end of an EM run by Newton's method, with the exact second derivatives of the objective."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import moefast._core as _core
from moefast.em.fit import EmFit
from moefast.em.problem import EmProblem
from moefast.mixture import Mixture

__all__ = ["NewtonEnd", "newton_end", "takes_newton"]

# Parameters from which on second derivatives cost more than the iterations of EM they spare: their number grows
# with the square, and that of the multiplications of a step with the cube.
_MOST_PARAMETERS = 600


@dataclass(frozen=True)
class NewtonEnd:
    """Where Newton's method ended.

    Attributes
    ----------
    fit : EmFit
        In standard units; `n_iter` counts steps. It has converged at a maximum whose decrement and gradient are as
        small as asked, or where nothing above rounding is left to gain. Its objective is never below that of the
        start.
    curvature : str
        "maximum" where the objective bended downwards in all directions when second derivatives were last taken;
        "saddle" where it bended upwards in one: the fit has been moved a little in this direction, for EM to go
        on; else "unknown".
    decrement : float
        What a further step would gain in objective, by the second derivatives.
    n_passes, n_derivatives : int
        Passes over the rows, each cheaper than one of EM, and how often second derivatives were taken.
    """

    fit: EmFit
    curvature: str
    decrement: float
    n_passes: int
    n_derivatives: int


def takes_newton(problem: EmProblem, n_experts: int) -> bool:
    """Whether Newton's method is for this problem.

    Rows by themselves, coefficients that can be told apart and are not too many, and no lasso, which has no second
    derivatives.
    """
    designs = (problem.expert_design, problem.gate_design)
    full = all(design.rank == design.width + design.intercept for design in designs)
    smooth = problem.groups is None and problem.lasso == 0
    return smooth and full and problem.n_parameters(n_experts) <= _MOST_PARAMETERS


def newton_end(
    problem: EmProblem,
    start: Mixture,
    *,
    tol: float,
    gradient_tol: float = np.inf,
    max_passes: int = 30,
    sample: EmProblem | None = None,
) -> NewtonEnd:
    """Go from a mixture near an optimum to this optimum.

    Parameters
    ----------
    problem : EmProblem
    start : Mixture
        In standard units.
    tol : float
        Largest decrement, what a further step would gain in objective, at which it has arrived.
    gradient_tol : float
        Largest gradient then, as in :attr:`moefast.em.fit.EmFit.gradient`.
    max_passes : int
        Passes over the rows at most.
    sample : EmProblem, optional
        Some of the rows in the same units. Second derivatives are taken from them, as an estimate.

    Returns
    -------
    NewtonEnd
    """
    mixture, parameters = problem._parameters(start)
    out = _core.newton_run(
        problem._data(),
        parameters,
        problem._settings(gradient_tol=gradient_tol),
        tol,
        max_passes,
        None if sample is None else sample._data(),
    )
    return NewtonEnd(
        problem._fit(mixture, out), out["curvature"], out["decrement"], out["n_passes"], out["n_derivatives"]
    )
