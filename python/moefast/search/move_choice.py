"""Which move to try next: one that has helped before."""

from __future__ import annotations

from moefast.search.detours import DETOURS
from moefast.search.learnt_choice import LearntChoice
from moefast.search.moves import MOVES
from moefast.search.report import MoveReport
from moefast.search.settings import SearchSettings

__all__ = ["MoveChoice"]


class MoveChoice(LearntChoice):
    """Moves and their detours; a move helps when it leads to a better optimum.

    Parameters
    ----------
    settings : SearchSettings
    """

    def __init__(self, settings: SearchSettings) -> None:
        for what, names, rates in (
            ("prior_move_rates", tuple(MOVES), settings.prior_move_rates),
            ("prior_detour_rates", DETOURS, settings.prior_detour_rates),
        ):
            if set(rates) != set(names):
                raise ValueError(f"{what} must have the keys {', '.join(map(repr, names))}, got {list(rates)}")
        moves = {move: settings.prior_move_rates[move] for move in MOVES}
        detours = {detour: settings.prior_detour_rates[detour] for detour in DETOURS}
        super().__init__(moves, detours, settings.prior_trials)

    def reports(self) -> tuple[MoveReport, ...]:
        """Return the account of all moves."""
        return tuple(
            MoveReport(move, detour, self.tried[move, detour], self.gained[move, detour])
            for move, detour in self.tried
        )
