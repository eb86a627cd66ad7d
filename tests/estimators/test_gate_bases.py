"""Models whose gates see squares and products, or splines, of their columns."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from sklearn.base import clone

from moefast import MixtureOfExpertsRegressor, ModelFileError, load_model, save_model
from moefast.plotting import plot_coefficients, plot_fit, plot_gates

RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, size=(500, 2))
INSIDE = (X**2).sum(axis=1) < 1.5
Y = np.where(INSIDE, 2.0 + X[:, 0], -X[:, 0]) + 0.2 * RNG.normal(size=500)
BASES = ("quadratic", "spline")


def fitted(basis, X=X, Y=Y, **parameters):
    given = {name: parameters.pop(name) for name in ("groups", "sample_weight") if name in parameters}
    model = MixtureOfExpertsRegressor(2, gate_basis=basis, gate_alpha=0.1, random_state=0, **parameters)
    return model.fit(X, Y, **given)


@pytest.fixture(scope="module", params=BASES)
def model(request):
    return fitted(request.param)


def test_a_region_need_not_be_a_wedge(model):
    wedge = fitted("linear")
    assert model.log_likelihood_ > wedge.log_likelihood_ + 200
    assert (model.assign(X) == model.assign(X)[INSIDE][0])[INSIDE].mean() > 0.95


def test_it_is_the_fit_with_the_functions_written_out(model):
    wide = model.gate_basis_.expand(X)
    alone = MixtureOfExpertsRegressor(
        2,
        gate_alpha=0.1,
        random_state=0,
        expert_features=[0, 1],
        gate_features=list(model.gate_basis_.gate_columns),
    ).fit(wide, Y)
    np.testing.assert_allclose(alone.gate_coef_, model.gate_coef_, rtol=1e-9)
    np.testing.assert_allclose(alone.predict(wide), model.predict(X), rtol=1e-9)
    assert alone.n_parameters_ == model.n_parameters_
    assert not model.coef_[:, 2:].any()
    assert model.n_features_in_ == 2


def test_columns_and_functions_have_their_names():
    frame = pd.DataFrame(X, columns=["age", "dose"])
    model = fitted("quadratic", frame)
    summary = model.summary()
    assert list(summary.experts.terms) == ["age", "dose", "(intercept)", "sigma"]
    assert list(summary.gates[0].terms) == ["age", "dose", "age^2", "age dose", "dose^2", "(intercept)"]
    splines = fitted("spline", frame).summary().gates[0]
    assert list(splines.terms) == [f"{name}_sp_{i}" for name in ("age", "dose") for i in range(4)] + [
        "(intercept)"
    ]
    np.testing.assert_array_equal(model.predict(frame), fitted("quadratic").predict(X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["dose", "age"]])


def test_only_the_gates_columns_are_curved():
    model = fitted("spline", gate_features=[1], expert_features=[0])
    assert model.gate_basis_.columns == (1,)
    assert list(model.summary().gates[0].terms) == [*(f"x1_sp_{i}" for i in range(4)), "(intercept)"]
    assert not model.coef_[:, 1].any()
    assert fitted("spline", gate_features=[]).gate_basis_ is None


def test_models_are_saved(model, tmp_path):
    path = tmp_path / "model.json"
    save_model(model, path)
    again = load_model(path)
    assert again.get_params() == model.get_params()
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.score_samples(X, Y), model.score_samples(X, Y))
    assert str(again.summary()) == str(model.summary())
    assert again.gate_basis_.names == model.gate_basis_.names


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("kind", "linear", "gate_basis.kind"),
        ("columns", [0, 2], "gate_basis.columns"),
        ("centre", [0.0], "a centre and a scale"),
        ("scale", [1.0, 0.0], "gate_basis.scale"),
        ("knots", [[0.0, 0.0], [0.0, 1.0]], "knots that increase"),
        ("knots", [[0.0, 0.0], [1e301, 1.0]], r"gate_basis\.knots\[1\]\[0\] must be .* at most 1e\+300"),
        ("kept", [0, 1, 2, 3, 4, 5, 6, 99], "functions that there are"),
        ("names", ["a"], "gate_basis.names"),
    ],
)
def test_forged_functions_are_refused(field, value, message, tmp_path):
    from moefast.io.model_file import _digest

    path = tmp_path / "model.json"
    save_model(fitted("spline"), path)
    document = json.loads(path.read_text())
    document["content"]["gate_basis"][field] = value
    document["sha256"] = _digest(document["content"])
    path.write_text(json.dumps(document))
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


@pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning")
def test_inference_knows_the_functions(model):
    result = model.inference(X, Y)
    names = {name for owner, name in result.names if owner.startswith("gate")}
    assert set(model.gate_basis_.names) <= names
    predicted = result.predict(X[:5])
    np.testing.assert_allclose(predicted.mean, model.predict(X[:5]), rtol=1e-6)
    assert (predicted.se_mean[np.isfinite(predicted.se_mean)] > 0).sum() >= 4  # NaN where a gate is separated
    with pytest.raises(ValueError, match=r"must have the 2 columns of the fit \(x0, x1\)"):
        result.predict(model.gate_basis_.expand(X[:5]))
    assert model.summary(result).gates[0].errors is not None


def test_pictures_are_of_the_columns(model):
    ax = plot_gates(model, X, "x1", ax=Figure().subplots())
    assert ax.get_xlabel() == "x1"
    with pytest.raises(ValueError, match="'x0', 'x1'"):
        plot_gates(model, X, model.gate_basis_.names[0], ax=Figure().subplots())
    experts = plot_coefficients(model, X, ax=Figure().subplots())
    assert len(experts.get_yticklabels()) == 2
    gates = plot_coefficients(model, X, block="gates", ax=Figure().subplots())
    assert len(gates.get_yticklabels()) == len(model.gate_basis_.gate_columns)


def test_the_picture_of_one_feature_has_the_gates_themselves():
    x = X[:, :1]
    y = np.where(np.abs(x[:, 0]) < 1, 1.0, -1.0) + 0.1 * np.random.default_rng(1).normal(size=500)
    model = fitted("spline", x, y)
    laws, gates = plot_fit(model, x, y, axes=Figure().subplots(2, 1))
    assert gates.get_xlabel() == "x0"
    assert len(laws.lines) >= 4
    own = gates.collections[0].get_paths()[0].vertices
    middle = own[np.abs(own[:, 0]) < 0.05, 1].max()
    p = model.predict_gates([[0.0]])[0, 0]
    assert middle == pytest.approx(p, abs=0.02)


def test_a_fit_is_a_start_for_another(model):
    again = clone(model).set_params(start=model).fit(X, Y)
    assert again.log_likelihood_ == pytest.approx(model.log_likelihood_, abs=1e-3)
    more = clone(model).set_params(n_experts=3, start=model).fit(X, Y)
    assert more.log_likelihood_ >= model.log_likelihood_ - 1e-3


@pytest.mark.parametrize("basis", BASES)
def test_formulas_have_functions_of_their_gates_terms(basis):
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": Y})
    model = MixtureOfExpertsRegressor(2, formula="y ~ a | a + b", gate_basis=basis, gate_alpha=0.1, random_state=0)
    model.fit(frame)
    alone = fitted(basis, expert_features=[0])
    np.testing.assert_allclose(model.predict(frame), alone.predict(X), rtol=1e-6, atol=1e-6)


def test_groups_share_their_functions():
    groups = np.repeat(np.arange(100), 5)
    table = np.column_stack([X[:, 0], np.repeat(X[::5, 1], 5)])
    model = fitted("spline", table, gate_features=[1], groups=groups)
    assert model.n_groups_fit_ == 100
    r = model.responsibilities(table, Y, groups=groups)
    np.testing.assert_allclose(r[::5], r[4::5])


def test_weights_count_as_copies():
    w = np.arange(500) % 3
    weighted, copies = fitted("spline", sample_weight=w), fitted("spline", np.repeat(X, w, 0), np.repeat(Y, w))
    np.testing.assert_allclose(weighted.predict(X), copies.predict(X), rtol=1e-5, atol=1e-5)


def test_files_have_linear_gates():
    table = pa.table({"a": X[:, 0], "y": Y})
    with pytest.raises(ValueError, match="wants files with the functions"):
        MixtureOfExpertsRegressor(2, gate_basis="spline").fit_dataset(lambda: [table], "y")


def test_unknown_bases_are_named():
    with pytest.raises(ValueError, match=r"gate_basis must be .*'cubic'"):
        fitted("cubic")
