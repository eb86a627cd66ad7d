"""What users give to an estimator as checked samples: through its formula where it has one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

from sklearn.base import clone
from sklearn.utils.validation import _num_samples, check_is_fitted, validate_data

from moefast._typing import Floats
from moefast.formulas.design import design, learnt, response
from moefast.formulas.fitted import FittedFormula
from moefast.gate_basis import FittedGateBasis
from moefast.samples import NO_TERMS, RowTerms, Samples
from moefast.validation import check_features, check_samples, check_terms

__all__ = ["ModelData", "kept_unless_done", "on_design_matrix", "terms_of", "with_names"]


@contextmanager
def kept_unless_done(estimator: Any) -> Iterator[None]:
    """Fit in here: where that fails, also by Ctrl-C, the estimator is as it was, with an earlier fit."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        estimator.__dict__.clear()
        estimator.__dict__.update(before)
        raise


def terms_of(X: Any, offset: Any, n_trials: Any) -> RowTerms:
    """Return what is known of each row besides x and y, checked against the rows of X where there is any."""
    if offset is None and n_trials is None:
        return NO_TERMS
    return check_terms(offset, n_trials, int(_num_samples(X)))


class ModelData:
    """An estimator's way from data to samples.

    Attributes
    ----------
    formula : str or None
    formula_ : FittedFormula or None
        What the fit learnt for it; then X stands for data frames, and what follows has the columns of the design
        matrix.
    gate_basis_ : FittedGateBasis or None
        The functions that gates see, behind the columns of X or of the design matrix.
    """

    formula: str | None
    formula_: FittedFormula | None = None
    gate_basis_: FittedGateBasis | None = None

    def _learn_formula(self, X: Any, sample_weight: Any) -> None:
        """Learn what the formula's terms are on the training data."""
        self.formula_ = None if self.formula is None else learnt(self.formula, X, sample_weight)

    def _samples(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        terms: RowTerms = NO_TERMS,
        groups: Any = None,
        fit: bool = False,
    ) -> Samples:
        """Return checked samples without the rows of weight zero; `fit` keeps the number and names of columns."""
        y = self._numbers(y)
        if not fit:
            _refuse_other_responses(y, getattr(self, "response_names_", None))
        if self.formula_ is not None:
            X, y = design(self.formula_, X, y, sample_weight)
        convert = partial(validate_data, self, reset=fit)
        use: Literal["fit", "model"] = "fit" if fit else "model"
        return check_samples(X, y, sample_weight, convert, use=use, terms=terms, groups=groups)

    def _checked_features(self, X: Any) -> Floats:
        """Return X, or the design matrix of the formula on it, with the functions of the gates, shape (n, d)."""
        check_is_fitted(self)
        if self.formula_ is not None:
            X = self.formula_.matrix(X)
        X = check_features(X, partial(validate_data, self, reset=False))
        return X if self.gate_basis_ is None else self.gate_basis_.expand(X)

    def _response(self, X: Any, y: Any) -> Any:
        """Return y, which a formula may take from the data."""
        _refuse_other_responses(y, getattr(self, "response_names_", None))
        return y if self.formula_ is None else response(self.formula_, X, y)

    def _numbers(self, y: Any) -> Any:
        """Return y as numbers, where they stand for something else."""
        return y

    @staticmethod
    def _n_rows(X: Any) -> int:
        return int(_num_samples(X))


def _refuse_other_responses(y: Any, names: Any) -> None:
    """Raise ValueError where columns of y have other names, or another order, than those of the fit."""
    columns = getattr(y, "columns", None)
    if names is None or columns is None:
        return
    given = [str(name) for name in columns]
    if given != list(names):
        raise ValueError(f"y must have the columns {', '.join(map(repr, names))} in this order, got {given}")


def on_design_matrix(model: Any, formula: FittedFormula) -> Any:
    """Return a copy of an estimator without its formula, for the design matrix of that."""
    settings = formula.settings
    columns = {f"{who}_features": settings.pop(f"{who}_columns") for who in ("expert", "gate")}
    return clone(model).set_params(formula=None, **columns, **settings)


def with_names(samples: Samples) -> Any:
    """Return X with the names of its columns, where it has them: parameters of an estimator may use them."""
    if samples.names is None:
        return samples.X
    import pandas as pd

    return pd.DataFrame(samples.X, columns=list(samples.names))
