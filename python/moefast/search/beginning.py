"""What a search begins with besides random starts: moments of the rows, or a fit of one expert fewer or more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from moefast.em.problem import EmProblem
from moefast.mixture import Mixture
from moefast.search.expert_merges import expert_merges
from moefast.search.expert_splits import expert_splits
from moefast.search.local_optimum import LocalOptimum
from moefast.search.settings import SearchSettings
from moefast.search.starts import Start

__all__ = ["Beginning", "Neighbour", "neighbour_starts"]


@dataclass(frozen=True)
class Neighbour:
    """A fit of one expert fewer or more than are looked for.

    Attributes
    ----------
    mixture : Mixture
        In standard units.
    known : Mixture or None
        An optimum of as many experts as are looked for, where a better one is wanted.
    """

    mixture: Mixture
    known: Mixture | None = None


@dataclass(frozen=True)
class Beginning:
    """What a search begins with besides random starts.

    Attributes
    ----------
    at_sample : callable or None
        Takes the rows, or a sample where there are many, and returns starts.
    at_first_rows : callable or None
        Takes the rows of the first iterations, which may be fewer, and returns starts for them. They all come
        from one fit, so what they lead to are no independent finds.
    n_fewer : int
        How many experts fewer that fit has than are looked for: 1, or -1 for one more.
    known : Mixture or None
        An optimum of as many experts as are looked for, in standard units: the starts are raced against it, and
        the search goes on only from where they lead beyond it.
    """

    at_sample: Callable[[EmProblem], Sequence[Start]] | None = None
    at_first_rows: Callable[[EmProblem], Sequence[Start]] | None = None
    n_fewer: int = 0
    known: Mixture | None = None

    @classmethod
    def at_neighbour(cls, neighbour: Neighbour, n_experts: int, rng: np.random.Generator) -> Beginning:
        """Begin at a fit of one expert fewer or more than `n_experts`."""
        return cls(
            at_first_rows=lambda rows: neighbour_starts(rows, neighbour.mixture, n_experts, rng),
            n_fewer=n_experts - neighbour.mixture.n_experts,
            known=neighbour.known,
        )

    def iterations(self, settings: SearchSettings, n_experts: int, n_distinct: int, n_features: int) -> int:
        """Return the EM iterations of a search that begins so."""
        full = settings.iterations(n_experts, n_distinct, n_features)
        if self.known is not None or self.n_fewer == -1:
            return round(settings.share_from_more * full)
        return round(settings.share_of_fewer(n_experts) * full) if self.is_of_fewer else full

    @property
    def is_of_fewer(self) -> bool:
        """Whether it is a fit of one expert fewer, beside whose splits random starts stand."""
        return self.n_fewer == 1


def neighbour_starts(
    problem: EmProblem, mixture: Mixture, n_experts: int, rng: np.random.Generator
) -> list[Start]:
    """Return splits of a mixture of one expert fewer than `n_experts`, or merges of one of one expert more.

    Parameters
    ----------
    problem : EmProblem
        The rows that the starts assign.
    mixture : Mixture
        In standard units.
    n_experts : int
    rng : numpy Generator
    """
    optimum = LocalOptimum(problem, mixture)
    return expert_splits(optimum, rng) if mixture.n_experts < n_experts else expert_merges(optimum)
