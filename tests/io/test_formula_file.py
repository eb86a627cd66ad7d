"""Model files with formulas: what was learnt comes back to the bit, and nothing in them is run."""

import copy
import hashlib
import json
import sys

import numpy as np
import pandas as pd
import pytest
from formula_data import table

from moefast import MixtureOfExpertsRegressor, ModelFileError, load_model, save_model

DATA = table()
FORMULAS = [
    "log(y) ~ bs(x, df=4) + C(word) | center(z) + C(code)",
    "scale(y) ~ poly(x, 2) + flag | cr(z, df=3, constraints='center') + C(flag)",
    "~ . - y | 1",
    "y ~ size + log(`my col`) - 1 | standardize(z)",
]


def fitted(formula):
    y = None if not formula.startswith("~") else DATA["y"]
    return MixtureOfExpertsRegressor(2, formula=formula, n_init=2, random_state=0, max_iter=5000).fit(DATA, y)


@pytest.mark.parametrize("formula", FORMULAS)
def test_round_trip_is_exact(formula, tmp_path):
    model = fitted(formula)
    save_model(model, tmp_path / "m.json")
    again = load_model(tmp_path / "m.json")
    new = DATA.iloc[5:11]
    np.testing.assert_array_equal(again.predict(new), model.predict(new))
    assert again.formula == formula
    assert again.target_name_ == model.target_name_
    assert str(again.summary()) == str(model.summary())
    if not formula.startswith("~"):
        assert again.score(DATA) == model.score(DATA)
    save_model(again, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "m.json").read_bytes()
    with pytest.raises(ValueError, match="which X has not"):
        again.predict(new[["x"]])


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "m.json"
    save_model(fitted(FORMULAS[0]), path)
    return json.loads(path.read_text())


def load(document, folder):
    text = json.dumps(document["content"], sort_keys=True, separators=(",", ":"))
    document["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "forged.json").write_text(json.dumps(document))
    return load_model(folder / "forged.json")


FORGED = [
    ("text", 5, r"formula\.text must be a text"),
    ("text", "y ~ __import__('os').system('true')", "no function that a formula may call"),
    ("text", "__import__('os').system('true') ~ x", "no function that a formula may call"),
    ("text", "no formula", "must have a ~"),
    ("expert_names", ["x"], "columns of formula"),
    ("expert_names", "x", r"formula\.expert_names must be a list"),
    ("gate_names", [1], r"formula\.gate_names\[0\] must be a text"),
    ("levels", [["C(word)"]], r"formula\.levels\[0\] must be a list of 2"),
    (
        "levels",
        [["C(word)", [None]]],
        r"formula\.levels\[0\]\[1\]\[0\] must be a text or true or false or a finite",
    ),
    (
        "state",
        [["center(z)", {"pairs": [["center", {"code": "x"}]]}]],
        r"formula\.state\[0\]\[1\] must be what a term",
    ),
    ("state", [["center(z)", {"pairs": [["center"]]}]], r"formula\.state\[0\]\[1\] must be what a term"),
    ("state", [["center(z)", {"array": [[1], [1, 2]]}]], r"formula\.state\[0\]\[1\] must be what a term"),
    ("state", [["center(z)", {"array": ["a"]}]], r"formula\.state\[0\]\[1\] must be what a term"),
    ("state", [["center(z)", {"array": [1.0], "pairs": []}]], r"formula\.state\[0\]\[1\] must be what a term"),
    ("columns", None, r"formula\.columns must be a list"),
    ("unknown", 1, "unknown field 'unknown'"),
]


@pytest.mark.parametrize(("field", "value", "message"), FORGED)
def test_forged_fields_are_refused_by_name(document, tmp_path, field, value, message):
    forged = copy.deepcopy(document)
    forged["content"]["formula"][field] = value
    if field == "text":  # a consistent forgery
        forged["content"]["parameters"]["formula"] = None
    with pytest.raises(ModelFileError, match=message):
        load(forged, tmp_path)


@pytest.mark.parametrize("field", ["text", "expert_names", "gate_names", "levels", "state", "columns"])
def test_every_field_is_needed(document, tmp_path, field):
    forged = copy.deepcopy(document)
    del forged["content"]["formula"][field]
    with pytest.raises(ModelFileError, match=rf"formula\.{field} is missing"):
        load(forged, tmp_path)


UNFIT = [
    ("state", []),
    ("state", [["bs(x, df=4)", {"pairs": []}], ["center(z)", {"pairs": []}]]),
    ("text", "log(y) ~ x | z"),
    ("levels", []),
    ("levels", [["C(word)", ["a", "b"]], ["C(code)", [1, 2, 3]]]),
]


@pytest.mark.parametrize(("field", "value"), UNFIT)
def test_what_does_not_fit_together_is_noticed_at_the_latest_on_data(document, tmp_path, field, value):
    """The library would learn state that is not there anew, from the rows to predict."""
    forged = copy.deepcopy(document)
    forged["content"]["formula"][field] = value
    model = load(forged, tmp_path)
    with pytest.raises(ValueError, match=r"^formula"):
        model.predict(DATA[:50])


def test_levels_that_are_no_texts_or_numbers_are_refused_when_saving(tmp_path):
    data = DATA.assign(word=pd.cut(DATA["x"], 3))
    model = MixtureOfExpertsRegressor(2, formula="y ~ word | z", n_init=2, random_state=0).fit(data)
    assert model.predict(data[:3]).shape == (3,)
    with pytest.raises(ValueError, match=r"levels of word are of type Interval.*astype\(str\)"):
        save_model(model, tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()


def test_a_file_with_a_formula_needs_the_library(document, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "formulaic"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "formulaic", None)
    with pytest.raises(ImportError, match=r"pip install \"moefast\[formula\]\""):
        load(copy.deepcopy(document), tmp_path)
