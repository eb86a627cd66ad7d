"""A fit with separated gates says so, and no other does."""

import warnings

import numpy as np
import pandas as pd
import pytest

import moefast.inference.separation as separation
from moefast import (
    DegenerateDataWarning,
    HierarchicalMixtureOfExpertsRegressor,
    MixtureOfExpertsRegressor,
    load_model,
    save_model,
)
from moefast.datasets import make_moe

SEPARATED = "separated gates"


def step(n=400, noise=0.2, gap=0.0):
    """Two lines, one on each side of dose = 0, with nothing in the gap."""
    rng = np.random.default_rng(3)
    X = pd.DataFrame(rng.uniform(-1, 1, (n, 2)), columns=["dose", "age"])
    X["dose"] += gap * np.sign(X["dose"])
    y = np.where(X["dose"] > 0, 3.0, -3.0) + X["age"] * np.where(X["dose"] > 0, 2.0, -1.0)
    return X, pd.Series(y + noise * rng.normal(size=n), name="yield")


def growth_of_gate(X, y):
    """How much the gate grows where the ridge becomes a hundred times weaker: a finite estimate stays."""
    norms = []
    for ridge in (1e-6, 1e-8):
        model = MixtureOfExpertsRegressor(2, gate_alpha=ridge, random_state=0, n_init=2, tol=1e-12)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DegenerateDataWarning)
            norms.append(np.linalg.norm(model.fit(X, y).gate_coef_ * np.std(np.asarray(X), axis=0)))
    return norms[1] / norms[0] - 1


@pytest.mark.parametrize("gap", [0.0, 1.0])
def test_a_separated_gate_is_named(gap):
    X, y = step(gap=gap)
    assert growth_of_gate(X, y) > 0.1
    with pytest.warns(DegenerateDataWarning, match=SEPARATED) as caught:
        model = MixtureOfExpertsRegressor(2, random_state=0, n_init=2).fit(X, y)
    assert (0, 0) in model.separated_gates_
    (told,) = [str(w.message) for w in caught]
    assert "expert 0 (dose" in told
    # the same as inference, which runs on to where the gradient vanishes
    with pytest.warns(DegenerateDataWarning, match="is separated"):
        result = model.inference(X, y)
    gate = [j for j, (part, _) in enumerate(result.names) if part == "gate 0"]
    assert len(gate) == 3
    assert [j for j in range(3) if np.isnan(result.bse[gate[j]])] == [j for _, j in model.separated_gates_]


@pytest.mark.parametrize("scale", [3.0, 10.0])
def test_a_steep_gate_with_rows_on_both_sides_is_not(scale):
    X, y, _ = make_moe(3000, 2, 2, noise=0.3, gate_scale=scale, random_state=2)
    assert growth_of_gate(X, y) < 0.01
    assert MixtureOfExpertsRegressor(2, random_state=0, n_init=2).fit(X, y).separated_gates_ == ()


@pytest.mark.parametrize("gate_alpha", [1e-3, 1.0])
def test_nobody_looks_where_a_strong_ridge_holds_the_gates(gate_alpha):
    X, y = step()
    model = MixtureOfExpertsRegressor(2, gate_alpha=gate_alpha, random_state=0, n_init=2).fit(X, y)
    assert model.separated_gates_ is None


def test_the_summary_marks_the_coefficients_and_names_them(tmp_path):
    X, y = step()
    with pytest.warns(DegenerateDataWarning, match=SEPARATED):
        model = MixtureOfExpertsRegressor(2, random_state=0, n_init=2).fit(X, y)
    assert model.separated_gates_ == ((0, 0), (0, 1), (0, 2))
    text = str(model.summary())
    before, gates = text.split("Gates: ")
    table, notes = gates.split("\n\n")
    assert [line.split()[0] for line in table.splitlines() if line.endswith("*")] == ["dose", "age", "(intercept)"]
    assert "expert 0 (dose, age and intercept) have no finite estimate" in " ".join(notes.split())
    assert "*" not in before
    save_model(model, tmp_path / "m.json")
    again = load_model(tmp_path / "m.json")
    assert again.separated_gates_ == model.separated_gates_
    assert str(again.summary()) == text
    with pytest.warns(DegenerateDataWarning, match="is separated"):
        result = model.inference(X, y)
    lines = str(model.summary(result)).splitlines()
    assert [line.split()[0] for line in lines if line.endswith("*")] == ["dose", "age", "(intercept)"]


def test_columns_of_gates_are_counted_in_the_whole_table():
    X, y = step()
    with pytest.warns(DegenerateDataWarning, match=r"expert 0 \(dose"):
        model = MixtureOfExpertsRegressor(2, gate_features=["dose"], random_state=0, n_init=2).fit(
            X[["age", "dose"]], y
        )
    assert model.separated_gates_[0] == (0, 1)


def test_without_a_steep_gate_no_second_derivative_is_taken(monkeypatch):
    monkeypatch.setattr(separation, "Information", None)
    X, y, _ = make_moe(400, 2, 3, noise=0.3, random_state=2)
    assert MixtureOfExpertsRegressor(3, random_state=0, n_init=2).fit(X, y).separated_gates_ == ()


def test_nobody_looks_among_too_many_parameters_or_in_a_tree(monkeypatch, tmp_path):
    X, y = step()
    assert HierarchicalMixtureOfExpertsRegressor((2,), random_state=0, n_init=2).fit(X, y).separated_gates_ is None
    monkeypatch.setattr(separation, "_MOST_PARAMETERS", 10)
    model = MixtureOfExpertsRegressor(2, random_state=0, n_init=2).fit(X, y)
    assert model.n_parameters_ == 11
    assert model.separated_gates_ is None
    assert "*" not in str(model.summary())
    save_model(model, tmp_path / "m.json")
    assert load_model(tmp_path / "m.json").separated_gates_ is None
