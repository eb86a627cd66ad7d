r"""What moefast is compared with, in plain numpy (and BLAS through it): moments, contractions, EM iterations.

Every moment here is that of one channel, :math:`M_m = \sum_n t_n x_n^{\otimes m}` for rows x_n of X (n, d) and
weights t (n,). ``rows`` is the number of samples a matrix product sums over; :func:`best_chunk` searches it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import comb

import numpy as np

CHUNKS = (64, 128, 256, 512, 1024, 2048, 4096, 8192)


def best_chunk(route: Callable[[int], object], candidates: Iterable[int] = CHUNKS, repeats: int = 2) -> int:
    """Return the candidate for which ``route(candidate)`` takes the least CPU time (minimum of `repeats`)."""

    def cost(rows: int) -> float:
        times = []
        for _ in range(repeats):
            start = time.process_time()
            route(rows)
            times.append(time.process_time() - start)
        return min(times)

    return min(candidates, key=cost)


def chunks(n: int, rows: int) -> Iterator[slice]:
    return (slice(start, min(start + rows, n)) for start in range(0, n, rows))


def unique_flops(d: int, order: int) -> int:
    """Return the least flops a sample costs: 2 for each of the C(d + order - 1, order) unique entries."""
    return 2 * comb(d + order - 1, order)


# ---- moments ----


def unique_pair_gemm(X, t, order, rows):
    r"""Multiply all unique pairs by x, or by all pairs: one matrix product a chunk.

    :math:`M_{(ij)c} = \sum_n (t_n x_{ni} x_{nj}) x_{nc}` for i <= j: (pairs, d); with x_c x_e, c <= e, in place of
    x_c for order 4: (pairs, pairs), where pairs = d (d + 1) / 2. Symmetry is used inside the pairs only: about 3
    times the minimal work in both orders and more for small d.
    """
    i, j = np.triu_indices(X.shape[1])
    total = np.zeros((len(i), X.shape[1] if order == 3 else len(i)))
    for s in chunks(len(X), rows):
        x = X[s]
        pairs = x[:, i] * x[:, j]
        total += (pairs * t[s, None]).T @ (x if order == 3 else pairs)
    return total


def khatri_rao_gemm(X, t, order, rows):
    r"""Multiply all d^2 products by x, or by all d^2 products: one matrix product a chunk, no symmetry.

    :math:`M_{(ab)c} = \sum_n (t_n x_{na} x_{nb}) x_{nc}`: (d^2, d); for order 4 (d^2, d^2).
    """
    d = X.shape[1]
    total = np.zeros((d * d, d if order == 3 else d * d))
    for s in chunks(len(X), rows):
        x = X[s]
        left = ((x * t[s, None])[:, :, None] * x[:, None, :]).reshape(len(x), d * d)
        right = x if order == 3 else (x[:, :, None] * x[:, None, :]).reshape(len(x), d * d)
        total += left.T @ right
    return total


def middle_index(X, t, order, rows):
    r"""Sum only unique entries, by their second index b: "tuned numpy".

    The entries a <= b <= c of order 3 with the same b are the (b + 1, d - b) rectangle
    :math:`\sum_n (t_n x_{na} x_{nb}) x_{nc}`; those a <= b <= c <= e of order 4 the rectangle with the pairs
    x_c x_e, c >= b, in place of x_c. The pairs are sorted by c, so that c >= b is a contiguous suffix. The
    rectangles tile the unique entries exactly: no entry is computed twice. Returns the list of rectangles.
    """
    n, d = X.shape
    starts = _suffixes(d, order)
    total = [np.zeros((b + 1, starts[-1] - starts[b])) for b in range(d)]
    pairs = np.empty((rows, starts[-1]))
    for s in chunks(n, rows):
        x = X[s]
        weighted, right = x * t[s, None], x
        if order == 4:
            right = pairs[: len(x)]
            for c in range(d):
                np.multiply(x[:, c : c + 1], x[:, c:], out=right[:, starts[c] : starts[c + 1]])
        for b in range(d):
            total[b] += (weighted[:, : b + 1] * x[:, b : b + 1]).T @ right[:, starts[b] :]
    return total


def middle_index_transposed(X, t, order, rows):
    """Sum the rectangles of :func:`middle_index` over transposed chunks, (d, rows).

    Every product of columns and every operand of BLAS is then contiguous along the samples; buffers are reused.
    """
    n, d = X.shape
    starts = _suffixes(d, order)
    total = [np.zeros((b + 1, starts[-1] - starts[b])) for b in range(d)]
    left, pairs = np.empty((d, rows)), np.empty((starts[-1], rows))
    for s in chunks(n, rows):
        x = np.ascontiguousarray(X[s].T)
        weighted, r = x * t[s], x.shape[1]
        right = x
        if order == 4:
            right = pairs[:, :r]
            for c in range(d):
                np.multiply(x[c], x[c:], out=right[starts[c] : starts[c + 1]])
        for b in range(d):
            products = np.multiply(weighted[: b + 1], x[b], out=left[: b + 1, :r])
            total[b] += products @ right[starts[b] :].T
    return total


def _suffixes(d, order):
    """Return where the columns (or pairs) with c >= b start, for b = 0 .. d; the last is their number."""
    return list(range(d + 1)) if order == 3 else [b * d - b * (b - 1) // 2 for b in range(d + 1)]


def einsum(X, t, order, rows, optimize=False):
    """np.einsum, dense (d,) * order; with `optimize` it may multiply pairwise and call BLAS.

    Without chunks optimize=True would hold arrays of n d^2 numbers.
    """
    spec = "n,na,nb,nc->abc" if order == 3 else "n,na,nb,nc,nd->abcd"
    total = np.zeros((X.shape[1],) * order)
    for s in chunks(len(X), rows):
        total += np.einsum(spec, t[s], *[X[s]] * order, optimize=optimize)
    return total


# Where entry (a, b, c) or (a, b, c, e), sorted, of a moment stands in each of the results above. `index` has one
# row per entry.


def pair_entries(total, index):
    """Read entries of :func:`unique_pair_gemm`."""
    a, b = index[:, 0], index[:, 1]
    order = index.shape[1]
    d = total.shape[1] if order == 3 else int((np.sqrt(8 * total.shape[1] + 1) - 1) / 2)
    position = np.zeros((d, d), dtype=int)
    position[np.triu_indices(d)] = np.arange(d * (d + 1) // 2)
    return total[position[a, b], index[:, 2] if order == 3 else position[index[:, 2], index[:, 3]]]


def rectangle_entries(total, index):
    """Read entries of :func:`middle_index`."""
    order, d = index.shape[1], len(total)
    starts = _suffixes(d, order)
    found = []
    for a, b, c, *e in index:
        column = c - b if order == 3 else starts[c] - starts[b] + e[0] - c
        found.append(total[b][a, column])
    return np.array(found)


def dense_entries(total, index):
    """Read entries of a dense tensor, also one whose indices are joined in pairs."""
    order = index.shape[1]
    d = round(total.size ** (1 / order))
    return total.reshape((d,) * order)[tuple(index.T)]


# ---- contractions of a dense tensor with vectors in all indices but the first ----


def contract_each(T, U):
    """T(I, u, .., u) of each row u of U, (R, dim): a matrix-vector product an index, vector after vector."""
    dim = len(T)
    out = np.empty((len(U), dim))
    for r, u in enumerate(U):
        image = T
        for _ in range(T.ndim - 1):
            image = image.reshape(-1, dim) @ u
        out[r] = image
    return out


def contract_together(T, U):
    """The same for all vectors at once: one matrix product with the last index, products by vector after it."""
    dim = len(T)
    image = T.reshape(-1, dim) @ U.T
    for _ in range(T.ndim - 2):
        image = np.einsum("ajr,rj->ar", image.reshape(-1, dim, len(U)), U)
    return image.T


# ---- EM of a mixture of linear experts ----


@dataclass
class EmParameters:
    """Experts and gates (k, d + 1) with the constant last, the last gate row 0; variance (k,)."""

    experts: np.ndarray
    gates: np.ndarray
    variance: np.ndarray


def em_run(Z, t, start, n_iter, one_pass, rows, gate_alpha):
    """Run EM with one Newton step of the softmax gate an iteration; per-expert noise, no ridge on the experts.

    Each iteration is one pass over the samples and one M-step; the first pass is that of the start, so n_iter
    iterations are n_iter + 1 passes. A gate step that lowers the objective is halved, as moefast does.

    Z (n, d) and t (n,) are standardised; `one_pass` is :func:`em_pass` or :func:`em_pass_transposed`. Returns the
    parameters and the objective after each pass.
    """
    U = np.column_stack([Z, np.ones(len(Z))])
    current = start
    statistics = one_pass(U, t, current, rows)
    trace = [_objective(statistics, current, gate_alpha)]
    for _ in range(n_iter):
        step, direction = 1.0, _gate_direction(statistics, current, gate_alpha)
        experts, variance = _updated_experts(statistics, current)
        while True:
            candidate = EmParameters(experts, current.gates + step * direction, variance)
            following = one_pass(U, t, candidate, rows)
            value = _objective(following, candidate, gate_alpha)
            if value >= trace[-1] - 1e-13 * (abs(trace[-1]) + len(Z)) or step < 1e-9:
                break
            step /= 2
        current, statistics = candidate, following
        trace.append(value)
    return current, np.array(trace)


def em_pass(U, t, p, rows):
    r"""Return what the M-step needs from the samples: "chunked numpy", the sums over samples by BLAS.

    With responsibilities r, gates p and residuals e, (rows, k) for a chunk u (rows, m) of U: log-likelihood,
    totals r 1, squares r e^2, residuals (r e)' u and slope (r - p)' u, (k, m), and the Gram matrices
    u' diag(weight) u, (m, m), for the k weights r_i and the k (k - 1) / 2 weights p_i (delta_ij - p_j),
    i <= j < k, of the gates' Hessian.
    """
    k, m = p.experts.shape
    pairs = list(zip(*np.triu_indices(k - 1), strict=True))
    log_likelihood, totals, squares = 0.0, np.zeros(k), np.zeros(k)
    residuals, slope, grams = np.zeros((k, m)), np.zeros((k, m)), np.zeros((k + len(pairs), m, m))
    for s in chunks(len(U), rows):
        u = U[s]
        logits, e = u @ p.gates.T, t[s, None] - u @ p.experts.T
        logits -= logits.max(axis=1, keepdims=True)
        gate = np.exp(logits)
        norm = gate.sum(axis=1, keepdims=True)
        gate /= norm
        joint = logits - np.log(norm) - 0.5 * e**2 / p.variance - 0.5 * np.log(2 * np.pi * p.variance)
        top = joint.max(axis=1, keepdims=True)
        r = np.exp(joint - top)
        norm = r.sum(axis=1, keepdims=True)
        r /= norm
        log_likelihood += (top + np.log(norm)).sum()
        re = r * e
        totals += r.sum(axis=0)
        squares += (re * e).sum(axis=0)
        residuals += re.T @ u
        slope += (r - gate).T @ u
        weights = [r[:, i] for i in range(k)] + [gate[:, i] * ((i == j) - gate[:, j]) for i, j in pairs]
        for gram, weight in zip(grams, weights, strict=True):
            gram += (u * weight[:, None]).T @ u
    return log_likelihood, totals, squares, residuals, slope, grams


def em_pass_transposed(U, t, p, rows):
    """Return what :func:`em_pass` does; all arrays of a chunk are (k, rows) and all Gram matrices one product."""
    k, m = p.experts.shape
    first, second = np.triu_indices(k - 1)
    same = (first == second).astype(float)[:, None]
    log_likelihood, totals, squares = 0.0, np.zeros(k), np.zeros(k)
    residuals, slope = np.zeros((k, m)), np.zeros((k, m))
    grams = np.zeros(((k + len(first)) * m, m))
    weighted = np.empty((k + len(first), m, rows))
    half_log = 0.5 * np.log(2 * np.pi * p.variance)[:, None]
    precision = (0.5 / p.variance)[:, None]
    both = np.concatenate([p.gates, p.experts])
    for s in chunks(len(U), rows):
        u = U[s]
        ut = np.ascontiguousarray(u.T)
        linear = both @ ut
        logits, e = linear[:k], linear[k:]
        np.subtract(t[s], e, out=e)
        logits -= logits.max(axis=0)
        gate = np.exp(logits)
        gate_norm = gate.sum(axis=0)
        gate /= gate_norm
        joint = e * e
        joint *= -precision
        joint += logits
        joint -= half_log
        top = joint.max(axis=0)
        joint -= top
        r = np.exp(joint, out=joint)
        norm = r.sum(axis=0)
        r /= norm
        log_likelihood += (top + np.log(norm / gate_norm)).sum()
        re = r * e
        totals += r.sum(axis=1)
        squares += np.einsum("in,in->i", re, e)
        residuals += re @ u
        slope += (r - gate) @ u
        weights = np.concatenate([r, gate[first] * (same - gate[second])])
        products = weighted if len(u) == rows else np.empty((len(weights), m, len(u)))
        np.multiply(weights[:, None, :], ut, out=products)
        grams += products.reshape(-1, len(u)) @ u
    return log_likelihood, totals, squares, residuals, slope, grams.reshape(-1, m, m)


def _objective(statistics, p, gate_alpha):
    return statistics[0] - 0.5 * gate_alpha * ((p.gates - p.gates.mean(axis=0))[:, :-1] ** 2).sum()


def _updated_experts(statistics, p):
    _, totals, squares, residuals, _, grams = statistics
    steps = np.linalg.solve(grams[: len(totals)], residuals[:, :, None])[:, :, 0]
    # the weighted sum of squares after the step, from the residuals before it
    return p.experts + steps, (squares - np.einsum("ia,ia->i", steps, residuals)) / totals


def _gate_direction(statistics, p, gate_alpha):
    *_, slope, grams = statistics
    k, m = slope.shape
    ridge = np.append(np.full(m - 1, gate_alpha), 0.0)  # intercepts are free
    gradient = (slope - ridge * (p.gates - p.gates.mean(axis=0)))[:-1]
    hessian = np.zeros((k - 1, m, k - 1, m))
    for gram, i, j in zip(grams[k:], *np.triu_indices(k - 1), strict=True):
        hessian[i, :, j] = hessian[j, :, i] = gram + ((i == j) - 1 / k) * np.diag(ridge)
    direction = np.zeros((k, m))
    direction[:-1] = np.linalg.solve(hessian.reshape(gradient.size, -1), gradient.ravel()).reshape(k - 1, m)
    return direction
