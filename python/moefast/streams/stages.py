"""The stages of a fit on a data set, each of which a checkpoint keeps: first pass, optima of the sample,
passes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

import moefast._core as _core
from moefast.em.streamed import BatchSums, Kind, Parameters, StreamedProblem, Sums
from moefast.families import Family
from moefast.file_fields import Anything, Listing, Record, Whole
from moefast.mixture import Mixture
from moefast.progress import progress_bar
from moefast.search.report import FitReport
from moefast.sources.batch import Columns, SourceError
from moefast.sources.part import Source
from moefast.streams.checkpoint import Checkpoint
from moefast.streams.checkpoint_fields import LABELS, PARTIAL, Entry, Levels, Sample
from moefast.streams.copies import HeavyLook, HeavyRows, Weighed, WeighingLook, candidates_of, sample_of
from moefast.streams.first_pass import BoundedLook, FirstLook, FirstPass
from moefast.streams.kept import (
    Kept,
    mixtures_like,
    parameters_of,
    some_labels,
    the_first_pass,
    the_heavy_rows,
    the_part_sums,
    the_weights,
)
from moefast.streams.labels import Labels, LabelsLook
from moefast.streams.optimum import StreamEnd, optimum_of_stream
from moefast.streams.passes import KINDS, PartSums, PassLog, RowSums
from moefast.streams.priority_sample import PrioritySample
from moefast.streams.workers import Begun, OneProcess, Task, Workers
from moefast.validation import check_integer

__all__ = ["DECREMENT_TOL", "Stages", "StreamOptions"]

DECREMENT_TOL = 0.01
"""What a further step may gain, in log-likelihood: a hundredth of what chance alone moves. Weights above 1 are
copies; where they are smaller on average, the unit is theirs."""

# What cannot be told from rounding, by the sum of the weights.
_ROUNDING = 1e-13

# Times the rows of the sample from which on some of the parts are a step between: the optimum of these is nearer
# to that of all, so a pass over all of them is spared. How many parts that has to be at least, one in how many,
# with how many passes over them, to which decrement, and how many optima compete then on all rows.
_LADDER, _LEAST_PARTS, _LEAST_STEP, _RUNG_PASSES, _RUNG_TOL, _MOST_STARTS = 1000, 4, 10, 12, 1.0, 3

T = TypeVar("T")


@dataclass(frozen=True)
class StreamOptions:
    """How a data set is read, checked when made.

    Attributes
    ----------
    sample_rows : int
        Different rows in the sample.
    batch_rows : int
    max_passes : int
        Over all rows after the first.
    checkpoint : str or path-like, optional
    client : distributed.Client, optional
    verbose : int
    """

    sample_rows: int
    batch_rows: int
    max_passes: int
    checkpoint: str | os.PathLike[str] | None
    client: Any
    verbose: int

    def __post_init__(self) -> None:
        check_integer("sample_rows", self.sample_rows)
        check_integer("batch_rows", self.batch_rows)
        check_integer("max_passes", self.max_passes)
        if self.checkpoint is not None and not isinstance(self.checkpoint, (str, os.PathLike)):
            raise TypeError(f"checkpoint must be a path or None, got {self.checkpoint!r}")

    def workers(self) -> Workers:
        """Return who makes the passes."""
        if self.client is None:
            return OneProcess()
        from moefast.streams.cluster import DaskWorkers  # dask, where it is wanted

        return DaskWorkers(self.client)


class Stages:
    """The stages of one fit.

    Parameters
    ----------
    source : Source
    columns : Columns
    options : StreamOptions
    model : dict
        What is fitted, for the checkpoint: numbers, texts and lists.
    """

    def __init__(self, source: Source, columns: Columns, options: StreamOptions, model: dict[str, Any]) -> None:
        if options.client is not None and not source.can_travel:
            raise TypeError(
                "client needs data that other processes can read: files, a Dataset or a dask DataFrame"
            )
        self._source, self._columns, self._options = source, columns, options
        self._workers = options.workers()
        info = _core.build_info()
        belongs_to = {
            "version": [info["version"], info["instruction_set"]],
            "columns": [list(columns.features), columns.roles, list(columns.further_targets)],
            **{name: getattr(options, name) for name in ("sample_rows", "batch_rows")},
            **model,
            "data": [part.identity() for part in source.parts],
        }
        self._checkpoint = Checkpoint(options.checkpoint, belongs_to)
        self._decrement: float | None = None
        self._alone = options.client is None
        self._n_passes = 1  # before those of the optimum

    def labels(self) -> list[Any]:
        """Return the labels of the target, sorted, by a pass over it; further passes read it as their numbers.

        Raises
        ------
        SourceError
            For what cannot be labels.
        """
        self._n_passes += 1
        found = self._checkpoint.get("labels", LABELS)
        if found is None:
            assert self._columns.target is not None
            look = LabelsLook(self._columns.target, self._options.batch_rows)
            labels = self._total(Task("labels", look, Labels.merged), "labels", {}, some_labels())
            found = sorted(labels.values)
            self._checkpoint.note("labels", found)
        self._columns = replace(self._columns, labels=tuple(found))
        return list(found)

    def first_pass(self, family: Family) -> FirstPass:
        """Return what the first pass shows.

        Raises
        ------
        SourceError
            Where no row has positive weight.
        """
        kept = the_first_pass(self._options.sample_rows, self._columns.width)
        saved = self._checkpoint.get("first", kept.field)
        if saved is not None:
            found = kept.whole(saved)
        else:
            look = FirstLook(self._columns, self._options.batch_rows, self._options.sample_rows, family)
            task = Task("first-pass", BoundedLook(look) if self._alone else look, FirstPass.merged)
            found = self._total(task, "first pass", {}, kept)
            found.check(self._columns)
            self._checkpoint.note("first", kept.plain(found))
        if not found.sample.has_copies:
            return found
        return replace(
            found, sample=found.sample.of_rows() if found.sample.complete else self._sample_of_copies(found)
        )

    def _sample_of_copies(self, first: FirstPass) -> PrioritySample:
        """Return the sample in which copies are drawn as one row of their weight together, by two passes."""
        self._n_passes += 2
        n_drawn, width = self._options.sample_rows, self._columns.width
        saved = self._checkpoint.get("sample", Sample(n_drawn, (first.low, first.high)))
        if saved is not None:
            return PrioritySample(**saved)
        look = HeavyLook(self._columns, self._options.batch_rows, n_drawn)
        candidates = self._checkpoint.get("candidates", the_heavy_rows().field)
        if candidates is None:
            task = Task("heavy-rows", look, HeavyRows.merged)
            heavy = self._total(task, "rows with copies", {}, the_heavy_rows())
            candidates = vars(candidates_of(n_drawn, heavy))
            self._checkpoint.note("candidates", candidates)
        found = HeavyRows(**candidates)
        weigh = Task("weights-of-rows", WeighingLook(look, found, once=self._alone), Weighed.merged)
        kept = the_weights(len(found.hashes), width)
        weights = self._total(weigh, "their weights", {}, kept)
        if len(weights.found) < len(found.hashes):
            raise SourceError("the data changed between passes: rows of the first ones are not there any more")
        drawn = sample_of(n_drawn, found, weights)
        self._checkpoint.note("sample", dict(vars(drawn)))
        return drawn

    def optima(
        self, blank: Mixture, search: Callable[[], tuple[list[Mixture], FitReport]]
    ) -> tuple[list[Mixture], FitReport]:
        """Return the best optima of the sample, in standard units, and how they were found.

        `blank` has the link and the family of all.
        """
        field = Record({"mixtures": Listing(mixtures_like(blank), least=1), "report": Anything()})
        saved = self._checkpoint.get("optima", field)
        if saved is not None:
            with self._checkpoint.content():
                report = FitReport.from_dict(_listed(saved["report"]))
            return [replace(blank, **one) for one in saved["mixtures"]], report
        mixtures, report = search()
        plain = [parameters_of(mixture) for mixture in mixtures]
        self._checkpoint.note("optima", {"mixtures": plain, "report": _report(report)})
        return mixtures, report

    def optimum(self, problem: StreamedProblem, first: FirstPass, starts: list[Mixture]) -> tuple[StreamEnd, int]:
        """Return the optimum of all rows, and how many passes there were, the first one too."""
        batch_sums = BatchSums(problem.whole)
        if not self._alone:
            batch_sums = batch_sums.with_threads(1)
        parts = self._source.parts
        tol = _tolerance(problem, DECREMENT_TOL)
        some = rung(parts, first.n_rows, problem.whole.n_rows)
        if some:
            starts = self._climbed(problem, first, starts, batch_sums, some)[:_MOST_STARTS]

        def make(at: list[tuple[Parameters, Kind]], number: int) -> list[Sums]:
            shown = f"pass {self._n_passes + number + 1}"
            if self._decrement is not None:
                shown += f", decrement {self._decrement:.3g}"
            row_sums = self._row_sums(batch_sums, at)
            task = Task(f"pass-{number}", row_sums, PartSums.merged)
            found = self._total(task, shown, {"at": at}, the_part_sums(row_sums))
            if not _same_rows(found, first):
                raise SourceError(
                    f"the data changed between passes: the first read {first.n_read} rows of weight "
                    f"{first.weight:.12g}, {task.name} {found.n_read} of weight {found.weight:.12g}, "
                    "or other values"
                )
            return found.sums

        def note(log: PassLog) -> None:
            self._checkpoint.note("passes", log.entries)

        def told(decrement: float) -> None:
            self._decrement = decrement

        like = problem.parameters(starts[0])
        sums = {kind: self._row_sums(batch_sums, [(like, kind)]).nothing().sums[0] for kind in KINDS}
        entries = self._checkpoint.get("passes", Listing(Entry(like, sums)))
        log = PassLog(make, note, entries, self._options.max_passes)
        end = optimum_of_stream(problem, log, starts, tol=tol, max_passes=self._options.max_passes, told=told)
        return end, self._n_passes + log.n_passes

    def _climbed(
        self,
        problem: StreamedProblem,
        first: FirstPass,
        starts: list[Mixture],
        batch_sums: BatchSums,
        some: Sequence[Any],
    ) -> list[Mixture]:
        """Return the optimum of some parts, near the best of the starts there, and these."""
        seen: list[PartSums] = []

        def make(at: list[tuple[Parameters, Kind]], number: int) -> list[Sums]:
            row_sums = self._row_sums(batch_sums, at)
            task = Task(f"rung-{number}", row_sums, PartSums.merged)
            kept = the_part_sums(row_sums)
            found = self._total(task, f"some rows, pass {number + 1}", {"at": at}, kept, some)
            seen.append(found)
            return found.sums

        saved = self._checkpoint.get("rung", mixtures_like(starts[0]))
        if saved is None:
            log = PassLog(make, lambda log: None, most=_RUNG_PASSES)
            log.together([(problem.parameters(start), "gradient") for start in starts])
            if seen[0].weight == 0:
                return starts
            low = problem.part_of(seen[0].n_read, seen[0].weight)
            tol = _tolerance(low, _RUNG_TOL)
            end = optimum_of_stream(low, log, starts, tol=tol, max_passes=_RUNG_PASSES)
            saved = parameters_of(end.fit.mixture)
            self._checkpoint.note("rung", saved)
        return [replace(starts[0], **saved), *starts]

    def _row_sums(self, batch_sums: BatchSums, at: list[tuple[Parameters, Kind]]) -> RowSums:
        return RowSums(self._columns, self._options.batch_rows, batch_sums, at)

    def _total(
        self,
        task: Task[T],
        shown: str,
        of_pass: dict[str, Any],
        kept: Kept[T],
        parts: Sequence[Any] | None = None,
    ) -> T:
        """Return a sum over all parts, or some, from where it stopped."""
        parts = self._source.parts if parts is None else parts
        saved, begun = self._checkpoint.get("partial", PARTIAL), None
        if saved is not None and saved["name"] == task.name and _same(saved["of_pass"], of_pass):
            with self._checkpoint.content():
                Whole(1, len(parts) - 1).check("partial.n_parts", saved["n_parts"])
                Levels(kept.field, saved["n_parts"]).check("partial.levels", saved["levels"])
            levels = [[kept.whole(term) for term in level] for level in saved["levels"]]
            begun = Begun(saved["n_parts"], levels)
        bar = progress_bar(
            shown=bool(self._options.verbose),
            total=None if any(part.n_rows is None for part in parts) else sum(part.n_rows for part in parts),
            desc=shown,
            unit=" rows",
            unit_scale=True,
            leave=False,
        )

        def note(now: Begun[T], part: int) -> None:
            bar.update(parts[part].n_rows or 0)
            if now.n_parts == 0 or now.n_parts == len(parts):
                return
            levels = [[kept.plain(term) for term in level] for level in now.levels]
            state = {"name": task.name, "of_pass": of_pass, "n_parts": now.n_parts, "levels": levels}
            self._checkpoint.note("partial", state, now=False)

        with bar:
            if begun is not None:
                bar.update(sum(part.n_rows or 0 for part in parts[: begun.n_parts]))
            found = self._workers.total(task, parts, begun, note)
        self._checkpoint.forget("partial")
        return found


def _tolerance(problem: StreamedProblem, decrement: float) -> float:
    """Return a decrement, given for rows of weight 1 at least, in the unit of the weights."""
    return max(decrement * min(1.0, problem.whole.weight_per_row), _ROUNDING * problem.weight)


def _same_rows(found: PartSums, first: FirstPass) -> bool:
    """Whether a pass has read what the first one has: as many rows, of the same weight, of the same means."""
    if found.n_read != first.n_read or not np.isclose(found.weight, first.weight, rtol=1e-9, atol=0.0):
        return False
    means = found.totals / found.weight
    rounding = 1e-9 * np.maximum(np.abs(first.low), np.abs(first.high))
    return bool(np.all((np.abs(means - first.mean) <= rounding) | ~np.isfinite(means)))


def rung(parts: Sequence[Any], n_rows: int, sample_rows: int) -> Sequence[Any]:
    """Return the parts, spread evenly, of a step between a sample and very many rows; none where these are few.

    They have about as many times the rows of the sample as all have of theirs.
    """
    if n_rows < _LADDER * sample_rows:
        return ()
    step = min(int(math.sqrt(n_rows / sample_rows)), len(parts) // _LEAST_PARTS)
    return parts[step // 2 :: step] if step >= _LEAST_STEP else ()


def _same(one: Any, other: Any) -> bool:
    """Whether two states of arrays, numbers and texts are the same."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and bool(np.array_equal(one, other))
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _report(report: FitReport) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(report)


def _listed(value: Any) -> Any:
    """Return a report taken apart with lists in place of tuples, as JSON has them."""
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, (list, tuple)) else value
