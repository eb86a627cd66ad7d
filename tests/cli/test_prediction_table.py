"""`moefast predict` and `moefast summary` of what is no flat regressor: of classifiers and of trees of gates."""

import numpy as np
import pandas as pd
import pytest

from moefast import HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsClassifier, save_model


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(300, 2)), columns=["age", "dose"])
    y = np.where(X["age"] * X["dose"] + 0.3 * rng.normal(size=300) > 0, "well", "ill")
    model = MixtureOfExpertsClassifier(2, gate_alpha=0.1, random_state=0).fit(X, y)
    save_model(model, tmp_path / "model.json")
    X[["dose", "age"]].to_csv(tmp_path / "rows.csv", index=False)
    return model, X, tmp_path


def test_classes_and_their_probabilities(run, files):
    model, X, folder = files
    run("predict", folder / "model.json", folder / "rows.csv", "--output", folder / "out.csv", "--details")
    found = pd.read_csv(folder / "out.csv")
    assert list(found) == ["prediction", "probability_ill", "probability_well", "expert_0", "expert_1"]
    assert found["prediction"].tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(found[["probability_ill", "probability_well"]], model.predict_proba(X), rtol=1e-12)
    np.testing.assert_allclose(found[["expert_0", "expert_1"]], model.predict_gates(X), rtol=1e-12)
    run("predict", folder / "model.json", folder / "rows.csv", "--output", folder / "out.csv")
    assert list(pd.read_csv(folder / "out.csv")) == ["prediction"]


def test_trials_are_refused(run, files):
    _, _, folder = files
    result = run("predict", folder / "model.json", folder / "rows.csv", "--trials", "dose")
    assert result.exit_code == 1
    assert "--trials is for models of the family binomial" in result.stderr


def test_the_summary_is_printed(run, files):
    _, _, folder = files
    assert run("summary", folder / "model.json").stdout.startswith("Mixture of 2 linear experts, 2 classes: ")


@pytest.fixture
def tree(tmp_path):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-1, 1, size=(300, 2)), columns=["age", "dose"])
    y = pd.Series(np.where(X["age"] > 0, 3, -1) * X["dose"] + 0.2 * rng.normal(size=300), name="height")
    model = HierarchicalMixtureOfExpertsRegressor((2, 2), n_init=2, tol=1e-4, gate_alpha=0.1, random_state=0)
    save_model(model.fit(X, y), tmp_path / "tree.json")
    X[["dose", "age"]].to_csv(tmp_path / "rows.csv", index=False)
    return model, X, tmp_path


def test_a_tree_predicts_with_all_its_experts(run, tree):
    model, X, folder = tree
    run("predict", folder / "tree.json", folder / "rows.csv", "--output", folder / "out.csv", "--details")
    found = pd.read_csv(folder / "out.csv", dtype=str).astype(float)  # to the nearest number, by any pandas
    mean, std = model.predict(X, return_std=True)
    expected = {"prediction": mean, "std": std} | {
        f"expert_{i}": p for i, p in enumerate(model.predict_gates(X).T)
    }
    pd.testing.assert_frame_equal(found, pd.DataFrame(expected), check_exact=True)


def test_the_summary_of_a_tree_is_printed(run, tree, monkeypatch):
    model, _, folder = tree
    monkeypatch.setenv("COLUMNS", "100")
    assert run("summary", folder / "tree.json").stdout == model.summary().to_text(100) + "\n"


def test_a_tree_predicts_files_of_columns(run, tree):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    model, X, folder = tree
    pq.write_table(pa.Table.from_pandas(X), folder / "rows.parquet")
    run("predict", folder / "tree.json", folder / "rows.parquet", "--output", folder / "out.parquet", "--details")
    found = pq.read_table(folder / "out.parquet").to_pandas()
    np.testing.assert_array_equal(found["prediction"], model.predict(X))
    assert found.shape == (300, 6)
