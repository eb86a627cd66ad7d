"""A start that the user gives: parameters, a fitted model, responsibilities or labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from moefast._typing import Floats
from moefast.columns import check_finite
from moefast.em.fit import HardAssignment
from moefast.estimators.prediction import MixturePredictions
from moefast.hierarchy.mixture import HierarchicalMixture, check_hierarchical_mixture
from moefast.links import Link
from moefast.mixture import Mixture, check_mixture
from moefast.search.starts import Start
from moefast.standardisation import Standardisation
from moefast.validation import check_choice

__all__ = ["GivenStart", "StartParameter", "Wanted", "check_start", "given_start"]

StartParameter: TypeAlias = "str | Mixture | HierarchicalMixture | MixturePredictions | npt.ArrayLike"
"""What an estimator takes for `start`."""

# Responsibilities that were written to a file with a few digits add up to 1 no better than this.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Wanted:
    """What a start has to fit.

    Attributes
    ----------
    n_experts : int
    link : Link
    branches : tuple of int or None
        Of a tree of gates; None for a flat mixture.
    n_features : int
    names : sequence of str or None
        Of the columns of X.
    n_predictors : int
        Of an expert: more than one where it knows more than two classes.
    """

    n_experts: int
    link: Link
    branches: tuple[int, ...] | None
    n_features: int
    names: Sequence[str] | None
    n_predictors: int = 1


@dataclass(frozen=True)
class GivenStart:
    """A checked start, in the units of the data.

    Attributes
    ----------
    kind : str
        What it is called in the report.
    value : Mixture, HierarchicalMixture, HardAssignment or ndarray of shape (n, k)
    """

    kind: str
    value: Mixture | HierarchicalMixture | HardAssignment | Floats

    def neighbour(self, n_experts: int, standardisation: Standardisation) -> Mixture | None:
        """Return a flat mixture of one expert fewer or more than `n_experts`, in standard units, else None."""
        if isinstance(self.value, Mixture) and self.value.n_experts != n_experts:
            return self.value.to_standard(standardisation)
        return None

    def in_order(self, order: npt.NDArray[np.intp]) -> GivenStart:
        """Return it for rows in another order."""
        value = self.value
        if isinstance(value, HardAssignment):
            return replace(self, value=replace(value, labels=value.labels[order]))
        return replace(self, value=value[order]) if isinstance(value, np.ndarray) else self

    def standard(self, standardisation: Standardisation) -> Start:
        """Return it in standard units."""
        value = self.value
        if isinstance(value, (Mixture, HierarchicalMixture)):
            value = value.to_standard(standardisation)
        return Start(self.kind, lambda: value)


def check_start(start: Any, names: Sequence[str]) -> None:
    """Raise unless `start` is one of these names, or something that may be a start."""
    if isinstance(start, str):
        check_choice("start", start, names)
    elif not isinstance(start, (Mixture, HierarchicalMixture, MixturePredictions)) and np.ndim(start) == 0:
        raise TypeError(
            f"start must be one of {', '.join(map(repr, names))}, responsibilities of shape (n, k), labels of "
            f"shape (n,), a fitted model or its mixture_, got {start!r}"
        )


def given_start(start: Any, rows: npt.NDArray[np.bool_], wanted: Wanted) -> GivenStart:
    """Return a start that is no name; those of its rows are taken that `rows`, a mask of shape (n,), keeps.

    Raises
    ------
    ValueError, TypeError
        When it does not fit the data or the model; what is wrong is named.
    """
    if isinstance(start, MixturePredictions):
        check_is_fitted(start, msg="start is a %(name)s that is not fitted: fit it, or give its name as a text")
        names = getattr(start, "feature_names_in_", None)
        if names is not None and wanted.names is not None and list(names) != list(wanted.names):
            raise ValueError(f"start was fitted to the columns {list(names)}, X has {list(wanted.names)}")
        return GivenStart("given model", _mixture(start.mixture_, wanted))
    if isinstance(start, (Mixture, HierarchicalMixture)):
        return GivenStart("given parameters", _mixture(start, wanted))
    if not wanted.link.is_linear:
        raise ValueError(
            f"start as responsibilities or labels tells experts of link {wanted.link.name!r} nothing to begin "
            "with; give a fitted model or its mixture_"
        )
    values = np.asarray(start)
    if values.ndim == 1:
        return GivenStart("given labels", _labels(values, rows, wanted.n_experts))
    return GivenStart("given responsibilities", _responsibilities(values, rows, wanted.n_experts))


def _mixture(mixture: Any, wanted: Wanted) -> Mixture | HierarchicalMixture:
    kind = Mixture if wanted.branches is None else HierarchicalMixture
    if not isinstance(mixture, kind):
        raise TypeError(f"start must be the parameters of a {kind.__name__}, got a {type(mixture).__name__}")
    if isinstance(mixture, Mixture):
        check_mixture("start", mixture, wanted.n_features, wanted.n_predictors)
    else:
        check_hierarchical_mixture("start", mixture, wanted.n_features)
        if mixture.branches != wanted.branches:
            raise ValueError(f"start has branches={mixture.branches}, this model {wanted.branches}")
    _check_number(mixture, wanted)
    if mixture.link != wanted.link:
        raise ValueError(f"start has link {mixture.link.name!r}, this model {wanted.link.name!r}")
    return mixture


def _check_number(mixture: Mixture | HierarchicalMixture, wanted: Wanted) -> None:
    """Raise where a start has another number of experts, and is none that a search can begin at."""
    k, difference = wanted.n_experts, abs(mixture.n_experts - wanted.n_experts)
    searched = wanted.branches is None and wanted.link.is_linear
    if difference > 1 or (difference and not searched):
        only = "" if searched else " of flat gates and linear experts"
        raise ValueError(
            f"start has {mixture.n_experts} experts, this model n_experts={k}; give one of as many, or to a model"
            f"{only} one of one expert more or fewer: a search begins there"
        )


def _labels(labels: npt.NDArray[Any], rows: npt.NDArray[np.bool_], k: int) -> HardAssignment:
    if labels.shape != rows.shape:
        raise ValueError(f"start as labels must have shape {rows.shape}, got {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"start as labels must be integers from 0 to {k - 1}, got {labels.dtype}")
    wrong = (labels < 0) | (labels >= k)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"start as labels must be integers from 0 to {k - 1}, got {labels[row]} at row {row}")
    labels = labels[rows].astype(np.int32)
    _refuse_empty(np.bincount(labels, minlength=k))
    return HardAssignment(labels, k)


def _responsibilities(values: npt.NDArray[Any], rows: npt.NDArray[np.bool_], k: int) -> Floats:
    if values.shape != (len(rows), k):
        raise ValueError(f"start as responsibilities must have shape {(len(rows), k)}, got {values.shape}")
    try:
        r = values.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"start is not numeric: {error}") from None
    r = r[rows]
    check_finite(r, what="start")
    total = r.sum(axis=1)
    wrong = (r < 0).any(axis=1) | (np.abs(total - 1.0) > _ROUNDING)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(
            "start as responsibilities must not be negative and must add up to 1 in each row, got "
            f"{r[at]} at row {int(np.flatnonzero(rows)[at])}"
        )
    _refuse_empty(r.sum(axis=0))
    return np.asarray(r / total[:, None])


def _refuse_empty(sizes: npt.NDArray[Any]) -> None:
    if not sizes.all():
        raise ValueError(f"start gives expert {int(np.argmin(sizes))} no row of positive weight")
