"""How a fit came about: the starts that competed, the moves that were tried, the optima that were seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from moefast.file_fields import Choice, Either, Field, Flag, Listing, Nothing, Number, Record, Row, Text, Whole
from moefast.search.detours import ANNEALED, DETOURS, DIRECT, OTHER_NOISE
from moefast.search.run import Run

__all__ = ["ClimbReport", "FitReport", "MoveReport", "StartReport", "report_fields"]

_BY_DETOUR = {DIRECT: "", OTHER_NOISE: ", by the other noise first", ANNEALED: ", annealed first"}


@dataclass(frozen=True)
class StartReport:
    """What became of one start.

    Attributes
    ----------
    kind : str
        "spectral", "random assignment", "tree leaves", ...
    detour : str
        What came first: "" for nothing, "other noise" for some iterations under it, "annealed".
    log_likelihood : float
        When it ended or was dropped, in the units of the data. A search on a subsample scales it up to all rows.
    n_iter : int
    status : str
        "converged", "iteration_limit" (dropped or cut), "beaten" (dropped, its gains would not have led to the
        best) or "degenerate".
    collapsed : tuple of int
        Experts that had collapsed.
    """

    kind: str
    detour: str
    log_likelihood: float
    n_iter: int
    status: str
    collapsed: tuple[int, ...]

    @classmethod
    def of(cls, run: Run[Any], log_likelihood: float) -> StartReport:
        """Return the report of a run as it stands, its log-likelihood in the units of the data."""
        return cls(run.kind, run.detour, log_likelihood, run.n_iter, run.fit.status, run.fit.collapsed)


@dataclass(frozen=True)
class MoveReport:
    """One kind of move out of local optima, by one detour.

    Attributes
    ----------
    kind : str
    detour : str
        As in :class:`StartReport`.
    n_tried, n_gained : int
        How often it was tried, and how often that led to a better optimum.
    """

    kind: str
    detour: str
    n_tried: int
    n_gained: int


@dataclass(frozen=True)
class ClimbReport:
    """The iterated local search from one of the best starts: where moves led from there.

    A search goes on under a stronger gate ridge than the default, and on some of the rows where there are many:
    the result, released from the ridge and run on all rows, has another likelihood than the end of its climb.

    Attributes
    ----------
    start : int
        Index of the start.
    log_likelihood : float
        At the end, in the units of :class:`StartReport`.
    n_moves : int
        Moves tried on the way.
    collapsed : tuple of int
    """

    start: int
    log_likelihood: float
    n_moves: int
    collapsed: tuple[int, ...]


@dataclass(frozen=True)
class FitReport:
    """How a fit came about.

    Attributes
    ----------
    starts : tuple of StartReport
    chosen : int
        Index of the start that led to the result.
    out_of_time : bool
        `time_budget` ended the search, or the starts; the result then depends on the machine's speed.
    collapsed : tuple of int
        Experts of the result that collapsed, in the result's order.
    moves : tuple of MoveReport
        Empty where starts were compared without moves, as are the next three.
    climbs : tuple of ClimbReport
        Each began at a start of its own.
    progress : tuple of (int, float)
        EM iterations spent by all runs together, and the best log-likelihood then.
    n_independent, n_at_best, n_optima : int
        Climbs that ran to their end and do not depend on each other: of those that began at the same optimum only
        one counts in each group of starts; where the data are easy, runs from different starts. How many of them
        ended at the best optimum, and at how many different ones, as the search saw them.
    chance_of_another : float or None
        Estimate of the chance that one more of them would end at an optimum not seen before, after Good and
        Turing: (optima that one of them alone ended at + 1) / (their number + 1). None without any.
    expected_gain : float or None
        What the second half of them added to the best log-likelihood, on average over their order; going on for as
        long again is not expected to add more. None with fewer than two.
    n_rows : int
        Rows searched on; 0 stands for all. Where they are some, the best optima went on on more before they
        competed on all; `moves` and `climbs` are those before.
    n_iter_total : int
        EM iterations of all runs together; a search counts the pass at the start of a run as one.
    gradient : float or None
        Largest component, in absolute value, of the gradient of the mean penalised log-likelihood at the result,
        in standard units; see :class:`moefast.em.EmFit`. None for a hierarchical mixture and
        for experts from the moments alone.
    n_passes : int
        Over the rows of a data set that is not held in memory; 0 for one that is.
    decrement : float or None
        What a further step of Newton's method would gain in log-likelihood there.
    cpu_seconds : float
        CPU time of the process meanwhile. Two reports that differ in it alone are equal.
    """

    starts: tuple[StartReport, ...]
    chosen: int
    out_of_time: bool = False
    collapsed: tuple[int, ...] = ()
    moves: tuple[MoveReport, ...] = ()
    climbs: tuple[ClimbReport, ...] = ()
    progress: tuple[tuple[int, float], ...] = ()
    n_independent: int = 0
    n_at_best: int = 0
    n_optima: int = 0
    chance_of_another: float | None = None
    expected_gain: float | None = None
    n_rows: int = 0
    n_iter_total: int = 0
    gradient: float | None = None
    n_passes: int = 0
    decrement: float | None = None
    cpu_seconds: float = field(default=0.0, compare=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FitReport:
        """Return the report that :func:`dataclasses.asdict` took apart, possibly by way of JSON.

        Raises
        ------
        ValueError
            When a field is missing, unknown, of another type or out of range; it is named.
        """
        report_fields().check("fit_report", values)

        def parts(kind: Any, name: str) -> tuple[Any, ...]:
            rows: Sequence[Mapping[str, Any]] = values[name]
            tuples = [{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows]
            return tuple(kind(**row) for row in tuples)

        report = cls(
            **{
                **values,
                "starts": parts(StartReport, "starts"),
                "moves": parts(MoveReport, "moves"),
                "climbs": parts(ClimbReport, "climbs"),
                "collapsed": tuple(values["collapsed"]),
                "progress": tuple((n, float(value)) for n, value in values["progress"]),
            }
        )
        last = Whole(0, len(report.starts) - 1)
        last.check("fit_report.chosen", report.chosen)
        for i, climb in enumerate(report.climbs):
            last.check(f"fit_report.climbs[{i}].start", climb.start)
        for i, move in enumerate(report.moves):
            Whole(0, move.n_tried).check(f"fit_report.moves[{i}].n_gained", move.n_gained)
        return report

    def scaled(self, factor: float) -> FitReport:
        """Return the report of a sample with its log-likelihoods in proportion to all rows."""
        gain = self.expected_gain
        return replace(
            self,
            starts=tuple(replace(s, log_likelihood=factor * s.log_likelihood) for s in self.starts),
            climbs=tuple(replace(c, log_likelihood=factor * c.log_likelihood) for c in self.climbs),
            progress=tuple((n, factor * value) for n, value in self.progress),
            expected_gain=None if gain is None else factor * gain,
        )

    def in_words(self) -> str:
        """Return how the fit was searched for, in a sentence or two that promise nothing."""
        work = f"{self.n_iter_total} EM iterations, {self.cpu_seconds:.2g} s of CPU time"
        if self.out_of_time:
            work += ", cut by time_budget"
        winner, n = self.starts[self.chosen], len(self.starts)
        kind = winner.kind + _BY_DETOUR[winner.detour]
        found = f"Search: one start ({kind})" if n == 1 else f"Search: {n} starts (the best: {kind})"
        if not self.climbs:
            return (
                f"{found} without moves out of local optima ({work}). Another start may lead to a better optimum."
            )
        tried, gained = (sum(getattr(move, name) for move in self.moves) for name in ("n_tried", "n_gained"))
        moves = f"{tried} moves out of local optima, {gained} of them upwards"
        return f"{found}, then {moves} ({work}). {self._agreement()}"

    def _agreement(self) -> str:
        """Return how far the search agrees with itself."""
        longer = "A longer search (time_budget) may find a better optimum."
        if self.n_independent < 2 or self.chance_of_another is None:
            return longer
        climbs = f"{self.n_at_best} of {self.n_independent} independent climbs ended at the best optimum seen"
        chance = f"one more would end at a new one with a chance of about {self.chance_of_another:.0%}"
        return f"{climbs}; {chance}. {longer}"


def report_fields(n_experts: int | None = None) -> Record:
    """Return the rules for a report taken apart, for a result of so many experts where that is known."""
    collapsed = Listing(Whole(0, None if n_experts is None else n_experts - 1))
    start: dict[str, Field] = {
        "kind": Text(),
        "detour": Choice(DETOURS),
        "log_likelihood": Number(),
        "n_iter": Whole(),
        "status": Choice(("converged", "iteration_limit", "beaten", "degenerate")),
        "collapsed": collapsed,
    }
    move: dict[str, Field] = {"kind": Text(), "detour": Choice(DETOURS), "n_tried": Whole(), "n_gained": Whole()}
    climb: dict[str, Field] = {
        "start": Whole(),
        "log_likelihood": Number(),
        "n_moves": Whole(),
        "collapsed": collapsed,
    }
    return Record(
        {
            "starts": Listing(Record(start), least=1),
            "chosen": Whole(),
            "out_of_time": Flag(),
            "collapsed": collapsed,
            "moves": Listing(Record(move)),
            "climbs": Listing(Record(climb)),
            "progress": Listing(Row((Whole(), Number()))),
            "n_independent": Whole(),
            "n_at_best": Whole(),
            "n_optima": Whole(),
            "chance_of_another": Either(Nothing(), Number(0.0, 1.0)),
            "expected_gain": Either(Nothing(), Number(0.0)),
            "n_rows": Whole(),
            "n_iter_total": Whole(),
            "gradient": Either(Nothing(), Number(0.0)),
            "n_passes": Whole(),
            "decrement": Either(Nothing(), Number(0.0)),
            "cpu_seconds": Number(0.0),
        },
        # what files of earlier versions may lack
        optional=frozenset(
            {
                "out_of_time",
                "n_independent",
                "n_at_best",
                "n_optima",
                "chance_of_another",
                "expected_gain",
                "n_rows",
                "n_iter_total",
                "gradient",
                "n_passes",
                "decrement",
                "cpu_seconds",
            }
        ),
    )
