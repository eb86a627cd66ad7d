"""EM on one data set."""

from moefast.em.fit import EmFit, EmStart, FitResult, HardAssignment
from moefast.em.options import GATE_ALPHA_AUTO, EmOptions
from moefast.em.problem import EmProblem
from moefast.em.single_run import fit_em

__all__ = [
    "GATE_ALPHA_AUTO",
    "EmFit",
    "EmOptions",
    "EmProblem",
    "EmStart",
    "FitResult",
    "HardAssignment",
    "fit_em",
]
