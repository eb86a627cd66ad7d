"""The E-step of mixtures with families, slowly and in numpy, from nothing but log f of each family."""

import numpy as np
from scipy.special import expit, log_softmax, ndtr, softmax

from moefast.families import Predictors

STEP = 1e-5


def working_weight(family, y, of):
    """s^2 times what stands for minus the second derivative: textbook formulas, (n, k)."""
    eta, sigma, shape = of.eta, of.sigma, of.shape
    z, mu = (y - eta) / sigma, np.exp(eta)
    if family.name == "poisson":
        return mu
    if family.name in ("binomial", "bernoulli"):
        return of.n_trials * expit(eta) * expit(-eta)
    if family.name == "gamma":
        return np.broadcast_to(shape, eta.shape)
    if family.name == "negative_binomial":
        return mu * shape / (shape + mu)
    if family.name == "student_t":
        df = shape if family.df is None else family.df
        return (df + 1) / (df + z**2)
    assert family.name == "tobit"
    below, above = (y <= family.lower) & (y >= -np.inf), y >= family.upper
    z = np.where(below, (family.lower - eta) / sigma, np.where(above, (eta - family.upper) / sigma, 0.0))
    ratio = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) / ndtr(z)
    return np.where(below | above, ratio * (ratio + z), 1.0)


def log_density(family, y, of):
    """Log f, (n, k)."""
    return family.log_density(of, y[:, None])


def derivatives(family, y, of):
    """By eta, log s and log shape, and twice by log shape, from differences of log f; each (n, k)."""

    def at(eta=0.0, log_s=0.0, log_shape=0.0):
        moved = Predictors(of.eta + eta, of.sigma * np.exp(log_s), of.shape * np.exp(log_shape), of.n_trials)
        return log_density(family, y, moved)

    first = [(at(**{name: STEP}) - at(**{name: -STEP})) / (2 * STEP) for name in ("eta", "log_s", "log_shape")]
    wide = 30 * STEP
    second = (at(log_shape=wide) - 2 * at() + at(log_shape=-wide)) / wide**2
    return *first, second


def statistics(X, y, w, mixture, terms, responsibilities=None):
    """The sums that the core's E-step makes of a mixture, and for each the sum of the sizes of its terms."""
    family, k = mixture.family, mixture.n_experts
    U = np.column_stack([X, np.ones(len(X))])
    of = mixture.predictors(X, terms)
    logits = X @ mixture.gate_coef.T + mixture.gate_intercept
    joint = log_softmax(logits, axis=1) + log_density(family, y, of)
    top = joint.max(axis=1)
    log_likelihood = top + np.log(np.exp(joint - top[:, None]).sum(axis=1))
    r = np.exp(joint - log_likelihood[:, None]) if responsibilities is None else responsibilities
    by_eta, by_log_s, by_log_shape, twice = derivatives(family, y, of)
    mass = w[:, None] * r
    pairs = np.stack([U[:, a] * U[:, b] for b in range(U.shape[1]) for a in range(b + 1)], axis=1)
    parts = {
        "log_likelihood": w * log_likelihood,
        "totals": mass,
        "residuals": (mass * mixture.sigma**2 * by_eta)[:, :, None] * U[:, None, :],
        "gate_slope": (w[:, None] * (r - softmax(logits, axis=1)))[:, :, None] * U[:, None, :],
        "products": pairs[:, :, None] * (mass * working_weight(family, y[:, None], of))[:, None, :],
    }
    if family.has_scale:
        parts["squares"] = mass * mixture.sigma**2 * (1 + by_log_s)
    if family.shape_name is not None:
        parts["shape_slopes"], parts["shape_curvatures"] = mass * by_log_shape, mass * twice
    sums = {name: part.sum(axis=0) for name, part in parts.items()}
    assert sums["products"].shape[1] == k
    return sums, {name: np.abs(part).sum(axis=0) for name, part in parts.items()}
