"""Where EM should start: simple starts, the papers' methods and their combination, over easy and hard regimes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from sklearn.linear_model import LinearRegression

from moefast import l4, spectral
from moefast._typing import Floats
from moefast.baselines.joint_em import EmStartKind, fit_joint_em
from moefast.datasets import random_mixture
from moefast.em.options import EmOptions
from moefast.em.single_run import fit_em
from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.experiments.cells import Cell, Row
from moefast.experiments.measures import match_experts, unit_rows
from moefast.experiments.pictures import new_figure
from moefast.experiments.reporting import markdown_table
from moefast.experiments.runner import Experiment, Plan
from moefast.gating.fit import fit_gates
from moefast.mixture import Mixture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT"]


_BASE: dict[str, Any] = {
    "n": 5000,
    "d": 10,
    "k": 3,
    "link": "linear",
    "noise": 0.1,
    "gate_scale": 2.0,
    "orthogonal_gate": True,
    "gate_intercept": 0.0,
    "expert_intercept": 0.0,
    "x": "gaussian",
}
# What differs from the base. Beside parameters of random_mixture: `n`; `x`, the law of features; `share` of the
# smallest expert; `cosine`, between any two experts; `sigma`, the noise told to the papers' methods, which
# otherwise estimate it; `k_fit`, the number of experts asked for.
_REGIMES: dict[str, dict[str, Any]] = {
    "easy": {},
    "6 experts": {"k": 6, "n": 10_000},
    "10 experts": {"k": 10, "d": 15, "n": 10_000},
    "an expert with 2 %": {"share": 0.02},
    "correlated experts": {"cosine": 0.9},
    "correlated features": {"x": "correlated"},
    "gates not orthogonal": {"orthogonal_gate": False},
    "steep gates": {"gate_scale": 20.0, "orthogonal_gate": False},
    "intercepts": {"expert_intercept": 1.0, "gate_intercept": 1.0, "orthogonal_gate": False},
    "much noise": {"noise": 0.5},
    "20 rows a feature": {"n": 200},
    "heavy tails": {"x": "t"},
    "skewed features": {"x": "exponential"},
    "sigma five times too large": {"sigma": 0.5},
    "sigma five times too small": {"sigma": 0.02},
    "tanh experts": {"link": "tanh", "noise": 0.05},
    "ReLU experts": {"link": "relu", "noise": 0.05},
    "one expert too few": {"k": 4, "k_fit": 3},
    "one expert too many": {"k": 3, "k_fit": 4},
}
_EM_STARTS: dict[str, EmStartKind] = {
    "random assignment": "random assignment",
    "random parameters": "random parameters",
    "k-means": "kmeans",
    "annealed": "annealed",
}
# These begin with an M-step of linear experts.
_LINEAR_ONLY = ("random assignment", "kmeans")
_COMBINED = "moefast"
_OPTIONS = EmOptions(n_threads=1)
_GATE_OPTIONS = EmOptions(n_threads=1, max_iter=30)
# Degrees of freedom of the heavy tails: the fourth moment is finite, the sixth is not.
_FREEDOM = 5.0
_Outcome: TypeAlias = tuple[Mixture, float, int]
# As near as this to EM from the truth counts as the same.
_TOLERANCE = 0.01


def cells(plan: Plan) -> list[Cell]:
    """Return a cell for each regime and data set."""
    regimes = (
        {name: _REGIMES[name] for name in list(_REGIMES)[:1] + list(_REGIMES)[-2:]} if plan.quick else _REGIMES
    )
    return [
        {
            "regime": name,
            **_BASE,
            **changes,
            **({"n": 1000, "starts": 1} if plan.quick else {"starts": 3}),
            "seed": seed,
        }
        for name, changes in regimes.items()
        for seed in plan.choose_seeds(20, 1)
    ]


def run(cell: Cell) -> list[Row]:
    """Run EM from every start on one data set, and from the truth."""
    X, y, truth = _draw_data(cell)
    k = cell.get("k_fit", cell["k"])
    from_truth = [fit_em(X, y, start, options=_OPTIONS) for start in _true_starts(truth, k, cell["seed"])]
    reference = max(from_truth, key=lambda fit: fit.log_likelihood)
    best_error = _error(reference.mixture, truth)
    residuals = y - LinearRegression().fit(X, y).predict(X)
    plain = -0.5 * len(y) * (np.log(2.0 * np.pi * residuals.var()) + 1.0)
    rows: list[Row] = []
    for method, seed, fit in _methods(cell, X, y, k):
        before = time.process_time()
        mixture, log_likelihood, n_iter = fit()
        seconds = time.process_time() - before
        error = _error(mixture, truth)
        gain = (log_likelihood - plain) / (reference.log_likelihood - plain)
        rows.append(
            {
                "regime": cell["regime"],
                "seed": cell["seed"],
                "method": method,
                "start": seed,
                "error": error,
                "best_error": best_error,
                "gain": float(gain),
                "same_error": bool(error <= (1.0 + _TOLERANCE) * best_error) if k >= cell["k"] else None,
                "same_likelihood": bool(gain >= 1.0 - _TOLERANCE),
                "iterations": n_iter,
                "seconds": seconds,
            }
        )
    return rows


def _methods(cell: Cell, X: Floats, y: Floats, k: int) -> list[tuple[str, int, Callable[[], _Outcome]]]:
    """Return name, number and work of every start: its mixture, log-likelihood and iterations."""
    link, sigma = cell["link"], cell.get("sigma")
    work: list[tuple[str, int, Callable[[], _Outcome]]] = []
    for (name, kind), start in product(_EM_STARTS.items(), range(cell["starts"])):
        if link != "linear" and kind in _LINEAR_ONLY:
            continue

        def simple(kind: EmStartKind = kind, seed: int = 1000 * cell["seed"] + start) -> _Outcome:
            fit = fit_joint_em(X, y, k, start=kind, link=link, options=_OPTIONS, random_state=seed)
            return fit.mixture, fit.log_likelihood, fit.n_iter

        work.append((name, start, simple))
    for name, recover in (("spectral", spectral.recover_experts), ("L4", l4.recover_experts)):

        def by_moments(recover: Callable[..., Any] = recover) -> _Outcome:
            experts = recover(X, y, k, link=link, sigma=sigma, random_state=cell["seed"], n_threads=1)
            gates = fit_gates(X, y, experts, sigma=experts.sigma, update_noise=True, options=_GATE_OPTIONS)
            fit = fit_em(X, y, gates.mixture, options=_OPTIONS)
            return fit.mixture, fit.log_likelihood, fit.n_iter

        work.append((name, 0, by_moments))

    def combined() -> _Outcome:
        model = MixtureOfExpertsRegressor(k, link=link, random_state=cell["seed"], n_threads=1).fit(X, y)
        return model.mixture_, model.log_likelihood_, model.n_iter_

    return [*work, (_COMBINED, 0, combined)]


def _draw_data(cell: Cell) -> tuple[Floats, Floats, Mixture]:
    rng = np.random.default_rng(cell["seed"])
    n, d, k = cell["n"], cell["d"], cell["k"]
    names = ("link", "noise", "gate_scale", "orthogonal_gate", "gate_intercept", "expert_intercept")
    truth = random_mixture(d, k, **{name: cell[name] for name in names}, random_state=rng)
    if "cosine" in cell:  # a common part and orthogonal rests
        cosine = cell["cosine"]
        frame = np.linalg.qr(rng.normal(size=(d, k + 1)))[0].T
        gates = rng.normal(size=(k, d))
        gates = cell["gate_scale"] * unit_rows(gates - gates @ frame.T @ frame)
        gates[-1] = 0.0
        coef = np.sqrt(cosine) * frame[0] + np.sqrt(1.0 - cosine) * frame[1:]
        truth = replace(truth, coef=coef, gate_coef=gates)
    X = _features(cell["x"], n, d, rng)
    if "share" in cell:  # lower the first expert's gate until it has this share

        def lowered(by: float) -> Mixture:
            offsets = truth.gate_intercept.copy()
            offsets[0] -= by
            return replace(truth, gate_intercept=offsets)

        root = brentq(lambda by: lowered(by).gates(X)[:, 0].mean() - cell["share"], -20.0, 40.0)
        truth = lowered(float(root))
    return X, truth.draw(X, rng), truth


def _features(law: str, n: int, d: int, rng: np.random.Generator) -> Floats:
    """Draw features of mean 0 and variance 1."""
    if law == "correlated":  # 0.9 between neighbours
        places = np.arange(d)
        return np.asarray(rng.normal(size=(n, d)) @ np.linalg.cholesky(0.9 ** np.abs(places[:, None] - places)).T)
    if law == "t":
        return np.asarray(rng.standard_t(_FREEDOM, size=(n, d)) / np.sqrt(_FREEDOM / (_FREEDOM - 2.0)))
    if law == "exponential":
        return np.asarray(rng.exponential(size=(n, d)) - 1.0)
    return np.asarray(rng.normal(size=(n, d)))


def _true_starts(truth: Mixture, k: int, seed: int) -> list[Mixture]:
    """Return the truth; with another number of experts, the truth without some or with one of them twice."""
    have = truth.n_experts
    if k <= have:
        return [truth.ordered(np.array(kept)) for kept in combinations(range(have), k)]
    twice = []
    for i in range(have):
        double = truth.ordered(np.array([*range(have), i]))
        step = 0.1 * np.random.default_rng([seed, i]).normal(size=double.n_features)
        coef, offsets = double.coef.copy(), double.gate_intercept.copy()
        coef[i] += step
        coef[-1] -= step
        offsets[[i, -1]] -= np.log(2.0)
        twice.append(replace(double, coef=coef, gate_intercept=offsets))
    return twice


def _error(found: Mixture, truth: Mixture) -> float:
    """Return the distance of the worst expert (coefficients and intercept) from its true one."""
    a, b = (np.column_stack([m.coef, m.intercept]) for m in (found, truth))
    if len(a) < len(b):  # one of the true ones has none
        a, b = b, a
    return float(np.linalg.norm(a[match_experts(a, b)] - b, axis=1).max())


def report(table: pd.DataFrame) -> str:
    """Return shares of success and CPU time by regime and start, and who wins where."""
    regimes, methods = list(table["regime"].unique()), list(table["method"].unique())
    shares, times = (_by_regime(table, value) for value in ("same_likelihood", "seconds"))
    errors = _by_regime(table.dropna(subset="same_error").astype({"same_error": float}), "same_error")
    wins = []
    for regime in regimes:
        line = shares.loc[regime]
        best = line.max()
        top = [method for method in methods if line[method] > best - 0.05]
        lost = [method for method in methods if line[method] < best - 0.2]
        wins.append([regime, ", ".join(top), ", ".join(lost) or "-"])

    def table_of(figures: pd.DataFrame, unit: float, name: str) -> str:
        return markdown_table(
            ["regime", *methods],
            [
                [regime, *(_text(v, unit, name) for v in figures.loc[regime])]
                for regime in regimes
                if regime in figures.index
            ],
        )

    return "\n".join(
        [
            f"{table['seed'].nunique()} data sets a regime; {table['start'].nunique()} starts of each simple kind "
            "on each, one of the others. All end with joint EM. Unless the regime says otherwise: 5000 rows, 10 "
            "Gaussian features, 3 linear experts of norm 1 and random direction, sigma 0.1, orthogonal gates of "
            "norm 2.",
            "",
            "Share of starts that end with a log-likelihood as good as EM from the truth (of what that gains over "
            f"linear regression, at least {100 * (1 - _TOLERANCE):.0f} %):",
            "",
            table_of(shares, 100, " %"),
            "",
            "Share of starts whose worst expert is at most 1 % farther from its true one than after EM from it:",
            "",
            table_of(errors, 100, " %"),
            "",
            "Median CPU time of one start, in milliseconds, one thread:",
            "",
            table_of(times, 1e3, ""),
            "",
            "By log-likelihood; within 5 points of the best share, and more than 20 points below it:",
            "",
            markdown_table(["regime", "best", "clearly worse"], wins),
        ]
    )


def _text(value: float, unit: float, name: str = "") -> str:
    return "-" if np.isnan(value) else f"{unit * value:.0f}{name}"


def _by_regime(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Return the mean (of seconds the median) by regime and method, both in the order of the table."""
    groups = table.groupby(["regime", "method"], sort=False)[value]
    wide = (groups.median() if value == "seconds" else groups.mean()).unstack()
    return wide.loc[list(table["regime"].unique()), list(table["method"].unique())]


def draw(table: pd.DataFrame) -> Mapping[str, Figure]:
    """Draw success and CPU time as maps, regimes against methods."""
    figure, axes = new_figure(1, 2, width=7.5, height=1.5 + 0.4 * table["regime"].nunique())
    shares, times = _by_regime(table, "same_likelihood"), _by_regime(table, "seconds")
    for panel, shown, colour, unit, title in (
        (axes[0, 0], shares, shares, 100, "% as good as EM from the truth"),
        (axes[0, 1], times, -np.log(times), 1e3, "CPU time, ms"),
    ):
        image = panel.imshow(colour, cmap="RdYlGn", aspect="auto", alpha=0.7)
        if shown is shares:
            image.set_clim(0.0, 1.0)
        panel.set_xticks(range(shown.shape[1]), shown.columns, rotation=35, ha="right")
        panel.set_yticks(range(len(shown)), shown.index)
        panel.set_title(title)
        for (i, j), value in np.ndenumerate(shown.to_numpy()):
            panel.text(j, i, _text(value, unit), ha="center", va="center", fontsize=9)
    return {"": figure}


EXPERIMENT = Experiment(
    "starts",
    "Where EM should start",
    (
        "regime",
        "seed",
        "method",
        "start",
        "error",
        "best_error",
        "gain",
        "same_error",
        "same_likelihood",
        "iterations",
        "seconds",
    ),
    cells,
    run,
    draw,
    report,
)
