"""Pictures show what the model says, and survive odd data."""

import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from moefast import HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.plotting import (
    plot_calibration,
    plot_coefficients,
    plot_experts,
    plot_explained,
    plot_fit,
    plot_gates,
    plot_laws,
    plot_quantile_residuals,
    plot_residuals,
    plot_search,
)


def _fitted(n, d, k, seed=0):
    X, y, _ = make_moe(n, d, k, expert_intercept=1.0, random_state=seed)
    return MixtureOfExpertsRegressor(k, random_state=0).fit(X, y), X, y


@pytest.mark.parametrize(("d", "k"), [(3, 4), (20, 2), (2, 1)])
def test_panels_hold_the_models_numbers(d, k):
    model, X, y = _fitted(600, d, k)
    left, middle, right = plot_experts(model, X, y).axes
    points = np.vstack([collection.get_offsets() for collection in left.collections])
    # every row lies on the line of its most responsible expert
    own = model.mixture_.expert_means(X)[np.arange(len(y)), model.responsibilities(X, y).argmax(axis=1)]
    inside = np.sort(points[:, 1])
    np.testing.assert_allclose(inside, np.clip(np.sort(y), *left.get_ylim()))
    np.testing.assert_allclose(np.sort(points[:, 0]), np.clip(np.sort(own), *left.get_xlim()))
    effects = model.coef_ * X.std(axis=0)
    kept = np.argsort(np.abs(effects).max(axis=0))[::-1][:12]
    marks = np.concatenate([line.get_xdata() for line in middle.lines if line.get_marker() == "o"])
    np.testing.assert_allclose(np.sort(marks), np.sort(effects[:, kept].ravel()))
    tops = right.collections[-1].get_paths()[0].vertices[:, 1].max()
    assert tops == pytest.approx(1.0)  # the gates add up to one
    for ax in (left, middle, right):
        assert len(ax.get_legend().get_texts()) == k + (ax is right)


def test_one_feature_is_drawn_as_a_fit():
    model, X, y = _fitted(300, 1, 2)
    above, below = plot_experts(model, X, y).axes
    assert above.get_ylabel() == "y"
    assert below.get_ylabel() == "gate"


def test_a_tree_of_gates_shows_its_leaves():
    X, y, _ = make_moe(600, 3, 4, random_state=0)
    model = HierarchicalMixtureOfExpertsRegressor((2, 2), random_state=0).fit(X, y)
    left, middle, right = plot_experts(model, X, y).axes
    texts = [text.get_text() for text in middle.get_legend().get_texts()]
    assert texts == ["expert 0.0", "expert 0.1", "expert 1.0", "expert 1.1"]
    assert len(right.collections) == 4
    assert [text.get_text().split(":")[0] for text in left.get_legend().get_texts()] == texts


def test_constant_and_discrete_features():
    """Quantile groups of a feature with one or two values must not break the picture."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 2, 300), np.full(300, 7.0)]).astype(float)
    y = X[:, 0] * 3 + rng.normal(size=300)
    with pytest.warns(UserWarning, match="constant"):
        model = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    assert len(plot_experts(model, X, y).axes) == 3
    assert len(plot_gates(model, X, 1).containers) == 2


@pytest.mark.parametrize("n_init", ["auto", 4])
def test_the_search_shows_every_start_and_climb(n_init):
    X, y, _ = make_moe(300, 3, 3, noise=0.4, gate_scale=5.0, random_state=1)
    model = MixtureOfExpertsRegressor(3, n_init=n_init, random_state=0).fit(X, y)
    report = model.fit_report_
    left, right = plot_search(model).axes
    kinds = [label.get_text() for label in left.get_yticklabels()]
    markers = {"o": "", "^": "other noise", "s": "annealed"}
    shown = sorted(
        ((kinds[int(line.get_ydata()[0])], markers[line.get_marker()]), float(line.get_xdata()[0]))
        for line in left.lines
        if len(line.get_xdata())
    )
    below = sorted(
        ((s.kind, s.detour), max(0.01, model.log_likelihood_ - s.log_likelihood)) for s in report.starts
    )
    assert [kind for kind, _ in shown] == [kind for kind, _ in below]
    np.testing.assert_allclose([gap for _, gap in shown], [gap for _, gap in below])
    ends = [line.get_ydata() for line in right.lines if line.get_marker() == "<"]
    assert len(ends) == bool(report.climbs)
    texts = [text.get_text() for text in left.get_legend().get_texts()]
    assert len(texts) == len({(s.detour, bool(s.collapsed)) for s in report.starts})
    if ends:
        gaps = [max(0.01, model.log_likelihood_ - climb.log_likelihood) for climb in report.climbs]
        np.testing.assert_allclose(ends[0], gaps)


def test_the_format_follows_the_ending_and_failures_leave_nothing(tmp_path):
    model, X, y = _fitted(200, 2, 2)
    plot_experts(model, X, y, path=tmp_path / "picture.svg")
    assert (tmp_path / "picture.svg").read_text().lstrip().startswith("<?xml")
    with pytest.raises(ValueError, match="nonsense"):
        plot_experts(model, X, y, path=tmp_path / "picture.nonsense")
    assert [p.name for p in tmp_path.iterdir()] == ["picture.svg"]


PANELS = [plot_laws, plot_calibration, plot_explained, plot_residuals, plot_quantile_residuals]


@pytest.mark.parametrize("draw", [*PANELS, plot_gates, plot_coefficients])
def test_axes_go_in_and_come_out(draw):
    model, X, y = _fitted(100, 1, 2)
    data = (X, y) if draw in PANELS else (X,)
    ax = Figure().subplots()
    assert draw(model, *data, ax=ax) is ax
    ax.figure.canvas.draw()
    new = draw(model, *data)
    assert new is not ax
    assert new.get_legend() is not None
    assert new.figure.get_layout_engine() is not None  # makes room for the legend


def test_a_small_experts_legend_says_when_rows_were_left_out():
    model, X, y = _fitted(6000, 1, 2)
    for draw in (plot_laws, plot_explained, plot_residuals):
        title = draw(model, X, y).get_legend().get_title().get_text()
        assert title.endswith("of 6000 rows shown")


@pytest.mark.parametrize(
    "draw", [*PANELS, plot_gates, plot_coefficients, plot_fit, plot_experts, plot_search], ids=lambda f: f.__name__
)
def test_without_matplotlib_it_says_how_to_get_it(draw, monkeypatch):
    model, X, y = _fitted(100, 1, 2)
    data = {plot_search: (), plot_gates: (X,), plot_coefficients: (X,)}.get(draw, (X, y))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "moefast\[plot\]"'):
        draw(model, *data)
