"""A sample of different rows: those of the smallest hash.

Which rows these are depends on the rows alone, not on how they are cut into files and batches nor on their order;
how many rows there are need not be known; and samples of parts can be put together. A row that appears several
times is drawn as one that appears once, with the weight of all its copies, so copies are the same as a weight.
Where every row is drawn with the same probability the sample's likelihood, scaled up, has that of all rows as its
expectation.

Bar-Yossef, Jayram, Kumar, Sivakumar, Trevisan, "Counting distinct elements in a data stream", RANDOM 2002, where
the largest of these hashes says how many different rows there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import moefast._core as _core
from moefast._typing import AnyFloats, Floats

__all__ = ["SampleMaker", "SmallestHashes"]


@dataclass(frozen=True, eq=False)
class SmallestHashes:
    """Different rows, by increasing hash.

    Attributes
    ----------
    limit : int
        How many are kept.
    hashes : ndarray of shape (m,), uint64
    rows : ndarray of shape (m, c)
        Their columns.
    weight : ndarray of shape (m,)
        Of all copies of each.
    complete : bool
        Whether these are all rows that there are.
    """

    limit: int
    hashes: npt.NDArray[np.uint64]
    rows: Floats
    weight: Floats
    complete: bool = True

    @classmethod
    def none(cls, limit: int, n_columns: int) -> SmallestHashes:
        """Return the sample of no rows."""
        return cls(limit, np.zeros(0, dtype=np.uint64), np.zeros((0, n_columns)), np.zeros(0))

    def merged(self, other: SmallestHashes) -> SmallestHashes:
        """Return the sample of both."""
        hashes = np.concatenate([self.hashes, other.hashes])
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        rows, weight = np.concatenate([self.rows, other.rows]), np.concatenate([self.weight, other.weight])
        first = np.ones(len(hashes), dtype=bool)
        at = np.flatnonzero(hashes[1:] == hashes[:-1]) + 1
        first[at] = (rows[order[at]] != rows[order[at - 1]]).any(axis=1)  # of other values: kept apart
        starts = np.flatnonzero(first)
        weight = np.add.reduceat(weight[order], starts) if len(starts) else weight
        kept = starts[: self.limit]
        complete = self.complete and other.complete and len(kept) == len(starts)
        return SmallestHashes(self.limit, hashes[kept], rows[order[kept]], weight[: len(kept)], complete)

    @property
    def n_distinct(self) -> float:
        """How many different rows there are: an estimate, to about 1 / sqrt(m), unless these are all."""
        m = len(self.hashes)
        return float(m) if self.complete else (m - 1) * 2.0**64 / float(self.hashes[-1])


class SampleMaker:
    """Draws from rows that come batch by batch.

    Parameters
    ----------
    limit : int
        How many rows are kept.
    n_columns : int
    bound : uint64, optional
        Rows of larger hashes are left out.
    """

    def __init__(self, limit: int, n_columns: int, bound: np.uint64 | None = None) -> None:
        self._bound = bound
        self._kept = SmallestHashes.none(limit, n_columns)
        self._waiting: list[SmallestHashes] = []  # unsorted: sorting at each batch would cost most of the pass
        self._n_waiting = 0

    def add(self, columns: list[AnyFloats], weight: Floats) -> None:
        """Look at further rows, given by columns."""
        hashes = _core.row_hashes(tuple(columns))
        limit, kept = self._kept.limit, self._kept.hashes
        bound = kept[-1] if len(kept) == limit else self._bound
        taken: npt.NDArray[np.intp] | slice = slice(None) if bound is None else np.flatnonzero(hashes <= bound)
        some = np.column_stack([np.asarray(column[taken], dtype=np.float64) for column in columns])
        found = hashes[taken]
        self._waiting.append(SmallestHashes(limit, found, some, weight[taken], len(found) == len(hashes)))
        self._n_waiting += len(found)
        if self._n_waiting >= limit:
            self.sample()

    def sample(self) -> SmallestHashes:
        """Return the sample of all rows so far."""
        if self._waiting:
            parts, limit = [self._kept, *self._waiting], self._kept.limit
            together = SmallestHashes(
                limit,
                np.concatenate([part.hashes for part in parts]),
                np.concatenate([part.rows for part in parts]),
                np.concatenate([part.weight for part in parts]),
                all(part.complete for part in parts),
            )
            none = SmallestHashes.none(limit, together.rows.shape[1])
            self._kept, self._waiting, self._n_waiting = none.merged(together), [], 0
        return self._kept
