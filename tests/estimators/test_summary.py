"""The summary has every figure right, in lines that fit, and says what it does not know."""

import importlib
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest

from moefast import (
    HierarchicalMixtureOfExpertsRegressor,
    MixtureOfExpertsRegressor,
    load_model,
    save_model,
    select_n_experts,
)
from moefast.datasets import make_moe
from moefast.estimators.summary import Membership
from moefast.exceptions import DegenerateDataWarning
from oracles.given_inference import GivenInference

X, Y, _ = make_moe(600, 3, 3, noise=0.4, random_state=1)
NAMES = ["age", "dose", "flow rate"]


def fit(X=X, y=Y, k=3, sample_weight=None, **options):
    model = MixtureOfExpertsRegressor(k, n_init=2, random_state=0, **options)
    return model.fit(X, y, sample_weight=sample_weight)


@pytest.fixture(scope="module")
def model():
    return fit(pd.DataFrame(X, columns=NAMES), pd.Series(Y, name="yield"))


@pytest.fixture(scope="module")
def wide():
    """20 long names, 6 experts, coefficients of all sizes."""
    rng = np.random.default_rng(0)
    names = [f"a rather long name of column {j}" for j in range(20)]
    X = pd.DataFrame(rng.normal(size=(900, 20)) * 10.0 ** rng.integers(-4, 5, 20), columns=names)
    y = X.iloc[:, 0] / X.iloc[:, 0].std() * rng.choice([-1, 1], 900) + rng.normal(size=900)
    return MixtureOfExpertsRegressor(6, noise="shared", start="random", n_init=1, tol=1e-3, random_state=0).fit(
        X, y
    )


# ---- whose rows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("block_rows", [7, 10_000])
@pytest.mark.parametrize("tree", [False, True])
def test_membership_is_what_a_loop_over_rows_counts(tree, block_rows, monkeypatch):
    monkeypatch.setattr("moefast.estimators.summary.membership._BLOCK_ROWS", block_rows)
    w = np.random.default_rng(0).uniform(0.5, 2, 600)
    if tree:
        model = HierarchicalMixtureOfExpertsRegressor((2, 2), n_init=2, random_state=0).fit(X, Y, sample_weight=w)
    else:
        model = fit(sample_weight=w)
    k, r, p = len(model.coef_), model.responsibilities(X, Y), model.predict_gates(X)
    prior, size, support, entropy = np.zeros(k), np.zeros(k), np.zeros(k), 0.0
    for n in range(600):
        size[max(range(k), key=lambda i: r[n, i])] += w[n]
        for i in range(k):
            prior[i] += w[n] * p[n, i] / w.sum()
            support[i] += w[n] * (r[n, i] > 1e-4)
            entropy -= w[n] * r[n, i] * np.log(r[n, i]) if r[n, i] > 0 else 0.0
    found = model.membership_
    np.testing.assert_allclose(found.prior, prior, rtol=1e-10)
    np.testing.assert_allclose(found.size, size, rtol=1e-12)
    np.testing.assert_allclose(found.support, support, rtol=1e-12)
    np.testing.assert_allclose(found.ratio, size / support, rtol=1e-12)
    assert found.entropy == pytest.approx(entropy, rel=1e-10)


def test_priors_are_posterior_shares_at_an_optimum_without_a_ridge():
    """The gradient of a gate's intercept is their difference."""
    model = fit(gate_alpha=0.0, tol=1e-12)
    np.testing.assert_allclose(model.membership_.prior, model.shares_, atol=1e-6)


def test_integer_weights_are_repeated_rows_and_weight_zero_is_none():
    w = np.random.default_rng(0).integers(0, 3, 600)
    with pytest.warns(DegenerateDataWarning, match="separated"):
        one = fit(sample_weight=w)
    with pytest.warns(DegenerateDataWarning, match="separated"):
        other = fit(np.repeat(X, w, axis=0), np.repeat(Y, w))
    np.testing.assert_allclose(one.membership_.size, other.membership_.size)
    assert one.membership_.entropy == pytest.approx(other.membership_.entropy, rel=1e-6)
    text = str(one.summary())
    assert f"sum of weights {w.sum()}, which is the n of BIC and ICL" in text
    assert "sum of weights" not in str(other.summary())


def test_ratio_of_an_expert_without_rows_is_nan():
    nobody = Membership(np.zeros(1), np.zeros(1), np.zeros(1), 0.0)
    assert np.isnan(nobody.ratio).all()


# ---- figures -------------------------------------------------------------------------------------------


def test_criteria(model):
    r = model.responsibilities(pd.DataFrame(X, columns=NAMES), Y)
    figures = model.summary().figures
    assert figures["n"] == 600
    assert figures["df"] == 3 * 4 + 2 * 4 + 3
    assert figures["log-likelihood"] == pytest.approx(model.log_likelihood(pd.DataFrame(X, columns=NAMES), Y))
    assert figures["AIC"] == pytest.approx(2 * 23 - 2 * model.log_likelihood_)
    assert figures["BIC"] == pytest.approx(np.log(600) * 23 - 2 * model.log_likelihood_)
    assert figures["entropy"] == pytest.approx(-(r * np.log(r)).sum(), rel=1e-9)
    assert figures["ICL"] == pytest.approx(figures["BIC"] + 2 * figures["entropy"])
    lines = str(model.summary()).splitlines()
    assert lines[0] == "Mixture of 3 linear experts for yield"
    for name, value in figures.items():
        assert f"{name} {value:.3f}" in " ".join(" ".join(lines[2:4]).split()) or name in ("n", "df")
    assert lines[2].startswith("n  600 ")
    assert lines[3].startswith("df  23 ")


@pytest.mark.parametrize(
    ("y", "name"),
    [
        (pd.Series(Y, name="yield"), "yield"),
        (pd.Series(Y, name=7), "7"),
        (pd.Series(Y), None),
        (pl.Series("yield", Y), "yield"),
        (pl.Series(Y), None),
        (Y, None),
        (list(Y), None),
    ],
    ids=["pandas", "number", "pandas-unnamed", "polars", "polars-unnamed", "array", "list"],
)
def test_the_target_has_the_name_of_y(y, name):
    model = fit(y=y, k=1)
    assert model.target_name_ == name
    assert str(model.summary()).splitlines()[0] == "Mixture of 1 linear expert" + (f" for {name}" if name else "")


def test_name_of_a_frame_with_one_column():
    """scikit-learn warns of such a response, and takes it."""
    from moefast.estimators.summary import response_name

    assert response_name(pd.DataFrame({"yield": Y})) == "yield"
    assert response_name(pd.DataFrame({"a": Y, "b": Y})) is None


def test_files_keep_the_name_and_the_rows(model, tmp_path):
    save_model(model, tmp_path / "m.json")
    again = load_model(tmp_path / "m.json")
    assert again.target_name_ == "yield"
    assert str(again.summary()) == str(model.summary())
    save_model(model, tmp_path / "m.json", target="crop")
    assert load_model(tmp_path / "m.json").target_name_ == "crop"


@pytest.mark.parametrize(
    ("options", "first_line"),
    [
        ({"k": 1}, "Mixture of 1 linear expert"),
        ({"k": 2, "link": "tanh", "n_init": 1}, "Mixture of 2 experts with the link tanh"),
    ],
)
def test_the_kind_of_model(options, first_line):
    k, n_init = options.pop("k"), options.pop("n_init", 2)
    summary = MixtureOfExpertsRegressor(k, n_init=n_init, random_state=0, **options).fit(X, Y).summary()
    assert str(summary).splitlines()[0] == first_line
    assert ("Search:" in str(summary)) == (k > 1)  # least squares has one optimum
    assert len(summary.gates) == k - 1


def test_a_tree_says_its_shape():
    model = HierarchicalMixtureOfExpertsRegressor((2, 2), n_init=2, random_state=0).fit(X, Y)
    summary = model.summary()
    assert str(summary).splitlines()[0] == "Hierarchical mixture of 2 x 2 linear experts"
    frame = summary.to_frame()["estimate"]
    assert frame["gates", "expert 1.0", "x2"] == model.gate_coef_[1][1, 0, 2]
    assert frame["gates", "branch 0", "(intercept)"] == model.gate_intercept_[0][0, 0]
    assert frame.index.is_unique


def test_collapsed_experts_are_named():
    rng = np.random.default_rng(0)
    y = Y.copy()
    y[:80] = 7.0  # a spike
    with pytest.warns(DegenerateDataWarning, match="collapsed"):
        model = MixtureOfExpertsRegressor(2, random_state=0, n_init=4).fit(rng.normal(size=(600, 1)), y)
    (i,) = model.fit_report_.collapsed
    assert f"Collapsed (noise at its floor, or too few different rows): expert {i}." in str(model.summary())


# ---- text ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_lines_fit_and_no_coefficient_is_lost(wide, width):
    summary = wide.summary()
    text = summary.to_text(width)
    assert max(map(len, text.splitlines())) <= width
    assert all(line == line.rstrip() for line in text.splitlines())
    names = [line.split("  ")[0] for line in text.splitlines() if line.startswith("a rather")]
    assert len(set(names)) == 20  # shortened, and still different
    words = text.replace("-0 ", "0 ").split()
    for table in (summary.experts, *summary.gates):
        for value in table.values.ravel():
            shown = [float(w) for w in {f"{value:.4g}", f"{value:.0f}"} & set(words)]
            assert any(abs(v - value) <= 5e-4 * abs(value) for v in shown), value
    if width == 80:
        assert text == str(summary) == repr(summary)


def test_wide_tables_are_cut_in_even_parts(wide):
    headers = [
        line.split()
        for line in wide.summary().to_text(80).splitlines()
        if line.startswith("  ") and "expert" in line
    ]
    counts = [sum(word.isdigit() for word in header) for header in headers]
    assert counts == [3, 3, 3, 2]
    one_table = wide.summary().to_text(140).splitlines()
    assert sum(line.startswith("  ") and "expert 5" in line for line in one_table) == 1


def test_standard_errors_stand_beside_the_estimates(model):
    a, w = model.coef_[1], model.gate_coef_[0]
    errors = {
        ("expert 1", "dose"): abs(a[1]) / 2.5,
        ("expert 1", "age"): abs(a[0]) / 99.0,
        ("gate 0", "flow rate"): abs(w[2]),
        ("expert 2", "log(sigma)"): 0.1,
    }
    given = replace(GivenInference.of(model, errors), messages=("The gate of expert 1 is separated.",))
    summary = model.summary(given)
    assert given.reference == 2  # gates are shown against the last expert
    lines = str(summary).splitlines()
    start = lines.index("expert 1")
    assert lines[start + 1].split() == ["estimate", "std.", "error", "z", "P>|z|", "[0.025", "0.975]"]
    age, dose, flow = lines[start + 3 : start + 6]
    sign = np.sign(a)
    assert age.split()[1:5] == [f"{a[0]:.4g}", f"{abs(a[0]) / 99:.4g}", f"{99 * sign[0]:.2f}", "<0.001"]
    error = abs(a[1]) / 2.5
    ends = f"{a[1] - 1.959964 * error:.4g}", f"{a[1] + 1.959964 * error:.4g}"
    assert dose.split()[1:] == [f"{a[1]:.4g}", f"{error:.4g}", f"{2.5 * sign[1]:.2f}", "0.012", *ends]
    assert flow.split() == ["flow", "rate", f"{a[2]:.4g}"]  # not estimable
    s = model.sigma_[2]
    (sigma,) = (line for line in lines[lines.index("expert 2") :] if line.startswith("sigma"))
    ends = [f"{s * np.exp(sign * 0.1959964):.4g}" for sign in (-1, 1)]
    assert sigma.split() == ["sigma", f"{s:.4g}", f"{0.1 * s:.4g}", *ends]  # that it is 0 is no hypothesis
    frame = summary.to_frame()
    assert list(frame) == ["estimate", "std_error", "z", "p_value", "ci_low", "ci_high"]
    row = frame.loc["gates", "expert 0", "flow rate"]
    assert row["std_error"] == abs(w[2])
    assert row["p_value"] == pytest.approx(0.3173105)
    assert frame["std_error"].notna().sum() == 4
    assert f"{error:.4g}" in summary._repr_html_()
    text = " ".join(str(summary).split())
    assert "Standard errors: robust (sandwich). The gate of expert 1 is separated. Converged after" in text
    narrow = summary.to_text(60)
    assert "[0.025" not in narrow
    assert "P>|z|" in narrow
    assert max(map(len, narrow.splitlines())) <= 60


def test_shared_noise_has_one_standard_error():
    model = MixtureOfExpertsRegressor(2, noise="shared", n_init=2, random_state=0).fit(X, Y)
    frame = model.summary(GivenInference.of(model, {("all experts", "log(sigma)"): 0.1})).to_frame()
    s = model.sigma_[0]
    for i in range(2):
        row = frame.loc["experts", f"expert {i}", "sigma"]
        assert tuple(row[["std_error", "ci_low", "ci_high"]]) == pytest.approx(
            (0.1 * s, s * np.exp(-0.1959964), s * np.exp(0.1959964))
        )


def test_inference_of_another_fit_is_refused(model):
    other = fit(pd.DataFrame(X[:300], columns=NAMES), Y[:300])
    with pytest.raises(
        ValueError, match=r"inference is of another fit: its estimate of expert 0, age is .*model's"
    ):
        model.summary(GivenInference.of(other, {}))


def test_what_was_not_to_be_used_is_not_shown_as_an_estimate():
    table = pd.DataFrame(X, columns=NAMES)
    options = {"n_init": 2, "random_state": 0, "fit_intercept": False}
    model = MixtureOfExpertsRegressor(2, expert_features=["age", "dose"], gate_features=[], **options).fit(
        table, Y
    )
    summary = model.summary()
    assert summary.experts.terms == ("age", "dose", "sigma")
    assert summary.gates[0].terms == ("(intercept)",)
    lines = str(summary).splitlines()
    assert "All 0: flow rate, (intercept)" in lines
    assert "All 0: age, dose, flow rate" in lines
    assert sum(line.startswith("flow rate") for line in lines) == 0
    assert len(summary.to_frame()) == 2 * 3 + 1
    assert summary.experts.estimate("expert 1", "flow rate") == 0.0
    equal = (
        MixtureOfExpertsRegressor(2, gate_features=[], fit_gate_intercept=False, **options).fit(table, Y).summary()
    )
    for shown in (equal, MixtureOfExpertsRegressor.summary(model, GivenInference.of(model, {}))):
        assert shown._repr_html_().count("<table") == 3 + (shown is not equal)
    gates = str(equal).split("Gates: log-odds against expert 1\n")[1].splitlines()
    assert gates[:2] == ["All 0: age, dose, flow rate, (intercept)", ""]  # and no empty table
    assert len(equal.to_frame()) == 2 * 4
    assert summary.experts.estimate("expert 1", "dose") == model.coef_[1, 1]


# ---- tables --------------------------------------------------------------------------------------------


def test_frames(model):
    summary = model.summary()
    frame = summary.to_frame()
    assert list(frame) == ["estimate"]
    assert frame.index.names == ["block", "component", "term"]
    assert len(frame) == 3 * 5 + 2 * 4
    experts = frame["estimate"].unstack("term").loc["experts"]
    np.testing.assert_array_equal(experts[NAMES], model.coef_)
    np.testing.assert_array_equal(experts["sigma"], model.sigma_)
    np.testing.assert_array_equal(experts["(intercept)"], model.intercept_)
    gates = frame["estimate"].unstack("term").loc["gates"]
    np.testing.assert_array_equal(gates[NAMES], model.gate_coef_[:-1])
    rows = summary.to_frame("rows")
    np.testing.assert_array_equal(rows["posterior"], model.shares_)
    np.testing.assert_array_equal(rows["size"], model.membership_.size)
    assert list(rows) == ["prior", "posterior", "size", "post>0", "ratio"]
    assert summary.to_frame("fit").loc["df", "value"] == 23
    with pytest.raises(ValueError, match=r"table must be one of .*'rows'.* got 'row'"):
        summary.to_frame("row")


def test_html_has_the_numbers_and_no_markup_of_the_data():
    names = ["<b>age</b>", "dose & co", "x"]
    html = fit(pd.DataFrame(X, columns=names), pd.Series(Y, name="<i>y</i>"), k=2).summary()._repr_html_()
    assert "<b>age" not in html
    assert "<i>" not in html
    assert html.count("&lt;b&gt;age&lt;/b&gt;") == 2  # experts and gates
    assert "Mixture of 2 linear experts for &lt;i&gt;y&lt;/i&gt;" in html
    assert html.count("<table") == html.count("</table>") == 4
    assert "Search:" in html


def test_latex_escapes_names():
    pytest.importorskip("jinja2")
    names = ["age_0", "50% dose", "x"]
    model = fit(pd.DataFrame(X, columns=names), pd.Series(Y, name="y_1"), k=2)
    latex = model.summary().to_latex()
    assert latex.count(r"\begin{tabular}") == latex.count(r"\caption") == 4
    for text in (r"age\_0 & ", r"50\% dose & ", r"for y\_1}", f"{model.coef_[0, 0]:.4g}"):
        assert text in latex


def test_latex_says_what_it_lacks(model, monkeypatch):
    module = importlib.import_module("moefast.estimators.summary.summary")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install jinja2"):
        model.summary().to_latex()


def test_the_report_is_told_in_words_at_the_end(model):
    report = replace(model.fit_report_, cpu_seconds=1.0)
    assert report.in_words().startswith("Search: 2 starts (the best: ")
    assert " ".join(str(model.summary()).split()).endswith(model.fit_report_.in_words())


def test_the_best_of_several_keeps_the_name_of_y():
    selection = select_n_experts(X, pd.Series(Y, name="yield"), (1, 2), n_folds=None, n_init=1, random_state=0)
    assert selection.best_estimator.target_name_ == "yield"


@pytest.mark.parametrize(
    "options", [{}, {"noise": "shared"}, {"expert_features": ["age"], "gate_features": ["dose"]}]
)
def test_inference_is_shown_as_it_is(options):
    """Every parameter's numbers, whatever the order and the names of the result."""
    table = pd.DataFrame(X, columns=NAMES)
    model = MixtureOfExpertsRegressor(3, n_init=2, random_state=0, **options).fit(table, Y)
    result = model.inference(table, Y)
    frame = model.summary(result.with_reference(0)).to_frame()  # gates are against the last expert nevertheless
    expected = result.summary_frame()
    assert len(frame) == len(expected) + (2 if options.get("noise") == "shared" else 0)
    for (owner, term), row in expected.iterrows():
        if term == "log(sigma)":
            expert = "expert 1" if owner == "all experts" else owner
            found = frame.loc["experts", expert, "sigma"]
            assert found["estimate"] == pytest.approx(np.exp(row["coef"]))
            assert found["std_error"] == pytest.approx(np.exp(row["coef"]) * row["std err"])
            ends = np.exp(row.iloc[-2:])
        else:
            block = "gates" if owner.startswith("gate") else "experts"
            found = frame.loc[block, owner.replace("gate", "expert"), term]
            assert found["estimate"] == pytest.approx(row["coef"])
            assert found["std_error"] == pytest.approx(row["std err"], rel=1e-6)
            assert found["p_value"] == pytest.approx(row["P>|z|"], rel=1e-6)
            ends = row.iloc[-2:]
        assert tuple(found[["ci_low", "ci_high"]]) == pytest.approx(tuple(ends), rel=1e-6)
    lines = str(model.summary(result)).splitlines()
    assert "Standard errors: robust (sandwich)." in lines
    assert max(map(len, lines)) <= 80


def test_a_separated_gate_is_named_and_has_no_error_bar():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(400, 1))
    y = np.where(x[:, 0] > 0, 5.0, -5.0) + 0.1 * rng.normal(size=400)
    with pytest.warns(DegenerateDataWarning, match="separated gates"):
        model = MixtureOfExpertsRegressor(2, random_state=0).fit(x, y)
    with pytest.warns(DegenerateDataWarning, match="separat"):
        result = model.inference(x, y)
    summary = model.summary(result)
    assert summary.to_frame().loc["gates", "std_error"].isna().all()
    assert any("separat" in note for note in summary.notes)
