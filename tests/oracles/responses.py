"""Several responses: simulated samples, and EM for them as in textbooks."""

import numpy as np
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal

from moefast.families import MultivariateGaussian
from moefast.mixture import Mixture


def covariance_of(kind, k, q, rng):
    """Return covariances (k, q, q) of a kind such as "full", "diag", "full shared"."""
    deviations = rng.uniform(0.2, 0.5, (k, q))
    mixing = rng.normal(size=(k, q, q)) if kind.startswith("full") else np.zeros((k, q, q))
    factors = deviations[:, :, None] * (np.eye(q) + 0.7 * np.tril(mixing, -1))
    covariances = factors @ np.swapaxes(factors, 1, 2)
    return np.repeat(covariances[:1], k, axis=0) if kind.endswith("shared") else covariances


def make_responses(n, d, q, k, kind="full", seed=0):
    """Return X (n, d), y (n, q), and the mixture that made them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    gates = np.vstack([2.0 * rng.normal(size=(k - 1, d)), np.zeros(d)])
    covariance = covariance_of(kind, k, q, rng)
    truth = Mixture(
        rng.normal(size=(k, q, d)),
        rng.normal(size=(k, q)),
        gates,
        np.zeros(k),
        np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)),
        family=MultivariateGaussian(q, kind.split()[0]),
        covariance=covariance,
    )
    return X, truth.draw(X, rng), truth


def log_densities(X, y, mixture):
    """Return log N(y | A_i x + b_i, Sigma_i), (n, k), row by row from scipy."""
    columns = []
    for A, b, covariance in zip(mixture.coef, mixture.intercept, mixture.covariance, strict=True):
        columns.append(multivariate_normal(np.zeros(len(b)), covariance).logpdf(y - X @ A.T - b).reshape(len(X)))
    return np.column_stack(columns)


def log_likelihood(X, y, mixture, sample_weight=None):
    """Return sum_n w log P(y_n | x_n)."""
    logits = X @ mixture.gate_coef.T + mixture.gate_intercept
    joint = log_densities(X, y, mixture) + logits - logsumexp(logits, axis=1, keepdims=True)
    w = np.ones(len(X)) if sample_weight is None else sample_weight
    return float(w @ logsumexp(joint, axis=1))


def em_iteration(X, y, mixture, sample_weight, *, alpha=0.0, shared=False):
    """Return the mixture after one iteration, its gates being intercepts alone."""
    k, n = mixture.n_experts, len(X)
    r = softmax(log_densities(X, y, mixture) + mixture.gate_intercept, axis=1) * sample_weight[:, None]
    U, ridge = np.column_stack([X, np.ones(n)]), alpha * np.diag([1.0] * X.shape[1] + [0.0])
    coef, intercept, covariance = [], [], []
    for i in range(k):
        G = U.T @ (r[:, i, None] * U)
        B = np.linalg.solve(G + ridge, U.T @ (r[:, i, None] * y))
        e = y - U @ B
        coef.append(B[:-1].T)
        intercept.append(B[-1])
        covariance.append(e.T @ (r[:, i, None] * e) + alpha * B[:-1].T @ B[:-1])
    totals = r.sum(axis=0)
    covariance = np.array(covariance)
    if shared:
        covariance[:] = covariance.sum(axis=0) / totals.sum()
    else:
        covariance /= totals[:, None, None]
    if mixture.family.covariance_type == "diag":
        covariance = covariance * np.eye(y.shape[1])
    shares = np.log(totals)
    return Mixture(
        np.array(coef),
        np.array(intercept),
        np.zeros_like(mixture.gate_coef),
        shares - shares[-1],
        np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)),
        family=mixture.family,
        covariance=covariance,
    )
