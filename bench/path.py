"""The fits for 1 to K experts along a path beside as many fits apart: CPU time and log-likelihood of each number.

The folder holds the tables of bench/search_targets.py, standardised as there. CPU time is that of the process, one
thread; a seed's fits along the path and apart run one after the other, the first first.

    python bench/path.py FOLDER [--data concrete] [--most 8] [--noise per_expert] [--seeds 5]
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from tabulate import tabulate

from moefast import DegenerateDataWarning, select_n_experts
from search_targets import RESPONSES, standard_table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", choices=RESPONSES, default="concrete")
    parser.add_argument("--most", type=int, default=8, help="experts")
    parser.add_argument("--noise", choices=("per_expert", "shared"), default="per_expert")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore", DegenerateDataWarning)
    table = standard_table(options.folder, options.data)
    X, y = table.drop(columns="response"), table["response"]
    ks = range(1, options.most + 1)

    def fits(path, seed):
        begun = time.process_time()
        made = select_n_experts(
            X, y, ks, path=path, n_folds=None, noise=options.noise, random_state=seed, n_threads=1
        )
        return time.process_time() - begun, [row.log_likelihood for row in made.table]

    fits(True, 0)  # imports what is imported lazily
    cpu = {True: [], False: []}
    reached = {True: [], False: []}
    for seed in range(options.seeds):
        for path in (True, False):
            seconds, values = fits(path, seed)
            cpu[path].append(seconds)
            reached[path].append(values)
    columns = [ks]
    for path in (True, False):
        values = np.array(reached[path])
        columns += [values.mean(axis=0), values.max(axis=0)]
    gain = np.array(reached[True]) - np.array(reached[False])
    columns += [gain.mean(axis=0), gain.std(axis=0, ddof=min(1, options.seeds - 1)) / np.sqrt(options.seeds)]
    headers = ["k", "path, mean", "path, best", "apart, mean", "apart, best", "mean gain", "s.e."]
    print(tabulate(list(zip(*columns, strict=True)), headers=headers, tablefmt="github", floatfmt=".2f"))
    path, apart = (np.median(cpu[which]) for which in (True, False))
    ratio = np.median(np.divide(cpu[True], cpu[False]))
    print(f"CPU s, medians over {options.seeds} seeds: path {path:.2f}, apart {apart:.2f}, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
