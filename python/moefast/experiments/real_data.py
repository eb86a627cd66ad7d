"""Real data: held-out likelihood and R^2 of moefast against linear regression and EM from one random start."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from moefast._typing import Floats
from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.experiments.cells import Cell, Row
from moefast.experiments.pictures import colours_of, new_figure
from moefast.experiments.reporting import markdown_table
from moefast.experiments.runner import Experiment, Plan
from moefast.io.tables import read_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT"]


_FOLDS = 5
_BUNDLED = "diabetes (scikit-learn)"
_LINEAR = "linear regression"
_METHODS: dict[str, dict[str, Any]] = {
    "moefast": {},
    "EM, one random start": {"start": "random", "n_init": 1},
}


def cells(plan: Plan) -> list[Cell]:
    """Return a cell for each table, number of experts and shuffle of the rows."""
    sources: list[dict[str, str]] = [
        {
            "file": str(data.path.resolve()),
            "target": data.target,
            "checksum": hashlib.sha256(data.path.read_bytes()).hexdigest(),
        }
        for data in plan.data
    ]
    for source, data in zip(sources, plan.data, strict=True):
        _read(data.path, data.target)  # raises before the work begins
        if [s["file"] for s in sources].count(source["file"]) > 1:
            raise ValueError(f"data: {data.path} is given more than once")
    return [
        {**source, "k": k, "seed": seed}
        for source in sources or [{"file": "", "target": "", "checksum": ""}]
        for seed in plan.choose_seeds(5, 1)
        for k in range(1, 3 if plan.quick else 6)
    ]


def run(cell: Cell) -> list[Row]:
    """Cross-validate every method with k experts; k = 1 is linear regression, the same for all."""
    name, X, y = _table(cell)
    k, seed = cell["k"], cell["seed"]
    rows = []
    for fold, (train, test) in enumerate(KFold(_FOLDS, shuffle=True, random_state=seed).split(X)):
        for method, options in _METHODS.items() if k > 1 else [(_LINEAR, {})]:
            model = MixtureOfExpertsRegressor(k, random_state=seed, n_threads=1, **options).fit(X[train], y[train])
            unit = float(np.log(y.std()))
            rows.append(
                {
                    "data": name,
                    "rows": len(y),
                    "features": X.shape[1],
                    "method": method,
                    "k": k,
                    "seed": seed,
                    "fold": fold,
                    "training": model.log_likelihood_ / len(train) + unit,
                    "held_out": float(model.score_samples(X[test], y[test]).mean()) + unit,
                    "r2": float(r2_score(y[test], model.predict(X[test]))),
                    "collapsed": len(model.fit_report_.collapsed),
                }
            )
    return rows


def _table(cell: Cell) -> tuple[str, Floats, Floats]:
    if not cell["file"]:
        X, y = load_diabetes(return_X_y=True)
        return _BUNDLED, np.asarray(X), np.asarray(y)
    return Path(cell["file"]).stem, *_read(Path(cell["file"]), cell["target"])


def _read(path: Path, target: str) -> tuple[Floats, Floats]:
    """Return the features and the response of a table.

    Raises
    ------
    ValueError
        When a column is not numeric or missing, or there is nothing to learn or to validate.
    """
    read = read_table(path)
    table = read.numeric([*read.columns, *({target} - set(read.columns))])
    y = table.pop(target).to_numpy()
    if table.shape[1] == 0:
        raise ValueError(f"{path} has no column left for a feature beside {target!r}")
    if len(y) < 2 * _FOLDS:
        raise ValueError(f"{path} has {len(y)} rows; {_FOLDS} folds need at least {2 * _FOLDS}")
    if (y == y[0]).all():
        raise ValueError(f"{path}: column {target!r} is constant, there is nothing to predict")
    return table.to_numpy(), y


def report(table: pd.DataFrame) -> str:
    """Return the means by method and number of experts, and in how many folds moefast does better."""
    parts = [
        f"{_FOLDS}-fold cross-validation, {table['seed'].nunique()} shuffles. Log-likelihood: natural log, mean "
        "over rows, with the response in standard deviations; +- is the standard deviation over shuffles."
    ]
    values = ["training", "held_out", "r2"]
    for name in table["data"].unique():
        group = table[table["data"] == name]
        lines, best = [], (-np.inf, "")
        for k, method in group[["k", "method"]].drop_duplicates().itertuples(index=False):
            mine = group[(group["k"] == k) & (group["method"] == method)]
            means = mine.groupby("seed")[values].mean()
            spread = means.std().fillna(0.0)
            figures = [f"{means[value].mean():.3f} +- {spread[value]:.3f}" for value in values]
            lines.append([k, method, *figures, mine["collapsed"].mean()])
            best = max(best, (float(means["held_out"].mean()), f"{method}, k = {k}"))
        header = [
            "experts",
            "method",
            "training log-likelihood",
            "held-out log-likelihood",
            "held-out R^2",
            "collapsed",
        ]
        wide = group.pivot_table(index=["seed", "fold"], columns=["method", "k"], values="held_out")
        parts += [
            "",
            f"## {name}: {group['rows'].iloc[0]} rows, {group['features'].iloc[0]} features",
            "",
            markdown_table(header, lines),
            "",
            f"- the highest held-out likelihood: {best[1]}",
            *(
                f"- moefast, k = {k}: higher held-out likelihood than {other[0]} in {_wins(wide, k, other)}"
                for k in sorted(set(group["k"]) - {1})
                for other in ((_LINEAR, 1), *((method, k) for method in _METHODS if method != "moefast"))
            ),
        ]
    return "\n".join(parts)


def _wins(wide: pd.DataFrame, k: int, other: tuple[str, int]) -> str:
    """Say in how many folds moefast does better and in how many the same, to 1e-3."""
    gain = wide["moefast", k] - wide[other]
    return f"{int((gain > 1e-3).sum())} of {len(gain)} folds ({int((gain.abs() <= 1e-3).sum())} equal)"


def draw(table: pd.DataFrame) -> Mapping[str, Figure]:
    """Draw held-out likelihood and R^2 against the number of experts: a row of panels for each table."""
    names = list(table["data"].unique())
    methods = [_LINEAR, *_METHODS]
    colours = colours_of(methods)
    figure, axes = new_figure(len(names), 2, height=3.6)
    for name, line in zip(names, axes, strict=True):
        here = table[table["data"] == name]
        for panel, value, label in zip(
            line, ("held_out", "r2"), ("held-out log-likelihood a row", "held-out R^2"), strict=True
        ):
            by_seed = here.groupby(["method", "k", "seed"])[value].mean().unstack("seed")
            baseline = by_seed.loc[_LINEAR].to_numpy().mean()
            panel.axhline(baseline, color=colours[_LINEAR], linestyle="--", label=_LINEAR)
            for shift, method in zip((-0.06, 0.06), _METHODS, strict=True):
                mine = by_seed.loc[method]
                centre, width = mine.mean(axis=1), mine.std(axis=1).fillna(0.0)
                panel.errorbar(
                    mine.index + shift,
                    centre,
                    yerr=width,
                    fmt="o-",
                    capsize=3,
                    label=method,
                    color=colours[method],
                )
            # One start that went wrong would leave no room for the others.
            centres = by_seed.mean(axis=1)
            low, high = centres.min(), centres.max()
            floor = max(low, centres.median() - 10 * (high - centres.median() + 1e-3))
            panel.set_ylim(floor - 0.1 * (high - floor + 1e-3), high + 0.15 * (high - floor + 1e-3))
            panel.set(xlabel="experts", ylabel=label, title=name, xticks=sorted(here["k"].unique())[1:])
            panel.grid(alpha=0.3)
        line[0].legend(fontsize=8)
    return {"": figure}


EXPERIMENT = Experiment(
    "real-data",
    "Held-out likelihood on real data",
    ("data", "rows", "features", "method", "k", "seed", "fold", "training", "held_out", "r2", "collapsed"),
    cells,
    run,
    draw,
    report,
)
