"""What a comparison is made of: a case, the routes to its answer, a route prepared on data."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any


class NotInstalled(Exception):
    """A library that a route needs is not there."""


def optional(name: str) -> ModuleType:
    """Import a library, or raise :class:`NotInstalled`."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise NotInstalled(name) from None


@dataclass(frozen=True)
class Prepared:
    """A route on its data, ready to be timed.

    Attributes
    ----------
    call : callable
        What is timed; returns what `check` looks at. With `own_time` it returns (CPU seconds, answer).
    check : callable
        Raises AssertionError for a wrong answer.
    note : str
        What the preparation found, for instance the chunk size.
    """

    call: Callable[[], Any]
    check: Callable[[Any], None]
    note: str = ""


@dataclass(frozen=True)
class Route:
    """One way to do the work of a case.

    Attributes
    ----------
    name : str
    prepare : callable
        Takes the data; not timed. May raise :class:`NotInstalled`.
    asked : float, dict or None
        The least ratio of this route's time to ours; by instruction set where it is a dict.
    most : int or None
        The largest n it is run on; its time is then scaled to that of the case.
    repeats : int
        At least this many times.
    own_time : bool
        `call` measures itself.
    share : bool
        A limit of the machine: the ratio is the share of it that we reach, in percent, the median over turns of
        the mean of the times before and after ours to ours.
    blas : bool
        Numpy's BLAS does its work.
    optional : str
        What it needs that may not be installed.
    """

    name: str
    prepare: Callable[[Any], Prepared]
    asked: float | dict[str, float] | None = None
    most: int | None = None
    repeats: int = 3
    own_time: bool = False
    share: bool = False
    blas: bool = False
    optional: str = ""


@dataclass(frozen=True)
class Case:
    """Our way to do some work beside others.

    Attributes
    ----------
    table, name : str
    n : dict
        Samples (or calls) in mode "full", "quick" and "test".
    make : callable
        The data for n.
    ours : Route
    against : tuple of Route
    parts : int
        Times are divided by it, for instance by the passes of an EM run.
    flops : int or None
        The least flops a sample costs.
    unit : str
        What n counts.
    """

    table: str
    name: str
    n: dict[str, int]
    make: Callable[[int], Any]
    ours: Route
    against: tuple[Route, ...] = field(default_factory=tuple)
    parts: int = 1
    flops: int | None = None
    unit: str = "n"

    def size(self, route: Route, mode: str) -> int:
        """Return the n a route is run on."""
        n = self.n[mode]
        return n if route.most is None else min(n, route.most)
