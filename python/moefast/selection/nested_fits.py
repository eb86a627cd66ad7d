"""k experts and k + 1 on the same rows, from the same kinds of starts: what a likelihood ratio compares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moefast.em.fit import EmFit
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.mixture import Mixture
from moefast.samples import Samples
from moefast.search.expert_splits import expert_splits
from moefast.search.given_starts import best_of_starts
from moefast.search.local_optimum import LocalOptimum
from moefast.search.random_starts import RandomStarts
from moefast.search.settings import SearchSettings
from moefast.search.starts import Start

__all__ = ["NestedFits"]

# Random starts go straight on: a detour takes as long as the first short run.
_SETTINGS = SearchSettings(start_detours=("",))


@dataclass(frozen=True)
class NestedFits:
    """The best fit of k experts found, and of k + 1.

    Attributes
    ----------
    null, alternative : EmFit
        In the units of the data.
    """

    null: EmFit
    alternative: EmFit

    @classmethod
    def of(
        cls, samples: Samples, start: Mixture, n_init: int, options: EmOptions, rng: np.random.Generator
    ) -> NestedFits:
        """Fit both, by the same work whatever the samples.

        Parameters
        ----------
        samples : Samples
        start : Mixture
            Of k experts, in the units of the data: one of the starts of k experts. Those of k + 1 are the best of
            k found, with one expert split.
        n_init : int
            Random starts besides, of each.
        options : EmOptions
        rng : numpy Generator
        """
        problem = EmProblem(samples, options, start.link, start.family)
        k = start.n_experts

        def best(n_experts: int, starts: list[Start]) -> EmFit:
            if n_experts > 1:
                starts = starts + RandomStarts(problem, n_experts, rng, _SETTINGS).draw(n_init)
            return best_of_starts(problem, starts, settings=_SETTINGS)[0]

        standard = start.to_standard(problem.standardisation)
        null = best(k, [Start("null hypothesis", lambda: standard)])
        alternative = best(k + 1, expert_splits(LocalOptimum(problem, null.mixture), rng))
        return cls(problem.result(null), problem.result(alternative))

    @property
    def statistic(self) -> float:
        """Twice the difference of the log-likelihoods.

        Never negative: k experts are k + 1 of which two are the same, whatever the search has found of the latter.
        """
        return max(0.0, 2.0 * float(self.alternative.log_likelihood - self.null.log_likelihood))
