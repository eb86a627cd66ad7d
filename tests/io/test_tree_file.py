"""Files of trees of gates: what comes back is what went in, and what is forged is refused by name."""

import copy
import json
import re
from dataclasses import is_dataclass

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from moefast import (
    BaggedMixtureOfExperts,
    HierarchicalMixtureOfExpertsRegressor,
    MixtureOfExpertsRegressor,
    ModelFileError,
    load_model,
    save_model,
)
from moefast.io.model_file import _digest

RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.uniform(-1, 1, size=(240, 2)), columns=["age", "dose"])
Y = pd.Series(
    np.where(X["age"] > 0, 3, -1) * X["dose"] + np.sign(X["dose"]) + 0.2 * RNG.normal(size=240), name="height"
)


def fit(branches=(2, 2), X=X, y=Y, **parameters):
    given = {"n_init": 2, "tol": 1e-4, "random_state": 0, "gate_alpha": 0.1} | parameters
    return HierarchicalMixtureOfExpertsRegressor(branches, **given).fit(X, y)


def plain(value):
    """Return what a model has as what can be compared: arrays as bytes, objects as their parts."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tolist() if value.dtype == object else value.tobytes()
    if is_dataclass(value):
        return type(value), {name: plain(part) for name, part in vars(value).items()}
    if isinstance(value, (list, tuple)):
        return type(value), [plain(part) for part in value]
    return value


def through_a_file(model, folder):
    """Return the model that is read; written again it gives the same bytes."""
    save_model(model, folder / "m.json")
    again = load_model(folder / "m.json")
    save_model(again, folder / "again.json")
    assert (folder / "again.json").read_bytes() == (folder / "m.json").read_bytes()
    return again


def assert_the_same(again, model):
    assert type(again) is type(model)
    assert vars(again).keys() == vars(model).keys()
    for name, value in vars(model).items():
        assert plain(getattr(again, name)) == plain(value), name


def assert_predicts_the_same(again, model, X=X, y=Y):
    for found, wanted in zip(again.predict(X, return_std=True), model.predict(X, return_std=True), strict=True):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(again.predict_quantile(X, [0.1, 0.5]), model.predict_quantile(X, [0.1, 0.5]))
    np.testing.assert_array_equal(again.predict_gates(X), model.predict_gates(X))
    np.testing.assert_array_equal(again.score_samples(X, y), model.score_samples(X, y))


@pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning")  # experts without rows are kept too
@pytest.mark.parametrize("branches", [(2, 2), (2, 3), (3, 2), (2, 2, 2), (2, 1, 2), (1, 2), (3,), (1, 1)])
def test_a_tree_of_any_shape_comes_back_bit_for_bit(branches, tmp_path):
    model = fit(branches)
    again = through_a_file(model, tmp_path)
    assert_the_same(again, model)
    assert_predicts_the_same(again, model)
    assert again.branches_ == branches
    np.testing.assert_array_equal(again.predict_gates(X, level=0), model.predict_gates(X, level=0))
    assert str(again.summary()) == str(model.summary())


@pytest.mark.parametrize(
    "parameters",
    [
        {"noise": "shared"},
        {"expert_features": ["dose"], "gate_features": [0], "fit_intercept": False, "alpha": 0.5},
        {"start": "random", "fit_gate_intercept": False, "noise_floor": 0.3, "max_iter": 7, "time_budget": 9.0},
        {"gate_alpha": "auto", "n_init": "auto", "tol": 1e-2, "n_threads": 1},
    ],
)
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::moefast.DegenerateDataWarning"
)
def test_what_a_fit_takes_a_file_keeps(parameters, tmp_path):
    model = fit(**parameters)
    again = through_a_file(model, tmp_path)
    assert_the_same(again, model)
    again.fit(X, Y)  # goes on as an estimator
    for name in ("coef_", "sigma_", "shares_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))


@pytest.mark.parametrize("unit", [1e-300, 1e-100, 1e100, 1e300])
def test_honest_trees_in_extreme_units_are_kept(unit, tmp_path):
    model = fit(y=unit * Y)
    assert_the_same(through_a_file(model, tmp_path), model)


def test_a_formula_and_an_offset_come_back(tmp_path):
    table = X.assign(height=Y, kind=np.where(X["age"] > 0.3, "old", "young"))
    model = HierarchicalMixtureOfExpertsRegressor(
        formula="height ~ center(dose) + C(kind) | age", n_init=2, gate_alpha=0.1, tol=1e-3, random_state=0
    ).fit(table, offset=X["dose"])
    again = through_a_file(model, tmp_path)
    assert again.formula_.text == model.formula_.text
    np.testing.assert_array_equal(again.predict(table, offset=2.0), model.predict(table, offset=2.0))
    assert again.log_likelihood(table, offset=X["dose"]) == model.log_likelihood(table, offset=X["dose"])
    assert str(again.summary()) == str(model.summary())


def test_what_is_no_number_or_name_is_left_out(tmp_path):
    """A start that is given, a generator; branches in place of which others have been asked for since the fit."""
    model = fit(start=fit(), random_state=np.random.default_rng(0), branches=np.array([2, 2]))
    model.set_params(branches=[3, np.int64(2)])
    save_model(model, tmp_path / "m.json", target="length")
    again = load_model(tmp_path / "m.json")
    assert (again.start, again.random_state, again.branches) == ("auto", None, (3, 2))
    assert (again.branches_, again.target_name_) == ((2, 2), "length")
    assert_predicts_the_same(again, model)


def test_averages_of_trees_come_back(tmp_path):
    one = HierarchicalMixtureOfExpertsRegressor((2, 2), n_init=2, tol=1e-3, gate_alpha=0.1)
    model = BaggedMixtureOfExperts(one, n_replicates=3, n_folds=2, random_state=0).fit(X, Y)
    again = through_a_file(model, tmp_path)
    assert_predicts_the_same(again, model)
    for found, wanted in zip(again.estimators_, model.estimators_, strict=True):
        assert found.branches_ == (2, 2)
        assert_predicts_the_same(found, wanted)
    assert str(again.agreement(X, Y)) == str(model.agreement(X, Y))
    again.set_params(random_state=0).fit(X, Y)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.fixture(scope="module")
def model():
    return fit((2, 2))


def test_what_could_not_be_read_is_not_written(model, tmp_path):
    for changed, word in (
        ({"branches": (2, 0)}, r"parameters\.branches\[1\]"),
        ({"branches": "22"}, r"parameters\.branches\[0\]"),
        ({"branches": 4}, r"parameters\.branches must be a list"),
        ({"branches": [2**20, 2**20]}, r"the product of parameters\.branches"),
        ({"verbose": "yes"}, r"parameters\.verbose"),
    ):
        with pytest.raises(ValueError, match=f"cannot be saved: {word}"):
            save_model(copy.deepcopy(model).set_params(**changed), tmp_path / "m.json")
    with pytest.raises(TypeError, match=r"a LinearRegression cannot be saved: only .*, HierarchicalMixture"):
        save_model(LinearRegression().fit(X, Y), tmp_path / "m.json")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def document(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("tree") / "m.json"
    save_model(model, path)
    return json.loads(path.read_text())


def load(document, content, folder):
    """Read content with a checksum that is right."""
    (folder / "m.json").write_text(json.dumps({**document, "content": content, "sha256": _digest(content)}))
    return load_model(folder / "m.json")


NAN, INF = float("nan"), float("inf")
FORGERIES = [
    # shapes that are none, or so large that nothing may be made of them
    (("branches",), [], "branches must be a list of at least 1, got 0"),
    (("branches",), [2, 0], "branches[1] must be a whole number not below 1"),
    (("branches",), [-2, -2], "branches[0]"),
    (("branches",), [2, 2.0], "branches[1]"),
    (("branches",), [2, True], "branches[1]"),
    (("branches",), [2, None], "branches[1]"),
    (("branches",), [10**9], "must be a list of 1000000000, got 4"),
    (("branches",), [2**31], "branches[0] must be a whole number not below 1 nor above 2147483647"),
    (("branches",), [10**9, 10**9], "the product of branches"),
    (("branches",), [2**31 - 1] * 100, "the product of branches"),
    (("branches",), [1] * 3000, "the number of levels of branches"),
    (("parameters", "branches"), [10**9, 10**9], "the product of parameters.branches"),
    (("parameters", "branches"), [1] * 3000, "the number of levels of parameters.branches"),
    (("parameters", "branches"), [], "parameters.branches"),
    # shapes that experts or gates do not have
    (("branches",), [2, 3], "must be a list of 6, got 4"),
    (("branches",), [2], "must be a list of 2, got 4"),
    (("branches",), [4], "arrays.gate_coef_ must be a list of 1,"),
    (("branches",), [1, 4], "arrays.gate_coef_[0][0] must be a list of 1, got 2"),
    (("branches",), [2, 2, 1], "arrays.gate_coef_ must be a list of 3,"),
    (("arrays", "coef_", 0), [1.0], "arrays.coef_[0] must be a list of 2"),
    (("arrays", "gate_coef_", 1), [[[0.0, 0.0], [0.0, 0.0]]], "arrays.gate_coef_[1] must be a list of 2, got 1"),
    (("arrays", "gate_coef_", 1, 0), [[0.0, 0.0]], "arrays.gate_coef_[1][0] must be a list of 2, got 1"),
    (("arrays", "gate_coef_", 1, 0, 1), [0.0], "arrays.gate_coef_[1][0][1] must be a list of 2, got 1"),
    (("arrays", "gate_intercept_"), [[[0.0, 0.0]]], "arrays.gate_intercept_ must be a list of 2,"),
    (("arrays", "gate_intercept_", 1), [[0.0], [0.0]], "arrays.gate_intercept_[1][0] must be a list of 2, got 1"),
    (("n_features",), 3, "feature_names must be null or a list of 3, got"),
    (("n_features",), 10**12, "feature_names must be null or a list of 1000000000000,"),
    # numbers out of range
    (("arrays", "gate_coef_", 1, 0, 1, 0), NAN, "arrays.gate_coef_[1][0][1][0]"),
    (("arrays", "gate_coef_", 0, 0, 0, 1), 10**400, "arrays.gate_coef_[0][0][0][1]"),
    (("arrays", "gate_intercept_", 1, 1, 0), -INF, "arrays.gate_intercept_[1][1][0]"),
    (("arrays", "coef_", 3, 1), INF, "arrays.coef_[3][1]"),
    (("arrays", "intercept_", 0), NAN, "arrays.intercept_[0]"),
    (("arrays", "sigma_", 0), 0.0, "arrays.sigma_[0]"),
    (("arrays", "sigma_", 0), 1e308, "arrays.sigma_[0]"),
    (("arrays", "shares_", 0), -0.1, "arrays.shares_[0]"),
    (("arrays", "shares_"), [0.5, 0.5, 0.5, 0.0], "the sum of arrays.shares_"),
    (("response_std",), 0.0, "response_std"),
    (("calibration",), {"left_out": [0.5, 0.4], "by_law": [0.5, 0.5]}, "a left_out that increases"),
    (("calibration",), {"left_out": [0.5]}, "calibration.by_law is missing"),
    # what trees do not know
    (("separated_gates",), [[0, 0]], "separated_gates must be null"),
    (("parameters", "start"), "l4", "parameters.start"),
    (("parameters", "n_experts"), 4, "parameters has an unknown field 'n_experts'"),
    (("parameters", "link"), "tanh", "parameters has an unknown field 'link'"),
    (("covariance",), None, "unknown field 'covariance'"),
]


@pytest.mark.parametrize(("place", "value", "message"), FORGERIES, ids=range(len(FORGERIES)))
def test_what_is_forged_is_refused_by_name(place, value, message, document, tmp_path):
    at = content = copy.deepcopy(document["content"])
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    with pytest.raises(ModelFileError, match=re.escape(message)):
        load(document, content, tmp_path)


def test_gates_beyond_the_range_are_told_when_they_are_asked(document, tmp_path):
    """Each number of the file is finite; what follows from all of them need not be."""
    content = copy.deepcopy(document["content"])
    content["arrays"]["gate_coef_"][0][0] = [[1e308, 1e308], [-1e308, -1e308]]
    again = load(document, content, tmp_path)
    assert np.isfinite(again.predict(pd.DataFrame([[0.0, 0.0]], columns=list(X)))).all()
    with pytest.raises(OverflowError, match="row 0"):
        again.predict(pd.DataFrame([[1e3, 1e3]], columns=list(X)))


def test_the_summary_of_numbers_that_no_fit_has(document, tmp_path):
    content = copy.deepcopy(document["content"])
    content["membership"].update(size=[1e300, 1.0, 0.0, 2.0], support=[1e-300, 0.0, 0.0, 4.0])
    again = load(document, content, tmp_path)
    np.testing.assert_array_equal(again.membership_.ratio, [INF, INF, NAN, 0.5])
    assert "inf" in str(again.summary())


def test_a_flat_model_does_not_become_a_tree(tmp_path):
    save_model(
        MixtureOfExpertsRegressor(2, n_init=1, gate_alpha=0.1, random_state=0).fit(X, Y), tmp_path / "flat.json"
    )
    document = json.loads((tmp_path / "flat.json").read_text())
    with pytest.raises(ModelFileError, match=r"parameters has an unknown field|parameters\.branches is missing"):
        load(document, {**document["content"], "branches": [2]}, tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
def test_damaged_bytes_are_refused(share, model, tmp_path):
    path = tmp_path / "m.json"
    save_model(model, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ModelFileError, match="cut short"):
        load_model(path)
    start = data.index(b'"arrays"')
    at = next(
        i for i in range(start + int(share * (len(data) - start - 60)), len(data)) if data[i : i + 1].isdigit()
    )
    path.write_bytes(data[:at] + (b"7" if data[at : at + 1] != b"7" else b"3") + data[at + 1 :])
    with pytest.raises(ModelFileError, match=r"checksum|cut short"):
        load_model(path)
