"""Starts for k - 1 experts from an optimum of k: two experts become one, the others stay as they are."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from moefast._typing import Floats
from moefast.search.local_optimum import LocalOptimum
from moefast.search.starts import Start

__all__ = ["expert_merges"]


def expert_merges(optimum: LocalOptimum) -> list[Start]:
    """Return a start for each pair of experts: the one takes the rows of the other.

    Parameters
    ----------
    optimum : LocalOptimum
        Of k experts, at least 2.
    """
    return [_merge(optimum, one, other) for one, other in combinations(range(optimum.n_experts), 2)]


def _merge(optimum: LocalOptimum, one: int, other: int) -> Start:
    def make() -> Floats:
        R = optimum.responsibilities.copy()
        R[:, one] += R[:, other]
        return np.delete(R, other, axis=1)

    return Start("merge", make)
