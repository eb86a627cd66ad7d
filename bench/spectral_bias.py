"""How far the spectral estimate is from the truth when the method's assumptions hold, and when they do not.

Prints a Markdown table: median over seeds of the worst expert's direction error, by sample size, and what the
polish (default fit, same data) makes of it at the largest size. Linear experts, d = 10, sigma = 0.1, gate norm 2.

    python bench/spectral_bias.py [--seeds 10] [--sizes 10000 100000 1000000]
"""

import argparse
import warnings

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.exceptions import ConvergenceWarning
from tabulate import tabulate
from tqdm import tqdm

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.spectral import recover_experts

CASES = {
    "orthogonal gates (assumptions hold)": {"orthogonal_gate": True},
    "the same, x with a covariance": {"orthogonal_gate": True, "covariance": True},
    "generic gates": {},
    "generic gates, fit_intercept=False": {"fit_intercept": False},
    "orthogonal gates, expert intercepts of size 0.3": {"orthogonal_gate": True, "expert_intercept": 0.3},
    "orthogonal gates, mean of x of size 1": {"orthogonal_gate": True, "x_mean": 1.0 / np.sqrt(10)},
}


def direction_error(found, truth):
    """Largest distance of a unit direction to its true one, after the best assignment."""
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (found, truth)]
    distance = np.linalg.norm(unit[0][:, None] - unit[1][None], axis=2)
    return distance[linear_sum_assignment(distance)].max()


def draw(n, k, seed, covariance=False, fit_intercept=True, **case):
    """Simulated data; with `covariance` x is multiplied by a fixed matrix and the experts by its inverse."""
    X, y, truth = make_moe(n, 10, k, noise=0.1, random_state=seed, **case)
    coef = truth.coef
    if covariance:
        A = np.eye(10) + 0.3 * np.random.default_rng(seed).normal(size=(10, 10))
        X, coef = X @ A.T, coef @ np.linalg.inv(A)
    return X, y, coef


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # a direction that does not settle is part of the result
    rows = []
    work = tqdm(total=2 * len(CASES) * len(arguments.sizes) * arguments.seeds, leave=False)
    for k in (2, 3):
        for name, case in CASES.items():
            row = [k, name]
            for n in arguments.sizes:
                errors, polished = [], []
                for seed in range(arguments.seeds):
                    X, y, coef = draw(n, k, seed, **case)
                    intercept = case.get("fit_intercept", True)
                    found = recover_experts(X, y, k, fit_intercept=intercept, random_state=seed)
                    errors.append(direction_error(found.coef, coef))
                    if n == arguments.sizes[0]:
                        fit = MixtureOfExpertsRegressor(k, fit_intercept=intercept, random_state=seed).fit(X, y)
                        polished.append(direction_error(fit.coef_, coef))
                    work.update()
                row.append(np.median(errors))
                if polished:
                    repaired = np.median(polished)
            rows.append([*row, repaired])
    work.close()
    sizes = [f"spectral, n = {n:.0e}".replace("e+0", "e") for n in arguments.sizes]
    header = ["k", "case", *sizes, f"default fit, n = {arguments.sizes[0]:.0e}".replace("e+0", "e")]
    print(tabulate(rows, headers=header, tablefmt="github", floatfmt=".3f"))


if __name__ == "__main__":
    main()
