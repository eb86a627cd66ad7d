"""The default fit on a CSV table, beside R's flexmix where Rscript and flexmix are installed.

All columns are divided by their population standard deviation after centring. CPU time is that of the process,
one thread; flexmix's is user and system time around its call.

    python bench/real_data.py FILE.csv TARGET EXPERTS [--seeds 5] [--starts 10] [--noise shared]
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from moefast import DegenerateDataWarning, MixtureOfExpertsRegressor

# One random start, NULL where it fails, on the table of the command's first argument; columns cluster_... are no
# features.
START = r"""
suppressMessages(library(flexmix))
a <- commandArgs(TRUE); M <- read.csv(a[1]); k <- as.integer(a[2]); starts <- as.integer(a[3])
xs <- grep("^(response$|cluster_)", names(M), invert = TRUE, value = TRUE)
gates <- if (a[5] == "constant") FLXPconstant() else FLXPmultinom(reformulate(xs))
model <- if (a[4] == "shared") FLXMRglmfix(family = "gaussian", varFix = TRUE) else FLXMRglm(family = "gaussian")
start <- function(s) {
  set.seed(s)
  tryCatch(flexmix(reformulate(xs, "response"), data = M, k = k, model = model, concomitant = gates,
           control = list(iter.max = 1000, minprior = 0, tolerance = 1e-6)), error = function(e) NULL)
}
"""
LIKELIHOODS = r"""
for (s in seq_len(starts)) {
  t0 <- sum(proc.time()[c("user.self", "sys.self")])
  m <- start(s)
  if (!is.null(m)) cat(as.numeric(logLik(m)), sum(proc.time()[c("user.self", "sys.self")]) - t0, "\n")
}
"""


def run_flexmix(script, table, experts, starts, noise, gates="features"):
    """Return the numbers that an R script printed, by line; what START makes is there for it. One thread."""
    with tempfile.TemporaryDirectory() as folder:
        data, file = Path(folder) / "data.csv", Path(folder) / "starts.R"
        table.to_csv(data, index=False)
        file.write_text(START + script)
        command = ["Rscript", str(file), str(data), str(experts), str(starts), noise, gates]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return [[float(v) for v in line.split()] for line in done.stdout.splitlines()]


def flexmix(table, experts, starts, noise, gates="features"):
    """Log-likelihood and CPU seconds of each start, or None without R."""
    if shutil.which("Rscript") is None:
        return None
    try:
        return np.array(run_flexmix(LIKELIHOODS, table, experts, starts, noise, gates))
    except subprocess.CalledProcessError:  # the package is not installed
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("target")
    parser.add_argument("experts", type=int)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--noise", choices=["per_expert", "shared"], default="per_expert")
    arguments = parser.parse_args()
    table = pd.read_csv(arguments.file)
    table = (table - table.mean()) / table.std(ddof=0)
    X, y = table.drop(columns=arguments.target), table[arguments.target]
    warnings.simplefilter("ignore", DegenerateDataWarning)
    ours = []
    for seed in range(arguments.seeds):
        begun = time.process_time()
        model = MixtureOfExpertsRegressor(arguments.experts, noise=arguments.noise, random_state=seed, n_threads=1)
        model.fit(X, y)
        cpu = time.process_time() - begun
        assert np.isclose(model.log_likelihood_, model.log_likelihood(X, y)), "the reported likelihood is wrong"
        ours.append([model.log_likelihood_, cpu])
    rows = [("moefast, default fit", np.array(ours))]
    peer = flexmix(table.rename(columns={arguments.target: "response"}), arguments.experts, arguments.starts,
                   arguments.noise)  # fmt: skip
    if peer is not None and len(peer):
        rows.append(("flexmix, one random start", peer))
    print(
        tabulate(
            [[n, len(v), v[:, 0].max(), np.median(v[:, 0]), v[:, 0].min(), np.median(v[:, 1])] for n, v in rows],
            headers=["", "runs", "best", "median", "worst log-likelihood", "median CPU s"],
            floatfmt=".2f",
            tablefmt="github",
        )
    )
    if len(rows) == 1:
        print("flexmix: Rscript or the package is not installed")


if __name__ == "__main__":
    main()
