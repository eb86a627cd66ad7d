"""The optima that a search has seen, and what was tried from each.

An optimum is known by its log-likelihood: two runs that end within a small difference of each other have come to
the same one. From an optimum whose moves have been in vain for a while a second climb has nothing to gain, so the
count of rounds in vain belongs to the optimum and not to the climb.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moefast.search.run import Run

__all__ = ["Optima", "Optimum"]


@dataclass(eq=False)
class Optimum:
    """One optimum.

    Attributes
    ----------
    health : tuple of bool
        See :attr:`moefast.search.run.Run.health`.
    log_likelihood : float
        Of the first run that has come here.
    in_vain : int
        Rounds of moves from here that have brought nothing.
    """

    health: tuple[bool, bool]
    log_likelihood: float
    in_vain: int = 0


class Optima:
    """All optima seen.

    Parameters
    ----------
    same : float
        Log-likelihoods that differ by no more than this are those of one optimum.
    """

    def __init__(self, same: float) -> None:
        self.same = same
        self._seen: list[Optimum] = []

    def equal(self, one: Run[Any] | Optimum, other: Run[Any] | Optimum) -> bool:
        """Whether two runs have come to the same optimum."""
        return one.health == other.health and abs(one.log_likelihood - other.log_likelihood) <= self.same

    def of(self, run: Run[Any]) -> Optimum:
        """Return where a run has come to; a new entry when nobody has been there."""
        near = [optimum for optimum in self._seen if self.equal(optimum, run)]
        if not near:
            self._seen.append(Optimum(run.health, run.log_likelihood))
            return self._seen[-1]
        return min(near, key=lambda optimum: abs(optimum.log_likelihood - run.log_likelihood))
