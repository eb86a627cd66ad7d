"""The response in the units in which EM works, with what a family has to know of its rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.families import Family, Gaussian
from moefast.samples import NO_TERMS, RowTerms, Samples
from moefast.standardisation import Standardisation, location_and_scale, median_and_scale

__all__ = ["StandardResponse", "absorb_offset"]

# Standard deviations of the middle half beyond which a response says nothing more of where experts are.
_FAR = 4.0


def absorb_offset(samples: Samples, family: Family) -> Samples:
    """Return samples without an offset where the family lets y take it: y - offset around a.x + b."""
    if samples.terms.offset is None or not family.absorbs_offset:
        return samples
    terms = replace(samples.terms, offset=None)
    return replace(samples, y=samples.y - samples.terms.offset, terms=terms if terms.given else NO_TERMS)


@dataclass(frozen=True, eq=False)
class StandardResponse:
    """The response of each row.

    Attributes
    ----------
    family : Family
        In standard units.
    t : ndarray of shape (n,), or (n, q) for several responses
    terms : RowTerms
        In standard units.
    row_term, first_predictor : ndarray of shape (n,) or None
        What the core is told of rows, see :class:`moefast.families.Family`; None for normal responses.
    working : ndarray of shape (n,), or (n, C) for C classes or responses
        What starts take for a response that linear experts could explain: the first predictor less the offset, of
        mean 0 and standard deviation 1; for normal responses t itself.
    """

    family: Family
    t: Floats
    terms: RowTerms
    row_term: Floats | None
    first_predictor: Floats | None
    working: Floats

    @classmethod
    def of(cls, family: Family, samples: Samples, units: Standardisation) -> StandardResponse:
        """Return the response of samples in standard units; `family` is in the units of the data."""
        standard = family.in_units(units.y_mean, units.y_scale)
        t = family.at_limits(samples.y, np.asarray(units.response(samples.y)), standard)
        terms = samples.terms
        if terms.offset is not None:
            terms = replace(terms, offset=np.ascontiguousarray(terms.offset / units.y_scale))
        return cls._of_values(standard, np.ascontiguousarray(t), terms, samples.sample_weight)

    @classmethod
    def _of_values(cls, family: Family, t: Floats, terms: RowTerms, sample_weight: Floats) -> StandardResponse:
        if isinstance(family, Gaussian):
            return cls(family, t, terms, None, None, t)
        row_term, first = family.row_term(t, terms), family.first_predictor(t, terms)
        if first is None:
            return cls(family, t, terms, row_term, None, family.indicators(t))
        if terms.offset is not None:
            first = first - terms.offset
        if family.has_outliers:
            median, scale = median_and_scale(first, sample_weight)
            if scale > 0:
                first = np.clip(first, median - _FAR * scale, median + _FAR * scale)
        mean, deviation = location_and_scale(first[:, None], sample_weight)
        working = (first - mean[0]) / (deviation[0] or 1.0)
        contiguous = None if row_term is None else np.ascontiguousarray(row_term)
        return cls(family, t, terms, contiguous, np.ascontiguousarray(first), working)

    def drawn(self, sample_weight: Floats, rng: np.random.Generator) -> Floats:
        """Return the working response, (n,); of several a random contrast, of mean 0 and standard deviation 1."""
        if self.working.ndim == 1:
            return self.working
        values = self.working @ rng.normal(size=self.working.shape[1])
        mean, deviation = location_and_scale(values[:, None], sample_weight)
        return np.asarray((values - mean[0]) / (deviation[0] or 1.0))

    def with_values(self, t: Floats, sample_weight: Floats) -> StandardResponse:
        """Return other responses of the same rows."""
        return self._of_values(self.family, np.ascontiguousarray(t), self.terms, sample_weight)

    def __getitem__(self, rows: npt.NDArray[Any]) -> StandardResponse:
        """Return the response of some rows."""
        row_term, first = (None if a is None else a[rows] for a in (self.row_term, self.first_predictor))
        working = self.working[rows]
        return StandardResponse(self.family, self.t[rows], self.terms[rows], row_term, first, working)

    @property
    def values_for_core(self) -> Floats:
        """T as the core reads it, (n,), or a row for each of several responses, (q, n)."""
        return np.ascontiguousarray(self.t.T)

    @property
    def of_core(self) -> tuple[Floats | None, ...]:
        """Offset, trials, row term and first predictor, as the core's EmData takes them after the units."""
        return self.terms.offset, self.terms.n_trials, self.row_term, self.first_predictor

    @property
    def value(self) -> Floats:
        """A number for each row, (n,), the same where y and the terms are the same."""
        if not self.terms.given and self.t.ndim == 1:
            return self.t
        known = np.column_stack([self.t, *self.terms.given])
        order = np.lexsort(known.T)
        new = (known[order[1:]] != known[order[:-1]]).any(axis=1)
        number = np.zeros(len(known))
        number[order[1:]] = np.cumsum(new)
        return number
