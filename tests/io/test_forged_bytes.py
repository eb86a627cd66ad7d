"""Accumulators and checkpoints with a right checksum and wrong content."""

import functools
import hashlib
import struct
import warnings
import zlib

import numpy as np
import pytest

from moefast import MixtureOfExpertsClassifier, MomentAccumulator
from moefast.streams import checkpoint as checkpoint_module
from moefast.streams.checkpoint import Checkpoint, CheckpointError
from places import places

# In the header of an accumulator: magic, version, order, item size; d, rows in blocks, rows that wait.
OF_HEADER = {"n_features": 28, "pending": 44}


@pytest.mark.parametrize("field", OF_HEADER)
@pytest.mark.parametrize("value", [-1, -(2**62), 1000, 2**40, 2**62])
def test_sizes_that_an_accumulator_does_not_have(field, value):
    data = bytearray(MomentAccumulator(2).update(np.ones((5, 2)), np.arange(5.0)).to_bytes())
    struct.pack_into("<q", data, OF_HEADER[field], value)
    data[-4:] = zlib.crc32(data[:-4]).to_bytes(4, "little")
    with pytest.raises(ValueError, match=r"data is damaged|n_features must be"):
        MomentAccumulator.from_bytes(bytes(data))


def test_sums_that_no_rows_have():
    """Any number of the sums may be another; variances below 0 are refused by the column."""
    rng = np.random.default_rng(0)
    good = MomentAccumulator(2).update(rng.normal(size=(4096, 2)), rng.normal(size=4096)).to_bytes()
    refused = set()
    for at in range(72, len(good) - 11, 8):  # past the header
        data = bytearray(good)
        struct.pack_into("<d", data, at, -1e6)
        data[-4:] = zlib.crc32(data[:-4]).to_bytes(4, "little")
        try:
            found = MomentAccumulator.from_bytes(bytes(data)).score_moments()
        except ValueError as error:
            refused.add(str(error).split(" has a variance")[0])
        else:
            assert np.isfinite(found.whitening).all()
    assert {"X column 0", "X column 1"} <= refused


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00" * 8,
        b"\xff" * 9,
        (2).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"\xff\xfe",
        (60).to_bytes(8, "little") + b'{"dict": {"belongs_to": {"array": 3}, "state": {"dict": {}}}}',
        (4).to_bytes(8, "little") + b"null\x93NUMPY\x01\x00\x02\x00\xc2\xb4",
    ],
)
def test_checkpoints_of_other_content_are_refused(tmp_path, body):
    path = tmp_path / "c"
    Checkpoint(path, {"rows": 3}).note("pass", 1)
    start = path.read_bytes().index(b"\n") + 1
    path.write_bytes(path.read_bytes()[:start] + hashlib.sha256(body).digest() + body)
    with pytest.raises(CheckpointError, match=r"is damaged: .*; remove it"):
        Checkpoint(path, {"rows": 3})


# ---- checkpoints, field by field ------------------------------------------------------------------------


def _counts(n=3000):
    """Rows of which many are copies, with labels: a fit with every stage."""
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(n, 2)), 1)
    y = np.where(rng.uniform(size=n) < 1 / (1 + np.exp(-4 * X[:, 0] * np.sign(X[:, 1]))), "yes", "no")
    return X, y


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Parts of rows with copies, and the checkpoint of a finished fit of classes to them."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    folder = tmp_path_factory.mktemp("finished")
    X, y = _counts()
    paths = []
    for i in range(3):
        rows = slice(1000 * i, 1000 * (i + 1))
        paths.append(folder / f"{i}.parquet")
        pq.write_table(pa.table({"a": X[rows, 0], "b": X[rows, 1], "y": y[rows]}), paths[-1])
    _fit(paths, folder / "c")
    return paths, (folder / "c").read_bytes()


def _fit(paths, checkpoint):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MixtureOfExpertsClassifier(2, n_init=1, max_iter=20, random_state=0)
        return model.fit_dataset(paths, "y", sample_rows=200, max_passes=2, checkpoint=checkpoint)


def _packed_again(data, change):
    start = data.index(b"\n") + 1
    whole = checkpoint_module._unpacked(data[start + 32 :])
    change(whole["state"])
    body = checkpoint_module._packed(whole)
    return data[:start] + hashlib.sha256(body).digest() + body


def _places(value):
    """Every field and entry; of lists the first."""
    return [place for place in places(value, lambda n: range(min(n, 1))) if place]


def _with(value, path, new):
    """Return a state with another value at a place; tuples stay tuples."""
    if not path:
        return new(value)
    if isinstance(value, dict):
        return {**value, path[0]: _with(value[path[0]], path[1:], new)}
    changed = list(value)
    changed[path[0]] = _with(changed[path[0]], path[1:], new)
    return type(value)(changed)


FORGED = {
    "a text": lambda _: "forged",
    "another shape": lambda a: np.append(a, a) if isinstance(a, np.ndarray) else [[[]]],
    "no number": lambda a: np.full_like(a, np.nan) if isinstance(a, np.ndarray) and a.dtype == float else None,
}


@pytest.mark.parametrize("kind", FORGED)
def test_every_field_of_a_checkpoint_is_refused_by_name(finished, tmp_path, kind):
    paths, data = finished
    state = checkpoint_module._unpacked(data[data.index(b"\n") + 33 :])["state"]
    assert set(state) == {"labels", "first", "candidates", "sample", "optima", "passes"}
    tried = 0
    for place in _places(state):
        if place[:2] == ("optima", "report") and len(place) > 2:
            continue  # the report of model files: test_model_file_forged.py
        if kind == "a text" and place[0] == "labels":
            continue  # a label
        old = functools.reduce(lambda part, step: part[step], place, state)
        if kind == "no number" and (old is None or len(place) == 1 or "sums" in place):
            continue  # the stage is not there then; sums at a bad start need not be finite

        def forge(state, at=place):
            state[at[0]] = _with(state[at[0]], at[1:], FORGED[kind])
            if at[0] == "candidates":  # are not looked at where there is the sample drawn from them
                del state["sample"]

        (tmp_path / "c").write_bytes(_packed_again(data, forge))
        with pytest.raises(CheckpointError, match="content that is not from here: ") as refused:
            _fit(paths, tmp_path / "c")
        assert ("fit_report" if "report" in place else place[0]) in str(refused.value), place
        tried += 1
    assert tried > 20


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("labels",), ["yes", "no"], "increasing order"),
        (("labels",), [], "labels must be"),
        (("first", "n_rows"), -1, r"first\.n_rows must be"),
        (("first", "deviation"), np.array([-1.0, 1.0, 1.0]), r"first\.deviation must be .* not below 0, has -1"),
        (("first", "sample", "n_drawn"), 10**9, r"first\.sample\.n_drawn must be"),
        (("sample", "count"), np.zeros(1), r"sample.count must be .* not below 1"),
        (("sample", "count"), np.ones(1), "sample must have as many hashes"),
        (("optima", "mixtures", 0, "sigma"), np.array([-1.0, 1.0]), r"optima\.mixtures\[0\]\.sigma must be"),
        (("first", "sample", "weight"), 0.0, r"first\.sample\.weight must be an array .* not below"),
        (("first", "sample", "rows"), 1e300, r"first\.sample\.rows must be among the values"),
        (("sample", "rows"), 1e300, r"sample\.rows must be among the values"),
        (("passes", 0, "sums", "totals"), 0.0, r"passes\[0\]\.sums\.totals must be weights of rows"),
        (("passes", 0, "sums", "totals"), -1.0, r"passes\[0\]\.sums\.totals must be .* not below 0"),
        (("optima", "mixtures", 0, "gate_coef"), 1e200, r"optima\.mixtures\[0\]\.gate_coef must be"),
        (("optima", "mixtures"), [], r"optima\.mixtures must be"),
        (("passes", 0, "kind"), "splendid", r"passes\[0\]\.kind must be one of"),
    ],
)
def test_ranges_of_a_checkpoint(finished, tmp_path, place, value, said):
    paths, data = finished

    def new(old):  # a number: everywhere in an array
        return np.full_like(old, value) if isinstance(old, np.ndarray) and isinstance(value, float) else value

    forged = _packed_again(data, lambda s: s.update({place[0]: _with(s[place[0]], place[1:], new)}))
    (tmp_path / "c").write_bytes(forged)
    with pytest.raises(CheckpointError, match=said):
        _fit(paths, tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == forged


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_parts": 5}, r"partial\.n_parts must be a whole number"),
        ({"n_parts": 2}, r"partial\.levels must be the sums of 2 parts, got \[1\]"),
        ({"levels": [[1]]}, r"partial\.levels\[0\]\[0\] must be an object"),
        ({"levels": "many"}, r"partial\.levels must be a list"),
        ({"name": 3}, r"partial\.name must be a text"),
    ],
)
def test_a_pass_that_stopped(finished, tmp_path, changes, said):
    paths, data = finished

    def stopped(state):
        term = {"values": ("no", "yes"), "target": "y"}
        state.clear()
        state["partial"] = {"name": "labels", "of_pass": {}, "n_parts": 1, "levels": [[term]], **changes}

    (tmp_path / "c").write_bytes(_packed_again(data, stopped))
    with pytest.raises(CheckpointError, match=said):
        _fit(paths, tmp_path / "c")
