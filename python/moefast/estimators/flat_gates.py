"""What the estimators of mixtures with flat gates have in common: from samples to the best optimum."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from moefast.em.fit import EmFit
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.estimators.base import MixtureEstimator
from moefast.estimators.features import Features, feature_columns
from moefast.estimators.given_start import GivenStart
from moefast.estimators.outcome import Outcome
from moefast.estimators.summary import GateTable
from moefast.links import LINKS, Link
from moefast.mixture import Mixture
from moefast.randomness import get_generator
from moefast.samples import Samples
from moefast.search.beginning import Neighbour
from moefast.search.best_optimum import Found, find_optima
from moefast.search.budget import Deadline
from moefast.search.given_starts import optimum_of_starts
from moefast.search.portfolio import StartOptions
from moefast.search.report import FitReport

__all__ = ["FlatMixtureEstimator", "SharedRows", "canonical_order"]


@dataclass
class SharedRows:
    """The rows of several fits to the same data by parameters that differ in the number of experts alone.

    Attributes
    ----------
    problem : EmProblem or None
        Made by the first of these fits: standard units, equal rows, dependent columns.
    """

    problem: EmProblem | None = None


class FlatMixtureEstimator(MixtureEstimator):
    """An estimator of a mixture whose gates are one softmax."""

    mixture_: Mixture
    n_experts: int
    common_features: Features
    polish: bool = True
    # What fit_on adds to the arguments of fit, while it runs.
    _rows: SharedRows | None = None
    _known: Mixture | None = None

    def fit_on(self, rows: SharedRows, data: dict[str, Any], known: Mixture | None = None) -> None:
        """Do as ``fit(**data)``, with rows that are in standard units already if another fit has been to them.

        `known` is a fit to them of as many experts: one that begins at another number of experts is for a better.
        """
        self._rows, self._known = rows, known
        try:
            self.fit(**data)
        finally:
            self._rows = self._known = None

    def _problem(self, samples: Samples, options: EmOptions) -> EmProblem:
        rows = self._rows or SharedRows()
        if rows.problem is None:
            rows.problem = EmProblem(samples, options, self._link(), self._family(samples.n_responses))
        return rows.problem

    def _fit(self, samples: Samples, options: EmOptions, start: GivenStart | None) -> Outcome:
        rng = get_generator(self.random_state)
        problem = self._problem(samples, options)
        if self.polish or start is not None:
            found = self._optima(problem, start, rng)
            fit, report = problem.to_units(found.fit), found.report
        else:
            if samples.groups is not None:
                raise ValueError("groups need polish=True: the moments know rows by themselves only")
            fit, report = self._unpolished(problem, samples, rng)
        order = canonical_order(fit)
        n_parameters = problem.n_parameters(int(self.n_experts)) - problem.n_left_out(fit.mixture)
        return Outcome(problem, fit, report, order, fit.mixture.ordered(order), n_parameters)

    def _optima(self, problem: EmProblem, start: GivenStart | None, rng: np.random.Generator) -> Found:
        """Return the best optimum from the starts asked for, in standard units, and what came next."""
        k, deadline = int(self.n_experts), Deadline(self.time_budget)
        units, known = problem.standardisation, self._known
        mixture = None if start is None else start.neighbour(k, units)
        if start is not None and mixture is None:
            begin = [start.standard(units)]
            return Found(*optimum_of_starts(problem, begin, deadline=deadline, verbose=self.verbose), list)
        wanted, neighbour = StartOptions("auto", "auto", problem.n_parameters(k)), None
        if mixture is None:
            wanted = replace(wanted, start=str(self.start), n_init=self.n_init)
        else:
            neighbour = Neighbour(mixture, None if known is None else known.to_standard(units))
        return find_optima(problem, k, wanted, rng, neighbour=neighbour, deadline=deadline, verbose=self.verbose)

    def _unpolished(
        self, problem: EmProblem, samples: Samples, rng: np.random.Generator
    ) -> tuple[EmFit, FitReport]:
        """Return a fit whose experts are not of EM."""
        raise NotImplementedError

    def _link(self) -> Link:
        """Return the link of the experts."""
        return LINKS["linear"]

    def _with_columns(self, options: EmOptions, samples: Samples) -> EmOptions:
        options = super()._with_columns(options, samples)
        if self.common_features is None:
            return options
        common = feature_columns("common_features", self.common_features, samples) or ()
        unseen = [j for j in common if options.expert_columns is not None and j not in options.expert_columns]
        if unseen:
            which = unseen[0] if samples.names is None else repr(samples.names[unseen[0]])
            raise ValueError(f"common_features must be of the columns that experts see, got {which}")
        return replace(options, common_columns=tuple(common))

    def _link_and_branches(self) -> tuple[Link, None]:
        return self._link(), None

    def _asked_for(self) -> tuple[int, str]:
        return int(self.n_experts), f"n_experts={self.n_experts}"

    def _names_and_gates(self) -> tuple[list[str], list[GateTable]]:
        names = [f"expert {i}" for i in range(len(self.coef_))]
        title = f"Gates: log-odds against {names[-1]}"
        gates = [GateTable(title, names, self.gate_coef_, self.gate_intercept_)]
        return names, gates if len(names) > 1 else []


def canonical_order(fit: EmFit) -> npt.NDArray[np.intp]:
    """Order experts by decreasing share, so that labels do not change with the seed; ties by coefficients."""
    k = fit.mixture.n_experts
    slopes, intercepts = fit.mixture.coef.reshape(k, -1).T, fit.mixture.intercept.reshape(k, -1).T
    keys = [*slopes[::-1], *intercepts, -np.round(fit.totals / fit.totals.sum(), 6)]
    return np.lexsort(keys)
