"""Inputs from two normal distributions: the score of one normal against the exact score.

Prints a Markdown table: median over seeds of the worst expert's direction error. k = 2, d = 6, noise 0.1, two
components of covariance I and shares 0.3 and 0.7, means 4 apart, experts of norm 1 after whitening, a gate
of norm 2 orthogonal to them.

    python bench/spectral_inputs.py [--seeds 10] [--size 200000]
"""

import argparse
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from tabulate import tabulate

from moefast.links import get_link
from moefast.mixture import Mixture
from moefast.moments.input_mixture import InputMixture
from moefast.spectral import recover_experts
from spectral_bias import direction_error

D = 6
SHARES = np.array([0.3, 0.7])
PARTED = {
    "across the experts": [0.0, 0.0, 0.0, 0.0, 0.0, 4.0],
    "along one expert": [4.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    "between the two": [8**0.5, 0.0, 0.0, 0.0, 0.0, 8**0.5],
}


def draw(link, shift, n, seed):
    rng = np.random.default_rng(seed)
    shift = np.array(shift)
    law = InputMixture(SHARES, np.outer([SHARES[1], -SHARES[0]], shift), np.stack([np.eye(D)] * 2))
    X = law.means[(rng.uniform(size=n) > SHARES[0]).astype(int)] + rng.normal(size=(n, D))
    coef = np.eye(2, D) + 0.25 * np.eye(2, D, 1) * [[1.0], [0.0]]
    covariance = np.eye(D) + SHARES.prod() * np.outer(shift, shift)
    coef /= np.sqrt(np.einsum("id,de,ie->i", coef, covariance, coef))[:, None]
    gate = np.zeros((2, D))
    gate[0, 2] = 2.0
    truth = Mixture(coef, np.zeros(2), gate, np.zeros(2), np.full(2, 0.1), get_link(link))
    return X, truth.draw(X, rng), truth, law


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--size", type=int, default=200_000)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = []
    for link in ("linear", "relu", "tanh"):
        for name, shift in PARTED.items():
            errors = []
            for seed in range(arguments.seeds):
                X, y, truth, law = draw(link, shift, arguments.size, seed)
                found = [
                    recover_experts(X, y, 2, link=link, x_distribution=x, random_state=seed)
                    for x in ("gaussian", law)
                ]
                errors.append([direction_error(f.coef, truth.coef) for f in found])
            rows.append([link, name, *np.median(errors, axis=0)])
    header = ["link", "components of x parted", "score of one normal", "exact score"]
    print(tabulate(rows, headers=header, tablefmt="github", floatfmt=".3f"))


if __name__ == "__main__":
    main()
