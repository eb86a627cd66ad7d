"""Disks that are full, files that may not grow, data that are gone: the old file stays, whole."""

import os
import subprocess

import numpy as np
import pandas as pd
import pytest
from forked import outcome, posix
from test_killed_writes import data, models  # noqa: F401 - fixtures

from moefast import load_model, save_model
from moefast.plotting import save_figure
from moefast.streams.checkpoint import Checkpoint

pytestmark = [posix, pytest.mark.filterwarnings("ignore::UserWarning")]


def _figure():
    from matplotlib.figure import Figure

    return Figure(figsize=(2, 2))


@pytest.fixture
def writers(models, data):  # noqa: F811
    pytest.importorskip("pyarrow")
    model, table = models["model"], data

    def predict(path):
        table.to_parquet(path.parent.parent / "in.parquet")
        model.predict_dataset(path.parent.parent / "in.parquet", path, ["prediction", "std", "gates"])

    return {
        "model.json": lambda path: save_model(model, path),
        "average.json": lambda path: save_model(models["bagged"], path),
        "checkpoint": lambda path: Checkpoint(path, {"a": 1}).note(
            "pass", np.random.default_rng(0).normal(size=9999)
        ),
        "picture.png": lambda path: save_figure(_figure(), path),
        "out.parquet": predict,
    }


@pytest.mark.parametrize("limit", [0, 700])
def test_files_that_may_not_grow(writers, tmp_path, limit):
    folder = tmp_path / "here"
    folder.mkdir()
    for name, write in writers.items():
        write(folder / name)
        before = (folder / name).read_bytes()
        if name == "out.parquet":  # what is read has to be there already
            continue
        kind, message = outcome(lambda w=write, n=name: w(folder / n), FSIZE=limit)
        assert kind in ("OSError", "PermissionError"), (name, kind, message)
        assert "File too large" in message, (name, message)
        assert (folder / name).read_bytes() == before, name
    assert sorted(os.listdir(folder)) == sorted(writers)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 16 kB, where this process may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(writers, small_disk, models):  # noqa: F811
    save_model(models["model"], small_disk / "model.json")
    (small_disk / "ballast").write_bytes(b"x" * 4096)
    before = (small_disk / "model.json").read_bytes()
    for name, write in writers.items():

        def fill(write=write, name=name):
            for i in range(9):  # as often as it goes
                write(small_disk / f"{i} {name}")

        with pytest.raises(OSError, match="No space left on device"):
            fill()
        for file in small_disk.iterdir():
            if file.name not in ("model.json", "ballast"):
                file.unlink()
    assert (small_disk / "model.json").read_bytes() == before
    assert load_model(small_disk / "model.json").n_samples_fit_ == 2000


def test_data_sets_are_no_longer_there(models, data, tmp_path):  # noqa: F811
    pytest.importorskip("pyarrow")
    with pytest.raises(FileNotFoundError, match="no file is named"):
        models["model"].predict_dataset(tmp_path / "gone.parquet", tmp_path / "out.parquet")
    pd.DataFrame(data).to_parquet(tmp_path / "in.parquet")
    whole = (tmp_path / "in.parquet").read_bytes()
    (tmp_path / "in.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"in\.parquet cannot be read"):
        models["model"].predict_dataset(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert os.listdir(tmp_path) == ["in.parquet"]
