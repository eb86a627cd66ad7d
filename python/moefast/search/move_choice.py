"""Which move to try next: one that has helped before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from moefast.search.detours import DETOURS
from moefast.search.moves import MOVES
from moefast.search.report import MoveReport
from moefast.search.settings import SearchSettings

__all__ = ["MoveChoice"]


class MoveChoice:
    """Which move to try next, by which detour: in proportion to how often each has helped.

    The rate of a move and that of a detour are multiplied: so each is learnt from all trials it took part in.

    Parameters
    ----------
    settings : SearchSettings

    Attributes
    ----------
    tried, gained : dict
        By (move, detour).
    """

    def __init__(self, settings: SearchSettings) -> None:
        self._settings = settings
        for what, names, rates in (
            ("prior_move_rates", tuple(MOVES), settings.prior_move_rates),
            ("prior_detour_rates", DETOURS, settings.prior_detour_rates),
        ):
            if set(rates) != set(names):
                raise ValueError(f"{what} must have the keys {', '.join(map(repr, names))}, got {list(rates)}")
        self.tried = {(move, detour): 0 for move in MOVES for detour in DETOURS}
        self.gained = dict.fromkeys(self.tried, 0)

    def draw(self, n: int, rng: np.random.Generator) -> list[tuple[str, str]]:
        """Draw n moves and their detours and count them as tried."""
        of_move = self._rates(0, self._settings.prior_move_rates)
        of_detour = self._rates(1, self._settings.prior_detour_rates)
        choices = list(self.tried)
        odds = np.array([of_move[move] * of_detour[detour] for move, detour in choices])
        drawn = [choices[int(c)] for c in rng.choice(len(choices), size=n, p=odds / odds.sum())]
        for choice in drawn:
            self.tried[choice] += 1
        return drawn

    def _rates(self, part: int, priors: Mapping[str, float]) -> dict[str, float]:
        """Return how often each move (part 0) or detour (part 1) has helped, its prior rate among the trials."""
        n_prior, rates = self._settings.prior_trials, {}
        for name, prior in priors.items():
            same = [choice for choice in self.tried if choice[part] == name]
            tried, gained = (sum(counts[choice] for choice in same) for counts in (self.tried, self.gained))
            rates[name] = (gained + prior * n_prior) / (tried + n_prior)
        return rates

    def any_gained(self) -> bool:
        """Whether any move has led to a better optimum so far."""
        return any(self.gained.values())

    def reports(self) -> tuple[MoveReport, ...]:
        """Return the account of all moves."""
        return tuple(
            MoveReport(move, detour, self.tried[move, detour], self.gained[move, detour])
            for move, detour in self.tried
        )
