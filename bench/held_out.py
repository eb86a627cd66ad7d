"""Held-out log-likelihood of the default fit less that of the best of R flexmix's random starts.

The folder holds concrete.csv, airfoil.csv and power_plant.csv. All columns are divided by their population
standard deviation after centring. For every table and number of experts, ten folds of randomly ordered rows;
flexmix's best start is that of the highest likelihood on the training rows. The differences of all folds are
pooled: a mean of less than minus two standard errors would say that the higher likelihoods are bought by
overfitting.

    python bench/held_out.py FOLDER [--folds 10] [--starts 10] [--experts 2 3 5] [--only concrete]
                             [--gate-alpha A] [--keep FOLDER]

`--keep` keeps flexmix's parameters, so that another setting of ours can be held against them at once.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.model_selection import KFold
from tabulate import tabulate

from moefast import DegenerateDataWarning, MixtureOfExpertsRegressor
from real_data import run_flexmix
from search_targets import RESPONSES, standard_table

BEST = r"""
best <- NULL
for (s in seq_len(starts)) {
  m <- start(s)
  if (!is.null(m) && (is.null(best) || logLik(m) > logLik(best))) best <- m
}
if (!is.null(best)) {
  cat(as.numeric(logLik(best)), "\n")
  write.table(parameters(best), row.names = FALSE, col.names = FALSE)
  write.table(parameters(best, which = "concomitant"), row.names = FALSE, col.names = FALSE)
}
"""


def flexmix(train, k, starts):
    """Of the best start: its likelihood, [intercept, a, sigma] and [intercept, w], both of shape (rows, k)."""
    rows = run_flexmix(BEST, train, k, starts, "per_expert")
    d = train.shape[1] - 1
    return {"log_likelihood": rows[0][0], "experts": rows[1 : d + 3], "gates": rows[d + 3 :]}


def log_densities(found, X, y):
    """Of every row, from flexmix's parameters; written out so that the two sides share no code."""
    experts, gates = np.array(found["experts"]), np.array(found["gates"])
    U = np.column_stack([np.ones(len(X)), X])
    logits = U @ gates
    logits -= logsumexp(logits, axis=1, keepdims=True)
    return logsumexp(logits + norm.logpdf(y[:, None], U @ experts[:-1], experts[-1]), axis=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--experts", type=int, nargs="+", default=[2, 3, 5])
    parser.add_argument("--only", choices=list(RESPONSES))
    parser.add_argument("--gate-alpha", type=float)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DegenerateDataWarning)
    gate_alpha = "auto" if arguments.gate_alpha is None else arguments.gate_alpha
    rows, pooled = [], []
    for data in RESPONSES:
        if arguments.only not in (None, data):
            continue
        table = standard_table(arguments.folder, data)
        X, y = table.drop(columns="response").to_numpy(), table["response"].to_numpy()
        for k in arguments.experts:
            differences, gains, ours_per_row = [], [], []
            folds = KFold(arguments.folds, shuffle=True, random_state=0).split(X)
            for fold, (train, test) in enumerate(folds):
                kept = arguments.keep and arguments.keep / f"{data}-{k}-{fold}.json"
                if kept and kept.exists():
                    found = json.loads(kept.read_text())
                else:
                    found = flexmix(table.iloc[train], k, arguments.starts)
                    if kept:
                        kept.parent.mkdir(exist_ok=True)
                        kept.write_text(json.dumps(found))
                check = log_densities(found, X[train], y[train]).sum()
                # flexmix reports the likelihood before its last M-step, which was worth up to 0.9; misread
                # parameters would be off by hundreds.
                assert np.isclose(check, found["log_likelihood"], atol=5), "flexmix's parameters are misread"
                model = MixtureOfExpertsRegressor(k, random_state=fold, gate_alpha=gate_alpha)
                model.fit(X[train], y[train])
                ours = model.log_likelihood(X[test], y[test])
                differences.append(ours - log_densities(found, X[test], y[test]).sum())
                gains.append(model.log_likelihood_ - found["log_likelihood"])
                ours_per_row.append(ours / len(test))
            pooled += differences
            mean, error = np.mean(differences), np.std(differences, ddof=1) / np.sqrt(len(differences))
            rows.append(
                [data, k, np.mean(gains), np.mean(ours_per_row), mean, error, min(differences), max(differences)]
            )
    mean, error = np.mean(pooled), np.std(pooled, ddof=1) / np.sqrt(len(pooled))
    rows.append(["all", "", "", "", mean, error, min(pooled), max(pooled)])
    header = [
        "data",
        "k",
        "gain in training",
        "ours held out, a row",
        "difference a fold",
        "standard error",
        "least",
        "most",
    ]
    print(tabulate(rows, headers=header, floatfmt=".2f", tablefmt="github"))


if __name__ == "__main__":
    main()
