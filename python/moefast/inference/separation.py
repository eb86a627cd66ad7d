"""Which gates of a fit are separated: asked by every fit, so with an eye to what the answer costs."""

from __future__ import annotations

import numpy as np

from moefast.em.options import GATE_ALPHA_AUTO
from moefast.em.problem import EmProblem
from moefast.inference.estimable import Precision
from moefast.inference.information import Information
from moefast.inference.layout import ParameterLayout
from moefast.mixture import GatedExperts, Mixture

__all__ = ["separated_coefficients"]

# Largest distance of two gates, in standard units, up to which neither is separated: the ridge stops a separated
# gate at log-odds of 15 to 20 on the rows next to the border, and these are seldom 3 units from it.
_NOT_STEEP = 5.0
# The observed information of more parameters is not worth its time: it takes P^2 multiplications a row.
_MOST_PARAMETERS = 400
# A ridge that many times the default one holds gates on purpose, steep ones of rows on both sides too.
_STRONG_RIDGE = 10.0


def separated_coefficients(
    problem: EmProblem, mixture: GatedExperts, collapsed: tuple[int, ...]
) -> tuple[tuple[int, int], ...] | None:
    """Return the coefficients of gates that have no finite estimate, because the gates are separated.

    Parameters
    ----------
    problem : EmProblem
    mixture : GatedExperts
        Fitted to it, in the units of the data.
    collapsed : tuple of int
        Experts.

    Returns
    -------
    tuple of (int, int), or None
        Expert and column; column d is the intercept. The gate of the last expert is 0. None where it is not known:
        for a tree of gates, under a ridge chosen strong, or for steep gates of hundreds of parameters.
    """
    strong = problem.options.gate_ridge > _STRONG_RIDGE * GATE_ALPHA_AUTO * problem.weight_per_row
    if strong or not isinstance(mixture, Mixture):
        return None
    standard = mixture.to_standard(problem.standardisation)
    W = standard.gate_coef
    if np.linalg.norm(W[:, None] - W, axis=2).max() <= _NOT_STEEP:
        return ()
    d = W.shape[1]
    layout = ParameterLayout.of_names([f"x{j}" for j in range(d)], mixture, problem.options)
    if layout.n_parameters > _MOST_PARAMETERS:
        return None
    information = Information.at(problem, standard, layout)
    precision = Precision.of(problem, standard, layout, information, collapsed)
    separated = precision.separated_gates(np.eye(layout.n_parameters))
    if not separated.any():
        return ()
    # In the units of the data, as inference has it: intercepts take in slopes.
    T, _ = layout.to_units(problem.standardisation)
    unknown = (T[:, separated] != 0).any(axis=1) | ~precision.estimable(T)
    separated = unknown & ~precision.in_flat(T)
    return tuple(
        (i, j)
        for i in layout.gated
        for j, one in zip(layout.gate_columns, separated[layout.gate(i)], strict=True)
        if one
    )
