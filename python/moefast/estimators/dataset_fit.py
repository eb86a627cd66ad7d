"""``fit_dataset``: the fit of a mixture on rows that no memory holds."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from moefast.em.problem import EmProblem
from moefast.em.streamed import StreamedProblem
from moefast.estimators.flat_gates import FlatMixtureEstimator, canonical_order
from moefast.estimators.given_start import GivenStart, Wanted, given_start
from moefast.estimators.model_data import kept_unless_done
from moefast.estimators.outcome import Outcome
from moefast.mixture import Mixture
from moefast.randomness import get_generator
from moefast.search.report import FitReport
from moefast.sources import Columns, Source, open_source
from moefast.sources.files import refuse_among
from moefast.sources.fingerprint import fingerprint
from moefast.streams.first_pass import FirstPass
from moefast.streams.stages import Stages, StreamOptions

__all__ = ["DatasetFit"]


@dataclass(frozen=True)
class _Seen:
    """The columns of X, and which of them experts and gates see, by name; None leaves it to the parameters."""

    columns: Columns
    experts: list[str] | None = None
    gates: list[str] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """As settings of EM."""
        place = {name: j for j, name in enumerate(self.columns.features)}
        sides = {"expert_columns": self.experts, "gate_columns": self.gates}
        return {side: tuple(sorted(place[n] for n in names)) for side, names in sides.items() if names is not None}


Estimator = TypeVar("Estimator", bound="DatasetFit")


class DatasetFit(FlatMixtureEstimator):
    """The methods of an estimator that fits data sets."""

    def fit_dataset(
        self: Estimator,
        data: Any,
        target: str | list[str],
        features: list[str] | None = None,
        gate_features: list[str] | None = None,
        weights: str | None = None,
        *,
        offset: str | None = None,
        n_trials: str | None = None,
        sample_rows: int = 100_000,
        batch_rows: int = 65_536,
        max_passes: int = 30,
        checkpoint: str | os.PathLike[str] | None = None,
        client: Any = None,
    ) -> Estimator:
        r"""Fit the mixture to a data set that is read batch by batch, as often as it takes: three to six times.

        The first pass counts the rows, measures the columns and draws a sample of `sample_rows` different rows;
        the search of :meth:`fit` runs on these. From its best optima Newton's method, with second derivatives from
        the sample, goes to the optimum of all rows, a pass a step, or where that fails EM. It ends where a further
        step would gain no more than 0.01 of log-likelihood, in rows of weight 1. A classifier reads the labels
        before all else. See docs/scale.md.

        Parameters
        ----------
        data : str, path-like or sequence of these, pyarrow.dataset.Dataset, callable or dask.dataframe.DataFrame
            Parquet or Arrow IPC files by their paths, a glob or a folder; or a function without arguments that
            returns fresh record batches of pyarrow whenever it is called. Nothing may change between passes.
        target : str or list of str
            The column of y, of several responses their columns; of a classifier texts, whole numbers, or true and
            false.
        features : list of str, optional
            The columns of X, in this order. Default: all columns of numbers but the target and the weights.
        gate_features : list of str, optional
            The columns that gates see, in place of the parameter of this name. Those that are not among `features`
            come after them in X, and experts do not see them.
        weights : str, optional
            The column of sample weights.
        offset, n_trials : str, optional
            The columns of what ``fit`` takes under these names.
        sample_rows : int
            Different rows in the sample. With fewer than about 100 a parameter the steps that follow are poor.
        batch_rows : int
            Rows that are read at a time.
        max_passes : int
            Over all rows after the first one.
        checkpoint : str or path-like, optional
            A file from which the fit goes on when it is called again after a kill, to the same result. It is
            written after every pass, and in between where a part of the data is done; it stays when the fit is
            done, and the same call then has its result without reading.
        client : distributed.Client, optional
            A Dask cluster, whose workers read the files. The result is the same to the bit where all machines have
            the same instruction set.

        Returns
        -------
        self
            With the attributes that ``fit`` sets. Figures of ``membership_`` and so ``entropy_`` and ``icl_``, the
            warnings, and which gates are separated are those of the sample, in proportion to all rows.

        Raises
        ------
        ValueError, TypeError, OverflowError
            For parameters out of range and bad data; the message names file, row group and column.
        ImportError
            Without pyarrow, or dask for a `client`.

        Examples
        --------
        >>> import pyarrow as pa
        >>> from moefast import MixtureOfExpertsRegressor
        >>> from moefast.datasets import make_moe
        >>> X, y, _ = make_moe(20000, 2, 2, random_state=0)
        >>> table = pa.table({"x0": X[:, 0], "x1": X[:, 1], "y": y})
        >>> model = MixtureOfExpertsRegressor(2, random_state=0)
        >>> model = model.fit_dataset(lambda: [table], "y", sample_rows=5000)
        >>> model.fit_report_.decrement < 0.01, model.n_samples_fit_
        (True, 20000)
        """
        with kept_unless_done(self):
            options = StreamOptions(sample_rows, batch_rows, max_passes, checkpoint, client, self.verbose)
            if checkpoint is not None:
                refuse_among(data, checkpoint, "checkpoint")
            source = open_source(data)
            roles = {"weights": weights, "offset": offset, "n_trials": n_trials}
            seen = _seen(source, target, features, gate_features, roles)
            for warning in self._fit_stream(source, seen, options):
                warnings.warn(warning, stacklevel=2)
        return self

    def _fit_stream(self, source: Source, seen: _Seen, how: StreamOptions) -> list[Warning]:
        options = self._checked_parameters()
        self._refuse_for_stream(seen)
        q = seen.columns.n_responses
        columns = replace(seen.columns, absorbs_offset=self._family(q).absorbs_offset)
        stages = Stages(source, columns, how, {**_described(self.get_params(deep=False)), "gates": seen.gates})
        self._learn_labels(stages)
        first = stages.first_pass(self._family(q))
        samples = first.samples(columns)
        self._check_response(samples)
        k, asked_for = self._asked_for()
        if samples.n_rows < k:
            raise ValueError(
                f"{samples.n_rows} different rows of positive weight are fewer than {asked_for}; ask for fewer "
                "experts"
            )
        self.formula_ = self.gate_basis_ = None
        options = replace(self._with_columns(options, samples), **seen.settings)
        spread = first.spread(samples.n_features, q, outliers=self._family(q).has_outliers)
        whole = EmProblem(samples, options, self._link(), self._family(q), spread)
        problem = StreamedProblem(whole, first.n_rows, first.weight)
        start = self._start_of_stream(columns, samples.n_features)
        starts, report = stages.optima(whole._blank(k), lambda: self._optima_of_sample(problem, start))
        end, n_passes = stages.optimum(problem, first, starts)
        fit = whole.to_units(end.fit)
        shift = (first.density_weight - whole.density_weight) * whole.standardisation.log_y_unit
        fit = replace(fit, log_likelihood=fit.log_likelihood - shift)
        report = replace(
            report.scaled(1.0 / problem.share),
            collapsed=fit.collapsed,
            gradient=fit.gradient,
            n_rows=report.n_rows or (0 if first.sample.complete else samples.n_rows),
            n_passes=n_passes,
            decrement=end.decrement,
        )
        order = canonical_order(fit)
        n_parameters = whole.n_parameters(k) - whole.n_left_out(fit.mixture)
        outcome = Outcome(whole, fit, report, order, fit.mixture.ordered(order), n_parameters)
        self._reset_names(columns)
        self._take(outcome, samples, columns.target if q == 1 else None)
        self._set_figures_of_stream(first, problem.share)
        return outcome.warnings(samples)

    def _learn_labels(self, stages: Stages) -> None:
        """Learn what the values of the target are, where they are no numbers."""

    def _optima_of_sample(
        self, problem: StreamedProblem, start: GivenStart | None
    ) -> tuple[list[Mixture], FitReport]:
        """Return the best optima of the sample, in standard units."""
        found = self._optima(problem.sample, start, get_generator(self.random_state))
        rivals = [] if problem.share > 1.0 - 1e-9 else found.rivals()
        optima = [found.fit.mixture, *(fit.mixture for fit in rivals)]
        return [problem.settled(mixture) for mixture in optima], found.report

    def _start_of_stream(self, columns: Columns, n_features: int) -> GivenStart | None:
        if isinstance(self.start, str):
            return None
        wanted = Wanted(
            int(self.n_experts),
            *self._link_and_branches(),
            n_features,
            columns.features,
            self._family(columns.n_responses).n_predictors,
        )
        start = given_start(self.start, np.ones(0, dtype=bool), wanted)
        assert isinstance(start.value, Mixture)
        return start

    def _refuse_for_stream(self, seen: _Seen) -> None:
        """Raise ValueError for parameters that a data set in files does not go with."""
        params = self.get_params(deep=False)
        if params.get("formula") is not None:
            raise ValueError(
                "formula needs a data frame in memory; give features and gate_features by name, and write what "
                "the formula computes into the files as columns"
            )
        if self.gate_basis != "linear":
            raise ValueError(
                f"gate_basis={self.gate_basis!r} is for fit(X, y); fit_dataset wants files with the functions as "
                "columns"
            )
        if not self.polish:
            raise ValueError("polish=False has no fit_dataset: experts from the moments alone are for fit(X, y)")
        taken = [name for name in ("gate_features", "expert_features") if params.get(name) is not None]
        if seen.gates is not None and taken:
            raise ValueError(f"give gate_features to fit_dataset or {taken[0]} to the estimator, not both")
        if seen.columns.offset is not None and not self._link().is_linear:
            raise ValueError(f"offset needs link='linear', got {self._link().name!r}")
        if not isinstance(self.start, str) and not (
            hasattr(self.start, "mixture_") or hasattr(self.start, "coef")
        ):
            raise ValueError("start must be a name, a fitted model or its mixture_ where rows are not in memory")

    def _set_figures_of_stream(self, first: FirstPass, share: float) -> None:
        """Set what a fit tells of all rows, where the outcome tells of the sample."""
        m = self.membership_
        self.membership_ = replace(m, size=m.size / share, support=m.support / share, entropy=m.entropy / share)
        self.n_samples_fit_ = self.n_groups_fit_ = first.n_rows
        self.training_weight_ = first.weight
        self._set_criteria()

    def _reset_names(self, columns: Columns) -> None:
        """Set what scikit-learn knows of columns."""
        self.n_features_in_ = len(columns.features)
        self.feature_names_in_ = np.array(columns.features, dtype=object)


def _seen(
    source: Source,
    target: str | list[str],
    features: list[str] | None,
    gate_features: list[str] | None,
    roles: dict[str, str | None],
) -> _Seen:
    """Return which columns are what."""
    further: tuple[str, ...] = ()
    if isinstance(target, (list, tuple)) and len(target) > 0 and all(isinstance(name, str) for name in target):
        target, *others = target
        further = tuple(others)
    if not isinstance(target, str):
        raise TypeError(f"target must be the name of a column, or a list of these, got {target!r}")
    for name, given in (("features", features), ("gate_features", gate_features)):
        if given is None:
            continue
        if isinstance(given, str) or not np.iterable(given) or not all(isinstance(item, str) for item in given):
            raise TypeError(f"{name} must be a list of column names or None, got {given!r}")
    if features is not None and len(features) == 0:
        raise ValueError("features is empty; name at least one column, or leave it out for all")
    columns = source.columns(
        target, None if features is None else list(features), further_targets=further, **roles
    )
    if gate_features is None:
        return _Seen(columns)
    beside = [name for name in gate_features if name not in columns.features]
    both = source.columns(target, [*columns.features, *beside], further_targets=further, **roles)
    return _Seen(both, list(columns.features) if beside else None, list(gate_features))


def _described(params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters of an estimator for a checkpoint; what says nothing about the result is left out."""
    return {name: fingerprint(value) for name, value in params.items() if name not in ("n_threads", "verbose")}
