"""A gated recurrent unit as a mixture of experts, and its weights found again from inputs and outputs.

A GRU keeps h = tanh(u). With v = (x_t, u_{t-1}) and the reset gate at 1, unit j does

    h_j = z_j tanh(a_j.v) + (1 - z_j) tanh(e_j.v),    z_j = sigmoid(w_j.v),

a candidate and a copy (e_j picks u_j out of v), weighted by a gate: the mean of a mixture of two tanh experts. The
papers let the gate decide, z_j in {0, 1}, and add noise; then the law of h_j given v *is* such a mixture, and its
experts and gate can be recovered, up to their order, from samples (v, h_j).

Source: Makkuva, Oh, Kannan, Viswanath, "Breaking the gridlock in Mixture-of-Experts", ICML 2019.

Run: python examples/gated_recurrent_unit.py
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import expit
from tabulate import tabulate

from moefast import MixtureOfExpertsRegressor
from moefast.links import get_link
from moefast.mixture import Mixture


class GatedRecurrentUnits:
    """m units with p inputs: rows a_j, w_j of length p + m; the copy of unit j reads place p + j of v."""

    def __init__(self, n_inputs: int, n_units: int, rng: np.random.Generator) -> None:
        size = n_inputs + n_units
        self.candidate = rng.normal(size=(n_units, size)) / np.sqrt(size)
        self.gate = 2.0 * rng.normal(size=(n_units, size)) / np.sqrt(size)
        self.copy = np.eye(size)[n_inputs:]

    def step(self, v: np.ndarray) -> np.ndarray:
        """One GRU step, written as in the textbooks: rows v of shape (n, p + m) to h of shape (n, m)."""
        z = expit(v @ self.gate.T)
        return z * np.tanh(v @ self.candidate.T) + (1 - z) * np.tanh(v @ self.copy.T)

    def as_mixture(self, unit: int, sigma: float) -> Mixture:
        """Unit j as a mixture of two tanh experts: the candidate and the copy."""
        return Mixture(
            coef=np.stack([self.candidate[unit], self.copy[unit]]),
            intercept=np.zeros(2),
            gate_coef=np.stack([self.gate[unit], np.zeros_like(self.gate[unit])]),
            gate_intercept=np.zeros(2),
            sigma=np.full(2, sigma),
            link=get_link("tanh"),
        )


def errors(model: MixtureOfExpertsRegressor, truth: Mixture) -> tuple[float, float, float]:
    """Distances of candidate, copy and gate from the truth, each relative to the norm of the truth."""
    distance = np.linalg.norm(model.coef_[:, None] - truth.coef[None], axis=2)
    order = np.argsort(linear_sum_assignment(distance)[1])  # of the found experts: candidate, copy
    gate = model.gate_coef_[order[0]] - model.gate_coef_[order[1]]
    pairs = [*zip(model.coef_[order], truth.coef, strict=True), (gate, truth.gate_coef[0])]
    candidate, copy, gate_error = (float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in pairs)
    return candidate, copy, gate_error


def main(n_samples: int = 100_000, n_inputs: int = 4, n_units: int = 3, sigma: float = 0.05) -> list[list[float]]:
    """Simulate, check that a GRU step is a mixture's mean, recover every unit; returns the rows printed."""
    rng = np.random.default_rng(0)
    units = GatedRecurrentUnits(n_inputs, n_units, rng)
    v = rng.normal(size=(n_samples, n_inputs + n_units))
    soft = units.step(v)
    rows = []
    for j in range(n_units):
        truth = units.as_mixture(j, sigma)
        assert np.allclose(truth.mean(v), soft[:, j], rtol=0, atol=1e-12)
        h = truth.draw(v, rng)  # the gate decides
        model = MixtureOfExpertsRegressor(
            2, link="tanh", noise="shared", fit_intercept=False, fit_gate_intercept=False, random_state=0
        ).fit(v, h)
        prediction = float(np.abs(model.predict(v) - soft[:, j]).max())
        rows.append([j, *errors(model, truth), float(model.sigma_[0]), prediction])
    headers = ["unit", "candidate", "copy", "gate", f"sigma ({sigma})", "GRU step"]
    print(f"{n_units} gated units, {n_inputs} inputs, {n_samples} samples each: relative errors of the weights,")
    print("and the largest error of the GRU step itself over all samples")
    print(tabulate(rows, headers, floatfmt=".4f"))
    return rows


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
