"""One of several responses by itself."""

from __future__ import annotations

from copy import copy
from typing import TypeVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from moefast.estimators.number_predictions import NumberPredictions
from moefast.estimators.summary import response_names
from moefast.mixture import Mixture

__all__ = ["MarginalModels"]

Self = TypeVar("Self", bound="MarginalModels")


class MarginalModels(NumberPredictions):
    """The method of a fitted regressor of several responses."""

    mixture_: Mixture

    def marginal(self: Self, response: int | str) -> Self:
        """Return what a fit of several responses says of one of them by itself: a model of this response.

        The gates are the same, the experts normal. It predicts, draws and is drawn as any fitted model, with y of
        shape (n,): ``plot_fit(model.marginal("price"), X, y["price"])``. It is no fit to this response, so that
        its log-likelihood, the number of its parameters and what follows from them are NaN; nor is it for saving.

        Parameters
        ----------
        response : int or str
            Its column of y, by position or name.

        Returns
        -------
        MixtureOfExpertsRegressor

        Raises
        ------
        ValueError
            When the model has one response, or none of this name.
        """
        check_is_fitted(self)
        names = response_names(self)
        if self.covariance_ is None:
            raise ValueError("the model has one response: it is its own marginal")
        positions = range(len(names))
        if isinstance(response, str):
            if response not in names:
                raise ValueError(f"response must be one of {', '.join(map(repr, names))}, got {response!r}")
            j = names.index(response)
        elif isinstance(response, (int, np.integer)) and not isinstance(response, bool) and response in positions:
            j = int(response)
        else:
            raise ValueError(f"response must be a name or a position from 0 to {len(names) - 1}, got {response!r}")
        one = copy(self)
        one._set_parameters(self.mixture_.of_response(j))
        one.n_responses_, one.response_names_, one.target_name_ = 1, None, names[j]
        one.response_std_ = float(self.response_std_[j])
        one.log_likelihood_ = one.aic_ = one.bic_ = one.icl_ = np.nan
        one.n_parameters_ = np.nan  # type: ignore[assignment]  # of no fit
        return one
