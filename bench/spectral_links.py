"""How far the spectral estimate is from the truth for every link, with the polynomial and the optimal transform.

Prints a Markdown table: median over seeds of the worst expert's direction error, by sample size. d = 10, gates of
norm 2 orthogonal to the experts, noise 0.1 (sigmoid and tanh: 0.05), not known to the method.

    python bench/spectral_links.py [--seeds 10] [--sizes 10000 100000]
"""

import argparse
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from tabulate import tabulate
from tqdm import tqdm

from moefast.datasets import make_moe
from moefast.links import LINKS
from moefast.spectral import recover_experts
from spectral_bias import direction_error


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # a direction that does not settle is part of the result
    rows = []
    work = tqdm(total=2 * len(LINKS) * len(arguments.sizes) * arguments.seeds, leave=False)
    for k in (2, 3):
        for link in LINKS:
            row = [k, link]
            noise = 0.05 if link in ("sigmoid", "tanh") else 0.1
            for n in arguments.sizes:
                errors = []
                for seed in range(arguments.seeds):
                    X, y, truth = make_moe(
                        n, 10, k, link=link, noise=noise, orthogonal_gate=True, random_state=seed
                    )
                    found = [
                        recover_experts(X, y, k, link=link, transform=transform, random_state=seed)
                        for transform in ("polynomial", "optimal")
                    ]
                    errors.append([direction_error(f.coef, truth.coef) for f in found])
                    work.update()
                row += list(np.median(errors, axis=0))
            rows.append(row)
    work.close()
    sizes = [f"n = {n:.0e}".replace("e+0", "e") for n in arguments.sizes]
    header = ["k", "link"] + [f"{transform}, {size}" for size in sizes for transform in ("polynomial", "optimal")]
    print(tabulate(rows, headers=header, tablefmt="github", floatfmt=".3f"))


if __name__ == "__main__":
    main()
