"""Results that leave the range of float64 in the units of the data: who is to blame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from moefast._typing import Floats

if TYPE_CHECKING:
    from moefast.em.problem import EmProblem

__all__ = ["column_list", "most_extreme_column", "refuse_infinite"]


def most_extreme_column(problem: EmProblem, names: Sequence[str] | None) -> str:
    """Name the column whose scale is farthest from 1, which is to blame when units overflow."""
    s = problem.standardisation
    j = int(np.argmax(np.abs(np.log(np.append(s.x_scale, s.y_scale)))))
    return "y" if j == len(s.x_scale) else f"X column {column_list([j], names)}"


def refuse_infinite(
    problem: EmProblem, parameters: Sequence[Floats], log_likelihood: float, names: Sequence[str] | None = None
) -> None:
    """Raise OverflowError, naming who is to blame, unless a result in the units of the data is finite."""
    finite = all(np.isfinite(p).all() for p in parameters)
    if finite and np.isfinite(log_likelihood):
        return
    if finite and not problem.link.is_linear:
        raise OverflowError(f"link {problem.link.name!r} leaves the range of float64 on these data")
    raise OverflowError(
        "the coefficients leave the range of float64 in the units of the data; rescale "
        f"{most_extreme_column(problem, names)}"
    )


def column_list(columns: Sequence[int], names: Sequence[str] | None) -> str:
    """Say which columns are meant: by name where there are names."""
    return ", ".join(str(j) if names is None else repr(names[j]) for j in columns)
