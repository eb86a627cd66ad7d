"""Averages of replicates in model files: exact, and refused when anything is wrong with them."""

import json

import numpy as np
import pandas as pd
import pytest

from moefast import BaggedMixtureOfExperts, MixtureOfExpertsRegressor, ModelFileError, load_model, save_model
from moefast.io.model_file import _digest


def data():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(80, 2)), columns=["a", "b"])
    return X, pd.Series(np.where(X["a"] > 0, 2.0, -X["b"]) + 0.3 * rng.normal(size=80), name="height")


def fitted(**parameters):
    estimator = MixtureOfExpertsRegressor(2, n_init=1, max_iter=30, gate_alpha=0.1, **parameters)
    return BaggedMixtureOfExperts(estimator, n_replicates=5, random_state=0)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.json"
    save_model(fitted().fit(*data()), path)
    return path


def rewrite(path, change):
    """Change a document and give it a checksum that fits."""
    document = json.loads(path.read_text())
    change(document["content"])
    document["sha256"] = _digest(document["content"])
    path.write_text(json.dumps(document))


def test_round_trip_is_exact(saved, tmp_path):
    X, y = data()
    model, again = fitted().fit(X, y), load_model(saved)
    assert (again.predict_quantile(X, [0.1, 0.5]) == model.predict_quantile(X, [0.1, 0.5])).all()
    assert (again.calibration_.by_law == model.calibration_.by_law).all()
    assert (again.score_samples(X, y) == model.score_samples(X, y)).all()
    assert (again.mean_prediction(X).se_mean == model.mean_prediction(X).se_mean).all()
    assert str(again.agreement(X, y)) == str(model.agreement(X, y))
    assert again.out_of_bag_log_likelihood_ == model.out_of_bag_log_likelihood_
    assert again.target_name_ == "height"
    assert list(again.feature_names_in_) == ["a", "b"]
    assert again.estimator.get_params() == model.estimator.get_params()
    save_model(again, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == saved.read_bytes()
    again.fit(X, y)


def test_formulas_and_other_families(tmp_path):
    X, y = data()
    table = X.assign(y=np.exp(y))
    model = fitted(formula="y ~ center(a) + b", family="gamma")
    model.set_params(n_folds=None).fit(table)
    save_model(model, tmp_path / "model.json")
    again = load_model(tmp_path / "model.json")
    assert (again.predict(table.iloc[:5]) == model.predict(table.iloc[:5])).all()
    assert np.isnan(again.out_of_bag_log_likelihood_)


def test_functions_of_gates(tmp_path):
    X, y = data()
    model = fitted(gate_basis="spline").fit(X, y)
    save_model(model, tmp_path / "model.json")
    assert (load_model(tmp_path / "model.json").predict(X) == model.predict(X)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(spread=-1.0), "spread"),
        (lambda c: c.pop("calibration"), "calibration"),
        (lambda c: c.update(calibration=[1.0]), "calibration"),
        (lambda c: c.update(replicates=[]), "replicates"),
        (lambda c: c.update(replicates=[1, 2]), "damaged"),
        (lambda c: c.update(feature_names=["a"]), "feature_names must be 2 names"),
        (lambda c: c.update(n_features=3), "replicates.0"),
        (lambda c: c["parameters"].update(start="hot"), "start"),
        (lambda c: c["replicates"][1]["arrays"].update(sigma_=[1.0, -1.0]), "sigma_"),
        (lambda c: c["replicates"][1]["parameters"]["family"].update(name="student_t"), "replicates.1"),
        (lambda c: c.update(more=1), "more"),
    ],
)
def test_what_is_wrong_is_refused(saved, change, message):
    rewrite(saved, change)
    with pytest.raises(ModelFileError, match=message):
        load_model(saved)


def test_a_checksum_that_does_not_match_is_refused(saved):
    saved.write_text(saved.read_text().replace('"spread": ', '"spread": 1'))
    with pytest.raises(ModelFileError, match="checksum"):
        load_model(saved)
