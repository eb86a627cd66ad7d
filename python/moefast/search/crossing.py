"""Crossing: some experts of a local optimum give way to those that another optimum has in their place.

The crossover of hybrid genetic algorithms (Gribel and Vidal, "HG-means: a scalable hybrid genetic algorithm for
minimum sum-of-squares clustering", Pattern Recognition 2019): where optima are many, each is right about some of
the experts, and what several climbs have found is put together.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from moefast._typing import Floats
from moefast.search.local_optimum import LocalOptimum

__all__ = ["cross"]


def cross(optimum: LocalOptimum, rng: np.random.Generator) -> Floats:
    """Take a random number of experts from one of the other optima, each for the one with whom it shares rows.

    Of each row an expert has the share that its gate and density have among all that are taken together.
    """
    problem, k = optimum.problem, optimum.n_experts
    other = optimum.others[int(rng.integers(len(optimum.others)))]
    of_other = other.joint
    shared = (optimum.responsibilities * problem.sample_weight[:, None]).T @ _shares(of_other)
    match = linear_sum_assignment(shared, maximize=True)[1]
    taken = rng.permutation(k)[: int(rng.integers(1, k))]
    joint = optimum.joint.copy()
    joint[:, taken] = of_other[:, match[taken]]
    return _shares(joint)


def _shares(joint: Floats) -> Floats:
    R = np.exp(joint - joint.max(axis=1, keepdims=True))
    return np.asarray(R / R.sum(axis=1, keepdims=True))
