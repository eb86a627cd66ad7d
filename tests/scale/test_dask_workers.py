"""Workers of Dask: the same bits as one process, also where they die; a task that kills them ends in an error."""

import glob
import os
import random
import signal
import sys
import threading
import time
from contextlib import contextmanager
from multiprocessing import forkserver

import dask
import dask.dataframe as dd
import distributed
import numpy as np
import pandas as pd
import pytest

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.sources import SourceError, files
from moefast.sources.files import FilePart
from moefast.streams import cluster
from oracles.row_files import table_of, write_parquet

FITTED = ("coef_", "intercept_", "gate_coef_", "gate_intercept_", "sigma_", "log_likelihood_", "entropy_")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    X, y, _ = make_moe(12_000, 3, 2, noise=0.5, random_state=1)
    folder = tmp_path_factory.mktemp("data")
    write_parquet(folder, table_of(X, y), 11, row_group_size=1000)
    return folder


@contextmanager
def two_workers(**settings):
    """A local cluster of two processes of one thread each, and its client.

    Such a cluster gives a worker up that is not back some seconds after its death, and with it its place for
    good; a process that imports Dask beside other load takes longer.
    """
    settings |= {"distributed.deploy.lost-worker-timeout": "1h", "distributed.comm.timeouts.connect": "10 minutes"}
    if sys.platform == "linux":
        # A worker that is started anew has imported everything already, once for all of them.
        settings["distributed.worker.multiprocessing-method"] = "forkserver"
        forkserver.set_forkserver_preload(["dask.dataframe", "distributed", "moefast.streams.cluster", "pytest"])
        forkserver.ensure_running()  # before distributed names modules of its own
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield cluster, client


@pytest.fixture(scope="module")
def client():
    with two_workers(**{"distributed.scheduler.allowed-failures": 0}) as (_, client):
        yield client


def fit(data, client=None, **options):
    model = MixtureOfExpertsRegressor(2, random_state=0)
    return model.fit_dataset(data, "y", sample_rows=3000, client=client, **options)


def assert_same_bits(one, other):
    for name in FITTED:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_the_same_bits_as_one_process(folder, client, tmp_path):
    wanted, found = fit(folder), fit(folder, client, checkpoint=tmp_path / "c")
    assert_same_bits(found, wanted)
    assert_same_bits(fit(folder, checkpoint=tmp_path / "c"), wanted)


class Once(FilePart):
    """Kills whoever reads some of them the first time."""

    def batches(self, columns, batch_rows):
        mark = f"{self.path}.killed"
        if self.path[-10:-8] in ("02", "07") and not os.path.exists(mark):
            with open(mark, "w", encoding="utf-8"):
                pass
            os.kill(os.getpid(), signal.SIGKILL)
        yield from super().batches(columns, batch_rows)


class Always(FilePart):
    """Kills whoever reads one of them."""

    def batches(self, columns, batch_rows):
        if self.path.endswith("part-03.parquet"):
            os.kill(os.getpid(), signal.SIGKILL)
        yield from super().batches(columns, batch_rows)


class Failing(FilePart):
    """Is out of reach the first time."""

    def batches(self, columns, batch_rows):
        mark = f"{self.path}.failed"
        if not os.path.exists(mark):
            with open(mark, "w", encoding="utf-8"):
                pass
            raise OSError("connection lost")
        yield from super().batches(columns, batch_rows)


@pytest.fixture
def copied(folder, tmp_path):
    """Files of the test's own, beside which marks are left."""
    X, y, _ = make_moe(12_000, 3, 2, noise=0.5, random_state=1)
    write_parquet(tmp_path, table_of(X, y), 11, row_group_size=1000)
    return str(tmp_path / "*.parquet")


@pytest.mark.parametrize("kind", [Once, Failing])
def test_the_same_bits_where_workers_die_and_files_are_out_of_reach(kind, folder, copied, client, monkeypatch):
    wanted = fit(folder)
    monkeypatch.setattr(files, "FilePart", kind)
    assert_same_bits(fit(copied, client), wanted)
    marks = glob.glob(copied.replace("*.parquet", "*ed"))
    assert len(marks) == (2 if kind is Once else 11)


def test_a_task_that_kills_its_workers_ends_in_an_error(copied, client, monkeypatch):
    monkeypatch.setattr(files, "FilePart", Always)
    with pytest.raises(
        RuntimeError,
        match=r"first-pass: workers died over the same task, that of .*part-\d\d.* or one that waited",
    ):
        fit(copied, client)


def test_bad_values_are_named_as_in_one_process(copied, client):
    frame = dd.from_pandas(pd.DataFrame({"x0": [1.0, 2.0, np.nan, 4.0], "y": [1.0, 2.0, 3.0, 4.0]}), npartitions=2)
    with pytest.raises(SourceError, match="partition 1 of the data frame: column 'x0'"):
        fit(frame, client)


def test_a_data_frame_of_dask_is_its_rows(folder, client):
    rows = pd.concat([pd.read_parquet(path) for path in sorted(folder.iterdir())])
    frame = dd.from_pandas(rows.reset_index(drop=True), npartitions=5)
    found, wanted = fit(frame, client), fit(folder)
    np.testing.assert_allclose(found.coef_, wanted.coef_, atol=1e-8)
    assert_same_bits(fit(frame), found)


def test_the_client_is_checked(folder):
    with pytest.raises(TypeError, match=r"client must be a distributed.Client or None, got int"):
        fit(folder, 3)


def test_a_cluster_without_workers_is_told(folder, monkeypatch):
    monkeypatch.setattr(cluster, "_WITHOUT_WORKERS", 0.5)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as empty,
        distributed.Client(empty) as client,
        pytest.raises(RuntimeError, match=r"first-pass: .* no workers, .*lost-worker-timeout"),
    ):
        fit(folder, client)


class Slow(FilePart):
    """Takes its time, in which its reader may be killed."""

    def batches(self, columns, batch_rows):
        time.sleep(0.4)
        yield from super().batches(columns, batch_rows)


@pytest.mark.study
def test_ten_workers_killed_at_random_moments_change_no_bit(folder, monkeypatch):
    """For two minutes: `pytest -m study tests/scale/test_dask_workers.py`."""
    wanted = fit(folder)
    monkeypatch.setattr(files, "FilePart", Slow)
    rng, killed, done = random.Random(0), [], threading.Event()

    def kill(workers):
        while len(killed) < 10 and not done.wait(rng.uniform(0.5, 4.0)):
            nanny = rng.choice(list(workers.values()))
            if nanny.process is not None and nanny.process.pid:
                os.kill(nanny.process.pid, signal.SIGKILL)
                killed.append(nanny.process.pid)

    with two_workers() as (own, client):
        killer = threading.Thread(target=kill, args=(own.workers,))
        killer.start()
        try:
            while len(killed) < 10:
                assert_same_bits(fit(folder, client), wanted)
        finally:
            done.set()
            killer.join()
    assert len(set(killed)) == 10
