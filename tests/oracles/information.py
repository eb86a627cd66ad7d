"""Derivatives of the log-likelihood of a mixture of experts, from nothing but the log-likelihood itself.

First derivatives by the complex step, exact to rounding: Im f(x + ih) / h. Second ones are differences of those of
fourth order, good to ten digits.
"""

from dataclasses import dataclass

import numpy as np

from oracles.families import NORMAL, Law


@dataclass
class Model:
    """The log-density of each row as a function of the parameters theta, which may be complex.

    theta = (experts | gates but the last | log sigma | log shape), experts and gates over the columns of (X, 1)
    they use, log sigma and log shape where the law has them.
    """

    X: np.ndarray
    y: np.ndarray
    k: int
    expert_columns: list
    gate_columns: list
    shared_noise: bool = False
    link: object = staticmethod(lambda eta: eta)  # takes complex numbers
    law: Law = NORMAL
    offset: np.ndarray | float = 0.0
    trials: np.ndarray | None = None

    @property
    def n_parameters(self):
        k = self.k
        dispersion = (self.law.has_scale + self.law.has_shape) * (1 if self.shared_noise else k)
        return k * self.law.n_predictors * len(self.expert_columns) + (k - 1) * len(self.gate_columns) + dispersion

    def split(self, theta):
        """Return experts (k q, me), gates (k, mg) with a last row of 0, sigma (k,) and shape (k,)."""
        k, me, mg = self.k, len(self.expert_columns), len(self.gate_columns)
        rows = k * self.law.n_predictors
        experts, rest = theta[: rows * me].reshape(rows, me), theta[rows * me :]
        gates = np.vstack([rest[: (k - 1) * mg].reshape(k - 1, mg), np.zeros((1, mg))])
        rest, dispersion = rest[(k - 1) * mg :], []
        for has in (self.law.has_scale, self.law.has_shape):
            m = has * (1 if self.shared_noise else k)
            dispersion.append(np.exp(np.broadcast_to(rest[:m] if has else 0.0, (k,))))
            rest = rest[m:]
        return experts, gates, *dispersion

    def row_log_density(self, theta):
        experts, gates, sigma, shape = self.split(theta)
        U = np.column_stack([self.X, np.ones(len(self.X))])
        eta = U[:, self.expert_columns] @ experts.T + np.reshape(self.offset, (-1, 1))
        if self.law.n_predictors > 1:
            eta = eta.reshape(len(eta), self.k, -1)
        logits = U[:, self.gate_columns] @ gates.T
        log_gates = logits - log_sum_exp(logits)[:, None]
        trials = None if self.trials is None else self.trials[:, None]
        return log_sum_exp(log_gates + self.law.log_density(self.y[:, None], self.link(eta), sigma, shape, trials))

    def full(self, theta):
        """Return experts, gates (k, d + 1) with zeros for columns that are not used, and the dispersion."""
        experts, gates, sigma, shape = self.split(theta)
        dim = self.X.shape[1] + 1
        wide = np.zeros((len(experts), dim)), np.zeros((self.k, dim))
        wide[0][:, self.expert_columns], wide[1][:, self.gate_columns] = experts, gates
        return *wide, np.column_stack([sigma**2, shape]) if self.law.has_shape else np.array(sigma**2)


def log_sum_exp(values):
    top = values.real.max(axis=1, keepdims=True)
    return top[:, 0] + np.log(np.exp(values - top).sum(axis=1))


def row_scores(model, theta, first=0):
    """Derivatives of the row log-densities by the parameters from the first one on, n x (P - first)."""
    columns = []
    for j in range(first, len(theta)):
        moved = theta.astype(complex)
        moved[j] += 1e-30j
        columns.append(model.row_log_density(moved).imag / 1e-30)
    return np.column_stack(columns)


def hessian(model, theta, w):
    """Second derivatives of the weighted log-likelihood, P x P."""
    second, h = np.zeros((len(theta), len(theta))), 4e-6  # slopes are exact: h^2 and rounding over h are alike
    for j, step in enumerate(h * np.eye(len(theta))):
        change = row_scores(model, theta + step, j) - row_scores(model, theta - step, j)
        second[j, j:] = second[j:, j] = w @ change / (2 * h)
    return second
