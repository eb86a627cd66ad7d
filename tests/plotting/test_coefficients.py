"""Marks are coefficients times standard deviations, bars their intervals."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from moefast import HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.plotting import plot_coefficients
from oracles.given_inference import GivenInference

NAMES = ["age", "dose", "flow", "size"]


@pytest.fixture(scope="module")
def data():
    X, y, _ = make_moe(300, 4, 3, noise=0.3, random_state=1)
    return pd.DataFrame(X * [1, 10, 0.1, 1], columns=NAMES), pd.Series(y, name="yield")


@pytest.fixture(scope="module")
def model(data):
    return MixtureOfExpertsRegressor(3, n_init=3, random_state=0).fit(*data)


def marks(ax):
    """Return the effect by expert and feature, as the picture shows it."""
    names = [label.get_text() for label in ax.get_yticklabels()]
    found = {}
    for line in ax.lines:
        if line.get_marker() == "o":
            for x, place in zip(*line.get_data(), strict=True):
                found[line.get_label(), names[round(place)]] = x
    return found


@pytest.mark.parametrize("block", ["experts", "gates"])
def test_marks_are_effects_of_one_standard_deviation(model, data, block):
    X, _ = data
    coef = model.coef_ if block == "experts" else model.gate_coef_[:-1]
    ax = plot_coefficients(model, X, block=block)
    expected = {
        (f"expert {i}", name): coef[i, j] * X[name].std(ddof=0)
        for i in range(len(coef))
        for j, name in enumerate(NAMES)
    }
    assert marks(ax) == pytest.approx(expected)
    order = [label.get_text() for label in ax.get_yticklabels()]
    largest = {name: max(abs(v) for (_, n), v in expected.items() if n == name) for name in NAMES}
    assert order == sorted(NAMES, key=largest.get, reverse=True)
    unit = "yield" if block == "experts" else "log-odds against expert 2"
    assert unit in " ".join(ax.get_xlabel().split())
    assert len(ax.get_legend().get_texts()) == len(coef)
    top = ax.get_ylim()
    assert top[0] > top[1]  # the largest stands on top


def test_bars_are_intervals_where_errors_are_known(model, data):
    X, _ = data
    given = GivenInference.of(model, {("expert 1", "dose"): 0.02, ("expert 0", "age"): 0.1})
    ax = plot_coefficients(model, X, inference=given)
    drawn = sorted(tuple(segment[:, 0]) for c in ax.collections for segment in c.get_segments())
    expected = sorted(
        tuple((a + side * 1.959964 * se) * X[name].std(ddof=0) for side in (-1, 1))
        for a, se, name in ((model.coef_[1, 1], 0.02, "dose"), (model.coef_[0, 0], 0.1, "age"))
    )
    np.testing.assert_allclose(drawn, expected, rtol=1e-6)
    assert ax.get_legend().get_title().get_text() == "95 % intervals"
    assert len(marks(ax)) == 12


def test_the_largest_are_kept():
    X, y, _ = make_moe(400, 20, 2, random_state=0)
    model = MixtureOfExpertsRegressor(2, n_init=2, random_state=0).fit(X, y)
    ax = plot_coefficients(model, X, max_features=5)
    effects = np.abs(model.coef_ * X.std(axis=0)).max(axis=0)
    assert [label.get_text() for label in ax.get_yticklabels()] == [f"x{j}" for j in np.argsort(-effects)[:5]]
    assert ax.get_title() == "the 5 largest of 20 features"


def test_branches_of_a_tree_are_grey_and_experts_keep_their_colours(data):
    X, y = data
    model = HierarchicalMixtureOfExpertsRegressor((2, 2), n_init=2, random_state=0).fit(X, y)
    gates = {
        line.get_label(): to_rgba(line.get_color()) for line in plot_coefficients(model, X, block="gates").lines
    }
    experts = {line.get_label(): to_rgba(line.get_color()) for line in plot_coefficients(model, X).lines}
    assert {"branch 0", "expert 0.0", "expert 1.0"} <= set(gates)
    assert len(set(gates["branch 0"][:3])) == 1
    for name in ("expert 0.0", "expert 1.0"):
        assert gates[name] == experts[name]
    assert marks(plot_coefficients(model, X, block="gates"))["expert 1.0", "age"] == pytest.approx(
        model.gate_coef_[1][1, 0, 0] * X["age"].std(ddof=0)
    )


def test_one_expert_has_no_gates(data):
    X, y = data
    model = MixtureOfExpertsRegressor(1).fit(X, y)
    assert len(marks(plot_coefficients(model, X))) == 4
    with pytest.raises(ValueError, match="one expert has no gates"):
        plot_coefficients(model, X, block="gates")
    with pytest.raises(ValueError, match="block must be one of"):
        plot_coefficients(model, X, block="laws")


def test_long_names_are_shortened_and_formulas_are_not_read():
    X, y, _ = make_moe(100, 2, 1, random_state=0)
    names = ["$broken_{", "a name that goes on for a long, long while and longer"]
    model = MixtureOfExpertsRegressor(1).fit(pd.DataFrame(X, columns=names), y)
    ax = plot_coefficients(model, pd.DataFrame(X, columns=names))
    texts = {label.get_text() for label in ax.get_yticklabels()}
    assert r"\$broken_{" in texts
    assert all(len(text) <= 31 for text in texts)


def test_features_that_experts_do_not_use_are_at_zero(data):
    X, y = data
    model = MixtureOfExpertsRegressor(2, expert_features=["age"], n_init=2, random_state=0).fit(X, y)
    found = marks(plot_coefficients(model, X))
    assert found["expert 0", "age"] == pytest.approx(model.coef_[0, 0] * X["age"].std(ddof=0))
    assert found["expert 0", "dose"] == found["expert 1", "size"] == 0.0
