"""Gates on other columns: moments given the gates' columns against the papers' estimator, over n."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from moefast._typing import Floats
from moefast.experiments.cells import Cell, Row
from moefast.experiments.measures import LARGEST_ERROR, chord_errors, fit_slope, unit_rows
from moefast.experiments.pictures import colours_of, new_figure, plot_band
from moefast.experiments.reporting import markdown_table, verdict
from moefast.experiments.runner import Experiment, Plan
from moefast.mixture import Mixture
from moefast.moments.accumulator import MomentAccumulator
from moefast.samples import Samples
from moefast.spectral.conditional_scores import ConditionalScores
from moefast.spectral.given_gates import recover_experts_given_gates
from moefast.spectral.recover import recover_experts
from moefast.spectral.whitening import subspace_whitening
from moefast.tensors.power_method import power_iteration
from moefast.transforms.polynomial import PolynomialTransform

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT"]


_SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
_QUICK_SIZES = (10_000, 30_000)
_OWN, _GATES = 6, 2
# How far the experts' columns follow the gates' columns, in their own standard deviations given these.
_FOLLOW = 2.0
_GATE_NORM, _NOISE = 4.0, 0.1
_SLOPES = (-0.65, -0.35)
_Recover: TypeAlias = Callable[[Floats, Floats, int, int], Floats]


def cells(plan: Plan) -> list[Cell]:
    """Return a cell for each number of experts and seed."""
    return [
        {"k": k, "sizes": list(_QUICK_SIZES if plan.quick else _SIZES), "seed": seed}
        for k in (2, 3)
        for seed in plan.choose_seeds(20, 3)
    ]


def run(cell: Cell) -> list[Row]:
    """Recover experts by every method from nested prefixes of one data set."""
    k, sizes, seed = cell["k"], cell["sizes"], cell["seed"]
    X, y, truth = draw_data(k, max(sizes), seed)
    rows = []
    for n, (name, recover) in product(sizes, METHODS.items()):
        error = float(chord_errors(recover(X[:n], y[:n], k, seed), truth.coef[:, :_OWN]).max())
        rows.append({"k": k, "seed": seed, "n": n, "method": name, "error": error})
    return rows


def draw_data(k: int, n: int, seed: int) -> tuple[Floats, Floats, Mixture]:
    """Return the experts' own columns and then the gates' columns, responses and the truth."""
    rng = np.random.default_rng([seed, k])
    norms = rng.uniform(0.6, 1.4, size=(k, 1))
    coef = np.pad(norms * unit_rows(rng.normal(size=(k, _OWN))), ((0, 0), (0, _GATES)))
    gates = np.pad(_GATE_NORM * unit_rows(rng.normal(size=(k, _GATES))), ((0, 0), (_OWN, 0)))
    offsets, intercept = 0.5 * rng.normal(size=k), rng.normal(size=k)
    truth = Mixture(coef, intercept, gates - gates[-1], offsets - offsets[-1], np.full(k, _NOISE))
    slopes = _FOLLOW * unit_rows(rng.normal(size=(_OWN, _GATES)))
    of_gates = rng.normal(size=(n, _GATES))
    X = np.column_stack([of_gates @ slopes.T + rng.normal(size=(n, _OWN)), of_gates])
    return X, truth.draw(X, rng), truth


def _given(X: Floats, y: Floats, k: int, seed: int) -> Floats:
    own, gates = _columns()
    found = recover_experts_given_gates(
        X, y, k, gate_columns=gates, expert_columns=own, random_state=seed, n_threads=1
    )
    return found.coef[:, :_OWN]


def _bare(X: Floats, y: Floats, k: int, seed: int) -> Floats:
    """Do the same with the response less its regression on the gates' columns, and its bare powers."""
    own, gates = _columns()
    scores = ConditionalScores.of(Samples(X, y, np.ones(len(y))), np.array(own), np.array(gates), 1)
    t = scores.residuals.y + scores.Z @ scores.slope
    moments = MomentAccumulator(_OWN, n_threads=1).update(scores.residuals.X, t).score_moments()
    square, cube = (PolynomialTransform((*[0.0] * m, 1.0), 1.0, order=m) for m in (2, 3))
    whitening = subspace_whitening(moments.score_tensor(2, square) / 2.0, k, moments.whitening)
    T3 = moments.score_tensor(3, cube, whitening.into)
    pairs = power_iteration(T3, k, random_state=seed)
    return np.asarray(pairs.vectors @ whitening.back.T @ moments.whitening.T)


def _papers(X: Floats, y: Floats, k: int, seed: int) -> Floats:
    return recover_experts(X, y, k, random_state=seed, n_threads=1).coef[:, :_OWN]


def _papers_own(X: Floats, y: Floats, k: int, seed: int) -> Floats:
    return _papers(np.ascontiguousarray(X[:, :_OWN]), y, k, seed)


def _columns() -> tuple[list[int], list[int]]:
    return list(range(_OWN)), list(range(_OWN, _OWN + _GATES))


_GIVEN, _BARE = "given the gates' columns", "the same, bare powers"
METHODS: dict[str, _Recover] = {
    _GIVEN: _given,
    _BARE: _bare,
    "papers', all columns": _papers,
    "papers', experts' columns": _papers_own,
}
"""By name: from X, y, k and a seed to the coefficients of the experts' own columns, of any length."""


def report(table: pd.DataFrame) -> str:
    """Return median errors, slopes, and what is met."""
    sizes = sorted(table["n"].unique())
    lines, met = [], []
    for k, method in product(sorted(table["k"].unique()), METHODS):
        here = table[(table["k"] == k) & (table["method"] == method)]
        wide = here.pivot(index="seed", columns="n", values="error")
        slope, low, high = fit_slope(wide)
        medians = [f"{wide[n].median():.3f} ({wide[n].max():.2f})" for n in sizes]
        lines.append([k, method, *medians, "-" if np.isnan(slope) else f"{slope:.2f} [{low:.2f}, {high:.2f}]"])
        if method == _GIVEN and not np.isnan(slope):
            inside = _SLOPES[0] <= slope <= _SLOPES[1]
            met.append(verdict(inside, f"k = {k}, {method}: slope {slope:.2f} inside {list(_SLOPES)}"))
    return "\n".join(
        [
            f"Linear experts on {_OWN} columns, of norms 0.6 to 1.4, with normal intercepts of standard deviation "
            f"1, sigma {_NOISE}; softmax gates of norm {_GATE_NORM:g} and any direction on {_GATES} other "
            f"columns, with intercepts; {table['seed'].nunique()} data sets. The experts' columns are "
            f"{_FOLLOW:g} times a linear function of the gates' columns plus normal residuals of variance 1. No "
            "EM.",
            "",
            "Median (largest) distance between the unit vectors of the worst expert and its true one, and the "
            f"slope of log median error against log n where the median is below {LARGEST_ERROR}, with its 95 % "
            "bootstrap interval:",
            "",
            markdown_table(["experts", "moments", *(f"n = {n:,}" for n in sizes), "slope"], lines),
            "",
            *met,
        ]
    )


def draw(table: pd.DataFrame) -> Mapping[str, Figure]:
    """Draw error against n: a panel for each number of experts, a line for each method."""
    experts = sorted(table["k"].unique())
    colours = colours_of(list(METHODS))
    figure, axes = new_figure(1, len(experts), sharey=True)
    for k, panel in zip(experts, axes[0], strict=True):
        here = table[table["k"] == k]
        for method, group in here.groupby("method", sort=False):
            plot_band(panel, group, "n", "error", label=method, color=colours[method], marker="o", markersize=3)
        sizes = np.sort(here["n"].unique())
        last = here[(here["n"] == sizes[-1]) & (here["method"] == _GIVEN)]["error"].median()
        panel.plot(sizes, 0.7 * last * np.sqrt(sizes[-1] / sizes), "k--", linewidth=1, label="slope -1/2")
        panel.set(xscale="log", yscale="log", title=f"{k} experts", xlabel="samples n")
        panel.grid(alpha=0.3)
    axes[0, 0].set_ylabel("error of the worst expert")
    axes[0, 0].legend(fontsize=8, loc="lower left")
    return {"": figure}


EXPERIMENT = Experiment(
    "gates-given",
    "Gates on other columns: moments given the gates' columns",
    ("k", "seed", "n", "method", "error"),
    cells,
    run,
    draw,
    report,
)
