"""``predict_dataset``: predictions for rows that no memory holds, from files to a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from moefast._typing import Floats
from moefast.atomic import check_writable, replacing
from moefast.progress import progress_bar
from moefast.sources import Batch, open_source
from moefast.sources.arrow import pyarrow_module
from moefast.sources.files import refuse_among
from moefast.validation import check_integer, check_levels

__all__ = ["DatasetPredictions"]

_Values = npt.NDArray[Any]
_Function: TypeAlias = Callable[[Any, Any, Any, dict[str, Floats]], _Values]
# Of a fitted model, a data frame of features, y, and offset and trials; several columns are numbered by expert.
_OF_ALL: dict[str, _Function] = {
    "gates": lambda model, X, y, terms: model.predict_gates(X),
    "assigned": lambda model, X, y, terms: model.assign(X),
    "log_density": lambda model, X, y, terms: model.score_samples(X, y, **terms),
    "responsibilities": lambda model, X, y, terms: model.responsibilities(X, y, **terms),
}
_OF_NUMBERS: dict[str, _Function] = {
    "prediction": lambda model, X, y, terms: model.predict(X, **terms),
    "std": lambda model, X, y, terms: model.predict(X, return_std=True, **terms)[1],
    "experts": lambda model, X, y, terms: model.predict_experts(X, **terms),
    "cdf": lambda model, X, y, terms: model.cdf(X, y, **terms),
    **_OF_ALL,
}
_OF_CLASSES: dict[str, _Function] = {
    "prediction": lambda model, X, y, terms: model.predict(X, **terms),
    "proba": lambda model, X, y, terms: model.predict_proba(X, **terms),
    "log_proba": lambda model, X, y, terms: model.predict_log_proba(X, **terms),
    "decision": lambda model, X, y, terms: model.decision_function(X, **terms),
    "experts": lambda model, X, y, terms: model.predict_experts(X, **terms),
    **_OF_ALL,
}
_WITH_RESPONSE = ("log_density", "cdf", "responsibilities")
# How columns that are one for each expert or class are called.
_ONE_EACH = {
    "experts": "mean",
    "gates": "gate",
    "responsibilities": "responsibility",
    "proba": "probability",
    "log_proba": "log_probability",
}


class DatasetPredictions:
    """The methods of a fitted estimator that predict data sets."""

    def predict_dataset(
        self,
        data: Any,
        output: str | os.PathLike[str],
        what: Sequence[str] = ("prediction",),
        *,
        quantiles: Sequence[float] = (),
        target: str | None = None,
        offset: str | None = None,
        n_trials: str | None = None,
        batch_rows: int = 65_536,
    ) -> int:
        """Write predictions for all rows of a data set, in their order.

        Parameters
        ----------
        data : str, path-like or sequence of these, pyarrow.dataset.Dataset, callable or dask.dataframe.DataFrame
            As in ``fit_dataset``. Columns are found by name.
        output : str or path-like
            A Parquet file, or an Arrow IPC file where its name ends in .arrow or .feather. It is written whole or
            not at all.
        what : sequence of str
            "prediction", "std", "experts" (columns mean_0, mean_1, ...), "gates" (gate_0, ...), "assigned"; with a
            `target` also "log_density", "cdf" and "responsibilities" (responsibility_0, ...). A classifier
            predicts labels, and has in place of "std" and "cdf" "proba", "log_proba" and "decision", a column for
            each class (probability_yes, ...), and "experts" one for each expert and class (mean_0_yes, ...).
        quantiles : sequence of float
            Adds a column for each, "quantile_0.9"; not of a classifier.
        target : str, optional
            The column of y.
        offset, n_trials : str, optional
            The columns of what ``predict`` takes under these names.
        batch_rows : int
            Rows that are read at a time.

        Returns
        -------
        int
            How many rows there were.

        Raises
        ------
        ValueError, TypeError, OSError, OverflowError
            For bad data, naming file, row group and column; then nothing is written.
        """
        check_is_fitted(self)
        if getattr(self, "n_responses_", 1) > 1:
            raise ValueError(
                "predict_dataset is for one response; take marginal(name).predict_dataset for each of them"
            )
        names = self._names_of_columns()
        functions = self._functions(what, quantiles, target)
        if n_trials is not None and self._labels_of_dataset() is not None:
            raise ValueError("n_trials are for family='binomial', and this is a model of classes")
        check_integer("batch_rows", batch_rows)
        source = open_source(data)
        columns = source.columns(target, names, offset=offset, n_trials=n_trials)
        if target is not None:
            columns = replace(columns, labels=self._labels_of_dataset())
        _refuse_input(output, source.parts)
        refuse_among(data, output, "output")
        check_writable(output)
        read, shown = 0, bool(getattr(self, "verbose", 0))
        with progress_bar(shown=shown, total=source.n_rows, desc="predicting", unit_scale=True) as bar:

            def batches() -> Iterator[Any]:
                nonlocal read
                for part in source.parts:
                    for batch in part.batches(columns, batch_rows):
                        read += batch.n_rows
                        bar.update(batch.n_rows)
                        if batch.n_rows:
                            yield self._predicted(batch, names, functions)

            _write(output, batches())
        return read

    def _names_of_columns(self) -> list[str]:
        if getattr(self, "formula_", None) is not None:
            raise ValueError("a model with a formula reads data frames; predict_dataset needs one without")
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            raise ValueError("the model was fitted without column names, so the columns of data cannot be matched")
        return [str(name) for name in names]

    def _labels_of_dataset(self) -> tuple[Any, ...] | None:
        """Return the labels of classes in order; None where the response is a number."""
        return None

    def _of_numbers(self, y: Floats) -> Any:
        """Return a response that was read, as methods take it."""
        return y

    def _functions(
        self, what: Sequence[str], quantiles: Sequence[float], target: str | None
    ) -> dict[str, _Function]:
        """Return what gives the columns, by name."""
        classes = self._labels_of_dataset() is not None
        known = _OF_CLASSES if classes else _OF_NUMBERS
        if classes and len(quantiles):
            raise ValueError("quantiles are of numbers; of classes take what=['proba']")
        if isinstance(what, str) or not np.iterable(what) or any(name not in tuple(known) for name in what):
            raise ValueError(f"what must be a sequence of {', '.join(map(repr, known))}, got {what!r}")
        without = [name for name in what if name in _WITH_RESPONSE and target is None]
        if without:
            raise ValueError(f"what={without[0]!r} needs the target")
        functions = {name: known[name] for name in what}
        levels = np.atleast_1d(quantiles)
        for q in check_levels("quantiles", levels.tolist()) if len(levels) else ():
            functions[f"quantile_{float(q)!r}"] = partial(_quantile, q)
        if not functions:
            raise ValueError("what and quantiles name nothing to predict")
        return functions

    def _predicted(self, batch: Batch, names: list[str], functions: dict[str, _Function]) -> Any:
        import pandas as pd

        X = np.empty((batch.n_rows, len(names)))
        for j, column in enumerate(batch.features):
            X[:, j] = column
        frame = pd.DataFrame(X, columns=names, copy=False)
        terms = {name: values for name, values in vars(batch.terms).items() if values is not None}
        labels, y = self._labels_of_dataset() or (), self._of_numbers(batch.y)
        columns: dict[str, _Values] = {}
        for name, function in functions.items():
            values = function(self, frame, y, terms)
            each = labels if name in ("proba", "log_proba", "decision") else range(values.shape[-1])
            if values.ndim == 1:
                columns[name] = values
            elif values.ndim == 2:
                for of, one in zip(each, values.T, strict=True):
                    columns[f"{_ONE_EACH.get(name, name)}_{of}"] = np.ascontiguousarray(one)
            else:
                for i, j in np.ndindex(values.shape[1:]):
                    columns[f"{_ONE_EACH[name]}_{i}_{labels[j]}"] = np.ascontiguousarray(values[:, i, j])
        return pyarrow_module().record_batch(columns)


def _quantile(q: float, model: Any, X: Any, y: Any, terms: dict[str, Floats]) -> _Values:
    return np.asarray(model.predict_quantile(X, q, **terms))


def _refuse_input(output: str | os.PathLike[str], parts: Sequence[Any]) -> None:
    """Raise ValueError where the output is one of the files that are read."""
    for part in parts:
        path = getattr(part, "path", None)
        if path is None or not (os.path.exists(path) and os.path.exists(output)):
            continue
        if os.path.samefile(output, path):
            raise ValueError(f"{os.fspath(output)} is one of the files that are read; choose another name")


def _write(output: str | os.PathLike[str], batches: Iterator[Any]) -> None:
    """Write record batches, of one schema, to a file."""
    pa, parquet = pyarrow_module(), pyarrow_module("pyarrow.parquet")
    first = next(batches, None)
    if first is None:
        raise ValueError("data has no rows")
    with replacing(output) as temporary:
        if Path(output).suffix in (".arrow", ".feather"):
            with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, first.schema) as to_file:
                to_file.write_batch(first)
                for batch in batches:
                    to_file.write_batch(batch)
            return
        with parquet.ParquetWriter(str(temporary), first.schema) as to_parquet:
            to_parquet.write_batch(first)
            for batch in batches:
                to_parquet.write_batch(batch)
