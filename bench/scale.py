"""Figures of docs/scale.md: what passes over files cost, what memory, and how far fits end below those in memory.

Run ``python bench/scale.py FOLDER [costs memory deficits dask]``; files are written to FOLDER and kept. All
figures are CPU time of one thread; memory is the largest that a process of its own had.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.em.streamed import BatchSums
from moefast.families import GAUSSIAN
from moefast.sources import open_source
from moefast.streams.first_pass import BoundedLook, FirstLook
from moefast.streams.passes import RowSums

FILE_ROWS = 125_000


def written(folder: Path, n: int, d: int, k: int, seed: int = 0) -> Path:
    """Return a folder with n simulated rows in files."""
    target = folder / f"{n}-{d}-{k}"
    if target.exists():
        return target
    target.mkdir(parents=True)
    _, _, truth = make_moe(1000, d, k, noise=0.5, expert_intercept=0.5, gate_intercept=0.5, random_state=seed)
    for i in range(-(-n // FILE_ROWS)):
        rng = np.random.default_rng([seed, i])
        X = rng.normal(size=(min(FILE_ROWS, n - i * FILE_ROWS), d))
        y = truth.draw(X, rng)
        table = pa.table({**{f"x{j}": X[:, j] for j in range(d)}, "y": y})
        pq.write_table(table, target / f"{i:03d}.parquet", row_group_size=131_072)
    return target


def cpu(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU time of a call and its result."""
    begin = time.process_time()
    result = function()
    return time.process_time() - begin, result


def costs(folder: Path, n: int = 4_000_000, d: int = 10, k: int = 3) -> None:
    """CPU time a row of each kind of pass."""
    source = open_source(written(folder, n, d, k))
    columns = source.columns("y")
    look = FirstLook(columns, 65_536, 100_000, GAUSSIAN)
    seconds, first = cpu(lambda: look(source.parts[0]))
    spread = first.spread(d)
    whole = EmProblem(first.samples(columns), EmOptions(n_threads=1), spread=spread)
    fit = whole.run_many([np.eye(k)[np.arange(whole.n_rows) % k]], max_iter=3)[0]
    _, parameters = whole._parameters(fit.mixture)
    batch_sums = BatchSums(whole)

    def whole_pass(make: Callable[[], Callable[[Any], Any]]) -> float:
        times = []
        for _ in range(3):
            of_part = make()
            times.append(sum(cpu(lambda part=part, of_part=of_part: of_part(part))[0] for part in source.parts))
        return min(times)

    kinds: dict[str, Callable[[], Callable[[Any], Any]]] = {
        "reading": lambda: lambda part: sum(b.n_rows for b in part.batches(columns, 65_536)),
        "first pass": lambda: BoundedLook(look),
        "gradient pass": lambda: RowSums(columns, 65_536, batch_sums, [(parameters, "gradient")]),
        "full pass": lambda: RowSums(columns, 65_536, batch_sums, [(parameters, "all")]),
    }
    for name, make in kinds.items():
        print(f"{name:15} {1e9 * whole_pass(make) / n:6.0f} ns a row")
    model = MixtureOfExpertsRegressor(k, random_state=0, n_threads=1)
    seconds, _ = cpu(lambda: model.fit_dataset(written(folder, n, d, k), "y"))
    print(f"fit             {seconds:6.1f} s, {model.fit_report_.n_passes} passes")
    output = folder / "predictions.parquet"
    seconds, _ = cpu(lambda: model.predict_dataset(written(folder, n, d, k), output))
    print(f"predict         {1e9 * seconds / n:6.0f} ns a row")


PEAK = """
import resource, sys
from moefast import MixtureOfExpertsRegressor
what, folder, k = sys.argv[1], sys.argv[2], int(sys.argv[3])
model = MixtureOfExpertsRegressor(k, random_state=0, n_threads=1).fit_dataset(folder, "y")
if what == "predict":
    model.predict_dataset(folder, folder + "-predictions.parquet")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
"""


def memory(folder: Path) -> None:
    """Peak memory of processes of their own."""
    for n in (1_000_000, 4_000_000):
        data = written(folder, n, 10, 3)
        for what in ("fit", "predict"):
            done = subprocess.run(
                [sys.executable, "-c", PEAK, what, str(data), "3"], capture_output=True, text=True, check=True
            )
            print(f"{what:8} {n:9} rows {float(done.stdout):6.0f} MB")


def deficits(folder: Path) -> None:
    """How far fits end below the optimum in memory."""
    for n, d, k in ((1_000_000, 10, 3), (1_000_000, 30, 5)):
        data = written(folder, n, d, k)
        table = pq.read_table(data)
        y = table["y"].to_numpy()
        frame = table.drop_columns(["y"]).to_pandas()
        model = MixtureOfExpertsRegressor(k, random_state=0, n_threads=1)
        seconds, _ = cpu(lambda model=model, data=data: model.fit_dataset(data, "y"))
        best = MixtureOfExpertsRegressor(k, start=model, tol=1e-13, n_threads=1).fit(frame, y)
        report = model.fit_report_
        print(
            f"n {n} d {d} k {k}: {report.n_passes} passes, {seconds:.1f} s, decrement {report.decrement:.2g}, "
            f"deficit {best.log_likelihood_ - model.log_likelihood_:.2g}"
        )


def dask(folder: Path) -> None:
    """The bits of two worker processes; tests/scale/test_dask_workers.py has workers that die."""
    import distributed

    data = written(folder, 1_000_000, 10, 3)
    one = MixtureOfExpertsRegressor(3, random_state=0, n_threads=1).fit_dataset(data, "y")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50)
    with cluster, distributed.Client(cluster) as client:
        seconds, model = cpu(
            lambda: MixtureOfExpertsRegressor(3, random_state=0, n_threads=1).fit_dataset(data, "y", client=client)
        )
    assert np.array_equal(model.coef_, one.coef_)
    assert model.log_likelihood_ == one.log_likelihood_
    print(f"two workers: the same bits, {seconds:.1f} s of the client and the search")


if __name__ == "__main__":
    chosen = sys.argv[2:] or ["costs", "memory", "deficits", "dask"]
    for name in chosen:
        print(f"--- {name}")
        globals()[name](Path(sys.argv[1]))
