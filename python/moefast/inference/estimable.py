"""Which parameters the data determine: an estimate with an error bar, or none.

Four things leave a parameter without one. Its standard error is then NaN and never a huge number, and a message
names it:

* an expert with its noise at the floor or its shape at an end of what it may be (its log stands on a bound), or
  with fewer than d + 2 rows;
* a direction along which the likelihood is flat, as of collinear columns, or of a column that does not vary among
  an expert's rows;
* a separated gate: its probabilities are 0 or 1 on both sides of a border without rows, and the likelihood rises
  for ever as it steepens. What holds it is the ridge alone, which is how it is found: by the share of a
  direction's precision that is the ridge's;
* a fit that is no maximum.

Coefficients that all experts have in common are one parameter, of which every expert's is a copy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

from moefast._typing import Floats
from moefast.em.options import GATE_ALPHA_AUTO
from moefast.em.problem import EmProblem
from moefast.inference.information import Information
from moefast.inference.layout import ParameterLayout
from moefast.mixture import Mixture
from moefast.power_of_two import over_power_of_two

__all__ = ["Precision"]

# Eigenvalues of the scaled information below this share of the largest count as 0.
_FLAT = 1e-9
# A parameter takes part in a flat direction when that has more of it than this.
_IN_FLAT = 1e-6
# The ridge's share of the precision of a coefficient of a gate, and of a function of the parameters, from which on
# nothing else determines it. Regular data have shares up to 3e-8, steep gates (norm 20) up to 5e-5, separated
# gates 0.086 to 0.21 whatever the ridge (ten fits, of 478 to 5000 rows).
_RIDGE_SHARE = 1e-3
_RIDGE_SHARE_OF_FUNCTION = 1e-2
# A ridge that a user chose strong holds gates on purpose: only standard errors above this are of a separated gate,
# in standard units and for rows of weight 1.
_LEAST_SEPARATED_ERROR = 1.0
# Numbers this near to a bound are at it, relatively.
_AT_BOUND = 1e-9
# A function of parameters that stand fixed depends on them if they make up more of its slope than this.
_ON_FIXED = 1e-2

# A second derivative in standard units up to which nothing is known; the variance's square stays in range.
_NOTHING = 1e-140


@dataclass(frozen=True)
class Precision:
    """The inverse of the second derivative of the objective, on what the data determine, in standard units.

    Attributes
    ----------
    layout : ParameterLayout
    inverse : ndarray of shape (P, P)
        0 in rows and columns of `fixed` parameters and along `flat` directions.
    fixed : ndarray of shape (P,), bool
        Parameters that are taken as given: of experts with too few rows, noise at its floor, shapes at a bound.
    flat : ndarray of shape (P, m)
        An orthonormal basis of the directions along which the likelihood is flat.
    few_rows, at_floor, at_bound : tuple of int
        Experts: too few rows, noise at its floor, shape at a bound.
    separation_metric : ndarray of shape (P, P)
        The ridge by which separated gates are found; 0 beside gates.
    least_variance : float
        Only a coefficient of a gate with a larger variance can be one of a separated gate.
    is_maximum : bool
    """

    layout: ParameterLayout
    inverse: Floats
    fixed: npt.NDArray[np.bool_]
    flat: Floats
    few_rows: tuple[int, ...]
    at_floor: tuple[int, ...]
    at_bound: tuple[int, ...]
    separation_metric: Floats
    least_variance: float
    is_maximum: bool

    @classmethod
    def of(
        cls,
        problem: EmProblem,
        mixture: Mixture,
        layout: ParameterLayout,
        information: Information,
        collapsed: tuple[int, ...],
    ) -> Precision:
        """Return the precision at a fit in standard units with the `collapsed` experts of its EM run."""
        P = layout.n_parameters
        at_floor, at_bound = _at_bounds(problem, mixture, layout)
        few_rows = tuple(i for i in collapsed if i not in at_floor)
        fixed = np.zeros(P, dtype=np.bool_)
        for i in at_floor:
            fixed[layout.scales(i)] = True
        for i in at_bound:
            fixed[layout.log_shape(i)] = True
        for i in few_rows:
            fixed[layout.expert(i)] = True
            if not layout.shared_noise:
                fixed[layout.dispersion(i)] = True
        J = layout.common(problem.options.common_columns)
        fixed &= J[:, (J.T @ ~fixed) == 0].any(axis=1)  # what others share is not fixed
        inverse, flat, is_maximum = _inverse(information.of_common(J), (J.T @ ~fixed) > 0)
        inverse, flat = J @ inverse @ J.T, scipy.linalg.orth(J @ flat) if flat.size else J @ flat
        metric = np.zeros((P, P))
        ridge = problem.options.gate_ridge or GATE_ALPHA_AUTO * problem.weight_per_row
        metric[layout.gates, layout.gates] = ridge * layout.ridge_metric(intercepts=True)
        least = min(_LEAST_SEPARATED_ERROR**2 / problem.weight_per_row, 1e300)  # finite beside denormal weights
        return cls(layout, inverse, fixed, flat, few_rows, at_floor, at_bound, metric, least, is_maximum)

    def estimable(self, slopes: Floats) -> npt.NDArray[np.bool_]:
        """Return which of some functions of theta are determined, shape (m,).

        Parameters
        ----------
        slopes : ndarray of shape (m, P)
            Their derivatives by theta in standard units.
        """
        if not self.is_maximum:
            return np.zeros(len(slopes), dtype=np.bool_)
        slopes = over_power_of_two(slopes, axis=1)[0]  # squares in the units of the data may leave the range
        size = np.abs(slopes).max(axis=1, initial=0.0)
        on_fixed = np.abs(slopes[:, self.fixed]).max(axis=1, initial=0.0) > _ON_FIXED * size
        spread = slopes @ self.inverse
        variance = np.einsum("mp,mp->m", spread, slopes)
        of_ridge = np.einsum("mq,mq->m", spread @ self.separation_metric, spread)
        separated = (of_ridge > _RIDGE_SHARE_OF_FUNCTION * variance) & self._wide(slopes, variance)
        return np.asarray(~(on_fixed | self.in_flat(slopes) | separated))

    def in_flat(self, slopes: Floats) -> npt.NDArray[np.bool_]:
        """Return which functions of theta vary along a flat direction, shape (m,); `slopes` as above."""
        slopes = over_power_of_two(slopes, axis=1)[0]
        most = np.abs(slopes @ self.flat).max(axis=1, initial=0.0)
        return np.asarray(most > _IN_FLAT * np.linalg.norm(slopes, axis=1))

    def separated_gates(self, M: Floats) -> npt.NDArray[np.bool_]:
        """Return which parameters are coefficients of a gate that only the ridge holds, shape (P,).

        `M` (P, P) leads to another reference expert, for which the ridge is the same form.
        """
        inverse = M @ self.inverse @ M.T
        share = np.einsum("pq,qp->p", self.separation_metric, inverse)
        return np.asarray((share > _RIDGE_SHARE) & (np.diag(inverse) > self.least_variance))

    def _wide(self, slopes: Floats, variance: Floats) -> npt.NDArray[np.bool_]:
        """Whether the standard error is larger than what a ridge chosen strong would leave."""
        of_gates = np.linalg.norm(slopes[:, self.layout.gates], axis=1)
        return np.asarray(variance > self.least_variance * of_gates**2)


def _at_bounds(
    problem: EmProblem, mixture: Mixture, layout: ParameterLayout
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the experts whose noise is at its floor, and those whose shape is at a bound."""

    def experts(which: npt.NDArray[np.bool_], there: bool) -> tuple[int, ...]:
        return tuple(int(i) for i in np.flatnonzero(which & there))

    floor = problem.at_floor(mixture)
    least, largest = problem.shape_bounds
    shape = mixture.shape
    bound = (shape <= least * (1 + _AT_BOUND)) | (shape >= largest * (1 - _AT_BOUND))
    return experts(floor, layout.has_scale), experts(bound, layout.shape_name is not None)


def _inverse(information: Information, free: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, bool]:
    """Return the inverse of the precision beside its flat directions, a basis of these, and whether it is one.

    It is none where the precision is not positive. Parameters are scaled to a second derivative of 1 first, so
    that what is flat does not depend on their sizes.
    """
    P = len(free)
    likelihood, precision = -information.hessian[np.ix_(free, free)], information.precision[np.ix_(free, free)]
    diagonal = np.diag(likelihood)
    scale = 1.0 / np.sqrt(np.where(diagonal > _NOTHING, diagonal, 1.0))
    values, Q = np.linalg.eigh(scale[:, None] * likelihood * scale)
    largest = max(float(np.abs(values).max(initial=0.0)), 1e-300)
    is_flat = np.abs(values) < _FLAT * largest
    steep = scale[:, None] * Q[:, ~is_flat]
    inner = steep.T @ precision @ steep
    inverse, flat = np.zeros((P, P)), np.zeros((P, int(is_flat.sum())))
    flat[free] = scale[:, None] * Q[:, is_flat]
    if flat.size:
        flat = scipy.linalg.orth(flat)
    if steep.size == 0:  # an empty system, which scipy 1.11 cannot solve
        return inverse, flat, True
    try:
        factor = scipy.linalg.cho_factor(inner)
    except np.linalg.LinAlgError:
        return inverse, flat, False
    inverse[np.ix_(free, free)] = steep @ scipy.linalg.cho_solve(factor, steep.T)
    return (inverse + inverse.T) / 2, flat, True
