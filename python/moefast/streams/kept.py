"""How a checkpoint keeps what passes over parts add up: as dicts of plain values, each with its field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from moefast.file_fields import Either, Field, Flag, Listing, Number, Record, Text, Whole
from moefast.mixture import Mixture
from moefast.streams.checkpoint_fields import LARGEST_PARAMETER, First, Like, heavy_rows, weighed
from moefast.streams.copies import HeavyRows, Weighed
from moefast.streams.first_pass import FirstPass
from moefast.streams.labels import Labels
from moefast.streams.passes import PartSums, RowSums
from moefast.streams.priority_sample import PrioritySample

__all__ = [
    "Kept",
    "mixtures_like",
    "parameters_of",
    "some_labels",
    "the_first_pass",
    "the_heavy_rows",
    "the_part_sums",
    "the_weights",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Kept(Generic[T]):
    """How a checkpoint keeps a sum over parts.

    Attributes
    ----------
    field : Field
        What it may be.
    plain, whole : callable
        From a sum to a dict, and back.
    """

    field: Field
    plain: Callable[[T], dict[str, Any]]
    whole: Callable[[dict[str, Any]], T]


def some_labels() -> Kept[Labels]:
    """Return how the labels of some parts are kept."""
    label = Either(Text(), Either(Flag(), Number()))
    return Kept(Record({"values": Listing(label), "target": Text()}), vars, lambda plain: Labels(**plain))


def the_first_pass(sample_rows: int, width: int) -> Kept[FirstPass]:
    """Return how a first pass is kept; `width` is the number of columns that are read."""

    def plain(first: FirstPass) -> dict[str, Any]:
        return {**vars(first), "sample": dict(vars(first.sample))}

    def whole(kept: dict[str, Any]) -> FirstPass:
        return FirstPass(**{**kept, "sample": PrioritySample(**kept["sample"])})

    return Kept(First(sample_rows, width), plain, whole)


def the_heavy_rows() -> Kept[HeavyRows]:
    """Return how rows with copies are kept."""
    return Kept(heavy_rows(), vars, lambda plain: HeavyRows(**plain))


def the_weights(n_candidates: int, width: int) -> Kept[Weighed]:
    """Return how their weights are kept."""
    return Kept(weighed(n_candidates, width), vars, lambda plain: Weighed(**plain))


def the_part_sums(row_sums: RowSums) -> Kept[PartSums]:
    """Return how sums of an E-step are kept."""
    like = row_sums.nothing()
    fields: dict[str, Field] = {
        "n_read": Whole(),
        "weight": Number(0.0),
        "totals": Like(like.totals, np.inf),
        "sums": Like(like.sums, np.inf),
    }
    return Kept(Record(fields), vars, lambda plain: PartSums(**plain))


def mixtures_like(mixture: Mixture) -> Like:
    """Return the field of the parameters of a mixture of this size, link and family."""
    return Like(parameters_of(mixture), LARGEST_PARAMETER, {"sigma": 1.0 / LARGEST_PARAMETER})


def parameters_of(mixture: Mixture) -> dict[str, Any]:
    """Return what a mixture of a given link and family is made of."""
    fields = ("coef", "intercept", "gate_coef", "gate_intercept", "sigma", "shape", "covariance")
    return {name: getattr(mixture, name) for name in fields}
