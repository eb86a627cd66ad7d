"""Fits side by side in threads, in forked and in spawned processes."""

import concurrent.futures
import multiprocessing

import numpy as np
import pytest
from forked import outcome, posix

from moefast import (
    BaggedMixtureOfExperts,
    HierarchicalMixtureOfExpertsRegressor,
    MixtureOfExpertsClassifier,
    MixtureOfExpertsRegressor,
    MomentAccumulator,
)
from moefast.datasets import make_moe

pytestmark = [
    pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

X, Y, _ = make_moe(400, 3, 2, noise=0.5, random_state=0)
FEW = {"n_init": 2, "max_iter": 50, "random_state": 0}


def _coef(which):
    """Return what a fit of some kind finds."""
    if which == "flat":
        return MixtureOfExpertsRegressor(3, **FEW).fit(X, Y).coef_
    if which == "counts":
        return MixtureOfExpertsRegressor(2, family="poisson", **FEW).fit(X, np.abs(np.round(Y))).coef_
    if which == "tree":
        return HierarchicalMixtureOfExpertsRegressor((2, 2), **FEW).fit(X, Y).coef_
    if which == "classes":
        return MixtureOfExpertsClassifier(2, **FEW).fit(X, np.digitize(Y, [-0.5, 0.5])).coef_
    if which == "responses":
        return MixtureOfExpertsRegressor(2, **FEW).fit(X, np.column_stack([Y, Y[::-1]])).coef_
    if which == "bootstrap":
        model = MixtureOfExpertsRegressor(2, **FEW).fit(X, Y)
        return model.inference(X, Y).bootstrap(5, random_state=0).bse
    return MomentAccumulator(3, 4).update(X, Y).raw_moment(4)


KINDS = ["flat", "counts", "tree", "classes", "responses", "bootstrap", "moments"]


def test_fits_in_threads_are_those_of_one():
    alone = {which: _coef(which) for which in KINDS}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(_coef, KINDS * 3))
    for which, found in zip(KINDS * 3, together, strict=True):
        np.testing.assert_array_equal(found, alone[which], err_msg=which)


@posix
def test_fits_in_forked_children_are_those_of_the_parent():
    for which in KINDS:
        kind, found = outcome(lambda w=which: _coef(w))
        assert kind == "returned", found
        np.testing.assert_array_equal(found, _coef(which), err_msg=which)


@pytest.mark.study
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_fits_in_other_processes_are_those_of_this_one(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    with multiprocessing.get_context(method).Pool(2) as pool:
        for which, found in zip(KINDS, pool.map(_coef, KINDS), strict=True):
            np.testing.assert_array_equal(found, _coef(which), err_msg=which)


@pytest.mark.study
def test_averages_by_processes_of_joblib_are_those_of_one():
    one = MixtureOfExpertsRegressor(2, **FEW)
    alone, together = (
        BaggedMixtureOfExperts(one, n_replicates=4, n_folds=None, random_state=0, n_jobs=n).fit(X, Y)
        for n in (1, 2)
    )
    np.testing.assert_array_equal(alone.predict(X), together.predict(X))
