"""What to try next: what has helped before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

__all__ = ["LearntChoice"]


class LearntChoice:
    """Names, each with a detour, drawn in proportion to how often each has helped.

    The rate of a name and that of a detour are multiplied: so each is learnt from all trials it took part in.

    Parameters
    ----------
    prior_rates, prior_detour_rates : mapping of str to float
        How often each helps, before any has been tried.
    prior_trials : int
        How many trials that is worth.

    Attributes
    ----------
    tried, gained : dict
        By (name, detour).
    """

    def __init__(
        self, prior_rates: Mapping[str, float], prior_detour_rates: Mapping[str, float], prior_trials: int
    ) -> None:
        self._priors, self._prior_trials = (prior_rates, prior_detour_rates), prior_trials
        self.tried = {(name, detour): 0 for name in prior_rates for detour in prior_detour_rates}
        self.gained = dict.fromkeys(self.tried, 0)
        # Of each name, and of each detour: tried, gained.
        self._counts = tuple({name: [0, 0] for name in priors} for priors in self._priors)

    def draw(self, n: int, rng: np.random.Generator, without: str = "") -> list[tuple[str, str]]:
        """Draw n names and their detours, none of the name `without`."""
        of_name, of_detour = self._rates(0), self._rates(1)
        choices = [choice for choice in self.tried if choice[0] != without]
        odds = np.array([of_name[name] * of_detour[detour] for name, detour in choices])
        return [choices[int(c)] for c in rng.choice(len(choices), size=n, p=odds / odds.sum())]

    def note(self, choice: tuple[str, str], gained: bool) -> None:
        """Count a trial, and whether it has helped."""
        self.tried[choice] += 1
        self.gained[choice] += gained
        for counts, name in zip(self._counts, choice, strict=True):
            counts[name][0] += 1
            counts[name][1] += gained

    def _rates(self, part: int) -> dict[str, float]:
        """Return how often each name (part 0) or detour (part 1) has helped, its prior rate among the trials."""
        n_prior, counts = self._prior_trials, self._counts[part]
        return {
            name: (counts[name][1] + prior * n_prior) / (counts[name][0] + n_prior)
            for name, prior in self._priors[part].items()
        }

    def n_tried(self) -> int:
        """Return the number of trials."""
        return sum(self.tried.values())

    def any_gained(self) -> bool:
        """Whether any has helped so far."""
        return any(self.gained.values())
