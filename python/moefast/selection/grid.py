"""The grid of a cross-validation: which numbers of experts, ridges and kinds of noise are compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np

from moefast.families import GAUSSIAN, get_family
from moefast.gate_basis import GATE_BASES, GateBasis
from moefast.samples import Samples
from moefast.selection.gate_shape import TreeOfGates
from moefast.selection.ridge_path import Ridges
from moefast.validation import check_choice, check_integer, check_number

__all__ = [
    "ALPHAS",
    "GATE_ALPHAS",
    "NOISE_FLOORS",
    "Grid",
    "default_counts",
    "default_work",
    "knows_trees",
    "refuse_samples_of_trees",
]

ALPHAS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
GATE_ALPHAS = (1e-4, 3e-4, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
# The smaller serves responses whose noise is small beside their range: tried where experts are at the larger.
NOISE_FLOORS = (0.02, 0.002)
_MOST_EXPERTS = 20
# Training rows of a fold for each parameter of the largest model that is tried. Ridges hold the parameters.
_ROWS_PER_PARAMETER = 1.0
# A step of the gates takes time as the square of their parameters, times rows.
_MOST_GATE_PARAMETERS = 500
_FEW_ROWS = 1000
# What a path of 250 rows a fold may take, about three seconds, in the unit of `ridge_path.Fits`; and the power of
# the rows by which it grows. On ten tables of 189 to 9568 rows a whole fit takes at most four times as long as one
# of NGBoost that stops early.
_WORK, _ROWS_OF_WORK, _GROWTH = 2.4e11, 250, 0.6


@dataclass(frozen=True)
class Grid:
    """What is compared, checked.

    Attributes
    ----------
    counts : list of int or None
        Numbers of experts in increasing order; None for those that rows and time allow.
    trees : list of TreeOfGates
        In increasing order of their experts.
    ridges : Ridges
    noise, bases : sequence of str
        Kinds of noise, and of gates.
    penalties : list of dict
        What `alpha` does to experts in each setting.
    floors : list of dict
        Of the noise, from the largest on.
    """

    counts: list[int] | None
    trees: list[TreeOfGates]
    ridges: Ridges
    noise: Sequence[Literal["per_expert", "shared"]]
    bases: Sequence[GateBasis]
    penalties: list[dict[str, Any]]
    floors: list[dict[str, Any]]

    @classmethod
    def of(cls, estimator: Any) -> Grid:
        """Return that of an estimator, or raise ValueError or TypeError naming what is wrong with it."""
        return cls(
            checked_counts(estimator.n_experts),
            checked_trees(estimator),
            checked_ridges(estimator.alphas, estimator.gate_alphas),
            checked_noise(estimator.noise),
            checked_bases(estimator.gate_basis),
            checked_penalties(estimator.alpha_towards, estimator.l1_ratio),
            checked_floors(estimator.noise_floor),
        )

    @property
    def settings(self) -> list[dict[str, Any]]:
        """Parameters beside experts and ridges, in the order in which they are tried."""
        every = product(self.noise, self.bases, self.penalties, self.floors)
        return [{"noise": noise, "gate_basis": basis, **more, **floor} for noise, basis, more, floor in every]

    def has_smaller_floor(self, setting: Mapping[str, Any]) -> bool:
        """Whether a setting lets experts have less noise than others do."""
        return "noise_floor" in setting and setting["noise_floor"] < self.floors[0]["noise_floor"]


def _listing(name: str, given: Any) -> list[Any]:
    """Return what is given as a list, a single value as a list of one.

    Raises
    ------
    ValueError
        For an empty list, or a value that is given twice.
    """
    single = isinstance(given, (str, bytes)) or not isinstance(given, (Iterable, np.ndarray))
    entries = [given] if single else list(given)
    if not entries:
        raise ValueError(f"{name} is empty; give at least one value")
    for i, entry in enumerate(entries):
        if entry in entries[:i]:
            raise ValueError(f"{name} has {entry!r} more than once")
    return entries


def checked_counts(given: Any) -> list[int] | None:
    """Return numbers of experts in increasing order; None for "auto"."""
    if isinstance(given, str):
        check_choice("n_experts", given, ("auto",))
        return None
    counts = _listing("n_experts", given)
    for k in counts:
        check_integer("n_experts", k)
    return sorted(int(k) for k in counts)


# What trees of gates know, where flat gates know more.
_OF_TREES = {"gate_basis": "linear", "alpha_towards": "zero", "l1_ratio": 0.0}


def checked_trees(estimator: Any) -> list[TreeOfGates]:
    """Return the trees that an estimator compares, in increasing order of their experts.

    Raises
    ------
    ValueError, TypeError
        For `branches` that are no trees, and for parameters that trees do not know.
    """
    given = estimator.branches
    if given is None:
        return []
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable) or getattr(given, "ndim", 1) == 0:
        raise TypeError(f"branches must be a tree such as (2, 2), a list of trees or None, got {given!r}")
    entries = list(given)
    single = bool(entries) and not any(isinstance(entry, Iterable) for entry in entries)
    trees = [_checked_tree(entry) for entry in ([entries] if single else entries)]
    _listing("branches", [tree.branches for tree in trees])
    for name, known in _OF_TREES.items():
        if known not in (values := _listing(name, getattr(estimator, name))):
            raise ValueError(
                f"branches need {name}={known!r} among what is compared, got {', '.join(map(repr, values))}: "
                "trees of gates know no other; add it, or leave branches out"
            )
    if (family := get_family(estimator.family)) != GAUSSIAN:
        raise ValueError(f"branches need family='gaussian', got {family.name!r}; leave branches out")
    if estimator.common_features is not None:
        raise ValueError(
            "branches need common_features=None: experts of trees share no slopes; leave one of both out"
        )
    return sorted(trees, key=lambda tree: tree.n_experts)


def _checked_tree(given: Any) -> TreeOfGates:
    """Return a tree of two levels or more, of two children or more each: others are flat gates."""
    listed = isinstance(given, (Sequence, np.ndarray)) and not isinstance(given, (str, bytes))
    if not listed or getattr(given, "ndim", 1) == 0 or len(given) < 2:
        raise ValueError(
            f"branches must have trees of two levels or more, such as (2, 2), got {given!r}; n_experts have one"
        )
    for children in given:
        check_integer("the children of a node in branches", children, low=2)
    return TreeOfGates(tuple(int(children) for children in given))


def knows_trees(estimator: Any, setting: Mapping[str, Any]) -> bool:
    """Whether trees can have the parameters of a setting."""
    return all(setting.get(name, getattr(estimator, name)) == known for name, known in _OF_TREES.items())


def refuse_samples_of_trees(samples: Samples) -> None:
    """Raise ValueError for several responses, and for groups."""
    if samples.n_responses > 1:
        raise ValueError(f"branches are for one response, y has {samples.n_responses} columns; leave branches out")
    if samples.groups is not None:
        raise ValueError("groups are for flat gates; leave branches out, or fit without groups")


def default_counts(n_units: int, n_parameters_of_expert: int, n_parameters_of_gate: int) -> list[int]:
    """Return 1, 2, ... as far as so many rows, or groups, of a fold can tell so many experts apart."""
    by_rows = int(n_units / (_ROWS_PER_PARAMETER * n_parameters_of_expert))
    most = _MOST_GATE_PARAMETERS * min(1.0, math.sqrt(_FEW_ROWS / n_units))
    by_time = 1 + int(most / max(1, n_parameters_of_gate))
    return list(range(1, max(1, min(by_rows, by_time, _MOST_EXPERTS)) + 1))


def default_work(n_units: int) -> float:
    """Return the work after which a path of so many rows a fold ends, unless the user names numbers of experts."""
    return float(_WORK * (n_units / _ROWS_OF_WORK) ** _GROWTH)


def checked_ridges(alphas: Any, gate_alphas: Any) -> Ridges:
    """Return the ridges in increasing order."""
    experts, gates = _listing("alphas", alphas), _listing("gate_alphas", gate_alphas)
    for alpha in experts:
        check_number("alphas", alpha, low=0.0)
    of_gates: list[float | Literal["auto"]] = []
    for alpha in gates:
        if isinstance(alpha, str):
            check_choice("gate_alphas", alpha, ("auto",))
            of_gates.append("auto")
        else:
            check_number("gate_alphas", alpha, low=0.0)
            of_gates.append(float(alpha))
    of_gates.sort(key=lambda alpha: 0.0 if alpha == "auto" else float(alpha))
    return Ridges(tuple(sorted(float(alpha) for alpha in experts)), tuple(of_gates))


def checked_bases(given: Any) -> Sequence[GateBasis]:
    """Return kinds of gates in the order given."""
    kinds = _listing("gate_basis", given)
    for kind in kinds:
        check_choice("gate_basis", kind, GATE_BASES)
    return kinds


def checked_noise(given: Any) -> Sequence[Literal["per_expert", "shared"]]:
    """Return kinds of noise in the order given."""
    kinds = _listing("noise", given)
    for kind in kinds:
        check_choice("noise", kind, ("per_expert", "shared"))
    return kinds


def checked_floors(given: Any) -> list[dict[str, Any]]:
    """Return floors of the noise from the largest on, with their name where a sequence is given."""
    floors = _listing("noise_floor", given)
    for floor in floors:
        check_number("noise_floor", floor, low=0.0, open_low=True)
    if not isinstance(given, Iterable):
        return [{}]
    return [{"noise_floor": floor} for floor in sorted(map(float, floors), reverse=True)]


def checked_penalties(alpha_towards: Any, l1_ratio: Any) -> list[dict[str, Any]]:
    """Return what `alpha` does to experts in each setting, with the names of which a sequence is given.

    A lasso towards the mean is left out.
    """
    towards, ratios = _listing("alpha_towards", alpha_towards), _listing("l1_ratio", l1_ratio)
    for kind in towards:
        check_choice("alpha_towards", kind, ("zero", "mean"))
    for ratio in ratios:
        check_number("l1_ratio", ratio, low=0.0, high=1.0)
    pairs = [(kind, ratio) for kind, ratio in product(towards, ratios) if kind == "zero" or ratio == 0]
    if not pairs:
        raise ValueError(
            f'l1_ratio={l1_ratio!r} needs alpha_towards="zero": what a lasso leaves out is 0, not a mean'
        )
    several = {"alpha_towards": not isinstance(alpha_towards, str), "l1_ratio": isinstance(l1_ratio, Iterable)}
    return [
        {name: value for (name, one), value in zip(several.items(), pair, strict=True) if one} for pair in pairs
    ]
