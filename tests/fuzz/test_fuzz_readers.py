"""Readers of files and bytes: what is damaged or forged is refused, or read as something whole."""

import copy
import json
import random

import bytes_of_files as files
import numpy as np
import pytest
import strategies as some
from hypothesis import given, settings
from hypothesis import strategies as st

from places import places

TOKENS = [
    b"NaN",
    b"Infinity",
    b"1e400",
    b"-1",
    b"0",
    b"null",
    b"[]",
    b"{}",
    b'""',
    b"\x00",
    b"\xff\xff\xff\xff",
    b",",
    b"\n",
    b"\xef\xbb\xbf",
    b"9" * 30,
    b"\x80",
    b'"',
    b"[" * 50,
    b"\\ud800",
    b"\r",
    b";",
    b"inf",
]
VALUES = [
    None,
    True,
    -1,
    0,
    1,
    2,
    0.5,
    -0.5,
    1e308,
    1e-308,
    float("nan"),
    float("inf"),
    10**400,
    2**63,
    "",
    "text",
    "linear",
    [],
    [[]],
    [1.0],
    [0.0, 0.0],
    [[1.0], [2.0]],
    {},
    {"a": 1},
    "\ud800",
    "x0",
    [True],
    [None],
]


@st.composite
def damaged(draw, data):
    """Draw bytes that differ from the data in some places."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        rng = random.Random(draw(some.seeds))
        at, length = rng.randrange(len(data) + 1), rng.choice([1, 2, 4, 8, 64])
        if rng.random() < 0.3:  # the ends have what says what it is
            at = rng.choice([0, len(data)]) + rng.randrange(-32, 33)
            at = min(max(at, 0), len(data))
        kind = rng.randrange(7)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at : at + length] = rng.choice(TOKENS)
        elif kind == 2:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            data[at:at] = data[at : at + length]
        else:
            data[at : at + length] = rng.randbytes(length)
    return bytes(data)


@st.composite
def forged(draw, data):
    """Draw the JSON of a model file with other content in some places."""
    document = copy.deepcopy(json.loads(data))
    for _ in range(draw(st.integers(1, 2))):
        rng = random.Random(draw(some.seeds))
        *path, last = ("content", *rng.choice(list(places(document["content"], range))))
        owner = document
        for step in path:
            owner = owner[step]
        kind = rng.randrange(4)
        if kind == 0 and isinstance(owner[last], list) and owner[last]:
            owner[last] = owner[last] + [rng.choice(owner[last])]
        elif kind == 1 and last != "content":
            del owner[last]
        elif kind == 2 and isinstance(owner[last], float):
            owner[last] *= rng.choice([-1.0, 0.0, 1e300, 1e-300])
        else:
            owner[last] = copy.deepcopy(rng.choice(VALUES))
        if not isinstance(document["content"], dict):
            break
    return json.dumps(document).encode()


@st.composite
def forged_checkpoint(draw, data):
    """Draw a checkpoint with other content in some places."""

    def change(state):
        for _ in range(draw(st.integers(1, 2))):
            rng = random.Random(draw(some.seeds))
            *path, last = rng.choice([place for place in places(state, range) if place])
            owner, owners = state, []
            for step in path:
                owners.append((owner, step))
                owner = owner[step]
            old = owner[last]
            if isinstance(old, np.ndarray) and rng.random() < 0.7:
                with np.errstate(all="ignore"):
                    kinds = [
                        old[:0],
                        np.append(old, old),
                        old.astype("f4"),
                        old[..., None],
                        old * 0,
                        old - old - 1,
                    ]
                    new = rng.choice([*kinds, old * 1e300 * 1e300, old.astype(float) * 1e300])
            else:
                new = copy.deepcopy(rng.choice(VALUES))
            if isinstance(owner, tuple):  # becomes a list: as good for who reads it
                owner, (above, step) = list(owner), owners[-1]
                if isinstance(above, tuple):
                    continue
                above[step] = owner
            owner[last] = new

    return files.with_state(data, change)


FEW = {
    "bagged model": 20,
    "model of a basis": 20,
    "model of a tree": 20,
    "parquet": 8,
    "arrow": 8,
    "checkpoint of a fit": 15,
}


def _bytes_test(kind):
    @given(st.data())
    @settings(max_examples=FEW.get(kind, 40))
    def test(data):
        if kind in files.NEED_PYARROW:
            pytest.importorskip("pyarrow")
        found = data.draw(damaged(files.good(kind)))
        files.read(kind, files.sealed(kind, found) if data.draw(st.booleans()) else found)

    return test


# One property a kind, so that each has its own number of inputs.
test_damaged_models = _bytes_test("model")
test_damaged_models_of_a_basis = _bytes_test("model of a basis")
test_damaged_trees = _bytes_test("model of a tree")
test_damaged_averages = _bytes_test("bagged model")
test_damaged_csv_files = _bytes_test("csv")
test_damaged_accumulators = _bytes_test("accumulator")
test_damaged_checkpoints = _bytes_test("checkpoint")
test_damaged_checkpoints_of_fits = _bytes_test("checkpoint of a fit")
test_damaged_parquet_files = _bytes_test("parquet")
test_damaged_arrow_files = _bytes_test("arrow")


@given(st.data())
@settings(max_examples=60)
def test_forged_models(data):
    kind = data.draw(st.sampled_from(["model", "model of a basis", "model of a tree", "bagged model"]))
    files.read(kind, files.sealed(kind, data.draw(forged(files.good(kind)))))


@given(st.data())
@settings(max_examples=30)
def test_forged_checkpoints(data):
    pytest.importorskip("pyarrow")
    kind = "checkpoint of a fit"
    files.read(kind, data.draw(forged_checkpoint(files.good(kind))))


@pytest.mark.parametrize("kind", files.GOOD)
def test_good_files_are_read(kind):
    if kind in files.NEED_PYARROW:
        pytest.importorskip("pyarrow")
    for data in (files.good(kind), files.sealed(kind, files.good(kind))):
        assert files.read(kind, data) is not None
