"""y against the only feature: lines are the laws, points have the colours of whose they are."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from moefast import DegenerateDataWarning, HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.plotting import plot_fit, plot_laws
from moefast.plotting.style import Experts, Rows, limits


def steps(n=400, seed=0):
    """Three laws on three intervals."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 3, n)
    y = np.choose(x.astype(int), [x, 5 - 3 * x, 0.5 * x]) + np.choose(
        x.astype(int), [0.05, 0.3, 0.1]
    ) * rng.normal(size=n)
    return pd.DataFrame({"time": x}), pd.Series(y, name="force")


@pytest.fixture(scope="module")
def data():
    return steps()


@pytest.fixture(scope="module")
def model(data):
    with pytest.warns(DegenerateDataWarning, match="separated"):
        return MixtureOfExpertsRegressor(3, random_state=0).fit(*data)


def lines_by_label(ax):
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_lines_are_the_laws_where_the_gates_let_them_apply(model, data):
    ax = plot_laws(model, *data)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time", "force")
    lines = lines_by_label(ax)
    assert list(lines) != []
    for i in range(3):
        (label,) = (name for name in lines if name.startswith(f"expert {i}: "))
        assert label == f"expert {i}: {model.shares_[i]:.0%}, sigma {model.sigma_[i]:.3g}"
        x, y = lines[label].get_data()
        applies = model.mixture_.gates(x[:, None])[:, i] >= 0.05
        law = model.coef_[i, 0] * x + model.intercept_[i]
        np.testing.assert_allclose(y[applies], law[applies], rtol=1e-12)
        assert np.isnan(y[~applies]).all()
    assert legend_texts(ax) == sorted(lines)  # expert 0 first, whatever was drawn first


def test_bands_are_two_standard_deviations(model, data):
    ax = plot_laws(model, *data)
    bands = [c for c in ax.collections if type(c).__name__ != "PathCollection"]
    assert len(bands) == 3
    for band, i in zip(bands, np.argsort(-model.shares_), strict=True):
        for path in band.get_paths():
            x, y = path.vertices.T
            away = np.abs(y - (model.coef_[i, 0] * x + model.intercept_[i]))
            np.testing.assert_allclose(away, 2 * model.sigma_[i], rtol=1e-9)


def test_points_have_the_mixed_colours_of_the_experts(model, data):
    X, y = data
    (points,) = (c for c in plot_laws(model, X, y).collections if type(c).__name__ == "PathCollection")
    shown = np.asarray(points.get_offsets())
    rows = {(a, b): n for n, (a, b) in enumerate(zip(X["time"], y, strict=True))}
    index = [rows[a, b] for a, b in shown]
    assert sorted(index) == list(range(len(y)))
    mixed = model.responsibilities(X, y)[index] @ Experts.of(model).colours
    np.testing.assert_allclose(points.get_facecolors()[:, :3], mixed, atol=1e-12)


def test_rows_of_small_experts_are_drawn_last_and_none_is_lost():
    r = np.zeros((100_000, 3))
    owner = np.random.default_rng(0).choice(3, 100_000, p=[0.6, 0.399, 0.001])
    r[np.arange(100_000), owner] = 1.0
    experts = Experts(("a", "b", "c"), np.zeros((3, 3)), np.array([1, 0, 2]))
    rows = Rows.of(r, experts)
    drawn = owner[rows.index]
    assert (np.diff([{1: 0, 0: 1, 2: 2}[i] for i in drawn]) >= 0).all()
    assert (drawn == 2).sum() == (owner == 2).sum()  # fewer than 200: all of them
    assert 4900 < len(drawn) < 5200
    assert rows.note == f"{len(drawn)} of 100000 rows shown"
    assert len(set(rows.index)) == len(rows.index)
    few = Rows.of(r[:3000], experts)
    assert sorted(few.index) == list(range(3000))
    assert few.note is None


def test_limits_leave_far_outliers_out():
    values = np.random.default_rng(0).normal(size=1000)
    low, high = limits(values)
    assert low < values.min() < values.max() < high
    low, high = limits(np.append(values, 1e6))
    assert high < 10
    assert low < values.min()
    assert limits(np.full(5, 7.0))[0] < 7 < limits(np.full(5, 7.0))[1]
    low, high = limits(np.array([0.0, 1.0]))
    assert (low, high) == pytest.approx((-0.04, 1.04))


def test_rows_outside_are_marked_at_the_edge(model, data):
    X, y = data
    y = y.copy()
    y[[3, 7]] = 1e4, -1e4
    ax = plot_laws(model, X, y)
    assert "outside the panel: 2 rows" in legend_texts(ax)
    (marks,) = (c for c in ax.collections if c.get_label() == "outside the panel: 2 rows")
    np.testing.assert_allclose(sorted(np.asarray(marks.get_offsets())[:, 1]), ax.get_ylim())
    assert ax.get_ylim()[1] < 100


def test_a_fit_is_laws_above_gates_on_one_axis(model, data):
    above, below = plot_fit(model, *data)
    assert above.get_xlim() == below.get_xlim()
    assert above.get_xlabel() == ""
    assert below.get_xlabel() == "time"
    assert len(legend_texts(below)) == 4
    figure = Figure()
    axes = figure.subplots(2)
    assert plot_fit(model, *data, axes=axes) is axes
    assert len(axes[0].lines) == 6


def test_a_link_is_drawn_as_a_curve():
    X, y, _ = make_moe(500, 1, 2, link="relu", noise=0.05, random_state=1)
    model = MixtureOfExpertsRegressor(2, link="relu", n_init=2, random_state=0).fit(X, y)
    (line,) = (v for k, v in lines_by_label(plot_laws(model, X, y)).items() if k.startswith("expert 0"))
    x, law = line.get_data()
    drawn = np.isfinite(law)
    np.testing.assert_allclose(law[drawn], np.maximum(0, model.coef_[0, 0] * x + model.intercept_[0])[drawn])


@pytest.mark.filterwarnings("ignore:expert:moefast.DegenerateDataWarning")
@pytest.mark.parametrize("k", [1, 10])
def test_one_and_ten_experts(k, data):
    X, y = data
    model = MixtureOfExpertsRegressor(k, noise="shared", n_init=1, tol=1e-3, random_state=0).fit(X, y)
    above, below = plot_fit(model, X, y)
    assert len(lines_by_label(above)) == k
    assert len({to_rgba(line.get_color()) for line in lines_by_label(above).values()}) == k
    assert len(below.collections) == k


def test_a_tree_on_one_feature(data):
    model = HierarchicalMixtureOfExpertsRegressor((2, 2), n_init=2, random_state=0).fit(*data)
    above, _ = plot_fit(model, *data)
    assert [text.split(":")[0] for text in legend_texts(above)] == [f"expert {a}.{b}" for a in "01" for b in "01"]


def test_several_features_are_refused():
    X, y, _ = make_moe(200, 3, 2, random_state=0)
    model = MixtureOfExpertsRegressor(2, n_init=1, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="one feature, the model has 3: use plot_experts"):
        plot_laws(model, X, y)
