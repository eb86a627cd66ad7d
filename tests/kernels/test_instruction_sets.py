"""Every build of the kernels that this CPU can run gives the same answers."""

import os
import subprocess
import sys

import numpy as np
import pytest

from core_alone import LOAD_CORE
from moefast import MomentAccumulator, _core, build_info
from moefast.datasets import make_moe
from moefast.em import EmOptions, fit_em
from oracles import moments as oracles

SETS = build_info()["instruction_sets"]


@pytest.fixture(params=SETS)
def instruction_set(request):
    before = build_info()["instruction_set"]
    _core.use_instruction_set(request.param)
    yield request.param
    _core.use_instruction_set(before)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 7, 8, 11, 16, 25])
def test_moments_agree_with_the_oracle(instruction_set, d):
    """Widths around every tile edge."""
    X, y, w = oracles.sample(300, d)
    assert build_info()["instruction_set"] == instruction_set
    found = MomentAccumulator(d).update(X, y, w)
    for power in range(4):
        error = np.abs(found.raw_moment(3, power) - oracles.raw_moment(X, y, w, 3, power))
        assert (error <= 1e-13 * oracles.absolute_moment(X, y, w, 3, power)).all()


@pytest.mark.parametrize("d", [1, 2, 5, 10])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_em_agrees_between_builds(instruction_set, d, k):
    X, y, truth = make_moe(500, d, k, random_state=0)
    fits = []
    for name in (instruction_set, "baseline"):
        _core.use_instruction_set(name)
        fits.append(fit_em(X, y, truth, options=EmOptions(max_iter=5, tol=0.0)))
    # With one expert the second iteration gains nothing, and rounding decides whether a third is tried.
    assert fits[0].log_likelihood == pytest.approx(fits[1].log_likelihood, rel=1e-11)
    np.testing.assert_allclose(fits[0].mixture.coef, fits[1].mixture.coef, rtol=1e-8, atol=1e-10)


def test_threads_and_cuts_do_not_change_a_bit(instruction_set):
    X, y, _ = oracles.sample(9000, 6)
    whole = MomentAccumulator(6, n_threads=1).update(X, y).to_bytes()
    for threads in (2, 7):
        parts = MomentAccumulator(6, n_threads=threads)
        for rows in np.array_split(np.arange(9000), 5):
            parts.update(X[rows], y[rows])
        assert parts.to_bytes() == whole


def test_an_unknown_set_is_refused_with_those_that_are_there():
    with pytest.raises(ValueError, match=r"'sse9'.*baseline"):
        _core.use_instruction_set("sse9")


@pytest.mark.parametrize("name", [*SETS, "sse9"])
def test_the_environment_variable_chooses(name):
    environment = {**os.environ, "MOEFAST_ISA": name}
    script = LOAD_CORE + "print(_core.build_info()['instruction_set'])"
    command = [sys.executable, "-c", script, _core.__file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if name in SETS:
        assert done.stdout.strip() == name
    else:
        assert done.returncode != 0
        assert f"ImportError: MOEFAST_ISA: instruction set '{name}'" in done.stderr
