r"""The two losses of gradient descent, and their gradients, for many mixtures at once.

With u_i = a_i.x + b_i, l_i = W_i.x + c_i, p = softmax(l) and m_i = g(u_i), one sample costs

.. math::

    L_2 = (y - f)^2, \quad f = \sum_i p_i m_i, \qquad
    \partial L_2 / \partial u_i = -2 (y - f)\, p_i\, g'(u_i), \quad
    \partial L_2 / \partial l_i = -2 (y - f)\, p_i\, (m_i - f)

.. math::

    L = -\log \sum_i p_i\, N(y \mid m_i, s^2), \qquad
    \partial L / \partial u_i = -r_i\, (y - m_i)\, g'(u_i) / s^2, \quad
    \partial L / \partial l_i = p_i - r_i, \quad
    \partial L / \partial \log s = 1 - \sum_i r_i (y - m_i)^2 / s^2

with the responsibilities r_i proportional to p_i N(y | m_i, s^2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.links import Link
from moefast.mixture import Mixture

__all__ = ["MixtureLoss"]


# Numbers in an intermediate array of shape (2k - 1, S, rows): a handful of these stay in the second-level cache,
# and the allocator does not give them back to the system after each block, which costs more than the arithmetic.
_BLOCK_NUMBERS = 2**15
_SMALLEST_BLOCK = 64


@dataclass(frozen=True)
class MixtureLoss:
    """A loss of S mixtures at once, as a function of one flat vector of parameters.

    The vector is an array of shape (2k - 1, S, d + 1) laid flat, then S values of log s. Its first k blocks are
    the experts, the others the gates but the last, which is 0; the last column holds the intercepts.

    Parameters
    ----------
    kind : {"l2", "nll"}
        Squared error of the mixture's mean, or minus the log-density.
    link : Link
        Without a `derivative` it is differentiated by central differences.
    n_experts, n_features : int
        k and d.
    """

    kind: Literal["l2", "nll"]
    link: Link
    n_experts: int
    n_features: int

    # ---- the flat vector -------------------------------------------------------------------------

    def views(self, flat: Floats) -> tuple[Floats, Floats]:
        """Return the rows, shape (2k - 1, S, d + 1), and log s, shape (S,), as views."""
        blocks, width = 2 * self.n_experts - 1, self.n_features + 1
        count = len(flat) // (blocks * width + 1)
        return flat[: blocks * width * count].reshape(blocks, count, width), flat[blocks * width * count :]

    def spread(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return one value for each mixture, shape (S,), as a flat vector."""
        shape = (2 * self.n_experts - 1, len(values), self.n_features + 1)
        return np.concatenate([np.broadcast_to(values[:, None], shape).ravel(), values])

    def select(self, flat: Floats, indices: npt.NDArray[np.intp]) -> Floats:
        """Return the flat vector of the mixtures at `indices`, which may repeat."""
        rows, log_sigma = self.views(flat)
        return np.concatenate([rows[:, indices].ravel(), log_sigma[indices]])

    def pack(self, mixtures: Sequence[Mixture]) -> Floats:
        """Return the parameters of the mixtures as a flat vector; s is the root of the mean variance."""
        k, width = self.n_experts, self.n_features + 1
        flat = np.empty(len(mixtures) * ((2 * k - 1) * width + 1))
        rows, log_sigma = self.views(flat)
        for s, mixture in enumerate(mixtures):
            mixture = mixture.ordered(np.arange(k))
            rows[:k, s] = np.column_stack([mixture.coef, mixture.intercept])
            rows[k:, s] = np.column_stack([mixture.gate_coef, mixture.gate_intercept])[:-1]
            log_sigma[s] = 0.5 * np.log(np.mean(mixture.sigma**2))
        return flat

    def unpack(self, flat: Floats) -> list[Mixture]:
        """Return the mixtures behind a flat vector."""
        k = self.n_experts
        rows, log_sigma = self.views(flat.copy())
        gates = np.concatenate([rows[k:], np.zeros_like(rows[:1])])
        return [
            Mixture(
                coef=rows[:k, s, :-1],
                intercept=rows[:k, s, -1],
                gate_coef=gates[:, s, :-1],
                gate_intercept=gates[:, s, -1],
                sigma=np.full(k, np.exp(log_sigma[s])),
                link=self.link,
            )
            for s in range(rows.shape[1])
        ]

    # ---- values and gradients --------------------------------------------------------------------

    def value(self, flat: Floats, U: Floats, t: Floats, sample_weight: Floats | None = None) -> Floats:
        """Return the mean of w_n times the loss of row n, for each mixture.

        Parameters
        ----------
        flat : ndarray
        U : ndarray of shape (n, d + 1)
            Features and a column of ones.
        t : ndarray of shape (n,)
        sample_weight : ndarray of shape (n,), optional
            1 when left out.

        Returns
        -------
        ndarray of shape (S,)
        """
        total = np.zeros(len(self.views(flat)[1]))
        for rows in self._blocks(flat, len(t)):
            losses = self._forward(flat, U[rows], t[rows]).losses
            total += losses.sum(axis=1) if sample_weight is None else losses @ sample_weight[rows]
        return total / len(t)

    def gradient(self, flat: Floats, U: Floats, t: Floats, sample_weight: Floats | None = None) -> Floats:
        """Return the gradient of the sum of :meth:`value` over the mixtures, as a flat vector.

        No mixture depends on another's parameters: each part is the gradient of its own mixture's loss.
        """
        total = np.zeros_like(flat)
        total_rows, total_log_sigma = self.views(total)
        for rows in self._blocks(flat, len(t)):
            forms, log_sigma = self._backward(self._forward(flat, U[rows], t[rows]), flat)
            weighted = U[rows] if sample_weight is None else U[rows] * sample_weight[rows, None]
            total_rows += (forms.reshape(-1, forms.shape[-1]) @ weighted).reshape(total_rows.shape)
            total_log_sigma += log_sigma.sum(axis=1) if sample_weight is None else log_sigma @ sample_weight[rows]
        total /= len(t)
        return total

    def _blocks(self, flat: Floats, n: int) -> Iterator[slice]:
        blocks, count, _ = self.views(flat)[0].shape
        size = max(_SMALLEST_BLOCK, _BLOCK_NUMBERS // (blocks * count))
        return (slice(first, first + size) for first in range(0, n, size))

    def _forward(self, flat: Floats, U: Floats, t: Floats) -> _Forward:
        k = self.n_experts
        rows, log_sigma = self.views(flat)
        forms = (rows.reshape(-1, rows.shape[-1]) @ U.T).reshape(*rows.shape[:2], len(t))
        # A mixture that has diverged gives NaN, which a call of the link would refuse for all.
        means = forms[:k] if self.link.is_linear else self.link.values(forms[:k])
        top = forms[k:].max(axis=0, initial=0.0)
        logits = np.empty_like(means)
        np.subtract(forms[k:], top, out=logits[:-1])
        np.negative(top, out=logits[-1])
        gates = np.exp(logits)
        total = gates.sum(axis=0)
        gates /= total
        if self.kind == "l2":
            mean = (gates * means).sum(axis=0)
            errors = t - mean
            return _Forward(errors**2, forms, means, gates, errors, mean)
        # Errors in units of s, and log p_i - e^2 / 2 up to what does not depend on i.
        errors = (t - means) * np.exp(-log_sigma)[:, None]
        joint = errors**2
        joint *= -0.5
        joint += logits
        best = joint.max(axis=0)
        joint -= best
        posterior = np.exp(joint, out=joint)
        evidence = posterior.sum(axis=0)
        posterior /= evidence
        losses = np.log(total / evidence) - best + (log_sigma + 0.5 * np.log(2 * np.pi))[:, None]
        return _Forward(losses, forms, means, gates, errors, posterior)

    def _backward(self, at: _Forward, flat: Floats) -> tuple[Floats, Floats]:
        """Return the derivatives by the linear forms, shape (2k - 1, S, B), and by log s, shape (S, B)."""
        k = self.n_experts
        out = np.empty_like(at.forms)
        if self.kind == "l2":
            np.multiply(at.gates, -2.0 * at.errors, out=out[:k])
            np.subtract(at.means[:-1], at.extra, out=out[k:])
            out[k:] *= out[: k - 1]
            log_sigma = np.zeros_like(at.losses)
        else:
            np.multiply(at.extra, at.errors, out=out[:k])
            log_sigma = 1.0 - (out[:k] * at.errors).sum(axis=0)
            out[:k] *= -np.exp(-self.views(flat)[1])[:, None]
            np.subtract(at.gates[:-1], at.extra[:-1], out=out[k:])
        if not self.link.is_linear:
            out[:k] *= self.link.slope(at.forms[:k])
        return out, log_sigma


@dataclass(frozen=True)
class _Forward:
    """One block of B rows through S mixtures.

    losses (S, B); forms u and l, (2k - 1, S, B); means m and gates p, (k, S, B). For l2: errors y - f and, as
    extra, f, both (S, B). For nll: errors (y - m) / s and, as extra, the responsibilities, both (k, S, B).
    """

    losses: Floats
    forms: Floats
    means: Floats
    gates: Floats
    errors: Floats
    extra: Floats
