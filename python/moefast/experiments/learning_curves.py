"""L4 + L_log against the squared error and the log-likelihood under stochastic gradients: error by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import linear_sum_assignment

from moefast import l4
from moefast._typing import Floats
from moefast.baselines.gradient_descent import fit_gradient_descent
from moefast.datasets import make_moe
from moefast.em.options import EmOptions
from moefast.experiments.cells import Cell, Row
from moefast.experiments.measures import gate_error, match_experts, unit_rows
from moefast.experiments.pictures import colours_of, new_figure, plot_band
from moefast.experiments.reporting import markdown_table, verdict
from moefast.experiments.runner import Experiment, Plan
from moefast.gating.fit import fit_gates
from moefast.mixture import Mixture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT"]


_FEATURES = 10
_NOISE = 0.1
_GOOD_COSINE = 0.99
# The share of starts that must come out well, by number of experts.
_WANTED = {2: 0.95, 3: 0.90}
_L4_SGD, _L4_TENSOR = "L4, whitened, SGD", "L4, whitened, second order"
_LOSSES: dict[str, Literal["l2", "nll"]] = {"squared error, SGD": "l2", "log-likelihood, SGD": "nll"}
_GATES = EmOptions(fit_intercept=False, fit_gate_intercept=False, n_threads=1)


def cells(plan: Plan) -> list[Cell]:
    """Return a cell for each data set."""
    sizes = {"n": 5000, "starts": 3, "epochs": 5} if plan.quick else {"n": 100_000, "starts": 20, "epochs": 30}
    return [{"k": k, **sizes, "seed": seed} for seed in plan.choose_seeds(20, 2) for k in (2, 3)]


def run(cell: Cell) -> list[Row]:
    """Follow all methods on one data set: random starts, the same number of epochs, batches of 1 % of the rows."""
    n, k, seed, starts, epochs = cell["n"], cell["k"], cell["seed"], cell["starts"], cell["epochs"]
    X, y, truth = make_moe(n, _FEATURES, k, noise=_NOISE, orthogonal_gate=True, random_state=seed)
    rows: list[Row] = []

    def record(method: str, epoch: int, coefs: npt.ArrayLike) -> None:
        rows.extend(
            {"method": method, "k": k, "seed": seed, "start": start, "epoch": epoch, **_worst_expert(coef, truth)}
            for start, coef in enumerate(np.asarray(coefs))
        )

    def record_mixtures(method: str, epoch: int, mixtures: list[Mixture]) -> None:
        record(method, epoch, [m.coef for m in mixtures])

    for method, solver in ((_L4_SGD, "sgd"), (_L4_TENSOR, "tensor")):
        found = l4.recover_experts(
            X,
            y,
            k,
            sigma=_NOISE,
            solver=solver,
            n_starts=starts,
            n_epochs=epochs,
            batch_size=n // 100,
            fit_intercept=False,
            on_epoch=partial(record, method),
            random_state=seed,
            n_threads=1,
        )
        if solver == "tensor":
            record(method, epochs, [r.coef for r in found.runs])
        gates = fit_gates(X, y, found, sigma=_NOISE, method="gradient", options=_GATES)
        rows[found.best - starts]["gate_error"] = gate_error(gates.mixture, truth)
    for method, loss in _LOSSES.items():
        fit = fit_gradient_descent(
            X,
            y,
            k,
            loss=loss,
            n_epochs=epochs,
            batch_size=n // 100,
            n_starts=starts,
            sigma=_NOISE,
            fit_intercept=False,
            fit_gate_intercept=False,
            on_epoch=partial(record_mixtures, method),
            random_state=seed,
        )
        rows[fit.best - starts]["gate_error"] = gate_error(fit.mixture, truth)
    return rows


def _worst_expert(coef: Floats, truth: Mixture) -> Row:
    """Return the largest distance of an expert from its true one, the smallest |cos| and whether all signs fit."""
    error = np.linalg.norm(coef[match_experts(coef, truth.coef)] - truth.coef, axis=1).max()
    cosines = unit_rows(coef) @ unit_rows(truth.coef).T
    matched = cosines[linear_sum_assignment(-np.abs(cosines))]
    # 7 digits: there are many thousand rows
    return {
        "error": float(f"{error:.6e}"),
        "cosine": float(f"{np.abs(matched).min():.6e}"),
        "signs": bool((matched > 0).all()),
    }


def report(table: pd.DataFrame) -> str:
    """Return where all starts end, and what is met."""
    last = table[table["epoch"] == table["epoch"].max()].assign(
        good=lambda t: (t["cosine"] > _GOOD_COSINE) & t["signs"]
    )
    lines, verdicts = [], []
    for k, method in product(sorted(last["k"].unique()), last["method"].unique()):
        mine = last[(last["k"] == k) & (last["method"] == method)]
        good, signs = float(mine["good"].mean()), float(mine["signs"][mine["cosine"] > _GOOD_COSINE].mean())
        best = mine.dropna(subset="gate_error")
        lines.append(
            [
                k,
                method,
                f"{100 * good:.1f} %",
                *np.quantile(mine["error"], [0.25, 0.5, 0.75]),
                float(best["error"].median()),
                float(best["gate_error"].median()),
            ]
        )
        if method in (_L4_SGD, _L4_TENSOR):
            share = float((mine["cosine"] > _GOOD_COSINE).mean())
            verdicts.append(
                verdict(
                    share >= _WANTED[k] and signs == 1.0,
                    f"{method}, k = {k}: |cos| > {_GOOD_COSINE} in {100 * share:.1f} % of {len(mine)} starts "
                    f"({100 * _WANTED[k]:.0f} %), of these {100 * signs if share else 0:.1f} % with right signs",
                )
            )
    header = [
        "experts",
        "method",
        f"cos > {_GOOD_COSINE}",
        "error, 25 %",
        "50 %",
        "75 %",
        "best start",
        "its gates",
    ]
    return "\n".join(
        [
            f"Linear experts, sigma {_NOISE} (known), {_FEATURES} features, orthogonal gates. "
            f"{last['seed'].nunique()} data sets x {last['start'].nunique()} random starts, {last['epoch'].max()} "
            "epochs, batches of a hundredth of the rows. Error: distance of the worst expert from its true one "
            "(norm 1); quartiles over all starts, and the median over data sets of the start of lowest loss. "
            "Its gates: their relative error; for L4 by gradient descent on L_log with the experts frozen.",
            "",
            markdown_table(header, lines),
            "",
            *verdicts,
        ]
    )


def draw(table: pd.DataFrame) -> Mapping[str, Figure]:
    """Draw error by epoch, median and quartiles over starts and data sets."""
    counts = sorted(table["k"].unique())
    figure, axes = new_figure(1, len(counts), width=6, height=4.5, sharey=True)
    methods = [_L4_SGD, *_LOSSES, _L4_TENSOR]
    colours = colours_of(methods)
    for k, panel in zip(counts, axes[0], strict=True):
        here = table[table["k"] == k]
        for method in methods[:-1]:
            mine = here[here["method"] == method]
            plot_band(panel, mine, "epoch", "error", label=method, color=colours[method])
        end = here[here["method"] == _L4_TENSOR]["error"].median()
        panel.axhline(end, color=colours[_L4_TENSOR], linestyle="--", label=f"{_L4_TENSOR} (end)")
        panel.set(xlabel="epoch", yscale="log", title=f"{k} experts")
        panel.grid(alpha=0.3)
    axes[0, 0].set_ylabel("error of the worst expert")
    axes[0, -1].legend(fontsize=8)
    return {"": figure}


EXPERIMENT = Experiment(
    "learning-curves",
    "L4 against squared error and log-likelihood under stochastic gradients",
    ("method", "k", "seed", "start", "epoch", "error", "cosine", "signs", "gate_error"),
    cells,
    run,
    draw,
    report,
)
