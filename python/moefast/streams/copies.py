"""The sample of a table in which rows have copies: what each of them weighs is known at the end only.

Copies are drawn as one row of their weight together. Two further passes tell which rows these are: one collects
the rows whose weight so far brings them in, by their hashes alone, and more of them than are wanted, since copies
that come thinly are overlooked; the other one adds up what these weigh, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import moefast._core as _core
from moefast._typing import Floats
from moefast.sources.batch import Columns
from moefast.streams.priority_sample import Hashes, PrioritySample, ranks
from moefast.streams.sum_tree import SumTree

__all__ = ["HeavyLook", "HeavyRows", "Weighed", "WeighingLook", "candidates_of", "sample_of"]

# Rows that are collected for each that is wanted, and how many of them are weighed.
_COLLECTED, _WEIGHED = 4, 2
# Rows that are put together at a time. Those of a part are added in a tree, so that what rows weigh is held
# against rows that are as many.
_BLOCK_ROWS = 2**20


@dataclass(frozen=True, eq=False)
class HeavyRows:
    """Rows of the smallest u / w, w being the weight of all copies seen so far.

    Attributes
    ----------
    limit : int
    hashes : ndarray of shape (m,), uint64
        Sorted.
    weight : ndarray of shape (m,)
    """

    limit: int
    hashes: Hashes
    weight: Floats

    @classmethod
    def of(cls, limit: int, hashes: Hashes, weight: Floats) -> HeavyRows:
        """Return those among rows, which may be there several times."""
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        starts = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)])
        if len(starts):
            hashes, weight = hashes[starts], np.add.reduceat(weight[order], starts)
        if len(hashes) > limit:
            kept = np.sort(np.argpartition(ranks(hashes, weight), limit)[:limit])
            hashes, weight = hashes[kept], weight[kept]
        return cls(limit, hashes, weight)

    def first(self, limit: int) -> HeavyRows:
        """Return fewer of them."""
        return self.of(limit, self.hashes, self.weight)

    def merged(self, other: HeavyRows) -> HeavyRows:
        """Return those of both."""
        hashes, weight = np.concatenate([self.hashes, other.hashes]), np.concatenate([self.weight, other.weight])
        return self.of(self.limit, hashes, weight)


@dataclass(frozen=True)
class HeavyLook:
    """The pass over a part that collects heavy rows; picklable.

    Attributes
    ----------
    columns : Columns
    batch_rows, sample_rows : int
    """

    columns: Columns
    batch_rows: int
    sample_rows: int

    def __call__(self, part: Any) -> HeavyRows:
        """Return what the part shows."""
        limit = _COLLECTED * (self.sample_rows + 1)
        tree = SumTree(HeavyRows.merged)
        tree.push(HeavyRows(limit, np.zeros(0, dtype=np.uint64), np.zeros(0)))
        hashes: list[Hashes] = []
        weights: list[Floats] = []
        waiting = 0
        for batch in part.batches(self.columns, self.batch_rows):
            if batch.n_rows == 0:
                continue
            hashes.append(_core.row_hashes(tuple(batch.columns)))
            weights.append(batch.sample_weight)
            waiting += batch.n_rows
            if waiting >= _BLOCK_ROWS:
                tree.push(HeavyRows.of(limit, np.concatenate(hashes), np.concatenate(weights)))
                hashes, weights, waiting = [], [], 0
        if waiting:
            tree.push(HeavyRows.of(limit, np.concatenate(hashes), np.concatenate(weights)))
        return tree.result()


@dataclass(frozen=True, eq=False)
class Weighed:
    """What candidates weigh.

    Attributes
    ----------
    weight : ndarray of shape (m,)
        Of all copies of each.
    found : ndarray of shape (f,), intp
        Candidates whose columns are known.
    rows : ndarray of shape (f, c)
        These.
    """

    weight: Floats
    found: npt.NDArray[np.intp]
    rows: Floats

    def merged(self, other: Weighed) -> Weighed:
        """Return what both together weigh."""
        found, at = np.unique(np.concatenate([self.found, other.found]), return_index=True)
        return Weighed(self.weight + other.weight, found, np.concatenate([self.rows, other.rows])[at])


class WeighingLook:
    """The pass over a part that weighs candidates; picklable.

    Parameters
    ----------
    look : HeavyLook
        The one that found them.
    candidates : HeavyRows
    once : bool
        Whether to tell the columns of each of them once, and not for every part: where one process sees all.
    """

    def __init__(self, look: HeavyLook, candidates: HeavyRows, *, once: bool) -> None:
        self._look, self._hashes, self._once = look, candidates.hashes, once
        self._known = np.zeros(len(self._hashes), dtype=bool)

    def __call__(self, part: Any) -> Weighed:
        """Return what candidates weigh in the part."""
        hashes, columns = self._hashes, self._look.columns
        known = self._known if self._once else np.zeros(len(hashes), dtype=bool)
        weight = np.zeros(len(hashes))
        found, rows = [np.zeros(0, dtype=np.intp)], [np.zeros((0, columns.width))]
        for batch in part.batches(columns, self._look.batch_rows):
            if batch.n_rows == 0:
                continue
            all_columns = batch.columns
            own = _core.row_hashes(tuple(all_columns))
            at = np.minimum(np.searchsorted(hashes, own), len(hashes) - 1)
            candidates = np.flatnonzero(hashes[at] == own)
            weight += np.bincount(at[candidates], batch.sample_weight[candidates], len(hashes))
            unknown = candidates[~known[at[candidates]]]
            new, first = np.unique(at[unknown], return_index=True)
            known[new] = True
            found.append(new)
            rows.append(np.column_stack([np.float64(column[unknown[first]]) for column in all_columns]))
        return Weighed(weight, np.concatenate(found), np.concatenate(rows))


def candidates_of(sample_rows: int, heavy: HeavyRows) -> HeavyRows:
    """Return the rows that are worth weighing."""
    return heavy.first(_WEIGHED * (sample_rows + 1))


def sample_of(n_drawn: int, candidates: HeavyRows, weighed: Weighed) -> PrioritySample:
    """Return the sample of rows with the weight of all their copies."""
    hashes, weight = candidates.hashes[weighed.found], weighed.weight[weighed.found]
    return PrioritySample(n_drawn, hashes, weighed.rows, weight, np.ones(len(hashes))).sorted()
