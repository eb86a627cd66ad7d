"""The error of the experts from moments alone against the number of samples: theory promises the slope -1/2."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from moefast.datasets import random_mixture
from moefast.experiments.cells import Cell, Row
from moefast.experiments.measures import LARGEST_ERROR, chord_errors, fit_slope
from moefast.experiments.pictures import colours_of, new_figure, plot_band
from moefast.experiments.reporting import markdown_table, verdict
from moefast.experiments.runner import Experiment, Plan
from moefast.links import LINKS
from moefast.moments.accumulator import MomentAccumulator
from moefast.moments.options import MomentOptions
from moefast.moments.strategy import choose_strategy
from moefast.samples import Samples
from moefast.spectral.experts import recover_from_moments

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT"]


_SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
_QUICK_SIZES = (10_000, 30_000)
# Links whose transforms have so much variance that fewer samples say nothing.
_FIRST_SIZE = {link: 100_000 for link in ("relu", "leaky_relu", "softplus", "gelu", "silu")}
# Bounded links have a spread of a fifth to a half.
_NOISE = {"sigmoid": 0.05, "tanh": 0.05}
_DEFAULT_NOISE = 0.1
_SLOPES = (-0.65, -0.35)
_PROMISED = ("linear", "sigmoid", "tanh", "relu")


def cells(plan: Plan) -> list[Cell]:
    """Return a cell for each number of features and seed."""
    return [
        {
            "d": d,
            "sizes": list(_QUICK_SIZES if plan.quick else _SIZES),
            "links": ["linear", "tanh"] if plan.quick else list(LINKS),
            "seed": seed,
        }
        for d in ((10,) if plan.quick else (10, 20, 50))
        for seed in plan.choose_seeds(50, 3)
    ]


def run(cell: Cell) -> list[Row]:
    """Recover experts from nested prefixes of one X, which all links and numbers of experts share."""
    d, sizes, seed = cell["d"], cell["sizes"], cell["seed"]
    X = np.random.default_rng([seed, d]).normal(size=(max(sizes), d))
    rows = []
    for k in (2, 3):
        order = 3 if choose_strategy(d, k) == "one_pass" else 2
        for link in cell["links"]:
            rng = np.random.default_rng([seed, d, k, zlib.crc32(link.encode())])
            noise = _NOISE.get(link, _DEFAULT_NOISE)
            truth = random_mixture(d, k, link=link, noise=noise, orthogonal_gate=True, random_state=rng)
            y = truth.draw(X, rng)
            moments, seen = MomentAccumulator(d, order, n_threads=1), 0
            for n in sizes:
                moments.update(X[seen:n], y[seen:n])
                seen = n
                if n < _FIRST_SIZE.get(link, 0):
                    continue
                found = recover_from_moments(
                    moments.score_moments(),
                    k,
                    MomentOptions(LINKS[link], sigma=noise, n_threads=1),
                    samples=Samples(X[:n], y[:n], np.ones(n)),
                    random_state=rng,
                )
                error = float(chord_errors(found.coef, truth.coef).max())
                rows.append({"link": link, "k": k, "d": d, "seed": seed, "n": n, "error": error})
    return rows


def report(table: pd.DataFrame) -> str:
    """Return slopes, errors at the largest n, and what is met."""
    dimensions = sorted(table["d"].unique())
    slopes: dict[tuple[int, str, int], tuple[float, float, float]] = {}
    lines, errors = [], []
    for k, link in product(sorted(table["k"].unique()), table["link"].unique()):
        group = table[(table["k"] == k) & (table["link"] == link)]
        line, last = [link, k], [link, k]
        for d in dimensions:
            wide = group[group["d"] == d].pivot(index="seed", columns="n", values="error")
            slopes[k, link, d] = slope, low, high = fit_slope(wide)
            line.append("-" if np.isnan(slope) else f"{slope:.2f} [{low:.2f}, {high:.2f}]")
            last.append(f"{wide.iloc[:, -1].median():.3g}")
        lines.append(line)
        errors.append(last)
    header = ["link", "experts", *(f"d = {d}" for d in dimensions)]
    inside = [
        verdict(
            _SLOPES[0] <= low and high <= _SLOPES[1],
            f"{link}, k = {k}, d = {d}: slope {slope:.2f}, [{low:.2f}, {high:.2f}] inside {list(_SLOPES)}",
        )
        for (k, link, d), (slope, low, high) in slopes.items()
        if link in _PROMISED
    ]
    return "\n".join(
        [
            f"Unpolished experts, {table['seed'].nunique()} seeds, orthogonal gates, known sigma (0.05 for "
            "sigmoid and tanh, else 0.1). Error: distance between the unit vectors of the worst expert and its "
            "true one.",
            "",
            f"Slope of log median error against log n where the median is below {LARGEST_ERROR}, with its 95 % "
            'bootstrap interval over seeds (theory: -0.5; "-": fewer than two such n):',
            "",
            markdown_table(header, lines),
            "",
            f"Median error at n = {table['n'].max():,}:",
            "",
            markdown_table(header, errors),
            "",
            *inside,
        ]
    )


def draw(table: pd.DataFrame) -> Mapping[str, Figure]:
    """Draw error against n: a panel for each k and d, a line for each link."""
    experts, dimensions = sorted(table["k"].unique()), sorted(table["d"].unique())
    colours = colours_of(list(table["link"].unique()))
    figure, axes = new_figure(len(experts), len(dimensions), sharex=True, sharey=True)
    for k, line in zip(experts, axes, strict=True):
        for d, panel in zip(dimensions, line, strict=True):
            here = table[(table["k"] == k) & (table["d"] == d)]
            for link, group in here.groupby("link", sort=False):
                plot_band(panel, group, "n", "error", label=link, color=colours[link], marker="o", markersize=3)
            sizes = np.sort(here["n"].unique())
            level = 0.7 * here[here["n"] == sizes[-1]].groupby("link")["error"].median().min()
            panel.plot(sizes, level * np.sqrt(sizes[-1] / sizes), "k--", linewidth=1, label="slope -1/2")
            panel.set(xscale="log", yscale="log", title=f"{k} experts, {d} features")
            panel.grid(alpha=0.3)
    for panel in axes[-1]:
        panel.set_xlabel("samples n")
    for panel in axes[:, 0]:
        panel.set_ylabel("error of the worst expert")
    axes[0, -1].legend(fontsize=8, loc="lower left")
    return {"": figure}


EXPERIMENT = Experiment(
    "expert-error",
    "The experts' error against the number of samples",
    ("link", "k", "d", "seed", "n", "error"),
    cells,
    run,
    draw,
    report,
)
