"""Files of classifiers: what comes back is what went in, and what is forged is refused by name."""

import copy
import hashlib
import json
import re

import numpy as np
import pandas as pd
import pytest

from moefast import MixtureOfExpertsClassifier, ModelFileError, load_model, save_model

LABELS = {
    "texts": np.array(["ill", "unsure", "well"]),
    "objects": np.array(["ill", "unsure", "well"], dtype=object),
    "whole numbers": np.array([-3, 7, 12]),
    "numbers": np.array([-1.0, 0.0, 2.0]),
    "booleans": np.array([False, True]),
}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(400, 2)), columns=["age", "dose"])
    return X, X["age"] * X["dose"] + 0.3 * rng.normal(size=400)


def _fit(rows, labels, **parameters):
    X, score = rows
    classes = np.digitize(score, [-0.3, 0.4]) if len(labels) == 3 else (score > 0).astype(int)
    return MixtureOfExpertsClassifier(2, gate_alpha=0.1, random_state=0, **parameters).fit(X, labels[classes])


@pytest.mark.parametrize("kind", LABELS)
def test_a_classifier_comes_back_bit_for_bit(rows, kind, tmp_path):
    model = _fit(rows, LABELS[kind])
    save_model(model, tmp_path / "m.json", target="state")
    again = load_model(tmp_path / "m.json")
    assert isinstance(again, MixtureOfExpertsClassifier)
    X, _ = rows
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.predict_gates(X), model.predict_gates(X))
    assert again.classes_.dtype.kind == model.classes_.dtype.kind
    assert again.classes_.tolist() == model.classes_.tolist()
    y = model.predict(X)
    assert again.score_samples(X, y).tolist() == model.score_samples(X, y).tolist()
    for name in ("aic_", "bic_", "log_likelihood_", "n_iter_", "converged_", "n_samples_fit_", "fit_report_"):
        assert getattr(again, name) == getattr(model, name)
    assert again.target_name_ == "state"
    assert again.get_params() == model.get_params()
    model.target_name_ = "state"
    assert str(again.summary()) == str(model.summary())


def test_what_a_fit_takes_a_file_keeps(rows, tmp_path):
    model = _fit(
        rows, LABELS["texts"], expert_features=["age"], fit_gate_intercept=False, start="random", alpha=0.5
    )
    save_model(model, tmp_path / "m.json")
    again = load_model(tmp_path / "m.json")
    assert again.get_params() == model.get_params()
    X, _ = rows
    again.fit(X, model.predict(X))  # goes on as an estimator


def test_a_formula_comes_back(rows, tmp_path):
    X, score = rows
    model = MixtureOfExpertsClassifier(2, formula="~ age + dose | dose", gate_alpha=0.1, random_state=0)
    model.fit(X, score > 0)
    save_model(model, tmp_path / "m.json")
    np.testing.assert_array_equal(load_model(tmp_path / "m.json").predict_proba(X), model.predict_proba(X))


def test_classes_of_other_kinds_are_not_written(rows, tmp_path):
    X, score = rows
    days = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]")
    model = MixtureOfExpertsClassifier(2, gate_alpha=0.1, random_state=0).fit(X, score > 0)
    model.classes_ = days
    with pytest.raises(ValueError, match="classes are date cannot be saved"):
        save_model(model, tmp_path / "m.json")
    assert not list(tmp_path.iterdir())


FORGERIES = {
    "classes.kind": (("classes", "kind"), "code"),
    "classes.labels[1]": (("classes", "labels", 1), 5),
    "classes.labels must be sorted": (("classes", "labels"), ["well", "unsure", "ill"]),
    "arrays.coef_[0]": (("arrays", "coef_", 0), [[1.0, 2.0]]),
    "arrays.intercept_[1][0]": (("arrays", "intercept_", 1, 0), "0"),
    "arrays.shares_[0]": (("arrays", "shares_", 0), -0.5),
    "the sum of arrays.shares_": (("arrays", "shares_"), [0.5, 0.6]),
    "parameters.start": (("parameters", "start"), "spectral"),
    "parameters.alpha": (("parameters", "alpha"), -1.0),
    "parameters": (("parameters", "family"), "gaussian"),
    "response_std": (("response_std",), 0.0),
    "figures.log_likelihood_": (("figures", "log_likelihood_"), None),
}


@pytest.mark.parametrize("named", FORGERIES)
def test_forged_fields_are_refused_by_name(rows, named, tmp_path):
    path = tmp_path / "m.json"
    save_model(_fit(rows, LABELS["texts"]), path)
    document = json.loads(path.read_text())
    place, value = FORGERIES[named]
    at = content = copy.deepcopy(document["content"])
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    document |= {"content": content, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    path.write_text(json.dumps(document))
    with pytest.raises(ModelFileError, match=re.escape(named)):
        load_model(path)
