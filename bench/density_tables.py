"""The tables of held_out_density.py: those that come with packages, and CSV files."""

import io
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd


def numbers(table, target):
    """Return X and y of a data frame, rows without gaps; a category has an indicator for each level but one."""
    table = table.dropna()
    y = table.pop(target).to_numpy(dtype=float)
    X = pd.get_dummies(table, drop_first=True).to_numpy(dtype=float)
    return X[:, np.ptp(X, axis=0) > 0], y


def from_file(path):
    """A CSV file whose last column is the response."""
    table = pd.read_csv(path)
    return numbers(table, table.columns[-1])


def diabetes():
    from sklearn.datasets import load_diabetes

    return load_diabetes(return_X_y=True)


def california_housing():
    """Where it has been downloaded before."""
    from sklearn.datasets import fetch_california_housing

    return fetch_california_housing(return_X_y=True, download_if_missing=False)


def engel():
    from statsmodels.datasets import engel

    return numbers(engel.load_pandas().data, "foodexp")


def grunfeld():
    from statsmodels.datasets import grunfeld

    return numbers(grunfeld.load_pandas().data.drop(columns=["firm", "year"]), "invest")


def from_r(name, target, drop=()):
    """Return a function that reads a data frame of R."""

    def read():
        command = ["Rscript", "-e", f"write.csv({name}, row.names = FALSE)"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return numbers(pd.read_csv(io.StringIO(done.stdout)).drop(columns=list(drop)), target)

    return read


PACKAGED = {
    "diabetes": diabetes,
    "california housing": california_housing,
    "engel": engel,
    "grunfeld": grunfeld,
    "Boston": from_r("MASS::Boston", "medv"),
    "birthwt": from_r("MASS::birthwt", "bwt", drop=["low"]),
    "cpus": from_r("MASS::cpus", "perf", drop=["name", "estperf"]),
    "quakes": from_r("datasets::quakes", "mag"),
}
"""Tables of scikit-learn, statsmodels and R, by name."""

NOT_THERE = (ImportError, OSError, subprocess.CalledProcessError)
"""What reading one of them may raise where it is not installed."""


def tables(names, files):
    """Return {name: (X, y)} of packaged tables by name and of files, and the names of those that are not there."""
    found, missing = {}, []
    for name in names:
        try:
            found[name] = PACKAGED[name]()
        except NOT_THERE:
            missing.append(name)
    for file in map(Path, files):
        found[file.stem] = from_file(file)
    return found, missing
