"""EM for a mixture of experts, written slowly and obviously in numpy: one sample, one expert at a time."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Parameters:
    experts: np.ndarray  # k x (d + 1), the constant last
    gates: np.ndarray  # k x (d + 1), last row 0
    variance: np.ndarray  # k


def random_problem(n, d, k, seed, spread=1.0):
    """Data and parameters that have nothing to do with each other, all of order `spread`."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, d)), rng.normal(size=n)
    gates = spread * rng.normal(size=(k, d + 1))
    gates[-1] = 0
    p = Parameters(spread * rng.normal(size=(k, d + 1)), gates, rng.uniform(0.3, 2.0, size=k))
    return X, y, rng.uniform(0.0, 2.0, size=n), p


def predictions(X, p, link):
    """g(a_i.x + b_i), n x k."""
    mu = np.column_stack([X, np.ones(len(X))]) @ p.experts.T
    return link(mu) if link else mu


def log_terms(X, y, p, means=None, log_densities=None):
    """Log p_i(x), log N(y | expert i) or other densities, and y less the means: n x k, in extended precision."""
    U = np.column_stack([X, np.ones(len(X))]).astype(np.longdouble)
    logits = U @ p.gates.astype(np.longdouble).T
    top = logits.max(axis=1, keepdims=True)
    log_gate = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    if log_densities is not None:
        return log_gate, log_densities.astype(np.longdouble), np.zeros(log_gate.shape)
    mu = U @ p.experts.astype(np.longdouble).T if means is None else means.astype(np.longdouble)
    variance = p.variance.astype(np.longdouble)
    e = y[:, None] - mu
    return log_gate, -0.5 * (e**2 / variance + np.log(2 * np.longdouble(np.pi) * variance)), e


def row_log_likelihood(X, y, p, **frozen):
    log_gate, log_normal, _ = log_terms(X, y, p, **frozen)
    joint = log_gate + log_normal
    top = joint.max(axis=1)
    return top + np.log(np.exp(joint - top[:, None]).sum(axis=1))


def log_likelihood(X, y, w, p, **frozen):
    return float((w * row_log_likelihood(X, y, p, **frozen)).sum())


def posterior(X, y, p, **frozen):
    log_gate, log_normal, _ = log_terms(X, y, p, **frozen)
    return np.exp(log_gate + log_normal - row_log_likelihood(X, y, p, **frozen)[:, None])


def statistics(X, y, w, p, responsibilities=None, link=None, **frozen):
    """Everything e_step returns, and for each figure the sum of the absolute values of its terms."""
    n, d = X.shape
    k, dim = len(p.variance), d + 1
    slope = np.ones((n, k))
    if link:
        slope = link.slope(np.column_stack([X, np.ones(n)]) @ p.experts.T)
        frozen = {"means": predictions(X, p, link)}
    log_gate, _, e = log_terms(X, y, p, **frozen)
    r = posterior(X, y, p, **frozen) if responsibilities is None else responsibilities
    gate = np.exp(log_gate)
    U = np.column_stack([X, np.ones(n)])
    pairs = np.stack([U[:, a] * U[:, b] for b in range(dim) for a in range(b + 1)], axis=1)
    weights = [w * r[:, i] * slope[:, i] ** 2 for i in range(k)]
    for i in range(k - 1):
        weights += [w * gate[:, i] * ((i == j) - gate[:, j]) for j in range(i, k - 1)]
    factors = {
        "log_likelihood": (w, row_log_likelihood(X, y, p, **frozen)),
        "totals": (w, r),
        "squares": (w, r * e**2),
        "residuals": (w[:, None] * r * e * slope, U),
        "gate_slope": (w[:, None] * (r - gate), U),
        "products": (pairs, np.stack(weights, axis=1)),
    }
    # r - p cancels where r = p, so its rounding is that of r and p.
    sizes = dict(factors, gate_slope=(w[:, None] * (r + gate), U))
    return (
        {name: np.asarray(a.T @ b, dtype=float) for name, (a, b) in factors.items()},
        {name: np.asarray(np.abs(a).T @ np.abs(b), dtype=float) for name, (a, b) in sizes.items()},
    )


def ridges(p, alpha=0.0, gate_alpha=0.0):
    experts = sum(a[:-1] @ a[:-1] / v for a, v in zip(p.experts, p.variance, strict=True))
    return 0.5 * alpha * experts + 0.5 * gate_alpha * ((p.gates - p.gates.mean(axis=0))[:, :-1] ** 2).sum()


def objective(X, y, w, p, alpha=0.0, gate_alpha=0.0, **frozen):
    """What EM climbs."""
    return log_likelihood(X, y, w, p, **frozen) - ridges(p, alpha, gate_alpha)


def em_iteration(
    X,
    y,
    w,
    p,
    *,
    shared=False,
    floor=0.0,
    alpha=0.0,
    gate_alpha=0.0,
    intercepts=(True, True),
    columns=(None, None),
):
    """One E-step and M-step: weighted (ridge) least squares, the noise, one full Newton step of the gates.

    `columns` are those of X that experts and gates see; None is all.
    """
    (n, d), k = X.shape, len(p.variance)
    r = np.asarray(posterior(X, y, p), dtype=float)
    U = np.column_stack([X, np.ones(n)])
    expert_columns, gate_columns = (
        [*(range(d) if seen is None else seen), *[d] * intercept]
        for seen, intercept in zip(columns, intercepts, strict=True)
    )
    experts, squares = np.zeros((k, d + 1)), np.zeros(k)
    for i in range(k):
        root = np.sqrt(w * r[:, i])
        ridge = np.sqrt(alpha) * np.eye(d, d + 1)[:, expert_columns]
        design = np.vstack([root[:, None] * U[:, expert_columns], ridge])
        experts[i, expert_columns] = np.linalg.lstsq(design, np.append(root * y, np.zeros(d)), rcond=None)[0]
        squares[i] = (w * r[:, i]) @ (y - U @ experts[i]) ** 2 + alpha * experts[i, :d] @ experts[i, :d]
    totals = w @ r
    variance = np.full(k, squares.sum() / w.sum()) if shared else squares / totals
    return Parameters(
        experts, newton_gates(U, w, r, p.gates, gate_alpha, gate_columns), np.maximum(variance, floor)
    )


def newton_gates(U, w, r, gates, gate_alpha, columns):
    """One Newton step, by its full Jacobian, of the weighted multinomial logistic regression of r on columns."""
    k = len(gates)
    logits = U @ gates.T
    gate = np.exp(logits - logits.max(axis=1, keepdims=True))
    gate /= gate.sum(axis=1, keepdims=True)
    free = [(i, a) for i in range(k - 1) for a in columns]
    gradient, hessian = np.zeros(len(free)), np.zeros((len(free), len(free)))
    for s, (i, a) in enumerate(free):
        ridge = gate_alpha * (a < U.shape[1] - 1)  # intercepts are free
        gradient[s] = (w * (r[:, i] - gate[:, i])) @ U[:, a] - ridge * (gates[i, a] - gates[:, a].mean())
        for t, (j, b) in enumerate(free):
            hessian[s, t] = (w * gate[:, i] * ((i == j) - gate[:, j]) * U[:, a]) @ U[:, b]
            hessian[s, t] += ridge * (a == b) * ((i == j) - 1 / k)
    moved = gates.copy()
    for (i, a), step in zip(free, np.linalg.lstsq(hessian, gradient, rcond=1e-11)[0], strict=True):
        moved[i, a] += step
    return moved


def numerical_gradient(f, x, step=1e-5):
    """Central differences of f at x, of x's shape."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (f(up) - f(down)) / (2 * step)
    return gradient


def numerical_hessian(f, x, steps):
    """Second differences of f at x, (P, P), along steps of their own: two values for each pair."""
    moves, centre = np.diag(steps), f(x)

    def bend(move):
        return f(x + move) + f(x - move) - 2 * centre

    alone = [bend(move) for move in moves]
    hessian = np.diag(alone)
    for i in range(len(x)):
        for j in range(i):
            hessian[i, j] = hessian[j, i] = 0.5 * (bend(moves[i] + moves[j]) - alone[i] - alone[j])
    return hessian / np.outer(steps, steps)
