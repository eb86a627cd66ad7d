"""The first pass: how many rows there are, means and deviations of columns, and a sample.

Means and deviations of parts are put together as by Chan, Golub, LeVeque (The American Statistician 1983).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from moefast._typing import AnyFloats, Floats
from moefast.families import Family
from moefast.samples import NO_TERMS, RowTerms, Samples
from moefast.sources.batch import Batch, Columns, SourceError
from moefast.standardisation import Spread, location_and_scale, median_and_scale
from moefast.streams.priority_sample import PrioritySample, SampleMaker
from moefast.validation import check_terms

__all__ = ["BoundedLook", "FirstLook", "FirstPass"]

# Squares of values beyond this, or below its inverse, may leave the range.
_SAFE = 1e100
# Of the largest value: a width of no more than this is rounding, as in cpp/src/em/spread.cpp.
_ROUNDING = 8 * np.finfo(np.float64).eps


@dataclass(frozen=True, eq=False)
class FirstPass:
    """What one pass over some rows shows; columns are the features, then the response, offset and trials.

    Attributes
    ----------
    n_rows : int
        Of positive weight.
    n_read : int
    weight, density_weight : float
        Of all rows, and of those whose likelihood is a density of y.
    mean, deviation, low, high : ndarray of shape (c,)
    sample : PrioritySample
    """

    n_rows: int
    n_read: int
    weight: float
    density_weight: float
    mean: Floats
    deviation: Floats
    low: Floats
    high: Floats
    sample: PrioritySample

    def merged(self, other: FirstPass) -> FirstPass:
        """Return what a pass over both shows."""
        if self.weight == 0.0 or other.weight == 0.0:
            some, none = (other, self) if self.weight == 0.0 else (self, other)
            return replace(some, n_read=some.n_read + none.n_read)
        weight = self.weight + other.weight
        share, rest = other.weight / weight, self.weight / weight
        delta = other.mean - self.mean
        within = np.hypot(np.sqrt(rest) * self.deviation, np.sqrt(share) * other.deviation)
        return FirstPass(
            self.n_rows + other.n_rows,
            self.n_read + other.n_read,
            weight,
            self.density_weight + other.density_weight,
            self.mean + share * delta,
            np.hypot(within, np.sqrt(rest * share) * delta),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.sample.merged(other.sample),
        )

    def check(self, columns: Columns) -> None:
        """Raise SourceError where there is nothing to fit, or nothing that can be added up."""
        if self.n_rows == 0:
            raise SourceError(f"the data set has {'no rows' if self.n_read == 0 else 'no row of positive weight'}")
        if self.weight < 1.0 / _SAFE:
            raise SourceError(
                f"weights {columns.weights!r} add up to {self.weight:.3g}, where float64 loses their products; "
                "scale them"
            )

    def spread(self, n_features: int, n_responses: int = 1, *, outliers: bool = False) -> Spread:
        """Return the units of all rows; where y has outliers, its median and middle half are those of the
        sample.
        """
        with np.errstate(over="ignore"):
            width = np.maximum(self.high - self.mean, self.mean - self.low)
        varies = width > _ROUNDING * np.maximum(np.abs(self.low), np.abs(self.high))
        mean, deviation = np.where(varies, self.mean, self.low), np.where(varies, self.deviation, 0.0)
        d, end = n_features, n_features + n_responses
        tiny = (deviation[d:end] > 0) & (deviation[d:end] < np.finfo(np.float64).tiny)
        if tiny.any():
            raise OverflowError(
                f"y has a standard deviation of {deviation[d:end][tiny][0]:.3g}, where float64 loses its digits "
                "and the noise would become 0; rescale y"
            )
        if n_responses > 1:
            return Spread(mean[:d], deviation[:d], mean[d:end], deviation[d:end])
        y_mean, y_deviation = float(mean[d]), float(deviation[d])
        if outliers:
            rows, weight = self.sample.drawn()
            median, scale = median_and_scale(rows[:, d], weight)
            y_mean, y_deviation = (median, scale) if scale > 0 else (y_mean, y_deviation)
        return Spread(mean[:d], deviation[:d], y_mean, y_deviation)

    def samples(self, columns: Columns) -> Samples:
        """Return the rows of the sample."""
        rows, weight = self.sample.drawn()
        d, end = len(columns.features), len(columns.features) + columns.n_responses
        others = [np.ascontiguousarray(column) for column in rows[:, end:].T]
        terms = RowTerms(**dict(zip(columns.terms, others, strict=True))) if others else NO_TERMS
        several = columns.n_responses > 1
        names = (str(columns.target), *columns.further_targets) if several else None
        y = np.ascontiguousarray(rows[:, d:end] if several else rows[:, d])
        X = np.ascontiguousarray(rows[:, :d])
        return Samples(X, y, weight, columns.features, terms, response_names=names)


def _measured(column: AnyFloats, weight: Floats, low: float, high: float) -> tuple[float, float]:
    """Return the weighted mean and standard deviation of a column that lies between two values."""
    largest = max(abs(low), abs(high))
    if not 1.0 / _SAFE < largest < _SAFE:
        mean, deviation = location_and_scale(column[:, None], weight)
        return float(mean[0]), float(deviation[0])
    total = weight.sum()
    middle = low + float(weight @ (column - low)) / total  # differences: exact where a column varies little
    apart = column - middle
    apart *= apart
    return middle, float(np.sqrt(weight @ apart / total))


@dataclass(frozen=True)
class FirstLook:
    """The first pass over a part; picklable.

    Attributes
    ----------
    columns : Columns
    batch_rows, sample_rows : int
    family : Family
        Of the response, in the units of the data.
    """

    columns: Columns
    batch_rows: int
    sample_rows: int
    family: Family

    def __call__(self, part: Any, bound: float | None = None) -> FirstPass:
        """Return what the part shows; rows beyond a bound cannot be in the sample."""
        c = self.columns.width
        zero, inf = np.zeros(c), np.full(c, np.inf)
        sample = PrioritySample.none(self.sample_rows, c)
        total = FirstPass(0, 0, 0.0, 0.0, zero, zero, inf, -inf, sample)
        maker = SampleMaker(self.sample_rows, c, bound)
        for batch in part.batches(self.columns, self.batch_rows):
            total = total.merged(self._of_batch(batch, part.label, sample))
            if batch.n_rows:
                maker.add(batch.columns, batch.sample_weight)
        return replace(total, sample=maker.sample())

    def _of_batch(self, batch: Batch, label: str, none: PrioritySample) -> FirstPass:
        if batch.n_rows == 0:
            zero = np.zeros(self.columns.width)
            return FirstPass(0, batch.n_read, 0.0, 0.0, zero, zero, zero, zero, none)
        try:
            check_terms(None, batch.terms.n_trials, batch.n_rows)
            self.family.check(batch.y, batch.terms)
        except ValueError as error:
            raise SourceError(f"{label}: {error}, for y in column {self.columns.target!r}") from None
        columns = batch.columns
        low, high = (np.array([end(c) for c in columns], dtype=np.float64) for end in (np.min, np.max))
        found = [
            _measured(column, batch.sample_weight, *ends) for column, *ends in zip(columns, low, high, strict=True)
        ]
        return FirstPass(
            batch.n_rows,
            batch.n_read,
            float(batch.sample_weight.sum()),
            float(np.sum(batch.sample_weight * self.family.is_density(batch.y))),
            np.array([mean for mean, _ in found]),
            np.array([deviation for _, deviation in found]),
            low,
            high,
            none,
        )


class BoundedLook:
    """The first pass over parts that one process looks at in turn: what was seen bounds what is drawn.

    The sample of all parts is the same; those of single parts have fewer rows, and cost less.

    Parameters
    ----------
    look : FirstLook
    """

    def __init__(self, look: FirstLook) -> None:
        self._look = look
        self._smallest = np.zeros(0)

    def __call__(self, part: Any) -> FirstPass:
        """Return what the part shows."""
        limit = self._look.sample_rows + 1
        found = self._look(part, float(self._smallest[-1]) if len(self._smallest) == limit else None)
        both = np.sort(np.concatenate([self._smallest, found.sample.ranks]), kind="stable")  # of two sorted runs
        self._smallest = both[np.append(True, both[1:] != both[:-1])][:limit] if len(both) else both
        return found
