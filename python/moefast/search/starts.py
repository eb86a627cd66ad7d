"""What a start is, and the plain ones: least squares, a random assignment, random parameters.

A random assignment is drawn as a function of a row's values, not of its place: rows that are equal go together
and neither the order of the rows nor writing a row twice (weight 2 or two copies) changes a start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from moefast.em.fit import HardAssignment
from moefast.em.problem import EmProblem
from moefast.mixture import Mixture
from moefast.search.assignments import KINDS

__all__ = [
    "Start",
    "least_squares_start",
    "random_assignment_start",
    "random_parameters",
    "random_parameters_start",
]

# Standard deviation of the gates of random parameters: they only break the symmetry.
_GATE_SPREAD = 0.1


@dataclass(frozen=True)
class Start:
    """A way to begin.

    Attributes
    ----------
    kind : str
    make : callable
        Returns what the problem's ``run_many`` takes: a PlainStart for the flat model. It may take a while.
    detour : str
        What comes before EM as the model is to be, see :mod:`moefast.search.detours`.
    """

    kind: str
    make: Callable[[], Any]
    detour: str = ""


def least_squares_start(problem: EmProblem) -> Start:
    """One linear expert: weighted least squares."""
    everything = HardAssignment(np.zeros(len(problem.t), dtype=np.int32), 1)
    return Start("least squares", lambda: everything)


def random_assignment_start(problem: EmProblem, n_experts: int, rng: np.random.Generator) -> Start:
    """Every row belongs to an expert drawn at random; the first M-step fits them."""
    assigned = HardAssignment(KINDS["random assignment"](problem, n_experts, rng), n_experts)
    return Start("random assignment", lambda: assigned)


def random_parameters(problem: EmProblem, n_experts: int, rng: np.random.Generator) -> Mixture:
    """Return experts of random directions and norm 1, nearly flat random gates, the noise of the response.

    In standard units. They know the data by their spread alone. With a link the intercepts are random too, so
    that experts start where it does different things.
    """
    of_experts, of_gates = problem.expert_design, problem.gate_design
    gates = _GATE_SPREAD * rng.normal(size=(n_experts, of_gates.width))
    gates[-1] = 0.0
    coef, intercept = rng.normal(size=(n_experts, of_experts.width)), np.zeros(n_experts)
    coef /= np.sqrt(np.einsum("ij,ij->i", coef, coef))[:, None]
    if problem.options.fit_intercept and not problem.link.is_linear:
        intercept = rng.normal(size=n_experts)
    return Mixture(
        coef=of_experts.spread(coef),
        intercept=intercept,
        gate_coef=of_gates.spread(gates),
        gate_intercept=np.zeros(n_experts),
        sigma=np.full(n_experts, problem.response_std / problem.standardisation.y_scale),
        link=problem.link,
    )


def random_parameters_start(problem: EmProblem, n_experts: int, rng: np.random.Generator) -> Start:
    """The same as a start, for experts with a link.

    There the first M-step from an assignment is no least squares, and some links (ReLU) have no slope where it
    would begin.
    """
    drawn = random_parameters(problem, n_experts, rng)
    return Start("random parameters", lambda: drawn)
