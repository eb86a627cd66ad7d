"""How often the default fit reaches known good optima of three real data sets, and at what CPU time.

The folder holds concrete.csv, airfoil.csv and power_plant.csv (columns strength, sound_pressure and energy_output
are the responses). All columns are divided by their population standard deviation after centring. A run counts
where the log-likelihood is reached with sigma at least 0.02 and no collapsed expert. CPU time is that of the
process, one thread. Beside it the median of flexmix's random starts, where Rscript and flexmix are installed.

    python bench/search_targets.py FOLDER [--seeds 5] [--time-budget SECONDS] [--starts 10] [--only concrete]
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from moefast import DegenerateDataWarning, MixtureOfExpertsRegressor
from real_data import flexmix

RESPONSES = {"concrete": "strength", "airfoil": "sound_pressure", "power_plant": "energy_output"}
# data, k, noise, what the default fit is to reach, what 30 seconds are to reach, the best known
TARGETS = [
    ("concrete", 2, "per_expert", -505.6, -505.6, -505.51),
    ("concrete", 2, "shared", -510.4, -510.4, -510.33),
    ("concrete", 3, "per_expert", -318.0, -307.7, -306.50),
    ("concrete", 3, "shared", -325.0, -316.0, -315.92),
    ("concrete", 5, "per_expert", -75.0, -50.0, -27.77),
    ("concrete", 5, "shared", -119.0, -76.2, -71.14),
    ("airfoil", 2, "per_expert", -1195.6, -1195.6, -1195.51),
    ("airfoil", 2, "shared", -1229.7, -1229.7, -1229.62),
    ("airfoil", 3, "per_expert", -942.0, -927.1, -926.97),
    ("airfoil", 3, "shared", -1004.0, -999.4, -999.05),
    ("airfoil", 5, "per_expert", -443.0, -435.0, -430.52),
    ("airfoil", 5, "shared", -505.0, -495.0, -493.76),
    ("power_plant", 2, "per_expert", -145.25, -145.25, -145.19),
    ("power_plant", 3, "per_expert", 159.0, 239.0, 239.17),
]


def standard_table(folder, data):
    """Columns divided by their population standard deviation after centring; the response is called "response"."""
    table = pd.read_csv(folder / f"{data}.csv")
    table = (table - table.mean()) / table.std(ddof=0)
    return table.rename(columns={RESPONSES[data]: "response"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--time-budget", type=float)
    parser.add_argument("--starts", type=int, default=10, help="of flexmix; 0 leaves it out")
    parser.add_argument("--only", choices=list(RESPONSES))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DegenerateDataWarning)
    rows = []
    for data, k, noise, default, longer, known in TARGETS:
        if arguments.only not in (None, data):
            continue
        table = standard_table(arguments.folder, data)
        X, y = table.drop(columns="response"), table["response"]
        target = default if arguments.time_budget is None else longer
        likelihoods, cpu, reached = [], [], 0
        for seed in range(arguments.seeds):
            begun = time.process_time()
            model = MixtureOfExpertsRegressor(
                k, noise=noise, time_budget=arguments.time_budget, random_state=seed, n_threads=1
            ).fit(X, y)
            cpu.append(time.process_time() - begun)
            likelihoods.append(model.log_likelihood_)
            honest = model.sigma_.min() >= 0.02 and not model.fit_report_.collapsed
            reached += honest and model.log_likelihood_ >= target
        row = [data, k, noise, target, f"{reached} of {arguments.seeds}"]
        row += [max(likelihoods), np.median(likelihoods), min(likelihoods), known, np.median(cpu), max(cpu)]
        peer = flexmix(table, k, arguments.starts, noise) if arguments.starts else None
        if peer is not None and len(peer):
            row += [peer[:, 0].max(), np.median(peer[:, 1]), np.median(cpu) / np.median(peer[:, 1])]
        rows.append(row)
    header = [
        "data",
        "k",
        "noise",
        "target",
        "reached",
        "best",
        "median",
        "worst",
        "best known",
        "CPU s",
        "most CPU s",
    ]
    header += ["flexmix's best", "one flexmix start, CPU s", "in flexmix starts"]
    print(tabulate(rows, headers=header[: max(map(len, rows))], floatfmt=".2f", tablefmt="github"))
    if len(rows[0]) < len(header):
        print("flexmix: left out, or Rscript or the package is not installed")


if __name__ == "__main__":
    main()
