"""Rows, a small grid, and the regressor that chooses from it."""

from moefast import MixtureOfExpertsRegressorCV
from moefast.datasets import make_moe

X, Y, _ = make_moe(300, 3, 2, noise=0.3, random_state=0)
GRID = {
    "n_experts": (1, 2, 3),
    "alphas": (0.1, 3.0),
    "gate_alphas": (0.01, 1.0),
    "gate_basis": "linear",
    "noise_floor": 0.02,
}


def fitted(X=X, Y=Y, w=None, *, fit=None, **parameters):
    parameters = {"random_state": 0, **GRID, **parameters}
    return MixtureOfExpertsRegressorCV(**parameters).fit(X, Y, w, **(fit or {}))
