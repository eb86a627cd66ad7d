"""Covariance matrices of the estimates."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.em.problem import EmProblem
from moefast.groups import RowGroups, group_labels
from moefast.inference.estimable import Precision
from moefast.inference.information import Information, cluster_products
from moefast.mixture import Mixture
from moefast.validation import check_choice

__all__ = ["COVARIANCES", "Covariance", "check_groups", "covariance"]

Covariance: TypeAlias = Literal["robust", "nonrobust", "cluster"]
COVARIANCES = ("robust", "nonrobust", "cluster")


def covariance(
    problem: EmProblem,
    mixture: Mixture,
    information: Information,
    precision: Precision,
    groups: npt.NDArray[np.intp] | None = None,
    *,
    cov_type: Covariance,
) -> Floats:
    r"""Return the covariance of theta in standard units, (P, P).

    With the inverse A of the second derivative of the objective: "nonrobust" is A, right where the model is;
    "robust" is :math:`A (\sum_n w_n s_n s_n') A`, right also where the noise is of another law or its size changes
    within an expert (Huber 1967, White 1982); "cluster" has the sums over groups in place of rows, times
    G / (G - 1), right also where rows of a group depend on each other.
    """
    A = precision.inverse
    if cov_type == "nonrobust":
        return A
    if cov_type == "robust":
        return np.asarray(A @ information.score_products @ A)
    assert groups is not None
    n_groups = int(groups.max()) + 1
    products = cluster_products(problem, mixture, precision.layout, groups)
    return np.asarray(n_groups / (n_groups - 1) * A @ products @ A)


def check_groups(cov_type: str, groups: Any, sample_weight: Floats) -> npt.NDArray[np.intp] | None:
    """Return the group of each row of positive weight as a number 0, 1, ...; None where there are none.

    Raises
    ------
    ValueError
        For another `cov_type`, for groups that are missing or that nothing needs, for a wrong shape, for a missing
        value, or for a single group.
    """
    check_choice("cov_type", cov_type, COVARIANCES)
    if cov_type != "cluster":
        if groups is not None:
            raise ValueError(f'groups are for cov_type="cluster", got cov_type={cov_type!r}')
        return None
    if groups is None:
        raise ValueError('cov_type="cluster" needs groups: a label for each row')
    found = RowGroups.of(group_labels(groups, len(sample_weight))[sample_weight > 0])
    if found.n_groups < 2:
        raise ValueError(f"groups must have at least 2 different labels, got only {found.name(0)}")
    numbers = np.empty(len(found.order), dtype=np.intp)
    numbers[found.order] = found.of_rows
    return numbers
