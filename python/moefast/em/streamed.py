"""EM and Newton's method on rows that come batch by batch, from a problem on a sample of them.

The runs are those of the core in memory; a pass over the rows is made by the caller. What a batch adds to it,
:class:`BatchSums` says, which may travel to other processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

import moefast._core as _core
from moefast._typing import AnyFloats, Floats
from moefast.em.fit import EmFit
from moefast.em.newton import NewtonEnd, newton_end, takes_newton
from moefast.em.problem import EmProblem
from moefast.em.standard_features import StandardFeatures
from moefast.families import Gaussian
from moefast.mixture import Mixture
from moefast.samples import RowTerms

__all__ = ["BatchSums", "Kind", "Parameters", "StreamedProblem", "Sums"]

Parameters: TypeAlias = tuple[Floats, Floats, Floats]
"""Experts, gates and dispersions, as the core has them."""

Sums: TypeAlias = dict[str, Any]
"""The statistics of an E-step by name; those of several batches add."""

Kind: TypeAlias = Literal["gradient", "experts", "all"]
"""Which sums a pass makes: without products, with those of experts, and with those of gates."""


# Of the gradient of the mean objective: how much larger it may be than that of a decrement that is small enough,
# in directions whose second derivative is 1.
_OFF = 10.0


class Rows(Protocol):
    """Rows of a batch, by columns."""

    @property
    def features(self) -> list[AnyFloats]:
        """Columns of X."""

    @property
    def y(self) -> Floats:
        """The response."""

    @property
    def sample_weight(self) -> Floats:
        """Weights."""

    @property
    def terms(self) -> RowTerms:
        """Offset and trials."""


# How a start is settled on the sample: the decrement for rows of weight 1, how often a saddle is left, and
# iterations of EM each time. From there a few steps go on to where what rounding does to the search is gone: its
# units depend on the batches in their last digits.
_SAMPLE_TOL, _SADDLES, _SETTLING = 1e-4, 4, 200
_SAMPLE_END, _LAST_STEPS = 1e-12, 4


class BatchSums:
    """What batches of rows in the units of the data add to a pass.

    Parameters
    ----------
    problem : EmProblem
        In the units of all rows; its own rows are not kept.
    """

    def __init__(self, problem: EmProblem) -> None:
        self._problem = problem.subset(np.zeros(problem.n_rows, dtype=bool))
        self._in_units = problem._family_in_units
        self._core_units = StandardFeatures.units_are_safe(problem.standardisation)

    def with_threads(self, n_threads: int) -> BatchSums:
        """Return the same with so many threads."""
        return BatchSums(self._problem.with_threads(n_threads))

    def __call__(self, rows: Rows, at: list[tuple[Parameters, Kind]]) -> list[Sums]:
        """Return the statistics of one batch at some parameters.

        Parameters
        ----------
        rows : Batch
            Features are read in place.
        at : list of (Parameters, str)
            Parameters, and the sums that are wanted there.
        """
        problem, units = self._problem, self._problem.standardisation
        features, y, terms = rows.features, rows.y, rows.terms
        if terms.offset is not None:
            terms = replace(terms, offset=np.ascontiguousarray(terms.offset / units.y_scale))
        t = np.asarray(self._in_units.at_limits(y, units.response(y), problem.family))
        row_term = None if isinstance(problem.family, Gaussian) else problem.family.row_term(t, terms)
        centre, inverse_scale = (units.x_mean, units.inverse_x_scale) if self._core_units else (None, None)
        if not self._core_units:
            X = units.features(np.column_stack(features))
            features = [np.ascontiguousarray(X[:, j]) for j in range(X.shape[1])]
        data = _core.EmData(
            tuple(features) if features else np.zeros((len(t), 0)),
            np.ascontiguousarray(t.T),
            np.ascontiguousarray(rows.sample_weight),
            expert_columns=problem.expert_design.columns,
            gate_columns=problem.gate_design.columns,
            centre=centre if features else None,
            inverse_scale=inverse_scale if features else None,
            offset=terms.offset,
            trials=terms.n_trials,
            row_term=None if row_term is None else np.ascontiguousarray(row_term),
        )
        settings = problem._settings()
        return [dict(_core.e_step(data, (*parameters, None, None), settings, kind)) for parameters, kind in at]


@dataclass(frozen=True)
class StreamedProblem:
    """All rows of a data set of which a sample is at hand.

    Attributes
    ----------
    whole : EmProblem
        The sample's rows in the units of all, under the ridges of all.
    sample : EmProblem
        The same under ridges as strong against its weight; second derivatives are taken from it.
    n_rows : int
    weight : float
        Of all rows.
    """

    whole: EmProblem
    n_rows: int
    weight: float

    @property
    def share(self) -> float:
        """The sample's share of the weight."""
        return self.whole.total_weight / self.weight

    @property
    def sample(self) -> EmProblem:
        """The sample under ridges as strong against its weight as those of all rows."""
        options = self.whole.options
        return self.whole.with_ridges(self.share * options.alpha, self.share * options.gate_ridge)

    def part_of(self, n_rows: int, weight: float) -> StreamedProblem:
        """Return the problem of some of the rows, under ridges as strong against their weight."""
        share, options = weight / self.weight, self.whole.options
        whole = self.whole.with_ridges(share * options.alpha, share * options.gate_ridge)
        return StreamedProblem(whole, n_rows, weight)

    def parameters(self, mixture: Mixture) -> Parameters:
        """Return those of a mixture in standard units, as the core has them."""
        return self.whole._parameters(mixture)[1]

    def settled(self, start: Mixture) -> Mixture:
        """Go on from a mixture to the maximum of the sample near it, where second derivatives can be relied on.

        A search may end earlier, on a slope or next to a saddle.
        """
        sample = self.sample
        if not takes_newton(sample, start.n_experts):
            return start
        for _ in range(_SADDLES + 1):
            end = newton_end(sample, start, tol=_SAMPLE_TOL * sample.weight_per_row)
            if end.fit.collapsed:
                break
            if end.fit.converged:
                tol = _SAMPLE_END * sample.weight_per_row
                last = newton_end(sample, end.fit.mixture, tol=tol, max_passes=_LAST_STEPS)
                return end.fit.mixture if last.fit.collapsed else last.fit.mixture
            (fit,) = sample.run_many([end.fit.mixture], max_iter=_SETTLING)
            if fit.collapsed:
                break
            start = fit.mixture
        return start

    def newton(
        self, make_pass: Callable[[Parameters, Kind], Sums], start: Mixture, *, tol: float, max_passes: int
    ) -> NewtonEnd:
        """Go from a mixture to the optimum near it, with second derivatives of the sample.

        Parameters
        ----------
        make_pass : callable
            Of parameters and kind of sums: those of all rows.
        start : Mixture
            In standard units.
        tol : float
            Largest decrement at which it has arrived.
        max_passes : int
        """
        designs = (self.whole.expert_design, self.whole.gate_design)
        full = all(design.rank == design.width + design.intercept for design in designs)
        # Along columns that depend on each other in the sample, and may not among all rows, only the gradient
        # tells.
        gradient_tol = np.inf if full else _OFF * float(np.sqrt(2.0 * tol / self.weight))
        out = _core.newton_run_stream(
            self._stream(make_pass),
            self.parameters(start),
            self.whole._settings(gradient_tol=gradient_tol),
            tol,
            max_passes,
            self.sample._data(),
        )
        fit = self._fit(start, out)
        return NewtonEnd(fit, out["curvature"], out["decrement"], out["n_passes"], out["n_derivatives"])

    def em(
        self, make_pass: Callable[[Parameters, Kind], Sums], start: Mixture, *, tol: float, max_iter: int
    ) -> EmFit:
        """Run EM until an iteration gains no more than `tol`, in objective."""
        settings = self.whole._settings(max_iter, tol=tol / self.weight)
        out = _core.em_run_stream(self._stream(make_pass), (*self.parameters(start), None, None), settings)
        return self._fit(start, out)

    def _stream(self, make_pass: Callable[[Parameters, Kind], Sums]) -> Any:
        whole = self.whole
        return _core.RowStream(
            make_pass,  # type: ignore[arg-type]  # the core names the kinds
            self.weight,
            self.n_rows,
            whole.features.shape[1],
            whole.expert_design.columns,
            whole.gate_design.columns,
            1 if whole.t.ndim == 1 else whole.t.shape[1],
        )

    def _fit(self, start: Mixture, out: Any) -> EmFit:
        """Return the core's result; whether experts have collapsed is judged by their share of the sample."""
        fit = self.whole._fit(start, {**out, "totals": self.share * out["totals"]})
        return replace(fit, totals=out["totals"])
