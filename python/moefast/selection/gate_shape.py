"""The gates of a candidate of a cross-validation: one softmax over its experts, or a tree of them.

What both are asked: which estimator has such gates, on which problem EM runs, and where fits begin that come after
others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, ClassVar, TypeAlias

import numpy as np

from moefast.em.problem import EmProblem
from moefast.estimators.base import MixtureEstimator
from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.estimators.hierarchical import HierarchicalMixtureOfExpertsRegressor
from moefast.hierarchy.em import HierarchicalProblem
from moefast.hierarchy.mixture import nodes_of_level, tree_in_words
from moefast.hierarchy.starts import grouped_leaves, random_regions_start
from moefast.mixture import Mixture
from moefast.search.expert_splits import expert_splits
from moefast.search.local_optimum import LocalOptimum
from moefast.search.random_starts import RandomStarts
from moefast.search.settings import SearchSettings
from moefast.search.short_runs import Problem
from moefast.search.starts import Start, least_squares_start

__all__ = ["SETTINGS", "FlatGates", "GateShape", "TreeOfGates", "parameters_of"]

# A fit of a fold need not be the best: fewer and shorter runs than those of a search predict the rows held out as
# well (concrete, 9 experts: -3.12 to -3.14 a row in place of -3.17), in two thirds of the time; with gates of
# splines in half. Random starts go straight on: a detour takes as long as the first short run.
SETTINGS = SearchSettings(
    start_detours=("",), given_iterations=15, given_kept=2, given_more_iterations=40, given_finalists=1
)
# Random starts beside the splits, and of these at most.
_STARTS_BESIDE = 4
_MOST_SPLITS = 8
# Of a tree: ways to group the experts of a flat fit, and random starts beside.
_GROUPINGS, _REGIONS_BESIDE = 3, 1


@dataclass(frozen=True)
class FlatGates:
    """One softmax over the experts.

    Attributes
    ----------
    n_experts : int
    """

    n_experts: int
    estimator: ClassVar[type[MixtureEstimator]] = MixtureOfExpertsRegressor
    branches: ClassVar[None] = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the estimator that ask for this shape."""
        return {"n_experts": self.n_experts}

    @property
    def seed(self) -> tuple[int, ...]:
        """Numbers that no other shape has."""
        return (self.n_experts,)

    @property
    def in_words(self) -> str:
        """What progress bars call it."""
        return f"{self.n_experts} experts"

    def problem(self, flat: EmProblem) -> Problem[Any]:
        """Return what EM runs on, from the problem of flat gates under the same ridges: the same."""
        return flat

    def starts(self, flat: EmProblem, before: Mixture | None, rng: np.random.Generator) -> list[Start]:
        """Return random starts and the splits of a fit, in standard units, of one expert fewer."""
        if self.n_experts == 1:
            return [least_squares_start(flat)]
        starts = RandomStarts(flat, self.n_experts, rng, SETTINGS).draw(_STARTS_BESIDE)
        if before is None:
            return starts
        splits = expert_splits(LocalOptimum(flat, before), rng)
        some = sorted(rng.permutation(len(splits))[:_MOST_SPLITS])
        return [splits[i] for i in some] + starts

    def n_blocks(self) -> int:
        """Return how many blocks, as wide as there are columns, the Hessian of the gates has."""
        return self.n_experts**2


@dataclass(frozen=True)
class TreeOfGates:
    """A softmax at every node of a tree, whose leaves are the experts.

    Attributes
    ----------
    branches : tuple of int
        Children of a node at each level, top first.
    """

    branches: tuple[int, ...]
    estimator: ClassVar[type[MixtureEstimator]] = HierarchicalMixtureOfExpertsRegressor

    @property
    def n_experts(self) -> int:
        """How many leaves there are."""
        return prod(self.branches)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the estimator that ask for this shape."""
        return {"branches": self.branches}

    @property
    def seed(self) -> tuple[int, ...]:
        """Numbers that no other shape has."""
        return self.branches

    @property
    def in_words(self) -> str:
        """What progress bars call it."""
        return tree_in_words(self.branches)

    def problem(self, flat: EmProblem) -> Problem[Any]:
        """Return what EM runs on, from the problem of flat gates under the same ridges."""
        return HierarchicalProblem(flat, self.branches)

    def starts(self, flat: EmProblem, before: Mixture | None, rng: np.random.Generator) -> list[Start]:
        """Return random regions, and the best groupings of the experts of a flat fit, in standard units."""
        problem = HierarchicalProblem(flat, self.branches)
        grouped = [] if before is None else grouped_leaves(problem, before, _GROUPINGS, rng)
        starts = [Start("grouped leaves", partial(np.asarray, leaves)) for leaves in grouped]
        return starts + [random_regions_start(problem, rng) for _ in range(_REGIONS_BESIDE)]

    def n_blocks(self) -> int:
        """Return how many such blocks the Hessians of all nodes have."""
        return sum(nodes_of_level(self.branches, level) * b**2 for level, b in enumerate(self.branches))


GateShape: TypeAlias = FlatGates | TreeOfGates
"""What a candidate has for gates."""


def parameters_of(shape: GateShape, setting: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the estimator of a shape: those that ask for it, and what it knows of a setting."""
    wanted, known = shape.parameters, shape.estimator().get_params(deep=False)
    return wanted | {name: value for name, value in setting.items() if name in known and name not in wanted}
