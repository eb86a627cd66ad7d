"""The samples: rows of features with their responses and weights, checked once and handed down as one object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.groups import RowGroups
from moefast.power_of_two import over_power_of_two

__all__ = ["NO_TERMS", "RowTerms", "Samples"]


@dataclass(frozen=True, eq=False)
class RowTerms:
    """What is known of rows besides x and y, where a family of responses needs it.

    Attributes
    ----------
    offset : ndarray of shape (n,) or None
        Added to the predictor of every expert: the logarithm of the exposure, for counts.
    n_trials : ndarray of shape (n,) or None
        Of the binomial.
    """

    offset: Floats | None = None
    n_trials: Floats | None = None

    def __getitem__(self, rows: npt.NDArray[Any] | slice) -> RowTerms:
        """Return the terms of some rows."""
        if self is NO_TERMS:
            return self
        return RowTerms(*(None if term is None else term[rows] for term in (self.offset, self.n_trials)))

    @property
    def given(self) -> list[Floats]:
        """The terms that there are."""
        return [term for term in (self.offset, self.n_trials) if term is not None]


NO_TERMS = RowTerms()
"""Those of rows of which nothing more is known."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Rows (x_n, y_n) with weights w_n, in the units of the data; see :func:`moefast.validation.check_samples`.

    Attributes
    ----------
    X : ndarray of shape (n, d), float64, or float32 where a fit keeps what it was given
    y : ndarray of shape (n,), float64, or (n, q) for several responses
    sample_weight : ndarray of shape (n,), float64
        Positive: rows of weight zero have been left out.
    names : tuple of str or None
        Of the columns of X, for messages; None where they have none.
    response_names : tuple of str or None
        Of the columns of y, likewise.
    terms : RowTerms
        Offset and trials of the rows.
    groups : RowGroups or None
        Where several rows are of one expert, their groups, by which rows are sorted; rows of a group have the same
        weight, that of the group. None where each row is by itself.

    Raises
    ------
    ValueError
        For shapes that do not fit together.
    """

    X: Floats
    y: Floats
    sample_weight: Floats
    names: tuple[str, ...] | None = None
    terms: RowTerms = NO_TERMS
    groups: RowGroups | None = None
    response_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.X.ndim != 2:
            raise ValueError(f"X must have shape (n, d), got {self.X.shape}")
        of_rows = ("offset", self.terms.offset), ("n_trials", self.terms.n_trials)
        if self.y.ndim == 2 and len(self.y) != len(self.X):
            raise ValueError(f"y must have {len(self.X)} rows, got shape {self.y.shape}")
        y = self.y if self.y.ndim != 2 else None
        for what, values in (("y", y), ("sample_weight", self.sample_weight), *of_rows):
            if values is not None and values.shape != self.X.shape[:1]:
                raise ValueError(f"{what} must have shape ({len(self.X)},), got {values.shape}")
        if self.names is not None and len(self.names) != self.X.shape[1]:
            raise ValueError(f"names must name the {self.X.shape[1]} columns of X, got {self.names}")
        if self.groups is not None and self.groups.starts[-1] != len(self.X):
            raise ValueError(f"groups must have {len(self.X)} rows, got {self.groups.starts[-1]}")

    @property
    def n_rows(self) -> int:
        """N."""
        return len(self.y)

    @property
    def n_responses(self) -> int:
        """Q."""
        return 1 if self.y.ndim == 1 else int(self.y.shape[1])

    def response_label(self, j: int) -> str:
        """Say which response is meant, by name where there is one."""
        return f"column {j}" if self.response_names is None else f"column {self.response_names[j]!r}"

    @property
    def is_rounded(self) -> bool:
        """Whether the responses are fewer numbers than half of the rows, as counts and rounded values are."""
        return bool(2 * len(np.unique(self.y, axis=0)) < len(self.y))

    @property
    def rounded_noise(self) -> float:
        """The noise of which the density at its mean is one response a step of their rounding; 0 if not rounded.

        In standard deviations of y. Less says which of the rounded values comes by a density of which the rounding
        has left nothing, and that has no bounds.
        """
        if not self.is_rounded or self.n_responses > 1:
            return 0.0
        (y, _), (weights, _) = over_power_of_two(self.y), over_power_of_two(self.sample_weight)
        steps = np.diff(np.unique(y))
        if len(steps) == 0:
            return 0.0
        spread = np.sqrt(np.average((y - np.average(y, weights=weights)) ** 2, weights=weights))
        return float(np.median(steps) / (np.sqrt(2.0 * np.pi) * spread))

    @property
    def n_features(self) -> int:
        """D."""
        return int(self.X.shape[1])

    def of_columns(self, columns: npt.NDArray[np.intp]) -> Samples:
        """Return the samples with some of the columns, given by position."""
        names = None if self.names is None else tuple(self.names[j] for j in columns)
        return replace(self, X=np.ascontiguousarray(self.X[:, columns]), names=names)

    def of_units(self, units: npt.NDArray[np.intp]) -> Samples:
        """Return the samples of some rows, or of some groups where there are any, given by position."""
        rows = self.rows_of(units)
        return replace(
            self,
            X=self.X[rows],
            y=self.y[rows],
            sample_weight=self.sample_weight[rows],
            terms=self.terms[rows],
            groups=None if self.groups is None else self.groups.take(units),
        )

    @property
    def unit_weight(self) -> Floats:
        """The weights of what is independent: of rows, shape (n,), or of groups, shape (G,)."""
        return self.sample_weight if self.groups is None else self.sample_weight[self.groups.first]

    def rows_of(self, units: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return the rows of some of them, by position."""
        return units if self.groups is None else self.groups.rows_of(units)

    @property
    def n_units(self) -> int:
        """How many rows, or groups, there are."""
        return self.n_rows if self.groups is None else self.groups.n_groups

    @property
    def share(self) -> Floats:
        """Return the weights divided by their sum, shape (n,)."""
        return np.asarray(self.sample_weight / self.sample_weight.sum())
