"""What rows held out have said of intervals, in model files: exact, and refused when it is no map that grows."""

import json

import numpy as np
import pytest

from moefast import MixtureOfExpertsRegressorCV, ModelFileError, load_model, save_model
from moefast.io.model_file import _digest

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))
Y = X[:, 0] + RNG.laplace(size=60)


@pytest.fixture
def model():
    return MixtureOfExpertsRegressorCV(1, alphas=0.1, gate_alphas=1.0, random_state=0).fit(X, Y)


def test_round_trip_is_exact(model, tmp_path):
    path = tmp_path / "model.json"
    save_model(model, path)
    again = load_model(path)
    q = [0.001, 0.05, 0.5, 0.95]
    assert (again.predict_quantile(X, q) == model.predict_quantile(X, q)).all()
    assert (again.predict_interval(X, calibrated=False) == model.predict_interval(X, calibrated=False)).all()
    assert (again.predict_interval(X) != model.predict_interval(X, calibrated=False)).all()
    save_model(again, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert again.fit(X, Y).calibration_ is None  # it is a fit of one setting


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("left_out"), "left_out"),
        (lambda c: c.update(more=[1.0]), "unknown field 'more'"),
        (lambda c: c.update(by_law=[]), "calibration.by_law"),
        (lambda c: c["by_law"].pop(), "must be as many, got 60 and 59"),
        (lambda c: c["by_law"].__setitem__(0, 0.0), "must be a finite number above 0 and at most 1, got 0.0"),
        (lambda c: c["by_law"].reverse(), "a by_law that never falls"),
        (lambda c: c["left_out"].__setitem__(1, c["left_out"][0]), "a left_out that increases"),
        (lambda c: c["left_out"].__setitem__(-1, 1.0), "below 1"),
    ],
)
def test_what_is_no_map_that_grows_is_refused(model, tmp_path, change, message):
    path = tmp_path / "model.json"
    save_model(model, path)
    document = json.loads(path.read_text())
    change(document["content"]["calibration"])
    document["sha256"] = _digest(document["content"])
    path.write_text(json.dumps(document))
    with pytest.raises(ModelFileError, match=message):
        load_model(path)
