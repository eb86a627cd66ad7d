"""Passes of an E-step over all rows, remembered: a run that asks again, as after a kill, has the same answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from moefast._typing import Floats
from moefast.em.streamed import BatchSums, Kind, Parameters, Sums
from moefast.samples import NO_TERMS, RowTerms
from moefast.sources.batch import Batch, Columns

__all__ = ["KINDS", "OutOfPasses", "PartSums", "PassLog", "RowSums"]

KINDS: tuple[Kind, ...] = ("gradient", "experts", "all")
"""Of sums, each with those before it."""
_WIDER: dict[str, tuple[Kind, ...]] = {kind: KINDS[i:] for i, kind in enumerate(KINDS)}


@dataclass(frozen=True, eq=False)
class PartSums:
    """What some parts add to a pass.

    Attributes
    ----------
    n_read : int
    weight : float
    totals : ndarray of shape (c,)
        Weighted sums of features and response, by which rows that have changed are known.
    sums : list of dict
        At each of the parameters.
    """

    n_read: int
    weight: float
    totals: Floats
    sums: list[Sums]

    def merged(self, other: PartSums) -> PartSums:
        """Return the sum of both."""
        added = [
            {name: one[name] + two[name] for name in one} for one, two in zip(self.sums, other.sums, strict=True)
        ]
        totals = self.totals + other.totals
        return PartSums(self.n_read + other.n_read, self.weight + other.weight, totals, added)


@dataclass(frozen=True)
class RowSums:
    """The pass over a part; picklable.

    Attributes
    ----------
    columns : Columns
    batch_rows : int
    batch_sums : BatchSums
    at : list of (Parameters, str)
    """

    columns: Columns
    batch_rows: int
    batch_sums: BatchSums
    at: list[tuple[Parameters, Kind]]

    def __call__(self, part: Any) -> PartSums:
        """Return what the part adds."""
        total: list[Sums] | None = None
        n_read, weight, totals = 0, 0.0, np.zeros(self.columns.width)
        for batch in part.batches(self.columns, self.batch_rows):
            n_read += batch.n_read
            if batch.n_rows == 0:
                continue
            weight += float(batch.sample_weight.sum())
            with np.errstate(over="ignore", invalid="ignore"):
                totals += [float(batch.sample_weight @ column) for column in batch.columns]
            found = self.batch_sums(batch, self.at)
            if total is None:
                total = found
                continue
            for sums, more in zip(total, found, strict=True):
                for name in sums:
                    sums[name] += more[name]
        return replace(self.nothing(), n_read=n_read) if total is None else PartSums(n_read, weight, totals, total)

    def nothing(self) -> PartSums:
        """Return what a part without rows adds."""
        return PartSums(0, 0.0, np.zeros(self.columns.width), self.batch_sums(self._no_row(), self.at))

    def _no_row(self) -> Batch:
        """Return a row that counts for nothing, for a part without any: sums of 0."""
        zero, one = np.zeros(1), np.ones(1)
        terms = RowTerms(**dict.fromkeys(self.columns.terms, one)) if self.columns.terms else NO_TERMS
        q = self.columns.n_responses
        y = one if q == 1 else np.ones((1, q), order="F")
        return Batch([zero for _ in self.columns.features], y, zero, 0, terms)


class OutOfPasses(Exception):
    """There would be one pass more than is allowed."""


class PassLog:
    """All passes that were made.

    Parameters
    ----------
    make : callable
        Of parameters and kinds of sums, and the number of the pass: makes one pass for all of them.
    note : callable
        Is called after each pass.
    entries : list, optional
        Of passes made before, as `entries` has them.
    most : int, optional
        How many passes there may be, those of `entries` that are asked for again among them.
    """

    def __init__(
        self,
        make: Callable[[list[tuple[Parameters, Kind]], int], list[Sums]],
        note: Callable[[PassLog], None],
        entries: list[dict[str, Any]] | None = None,
        most: int | None = None,
    ) -> None:
        self._make, self._note = make, note
        self._most = most
        self.entries: list[dict[str, Any]] = list(entries or [])
        self._found: dict[tuple[bytes, str], tuple[int, Sums]] = {}
        self._asked: set[int] = set()
        for entry in self.entries:
            self._remember(entry)

    @property
    def n_passes(self) -> int:
        """How many were asked for: the same for a run that goes on as for one that was never stopped."""
        return len(self._asked)

    def __call__(self, parameters: Parameters, kind: Kind) -> Sums:
        """Return the sums at some parameters.

        Raises
        ------
        OutOfPasses
        """
        self.together([(parameters, kind)])
        found = self._known(parameters, kind)
        assert found is not None
        return _reduced(found[1], parameters, found[2], kind)

    def together(self, wanted: list[tuple[Parameters, Kind]]) -> None:
        """Make one pass for all that is not known yet."""
        missing = []
        for parameters, kind in wanted:
            known = self._known(parameters, kind)
            if known is None:
                missing.append((parameters, kind))
            else:
                self._ask(known[0])
        if not missing:
            return
        number = 1 + max((int(entry["number"]) for entry in self.entries), default=-1)
        self._ask(number)
        for (parameters, kind), sums in zip(missing, self._make(missing, number), strict=True):
            entry = {"number": number, "parameters": parameters, "kind": kind, "sums": sums}
            self.entries.append(entry)
            self._remember(entry)
        self._note(self)

    def _ask(self, number: int) -> None:
        if number not in self._asked and self._most is not None and len(self._asked) >= self._most:
            raise OutOfPasses
        self._asked.add(number)

    def _known(self, parameters: Parameters, kind: Kind) -> tuple[int, Sums, str] | None:
        """Return the number of the pass that made the sums, these, and their kind; None where there is none."""
        for wider in _WIDER[kind]:
            found = self._found.get((_key(parameters), wider))
            if found is not None:
                return *found, wider
        return None

    def _remember(self, entry: dict[str, Any]) -> None:
        self._found[_key(entry["parameters"]), entry["kind"]] = (int(entry["number"]), entry["sums"])


def _key(parameters: Parameters) -> bytes:
    return b"".join(np.ascontiguousarray(values).tobytes() for values in parameters)


def _reduced(sums: Sums, parameters: Parameters, has: str, wanted: str) -> Sums:
    """Return the sums without the products that were not asked for."""
    if has == wanted:
        return sums
    k = len(parameters[1])
    products, gates = np.atleast_2d(sums["products"]), np.atleast_2d(sums["gate_products"])
    kept = k if wanted == "experts" else 0
    return {**sums, "products": np.ascontiguousarray(products[:, :kept]), "gate_products": gates[:, :0].copy()}
