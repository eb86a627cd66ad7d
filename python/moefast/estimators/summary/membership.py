"""Which rows belong to which expert: sizes, priors and how sharply the experts are told apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import entr, softmax

from moefast._typing import Floats
from moefast.groups import RowGroups
from moefast.mixture import GatedExperts
from moefast.repeated import joint_of_groups
from moefast.samples import RowTerms, Samples

__all__ = ["Membership"]

# A posterior counts as above zero from here on, as in the summary of R's flexmix.
_POSITIVE = 1e-4
_BLOCK_ROWS = 8192  # rows whose responsibilities are held at once


@dataclass(frozen=True, eq=False)
class Membership:
    r"""Whose rows the training rows are; all sums are over rows with their weights.

    Attributes
    ----------
    prior : ndarray of shape (k,)
        Mean of the gates p_i(x). With intercepts in gates without a ridge it is the posterior share,
        ``shares_``, at an optimum. Of rows in groups, over these.
    size : ndarray of shape (k,)
        Weight of the rows of which expert i has the largest responsibility.
    support : ndarray of shape (k,)
        Weight of the rows of which its responsibility exceeds 1e-4 (flexmix's "post>0").
    entropy : float
        :math:`-\sum_{n,i} w_n r_{ni} \log r_{ni}` of the responsibilities: 0 where every row has one owner,
        n log k where nobody knows. ICL is BIC plus twice this. Of rows in groups, the sum over these.

    Examples
    --------
    >>> from moefast import MixtureOfExpertsRegressor
    >>> from moefast.datasets import make_moe
    >>> X, y, _ = make_moe(500, 2, 2, random_state=0)
    >>> membership = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y).membership_
    >>> float(membership.size.sum()), bool((membership.ratio <= 1).all())
    (500.0, True)
    """

    prior: Floats
    size: Floats
    support: Floats
    entropy: float

    @property
    def ratio(self) -> Floats:
        """Size over support, shape (k,): near 1 where an expert's rows are told apart from others; NaN for 0/0."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # a file may have any numbers
            return np.asarray(self.size / self.support)

    @classmethod
    def of(cls, mixture: GatedExperts, samples: Samples) -> Membership:
        """Return the membership of the samples' rows in the mixture, both in the same units."""
        if samples.groups is not None:
            return cls._of_groups(mixture, samples, samples.groups)
        k = mixture.n_experts
        prior, size, support, entropy = np.zeros(k), np.zeros(k), np.zeros(k), 0.0
        for first in range(0, samples.n_rows, _BLOCK_ROWS):
            rows = slice(first, first + _BLOCK_ROWS)
            weights = samples.sample_weight[rows]
            X = np.asarray(samples.X[rows], dtype=np.float64)
            p, r = _gates_and_posterior(mixture, X, samples.y[rows], samples.terms[rows])
            prior += p @ weights
            size += np.bincount(r.argmax(axis=0), weights, minlength=k)
            support += (r > _POSITIVE) @ weights
            entropy += float(entr(r).sum(axis=0) @ weights)
        entropy = max(0.0, entropy)  # rounding of r = 1
        return cls(prior / samples.sample_weight.sum(), size, support, entropy)

    @classmethod
    def _of_groups(cls, mixture: GatedExperts, samples: Samples, groups: RowGroups) -> Membership:
        X, k = np.asarray(samples.X, dtype=np.float64), mixture.n_experts
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            r = softmax(joint_of_groups(mixture, X, samples.y, groups, samples.terms), axis=1)
        weights = samples.unit_weight
        of_rows = np.asarray(weights * groups.sizes, dtype=np.float64)
        prior = weights @ mixture.gates(X[groups.first]) / weights.sum()
        size = np.asarray(np.bincount(r.argmax(axis=1), of_rows, minlength=k), dtype=np.float64)
        return cls(prior, size, of_rows @ (r > _POSITIVE), max(0.0, float(weights @ entr(r).sum(axis=1))))


def _gates_and_posterior(mixture: GatedExperts, X: Floats, y: Floats, terms: RowTerms) -> tuple[Floats, Floats]:
    """Return p_i(x) and P(expert i | x, y), each (k, n): a row for each expert, along which numpy is fast."""
    # far experts leave the range of float64 on the way to a responsibility of 0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        log_gates = np.ascontiguousarray(mixture.log_gates(X).T)
        joint = log_gates + mixture.family.log_density(mixture.predictors(X, terms).transposed(), y)
        joint -= joint.max(axis=0)
        np.exp(joint, out=joint)
        joint /= joint.sum(axis=0)
        return np.exp(log_gates, out=log_gates), joint
