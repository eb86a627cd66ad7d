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

_COLOURS = {"aic": "0.6", "bic": "#0072B2", "icl": "#E69F00", "cv": "#009E73"}  # those of moefast.plotting
_LABELS = {"aic": "AIC", "bic": "BIC", "icl": "ICL", "cv": "cross-validation"}


# What is printed: the header and the format by the name in Candidate.
_COLUMNS = {
    "n_experts": ("experts", "d"),
    "log_likelihood": ("log-lik", ".1f"),
    "n_parameters": ("df", "d"),
    "aic": ("AIC", ".1f"),
    "bic": ("BIC", ".1f"),
    "icl": ("ICL", ".1f"),
    "cv_log_likelihood": ("held out", ".4f"),
    "cv_standard_error": ("s.e.", ".4f"),
    "smallest_share": ("share", ".2f"),
}


@dataclass(frozen=True, eq=False, repr=False)
class NExpertsSelection:
    """The result of :func:`select_n_experts`; ``print`` shows the table.

    Its columns "held out" and "s.e." are the mean log-likelihood of a row held out and its standard error,
    "share" that of the smallest expert.

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
            Where to draw; those of a new figure of pyplot for None.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            When matplotlib is not installed; the message says how to get it.
        """
        from moefast.plotting.figures import axes_or_new

        ax = axes_or_new(ax)
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
        ax.set_title(self._verdict)
        ax.legend()
        return ax

    @property
    def _verdict(self) -> str:
        k = self.best_n_experts
        return f"{k} expert{'' if k == 1 else 's'} by {_LABELS[self.criterion]}"

    @property
    def _notes(self) -> list[str]:
        """What to say below the table."""
        collapsed = [str(row.n_experts) for row in self.table if row.collapsed]
        return [self._verdict, *([f"collapsed experts with {', '.join(collapsed)}"] if collapsed else [])]

    def __str__(self) -> str:
        from tabulate import tabulate  # for who prints

        rows = [[getattr(row, name) for name in _COLUMNS] for row in self.table]
        headers, formats = zip(*_COLUMNS.values(), strict=True)
        return "\n".join([tabulate(rows, headers=headers, floatfmt=formats), "", *self._notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return what notebooks show."""
        table = self.to_frame().to_html(float_format="{:.6g}".format, na_rep="")
        return "\n".join([table, *(f"<p>{note}</p>" for note in self._notes)])
