"""Gates along a feature are what the model says, averaged over rows, and steps are steps."""

import numpy as np
import pandas as pd
import pytest

from moefast import HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.links import LINKS
from moefast.mixture import Mixture
from moefast.plotting import plot_gates
from moefast.plotting.gates import gate_curve, is_discrete

NAMES = ["age", "dose", "flow"]


@pytest.fixture(scope="module")
def data():
    X, y, _ = make_moe(250, 3, 3, noise=0.3, gate_scale=3.0, random_state=1)
    X[:, 2] = np.random.default_rng(0).integers(0, 3, 250)
    return pd.DataFrame(X, columns=NAMES), y


@pytest.fixture(scope="module")
def model(data):
    return MixtureOfExpertsRegressor(3, n_init=3, random_state=0).fit(*data)


def partial_dependence(model, X, feature, value):
    replaced = X.copy()
    replaced[feature] = value
    return model.mixture_.gates(replaced.to_numpy()).mean(axis=0)


def tops(ax):
    """Return the upper edge of every area as a function of x."""
    edges = []
    for area in ax.collections:
        vertices = area.get_paths()[0].vertices
        edges.append({x: vertices[vertices[:, 0] == x, 1].max() for x in np.unique(vertices[:, 0])})
    return edges


def test_areas_are_the_partial_dependence(model, data):
    X, _ = data
    ax = plot_gates(model, X, "dose")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("dose", "gate, mean over rows")
    edges = tops(ax)
    for x in list(edges[0])[1:-1:13]:
        expected = partial_dependence(model, X, "dose", x).cumsum()
        np.testing.assert_allclose([edge[x] for edge in edges], expected, rtol=1e-9)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "deciles of the rows",
        "expert 2",
        "expert 1",
        "expert 0",
    ]
    (deciles,) = ax.lines
    np.testing.assert_allclose(deciles.get_xdata(), np.quantile(X["dose"], np.arange(1, 10) / 10))


def test_few_values_are_bars_of_the_partial_dependence(model, data):
    X, _ = data
    ax = plot_gates(model, X, 2)
    assert len(ax.patches) == 9
    for i, bars in enumerate(ax.containers):
        for value, bar in zip((0, 1, 2), bars, strict=True):
            assert bar.get_x() + bar.get_width() / 2 == pytest.approx(value)
            assert bar.get_height() == pytest.approx(partial_dependence(model, X, "flow", value)[i])
    assert [float(tick) for tick in ax.get_xticks()] == [0, 1, 2]


def test_the_default_feature_is_the_one_that_matters_most(model, data):
    """Over quantiles of each, as a loop finds it."""
    X, _ = data
    spread = [
        np.var(
            [partial_dependence(model, X, name, v) for v in X[name].quantile(np.linspace(0.05, 0.95, 10))], axis=0
        )
        for name in NAMES
    ]
    assert plot_gates(model, X).get_xlabel() == NAMES[int(np.argmax(np.sum(spread, axis=1)))]


@pytest.mark.parametrize("steepness", [5.0, 1e3, 1e9])
def test_steps_have_no_ramps(steepness):
    """Between two points that are drawn a gate changes little, or they are next to each other."""
    zeros = np.zeros(2)
    mixture = Mixture(np.zeros((2, 1)), zeros, np.array([[steepness], [0.0]]), zeros, np.ones(2), LINKS["linear"])
    grid, p = gate_curve(mixture.gates, np.zeros((1, 1)), 0, (-1.0, 2.0))
    np.testing.assert_allclose(p, mixture.gates(grid[:, None]))
    assert (np.diff(grid) > 0).all()
    change, width = np.abs(np.diff(p[:, 0])), np.diff(grid)
    assert (width[change > 0.02] <= 3.0 / 100 / 2**10 * 1.001).all()
    assert len(grid) < 1000


def test_few_values_only_count_where_each_occurs_often():
    assert is_discrete(np.repeat([0.0, 1.0], 10))
    assert not is_discrete(np.arange(10.0))
    assert not is_discrete(np.repeat(np.arange(13.0), 10))


def test_a_tree_and_one_feature():
    X, y, _ = make_moe(300, 1, 4, gate_scale=4.0, random_state=0)
    model = HierarchicalMixtureOfExpertsRegressor((2, 2), n_init=2, random_state=0).fit(X, y)
    ax = plot_gates(model, X)
    assert ax.get_ylabel() == "gate"
    edges = tops(ax)
    x = list(edges[0])[40]
    np.testing.assert_allclose([e[x] for e in edges], model.mixture_.gates(np.array([[x]]))[0].cumsum())


@pytest.mark.parametrize("feature", ["weight", 3, -1, True, 1.5])
def test_an_unknown_feature_is_refused(model, data, feature):
    with pytest.raises(ValueError, match=r"feature must be a position from 0 to 2 or one of .*'dose'.*got"):
        plot_gates(model, data[0], feature)
