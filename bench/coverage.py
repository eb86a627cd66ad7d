"""How often do 95 % intervals cover the truth? A table for docs/inference.md.

For each case ten sets of parameters (three features, two or three experts, slopes of norm 1) in turn, and a data
set drawn from each. "well": noise 0.3, gates of norm 2. "poor": noise 1, gates of norm 1.5: experts overlap.

Fits: "truth" is EM from the true parameters, the optimum next to them, which nobody has in practice; "default" is
the fit with everything left open, "shared" the same with noise="shared". Coefficients of experts (E) and of gates
(G), log sigma (s) and the mean E[y | x] at ten new rows (m). With `--cold`, as many cold replicates of each of the
first data sets say how often random starts find a better optimum than the fit leads to.

    python bench/coverage.py [--fit truth] [--cases poor-3] [--rows 500] [--data-sets 500] [--bootstrap 100]
                             [--cold 0] [--some 100] [--keep FILE]

`--bootstrap` is the number of warm replicates for each of the first `--some` data sets; 0 leaves them out.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from tabulate import tabulate

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import random_mixture
from moefast.em import fit_em

CASES = {
    "well-2": {"n_experts": 2, "noise": 0.3, "gate_scale": 2.0},
    "well-3": {"n_experts": 3, "noise": 0.3, "gate_scale": 2.0},
    "poor-2": {"n_experts": 2, "noise": 1.0, "gate_scale": 1.5},
    "poor-3": {"n_experts": 3, "noise": 1.0, "gate_scale": 1.5},
}
FEATURES = 3
NEW_ROWS = 10
PARAMETER_SETS = 10


def true_mixture(case, seed):
    return random_mixture(FEATURES, random_state=seed % PARAMETER_SETS, **CASES[case])


def fitted(X, y, truth, fit, seed):
    """Return an estimator fitted in the way asked for, with its experts in the order of the true ones."""
    model = MixtureOfExpertsRegressor(truth.n_experts, noise="shared" if fit == "shared" else "per_expert")
    model.set_params(random_state=seed, n_threads=1)
    if fit == "truth":  # an estimator around EM's optimum; its search, which is not asked for, has one start
        model.set_params(start="random", n_init=1, max_iter=1).fit(X, y)
        model.set_params(start="auto", n_init="auto", max_iter=1000)
        mixture = fit_em(X, y, truth).mixture
    else:
        mixture = model.fit(X, y).mixture_
    agreement = truth.responsibilities(X, y).T @ mixture.responsibilities(X, y)
    model._set_parameters(mixture.ordered(linear_sum_assignment(-agreement)[1]))
    return model


def covered(intervals, truth):
    """Return which intervals cover the truth; NaN where there is none."""
    low, high = intervals.T
    return np.where(np.isnan(low), np.nan, (low <= truth) & (truth <= high))


def by_group(layout, hits, means):
    """Return the mean of each group of parameters, and of the means."""
    groups = {"E": hits[: layout.gates.start], "G": hits[layout.gates], "s": hits[layout.noise], "m": means}
    return {
        name: float(np.nanmean(values)) if not np.isnan(values).all() else np.nan
        for name, values in groups.items()
    }


def one_data_set(case, n, seed, options):
    """Return which intervals of a data set cover, for each kind of standard error, and what marks the data set."""
    truth, rng = true_mixture(case, seed), np.random.default_rng([seed, n])
    X, X_new = rng.normal(size=(n, FEATURES)), rng.normal(size=(NEW_ROWS, FEATURES))
    y, mean = truth.draw(X, rng), truth.mean(X_new)
    model = fitted(X, y, truth, options.fit, seed)
    found = {}
    for cov_type in ("nonrobust", "robust"):
        result = model.inference(X, y, cov_type=cov_type)
        theta = result.layout.vector(truth)
        hits = covered(result.conf_int(), theta), covered(result.predict(X_new).conf_int(), mean)
        found[cov_type] = by_group(result.layout, *hits)
    if options.bootstrap and seed < options.some:
        replicates = result.bootstrap(options.bootstrap, random_state=seed, n_threads=1)
        hits = covered(replicates.conf_int(), theta), covered(replicates.predict(X_new).conf_int(), mean)
        found["weighted bootstrap"] = by_group(result.layout, *hits)
    marks = {
        "rows": float(model.responsibilities(X, y).sum(axis=0).min()),
        "sigma": float(model.sigma_.min() / model.sigma_.max()),
        "gain": float(model.log_likelihood(X, y) - fit_em(X, y, truth).log_likelihood),
        "lost": int((~result.estimable).sum()),
    }
    if options.cold and seed < options.some:
        cold = result.bootstrap(options.cold, start="cold", random_state=seed, n_threads=1)
        marks["better"] = cold.refits.n_better / options.cold
    return {"case": case, "n": n, "seed": seed, **marks, "covered": found}


def percent(values):
    return " ".join(f"{100 * np.nanmean(v):.1f}" for v in values)


def table(records, options):
    """Return the Markdown table of coverages in percent, E G s m."""
    rows = []
    kinds = ["nonrobust", "robust", *(["weighted bootstrap"] if options.bootstrap else [])]
    for case in options.cases:
        for n in options.rows:
            here = [r for r in records if (r["case"], r["n"]) == (case, n)]
            cells = []
            for kind in kinds:
                of_kind = [r["covered"][kind] for r in here if kind in r["covered"]]
                cells.append(percent([[c[group] for c in of_kind] for group in "EGsm"]) + f" ({len(of_kind)})")
            if options.cold:
                shares = [r["better"] for r in here if "better" in r]
                cells.append(f"{100 * np.mean(shares):.0f} % ({len(shares)})")
            rows.append([case, n, *cells])
    header = ["case", "n", *kinds, *(["random starts better"] if options.cold else [])]
    return tabulate(rows, headers=header, tablefmt="pipe")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", choices=["truth", "default", "shared"], default="truth")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--rows", nargs="+", type=int, default=[500, 2000])
    parser.add_argument("--data-sets", type=int, default=500)
    parser.add_argument("--bootstrap", type=int, default=100)
    parser.add_argument("--cold", type=int, default=0)
    parser.add_argument("--some", type=int, default=100)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    records, cpu = [], time.process_time()
    for case in options.cases:
        for n in options.rows:
            records += [one_data_set(case, n, seed, options) for seed in range(options.data_sets)]
            if options.keep:
                options.keep.write_text(json.dumps(records))
    print(f"fit: {options.fit}; in percent: experts, gates, log sigma, mean (data sets)\n")
    print(table(records, options))
    print(f"\n{time.process_time() - cpu:.0f} CPU seconds")


if __name__ == "__main__":
    main()
