"""Good files of every kind that is read, their readers, and what becomes of a file that is damaged or forged."""

import functools
import hashlib
import io
import json
import tempfile
import warnings
from pathlib import Path

import numpy as np
from fuzz_oracle import attempt

from moefast import (
    BaggedMixtureOfExperts,
    HierarchicalMixtureOfExpertsRegressor,
    MixtureOfExpertsRegressor,
    ModelFileError,
    MomentAccumulator,
    load_model,
    save_model,
)
from moefast.datasets import make_moe
from moefast.io.tables import TableError, read_table
from moefast.sources.batch import SourceError
from moefast.streams import checkpoint
from moefast.streams.checkpoint import Checkpoint, CheckpointError

N = 40


@functools.cache
def samples():
    """Return X and y."""
    return make_moe(N, 2, 2, random_state=0)[:2]


def _model(**parameters):
    X, y = samples()
    return MixtureOfExpertsRegressor(2, n_init=1, max_iter=5, random_state=0, n_threads=1, **parameters).fit(X, y)


def _saved(model):
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, Path(folder) / "m.json")
        return (Path(folder) / "m.json").read_bytes()


def _bagged():
    X, y = samples()
    one = MixtureOfExpertsRegressor(2, n_init=1, max_iter=5, random_state=0, n_threads=1)
    return BaggedMixtureOfExperts(one, n_replicates=2, n_folds=None, random_state=0).fit(X, y)


def _tree():
    X, y = samples()
    return HierarchicalMixtureOfExpertsRegressor((2, 2), n_init=1, max_iter=5, random_state=0).fit(X, y)


def _csv():
    X, y = samples()
    rows = [f"{a!r},{b!r},{c!r}" for a, b, c in np.column_stack([X, y]).tolist()]
    return "\n".join(["x0,x1,y", *rows, ""]).encode()


def _table():
    import pyarrow as pa

    X, y = samples()
    return pa.table({"x0": X[:, 0], "x1": X[:, 1], "y": y})


def _parquet():
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(_table(), file, row_group_size=20)
    return file.getvalue()


def _arrow():
    import pyarrow as pa

    file = io.BytesIO()
    with pa.ipc.new_file(file, _table().schema) as writer:
        writer.write_table(_table())
    return file.getvalue()


def _checkpoint():
    with tempfile.TemporaryDirectory() as folder:
        state = Checkpoint(Path(folder) / "c", {"rows": 3})
        state.note("pass", {"sums": np.arange(3.0), "n": (1, [2, "three"])})
        return (Path(folder) / "c").read_bytes()


def _batches():
    return [_table()]


def _fit_again(path):
    """Fit to the same rows from a checkpoint: it is read field by field."""
    model = MixtureOfExpertsRegressor(2, n_init=1, max_iter=3, random_state=0, n_threads=1)
    return model.fit_dataset(_batches, "y", sample_rows=30, max_passes=2, checkpoint=path)


def _checkpoint_of_a_fit():
    with tempfile.TemporaryDirectory() as folder:
        _fit_again(Path(folder) / "c")
        return (Path(folder) / "c").read_bytes()


GOOD = {
    "model": lambda: _saved(_model()),
    "model of a basis": lambda: _saved(_model(gate_basis="spline")),
    "model of a tree": lambda: _saved(_tree()),
    "bagged model": lambda: _saved(_bagged()),
    "csv": _csv,
    "parquet": _parquet,
    "arrow": _arrow,
    "accumulator": lambda: MomentAccumulator(2).update(*samples()).to_bytes(),
    "checkpoint": _checkpoint,
    "checkpoint of a fit": _checkpoint_of_a_fit,
}
"""What makes the bytes of a good file, by kind."""
NEED_PYARROW = {"parquet", "arrow", "checkpoint of a fit"}


@functools.cache
def good(kind):
    """Return the bytes of a good file of the kind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of short fits to few rows
        return GOOD[kind]()


def _read_csv(path):
    table = read_table(path)
    return table.numeric(table.columns)


def _fit_dataset(path):
    return MixtureOfExpertsRegressor(2, n_init=1, max_iter=3, random_state=0).fit_dataset(path, "y", max_passes=1)


READERS = {
    "model": (load_model, ModelFileError),
    "csv": (_read_csv, TableError),
    "parquet": (_fit_dataset, SourceError),
    "arrow": (_fit_dataset, SourceError),
    "checkpoint": (lambda path: list(Checkpoint(path, {"rows": 3})._state), CheckpointError),
    "checkpoint of a fit": (_fit_again, CheckpointError),
}
ENDINGS = {"csv": ".csv", "parquet": ".parquet", "arrow": ".arrow"}


def read(kind, data):
    """Return what is read of the bytes as a file of the kind, None where it is refused; raise for all else."""
    if kind == "accumulator":
        found = attempt("read accumulator", lambda: MomentAccumulator.from_bytes(data))
        if found is not None and found.n_samples:
            attempt("read accumulator", found.score_moments)
        return found
    reader, refusal = READERS["model" if "model" in kind else kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{ENDINGS.get(kind, '.bin')}"
        path.write_bytes(data)
        found = attempt(f"read {kind}", lambda: reader(path), errors=(refusal,))
        if found is not None and "model" in kind:
            attempt(f"predict of {kind}", lambda: found.predict(np.zeros((1, found.n_features_in_))))
            if not isinstance(found, BaggedMixtureOfExperts):
                attempt(f"summary of {kind}", lambda: str(found.summary()))
        return found


def with_state(data, change):
    """Return the bytes of a checkpoint with another state, which `change` gets to change."""
    start = data.index(b"\n") + 1
    whole = checkpoint._unpacked(data[start + 32 :])
    change(whole["state"])
    return sealed("checkpoint", data[: start + 32] + checkpoint._packed(whole))


def sealed(kind, data):
    """Return the bytes with a checksum that is right, where the kind has one and they can have it."""
    if "model" in kind:
        try:
            document = json.loads(data)
            text = json.dumps(document["content"], sort_keys=True, separators=(",", ":"))
            document["sha256"] = hashlib.sha256(text.encode()).hexdigest()
            return json.dumps(document).encode()
        except (ValueError, KeyError, TypeError, RecursionError):
            return data
    if kind == "accumulator":
        import zlib

        return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")
    if "checkpoint" in kind:
        start = data.find(b"\n") + 1
        body = data[start + 32 :]
        return data[:start] + hashlib.sha256(body).digest() + body
    return data
