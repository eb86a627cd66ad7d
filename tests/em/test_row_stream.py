"""EM and Newton's method on rows that the caller reads: the same as on rows in memory."""

import numpy as np
import pytest

import moefast._core as _core
from moefast.datasets import make_moe
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.samples import Samples

OPTIONS = {"defaults": EmOptions(n_threads=1), "ridges": EmOptions(noise="shared", alpha=3.0, gate_alpha=2.0)}


def problem_and_start(options):
    X, y, truth = make_moe(6000, 4, 3, random_state=0)
    problem = EmProblem(Samples(X, y, np.linspace(0.5, 2.0, len(y))), options)
    _, parameters = problem._parameters(truth.to_standard(problem.standardisation))
    return problem, parameters


def stream_of(problem, rows=1000):
    """Return a stream that reads some rows at a time by columns, and the list of its passes."""
    asked, Z = [], problem.Z

    def make_pass(parameters, sums):
        asked.append(sums)
        total = None
        for first in range(0, len(Z), rows):
            some = slice(first, first + rows)
            columns = tuple(np.ascontiguousarray(Z[some, j]) for j in range(Z.shape[1]))
            data = _core.EmData(columns, problem.t[some].copy(), problem.sample_weight[some].copy())
            found = _core.e_step(data, (*parameters, None, None), problem._settings(), sums)
            total = found if total is None else {name: total[name] + found[name] for name in found}
        return total

    return _core.RowStream(make_pass, problem.total_weight, len(Z), Z.shape[1]), asked


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("rows", [383, 4096])
def test_em_on_a_stream_is_em_in_memory(name, rows):
    problem, parameters = problem_and_start(OPTIONS[name])
    stream, asked = stream_of(problem, rows)
    found = _core.em_run_stream(stream, (*parameters, None, None), problem._settings())
    (wanted,) = _core.em_run(problem._data(), [(*parameters, None, None)], problem._settings())
    assert found["n_iter"] == wanted["n_iter"]
    assert len(asked) >= found["n_iter"]
    np.testing.assert_allclose(found["log_likelihood"], wanted["log_likelihood"], rtol=1e-12)
    for what in ("experts", "gates", "variance"):
        np.testing.assert_allclose(found[what], wanted[what], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", OPTIONS)
def test_newton_on_a_stream_is_newton_in_memory(name):
    problem, parameters = problem_and_start(OPTIONS[name])
    stream, asked = stream_of(problem)
    sample = problem.subset(np.arange(problem.n_rows) % 3 == 0)._data()
    found = _core.newton_run_stream(stream, parameters, problem._settings(), 1e-6, 20, sample)
    wanted = _core.newton_run(problem._data(), parameters, problem._settings(), 1e-6, 20, sample)
    assert found["status"] == "converged"
    assert found["n_passes"] == wanted["n_passes"] == len(asked)
    assert set(asked) == {"gradient"}
    np.testing.assert_allclose(found["log_likelihood"], wanted["log_likelihood"], rtol=1e-12)


def test_columns_are_the_table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3)).astype(np.float32)
    y, w = rng.normal(size=500), rng.uniform(1.0, 2.0, size=500)
    at = (rng.normal(size=(2, 4)), np.vstack([rng.normal(size=3), np.zeros(3)]), np.ones(2), None, None)
    centre, inverse_scale = rng.normal(size=3), rng.uniform(1.0, 2.0, size=3)
    units = {"centre": centre, "inverse_scale": inverse_scale, "gate_columns": [0, 2]}
    columns = tuple(np.ascontiguousarray(X[:, j], dtype=np.float32 if j else np.float64) for j in range(3))
    settings = _core.EmSettings(variance_floor=1e-9)
    found = _core.e_step(_core.EmData(columns, y, w, **units), at, settings)
    wanted = _core.e_step(_core.EmData(X, y, w, **units), at, settings)
    for what in wanted:
        np.testing.assert_allclose(found[what], wanted[what], rtol=1e-12, atol=1e-12)


def test_what_a_stream_refuses():
    def broken(parameters, sums):
        return {"log_likelihood": 0.0}

    start, settings = (np.zeros((2, 3)), np.zeros((2, 3)), np.ones(2)), _core.EmSettings(variance_floor=1e-9)
    with pytest.raises(ValueError, match="returned no totals"):
        _core.em_run_stream(_core.RowStream(broken, 1.0, 10, 2), (*start, None, None), settings)

    def few(parameters, sums):
        names = ("totals", "squares", "residuals", "gate_slope", "shape_slopes", "shape_curvatures")
        return {"log_likelihood": 0.0, **{name: np.zeros(1) for name in (*names, "products", "gate_products")}}

    with pytest.raises(ValueError, match="1 totals, not 2"):
        _core.em_run_stream(_core.RowStream(few, 1.0, 10, 2), (*start, None, None), settings)
    with pytest.raises(ValueError, match="weight must be positive"):
        _core.RowStream(few, 0.0, 10, 2)
    with pytest.raises(ValueError, match="a column of X must have shape"):
        _core.EmData((np.zeros(3), np.zeros(4)), np.zeros(3), np.ones(3))


def test_hashes_are_of_values():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 50, size=1000).astype(float), rng.normal(size=1000).round(1)
    hashes = _core.row_hashes((x, y))
    np.testing.assert_array_equal(hashes, _core.row_hashes((x.astype(np.float32), y + 0.0)))
    np.testing.assert_array_equal(hashes[::-1], _core.row_hashes((x[::-1].copy(), y[::-1].copy())))
    assert len(np.unique(hashes)) == len(np.unique(np.column_stack([x, y]), axis=0))
    assert _core.row_hashes((np.array([0.0]),)) == _core.row_hashes((np.array([-0.0]),))
    many = _core.row_hashes((np.arange(100_000.0),))
    assert abs(np.mean(many / 2.0**64) - 0.5) < 5 * np.sqrt(1 / 12 / 100_000)
