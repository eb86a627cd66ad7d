"""What `moefast fit` can ask of the model is what Python can, and `moefast summary` prints a saved model."""

import os

import numpy as np
import pandas as pd
import pytest

from moefast import MixtureOfExpertsRegressor, load_model, select_n_experts


@pytest.fixture
def fitted(run, csv_file):
    def fit(*options):
        result = run("fit", csv_file, "--target", "yield", "--no-plot", *options)
        assert result.exit_code == 0, result.output
        return load_model("data.moefast.json"), result

    return fit


@pytest.fixture
def refused(run, csv_file):
    def fit(*options):
        result = run("fit", csv_file, "--target", "yield", "--no-plot", *options)
        assert result.exit_code != 0
        assert isinstance(result.exception, SystemExit)
        assert os.listdir() == []
        return result.stderr

    return fit


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        (("--expert-features", "age", "--expert-features", "dose"), {"expert_features": ["age", "dose"]}),
        (("--gate-features", "flow rate"), {"gate_features": ["flow rate"]}),
        (("--constant-gates",), {"gate_features": []}),
        (("--gate-alpha", "0.5"), {"gate_alpha": 0.5}),
        (("--noise", "shared", "--seed", 3), {"noise": "shared", "random_state": 3}),
        (("--link", "relu"), {"link": "relu"}),
        (("--family", "student_t"), {"family": "student_t"}),
        (("--threads", 1), {"n_threads": 1}),
    ],
)
def test_options_are_the_parameters(fitted, table, options, parameters):
    model, _ = fitted(*options)
    X, y = table.drop(columns="yield"), table["yield"]
    direct = MixtureOfExpertsRegressor(2, **{"random_state": 0} | parameters).fit(X, y)
    np.testing.assert_allclose(model.predict(X), direct.predict(X), rtol=1e-9)
    for name, value in parameters.items():
        assert model.get_params()[name] == value


def test_a_time_budget_ends_the_search(fitted):
    model, _ = fitted("--time-budget", "1e-6")
    assert model.time_budget == 1e-6
    assert model.fit_report_.out_of_time


def test_a_range_of_experts(fitted, table):
    model, result = fitted("--experts", "1-3")
    X, y = table.drop(columns="yield"), table["yield"]
    selection = select_n_experts(X, y, (1, 2, 3), n_folds=None, random_state=0)
    assert len(model.coef_) == selection.best_n_experts == 2
    np.testing.assert_allclose(model.coef_, selection.best_estimator.coef_, rtol=1e-6)
    assert result.stdout.index(str(selection)) < result.stdout.index("sigma")  # the choice, then the model chosen
    chosen, _ = fitted("--experts", "1-2", "--criterion", "icl")
    assert (
        len(chosen.coef_)
        == select_n_experts(X, y, (1, 2), criterion="icl", n_folds=None, random_state=0).best_n_experts
    )


def test_cross_validation_from_the_console(fitted):
    model, result = fitted("--experts", "1-2", "--criterion", "cv", "--gate-alpha", 0.1)
    assert "held out" in result.stdout
    assert len(model.coef_) == 2


def test_a_decimal_comma(run, table, tmp_path):
    table.to_csv(tmp_path / "comma.csv", sep=";", decimal=",", index=False)
    options = ("--target", "yield", "--no-plot", "--sep", ";", "--decimal", ",")
    assert run("fit", tmp_path / "comma.csv", *options).exit_code == 0
    X, y = table.drop(columns="yield"), table["yield"]
    direct = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    np.testing.assert_allclose(load_model("comma.moefast.json").predict(X), direct.predict(X), rtol=1e-9)


def test_the_summary_of_a_saved_model(fitted, run):
    model, result = fitted()
    again = run("summary", "data.moefast.json")
    assert again.exit_code == 0
    assert again.stdout.strip() in result.stdout
    assert f"{model.log_likelihood_:.3f}" in again.stdout


def test_no_summary_of_what_is_no_model(run, csv_file):
    for path, words in ((csv_file, "not a moefast model file"), ("none.json", "does not exist")):
        result = run("summary", path)
        assert result.exit_code != 0
        assert words in result.stderr
        assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--experts", "0"), "from 1 or more upwards"),
        (("--experts", "3-2"), "'3-2' must go"),
        (("--experts", "two"), "neither a number such as 3 nor a range"),
        (("--experts", "1-2-3"), "neither"),
        (("--experts", "2", "--criterion", "bic"), "--criterion chooses among several"),
        (("--gate-features", "weight"), "gate_features must be columns of X"),
        (("--expert-features", "age", "--expert-features", "age"), "each column once, got 'age' twice"),
        (("--constant-gates", "--gate-features", "age"), "--constant-gates leaves no column"),
        (("--gate-alpha", "some"), "neither 'auto' nor a number"),
        (("--gate-alpha", "-1"), "gate_alpha must be"),
        (("--link", "cubic"), "cubic"),
        (("--family", "weibull"), "weibull"),
        (("--time-budget", "0"), "time-budget"),
        (("--decimal", "::"), "decimal"),
    ],
)
def test_bad_options_are_named(refused, options, words):
    text = refused(*options)
    assert words in text
    assert "Traceback" not in text


def test_weights_count_in_a_range(run, table, tmp_path):
    rows = pd.concat([table.assign(w=1), table.assign(w=0, age=-1e6)])
    rows.to_csv(tmp_path / "data.csv", index=False)
    options = ("--target", "yield", "--weights", "w", "--no-plot", "--experts", "1-2")
    assert run("fit", tmp_path / "data.csv", *options).exit_code == 0
    assert load_model("data.moefast.json").n_samples_fit_ == len(table)


@pytest.mark.parametrize("kind", ["robust", "nonrobust"])
def test_standard_errors_are_those_of_inference(fitted, table, kind, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    plain, with_errors = fitted()[1].stdout, fitted("--errors", kind)[1].stdout
    X, y = table.drop(columns="yield"), table["yield"]
    model = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    tables, search = model.summary(model.inference(X, y, cov_type=kind)).to_text(120).split("Converged")
    assert "CPU time" in search  # which is another one in each fit
    assert tables in with_errors
    assert tables not in plain


def test_without_standard_errors_the_rest_is_done(run, csv_file, monkeypatch):
    def fails(*args, **options):
        raise ValueError("no luck")

    monkeypatch.setattr(MixtureOfExpertsRegressor, "inference", fails)
    result = run("fit", csv_file, "--target", "yield", "--no-plot", "--errors", "robust")
    assert result.exit_code == 1
    assert "there are no standard errors: no luck" in result.stderr
    assert "model saved" in result.stdout
    assert "log-likelihood" in result.stdout


# ---- formulas ------------------------------------------------------------------------------------------

FORMULA = "log(Q('yield')) ~ age + C(kind) | dose"


@pytest.fixture
def words(table, tmp_path):
    kinds = np.where(np.arange(len(table)) % 3 > 0, "wet", "dry")
    data = table.assign(kind=kinds, **{"yield": np.exp(0.1 * table["yield"])})
    data.to_csv(tmp_path / "words.csv", index=False)
    return data


def test_a_formula_reads_words_and_says_what_is_fitted(run, words, tmp_path):
    result = run("fit", tmp_path / "words.csv", "--formula", FORMULA, "--errors", "robust", "--no-plot")
    assert result.exit_code == 0, result.output
    assert f"words.csv: {len(words)} rows, {FORMULA}" in result.stdout
    assert "C(kind)[T.wet]" in result.stdout
    model = load_model("words.moefast.json")
    direct = MixtureOfExpertsRegressor(2, formula=FORMULA, random_state=0).fit(words)
    np.testing.assert_allclose(model.predict(words), direct.predict(words), rtol=1e-9)
    words.drop(columns="yield").iloc[:5].to_csv(tmp_path / "new.csv", index=False)
    result = run("predict", "words.moefast.json", tmp_path / "new.csv")
    assert result.exit_code == 0, result.output
    found = np.array(result.stdout.split()[1:], dtype=float)
    np.testing.assert_allclose(found, direct.predict(words)[:5], rtol=1e-9)
    words.assign(kind="damp").to_csv(tmp_path / "new.csv", index=False)
    result = run("predict", "words.moefast.json", tmp_path / "new.csv")
    assert result.exit_code == 1
    assert "C(kind) has levels in X that it had not at the fit: 'damp'" in result.stderr


def test_a_formula_with_a_dot_leaves_out_weights_and_ignored_columns(run, words, tmp_path):
    arguments = (
        "--formula",
        "yield ~ .",
        "--weights",
        "dose",
        "--ignore",
        "flow rate",
        "--no-plot",
        "--experts",
        "1-2",
    )
    words.assign(dose=words["dose"].abs()).to_csv(tmp_path / "words.csv", index=False)
    result = run("fit", tmp_path / "words.csv", *arguments)
    assert result.exit_code == 0, result.output
    assert list(load_model("words.moefast.json").feature_names_in_) == ["age", "kind[T.wet]"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "either by --target or by --formula"),
        (("--formula", FORMULA, "--target", "yield"), "either by --target or by --formula"),
        (("--formula", FORMULA, "--gate-features", "age"), "--formula says which columns"),
        (("--formula", FORMULA, "--constant-gates"), "--formula says which columns"),
        (("--formula", "yield ~ nothing"), "'nothing', which X has not"),
        (("--formula", "yield"), "formula must have a ~"),
        (("--formula", "yield ~ f(age)"), "no function that a formula may call"),
        (("--formula", "~ age"), "so y is needed"),
    ],
)
def test_formulas_that_do_not_fit(run, csv_file, options, message):
    result = run("fit", csv_file, "--no-plot", *options)
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit)
    assert message in " ".join(result.stderr.split())
    assert os.listdir() == []
