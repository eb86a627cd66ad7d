"""`moefast predict` of a classifier: the likeliest class, and what is known of all of them."""

import numpy as np
import pandas as pd
import pytest

from moefast import MixtureOfExpertsClassifier, save_model


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
