"""Tables of a fitted model, by column name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from moefast.estimators.base import MixtureEstimator

__all__ = ["GateTable", "feature_names", "summary_text"]


@dataclass(frozen=True)
class GateTable:
    """What to print of one gate.

    Attributes
    ----------
    title : str
    children : sequence of str
        What the gate chooses among.
    coef : ndarray of shape (b, d)
    intercept : ndarray of shape (b,)
    """

    title: str
    children: Sequence[str]
    coef: npt.NDArray[np.float64]
    intercept: npt.NDArray[np.float64]


def feature_names(model: MixtureEstimator) -> list[str]:
    """Return the model's column names, or x0, x1, ... when it was fitted without names."""
    names = getattr(model, "feature_names_in_", None)
    return [f"x{j}" for j in range(model.n_features_in_)] if names is None else [str(n) for n in names]


def summary_text(model: MixtureEstimator, experts: Sequence[str], gates: Sequence[GateTable]) -> str:
    """Return the table of experts, the tables of gates and the figures of the fit.

    Parameters
    ----------
    model : MixtureEstimator
        Fitted.
    experts : sequence of str
        What to call each expert.
    gates : sequence of GateTable
    """
    names = feature_names(model)
    rows = [[name, *model.coef_[:, j]] for j, name in enumerate(names)]
    rows += [["(intercept)", *model.intercept_], ["sigma", *model.sigma_], ["share", *model.shares_]]
    parts = ["Experts: y = a.x + b" if model.mixture_.link.is_linear else "Experts", _table(experts, rows)]
    for gate in gates:
        rows = [[name, *gate.coef[:, j]] for j, name in enumerate(names)]
        parts += ["", gate.title, _table(gate.children, [*rows, ["(intercept)", *gate.intercept]])]
    return "\n".join([*parts, "", *_figures(model)])


def _table(header: Sequence[str], rows: list[list[object]]) -> str:
    from tabulate import tabulate  # for who prints a summary

    return tabulate(rows, headers=["", *header], floatfmt=".4g", disable_numparse=[0])


def _figures(model: MixtureEstimator) -> list[str]:
    n = model.training_weight_
    bic = np.log(n) * model.n_parameters_ - 2 * model.log_likelihood_
    report = model.fit_report_
    lines = [
        f"log-likelihood {model.log_likelihood_:.3f} "
        f"({model.log_likelihood_ + n * np.log(model.response_std_):.3f} with y in standard deviations)",
        f"BIC {bic:.3f}   AIC {2 * model.n_parameters_ - 2 * model.log_likelihood_:.3f}   "
        f"rows {n:g}   parameters {model.n_parameters_}",
        f"{'converged' if model.converged_ else 'NOT converged'} after {model.n_iter_} iterations"
        + ("" if report.gradient is None else f", gradient {report.gradient:.1e}"),
        *report.lines(),
    ]
    if report.collapsed:
        lines.append(f"collapsed experts: {', '.join(map(str, report.collapsed))}")
    return lines
