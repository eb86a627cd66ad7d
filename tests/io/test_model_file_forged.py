"""Model files with a right checksum and wrong content: each field has a type and a range, refused by name."""

import copy
import hashlib
import json
from dataclasses import asdict

import pytest

from moefast import (
    HierarchicalMixtureOfExpertsRegressor,
    MixtureOfExpertsRegressor,
    ModelFileError,
    load_model,
    save_model,
)
from moefast.datasets import make_moe
from moefast.search.report import FitReport
from places import places

NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def model():
    """A fit whose report has climbs and moves."""
    X, y, _ = make_moe(300, 3, 3, noise=0.4, gate_scale=5.0, random_state=1)
    model = MixtureOfExpertsRegressor(3, random_state=0).fit(X, y)
    assert model.fit_report_.climbs
    assert model.fit_report_.moves
    return model


@pytest.fixture(scope="module")
def tree():
    X, y, _ = make_moe(300, 2, 2, noise=0.4, random_state=1)
    return HierarchicalMixtureOfExpertsRegressor((2, 1, 2), n_init=2, max_iter=200, random_state=0).fit(X, y)


def _document(model, folder):
    save_model(model, folder / "m.json", target="yield")
    return json.loads((folder / "m.json").read_text())


@pytest.fixture(scope="module")
def document(model, tmp_path_factory):
    return _document(model, tmp_path_factory.mktemp("models"))


@pytest.fixture(params=["model", "tree"])
def any_document(request, tmp_path):
    """A model with flat gates, and a tree of them."""
    return _document(request.getfixturevalue(request.param), tmp_path)


def _load(document, folder):
    text = json.dumps(document["content"], sort_keys=True, separators=(",", ":"))
    document["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path = folder / "forged.json"
    path.write_text(json.dumps(document))
    return load_model(path)


def _at(content, place):
    for step in place[:-1]:
        content = content[step]
    return content


def _places(value):
    """Every field and entry; of lists the first and the last."""
    return [place for place in places(value, lambda n: sorted({0, n - 1}) if n else ()) if place]


def _name(place):
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in place]
    return "".join(parts).lstrip(".")


# What each field may be beside what it is; every other kind of value is forged.
ALSO = {
    "target": {"text", "null"},
    "feature_names": {"null"},
    "parameters.formula": {"text"},
    "parameters.random_state": {"whole", "null"},
    "parameters.verbose": {"whole", "flag"},
    "parameters.n_init": {"whole"},
    "parameters.start": {"null"},
    "parameters.gate_alpha": {"whole", "number"},
    "parameters.time_budget": {"whole", "number", "null"},
    "parameters.n_threads": {"whole", "null"},
    "parameters.family.df": {"whole", "null"},
    "parameters.family.lower": {"whole", "number", "null"},
    "parameters.family.upper": {"whole", "number", "null"},
    "fit_report.gradient": {"whole", "number", "null"},
    "fit_report.decrement": {"whole", "number", "null"},
    "fit_report.chance_of_another": {"whole", "number", "null"},
    "fit_report.expected_gain": {"whole", "number", "null"},
    "separated_gates": {"null"},
}
KINDS = {
    "text": "forged",
    "null": None,
    "flag": True,
    "whole": 1,
    "number": 0.5,
    "list": [[[]]],
    "object": {"a": 1},
}


def _kind(value):
    if isinstance(value, float):
        return {"number", "whole"}
    names = {str: "text", type(None): "null", bool: "flag", int: "whole", list: "list", dict: "object"}
    return {names[type(value)]}


def test_every_field_has_a_type(any_document, tmp_path):
    """Each field and entry of the file gets a value of each other kind, and is refused by its name."""
    tried = 0
    for place in _places(any_document["content"]):
        name = _name(place)
        allowed = ALSO.get(name, set()) | _kind(_at(any_document["content"], place)[place[-1]])
        for kind in sorted(KINDS.keys() - allowed):
            forged = copy.deepcopy(any_document)
            _at(forged["content"], place)[place[-1]] = KINDS[kind]
            with pytest.raises(ModelFileError) as refused:
                _load(forged, tmp_path)
            assert name in str(refused.value), (name, kind)
            tried += 1
    assert tried > 300


def test_every_field_is_needed_and_no_other_is_taken(any_document, tmp_path):
    may_be_missing = (
        "out_of_time",
        "n_independent",
        "n_at_best",
        "n_optima",
        "chance_of_another",
        "expected_gain",
        "n_rows",
        "n_iter_total",
        "gradient",
        "n_passes",
        "decrement",
        "cpu_seconds",
    )
    for place in _places(any_document["content"]):
        holder = _at(any_document["content"], place)
        if not isinstance(holder, dict):
            continue
        forged = copy.deepcopy(any_document)
        del _at(forged["content"], place)[place[-1]]
        if place[0] == "fit_report" and place[-1] in may_be_missing:
            _load(forged, tmp_path)
        else:
            # a file without what makes it one of a tree lacks what those of flat gates have
            missing = "n_responses" if place == ("branches",) else place[-1]
            with pytest.raises(ModelFileError, match=rf"{missing}( is missing|')"):
                _load(forged, tmp_path)
        forged = copy.deepcopy(any_document)
        _at(forged["content"], place)["forged"] = 1
        with pytest.raises(ModelFileError, match="'forged'"):
            _load(forged, tmp_path)


OUT_OF_RANGE = {
    ("arrays", "shares_", 0): (-0.1, 1.5, NAN),
    ("arrays", "sigma_", 0): (0.0, -1.0, 1e308, INF, NAN),
    ("arrays", "coef_", 0, 0): (NAN, INF, -INF, 10**400),
    ("arrays", "gate_coef_", 0, 0): (NAN, INF),
    ("arrays", "intercept_", 0): (NAN,),
    ("arrays", "gate_intercept_", 0): (-INF,),
    ("n_features",): (0, -1, 4, 2**40),
    ("feature_names",): (["a", "b"], ["a", "b", 3], [["a"], "b", "c"]),
    ("figures", "log_likelihood_"): (NAN, INF),
    ("response_std",): (0.0, -1.0, NAN, INF, [1.0]),
    ("response_names",): (["a", "b"], "a", [1]),
    ("covariance",): ([[[1.0]]], 1.0),
    ("n_responses",): (0, -1, 2, 1.5),
    ("figures", "training_weight_"): (0.0, -5.0),
    ("figures", "n_samples_fit_"): (0, -3, 2**70),
    ("figures", "n_parameters_"): (0,),
    ("figures", "n_iter_"): (-1,),
    ("parameters", "n_experts"): (0, 2**40),
    ("parameters", "link"): ("no link",),
    ("parameters", "noise"): ("no noise",),
    ("parameters", "covariance_type"): ("tied",),
    ("parameters", "start"): ("no start",),
    ("parameters", "n_init"): (0, "many"),
    ("parameters", "max_iter"): (0,),
    ("parameters", "tol"): (-1.0, NAN),
    ("parameters", "alpha"): (-1.0,),
    ("parameters", "gate_alpha"): (-1.0, "much"),
    ("parameters", "noise_floor"): (0.0,),
    ("parameters", "time_budget"): (0.0,),
    ("parameters", "random_state"): (-1,),
    ("parameters", "n_threads"): (0, 10**6),
    ("fit_report", "starts"): ([],),
    ("fit_report", "starts", 0, "log_likelihood"): (NAN,),
    ("fit_report", "starts", 0, "n_iter"): (-1,),
    ("fit_report", "starts", 0, "status"): ("splendid",),
    ("fit_report", "starts", 0, "collapsed"): ([3], [-1]),
    ("fit_report", "chosen"): (-1, 10**6),
    ("fit_report", "collapsed"): ([3],),
    ("fit_report", "moves", 0, "n_gained"): (-1, 10**6),
    ("fit_report", "moves", 0, "n_tried"): (-1,),
    ("fit_report", "climbs", 0, "start"): (-1, 10**6),
    ("fit_report", "climbs", 0, "n_moves"): (-1,),
    ("fit_report", "climbs", 0, "collapsed"): ([3],),
    ("fit_report", "progress", 0): ([1], [1, 2.0, 3.0], [-1, 0.0], [1, NAN]),
    ("fit_report", "n_optima"): (-1,),
    ("fit_report", "chance_of_another"): (-0.1, 1.5),
    ("fit_report", "expected_gain"): (-1.0,),
    ("fit_report", "gradient"): (-1.0, NAN),
    ("fit_report", "n_passes"): (-1,),
    ("fit_report", "decrement"): (-1.0, NAN),
    ("fit_report", "cpu_seconds"): (-1.0, INF),
    ("separated_gates",): ([[2, 0]], [[-1, 0]], [[0, 4]], [[0]], [[0, 1, 1]], [[0, 1.0]]),
}


@pytest.mark.parametrize("place", OUT_OF_RANGE, ids=_name)
def test_every_field_has_a_range(document, tmp_path, place):
    for value in OUT_OF_RANGE[place]:
        forged = copy.deepcopy(document)
        if place == ("feature_names",):
            forged["content"]["feature_names"] = ["a", "b", "c"]
        _at(forged["content"], place)[place[-1]] = value
        with pytest.raises(ModelFileError) as refused:
            _load(forged, tmp_path)
        if place not in (("n_features",), ("n_responses",)):  # a wrong number makes the arrays not fit
            assert _name(place) in str(refused.value)


def test_shares_add_up_and_arrays_agree(document, tmp_path):
    forged = copy.deepcopy(document)
    forged["content"]["arrays"]["shares_"] = [0.5, 0.5, 0.5]
    with pytest.raises(ModelFileError, match=r"the sum of arrays\.shares_"):
        _load(forged, tmp_path)
    for name in document["content"]["arrays"]:
        forged = copy.deepcopy(document)
        forged["content"]["arrays"][name].pop()
        with pytest.raises(ModelFileError, match="arrays"):
            _load(forged, tmp_path)


def test_parameters_that_exclude_each_other(document, tmp_path):
    forged = copy.deepcopy(document)
    forged["content"]["parameters"].update(polish=False, start="random")
    with pytest.raises(ModelFileError, match="polish"):
        _load(forged, tmp_path)


def test_a_version_is_a_number(document, tmp_path):
    with pytest.raises(ModelFileError, match="version True"):
        _load({**document, "version": True}, tmp_path)


def test_what_could_not_be_read_is_not_written(model, tmp_path):
    for parameters, word in (({"verbose": "yes"}, "verbose"), ({"max_iter": -1}, "max_iter")):
        changed = copy.deepcopy(model).set_params(**parameters)
        with pytest.raises(ValueError, match=f"cannot be saved: parameters.{word}"):
            save_model(changed, tmp_path / "m.json")
    with pytest.raises(ValueError, match="cannot be saved: target"):
        save_model(model, tmp_path / "m.json", target=3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("unit", [1e-300, 1e-100, 1e100, 1e300])
def test_honest_models_in_extreme_units_are_kept(tmp_path, unit):
    X, y, _ = make_moe(200, 2, 2, random_state=0)
    model = MixtureOfExpertsRegressor(2, n_init=1, random_state=0).fit(X, unit * y)
    save_model(model, tmp_path / "m.json")
    assert str(load_model(tmp_path / "m.json").summary()) == str(model.summary())


def test_a_report_is_read_strictly(model):
    values = asdict(model.fit_report_)
    assert FitReport.from_dict(values) == model.fit_report_
    for change, name in (
        ({"chosen": "0"}, "chosen"),
        ({"starts": values["starts"][:1], "chosen": 1}, "chosen"),
        ({"n_rows": 1.5}, "n_rows"),
        ({"forged": 1}, "forged"),
    ):
        with pytest.raises(ValueError, match=f"fit_report.*{name}"):
            FitReport.from_dict({**values, **change})
