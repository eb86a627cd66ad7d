"""How well laws of y given x are predicted: our estimators beside boosting, on random splits of 90/10.

The splits are in kind those of the UCI benchmark of Hernandez-Lobato and Adams (2015) and of the NGBoost paper:
20, or 5 above 5000 rows, the same for every method. Of each split: negative log-likelihood a row, in the units of
the data, and continuous ranked probability score (lower is better), root mean squared error, the share of
responses in the 90 % interval (of ours that of ``predict_interval``, else the one of the law with equal tails),
and CPU seconds of fitting and predicting, one thread. Means over the splits with standard errors; differences are
those of the splits, paired. Packages and tables that are not installed are left out.

    python bench/held_out_density.py [--data FILE.csv ...] [--tables diabetes engel ...] [--splits 20]
        [--methods mixture NGBoost ...] [--also "five=MixtureOfExpertsRegressor(5, gate_alpha=1e-3)" ...]
        [--flexmix 2 3 ...] [--against NGBoost] [--keep RESULTS.jsonl]

`--data` are CSV files whose last column is the response, `--tables` those of packages (without either all of
these). `--flexmix` holds our default fit of so many experts beside the best of ten random starts of R's flexmix,
minutes a split for many rows. `--keep` writes what is found there, and takes from it what was found before.
"""

import one_thread

one_thread.pin()
# ruff: noqa: E402 - the threads have to be pinned first

import argparse
import hashlib
import json
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.model_selection import ShuffleSplit
from tabulate import tabulate

from density_methods import OURS, PEERS, flexmix, ours, parsed
from density_tables import PACKAGED, tables
from moefast import MixtureOfExpertsRegressor
from normal_mixtures import scores

COLUMNS = ["nll", "crps", "rmse", "coverage", "cpu"]
MANY_ROWS = 5000


def splits(n_rows, wanted=None):
    """Return pairs of rows to learn from and rows held out."""
    number = wanted or (20 if n_rows <= MANY_ROWS else 5)
    return list(ShuffleSplit(number, test_size=0.1, random_state=0).split(np.empty(n_rows)))


def run(method, X, y, split, seed):
    """Return the scores of a method on a split, by name."""
    train, test = split
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        laws = method(X[train], y[train], seed)(X[test])
    cpu = time.process_time() - begun
    return {**scores(laws, y[test]), "cpu": cpu}


class Results:
    """Scores by table, method and split, kept in a file of lines of JSON where there is one."""

    def __init__(self, path=None):
        self.path, self.found = path, {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                key, found = json.loads(line)
                self.found[tuple(key)] = found

    def get(self, key, compute):
        """Return the scores of a key, computed where they are not known."""
        if key not in self.found:
            self.found[key] = compute()
            if self.path is not None:
                with self.path.open("a") as file:
                    file.write(json.dumps([key, self.found[key]]) + "\n")
        return self.found[key]


def mean_and_error(values):
    """Return the mean of values and its standard error, NaN of a single one."""
    values = np.asarray(values)
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan


def rows_of_table(name, by_method, against):
    """Return a row for each method: means and standard errors, and differences from the method `against`."""
    rows = []
    for method, found in by_method.items():
        values = {column: np.array([one[column] for one in found]) for column in COLUMNS}
        row = [name, method, len(found)]
        for column, digits in zip(COLUMNS, (3, 4, 4, 3, 1), strict=True):
            mean, error = mean_and_error(values[column])
            row.append(f"{mean:.{digits}f}" if column == "cpu" else f"{mean:.{digits}f} +- {error:.{digits}f}")
        if against in by_method:
            other = np.array([one["nll"] for one in by_method[against]])
            mean, error = mean_and_error(values["nll"] - other)
            row.append("" if method == against else f"{mean:+.3f} +- {error:.3f}")
        rows.append(row)
    return rows


def compare(data, methods, results, wanted=None):
    """Return {table: {method: scores of each split}}; methods whose package is missing are left out, and named."""
    found, missing = {}, set()
    for name, (X, y) in data.items():
        content = hashlib.sha256(np.column_stack([X, y]).tobytes()).hexdigest()[:12]
        of_table = found.setdefault(name, {})
        for label, method in methods.items():
            try:
                of_table[label] = [
                    results.get((content, label, i), lambda m=method, s=split, i=i, X=X, y=y: run(m, X, y, s, i))
                    for i, split in enumerate(splits(len(y), wanted))
                ]
            except ImportError:
                missing.add(label)
    return found, missing


def show(found, against, tell=print):
    """Print a table for all data."""
    rows = [row for name, by_method in found.items() for row in rows_of_table(name, by_method, against)]
    headers = [
        "data",
        "method",
        "splits",
        "-log-likelihood",
        "CRPS",
        "RMSE",
        "in 90 %",
        "CPU s",
        f"less {against}",
    ]
    width = max(map(len, rows))
    tell(tabulate(rows, headers=headers[:width], tablefmt="github", disable_numparse=True))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=[], metavar="FILE.csv")
    parser.add_argument("--tables", nargs="+", choices=PACKAGED)
    parser.add_argument("--splits", type=int)
    parser.add_argument("--methods", nargs="+", choices=[*PEERS, *OURS], default=[*PEERS, *OURS])
    parser.add_argument("--also", nargs="+", default=[], metavar="NAME=EXPRESSION")
    parser.add_argument("--flexmix", nargs="+", type=int, default=[], metavar="EXPERTS")
    parser.add_argument("--against", default="NGBoost", help="of which method differences are taken")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args(arguments)
    names = options.tables or ([] if options.data else list(PACKAGED))
    data, not_there = tables(names, options.data)
    methods = {**{name: {**PEERS, **OURS}[name] for name in options.methods}, **dict(map(parsed, options.also))}
    for k in options.flexmix:
        methods |= {
            f"flexmix {k}": partial(flexmix, k),
            f"mixture {k}": partial(ours, MixtureOfExpertsRegressor(k)),
        }
    found, missing = compare(data, methods, Results(options.keep), options.splits)
    show(found, options.against)
    if left_out := [*not_there, *sorted(missing)]:
        print(f"left out, not installed: {', '.join(left_out)}")


if __name__ == "__main__":
    main()
