"""Objects that several threads of Python use at once, with Python's lock or without it."""

import os
import pickle
import subprocess
import sys
import sysconfig
import threading

import numpy as np
import pytest

from moefast import BaggedMixtureOfExperts, MixtureOfExpertsRegressor, MomentAccumulator, _core
from moefast.datasets import make_moe

THREADS = 8

pytestmark = [
    pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def at_once(work):
    """Return [work(0), ..., work(7)], run by threads that begin together."""
    found, begin = [None] * THREADS, threading.Barrier(THREADS)

    def one(i):
        begin.wait()
        try:
            found[i] = work(i)
        except BaseException as error:
            found[i] = error

    threads = [threading.Thread(target=one, args=[i]) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for value in found:
        if isinstance(value, BaseException):
            raise value
    return found


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python always has its lock")
def test_the_import_leaves_pythons_lock_off():
    code = "import sys, moefast, moefast.cli; print(sys._is_gil_enabled())"
    command = [sys.executable, "-W", "error", "-c", code]
    left = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=left)
    assert done.stdout.strip() == "False"


def test_one_accumulator_takes_the_rows_of_all_threads():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(THREADS * 20, 301, 4)), rng.normal(size=(THREADS * 20, 301))
    shared = MomentAccumulator(4, 3, n_threads=2)
    seen = [set() for _ in range(THREADS)]

    def work(i):
        for at in range(20 * i, 20 * (i + 1)):
            shared.update(X[at], y[at])
            seen[i].add(shared.n_samples)

    at_once(work)
    alone = MomentAccumulator(4, 3).update(X.reshape(-1, 4), y.ravel())
    # Rows come in whole batches, in any order.
    assert shared.n_samples == len(X) * 301
    assert not any(n % 301 for of_one in seen for n in of_one)
    for power in range(4):
        found, right = shared.raw_moment(3, power), alone.raw_moment(3, power)
        np.testing.assert_allclose(found, right, rtol=0, atol=1e-12 * len(X) * 301)


def test_an_accumulator_is_read_and_merged_while_it_grows():
    """Each state that anybody sees is one between two updates: of equal rows, all moments tell the same number."""
    size = 3000
    row = np.array([[1.0, 2.0, -3.0]]).repeat(size, axis=0)
    one, other = (MomentAccumulator(3, 2).update(row, row[:, 0]) for _ in range(2))

    def work(i):
        for _ in range(10):
            if i == 0:
                one.update(row, row[:, 0])
            elif i == 1:
                other.update(row, row[:, 0])
            elif i == 2:
                one.merge(other)
            elif i == 3:
                other.merge(one)
            else:
                state = pickle.loads(pickle.dumps(one)) if i % 2 else one
                # one snapshot each, later or earlier
                for moment in (state.raw_moment(2), state.raw_moment(2, 1)):
                    n = round(moment[0, 0])
                    assert n % size == 0
                    np.testing.assert_allclose(moment, n * np.outer(row[0], row[0]), rtol=1e-12)

    at_once(work)
    assert one.n_samples >= 11 * size
    assert other.n_samples >= 11 * size


@pytest.mark.parametrize(("dim", "order"), [(800, 2), (120, 3), (50, 4)])
def test_a_tensor_is_made_ready_once_though_all_ask_at_once(dim, order):
    rng = np.random.default_rng(0)
    n_entries = _core.packed_position(dim, order, [dim - 1] * order) + 1
    values, U = rng.normal(size=n_entries), rng.normal(size=(5, dim))
    alone = _core.SymmetricTensor.from_canonical(values, dim, order).apply(U)
    for _ in range(10):
        fresh = _core.SymmetricTensor.from_canonical(values, dim, order)
        for found in at_once(lambda i, tensor=fresh: tensor.apply(U)):
            np.testing.assert_array_equal(found, alone)


@pytest.fixture(scope="module")
def samples():
    X, y, _ = make_moe(400, 3, 2, noise=0.5, random_state=0)
    return X, y


ASKED = {
    "mean": lambda model, X, y: model.predict(X),
    "interval": lambda model, X, y: model.predict_interval(X),
    "density": lambda model, X, y: model.log_density(X, np.linspace(-2, 2, 7)),
    "score": lambda model, X, y: model.score(X, y),
}


@pytest.mark.parametrize("averaged", [False, True], ids=["one", "averaged"])
def test_one_estimator_answers_all_threads(samples, averaged):
    X, y = samples
    model = MixtureOfExpertsRegressor(2, n_init=2, max_iter=50, random_state=0)
    if averaged:
        model = BaggedMixtureOfExperts(model, n_replicates=3, n_folds=None, random_state=0)
    fitted = pickle.dumps(model.fit(X, y))

    def answers(model, i):
        """Ask of rows of its own, and other things first."""
        rows = slice(40 * i, 40 * i + 100)
        return {name: ASKED[name](model, X[rows], y[rows]) for name in np.roll(list(ASKED), i)}

    fresh = pickle.loads(fitted)  # what is made when first asked for is not there yet
    for i, found in enumerate(at_once(lambda i: answers(fresh, i))):
        alone = answers(pickle.loads(fitted), i)
        for name, value in found.items():
            np.testing.assert_array_equal(value, alone[name], err_msg=name)


def test_one_array_is_fitted_by_all_threads(samples):
    X, y = samples

    def work(i):
        return (
            MixtureOfExpertsRegressor(3, n_init=2, max_iter=50, random_state=i, n_threads=1 + i % 2)
            .fit(X, y)
            .coef_
        )

    together = at_once(work)
    for i, found in enumerate(together):
        np.testing.assert_array_equal(found, work(i))


def test_a_problem_is_run_by_all_threads_with_functions_of_python(samples):
    """The link and its settings are shared; each call of it is made by the thread whose run it is."""
    X, y = (np.tile(values.T, 25).T.copy() for values in samples)  # enough for the core to take its own threads
    calls = {}

    def link(t):
        calls.setdefault(threading.get_ident(), []).append(len(t))
        return t, np.ones_like(t)

    settings = _core.EmSettings(max_iter=5, variance_floor=1e-6, link=link, n_threads=2)
    data = _core.EmData(X, y, np.ones(len(y)))
    rng = np.random.default_rng(0)
    start = (rng.normal(size=(2, 4)), rng.normal(size=(2, 4)), np.ones(2), None, None)

    def work(i):
        _core.e_step(data, start, settings)  # one pass takes both threads where it may
        (found,) = _core.em_run(data, [start], settings.but(max_iter=4 + i % 2))
        return threading.get_ident(), found["experts"], found["n_iter"]

    together = at_once(work)
    assert set(calls) == {who for who, _, _ in together}
    for i, (_, experts, n_iter) in enumerate(together):
        np.testing.assert_array_equal(experts, together[i % 2][1])
        assert n_iter == together[i % 2][2]


def test_settings_cannot_be_changed_under_a_run():
    settings = _core.EmSettings(variance_floor=1e-6)
    for name in ("max_iter", "common_columns", "n_threads", "link", "family"):
        with pytest.raises(AttributeError):
            setattr(settings, name, 1)
    assert settings.but(max_iter=7).values()["max_iter"] == 7
    assert settings.values()["max_iter"] == 1000


def test_a_setting_of_another_type_is_named():
    with pytest.raises(TypeError, match=r"^EmSettings: max_iter cannot be 1\.5$"):
        _core.EmSettings(variance_floor=1e-6, max_iter=1.5)
