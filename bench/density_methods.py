"""The methods of held_out_density.py: each learns from (X, y) and returns laws of y for other rows.

A method is a function of X, y and a seed, numpy arrays of shape (n, d) and (n,), that returns a function from
other rows to `NormalMixtures`. What it needs is imported when it is called: a package that is missing leaves it
out.
"""

import shutil
import subprocess
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import softmax

import moefast
from normal_mixtures import NormalMixtures
from real_data import run_flexmix

# Of flexmix: random starts, of which the one of the highest likelihood counts.
STARTS = 10
# Of NGBoost: iterations at most, and how many without gain on the inner split end them.
MOST_ITERATIONS, PATIENCE = 5000, 50


def least_squares(X, y, seed):
    """One normal around a regression, sigma with the degrees of freedom taken off."""
    U = np.column_stack([np.ones(len(X)), X])
    coef, _, rank, _ = np.linalg.lstsq(U, y, rcond=None)
    sigma = np.sqrt(np.sum((y - U @ coef) ** 2) / max(1, len(y) - rank))
    return lambda rows: NormalMixtures.of_one(np.column_stack([np.ones(len(rows)), rows]) @ coef, sigma)


def with_held_out_sigma(model, X, y, seed):
    """A regressor and one normal, whose sigma is that of its errors in five folds."""
    from sklearn.model_selection import KFold, cross_val_predict

    folds = KFold(5, shuffle=True, random_state=seed)
    sigma = np.sqrt(np.mean((y - cross_val_predict(model, X, y, cv=folds)) ** 2))
    model.fit(X, y)
    return lambda rows: NormalMixtures.of_one(model.predict(rows), sigma)


def hist_gradient_boosting(X, y, seed):
    """scikit-learn's boosted trees."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return with_held_out_sigma(HistGradientBoostingRegressor(random_state=seed), X, y, seed)


def linear_tree(X, y, seed):
    """A tree with ridge regressions in its leaves, on standardised columns."""
    from lineartree import LinearTreeRegressor
    from sklearn.base import BaseEstimator
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    class Tree(LinearTreeRegressor):
        """One that newer releases of scikit-learn can run, where checks are a function."""

        if not hasattr(BaseEstimator, "_validate_data"):

            def _validate_data(self, *data, force_all_finite=True, **checks):
                from sklearn.utils.validation import validate_data

                return validate_data(self, *data, ensure_all_finite=force_all_finite, **checks)

    return with_held_out_sigma(make_pipeline(StandardScaler(), Tree(Ridge())), X, y, seed)


def ngboost(X, y, seed):
    """Natural gradient boosting of a normal, the number of iterations by an inner split of 80/20, refitted."""
    from ngboost import NGBRegressor
    from sklearn.model_selection import train_test_split

    inner, outer, y_inner, y_outer = train_test_split(X, y, test_size=0.2, random_state=seed)
    settings = {"learning_rate": 0.01, "verbose": False, "random_state": seed}
    model = NGBRegressor(n_estimators=MOST_ITERATIONS, **settings)
    model.fit(inner, y_inner, X_val=outer, Y_val=y_outer, early_stopping_rounds=PATIENCE)
    # best_val_loss_itr counts from 0
    best = MOST_ITERATIONS if model.best_val_loss_itr is None else model.best_val_loss_itr + 1
    model = NGBRegressor(n_estimators=best, **settings).fit(X, y)

    def laws(rows):
        found = model.pred_dist(rows)
        return NormalMixtures.of_one(found.loc, found.scale)

    return laws


BEST = r"""
best <- NULL
for (s in seq_len(starts)) {
  m <- start(s)
  if (!is.null(m) && (is.null(best) || logLik(m) > logLik(best))) best <- m
}
if (!is.null(best)) {
  cat(as.numeric(logLik(best)), "\n")
  write.table(parameters(best), row.names = FALSE, col.names = FALSE)
  write.table(parameters(best, which = "concomitant"), row.names = FALSE, col.names = FALSE)
}
"""


def flexmix(k, X, y, seed):
    """R's mixture of k experts, the best of some random starts, on standardised columns."""
    if shutil.which("Rscript") is None:
        raise ImportError("Rscript")
    centre, scale, level, unit = X.mean(axis=0), X.std(axis=0), y.mean(), y.std()
    U, t = (X - centre) / scale, (y - level) / unit
    try:
        found = run_flexmix(BEST, pd.DataFrame(U).add_prefix("x").assign(response=t), k, STARTS, "per_expert")
    except subprocess.CalledProcessError as error:  # the package is not installed
        raise ImportError("flexmix") from error
    d = X.shape[1]
    experts, gates = np.array(found[1 : d + 3]), np.array(found[d + 3 :])

    def laws(rows):
        U = np.column_stack([np.ones(len(rows)), (rows - centre) / scale])
        means, sigma = U @ experts[:-1], np.broadcast_to(experts[-1], (len(rows), k))
        return NormalMixtures(softmax(U @ gates, axis=1), level + unit * means, unit * sigma)

    # flexmix reports the likelihood before its last M-step, which was worth up to 0.9; misread parameters would be
    # off by hundreds.
    if not np.isclose(laws(X).log_density(y).sum() + len(y) * np.log(unit), found[0][0], atol=5):
        raise AssertionError("flexmix's parameters are misread")
    return laws


def of_mixture(model, rows):
    """Return the laws of a fitted mixture of experts with normal noise, from its parameters."""
    mixture = model.mixture_
    rows = rows if model.gate_basis_ is None else model.gate_basis_.expand(rows)
    means = rows @ mixture.coef.T + mixture.intercept
    return NormalMixtures(mixture.gates(rows), means, np.broadcast_to(mixture.sigma, means.shape))


def ours(model, X, y, seed):
    """One of our estimators, its laws held against what it says itself."""
    from sklearn.base import clone

    model = clone(model).set_params(random_state=seed).fit(X, y)

    def laws(rows):
        found = model_laws(model, rows)
        at = found.mean + found.sigma[:, 0]
        if not np.allclose(found.log_density(at), model.score_samples(rows, at), rtol=1e-7, atol=1e-7):
            raise AssertionError("the densities of the model are not those of its parameters")
        if not np.allclose(found.mean, model.predict(rows)):
            raise AssertionError("the predictions of the model are not those of its parameters")
        intervals = model.predict_interval(rows)
        tails = np.stack([found.cdf(intervals[:, 0]), 1 - found.cdf(intervals[:, 1])])
        if not np.allclose(tails, tails[0, 0], atol=1e-7):
            raise AssertionError("the intervals of the model do not leave as much out on all sides of all rows")
        return replace(found, intervals=intervals)

    return laws


def model_laws(model, rows):
    """Return the laws of a fitted estimator of ours; those of replicates are averaged and drawn together."""
    if not hasattr(model, "estimators_"):
        return of_mixture(model, rows)
    parts = [of_mixture(one, rows) for one in model.estimators_]
    proportions = np.hstack([part.proportions for part in parts]) / len(parts)
    means, sigma = np.hstack([part.means for part in parts]), np.hstack([part.sigma for part in parts])
    middle, c = np.sum(proportions * means, axis=1, keepdims=True), model.spread_
    return NormalMixtures(proportions, middle + c * (means - middle), c * sigma)


PEERS = {
    "least squares": least_squares,
    "linear tree": linear_tree,
    "NGBoost": ngboost,
    "HistGB": hist_gradient_boosting,
}
"""The others, by name."""

OURS = {
    label: partial(ours, getattr(moefast, name)())
    for label, name in {
        "mixture": "MixtureOfExpertsRegressor",
        "mixture CV": "MixtureOfExpertsRegressorCV",
        "bagged": "BaggedMixtureOfExperts",
    }.items()
    if hasattr(moefast, name)
}
"""Our estimators with their defaults, by what the tables call them."""


def parsed(text):
    """Return name and method of ``name=expression``, an expression of the names of moefast."""
    name, _, expression = text.partition("=")
    return name, partial(ours, eval(expression, {"__builtins__": {}}, vars(moefast)))
