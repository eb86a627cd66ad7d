"""Kill -9 while files are written: what was there is there, or what comes after it; nothing in between.

In the suite a few kills a writer; ``pytest -m study tests/faults`` kills a hundred times.
"""

import os
import random

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from forked import killed, posix

from moefast import BaggedMixtureOfExperts, MixtureOfExpertsRegressor, load_model, save_model
from moefast.cli import main
from moefast.datasets import make_moe
from moefast.streams.checkpoint import Checkpoint

pytestmark = [posix, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.fixture(scope="module")
def data():
    X, y, _ = make_moe(2000, 3, 2, noise=0.5, random_state=0)
    return pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=y)


@pytest.fixture(scope="module")
def models(data):
    model = MixtureOfExpertsRegressor(2, n_init=1, random_state=0, n_threads=1)
    bagged = BaggedMixtureOfExperts(model, n_replicates=20, n_folds=None, random_state=0)
    return {
        "model": model.fit(data[["a", "b", "c"]], data["y"]),
        "bagged": bagged.fit(data[["a", "b", "c"]][:200], data["y"][:200]),
    }


def _writers(models, data, folder):
    """Return by name the file, what writes it, and what reads it and fails where it is not whole."""
    csv = folder / "in.csv"
    data.to_csv(csv, index=False)
    state = {"sums": np.ones(100_000)}

    def save_picture():
        from moefast.plotting import save_figure

        save_figure(_figure(), folder / "picture.png")

    def checkpoint():
        Checkpoint(folder / "checkpoint", {"a": 1}).note("pass", state)

    def predict():
        CliRunner().invoke(
            main, ["predict", str(folder / "m.json"), str(csv), "--output", str(folder / "out.csv")]
        )

    def read_csv(path):
        assert len(pd.read_csv(path)) == len(data)

    def read_picture(path):
        import matplotlib.pyplot as plt

        assert plt.imread(path).ndim == 3

    save_model(models["model"], folder / "m.json")
    model = models["model"]
    return {
        "model": ("model.json", lambda: save_model(model, folder / "model.json"), load_model),
        "average": ("average.json", lambda: save_model(models["bagged"], folder / "average.json"), load_model),
        "checkpoint": ("checkpoint", checkpoint, lambda path: Checkpoint(path, {"a": 1})["pass"]),
        "picture": ("picture.png", save_picture, read_picture),
        "predictions of the console": ("out.csv", predict, read_csv),
    }


def _figure():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 2))
    figure.subplots().plot([1, 2, 3])
    return figure


def _kill(models, data, folder, times):
    rng = random.Random(0)
    for name, (file, write, read) in _writers(models, data, folder).items():
        write()
        others = set(os.listdir(folder))
        for _ in range(times):
            killed(write, rng.uniform(0.0, 0.06))
            read(folder / file)
        left = set(os.listdir(folder)) - others
        assert len(left) <= times, name
        write()  # sweeps what the dead have left
        assert set(os.listdir(folder)) == others, name


def test_a_few_kills(models, data, tmp_path):
    _kill(models, data, tmp_path, 2)


@pytest.mark.study
def test_a_hundred_kills(models, data, tmp_path):
    _kill(models, data, tmp_path, 100)
