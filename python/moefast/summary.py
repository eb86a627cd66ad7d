"""Tables of a fitted model, by column name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tabulate import tabulate

if TYPE_CHECKING:
    from moefast.estimator import MixtureOfExpertsRegressor

__all__ = ["summary_text"]


def feature_names(model: MixtureOfExpertsRegressor) -> list[str]:
    """Return the model's column names, or x0, x1, ... when it was fitted without names."""
    names = getattr(model, "feature_names_in_", None)
    return [f"x{j}" for j in range(model.n_features_in_)] if names is None else [str(n) for n in names]


def summary_text(model: MixtureOfExpertsRegressor) -> str:
    """Return the table of experts, the table of gates and the figures of the fit."""
    k = len(model.coef_)
    header = ["", *(f"expert {i}" for i in range(k))]
    names = feature_names(model)

    def table(rows: list[list[object]]) -> str:
        return tabulate(rows, headers=header, floatfmt=".4g", disable_numparse=[0])

    experts = [[name, *model.coef_[:, j]] for j, name in enumerate(names)]
    experts += [["(intercept)", *model.intercept_], ["sigma", *model.sigma_], ["share", *model.shares_]]
    parts = ["Experts: y = a.x + b" if model.link_.is_linear else "Experts", table(experts)]
    if k > 1:
        gates = [[name, *model.gate_coef_[:, j]] for j, name in enumerate(names)]
        gates.append(["(intercept)", *model.gate_intercept_])
        parts += ["", f"Gates: log-odds against expert {k - 1}", table(gates)]
    n = model.training_weight_
    bic = np.log(n) * model.n_parameters_ - 2 * model.log_likelihood_
    report = model.fit_report_
    winner = report.starts[report.chosen]
    parts += [
        "",
        f"log-likelihood {model.log_likelihood_:.3f} "
        f"({model.log_likelihood_ + n * np.log(model.response_std_):.3f} with y in standard deviations)",
        f"BIC {bic:.3f}   AIC {2 * model.n_parameters_ - 2 * model.log_likelihood_:.3f}   "
        f"rows {n:g}   parameters {model.n_parameters_}",
        f"{'converged' if model.converged_ else 'NOT converged'} after {model.n_iter_} iterations; "
        f"best of {len(report.starts)} start(s): {winner.kind}",
    ]
    if report.collapsed:
        parts.append(f"collapsed experts: {', '.join(map(str, report.collapsed))}")
    return "\n".join(parts)
