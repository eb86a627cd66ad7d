"""Predictive laws of all methods of held_out_density.py, a mixture of normals a row, and how they are scored.

Written from the formulas and not from the package, so that a law of ours is held against the model it comes from.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, ndtr

# What the smallest proportions of a law add up to, at most, that its pairs of normals leave out: of 800 normals of
# an average they leave 175, so a twentieth of the pairs.
_LEFT_OUT = 1e-6


@dataclass(frozen=True, eq=False)
class NormalMixtures:
    """Laws of n responses, of m normals each: proportions, means and standard deviations, of shape (n, m).

    A method that has 90 % intervals of its own beside its laws gives them as `intervals`, of shape (n, 2).
    """

    proportions: np.ndarray
    means: np.ndarray
    sigma: np.ndarray
    intervals: np.ndarray | None = None

    @classmethod
    def of_one(cls, means, sigma):
        """One normal a row; sigma is a number or of shape (n,)."""
        means = np.asarray(means, dtype=float)[:, None]
        return cls(np.ones_like(means), means, np.broadcast_to(np.reshape(sigma, (-1, 1)), means.shape))

    @property
    def mean(self):
        """E[y], (n,)."""
        return np.sum(self.proportions * self.means, axis=1)

    def log_density(self, y):
        """Return log P(y), (n,)."""
        z = (y[:, None] - self.means) / self.sigma
        with np.errstate(divide="ignore"):
            weights = np.log(self.proportions)
        return logsumexp(weights - 0.5 * z**2 - np.log(self.sigma) - 0.5 * np.log(2 * np.pi), axis=1)

    def cdf(self, y):
        """Return P(Y <= y), (n,)."""
        return np.sum(self.proportions * ndtr((y[:, None] - self.means) / self.sigma), axis=1)

    def crps(self, y):
        r"""Return the continuous ranked probability score, (n,).

        :math:`\sum_i p_i A(y - m_i, s_i) - \tfrac12 \sum_{ij} p_i p_j A(m_i - m_j, \sqrt{s_i^2 + s_j^2})` with
        :math:`A(m, s) = E|N(m, s^2)|` (Grimit, Gneiting, Berrocal, Johnson 2006). Pairs of normals that hardly
        occur in a row are left out.
        """
        to_y = np.sum(self.proportions * _mean_distance(y[:, None] - self.means, self.sigma), axis=1)
        kept = self.proportions > _LEFT_OUT / self.proportions.shape[1]
        rows = zip(self.proportions, self.means, self.sigma, kept, strict=True)
        return to_y - 0.5 * np.array([_between(p[some], m[some], s[some]) for p, m, s, some in rows])


def _between(p, m, s):
    """Return E|Y - Y'| of two independent draws from a law; proportions may add up to a little less than 1."""
    p = p / p.sum()
    return p @ _mean_distance(m[:, None] - m, np.hypot(s[:, None], s)) @ p


def _mean_distance(m, s):
    """Return E|N(m, s^2)|."""
    z = m / s
    return s * np.sqrt(2 / np.pi) * np.exp(-0.5 * z**2) + m * (2 * ndtr(z) - 1)


def scores(laws, y):
    """Return the scores of laws on responses: those of a split, by name."""
    if laws.intervals is None:
        below = laws.cdf(y)
        inside = (below >= 0.05) & (below <= 0.95)
    else:
        inside = (y >= laws.intervals[:, 0]) & (y <= laws.intervals[:, 1])
    return {
        "nll": -float(laws.log_density(y).mean()),
        "crps": float(laws.crps(y).mean()),
        "rmse": float(np.sqrt(np.mean((y - laws.mean) ** 2))),
        "coverage": float(np.mean(inside)),
    }
