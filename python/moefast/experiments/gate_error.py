"""Gates by EM with frozen experts: error against n and against the experts' error, and geometric convergence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from moefast._typing import Floats
from moefast.datasets import make_moe
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.experiments.cells import Cell, Row
from moefast.experiments.measures import chord_errors, gate_error, unit_rows
from moefast.experiments.pictures import colours_of, new_figure, plot_band
from moefast.experiments.reporting import markdown_table, verdict
from moefast.experiments.runner import Experiment, Plan
from moefast.gating.fit import fit_gates
from moefast.mixture import Mixture
from moefast.samples import Samples
from moefast.spectral.recover import recover_experts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT"]


_FEATURES = 10
_NOISE = 0.1
_SIZES = (1000, 3000, 10_000, 30_000, 100_000, 300_000)
_CHORDS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
_NOISES = (0.05, 0.1, 0.2, 0.35, 0.5)
_ITERATIONS = 40
# No intercepts, no ridge, and to the end: the papers' EM and its fixed point.
_PLAIN = EmOptions(fit_intercept=False, fit_gate_intercept=False, gate_alpha=0.0, tol=1e-15, n_threads=1)
# Distances to the fixed point (relative) between which the contraction is fitted: below the first steps from
# zero gates, above rounding.
_LINEAR_REGIME = (1e-9, 0.2)


def cells(plan: Plan) -> list[Cell]:
    """Return the cells of the three parts: n, the experts' error, the noise."""
    seeds = plan.choose_seeds(20, 2)
    sizes = [1000, 10_000] if plan.quick else list(_SIZES)
    n = 5000 if plan.quick else 50_000
    parts: list[Cell] = []
    for k in (2, 3):
        for seed in seeds:
            parts.append({"part": "samples", "k": k, "sizes": sizes, "seed": seed})
            parts.append({"part": "experts", "k": k, "n": n, "chords": list(_CHORDS), "seed": seed})
            parts += [{"part": "noise", "k": k, "n": n, "noise": noise, "seed": seed} for noise in _NOISES]
    return parts


def run(cell: Cell) -> list[Row]:
    """Measure one part for one data set."""
    rows = {"samples": _against_samples, "experts": _against_experts, "noise": _iterations}[cell["part"]](cell)
    return [{"part": cell["part"], "k": cell["k"], "seed": cell["seed"], **row} for row in rows]


def _against_samples(cell: Cell) -> list[Row]:
    k, seed = cell["k"], cell["seed"]
    X, y, truth = make_moe(max(cell["sizes"]), _FEATURES, k, noise=_NOISE, orthogonal_gate=True, random_state=seed)
    rows = []
    for n in cell["sizes"]:
        spectral = recover_experts(
            X[:n], y[:n], k, sigma=_NOISE, fit_intercept=False, random_state=seed, n_threads=1
        )
        for source, experts, fit_noise in (
            ("true experts", truth, False),
            ("spectral experts", spectral, False),
            ("spectral experts, noise fitted", spectral, True),
        ):
            gates = fit_gates(X[:n], y[:n], experts, sigma=_NOISE, update_noise=fit_noise, options=_PLAIN)
            chord = float(chord_errors(experts.coef, truth.coef).max())
            error = gate_error(gates.mixture, truth)
            rows.append({"experts": source, "n": n, "noise": _NOISE, "chord": chord, "gate_error": error})
    return rows


def _against_experts(cell: Cell) -> list[Row]:
    n, k, seed = cell["n"], cell["k"], cell["seed"]
    X, y, truth = make_moe(n, _FEATURES, k, noise=_NOISE, orthogonal_gate=True, random_state=seed)
    aside = np.random.default_rng([seed, k]).normal(size=truth.coef.shape)
    aside = unit_rows(aside - (aside * truth.coef).sum(axis=1, keepdims=True) * truth.coef)
    rows = []
    for chord in cell["chords"]:
        angle = 2.0 * np.arcsin(chord / 2.0)  # turned by it a unit vector has moved by the chord
        turned = replace(truth, coef=np.cos(angle) * truth.coef + np.sin(angle) * aside)
        for fit_noise in (False, True):
            gates = fit_gates(X, y, turned, sigma=_NOISE, update_noise=fit_noise, options=_PLAIN)
            source = "turned, noise fitted" if fit_noise else "turned"
            error = gate_error(replace(gates.mixture, coef=truth.coef), truth)
            rows.append({"experts": source, "n": n, "noise": _NOISE, "chord": chord, "gate_error": error})
    return rows


def _iterations(cell: Cell) -> list[Row]:
    """Follow EM from zero gates, one iteration after the other; twice as many lead to the fixed point."""
    n, k, noise = cell["n"], cell["k"], cell["noise"]
    X, y, truth = make_moe(n, _FEATURES, k, noise=noise, orthogonal_gate=True, random_state=cell["seed"])
    problem = EmProblem(Samples(X, y, np.ones(n)), _PLAIN)
    path = [replace(truth, gate_coef=np.zeros_like(truth.gate_coef))]
    for _ in range(2 * _ITERATIONS):
        path.append(_one_iteration(problem, path[-1], X))
    end = path[-1]
    rows = []
    for iteration, gates in enumerate(path[: _ITERATIONS + 1]):
        distance = float(np.linalg.norm(gates.gate_coef - end.gate_coef) / np.linalg.norm(end.gate_coef))
        error = gate_error(gates, truth)
        rows.append(
            {
                "experts": "true experts",
                "n": n,
                "noise": noise,
                "chord": 0.0,
                "iteration": iteration,
                "distance": distance,
                "gate_error": error,
            }
        )
    return rows


def _one_iteration(problem: EmProblem, gates: Mixture, X: Floats) -> Mixture:
    means = problem.standardisation.response(gates.expert_means(X))
    start = gates.to_standard(problem.standardisation)
    fit = problem.run(start, means=np.ascontiguousarray(means), update_noise=False, max_iter=1)
    return replace(gates, gate_coef=problem.to_units(fit).mixture.gate_coef)


def contraction(distances: Floats) -> float:
    """Return the factor by which the distance to the fixed point falls in an iteration; NaN for too few."""
    low, high = _LINEAR_REGIME
    seen = np.flatnonzero((distances > low) & (distances < high))
    if len(seen) < 2:
        return np.nan
    return float(np.exp(np.polyfit(seen, np.log(distances[seen]), 1)[0]))


def report(table: pd.DataFrame) -> str:
    """Return the three tables: gate error against n and against the experts' error, contraction by noise."""
    runs = table[table["part"] == "noise"]
    factors = (
        runs.sort_values("iteration")
        .groupby(["k", "noise", "seed"])["distance"]
        .apply(lambda d: contraction(d.to_numpy()))
    )
    spread = factors.groupby(["k", "noise"]).agg(["median", "min", "max"]).reset_index()
    samples = _medians(table, "samples", "n")
    experts = _medians(table, "experts", "chord")
    exact = samples[samples["experts"] == "true experts"]
    slopes = [
        float(np.polyfit(np.log(group["n"]), np.log(group["gate_error"]), 1)[0]) for _, group in exact.groupby("k")
    ]
    return "\n".join(
        [
            f"Linear experts, {_FEATURES} features, {table['seed'].nunique()} data sets, orthogonal gates of norm "
            "2, fitted by EM from zero. Error: relative to the norm of the true gates.",
            "",
            f"Median gate error against n, sigma {_NOISE}:",
            "",
            _side_by_side(samples, "n"),
            "",
            f"Median gate error against the distance of each expert from its true unit vector, sigma {_NOISE}:",
            "",
            _side_by_side(experts, "chord"),
            "",
            "Contraction of EM: the factor by which the distance to its fixed point falls in an iteration (frozen "
            "true experts, known noise):",
            "",
            markdown_table(["experts", "sigma", *spread.columns[2:]], spread.astype(object).to_numpy()),
            "",
            *(
                verdict(
                    abs(slope + 0.5) < 0.1,
                    f"k = {k}: with true experts the slope of the gate error is {slope:.2f} (-0.5)",
                )
                for k, slope in zip(sorted(exact["k"].unique()), slopes, strict=True)
            ),
            verdict(
                bool(spread["max"].max() < 1.0),
                f"EM contracts in every run: largest factor {spread['max'].max():.2f}",
            ),
        ]
    )


def _medians(table: pd.DataFrame, part: str, by: str) -> pd.DataFrame:
    mine = table[table["part"] == part]
    return mine.groupby(["k", "experts", by])["gate_error"].median().reset_index()


def _side_by_side(medians: pd.DataFrame, by: str) -> str:
    wide = medians.pivot(index=["k", "experts"], columns=by, values="gate_error").reset_index()
    header = ["k", "experts", *(f"{by} = {value:g}" for value in wide.columns[2:])]
    return markdown_table(header, wide.to_numpy().tolist())


def draw(table: pd.DataFrame) -> Mapping[str, Figure]:
    """Draw the three parts side by side, a row of panels for each number of experts."""
    counts = sorted(table["k"].unique())
    figure, axes = new_figure(len(counts), 3)
    for k, (left, middle, right) in zip(counts, axes, strict=True):
        here = table[table["k"] == k]
        for panel, part, x, label in (
            (left, "samples", "n", "samples n"),
            (middle, "experts", "chord", "distance of each expert from its true unit vector"),
        ):
            mine = here[here["part"] == part]
            for source, group in mine.groupby("experts", sort=False):
                plot_band(panel, group, x, "gate_error", label=source, marker="o", markersize=3)
            panel.set(xlabel=label, ylabel="relative error of the gates", yscale="log", title=f"{k} experts")
            panel.legend(fontsize=8)
        left.set_xscale("log")
        middle.set_xscale("symlog", linthresh=0.01)
        middle.set_xlim(left=0)
        runs = here[here["part"] == "noise"]
        colours = colours_of(sorted(runs["noise"].unique()))
        for noise, group in runs.groupby("noise"):
            plot_band(right, group, "iteration", "distance", label=f"sigma {noise}", color=colours[noise])
        right.set(
            xlabel="EM iteration",
            ylabel="distance to the fixed point",
            yscale="log",
            ylim=(1e-10, 2),
            title=f"{k} experts",
        )
        right.legend(fontsize=8)
        for panel in (left, middle, right):
            panel.grid(alpha=0.3)
    return {"": figure}


EXPERIMENT = Experiment(
    "gate-error",
    "The gates' error, and the geometric convergence of gating EM",
    ("part", "k", "seed", "experts", "n", "noise", "chord", "iteration", "distance", "gate_error"),
    cells,
    run,
    draw,
    report,
)
