"""An EM run on its way, and which of two runs is the better one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from moefast.em.fit import FitResult

__all__ = ["Fit", "Rank", "Run"]

Fit = TypeVar("Fit", bound=FitResult)
Rank: TypeAlias = tuple[bool, bool, float]


@dataclass(eq=False)
class Run(Generic[Fit]):
    """An EM run on its way, from a start or from a move.

    Attributes
    ----------
    kind : str
        Of the start or the move.
    detour : str
        Taken on the way, see :mod:`moefast.search.detours`.
    fit : FitResult
        Where it is now.
    n_iter : int
        EM iterations since the start or the move, without those of the detour.
    start : int
        Number of the start it goes back to.
    response_is_constant : bool
        Noise at the floor is then no collapse but the fit.
    """

    kind: str
    detour: str
    fit: Fit
    n_iter: int
    start: int = -1
    response_is_constant: bool = False

    @property
    def health(self) -> tuple[bool, bool]:
        """Whether the fit is degenerate, and whether experts have collapsed."""
        collapsed = bool(self.fit.collapsed) and not self.response_is_constant
        return self.fit.status == "degenerate", collapsed

    @property
    def is_sound(self) -> bool:
        """Whether the fit is neither degenerate nor collapsed.

        The likelihood of one that is has no meaning: it is unbounded where an expert fits few rows exactly
        (McLachlan and Peel, Finite Mixture Models, 2000, section 3.10: spurious local maxima).
        """
        return not any(self.health)

    @property
    def log_likelihood(self) -> float:
        """Where the run is now, in the units of its problem."""
        return self.fit.log_likelihood

    @property
    def to_beat(self) -> float | None:
        """The objective that other runs are to beat; None where it has no meaning."""
        return float(self.fit.trace[-1]) if self.is_sound else None

    def rank(self) -> Rank:
        """Sort key, the best first: degenerate fits last, collapsed ones before them, then by likelihood."""
        return (*self.health, -self.fit.log_likelihood)

    def go_on(self, fit: Fit) -> None:
        """Take the fit of the iterations that follow."""
        self.fit, self.n_iter = fit, self.n_iter + fit.n_iter
