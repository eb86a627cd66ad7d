"""Arguments that the package never passes to its core, but somebody might: an error or a result, no crash.

Each case runs in an interpreter of its own, so that a crash is a failed test and not the end of all of them.
"""

import subprocess
import sys
import textwrap

import pytest

from core_alone import LOAD_CORE
from moefast import _core

PRELUDE = f"""
try:  # a limit by the processor's time, not by the clock: the machine may be busy
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
except ImportError:
    pass
{LOAD_CORE}
import numpy as np

def settings(**changes):
    plain = dict(max_iter=5, tol=1e-8, fit_intercept=False, fit_gate_intercept=True, update_noise=True,
                 shared_noise=False, variance_floor=1e-6, alpha=0.0, gate_alpha=0.0, n_threads=1, accelerate=True)
    return _core.EmSettings(**{{**plain, **changes}})

def start(k, d):
    return np.zeros((k, d + 1)), np.zeros((k, d + 1)), np.ones(k)

rng = np.random.default_rng(0)
y, w = rng.normal(size=50), np.ones(50)
"""


def run(script):
    """Run the script in a fresh interpreter; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PRELUDE + textwrap.dedent(script), _core.__file__],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusals(calls):
    """Return the kind and message of the exception that each of the calls ends with; one interpreter for all."""
    attempts = "".join(
        f"""
try:
{textwrap.indent(textwrap.dedent(call), "    ")}
    print("not refused")
except Exception as error:
    print(type(error).__name__, error)
"""
        for call in calls
    )
    return run(attempts).splitlines()


# ---- objects that were never made -----------------------------------------------------------------------


def test_objects_without_their_content_are_refused():
    unmade = "{0}.__new__({0})"
    tensor, sums = unmade.format("_core.SymmetricTensor"), unmade.format("_core.Accumulator")
    data = unmade.format("_core.EmData")
    calls = {
        f"{tensor}.to_dense()": "TypeError to_dense: self cannot be <",
        f"{tensor}.dim": "TypeError dim: self cannot be <",
        f"{sums}.update(np.ones((5, 2)), np.ones(5), None, 1)": "TypeError update: self cannot be <",
        f"_core.Accumulator('float64', 2, 3, [], 0.0).merge({sums})": "TypeError merge: other cannot be <",
        f"_core.e_step({data}, start(1, 2), settings())": "TypeError e_step: data cannot be <",
    }
    for said, expected in zip(refusals(calls), calls.values(), strict=True):
        assert said.startswith(expected)


def test_objects_of_the_core_have_no_pickles():
    """By the oldest protocols too, which would call the base class of pybind11."""
    made = [
        "_core.Accumulator('float64', 2, 3, [], 0.0)",
        "settings()",
        "_core.SymmetricTensor.from_dense(np.ones((2, 2)))",
    ]
    calls = [f"import pickle; pickle.dumps({one}, protocol={n})" for one in made for n in range(6)]
    calls += [f"{one}.__reduce__()" for one in made]
    for said in refusals(calls):
        assert said.startswith("TypeError cannot pickle <")


# ---- no columns -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", [None, "tanh"])
def test_em_without_columns_or_intercepts_fits_the_noise_alone(link):
    run(f"""
        X = np.empty((50, 0))
        for k, gate_intercept in [(1, True), (1, False), (3, True), (3, False)]:
            s, parameters = settings(fit_gate_intercept=gate_intercept, link={link!r}), start(k, 0)
            data = _core.EmData(X, y, w)
            starts = [(*parameters, None, None), (*parameters, None, np.zeros(50, np.int32))]
            one, many = _core.em_run(data, starts, s)
            stats = _core.e_step(data, starts[0], s)
            assert not one["experts"].any() and not many["experts"].any()
            assert np.isclose(stats["totals"].sum(), 50)
            np.testing.assert_allclose(one["variance"], np.mean(y**2))
            assert np.isfinite(many["log_likelihood"])
    """)


def test_projections_of_no_features_are_refused():
    messages = refusals(
        f"X = np.empty((50, 0), np.float{kind}), y.astype(np.float{kind})\n"
        f"_core.projected_moments(*X, None, np.empty((0, 2)), np.empty(0), 3, [], 0.0, 1)"
        for kind in (64, 32)
    )
    assert messages == ["ValueError W must have at least one row and one column, got shape (0, 2)"] * 2


# ---- labels ---------------------------------------------------------------------------------------------


def test_labels_out_of_range_are_refused_in_any_row():
    labels = [-1, 2, 2**31 - 1, -(2**31)]
    messages = refusals(
        f"""
        labels = np.zeros(10_000, np.int32)
        labels[{row}] = {label}
        X, y = rng.normal(size=(10_000, 2)), np.ones(10_000)
        _core.em_run(_core.EmData(X, y, y), [(*start(2, 2), None, labels)], settings(n_threads=2))
        """
        for row in (0, 9_999)
        for label in labels
    )
    assert messages == [f"ValueError labels must be from 0 to 1, got {label}" for label in labels] * 2


def test_labels_that_another_thread_changes_are_refused_when_they_are_used():
    # The link is called in the midst of the first run: the labels of the second have been seen by then, but not
    # used. In place of a race, which is lost only now and then.
    script = """
        labels = np.zeros(10_000, np.int32)
        def link(t):
            labels[:] = 2**31 - 1
            return t, np.ones_like(t)
        X, y = rng.normal(size=(10_000, 2)), np.ones(10_000)
        starts = [(*start(2, 2), None, None), (*start(2, 2), None, labels)]
        _core.em_run(_core.EmData(X, y, y), starts, settings(link=link))
    """
    assert refusals([script]) == [f"ValueError labels must be from 0 to 1, got {2**31 - 1}"]


# ---- sizes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_memory_refuses_sizes_out_of_range(dtype):
    expected = {
        "-5, 100, 0, 1": "n_features must be at least 1, got -5",
        "0, 3, 0, 1": "n_features must be at least 1, got 0",
        "10**9, 3, 0, 1": "n_features must be at most 4000, got 1000000000",
        "2**62, 4, 0, 1": f"n_features must be at most 4000, got {2**62}",
        "5, 100, 0, 1": "order must be 2, 3 or 4, got 100",
        "5, 1, 0, 1": "order must be 2, 3 or 4, got 1",
        "5, 3, -1, 1": "n_terms must not be negative, got -1",
        "5, 3, 0, 0": "n_threads must be at least 1, got 0",
    }
    messages = refusals(f"_core.Accumulator.memory({dtype!r}, {arguments})" for arguments in expected)
    assert messages == [f"ValueError {message}" for message in expected.values()]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_memory_takes_any_number_of_terms_as_the_one_channel_they_are(dtype):
    memory = _core.Accumulator.memory
    assert memory(dtype, 5, 3, 2**62, 1) == memory(dtype, 5, 3, 1, 1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_million_threads_are_not_started(dtype):
    # One row seen many times; more threads than the system allows would end the process.
    output = run(f"""
        X = np.broadcast_to(np.ones(2, {dtype!r}), (50_000_000, 2))
        accumulator = _core.Accumulator({dtype!r}, 2, 2, [], 0.0)
        accumulator.update(X, X[:, 0], None, 10**6)
        print(accumulator.n_samples)
    """)
    assert output == "50000000\n"


def test_a_projection_whose_size_overflows_is_refused():
    # 65536^4 numbers are 2^64 of them, counted as none.
    (message,) = refusals(["_core.SymmetricTensor.from_canonical(np.ones(1), 1, 4).project(np.ones((1, 2**16)))"])
    assert message.startswith("MemoryError")


# ---- accumulators that do not belong together -----------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_accumulators_of_different_shapes_do_not_merge(dtype):
    others = ("60, 3, [], 0.0", "3, 2, [], 0.0", "3, 3, [1.0, 2.0], 0.0", "2, 4, [], 0.0")
    messages = refusals(
        f"""
        X = rng.normal(size=({rows}, 60)).astype({dtype!r})
        accumulators = _core.Accumulator({dtype!r}, 3, 3, [], 0.0), _core.Accumulator({dtype!r}, {other})
        for a in accumulators:
            a.update(X[:, : a.n_features], X[:, 0], None, 1)
        accumulators[0].merge(accumulators[1])
        """
        for rows in (50, 5000)
        for other in others
    )
    assert messages == ["ValueError other must have the same n_features, order and polynomial"] * 8


def test_accumulators_of_different_types_do_not_merge():
    (message,) = refusals(
        ['_core.Accumulator("float64", 3, 3, [], 0.0).merge(_core.Accumulator("float32", 3, 3, [], 0.0))']
    )
    assert message == "TypeError other must have the same dtype"
