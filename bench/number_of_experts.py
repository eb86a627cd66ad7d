"""Which number of experts each criterion chooses on simulated data.

    python bench/number_of_experts.py

prints, for three regimes, how often AIC, BIC, ICL, cross-validation, and the latter with the rule of one standard
error choose one, two, three and four experts. The table in docs/selection.md is its output.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter

from tabulate import tabulate

from moefast import DegenerateDataWarning, select_n_experts
from moefast.datasets import make_moe
from moefast.selection.candidate import best_candidate

CANDIDATES = (1, 2, 3, 4)
REGIMES = {
    "two experts well apart, n = 500": {"n_samples": 500, "n_experts": 2, "noise": 0.3},
    "three that overlap, n = 1000": {"n_samples": 1000, "n_experts": 3, "noise": 0.5},
    "three that overlap much, n = 500": {"n_samples": 500, "n_experts": 3, "noise": 1.0, "gate_scale": 1.5},
}


def choices(seed: int, regime: dict[str, float]) -> dict[str, int]:
    """Return what each criterion chooses on one data set of random parameters."""
    X, y, _ = make_moe(n_features=3, expert_intercept=0.5, random_state=seed, **regime)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)
        table = select_n_experts(X, y, CANDIDATES, random_state=0).table
    return {
        "AIC": min(table, key=lambda row: row.aic).n_experts,
        "BIC": best_candidate(table, "bic").n_experts,
        "ICL": best_candidate(table, "icl").n_experts,
        "cross-validation": best_candidate(table, "cv").n_experts,
        "one standard error": best_candidate(table, "cv", one_standard_error=True).n_experts,
    }


def main() -> None:
    """Print the table, a line at a time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-sets", type=int, default=12, help="of each regime")
    options = parser.parse_args()
    rows = []
    for name, regime in REGIMES.items():
        found = [choices(seed, regime) for seed in range(options.data_sets)]
        counts = {criterion: Counter(one[criterion] for one in found) for criterion in found[0]}
        rows.append([name, *(", ".join(str(count[k]) for k in CANDIDATES) for count in counts.values())])
        print(tabulate(rows, headers=["data", *counts], tablefmt="github"), flush=True)


if __name__ == "__main__":
    main()
