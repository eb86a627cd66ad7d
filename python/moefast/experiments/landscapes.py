"""Loss landscapes along planes through the truth: L4 raw and whitened, squared error, likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import minimum_filter

from moefast._typing import Floats
from moefast.datasets import random_mixture
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.experiments.cells import Cell, Row
from moefast.experiments.measures import unit_rows
from moefast.experiments.pictures import new_figure
from moefast.experiments.reporting import markdown_table, verdict
from moefast.experiments.runner import Experiment, Plan
from moefast.gating.fit import gates_of_problem
from moefast.l4.loss import L4Loss
from moefast.mixture import Mixture
from moefast.moments.accumulator import MomentAccumulator
from moefast.moments.scores import ScoreMoments
from moefast.samples import Samples
from moefast.spectral.whitening import subspace_whitening
from moefast.transforms.polynomial import quadratic_transform, quartic_transform

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT"]


_FEATURES = 10
_NOISE = 0.1
# Degrees between the two experts; at 90 there would be nothing to whiten.
_BETWEEN = 60.0
_MU, _LAM = 0.5, 2.0
# How far the second plane reaches.
_REACH = 1.5
# A minimum of the grid counts as the truth when it is no farther from it than this many steps in each direction.
_NEAR = 1.01


@dataclass(frozen=True)
class Loss:
    """A loss, and the plane it is shown on.

    Attributes
    ----------
    kind : {"L4", "squared error", "likelihood"}
    whitened : bool
        L4 in the coordinates that T2 whitens.
    gates : {"true", "equal", "best"}, optional
        Those the experts are given; "best" ones are fitted for each pair of experts. L4 knows none.
    leaves_span : bool
        The plane is that of the second expert, along itself and out of the span of both, in place of the angles of
        both within it.
    """

    kind: Literal["L4", "squared error", "likelihood"]
    whitened: bool = False
    gates: Literal["true", "equal", "best"] | None = None
    leaves_span: bool = False


_LOSSES = {
    "L4, whitened": Loss("L4", whitened=True),
    "L4, raw": Loss("L4"),
    "L4, raw, leaving the span": Loss("L4", leaves_span=True),
    "squared error, leaving the span": Loss("squared error", gates="true", leaves_span=True),
    "squared error, true gates": Loss("squared error", gates="true"),
    "squared error, equal gates": Loss("squared error", gates="equal"),
    "likelihood, true gates": Loss("likelihood", gates="true"),
    "likelihood, best gates": Loss("likelihood", gates="best"),
}


def cells(plan: Plan) -> list[Cell]:
    """Return a cell for each loss."""
    steps, n, n_likelihood = (12, 20_000, 400) if plan.quick else (36, 200_000, 3000)
    return [
        {"loss": loss, "steps": steps, "n": n, "n_likelihood": n_likelihood, "seed": seed}
        for seed in plan.choose_seeds(1, 1)
        for loss in _LOSSES
    ]


def run(cell: Cell) -> list[Row]:
    """Evaluate one loss on a grid of its plane."""
    loss, rng = _LOSSES[cell["loss"]], np.random.default_rng(cell["seed"])
    X = rng.normal(size=(cell["n"], _FEATURES))
    # x has the same law in every direction, so the experts may lie in the plane of the first two.
    coef = np.zeros((2, _FEATURES))
    coef[:, :2] = _at(np.array([0.0, _BETWEEN]))
    truth = replace(random_mixture(_FEATURES, 2, noise=_NOISE, random_state=rng), coef=coef)
    truth.gate_coef[0, :2] = 0.0
    y = truth.draw(X, rng)
    u, v = _grid(loss, cell["steps"])
    if loss.kind == "L4":
        values = _l4_values(loss, X, y, truth, u, v)
    elif loss.kind == "squared error":
        values = _squared_error(loss, X, y, truth, u, v)
    else:
        n = cell["n_likelihood"]
        values = _minus_log_likelihood(loss, X[:n], y[:n], truth, u)
    truths = _truths(loss)
    near = min_distance(np.stack(np.meshgrid(u, v, indexing="ij"), axis=-1), truths, loss) <= _NEAR * (u[1] - u[0])
    minima = _local_minima(values, periodic=not loss.leaves_span)
    return [
        {
            "loss": cell["loss"],
            "seed": cell["seed"],
            "u": float(u[i]),
            "v": float(v[j]),
            "value": float(values[i, j]),
            "minimum": bool(minima[i, j]),
            "true": bool(near[i, j]),
        }
        for i in range(len(u))
        for j in range(len(v))
    ]


def _at(degrees: Floats) -> Floats:
    """Return the unit vectors of a plane at these angles, shape (.., 2)."""
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=-1)


def _grid(loss: Loss, steps: int) -> tuple[Floats, Floats]:
    """Return the coordinates of the grid: angles of both experts, or (s, t) of s a_2 + t e, the second expert."""
    if not loss.leaves_span:
        angles = np.asarray(-180.0 + 360.0 / steps * np.arange(steps))
        return angles, angles
    line = np.asarray(np.linspace(-_REACH, _REACH, steps + 1))
    return line, line


def _truths(loss: Loss) -> list[tuple[float, float]]:
    """Return where the experts are, in both orders unless the gates tell them apart, and for L4 with all signs."""
    second = 90.0 if loss.whitened else _BETWEEN
    flips = (0.0, 180.0) if loss.kind == "L4" else (0.0,)
    if loss.leaves_span:
        return [(1.0, 0.0), (-1.0, 0.0)][: len(flips)]
    pairs = [(0.0, second)] if loss.gates == "true" else [(0.0, second), (second, 0.0)]
    turned = [(a + f, b + g) for a, b in pairs for f in flips for g in flips]
    return [((a + 180.0) % 360.0 - 180.0, (b + 180.0) % 360.0 - 180.0) for a, b in turned]


def min_distance(points: Floats, truths: list[tuple[float, float]], loss: Loss) -> Floats:
    """Return the distance (the larger coordinate's) of points, shape (.., 2), from the nearest truth."""
    apart = np.abs(points[..., None, :] - np.array(truths))
    if not loss.leaves_span:
        apart = np.minimum(apart, 360.0 - apart)
    return np.asarray(apart.max(axis=-1).min(axis=-1))


def _local_minima(values: Floats, periodic: bool) -> npt.NDArray[np.bool_]:
    """Return where a value is below those of its eight neighbours."""
    around = np.ones((3, 3), dtype=bool)
    around[1, 1] = False
    lowest = minimum_filter(values, footprint=around, mode="wrap" if periodic else "constant", cval=np.inf)
    return np.asarray(values < lowest)


def _l4_values(loss: Loss, X: Floats, y: Floats, truth: Mixture, u: Floats, v: Floats) -> Floats:
    moments = MomentAccumulator(_FEATURES, 4, n_threads=1).update(X, y).score_moments()
    if loss.whitened:
        tensor, basis = _whitened_tensor(moments, truth)
    else:
        basis = np.eye(3 if loss.leaves_span else 2)
        # z = L'x: directions W of z are those B of x when L W = B.
        W = np.linalg.lstsq(moments.whitening, np.eye(_FEATURES, len(basis)), rcond=None)[0]
        tensor = _fourth(moments, truth, np.asarray(W, dtype=np.float64))
    if not loss.leaves_span:
        first, second = (_at(u) @ basis)[:, None], _at(v) @ basis
    else:
        first = basis[0]
        a2 = np.append(_at(np.asarray(_BETWEEN)), 0.0)
        second = np.multiply.outer(u, a2)[:, None] + np.multiply.outer(v, basis[2])
    pairs = np.stack(np.broadcast_arrays(first, second), axis=-2)
    return np.asarray(L4Loss(tensor, _MU, _LAM).value(pairs))


def _fourth(moments: ScoreMoments, truth: Mixture, directions: Floats) -> Floats:
    transform = quartic_transform(truth.link, _NOISE)
    return np.asarray(moments.score_tensor(4, transform, directions) / transform.constant)


def _whitened_tensor(moments: ScoreMoments, truth: Mixture) -> tuple[Floats, Floats]:
    """Return T4 in the coordinates that T2 whitens, and a basis there whose first vector is the first expert."""
    transform = quadratic_transform(truth.link, _NOISE)
    T2 = moments.score_tensor(2, transform) / transform.constant
    W, back, _ = subspace_whitening(T2, 2)
    whitened = np.linalg.lstsq(moments.whitening, truth.coef.T, rcond=None)[0]
    directions = unit_rows(np.linalg.lstsq(back, whitened, rcond=None)[0].T)
    first = np.asarray(directions[0])
    across = np.array([-first[1], first[0]])
    return _fourth(moments, truth, W), np.stack([first, across * np.sign(across @ directions[1])])


def _means(X: Floats, degrees: Floats) -> Floats:
    """Return the predictions of linear experts at these angles, shape (n, m)."""
    return np.asarray(X[:, :2] @ _at(degrees).T)


def _squared_error(loss: Loss, X: Floats, y: Floats, truth: Mixture, u: Floats, v: Floats) -> Floats:
    p = np.full((len(y), 2), 0.5) if loss.gates == "equal" else truth.gates(X)
    if not loss.leaves_span:
        first, second = p[:, :1] * _means(X, u), p[:, 1:] * _means(X, v)
    else:  # the first expert is right; s a_2 and t e add up
        y = y - p[:, 0] * truth.expert_means(X)[:, 0]
        first = np.multiply.outer(p[:, 1] * truth.expert_means(X)[:, 1], u)
        second = np.multiply.outer(p[:, 1] * X[:, 2], v)
    # mean (y - f_i - g_j)^2, f and g from the two coordinates
    own = [(part**2).mean(axis=0) - 2.0 * (y @ part) / len(y) for part in (first, second)]
    return np.asarray((y**2).mean() + np.add.outer(*own) + 2.0 * (first.T @ second) / len(y))


def _minus_log_likelihood(loss: Loss, X: Floats, y: Floats, truth: Mixture, u: Floats) -> Floats:
    if loss.gates == "best":
        options = EmOptions(fit_intercept=False, fit_gate_intercept=False, max_iter=50, tol=1e-6, n_threads=1)
        problem = EmProblem(Samples(X, y, np.ones(len(y))), options)
        values = np.empty((len(u), len(u)))
        for i, first in enumerate(u):
            for j in range(i + 1):  # the gates are free: the order of the experts does not matter
                coef = np.zeros_like(truth.coef)
                coef[:, :2] = _at(np.array([first, u[j]]))
                fit = gates_of_problem(problem, X, replace(truth, coef=coef), _NOISE, update_noise=False)
                values[i, j] = values[j, i] = -fit.log_likelihood / len(y)
        return values
    log_p = truth.log_gates(X)
    log_normal = -0.5 * ((y[:, None] - _means(X, u)) / _NOISE) ** 2 - np.log(_NOISE * np.sqrt(2.0 * np.pi))
    second = log_p[:, 1:] + log_normal
    return np.stack([-np.logaddexp(f[:, None], second).mean(axis=0) for f in (log_p[:, :1] + log_normal).T])


def report(table: pd.DataFrame) -> str:
    """Return how many minima each loss has, and where."""
    lines, found = [], {}
    for loss in table["loss"].unique():
        group = table[table["loss"] == loss].reset_index(drop=True)
        minima = group[group["minimum"]]
        lowest = group.iloc[int(group["value"].argmin())]
        found[loss] = (len(minima), int((minima["true"] & minima["minimum"]).sum()), bool(lowest["true"]))
        lines.append(
            [loss, len(minima), found[loss][1], len(minima) - found[loss][1], "yes" if lowest["true"] else "no"]
        )
    total, true, lowest_true = found["L4, whitened"]
    return "\n".join(
        [
            f"Two linear experts {_BETWEEN:g} degrees apart among {_FEATURES} features, sigma {_NOISE}, "
            "orthogonal gate. Planes: the angles of both experts within their span; or the second expert at s a2 "
            f"+ t e with e orthogonal to both. L4 from sample tensors, mu {_MU}, lambda {_LAM:g}. Minima are "
            "those of the grid: points below their eight neighbours.",
            "",
            markdown_table(
                ["loss", "minima", "at the truth", "elsewhere", "is the lowest point the truth?"], lines
            ),
            "",
            verdict(
                lowest_true and total == true == 8,
                f"whitened L4 has {total} minima, {true} of them the experts (with signs and order: 8)",
            ),
        ]
    )


def draw(table: pd.DataFrame) -> Mapping[str, Figure]:
    """Draw each loss as contours with its minima and the truth."""
    names = list(table["loss"].unique())
    figure, axes = new_figure(2, (len(names) + 1) // 2, width=4.6)
    for panel, name in zip(axes.flat, names, strict=False):
        loss = _LOSSES[name]
        here = table[(table["loss"] == name) & (table["seed"] == table["seed"].min())]
        grid = here.pivot(index="v", columns="u", values="value")
        if not loss.leaves_span:  # close the circles
            grid[180.0] = grid[-180.0]
            grid.loc[180.0] = grid.loc[-180.0]
        height = np.sqrt(grid - grid.min(axis=None))  # flat in the depths without the root
        filled = panel.contourf(grid.columns, grid.index, height, levels=24, cmap="viridis")
        panel.contour(grid.columns, grid.index, height, levels=24, colors="white", linewidths=0.3, alpha=0.6)
        figure.colorbar(filled, ax=panel, shrink=0.85)
        minima = here[here["minimum"]]
        panel.plot(
            minima["u"], minima["v"], "o", color="white", markersize=5, markeredgecolor="black", label="minimum"
        )
        truths = np.array(_truths(loss))
        panel.plot(*truths.T, "x", color="red", markersize=8, markeredgewidth=2, label="truth")
        if not loss.leaves_span:
            panel.set(xlabel="angle of expert 1", ylabel="angle of expert 2", xticks=range(-180, 181, 90))
            panel.set_yticks(range(-180, 181, 90))
        else:
            panel.set(xlabel="s: along the second expert", ylabel="t: out of the span")
        panel.set_title(name, fontsize=10)
        panel.set_aspect("equal")
    axes[0, 0].legend(fontsize=8, loc="upper right")
    figure.suptitle("Colour: root of the loss above its lowest point; angles in degrees")
    return {"": figure}


EXPERIMENT = Experiment(
    "landscapes",
    "Loss landscapes along planes through the truth",
    ("loss", "seed", "u", "v", "value", "minimum", "true"),
    cells,
    run,
    draw,
    report,
)
