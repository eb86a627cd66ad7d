r"""A sample of different rows, each with a chance in proportion to its weight: those of the smallest u / w.

w is the weight of a row and u, uniform between 0 and 1, its hash: which rows these are depends on the rows alone,
not on how they are cut into files and batches nor on their order; how many rows there are need not be known; and
samples of parts can be put together. With r the smallest u / w that is left out a row is in with probability
min(1, r w), so one that is in stands for w / min(1, r w) = max(w, 1 / r): sums over the sample are unbiased, and
no row stands for more than its share unless it weighs more itself.

Duffield, Lund, Thorup, "Priority sampling for estimation of arbitrary subset sums", Journal of the ACM 2007.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

import moefast._core as _core
from moefast._typing import AnyFloats, Floats

__all__ = ["PrioritySample", "SampleMaker", "ranks"]

# What weighs less is drawn as if it weighed this: sums of inverse weights stay in range.
_LEAST_WEIGHT = 1e-280

Hashes = npt.NDArray[np.uint64]


def ranks(hashes: Hashes, weight: Floats) -> Floats:
    """Return u / w of rows, (n,)."""
    return np.asarray((hashes.astype(np.float64) + 1.0) * 2.0**-64 / np.maximum(weight, _LEAST_WEIGHT))


@dataclass(frozen=True, eq=False)
class PrioritySample:
    """Rows by increasing u / w, one more than are drawn; copies of the same weight are one entry.

    Attributes
    ----------
    n_drawn : int
        How many rows are wanted.
    hashes : ndarray of shape (m,), uint64
    rows : ndarray of shape (m, c)
        Their columns.
    weight : ndarray of shape (m,)
        Of one copy.
    count : ndarray of shape (m,)
        Copies.
    """

    n_drawn: int
    hashes: Hashes
    rows: Floats
    weight: Floats
    count: Floats

    @classmethod
    def none(cls, n_drawn: int, n_columns: int) -> PrioritySample:
        """Return the sample of no rows."""
        zero = np.zeros(0)
        return cls(n_drawn, np.zeros(0, dtype=np.uint64), np.zeros((0, n_columns)), zero, zero)

    @property
    def ranks(self) -> Floats:
        """Their u / w."""
        return ranks(self.hashes, self.weight)

    @property
    def complete(self) -> bool:
        """Whether these are all rows that there are; of the sample of all rows."""
        return len(self.hashes) <= self.n_drawn

    @property
    def has_copies(self) -> bool:
        """Whether a row has been seen twice."""
        return bool((self.count > 1).any()) or len(np.unique(self.hashes)) < len(self.hashes)

    def merged(self, other: PrioritySample) -> PrioritySample:
        """Return the sample of both."""
        return self.of([self, other])

    @staticmethod
    def of(parts: list[PrioritySample]) -> PrioritySample:
        """Return the sample of all of some parts."""
        hashes, rows, weight, count = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("hashes", "rows", "weight", "count")
        )
        same = len(weight) == 0 or weight.min() == weight.max()
        order = np.argsort(hashes, kind="stable") if same else np.lexsort((weight, hashes, ranks(hashes, weight)))
        hashes, weight = hashes[order], weight[order]
        first = np.ones(len(hashes), dtype=bool)
        at = np.flatnonzero((hashes[1:] == hashes[:-1]) & (weight[1:] == weight[:-1])) + 1
        first[at] = (rows[order[at]] != rows[order[at - 1]]).any(axis=1)  # of other values: kept apart
        starts = np.flatnonzero(first)
        count = np.add.reduceat(count[order], starts) if len(starts) else count
        n_drawn = parts[0].n_drawn
        kept = starts[: n_drawn + 1]
        return PrioritySample(n_drawn, hashes[kept], rows[order[kept]], weight[kept], count[: len(kept)])

    def of_rows(self) -> PrioritySample:
        """Return a complete sample in which a row has the weight of all its copies."""
        order = np.argsort(self.hashes, kind="stable")
        hashes, rows, weight = self.hashes[order], self.rows[order], (self.weight * self.count)[order]
        first = np.append(True, (hashes[1:] != hashes[:-1]) | (rows[1:] != rows[:-1]).any(axis=1))[: len(hashes)]
        starts = np.flatnonzero(first)
        weight = np.add.reduceat(weight, starts) if len(starts) else weight
        return replace(
            self, hashes=hashes[starts], rows=rows[starts], weight=weight, count=np.ones(len(starts))
        ).sorted()

    def sorted(self) -> PrioritySample:
        """Return the same by increasing u / w, without what is more than enough."""
        order = np.lexsort((self.hashes, self.ranks))[: self.n_drawn + 1]
        chosen = {name: getattr(self, name)[order] for name in ("hashes", "rows", "weight", "count")}
        return replace(self, **chosen)

    def drawn(self) -> tuple[Floats, Floats]:
        """Return the rows that are drawn, and weights in which sums over them are in proportion to those of all.

        The mean weight is about that of different rows, so that where all weigh the same nothing is changed.
        """
        if self.complete:
            return self.rows, self.weight * self.count
        m, bound = self.n_drawn, self.ranks[-1]
        own = np.maximum(self.weight[:m], _LEAST_WEIGHT)
        unit = 1.0 / np.mean(np.maximum(bound, 1.0 / own))
        return self.rows[:m], np.maximum((unit * bound) * own, unit)


class SampleMaker:
    """Draws from rows that come batch by batch.

    Parameters
    ----------
    n_drawn : int
    n_columns : int
    bound : float, optional
        Rows of larger u / w are left out.
    """

    def __init__(self, n_drawn: int, n_columns: int, bound: float | None = None) -> None:
        self._bound = np.inf if bound is None else bound
        self._kept = PrioritySample.none(n_drawn, n_columns)
        self._waiting: list[PrioritySample] = []  # unsorted: sorting at each batch would cost most of the pass
        self._n_waiting = 0

    def add(self, columns: list[AnyFloats], weight: Floats) -> None:
        """Look at further rows, given by columns."""
        hashes = _core.row_hashes(tuple(columns))
        taken: npt.NDArray[np.intp] | slice = slice(None)
        if np.isfinite(self._bound):
            taken = np.flatnonzero(ranks(hashes, weight) <= self._bound)
        some = np.column_stack([np.asarray(column[taken], dtype=np.float64) for column in columns])
        found, n_drawn = hashes[taken], self._kept.n_drawn
        self._waiting.append(PrioritySample(n_drawn, found, some, weight[taken], np.ones(len(found))))
        self._n_waiting += len(found)
        if self._n_waiting > n_drawn:
            self.sample()

    def sample(self) -> PrioritySample:
        """Return the sample of all rows so far."""
        if self._waiting:
            self._kept = PrioritySample.of([self._kept, *self._waiting])
            self._waiting, self._n_waiting = [], 0
            if not self._kept.complete:
                self._bound = min(self._bound, float(self._kept.ranks[-1]))
        return self._kept
