"""What a fit found, and the figures and warnings that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from moefast.em.finite import refuse_infinite
from moefast.em.fit import FitResult
from moefast.em.problem import EmProblem
from moefast.estimators.degenerate_data import (
    degenerate_data_warnings,
    discrete_response_warnings,
    misses_constant,
    refuse_infinite_predictions,
    sure_experts,
)
from moefast.estimators.summary.names import coefficients_in_words
from moefast.exceptions import DegenerateDataWarning
from moefast.families import GAUSSIAN
from moefast.inference.separation import separated_coefficients
from moefast.mixture import GatedExperts
from moefast.samples import Samples
from moefast.search.report import FitReport

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """The result of a search, in the units of the data.

    Attributes
    ----------
    problem : EmProblem
    fit : FitResult
        Its experts stand as they were found.
    report : FitReport
        Likewise.
    order : ndarray of shape (k,)
        Which expert of the fit comes to stand at each place.
    mixture : GatedExperts
        The mixture of the fit in that order.
    n_parameters : int
    """

    problem: EmProblem
    fit: FitResult
    report: FitReport
    order: npt.NDArray[np.intp]
    mixture: GatedExperts
    n_parameters: int

    def refuse_infinite(self, samples: Samples) -> None:
        """Raise OverflowError, naming who is to blame, for parameters or predictions that are not finite."""
        m = self.mixture
        # The gates of a tree are one array a level, those of a flat mixture one array, whose rows are listed here.
        parameters = (m.coef, m.intercept, m.sigma, m.shape, *m.gate_coef, *m.gate_intercept)
        refuse_infinite(self.problem, parameters, self.fit.log_likelihood, samples.names)
        if m.family.n_predictors == 1 and not (m.link.is_linear and m.family.is_location):
            refuse_infinite_predictions(m, samples.X, samples.terms)

    @property
    def collapsed(self) -> tuple[int, ...]:
        """The experts that collapsed, by their place in the order."""
        return tuple(int(i) for i in np.flatnonzero(np.isin(self.order, self.report.collapsed)))

    @property
    def converged(self) -> bool:
        """Whether EM settled, and on something that explains y where y is constant."""
        return self.fit.converged and not misses_constant(self.problem, self.fit)

    @cached_property
    def separated_gates(self) -> tuple[tuple[int, int], ...] | None:
        """Expert and column of the coefficients of separated gates; None where it is not known."""
        return separated_coefficients(self.problem, self.mixture, self.collapsed)

    def warnings(self, samples: Samples) -> list[Warning]:
        """Return what the user is to be warned of."""
        problem, fit = self.problem, self.fit
        found: list[Warning] = [
            *degenerate_data_warnings(problem, self.n_parameters, samples.names, samples.response_names),
            *(discrete_response_warnings(samples.y) if problem.family == GAUSSIAN else []),
        ]
        if misses_constant(problem, fit):
            found.append(
                ConvergenceWarning(
                    f"y is constant at {problem.y_level:.6g}, and the fit does not reach it: link "
                    f"{problem.link.name!r} does not take this value, or all starts got stuck; take another link "
                    "or raise n_init"
                )
            )
        if not fit.converged and self.report.n_passes:
            found.append(
                ConvergenceWarning(
                    f"the fit did not settle ({fit.status} after {self.report.n_passes} passes); raise "
                    "max_passes, or sample_rows for better steps"
                )
            )
        elif not fit.converged:
            raised = "time_budget, max_iter" if self.report.out_of_time else "max_iter"
            found.append(
                ConvergenceWarning(
                    f"EM did not settle ({fit.status} after {fit.n_iter} iterations); raise {raised} or tol"
                )
            )
        if self.collapsed:
            who = ", ".join(str(i) for i in self.collapsed)
            found.append(
                DegenerateDataWarning(
                    f"expert(s) {who} collapsed: noise at the floor or fewer than d + 2 different rows; use fewer "
                    'experts, noise="shared" or more data'
                )
            )
        sure = () if problem.constant_response else sure_experts(problem, self.mixture, samples)
        if sure:
            found.append(
                DegenerateDataWarning(
                    f"expert(s) {', '.join(map(str, sure))} leave nothing to chance: their rows all have the same "
                    "outcome, or a border divides the outcomes; their coefficients have no finite estimate, and "
                    "only a small ridge holds them; raise alpha for gentler ones"
                )
            )
        if self.separated_gates:
            names = samples.names or [f"x{j}" for j in range(samples.n_features)]
            experts = [f"expert {i}" for i in range(self.mixture.n_experts)]
            where = coefficients_in_words(self.separated_gates, experts, names)
            found.append(
                DegenerateDataWarning(
                    f"separated gates, whose probabilities are 0 or 1: the coefficients of {where} have no finite "
                    "estimate, and only the ridge gate_alpha holds them; raise it for gentler gates"
                )
            )
        return found
