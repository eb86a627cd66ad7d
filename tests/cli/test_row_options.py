"""What the console takes besides features is what `fit` takes: offsets, trials, groups, weights."""

import numpy as np
import pandas as pd
import pytest

from moefast import BaggedMixtureOfExperts, MixtureOfExpertsRegressor, load_model, save_model


@pytest.fixture
def counts(tmp_path):
    """Deaths of towns of very different size, successes of trials, and of which town a row is."""
    rng = np.random.default_rng(0)
    n = 300
    frame = pd.DataFrame({"age": rng.uniform(0, 4, n), "size": rng.uniform(1, 50, n).round(3)})
    frame["log_size"] = np.log(frame["size"])
    first = rng.uniform(size=n) < 0.5
    rate = np.exp(np.where(first, 0.2 * frame["age"], 2 - 0.3 * frame["age"]))
    frame["deaths"] = rng.poisson(rate * frame["size"])
    frame["trials"] = rng.integers(5, 30, n)
    frame["successes"] = rng.binomial(frame["trials"], 1 / (1 + np.exp(np.where(first, 2, -2 + frame["age"]))))
    frame["town"] = [f"town {i // 3}" for i in range(n)]
    frame["w"] = np.repeat(rng.integers(1, 4, n // 3), 3)
    path = tmp_path / "counts.csv"
    frame.to_csv(path, index=False)
    return path, frame


CASES = [
    (("--target", "deaths", "--family", "poisson", "--offset", "log_size"), "poisson", {"offset": "log_size"}),
    (("--target", "successes", "--family", "binomial", "--trials", "trials"), "binomial", {"n_trials": "trials"}),
    (
        ("--target", "deaths", "--groups", "town", "--weights", "w", "--constant-gates"),
        "gaussian",
        {"groups": "town", "sample_weight": "w"},
    ),
]


@pytest.mark.parametrize(("options", "family", "rows"), CASES)
def test_columns_of_the_rows_are_what_fit_takes(run, counts, options, family, rows):
    path, frame = counts
    target = options[1]
    ignored = [name for name in frame if name not in ("age", target, *rows.values())]
    leave_out = [word for name in ignored for word in ("--ignore", name)]
    result = run("fit", path, *options, *leave_out, "--errors", "robust", "--no-plot")
    assert result.exit_code == 0, result.output
    assert "there are no standard errors" not in result.output
    found = load_model("counts.moefast.json")
    gates = {"gate_features": []} if "--constant-gates" in options else {}
    model = MixtureOfExpertsRegressor(2, family=family, random_state=0, **gates)
    model.fit(frame[["age"]], frame[target], **{what: frame[name] for what, name in rows.items()})
    np.testing.assert_allclose(found.coef_, model.coef_, rtol=1e-6)
    assert found.log_likelihood_ == pytest.approx(model.log_likelihood_, rel=1e-9)


def test_predictions_take_offset_and_trials(run, counts):
    path, frame = counts
    leave_out = [word for name in ("size", "trials", "successes", "town", "w") for word in ("--ignore", name)]
    arguments = ("--target", "deaths", "--family", "poisson", "--offset", "log_size", *leave_out)
    result = run("fit", path, *arguments)
    assert result.exit_code == 0, result.output
    assert "no picture: what it would show depends on each row's offset or trials" in result.stderr
    result = run("predict", "counts.moefast.json", path, "--offset", "log_size", "--output", "out.csv")
    assert result.exit_code == 0, result.output
    expected = load_model("counts.moefast.json").predict(frame[["age"]], offset=frame["log_size"])
    np.testing.assert_allclose(pd.read_csv("out.csv")["prediction"], expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--target", "deaths", "--offset", "nothing"), "no column 'nothing'"),
        (("--target", "deaths", "--offset", "town"), "column 'town' is not numeric"),
        (("--target", "deaths", "--offset", "deaths"), "cannot be the target"),
    ],
)
def test_columns_that_cannot_be_are_refused_by_name(run, counts, no_fit, options, said):
    result = run("fit", counts[0], *options)
    assert result.exit_code == 1
    assert said in result.stderr


def test_a_row_without_a_group_is_named(run, counts, tmp_path):
    path, frame = counts
    frame.assign(town=frame["town"].where(frame.index != 4)).to_csv(path, index=False)
    result = run("fit", path, "--target", "deaths", "--groups", "town")
    assert result.exit_code == 1
    assert "column 'town' names no group in data row 5" in result.stderr


def test_several_responses_are_columns_of_their_own(run, counts):
    path, frame = counts
    names = ["deaths", "successes"]
    model = MixtureOfExpertsRegressor(2, random_state=0, n_init=2).fit(frame[["age"]], frame[names])
    save_model(model, "both.moefast.json")
    result = run("predict", "both.moefast.json", path, "--details", "--output", "out.csv")
    assert result.exit_code == 0, result.output
    found = pd.read_csv("out.csv")
    columns = [f"{what}_{name}" for what in ("prediction", "std") for name in names]
    assert list(found) == [*columns, "expert_0", "expert_1"]
    np.testing.assert_allclose(found[columns[:2]], model.predict(frame[["age"]]), rtol=1e-9)


def test_an_average_has_no_summary_and_the_console_says_so(run, counts):
    _, frame = counts
    one = MixtureOfExpertsRegressor(2, n_init=1, max_iter=20)
    average = BaggedMixtureOfExperts(one, n_replicates=3, n_folds=3, random_state=0)
    save_model(average.fit(frame[["age"]], frame["deaths"]), "average.moefast.json")
    result = run("summary", "average.moefast.json")
    assert result.exit_code == 1
    assert "is an average of 3 mixtures, which has no summary" in result.stderr
