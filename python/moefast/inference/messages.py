"""What to know before the standard errors of a fit are used, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.em.options import EXPERT_ALPHA_LEAST
from moefast.em.problem import EmProblem
from moefast.inference.estimable import Precision
from moefast.inference.layout import ParameterLayout

__all__ = ["messages_of"]

# A move of the estimates that is worth telling, in standard errors.
_MOVE = 0.01
# Rows for each coefficient of an expert below which its intervals are too short. Of 4000 simulated data sets
# (bench/coverage.py) 176 had such an expert; there the robust intervals of experts covered 73 % in place of 95, in
# the others 93.
_ROWS_PER_COEFFICIENT = 15


def messages_of(problem: EmProblem, precision: Precision, totals: Floats, moved: Floats) -> tuple[str, ...]:
    """Return what to tell of a fit.

    Parameters
    ----------
    problem : EmProblem
    precision : Precision
    totals : ndarray of shape (k,)
        Weight of the rows each expert is responsible for.
    moved : ndarray of shape (P,)
        Where the gradient vanishes less the model's estimates, in standard units.
    """
    return tuple(_sentences(problem, precision, totals, moved))


def _sentences(problem: EmProblem, precision: Precision, totals: Floats, moved: Floats) -> Iterator[str]:
    layout = precision.layout
    if not precision.is_maximum:
        yield (
            "the fit is no maximum of the likelihood (its second derivative is not negative), so nothing has a "
            "standard error; raise max_iter or n_init, or take fewer experts"
        )
        return
    if precision.few_rows:
        yield (
            f"expert(s) {_list(precision.few_rows)} have fewer than d + 2 rows: no standard errors for them nor "
            "for gates beside them; take fewer experts"
        )
    if precision.at_floor:
        yield (
            f"the noise of expert(s) {_list(precision.at_floor)} is at its floor: no standard error for it, and "
            "the others are those with this noise given"
        )
    if precision.at_bound:
        yield (
            f"the {layout.shape_name} of expert(s) {_list(precision.at_bound)} is at an end of its range "
            f"({problem.shape_bounds[0]:g} to {problem.shape_bounds[1]:g}): no standard error for it, and the "
            "others are those with it given"
        )
    rows, coefficients = totals / problem.weight_per_row, len(layout.expert_columns)
    for expert, n_rows in enumerate(rows):
        if n_rows < _ROWS_PER_COEFFICIENT * coefficients and expert not in precision.few_rows:
            yield (
                f"expert {expert} is responsible for {n_rows:.0f} rows only, fewer than {_ROWS_PER_COEFFICIENT} "
                f"for each of its {coefficients} coefficients: intervals are too short; take fewer experts, more "
                'rows or noise="shared"'
            )
    T, _ = layout.to_units(problem.standardisation)
    flat = precision.in_flat(T) & ~precision.fixed
    separated = precision.separated_gates(np.eye(layout.n_parameters)) & ~flat
    for i in layout.gated:
        if separated[layout.gate(i)].any():
            yield (
                f"gate {i} (against expert {layout.reference}) is separated: its probabilities are 0 or 1, and "
                f"there is no finite estimate of {_terms(layout, separated, layout.gate(i))}, which only the "
                "ridge gate_alpha holds"
            )
    if flat.any():
        yield (
            f"the data do not determine {_by_part(layout, flat)}: columns depend linearly on each other, or do "
            "not vary among the rows concerned"
        )
    error = np.sqrt(np.diag(precision.inverse))
    known = precision.estimable(np.eye(layout.n_parameters)) & ~separated & (error > 0)
    largest = float(np.max(np.abs(moved[known]) / error[known], initial=0.0))
    if largest > _MOVE:
        yield (
            f"the likelihood of these data is largest {largest:.2g} standard errors away from the model's "
            "estimates: the fit has not settled (lower tol, raise max_iter), or these are not the data of the fit"
        )
    if problem.options.alpha > EXPERT_ALPHA_LEAST * problem.weight_per_row:
        yield (
            f"the experts are shrunk (alpha={problem.options.alpha:g}): the intervals are those of the penalised "
            "fit, which is biased"
        )


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(str(i) for i in numbers)


def _by_part(layout: ParameterLayout, chosen: npt.NDArray[np.bool_]) -> str:
    """Name parameters: "x0, x1 of expert 0; x0 of gate 1"."""
    terms: dict[str, list[str]] = {}
    for (part, name), one in zip(layout.names, chosen, strict=True):
        if one:
            terms.setdefault(part, []).append(name)
    return "; ".join(f"{', '.join(names)} of {part}" for part, names in terms.items())


def _terms(layout: ParameterLayout, chosen: npt.NDArray[np.bool_], where: slice) -> str:
    return ", ".join(name for (_, name), one in zip(layout.names[where], chosen[where], strict=True) if one)
