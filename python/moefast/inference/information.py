"""Derivatives of the objective at a fit, in standard units: what covariances are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.em.problem import EmProblem
from moefast.em.response_covariance import numbers_by_scales, ridge_by_numbers
from moefast.inference.layout import ParameterLayout
from moefast.mixture import Mixture

__all__ = ["Information", "cluster_products"]

# Rows whose scores are in memory together.
_BLOCK = 8192


@dataclass(frozen=True)
class Information:
    """First and second derivatives by theta, see :class:`moefast.inference.layout.ParameterLayout`.

    Attributes
    ----------
    score : ndarray of shape (P,)
        Of the weighted log-likelihood.
    hessian : ndarray of shape (P, P)
        Of the same; exact.
    score_products : ndarray of shape (P, P)
        sum_n w_n s_n s_n' with the scores s_n of single rows. A weight counts as so many copies of its row.
    penalty : ndarray of shape (P, P)
        Second derivative of the ridges that are taken off the log-likelihood.
    """

    score: Floats
    hessian: Floats
    score_products: Floats
    penalty: Floats

    @classmethod
    def at(cls, problem: EmProblem, mixture: Mixture, layout: ParameterLayout) -> Information:
        """Return the derivatives at a mixture in standard units, whose last gate is the reference."""
        score, hessian, products = problem.derivatives(mixture)
        return cls(score, hessian, products, ridge_hessian(problem, mixture, layout))

    def of_common(self, J: Floats) -> Information:
        """Return the derivatives by phi with theta = J phi."""
        hessian, products, penalty = (J.T @ A @ J for A in (self.hessian, self.score_products, self.penalty))
        return Information(J.T @ self.score, hessian, products, penalty)

    @property
    def precision(self) -> Floats:
        """The negative second derivative of the objective."""
        return np.asarray(self.penalty - self.hessian)


def cluster_products(
    problem: EmProblem, mixture: Mixture, layout: ParameterLayout, groups: npt.NDArray[np.intp]
) -> Floats:
    """Return sum_g s_g s_g' with the weighted sums s_g of the scores of each group's rows, (P, P).

    Parameters
    ----------
    problem : EmProblem
    mixture : Mixture
        In standard units.
    layout : ParameterLayout
    groups : ndarray of shape (n,)
        0, 1, ...
    """
    n_groups, P = int(groups.max()) + 1, layout.n_parameters
    order = np.argsort(groups, kind="stable")
    products, open_sum = np.zeros((P, P)), np.zeros(P)
    previous = -1
    for start in range(0, len(order), _BLOCK):
        rows = order[start : start + _BLOCK]
        scores = problem.row_scores(mixture, rows) * problem.sample_weight[rows, None]
        found, first = np.unique(groups[rows], return_index=True)
        sums = np.add.reduceat(scores, first, axis=0)
        if found[0] == previous:
            sums[0] += open_sum
        elif previous >= 0:
            products += np.outer(open_sum, open_sum)
        products += np.einsum("ga,gb->ab", sums[:-1], sums[:-1], optimize=False)
        open_sum, previous = sums[-1], int(found[-1])
    assert previous == n_groups - 1
    return np.asarray(products + np.outer(open_sum, open_sum))


def ridge_hessian(problem: EmProblem, mixture: Mixture, layout: ParameterLayout) -> Floats:
    r"""Return the second derivative of the ridges, (P, P).

    They are :math:`\tfrac\alpha2 \sum_i \|a_i - c\|^2 / s_i^2`, where c is 0 or the mean of the a_i with the
    weights :math:`1 / s_i^2`, and :math:`\tfrac\lambda2 \sum_i \|W_i - \bar W\|^2`; intercepts have none.
    """
    K = np.zeros((layout.n_parameters, layout.n_parameters))
    K[layout.gates, layout.gates] = problem.options.gate_ridge * layout.ridge_metric(intercepts=False)
    to_zero, to_mean = problem.ridge_to_zero, problem.ridge_to_mean
    if to_zero == 0 and to_mean == 0:
        return K
    slopes = [at for at, j in enumerate(layout.expert_columns) if j < layout.n_features]
    used = [layout.expert_columns[at] for at in slopes]
    if mixture.covariance is not None:
        return K + _ridges_of_responses(to_zero, mixture, layout)
    pi = 1.0 / mixture.sigma**2
    mean = np.average(mixture.coef, axis=0, weights=pi)
    of_mean = np.zeros((len(layout.predictors) * len(slopes), layout.n_parameters))  # by the mean and theta
    for i in range(layout.n_experts):
        where = np.concatenate([form.start + np.array(slopes, dtype=np.intp) for form in layout.forms(i)])
        K[where, where] += (to_zero + to_mean) * pi[i]
        of_mean[np.arange(len(where)), where] = -pi[i]
        if not layout.has_scale:
            continue
        a, noise = mixture.coef[i, used], layout.scales(i)[0]
        b = a - mean[used]
        mixed = 2 * pi[i] * (to_zero * a + to_mean * b)
        K[where, noise] -= mixed
        K[noise, where] -= mixed
        K[noise, noise] += 2 * pi[i] * float(to_zero * (a @ a) + to_mean * (b @ b))
        of_mean[:, noise] += 2 * pi[i] * b
    return np.asarray(K - to_mean / pi.sum() * (of_mean.T @ of_mean))  # the mean follows


def _ridges_of_responses(alpha: float, mixture: Mixture, layout: ParameterLayout) -> Floats:
    r"""Return the second derivative of :math:`\tfrac\alpha2 \sum_i \mathrm{tr}(A_i' \Sigma_i^{-1} A_i)`, (P, P).

    As that of the log-likelihood it is right where the objective does not change with the covariances.
    """
    assert mixture.covariance is not None
    K = np.zeros((layout.n_parameters, layout.n_parameters))
    diagonal = layout.covariance_type == "diag"
    slopes = [at for at, j in enumerate(layout.expert_columns) if j < layout.n_features]
    for i, covariance in enumerate(mixture.covariance):
        used = mixture.coef[i][:, [layout.expert_columns[at] for at in slopes]]
        J = numbers_by_scales(covariance, diagonal=diagonal)
        twice, mixed, both = ridge_by_numbers(covariance, used, diagonal=diagonal)
        noise = layout.scales(i)
        K[np.ix_(noise, noise)] += alpha * (J.T @ both @ J)
        for of_column, at in zip(mixed, slopes, strict=True):
            where = [form.start + at for form in layout.forms(i)]
            K[np.ix_(where, where)] += alpha * twice
            K[np.ix_(where, noise)] += alpha * of_column @ J
            K[np.ix_(noise, where)] += alpha * (of_column @ J).T
    return K
