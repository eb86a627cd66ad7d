"""The settings of the search, checked when made: every number that was tuned, with what it was tuned on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from moefast.validation import check_integer, check_number

__all__ = ["SearchSettings"]

_COUNTS = (
    "max_rows",
    "max_rows_of_trials",
    "more_rows",
    "sample_rows",
    "first_rows_per_parameter",
    "first_iterations",
    "given_iterations",
    "given_kept",
    "given_more_iterations",
    "given_finalists",
    "given_batch_rows",
    "first_starts",
    "second_starts",
    "later_starts",
    "starts_from_fewer",
    "least_beside",
    "confirming_starts",
    "agreeing_runs",
    "least_climbs",
    "first_climbs",
    "later_climbs",
    "moves_per_round",
    "moves_kept",
    "crossing_experts",
    "patience",
    "short_patience",
    "max_iterations",
    "iterations_per_pair",
    "full_rows",
    "full_features",
    "full_experts",
    "other_noise_iterations",
    "starts_in_turn",
    "prior_start_trials",
    "annealing_steps",
    "annealing_step_iterations",
    "prior_trials",
    "bumped",
    "bumping_patience",
    "finalists",
    "finalist_iterations",
    "spare_finalists",
    "final_iterations",
    "saddles",
    "iterations_between_looks",
)


@dataclass(frozen=True)
class SearchSettings:
    """Settings of the search, checked when made.

    The defaults serve all data alike. Where nothing else is said they were chosen together, for log-likelihood
    reached by CPU time spent, on three UCI tables (concrete, airfoil, power plant; 2, 3 and 5 experts, shared
    noise and noise per expert) and simulated data.

    Parameters
    ----------
    gate_alpha : float
        Ridge of the gates while searching, where less is asked for; for rows of weight 1 on average, as
        :data:`moefast.em.GATE_ALPHA_AUTO`. It takes spurious maxima off the likelihood:
        gates so steep that they cut single rows off. With the final ridge in its place the search ends lower
        (concrete, 3 experts, shared noise: 5 of 16 seeds at the best for 15 of 16) and 5 experts lose 14 nats a
        fold held out, 17 (12) below R's flexmix in place of 2 (5); 1e-3 hides good optima.
    alpha : float
        Ridge of experts whose predictors may run away (`Family.may_be_sure`), likewise. Without it a search for
        zeros beside counts of Poisson ends, in two of four simulated data sets, at an expert of zeros that is
        steep at the border and up to 0.4 below one that is flat.
    max_rows : int
        Different rows that a search looks at, about; the best of what it finds then go on on more. On 100 000
        simulated rows that ends within 0.01 of EM from the truth, whatever the seed.
    max_rows_of_trials : int
        The same for responses of which a row says little, 0 or 1. On 17 000 rows of three experts the best of 5000
        is on all of them up to 6 below EM from the truth, in two of ten data sets; with all rows in none.
    more_rows : int
        Different rows, about, on which they go on by bumping, see :mod:`moefast.search.more_rows`; the best then
        compete on all.
    sample_rows : int
        Different rows, about, whose moments give starts, and on which the best that was found goes on before it
        ends on all rows. Second derivatives of 100 000 rows lead there in three or four passes, those of 5000 in
        twice as many.
    same_optimum : float
        Optima whose log-likelihoods differ by no more than this for each unit of weight are the same.

    first_rows_per_parameter : int
        The first iterations from every start take so many different rows for each parameter of the model, about,
        where there are twice as many: enough to tell which starts are worth the rest.
    first_iterations : int
        EM iterations of the short run from every start, before the first round of successive halving.
    halving_rounds : tuple of (float, int)
        Rounds of successive halving: the share of the runs that is kept, and how many iterations those go on for.

    given_iterations, given_kept, given_more_iterations, given_finalists : int
        The same where the starts are given and no moves follow: iterations from every start, how many runs are
        kept then, how many iterations those go on for, and how many of them compete for the end.
    given_batch_rows : int
        Such starts are made and run together as long as they have no more rows than this between them: an
        assignment takes 4 bytes a row.

    first_starts : int
        Random starts to begin with, which may show that the data are easy.
    second_starts, later_starts : int
        Random starts after those where the data are not easy, and each time no run is left to climb from.
    starts_from_fewer, least_beside : int
        Starts of a search that begins at a fit of one expert fewer: its splits and random ones, of these at least
        so many. With `least_beside` alone fits of two to eight experts on concrete end lower. Merges of a fit of
        one expert more go without, to leave time for climbs: else four experts on airfoil end 4 to 15 lower.
    agreeing_runs, confirming_starts : int
        The data are easy when so many of the first runs end at one optimum, and neither moves from there nor so
        many further random starts find a better one. Without the latter one seed in twelve stays at 90.7 on power
        plant with 3 experts, where others find 239.2: agreement alone proves nothing.
    first_climbs, later_climbs : int
        Best runs of the first starts, and of later ones, that are climbed from.

    moves_per_round, moves_kept : int
        Moves tried in a round of a climb, and how many of them go on after the short run. Every kind of move has
        brought gains on every table; handing over, split and merge, and tilting the most.
    crossing_experts : int
        Fewer experts than these are not crossed with those of other optima, see :mod:`moefast.search.crossing`:
        three can hardly be put together in a new way. With five on concrete crossing gains 4 (noise per expert)
        and 6 (shared) on average; with three 4 of 20 seeds missed the best optimum for 0 of 40.
    move_iterations : tuple of (int, int, int)
        EM iterations from each move of a round, more of those kept, more of the best of these.
    patience, short_patience : int
        Rounds without gain that end a climb; the same where the data seem easy, or no climb so far has found a
        move that helps: then fresh starts may.
    fewest_climbs, least_climbs, worthwhile : int, int, float
        After so many independent climbs (with few rows in proportion to the iterations, `least_climbs` at least)
        the search ends when the second half of them was worth, on average, no more than this share of the chance
        error of the log-likelihood; see :mod:`moefast.search.expected_gain`. Of 576 simulated fits to 150 to 700
        rows 156 missed the best known optimum with 5 of them, 153 with 8.

    iterations_per_pair, max_iterations : int
        EM iterations of a search: so many for each of k (k - 1) pairs of experts, and at most.
    full_rows, full_features, full_experts : int
        Fewer different rows than this have fewer optima: there the iterations fall with the square root of their
        number. Where there are more columns than `full_features` rows count for more, in proportion: of 300
        simulated rows searches with eight columns miss the best optimum most often. With more experts than
        `full_experts` an iteration costs more, as the square of k: there `max_iterations` falls with 1 / k.

    share_from_fewer, share_from_more : float
        The share of these iterations for a search for `full_experts` that begins at a fit of one expert fewer, for
        other numbers as 1 / k^2: an iteration costs as the square of k, and a better fit of few experts gives
        better starts for all that follow. And the share for one that begins at a fit of one expert more, or is for
        a better optimum than one that is known.

    starts_in_turn : int
        Random starts of all kinds in turn, each by a detour in turn; later ones are of the kinds and by the
        detours that have been among the best before: which of them do well depends on the data.
    good_share : float
        So many of a group of starts are among the best.
    prior_start_trials : int
        How many trials the same rate for all kinds is worth.
    start_detours : tuple of str
        Detours of random starts, in turn; see :mod:`moefast.search.detours`. Annealing is the one that rarely
        wins where moves follow.
    other_noise_iterations : int
        EM iterations under the other noise.
    lowest_temperatures : tuple of (float, float)
        Annealing begins at an inverse temperature drawn from this range.
    annealing_steps, annealing_step_iterations : int
        Steps in which the inverse temperature rises to 1, and EM iterations at each.

    prior_move_rates, prior_detour_rates : mapping of str to float
        How often a move, and how often a move by a detour, leads to a better optimum, before any has been tried.
        Measured on nine data sets.
    prior_trials : int
        How many trials that is worth.

    share_of_some_rows : float
        The share of the iterations for the search where its best optima go on on more rows. These have the rest.
    bumped, bumping_patience : int
        How many optima go on there, and after how many rounds of moves in vain each stops. Power plant with three
        experts ends at the best known optimum for 17 to 20 of 24 seeds; for 8 where 5000 rows are searched and
        nothing follows on more, for 5 where all are, in the same time and more.

    finalists, finalist_iterations : int
        How many optima compete on all rows under the ridge asked for, and EM iterations there before the best of
        them is chosen.
    spare_finalists : int
        Where they all collapse there, so many further ones without collapsed experts have their turn.
    decrement_tol, gradient_tol, final_iterations : float, float, int
        The winner goes on, by Newton's method, to where a step would gain no more than this for rows of weight 1
        and the gradient is no larger than this; where that fails by EM, for so many iterations at most: a small
        gain alone is also what a run makes on a saddle, and one fit in fifty still gained a unit on the way.
    saddles : int
        How often it may leave a saddle.
    iterations_between_looks : int
        With a time budget, EM iterations of the winner between two looks at the clock.

    Raises
    ------
    TypeError, ValueError
        For what is no number in its range.
    """

    gate_alpha: float = 1e-4
    alpha: float = 1e-2
    max_rows: int = 2500
    max_rows_of_trials: int = 20_000
    more_rows: int = 10_000
    sample_rows: int = 100_000
    same_optimum: float = 1e-4

    first_rows_per_parameter: int = 40
    first_iterations: int = 25
    halving_rounds: tuple[tuple[float, int], ...] = ((0.4, 40), (0.17, 100))

    given_iterations: int = 20
    given_kept: int = 4
    given_more_iterations: int = 80
    given_finalists: int = 2
    given_batch_rows: int = 2**24

    first_starts: int = 8
    second_starts: int = 24
    later_starts: int = 15
    starts_from_fewer: int = 24
    least_beside: int = 4
    agreeing_runs: int = 7
    confirming_starts: int = 12
    first_climbs: int = 5
    later_climbs: int = 2

    moves_per_round: int = 8
    moves_kept: int = 3
    crossing_experts: int = 4
    move_iterations: tuple[int, int, int] = (25, 50, 100)
    patience: int = 3
    short_patience: int = 2
    fewest_climbs: int = 8
    least_climbs: int = 5
    worthwhile: float = 0.05

    iterations_per_pair: int = 1500
    max_iterations: int = 18_000
    full_rows: int = 1000
    full_features: int = 8
    full_experts: int = 6
    share_from_fewer: float = 0.23
    share_from_more: float = 0.2

    starts_in_turn: int = 24
    good_share: float = 0.2
    prior_start_trials: int = 4
    start_detours: tuple[str, ...] = ("", "other noise", "annealed", "", "other noise")
    other_noise_iterations: int = 20
    lowest_temperatures: tuple[float, float] = (0.2, 0.7)
    annealing_steps: int = 3
    annealing_step_iterations: int = 8

    prior_move_rates: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType(
            {
                "flatten": 0.03,
                "tilt": 0.06,
                "hand over": 0.05,
                "split by hyperplane": 0.02,
                "split by residual": 0.02,
                "fewer rows": 0.06,
                "crossing": 0.06,
            }
        )
    )
    prior_detour_rates: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({"": 0.04, "other noise": 0.05, "annealed": 0.015})
    )
    prior_trials: int = 10

    share_of_some_rows: float = 0.6
    bumped: int = 8
    bumping_patience: int = 2

    finalists: int = 3
    finalist_iterations: int = 60
    spare_finalists: int = 6
    decrement_tol: float = 1e-6
    gradient_tol: float = 1e-6
    final_iterations: int = 300
    saddles: int = 3
    iterations_between_looks: int = 25

    def __post_init__(self) -> None:
        for name in _COUNTS:
            check_integer(name, getattr(self, name))
        for name in ("gate_alpha", "alpha", "same_optimum", "decrement_tol", "gradient_tol"):
            check_number(name, getattr(self, name))
        for name in ("share_from_fewer", "share_from_more", "share_of_some_rows"):
            check_number(name, getattr(self, name), open_low=True, high=1.0)
        for share, n_iter in self.halving_rounds:
            check_number("a share of halving_rounds", share, high=1.0)
            check_integer("the iterations of halving_rounds", n_iter)
        check_integer("fewest_climbs", self.fewest_climbs, low=2)
        check_number("worthwhile", self.worthwhile)
        check_number("good_share", self.good_share, open_low=True, high=1.0)
        if not self.halving_rounds:
            raise ValueError("halving_rounds must have at least one round, got ()")
        if len(self.move_iterations) != 3:
            raise ValueError(f"move_iterations must be three numbers, got {self.move_iterations!r}")
        for n_iter in self.move_iterations:
            check_integer("move_iterations", n_iter)
        if not self.start_detours:
            raise ValueError("start_detours must name at least one detour, got ()")
        low, high = self.lowest_temperatures
        check_number("lowest_temperatures", low, open_low=True, high=1.0)
        check_number("lowest_temperatures", high, low=low, high=1.0)
        for rates in (self.prior_move_rates, self.prior_detour_rates):
            for name, rate in rates.items():
                check_number(f"the prior rate of {name!r}", rate, open_low=True, high=1.0)

    def iterations(self, n_experts: int, n_distinct: int, n_features: int) -> int:
        """Return the EM iterations of a search for k experts on so many different rows and columns."""
        k = n_experts
        most = self.max_iterations * min(1.0, self.full_experts / k)
        share = self._share(n_distinct * max(1.0, (n_features + 1) / (self.full_features + 1)))
        return round(min(self.iterations_per_pair * k * (k - 1), most) * share)

    def n_beside(self, n_splits: int) -> int:
        """Return how many random starts stand beside the splits of a fit of one expert fewer."""
        return max(self.least_beside, self.starts_from_fewer - n_splits)

    def share_of_fewer(self, n_experts: int) -> float:
        """Return the share of these iterations for a search that begins at a fit of one expert fewer."""
        return float(min(1.0, self.share_from_fewer * (self.full_experts / n_experts) ** 2))

    def climbs(self, n_distinct: int) -> int:
        """Return after how many independent climbs a search of so many different rows may end."""
        of_rows = max(self.least_climbs, round(self.fewest_climbs * self._share(n_distinct)))
        return min(self.fewest_climbs, of_rows)

    def _share(self, n_rows: float) -> float:
        return float(np.sqrt(min(1.0, n_rows / self.full_rows)))

    def first_rows(self, n_parameters: int) -> int:
        """Return how many different rows the first iterations of a model of so many parameters take, about."""
        return self.first_rows_per_parameter * n_parameters
