"""The likelihood of rows in groups that share one expert, written out."""

import numpy as np


def simulate(n_groups, seed, *, k=2, most_rows=6, noise=0.5):
    """Subjects seen 1 to `most_rows` times: x0, x1 for experts, z for gates, which a subject has one of."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, most_rows + 1, size=n_groups)
    group = np.repeat(np.arange(n_groups), sizes)
    z = rng.normal(size=n_groups)
    logits = np.outer(z, np.linspace(-1.5, 1.5, k))
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expert = np.array([rng.choice(k, p=p) for p in share])
    X = np.column_stack([rng.normal(size=(len(group), 2)), z[group]])
    slopes = np.array([[1.0, -1.0], [-1.0, 0.5], [0.2, 1.5]])[:k]
    y = (X[:, :2] * slopes[expert[group]]).sum(axis=1) + 0.3 * expert[group] + noise * rng.normal(size=len(group))
    return X, y, group, expert


def joint(U, V, y, group, experts, gates, sigma, link=lambda eta: eta):
    """log p_i + the sum of log f_i over the rows of each group, G x k; arguments may be complex."""
    names, first = np.unique(group, return_index=True)
    logits = V[first] @ gates.T
    logits = logits - logits.real.max(axis=1, keepdims=True)
    log_share = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    z = (y[:, None] - link(U @ experts.T)) / sigma
    log_density = -0.5 * z**2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    return log_share + (group == names[:, None]).astype(float) @ log_density


def log_sum_exp(values):
    top = values.real.max(axis=1)
    return top + np.log(np.exp(values - top[:, None]).sum(axis=1))


def log_likelihood(terms, group_weight):
    return (group_weight * log_sum_exp(terms)).sum()


def posterior(terms):
    return np.exp(terms - log_sum_exp(terms)[:, None])
