"""The log-likelihood of rows held out over a grid of settings, along paths over the number of experts.

All folds take a step to one expert more together, so that the path can end where the curve has clearly turned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from moefast._typing import Floats
from moefast.mixture import GatedExperts
from moefast.power_of_two import over_power_of_two
from moefast.selection.cross_validation import HeldOut
from moefast.selection.gate_shape import FlatGates, GateShape, TreeOfGates, parameters_of
from moefast.selection.held_out_laws import HeldOutLaws
from moefast.selection.ridge_path import Fits, Fold, Pair, Ridges, fit_step
from moefast.tasks import run_all

__all__ = [
    "Branch",
    "Scored",
    "Walk",
    "best_setting",
    "differs_in",
    "laws_others_choose",
    "results_table",
    "rival",
    "scores_along_path",
]

# The path ends where so many numbers of experts in a row are below the best by more than a standard error of the
# difference, or so many in a row have not been better.
_CLEARLY_WORSE = 2
_NOT_BETTER = 3
# The same for a path whose rival has been better with as many experts.
_BEHIND = 2


@dataclass(frozen=True, eq=False)
class Branch:
    """Settings that share a path: all but the number of experts and the ridges are the same.

    Attributes
    ----------
    setting : mapping of str to object
        Parameters of the estimator.
    folds : sequence of Fold
    counts : sequence of int
        Numbers of experts that are compared, in increasing order.
    trees : sequence of TreeOfGates
        Compared too, in increasing order of their experts.
    seed : int
    most_work : float
        Of all fits together, after which the path ends; see :class:`moefast.selection.ridge_path.Fits`.
    """

    setting: Mapping[str, Any]
    folds: Sequence[Fold]
    counts: Sequence[int]
    trees: Sequence[TreeOfGates]
    seed: int
    most_work: float = math.inf

    @property
    def ridges(self) -> Ridges:
        """Those that are compared."""
        return self.folds[0].ridges


@dataclass(frozen=True, eq=False)
class Scored:
    """What rows held out say of one setting.

    Attributes
    ----------
    shape : GateShape
    setting : mapping of str to object
        Parameters beside the shape.
    log_density : sequence of ndarray
        log P(y | x) of each row, or group of rows, that a fold holds out.
    weights : sequence of ndarray
        Of these.
    laws : sequence of GatedExperts
        The fit of each fold, in the units of the data.
    folds : sequence of Fold
    """

    shape: GateShape
    setting: Mapping[str, Any]
    log_density: Sequence[Floats]
    weights: Sequence[Floats]
    laws: Sequence[GatedExperts] = ()
    folds: Sequence[Fold] = ()

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the estimator."""
        return parameters_of(self.shape, self.setting)

    @cached_property
    def by_fold(self) -> Floats:
        """The mean log P(y | x) for each unit of weight, shape (number of folds,)."""
        return np.array([HeldOut.of(v, w).mean for v, w in zip(self.log_density, self.weights, strict=True)])

    @cached_property
    def held_out(self) -> HeldOut:
        """The same of all folds together."""
        return HeldOut.of(np.concatenate(self.log_density), np.concatenate(self.weights))

    @property
    def held_out_laws(self) -> HeldOutLaws:
        """The laws beside what they have not seen."""
        return HeldOutLaws(self.laws, [fold.held_out for fold in self.folds])

    def without(self, fold: int) -> Scored:
        """Return what the other folds say."""
        others = [i for i in range(len(self.weights)) if i != fold]
        return replace(
            self, log_density=[self.log_density[i] for i in others], weights=[self.weights[i] for i in others]
        )


@dataclass(frozen=True, eq=False)
class Walk:
    """What a path has found.

    Attributes
    ----------
    setting : mapping of str to object
        That of the branch.
    scored : list of Scored
        With flat gates.
    of_trees : list of Scored
        With trees of gates: apart, so that they end no path.
    end : int
        The number of experts at which it ended.
    turned : bool
        Whether it ended because the curve had turned, or another path is better.
    wants_less_noise : bool
        Whether the fits of the best setting have experts at the noise floor, in half of the folds, and not because
        responses are rounded: densities of numbers that come again and again know no bounds.
    """

    setting: Mapping[str, Any]
    scored: list[Scored]
    of_trees: list[Scored]
    end: int
    turned: bool
    wants_less_noise: bool


class _Path:
    """The steps of all folds of a branch along its path.

    Parameters
    ----------
    branch : Branch
    n_jobs : int or None
    shown : bool
        Whether there are progress bars.
    """

    def __init__(self, branch: Branch, n_jobs: int | None, *, shown: bool) -> None:
        self._branch, self._n_jobs, self._shown = branch, n_jobs, shown
        self._fits: list[Fits | None] = [None] * len(branch.folds)
        # Where trees begin, by the number of experts: fits with flat gates, and the best ridges of these.
        self._origins: dict[int, tuple[list[Fits | None], Pair]] = {}

    def log_density(self, shape: GateShape, pairs: Sequence[Pair]) -> dict[Pair, list[Floats]]:
        """Fit under further pairs of ridges and return log P of what each fold holds out, for all so far."""
        folds = self._branch.folds
        tasks = [
            (fold, shape, pairs, before, (self._branch.seed, i, *shape.seed))
            for i, (fold, before) in enumerate(zip(folds, self._fits, strict=True))
        ]
        found = run_all(fit_step, tasks, self._n_jobs, desc=shape.in_words, shown=self._shown)
        self._fits = list(found)
        return {pair: [fits.held_out[pair] for fits in found] for pair in found[0].held_out}

    @property
    def work(self) -> float:
        """What all fits so far have taken."""
        return sum(fits.work for fits in self._fits if fits is not None)

    def best_ridges(self, shape: GateShape, base: Pair) -> tuple[dict[Pair, Scored], Pair, Floats]:
        """Go from a pair of ridges to the best of its neighbours as long as there is a better one.

        Returns what was scored on the way, the pair where it ended, and log P of all that is held out under it.
        """
        found: dict[Pair, Scored] = {}
        while wanted := [pair for pair in self._branch.ridges.around(base) if pair not in found]:
            of_pairs = self.log_density(shape, wanted)
            found |= {pair: self._scored(shape, pair, of_pairs[pair]) for pair in wanted}
            base = max(found, key=lambda pair: found[pair].held_out.mean)
        return found, base, np.concatenate(of_pairs[base])

    def step(self, n_experts: int, base: Pair) -> tuple[dict[Pair, Scored], Pair, Floats]:
        """Do so with flat gates."""
        found, base, values = self.best_ridges(FlatGates(n_experts), base)
        self._keep_for_trees(n_experts, base)
        return found, base, values

    def pass_by(self, n_experts: int, base: Pair) -> None:
        """Fit flat gates under a pair of ridges, only for what begins there."""
        self.log_density(FlatGates(n_experts), [base])
        self._keep_for_trees(n_experts, base)

    def _keep_for_trees(self, n_experts: int, base: Pair) -> None:
        if self._branch.trees:  # else the fits of all steps would stay in memory
            self._origins[n_experts] = self._fits, base

    def of_trees(self) -> list[Scored]:
        """Return the scores of trees; each begins at the fits of flat gates of as many experts."""
        scored = []
        for tree in self._branch.trees:
            while tree.n_experts not in self._origins:
                last = max(self._origins)
                self._fits, base = self._origins[last]
                self.pass_by(last + 1, base)
            self._fits, base = self._origins[tree.n_experts]
            found, _, _ = self.best_ridges(tree, base)
            scored += [found[pair] for pair in sorted(found)]
        return scored

    def _scored(self, shape: GateShape, pair: Pair, values: Sequence[Floats]) -> Scored:
        """Return the score of a setting from log P of what each fold holds out."""
        branch, ridges = self._branch, self._branch.ridges
        setting = {
            "alpha": ridges.alphas[pair[0]],
            "gate_alpha": ridges.gate_alphas[pair[1]],
            **branch.setting,
        }
        weights = [fold.held_out.unit_weight for fold in branch.folds]
        laws = [fits.laws[pair] for fits in self._fits if fits is not None]
        return Scored(shape, setting, values, weights, laws, branch.folds)

    def has_collapsed(self, pair: Pair) -> bool:
        """Whether half of the folds have collapsed experts under a pair of ridges."""
        return 2 * sum(fits.collapsed[pair] for fits in self._fits if fits is not None) >= len(self._fits)


def scores_along_path(branch: Branch, bests: Mapping[int, float], n_jobs: int | None, *, shown: bool) -> Walk:
    """Return the scores of a branch along its path.

    With every number of experts the ridges go from the best pair so far to the best of its neighbours, as long as
    there is a better one.

    Parameters
    ----------
    branch : Branch
    bests : mapping of int to float
        The best scores of plainer branches, by the number of experts. A path that is below them twice in a row
        ends: richer gates, or less noise, are worth their time where as many experts do better.
    n_jobs : int or None
    shown : bool
        Whether there are progress bars.
    """
    path = _Path(branch, n_jobs, shown=shown)
    # Sums of weights in a unit near the end of the range may leave it.
    weights = over_power_of_two(np.concatenate([fold.held_out.unit_weight for fold in branch.folds]))[0]
    scored: list[Scored] = []
    best: Floats | None = None
    worse = not_better = behind = 0
    turned = less_noise = False
    rounded = branch.folds[0].samples.is_rounded
    base = branch.ridges.middle
    for k in range(1, branch.counts[-1] + 1):
        if k not in branch.counts:
            path.pass_by(k, base)
            continue
        found, base, values = path.step(k, base)
        scored += [found[pair] for pair in sorted(found)]
        behind = behind + 1 if k > 1 and found[base].held_out.mean < bests.get(k, -math.inf) else 0
        if best is None or weights @ (values - best) > 0:
            best, worse, not_better = values, 0, 0
            less_noise = not rounded and path.has_collapsed(base)
        else:
            difference = HeldOut.of(best - values, weights)
            worse = worse + 1 if difference.mean > difference.standard_error else 0
            not_better += 1
        if worse >= _CLEARLY_WORSE or not_better >= _NOT_BETTER or behind >= _BEHIND:
            turned = k < branch.counts[-1]
            break
        if path.work > branch.most_work:
            break
    return Walk(branch.setting, scored, path.of_trees(), k, turned, less_noise)


def differs_in(one: Mapping[str, Any], other: Mapping[str, Any]) -> set[str]:
    """Return the names of what two settings have in two ways."""
    return {name for name in one if one[name] != other[name]}


def rival(setting: Mapping[str, Any], walks: Sequence[Walk]) -> dict[int, float]:
    """Return the best scores, by their experts, of paths of linear gates or the same and of any floor of noise."""
    best: dict[int, float] = {}
    for walk in walks:
        plainer = walk.setting["gate_basis"] in ("linear", setting["gate_basis"])
        if plainer and differs_in(walk.setting, setting) <= {"noise_floor", "gate_basis"}:
            for one in walk.scored:
                k = one.shape.n_experts
                best[k] = max(best.get(k, -math.inf), one.held_out.mean)
    return best


def best_setting(scored: Sequence[Scored], *, one_standard_error: bool) -> int:
    """Return the position of the setting of the best mean.

    With `one_standard_error` it is the best of the fewest experts that have a setting at most one standard error
    of the best below it.
    """
    means = np.array([one.held_out.mean for one in scored])
    best = int(np.argmax(means))
    if not one_standard_error:
        return best
    near = means >= means[best] - scored[best].held_out.standard_error
    counts = np.array([one.shape.n_experts for one in scored])
    fewest = near & (counts == counts[near].min())
    return int(np.argmax(np.where(fewest, means, -np.inf)))


def laws_others_choose(scored: Sequence[Scored], *, one_standard_error: bool) -> HeldOutLaws:
    """Return the laws of each fold under the setting that the other folds would choose, beside what it holds out.

    Of some hundred settings the best on some rows is partly so by luck, and its intervals hold too many of them.
    Here no row has a say in the choice of the setting by whose fit it is predicted: nested cross-validation
    but for the fits of the folds, of which there are no more.
    """
    laws, held_out = [], []
    for i in range(len(scored[0].weights)):
        others = scored if len(scored[0].weights) == 1 else [one.without(i) for one in scored]
        chosen = scored[best_setting(others, one_standard_error=one_standard_error)]
        laws.append(chosen.laws[i])
        held_out.append(chosen.folds[i].held_out)
    return HeldOutLaws(laws, held_out)


def results_table(scored: Sequence[Scored]) -> dict[str, Any]:
    """Return the scores as ``cv_results_`` of scikit-learn's searches have them: a dict of columns."""
    columns: dict[str, list[Any]] = {"n_experts": [one.shape.n_experts for one in scored]}
    if any(one.shape.branches for one in scored):
        columns["branches"] = [one.shape.branches for one in scored]
    columns |= {name: [one.setting[name] for one in scored] for name in scored[0].setting}
    table: dict[str, Any] = {f"param_{name}": _column(values) for name, values in columns.items()}
    table["params"] = [one.parameters for one in scored]
    by_fold = np.array([one.by_fold for one in scored])
    for i, of_fold in enumerate(by_fold.T):
        table[f"split{i}_test_score"] = of_fold
    table["mean_test_score"] = means = np.array([one.held_out.mean for one in scored])
    table["std_test_score"] = by_fold.std(axis=1)
    table["standard_error"] = np.array([one.held_out.standard_error for one in scored])
    table["rank_test_score"] = rankdata(-means, method="min").astype(np.int32)
    return table


def _column(values: list[Any]) -> npt.NDArray[Any]:
    """Return an array of numbers, or of objects where there are others."""
    if all(isinstance(value, (int, float)) for value in values):
        return np.array(values)
    return np.fromiter(values, dtype=object, count=len(values))
