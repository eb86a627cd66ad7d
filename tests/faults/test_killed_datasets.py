"""Kill -9 while predictions of data sets are written: the file is the old one or a new one, whole.

Children are interpreters of their own, not forks: pyarrow has threads, and a fork beside threads may hang.
``pytest -m study tests/faults/test_killed_datasets.py`` kills 30 of them: at random moments, soon after a
file appears, and soon after one is done.
"""

import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest

from moefast import MixtureOfExpertsRegressor, load_model, save_model
from moefast.datasets import make_moe

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytestmark = [pytest.mark.study, pytest.mark.skipif(os.name != "posix", reason="needs kill -9")]

CHILD = """
import sys
from moefast import load_model
model = load_model(sys.argv[1])
print("ready", flush=True)
while True:
    model.predict_dataset(sys.argv[2], sys.argv[3], ["prediction", "std", "experts"], batch_rows=1000)
    print("written", flush=True)
"""


def _first_sight(folder, known, seconds):
    """Wait until a file that is not known stands in the folder."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and set(os.listdir(folder)) <= known:
        time.sleep(0.001)


def test_kills_of_predictions_of_a_data_set(tmp_path):
    X, y, _ = make_moe(60_000, 3, 2, noise=0.5, random_state=0)
    table = pa.table({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": y})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=5000)
    model = MixtureOfExpertsRegressor(2, n_init=1, random_state=0, n_threads=1)
    save_model(model.fit(table.slice(0, 2000).select(["a", "b", "c"]), y[:2000]), tmp_path / "m.json")
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "out.parquet"
    model.predict_dataset(tmp_path / "in.parquet", out)  # the old file: another width
    old, wanted = out.read_bytes(), load_model(tmp_path / "m.json").predict(table.select(["a", "b", "c"]))
    rng = random.Random(0)
    seen = {"old": 0, "new": 0}
    for i in range(30):
        out.write_bytes(old)
        known = set(os.listdir(folder))
        arguments = [str(tmp_path / "m.json"), str(tmp_path / "in.parquet"), str(out)]
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout.readline() == "ready\n", child.stderr.read()
            if i % 3 == 1:
                _first_sight(folder, known, 60.0)
            elif i % 3 == 2:
                assert child.stdout.readline() == "written\n", child.stderr.read()
            time.sleep(rng.uniform(0.0, 0.4))
            child.kill()
            child.wait()
        found = pq.read_table(out)
        assert found.num_rows == 60_000
        np.testing.assert_allclose(found["prediction"].to_numpy(), wanted, rtol=1e-12)
        seen["new" if found.num_columns > pq.read_table(pa.BufferReader(old)).num_columns else "old"] += 1
        assert len(set(os.listdir(folder))) <= 2  # what the dead left is swept by whoever writes next
    assert min(seen.values()) > 0, seen
    model.predict_dataset(tmp_path / "in.parquet", out)
    assert os.listdir(folder) == ["out.parquet"]
