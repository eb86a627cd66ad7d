"""A fit that is killed goes on where it was, to the same bits; a checkpoint of another fit is refused."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.streams.checkpoint import Checkpoint, CheckpointError
from oracles.row_files import table_of, write_parquet

FITTED = ("coef_", "intercept_", "gate_coef_", "gate_intercept_", "sigma_", "log_likelihood_", "entropy_")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    X, y, _ = make_moe(12_000, 3, 2, noise=0.5, random_state=1)
    folder = tmp_path_factory.mktemp("data")
    write_parquet(folder, table_of(X, y), 11, row_group_size=1000)
    return folder


def fit(folder, checkpoint=None, **options):
    model = MixtureOfExpertsRegressor(2, random_state=0)
    return model.fit_dataset(folder, "y", sample_rows=3000, checkpoint=checkpoint, **options)


def test_a_finished_fit_is_read_back(folder, tmp_path, monkeypatch):
    wanted = fit(folder, tmp_path / "c")
    from moefast.sources.files import FilePart

    monkeypatch.setattr(FilePart, "batches", None)  # nothing is read
    found = fit(folder, tmp_path / "c")
    for name in FITTED:
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    assert found.fit_report_ == wanted.fit_report_
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


KILLS = """
import os, random, signal, sys
import numpy as np
from moefast import MixtureOfExpertsRegressor
from moefast.sources.files import FilePart
from moefast.streams import checkpoint
checkpoint._SECONDS_BETWEEN = checkpoint._TIMES_AS_LONG = 0.0
folder, path, result = sys.argv[1:]
batches = FilePart.batches
rng = random.Random(0)


def fit(die_at, where):
    left = die_at

    def counted(self, *args):
        nonlocal left
        for batch in batches(self, *args):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    FilePart.batches = counted
    model = MixtureOfExpertsRegressor(2, random_state=0)
    return model.fit_dataset(folder, "y", sample_rows=3000, batch_rows=500, checkpoint=where)


def save(model, name):
    values = {n: getattr(model, n) for n in FITTED}
    np.savez(name, n_passes=model.fit_report_.n_passes, **values)


killed = done = 0
while not done:
    at = rng.randrange(1, 9)
    pid = os.fork()
    if pid == 0:
        save(fit(at if killed < 20 else -1, path), result + ".npz")
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        killed += 1
    else:
        assert status == 0, status
        done = True
save(fit(-1, None), result + "-undisturbed.npz")
print(killed)
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_twenty_kills_change_no_bit(folder, tmp_path):
    code = f"FITTED = {FITTED!r}\n{KILLS}"
    arguments = [str(folder), str(tmp_path / "c"), str(tmp_path / "fit")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 20
    found, wanted = np.load(tmp_path / "fit.npz"), np.load(tmp_path / "fit-undisturbed.npz")
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "fit-undisturbed.npz", "fit.npz"]


def test_another_fit_is_refused_and_what_differs_is_told(folder, tmp_path):
    fit(folder, tmp_path / "c")
    before = (tmp_path / "c").read_bytes()
    with pytest.raises(CheckpointError, match=r"batch_rows was 65536 and is 100"):
        fit(folder, tmp_path / "c", batch_rows=100)
    with pytest.raises(CheckpointError, match=r"columns was .*'x2'.* and is"):
        fit(folder, tmp_path / "c", features=["x0", "x1"])
    with pytest.raises(CheckpointError, match="noise was 'per_expert' and is 'shared'"):
        MixtureOfExpertsRegressor(2, random_state=0, noise="shared").fit_dataset(
            folder, "y", sample_rows=3000, checkpoint=tmp_path / "c"
        )
    with pytest.raises(CheckpointError, match="data had 11 entries and has 10"):
        fit(sorted(folder.iterdir())[:10], tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == before
    MixtureOfExpertsRegressor(2, random_state=0, n_threads=1).fit_dataset(
        folder, "y", sample_rows=3000, checkpoint=tmp_path / "c"
    )  # threads change nothing


def test_a_file_that_changed_is_told(tmp_path):
    X, y, _ = make_moe(2000, 2, 2, random_state=1)
    (tmp_path / "data").mkdir()
    write_parquet(tmp_path / "data", table_of(X, y), 2)
    fit(tmp_path / "data", tmp_path / "c")
    write_parquet(tmp_path / "data", table_of(X, y + 1.0), 2)
    with pytest.raises(CheckpointError, match=r"data was .*part-00.parquet.* and is"):
        fit(tmp_path / "data", tmp_path / "c")


def test_damage_is_found(tmp_path):
    path = tmp_path / "c"
    state = Checkpoint(path, {"a": 1})
    state.note("stage", {"x": np.arange(3.0), "nested": [(1, "text", None), {"y": np.inf}]})
    good = path.read_bytes()
    assert Checkpoint(path, {"a": 1})["stage"]["nested"] == [(1, "text", None), {"y": np.inf}]
    for bad in (good[:-1], good[:-3] + b"xyz", good[:60] + bytes([good[60] ^ 1]) + good[61:]):
        path.write_bytes(bad)
        with pytest.raises(CheckpointError, match="is damaged"):
            Checkpoint(path, {"a": 1})
    path.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        Checkpoint(path, {"a": 1})
    path.write_bytes(b"")  # as mktemp leaves it
    assert "stage" not in Checkpoint(path, {"a": 1})
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Checkpoint(tmp_path / "none" / "c", {})


def test_a_full_disk_leaves_the_checkpoint_that_was(tmp_path, monkeypatch):
    state = Checkpoint(tmp_path / "c", {})
    write = Path.write_bytes

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match=r"No space left.*there was none before: make room"):
        state.note("stage", 1)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("pathlib.Path.write_bytes", write)
    state.note("stage", 1)
    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match=r"No space left.*the one before it is good"):
        state.note("stage", 2)
    assert Checkpoint(tmp_path / "c", {})["stage"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
