"""Who makes the sums over the parts: this process, part after part, or others (:mod:`moefast.streams.cluster`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from moefast.streams.sum_tree import SumTree

__all__ = ["Begun", "OneProcess", "Task", "Workers"]

T = TypeVar("T")


@dataclass(frozen=True)
class Task(Generic[T]):
    """A sum over all parts.

    Attributes
    ----------
    name : str
        Different for each pass.
    of_part : callable
        Of a part: its term. Picklable where other processes make it.
    add : callable
        Of two sums.
    """

    name: str
    of_part: Callable[[Any], T]
    add: Callable[[T, T], T]


@dataclass(frozen=True)
class Begun(Generic[T]):
    """A sum that has been begun: how many parts it has, and the tree so far."""

    n_parts: int
    levels: list[list[T]]


class Workers(Protocol):
    """Makes sums over parts."""

    def total(
        self,
        task: Task[T],
        parts: Sequence[Any],
        begun: Begun[T] | None,
        note: Callable[[Begun[T], int], None],
    ) -> T:
        """Return the sum over all parts.

        Parameters
        ----------
        task : Task
        parts : sequence of Part
        begun : Begun, optional
            To go on from.
        note : callable
            Is told what there is so far, and the number of the last part, after each of them.
        """


class OneProcess:
    """The process of the fit itself."""

    def total(
        self,
        task: Task[T],
        parts: Sequence[Any],
        begun: Begun[T] | None,
        note: Callable[[Begun[T], int], None],
    ) -> T:
        """Return the sum over all parts; see :class:`Workers`."""
        tree = SumTree(task.add, None if begun is None else begun.levels)
        for i in range(0 if begun is None else begun.n_parts, len(parts)):
            tree.push(task.of_part(parts[i]))
            note(Begun(i + 1, tree.levels), i)
        return tree.result()
