"""The fit that inference is about, in standard units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from moefast.em.problem import EmProblem
from moefast.formulas.fitted import FittedFormula
from moefast.gate_basis import FittedGateBasis
from moefast.inference.estimable import Precision
from moefast.mixture import Mixture

__all__ = ["Fit"]


@dataclass(frozen=True, eq=False)
class Fit:
    """The fit that inference is about, in standard units: what the bootstrap starts from.

    Attributes
    ----------
    problem : EmProblem
    mixture : Mixture
        Where the gradient vanishes, near the model's.
    precision : Precision
    groups : ndarray of shape (n,) or None
        The cluster of each row, 0, 1, ...
    formula : FittedFormula or None
    basis : FittedGateBasis or None
        Of the model, for new data.
    """

    problem: EmProblem
    mixture: Mixture
    precision: Precision
    groups: npt.NDArray[np.intp] | None
    formula: FittedFormula | None = None
    basis: FittedGateBasis | None = None
