"""Sums over the parts of a data set, added in one order whoever makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["FAN_IN", "SumTree"]

FAN_IN = 8
"""How many sums become one at each level of a tree. Of n parts it then adds n / 7 times on the way."""

T = TypeVar("T")


class SumTree(Generic[T]):
    """Adds in the order of the parts, :data:`FAN_IN` neighbours at a time, and so on with what comes of them.

    Neither who makes the terms nor when they come changes the result, and few terms are held at a time.

    Parameters
    ----------
    add : callable
        Of two sums.
    levels : list of list, optional
        Those of a tree that stopped.
    """

    def __init__(self, add: Callable[[T, T], T], levels: list[list[T]] | None = None) -> None:
        self._add = add
        self.levels: list[list[T]] = [list(level) for level in levels or []]

    def push(self, term: T, level: int = 0) -> None:
        """Take the next term."""
        if level == len(self.levels):
            self.levels.append([])
        self.levels[level].append(term)
        if len(self.levels[level]) == FAN_IN:
            self._close(level)

    def _close(self, level: int) -> None:
        terms = self.levels[level]
        self.levels[level] = []
        self.push(self.total(terms), level + 1)

    def total(self, terms: list[T]) -> T:
        """Return the sum of neighbours."""
        total = terms[0]
        for term in terms[1:]:
            total = self._add(total, term)
        return total

    def result(self) -> T:
        """Return the sum of all terms; nothing can be added afterwards."""
        level = 0
        while level < len(self.levels):
            last = level + 1 == len(self.levels)
            if last and len(self.levels[level]) == 1:
                return self.levels[level][0]
            if self.levels[level]:
                self._close(level)
            level += 1
        raise ValueError("there is nothing to add")
