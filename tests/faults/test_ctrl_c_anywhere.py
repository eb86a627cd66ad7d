"""Ctrl-C at random moments of every long call: heard at once, with everything as it was before.

``pytest -m study tests/faults/test_ctrl_c_anywhere.py`` sends some hundred; a few stand in
tests/test_interrupts.py and tests/test_threads.py. What is bounded is the processor time between the signal
and its arrival.
"""

import contextlib
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import psutil
import pytest
from forked import posix

from moefast import (
    BaggedMixtureOfExperts,
    HierarchicalMixtureOfExpertsRegressor,
    MixtureOfExpertsClassifier,
    MixtureOfExpertsRegressor,
    MixtureOfExpertsRegressorCV,
    MomentAccumulator,
    load_model,
    lr_test,
    select_n_experts,
)
from moefast.datasets import make_moe
from moefast.l4 import recover_experts as recover_by_l4
from moefast.spectral import recover_experts

pytestmark = [
    pytest.mark.study,
    pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

LATENCY = 0.2
RNG = np.random.default_rng(0)
X, Y, _ = make_moe(3000, 6, 4, noise=0.5, random_state=0)
WIDE, OF_WIDE = RNG.normal(size=(300, 2000)), RNG.normal(size=300)
FAMILIES = ["student_t", "poisson", "negative_binomial", "gamma", "bernoulli"]
COUNTS = RNG.poisson(3.0, 3000)


def _of(family):
    return {"poisson": COUNTS, "negative_binomial": COUNTS, "gamma": COUNTS + 0.5, "bernoulli": COUNTS > 2}.get(
        family, Y
    )


def _accumulator():
    return MomentAccumulator(350, n_threads=1).update(RNG.normal(size=(4000, 350)), RNG.normal(size=4000))


def _model(**parameters):
    return MixtureOfExpertsRegressor(4, **({"random_state": 0} | parameters))


def _estimators():
    """Return by name an estimator, and what fits it for long."""
    for name, model, data in [
        ("flat", _model(), (X, Y)),
        ("many columns", MixtureOfExpertsRegressor(3, random_state=0), (WIDE, OF_WIDE)),
        ("functions in gates", _model(gate_basis="spline"), (X, Y)),
        ("lasso", _model(alpha=0.1, l1_ratio=1.0), (X, Y)),
        ("responses", _model(), (X, np.column_stack([Y, Y[::-1]]))),
        *((family, _model(family=family), (X, _of(family))) for family in FAMILIES),
        ("tree", HierarchicalMixtureOfExpertsRegressor((3, 3), random_state=0), (X, Y)),
        ("classes", MixtureOfExpertsClassifier(4, random_state=0), (X, np.digitize(Y, [-1.0, 1.0]))),
        ("average", BaggedMixtureOfExperts(random_state=0), (X, Y)),
        ("average in processes", BaggedMixtureOfExperts(random_state=0, n_jobs=2), (X, Y)),
        ("cross-validation", MixtureOfExpertsRegressorCV(random_state=0), (X, Y)),
        ("cross-validation of trees", MixtureOfExpertsRegressorCV(1, branches=(2, 2), random_state=0), (X, Y)),
        ("cross-validation in processes", MixtureOfExpertsRegressorCV(random_state=0, n_jobs=2), (X, Y)),
    ]:
        yield name, model, lambda m=model, d=data: m.fit(*d)


def _functions():
    """Return by name calls that take long and change nothing."""
    model, big = _model().fit(X, Y), RNG.normal(size=(300_000, 6))
    result, accumulator = model.inference(X, Y), _accumulator()
    data = accumulator.to_bytes()
    high = RNG.normal(size=(50_000, 60)), RNG.normal(size=50_000)
    return {
        "bootstrap": lambda: result.bootstrap(500, random_state=0),
        "numbers of experts": lambda: select_n_experts(X, Y, range(1, 6), random_state=0),
        "numbers of experts by folds": lambda: select_n_experts(X, Y, range(1, 6), criterion="cv", random_state=0),
        "likelihood ratio": lambda: lr_test(X[:400], Y[:400], 2, random_state=0),
        "quantiles": lambda: model.predict_quantile(big, [0.1, 0.5, 0.9]),
        "method 1": lambda: recover_experts(*high, 3),
        "method 2": lambda: recover_by_l4(high[0][:, :30], high[1], 3, n_starts=50),
        "score moments": accumulator.score_moments,
        "to_bytes": accumulator.to_bytes,
        "from_bytes": lambda: MomentAccumulator.from_bytes(data),
        "raw moment": lambda: accumulator.raw_moment(3),
    }


def _seconds_until_heard(work, seconds):
    """Return the processor time from the signal to its arrival, or None where the work was done before."""
    sent = []

    def send():
        sent.append(time.process_time())
        signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(seconds, send)
    timer.start()
    try:
        work()
        timer.cancel()
        timer.join()
        time.sleep(0.01)  # a signal that comes now is not the work's
    except KeyboardInterrupt:
        return time.process_time() - sent[0]
    return None


@contextlib.contextmanager
def _hearing():
    """Hear Ctrl-C, and let children hear it, also in the background of a shell, where it is ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _interrupted(name, work, state, times=12):
    rng = random.Random(0)
    longest, heard = rng.uniform(0.5, 4.0), 0
    with _hearing():
        for _ in range(times):
            before = state()
            spent = None
            try:
                spent = _seconds_until_heard(work, rng.uniform(0.0, longest))
            except KeyboardInterrupt:
                continue  # came when the work was done
            if spent is None:
                longest /= 2  # it takes less than that
                continue
            heard += 1
            assert spent < LATENCY, (name, spent)
            assert state() == before, name
    return heard


def test_fits():
    for name, model, work in _estimators():
        if name == "flat":
            model.fit(X[:300], Y[:300])
        assert _interrupted(name, work, lambda m=model: pickle.dumps(vars(m))), name


def test_functions():
    for name, work in _functions().items():
        _interrupted(name, work, lambda: None)


def test_data_sets(tmp_path):
    pytest.importorskip("pyarrow")
    X, y, _ = make_moe(300_000, 6, 4, noise=0.5, random_state=0)
    table = pd.DataFrame(X, columns=list("abcdef")).assign(y=y)
    table.to_parquet(tmp_path / "in.parquet")
    model = _model().fit(table.iloc[:500, :6], table["y"][:500])
    files = [tmp_path / "in.parquet"]

    def state():
        return sorted(p.name for p in tmp_path.iterdir() if p.name not in ("out.parquet", "c")), pickle.dumps(
            vars(model)
        )

    assert _interrupted("fit_dataset", lambda: model.fit_dataset(files, "y", checkpoint=tmp_path / "c"), state)
    _interrupted("predict_dataset", lambda: model.predict_dataset(files, tmp_path / "out.parquet"), state)


@posix
def test_the_console_and_standard_input(tmp_path):
    """While it starts, waits for rows, reads, fits and writes: no model or a whole one, and nothing else."""
    table, folder = tmp_path / "in.csv", tmp_path / "out"
    pd.DataFrame(X, columns=list("abcdef")).assign(y=Y).to_csv(table, index=False)
    folder.mkdir()
    rng, codes = random.Random(0), []
    for seconds in [rng.uniform(1.5, 9.0) for _ in range(12)]:
        with open(table, "rb") as rows:
            codes.append(_console_interrupted(folder, rows, seconds))
        assert set(os.listdir(folder)) <= {"stdin.moefast.json"}
        for path in folder.iterdir():
            assert load_model(path).n_samples_fit_ == 3000
            path.unlink()
    assert codes.count(1) > 3
    assert _console_interrupted(folder, subprocess.PIPE, 60.0, patience=20.0) == 1
    assert os.listdir(folder) == []


def _console_interrupted(folder, rows, seconds, patience=600.0):
    """Send Ctrl-C after so many seconds of processor time, or when patience ends; return the exit code."""
    command = [sys.executable, "-m", "moefast.cli", "fit", "-", "--target", "y", "--no-plot", "--experts", "1-8"]
    with (
        _hearing(),
        subprocess.Popen(
            command, stdin=rows, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as child,
    ):
        begun, spent = time.monotonic(), psutil.Process(child.pid).cpu_times
        while child.poll() is None and sum(spent()[:2]) < seconds and time.monotonic() - begun < patience:
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        said = child.stderr.read().decode()
    # 1 is what click makes of it; before it is imported, and when all is done, the interpreter ends by the signal.
    assert child.returncode in (0, 1, -signal.SIGINT), said
    assert "Traceback" not in said or child.returncode == -signal.SIGINT, said
    return child.returncode
