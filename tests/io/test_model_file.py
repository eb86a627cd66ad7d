"""Model files: exact, safe, versioned, and refused when anything is wrong with them."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

import moefast
from moefast import MixtureOfExpertsRegressor, ModelFileError, load_model, save_model


@pytest.fixture(scope="module")
def model(table):
    return MixtureOfExpertsRegressor(2, random_state=0).fit(table.drop(columns="yield"), table["yield"])


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "model.json"
    save_model(model, path, target="yield")
    return path


def _rewrite(path, change):
    """Change a document and give it a checksum that fits, as an attacker or another program could."""
    document = json.loads(path.read_text())
    change(document)
    text = json.dumps(document["content"], sort_keys=True, separators=(",", ":"))
    document["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(document))


def test_round_trip_is_exact(model, saved, table):
    again = load_model(saved)
    X, y = table.drop(columns="yield"), table["yield"]
    for name in ("coef_", "intercept_", "gate_coef_", "gate_intercept_", "sigma_", "shares_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.log_likelihood(X, y) == model.log_likelihood(X, y)
    for name in ("log_likelihood_", "aic_", "bic_", "icl_", "entropy_", "n_parameters_", "training_weight_"):
        assert getattr(again, name) == getattr(model, name)
    assert str(again.summary()) == str(model.summary())
    assert again.fit_report_ == model.fit_report_
    assert list(again.feature_names_in_) == list(model.feature_names_in_)
    assert again.target_name_ == "yield"
    assert again.get_params() == model.get_params()


def test_same_model_gives_same_bytes(model, saved, tmp_path):
    save_model(load_model(saved), tmp_path / "again.json", target="yield")
    assert (tmp_path / "again.json").read_bytes() == saved.read_bytes()


def test_numpy_parameters_are_saved(table, tmp_path):
    """Grid searches hand numpy scalars over as parameters."""
    model = MixtureOfExpertsRegressor(np.int64(2), tol=np.float64(1e-6), random_state=np.int64(1))
    model.fit(table[["age"]], table["yield"])
    save_model(model, tmp_path / "m.json")
    assert load_model(tmp_path / "m.json").get_params()["random_state"] == 1


def test_nonlinear_link_round_trip(tmp_path):
    X, y, _ = moefast.datasets.make_moe(20000, 4, 2, link="tanh", orthogonal_gate=True, random_state=0)
    model = MixtureOfExpertsRegressor(2, link="tanh", polish=False, random_state=0).fit(X, y)
    save_model(model, tmp_path / "m.json")
    np.testing.assert_array_equal(load_model(tmp_path / "m.json").predict(X), model.predict(X))


def test_unfitted_and_own_functions_are_refused(tmp_path):
    with pytest.raises(NotFittedError):
        save_model(MixtureOfExpertsRegressor(), tmp_path / "m.json")
    X, y, _ = moefast.datasets.make_moe(20000, 4, 2, link=np.arctan, orthogonal_gate=True, random_state=0)
    own = MixtureOfExpertsRegressor(2, link=np.arctan, polish=False, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="arctan"):
        save_model(own, tmp_path / "m.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", [4, 7, "6", None])
def test_another_version_is_refused_with_all_numbers(saved, version):
    _rewrite(saved, lambda d: d.update(version=version))
    with pytest.raises(ModelFileError, match=rf"version {version!r};.* reads versions 5 and 6:"):
        load_model(saved)


def test_a_file_of_version_5_is_read(tmp_path):
    """Written by the last moefast that had that version; its law by hand."""
    path = Path(__file__).parent / "model_of_version_5.json"
    document, model = json.loads(path.read_text()), load_model(path)
    assert document["version"] == 5
    of = {name: np.array(values) for name, values in document["content"]["arrays"].items()}
    x = np.linspace(-1.0, 1.0, 5)[:, None]
    scores = np.exp(x @ of["gate_coef_"].T + of["gate_intercept_"])
    means = x @ of["coef_"].T + of["intercept_"]
    expected = (scores * means).sum(axis=1) / scores.sum(axis=1)
    np.testing.assert_allclose(model.predict(pd.DataFrame(x, columns=["x"])), expected, rtol=1e-12)
    assert (model.target_name_, model.n_samples_fit_, model.converged_) == ("y", 60, True)
    save_model(model, tmp_path / "again.json")
    again = json.loads((tmp_path / "again.json").read_text())
    assert (again["version"], again["content"]) == (6, document["content"])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_file_cut_short_is_refused(saved, share):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ModelFileError, match="cut short"):
        load_model(saved)


def test_every_changed_number_is_noticed(saved):
    """First digits: a change in the 17th digit can be a spelling of the same number, which is no damage."""
    data = saved.read_bytes()
    start = data.index(b'"arrays"')
    digits = [i for i in range(start, len(data)) if data[i : i + 1].isdigit() and data[i - 1] in b" -["]
    for i in digits[:: max(1, len(digits) // 60)]:
        other = b"7" if data[i : i + 1] != b"7" else b"3"
        saved.write_bytes(data[:i] + other + data[i + 1 :])
        with pytest.raises(ModelFileError):
            load_model(saved)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe\x00", b"a,b\n1,2\n", b"[" * 100000, b'{"format": "moefast model"}'],
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "m.json"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"m\.json"):
        load_model(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["content"]["arrays"].pop("sigma_"),
        lambda d: d["content"]["arrays"].update(sigma_=[1.0]),
        lambda d: d["content"]["arrays"].update(coef_=[["x"]]),
        lambda d: d["content"]["arrays"]["intercept_"].__setitem__(0, float("nan")),
        lambda d: d["content"]["parameters"].update(n_experts="many"),
        lambda d: d["content"]["parameters"].update(unknown=1),
        lambda d: d["content"].update(feature_names=["one"]),
        lambda d: d["content"].update(fit_report={}),
        lambda d: d["content"]["fit_report"]["starts"][0].pop("detour"),
        lambda d: d["content"]["fit_report"]["starts"][0].update(detour="scenic"),
        lambda d: d["content"]["fit_report"]["moves"][0].update(detour=["annealed"]),
        lambda d: d["content"].update(figures=None),
    ],
)
def test_content_that_does_not_fit_is_refused(saved, change):
    """A checksum that is right does not make the content right."""
    _rewrite(saved, change)
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(saved)


def test_directories_and_missing_files(tmp_path, model):
    with pytest.raises(IsADirectoryError):
        load_model(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none.json")
    with pytest.raises(IsADirectoryError):
        save_model(model, tmp_path)
    with pytest.raises(FileNotFoundError, match="folder"):
        save_model(model, tmp_path / "no" / "m.json")


def test_a_failed_save_keeps_the_old_file(model, saved, monkeypatch):
    before = saved.read_bytes()

    def fail(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.write_text", fail)
    with pytest.raises(OSError, match="disk full"):
        save_model(model, saved)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]
