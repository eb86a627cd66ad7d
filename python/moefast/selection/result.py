"""The choice of a number of experts: the table behind it, the fits, a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.selection.candidate import Candidate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

__all__ = ["NExpertsSelection"]

_COLOURS = {"aic": "0.6", "bic": "tab:blue", "icl": "tab:orange", "cv": "tab:green"}
_LABELS = {"aic": "AIC", "bic": "BIC", "icl": "ICL", "cv": "cross-validation"}


@dataclass(frozen=True, eq=False)
class NExpertsSelection:
    """The result of :func:`select_n_experts`.

    Attributes
    ----------
    criterion : {"bic", "cv", "icl"}
        What was chosen by.
    table : tuple of Candidate
        One row for each number of experts, in increasing order.
    estimators : mapping of int to MixtureOfExpertsRegressor
        The fits to all rows, by their number of experts.
    best_n_experts : int
        The choice.
    """

    criterion: str
    table: tuple[Candidate, ...]
    estimators: Mapping[int, MixtureOfExpertsRegressor]
    best_n_experts: int

    @property
    def best_estimator(self) -> MixtureOfExpertsRegressor:
        """The fit with the number of experts chosen."""
        return self.estimators[self.best_n_experts]

    def to_frame(self) -> DataFrame:
        """Return the table as a data frame, with the number of experts as its index."""
        import pandas as pd

        names = [field.name for field in fields(Candidate)]
        return pd.DataFrame([asdict(row) for row in self.table], columns=names).set_index("n_experts")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the criteria against the number of experts; the lower, the better.

        Cross-validation is drawn as -2 times the log-likelihood of all rows held out, on the scale of AIC and
        BIC, with a standard error up and down. The choice is marked, and so are fits with collapsed experts.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; new axes for None.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            When matplotlib is not installed; the message says how to get it.
        """
        from moefast.plotting import require_matplotlib

        require_matplotlib()
        from matplotlib.figure import Figure

        if ax is None:
            ax = Figure(layout="constrained").subplots()
        counts = [row.n_experts for row in self.table]
        total = self.best_estimator.training_weight_
        curves = {name: [getattr(row, name) for row in self.table] for name in ("aic", "bic", "icl")}
        curves["cv"] = [-2.0 * total * row.cv_log_likelihood for row in self.table]
        for name, colour in _COLOURS.items():
            values = curves[name]
            if np.isnan(values).any():  # without cross-validation
                continue
            width = 2.5 if name == self.criterion else 1.0
            ax.plot(counts, values, color=colour, linewidth=width, label=_LABELS[name])
            if name == "cv":
                errors = [2.0 * total * row.cv_standard_error for row in self.table]
                ax.errorbar(counts, values, errors, fmt="none", ecolor=colour, capsize=3)
            for row, value in zip(self.table, values, strict=True):
                fill = "white" if row.collapsed else colour
                ax.plot(row.n_experts, value, "o", color=colour, markerfacecolor=fill)
        if any(row.collapsed for row in self.table):
            ax.plot([], [], "o", color="0.4", markerfacecolor="white", label="collapsed experts")
        ax.axvline(self.best_n_experts, color="0.6", linestyle=":", zorder=0)
        ax.set_xticks(counts)
        ax.set(xlabel="number of experts", ylabel="criterion (lower is better)")
        ax.set_title(f"Chosen by {_LABELS[self.criterion]}: {self.best_n_experts} expert(s)")
        ax.legend()
        return ax

    def __str__(self) -> str:
        names = {
            "n_experts": "experts",
            "log_likelihood": "log-likelihood",
            "n_parameters": "parameters",
            "aic": "AIC",
            "bic": "BIC",
            "icl": "ICL",
            "cv_log_likelihood": "held out, a row",
            "cv_standard_error": "+-",
            "smallest_share": "smallest share",
        }
        from tabulate import tabulate  # for who prints

        rows = []
        for row in self.table:
            remark = "chosen" if row.n_experts == self.best_n_experts else ""
            remark += ("; " if remark and row.collapsed else "") + ("collapsed" if row.collapsed else "")
            rows.append([*(getattr(row, name) for name in names), remark])
        return tabulate(rows, headers=[*names.values(), ""], floatfmt=".6g")
