"""Several responses of files are fitted as in memory."""

import numpy as np
import pandas as pd
import pytest

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.families.multivariate_gaussian import MultivariateGaussian
from moefast.sources import open_source
from moefast.streams.first_pass import FirstLook
from moefast.streams.stages import DECREMENT_TOL
from oracles.row_files import table_of, write_parquet

SETTINGS = {
    "full": {},
    "diagonal": {"covariance_type": "diag"},
    "shared": {"noise": "shared", "alpha": 5.0, "gate_alpha": 10.0},
}


@pytest.fixture(scope="module")
def rows():
    X, y, _ = make_moe(9000, 3, 2, noise=0.4, expert_intercept=1.0, random_state=3)
    rng = np.random.default_rng(0)
    return X, np.column_stack([y, 100.0 * (X[:, 0] - y + 0.5 * rng.normal(size=len(y)))])


@pytest.mark.parametrize("name", SETTINGS)
def test_it_ends_where_a_fit_in_memory_does(name, rows, tmp_path):
    X, Y = rows
    w = np.random.default_rng(1).integers(0, 3, size=len(Y)).astype(float)
    write_parquet(tmp_path, table_of(X, Y[:, 0], z=Y[:, 1], w=w), 4, row_group_size=500)
    data, settings = str(tmp_path / "*.parquet"), {"random_state": 0, **SETTINGS[name]}
    model = MixtureOfExpertsRegressor(2, **settings)
    model.fit_dataset(data, ["y", "z"], weights="w", sample_rows=2500, batch_rows=701, checkpoint=tmp_path / "c")
    frame, responses = pd.DataFrame(X, columns=["x0", "x1", "x2"]), pd.DataFrame(Y, columns=["y", "z"])
    memory = MixtureOfExpertsRegressor(2, start=model, tol=1e-13, **settings).fit(frame, responses, w)
    assert model.converged_
    assert model.response_names_ == memory.response_names_ == ("y", "z")
    assert model.n_parameters_ == memory.n_parameters_
    np.testing.assert_allclose(model.log_likelihood_, model.log_likelihood(frame, responses, w), rtol=1e-11)
    if name != "shared":  # there the ridges have a say
        assert abs(memory.log_likelihood_ - model.log_likelihood_) < 2 * DECREMENT_TOL
    np.testing.assert_allclose(model.coef_, memory.coef_, rtol=0.01, atol=0.01 * np.abs(memory.coef_).max())
    np.testing.assert_allclose(model.covariance_, memory.covariance_, rtol=0.02)
    again = MixtureOfExpertsRegressor(2, **settings)
    again.fit_dataset(data, ["y", "z"], weights="w", sample_rows=2500, batch_rows=701, checkpoint=tmp_path / "c")
    np.testing.assert_array_equal(again.covariance_, model.covariance_)


def test_rows_that_differ_in_a_response_are_no_copies():
    X, y = np.ones((50, 1)), np.ones(50)
    source = open_source(lambda: [table_of(X, y, z=np.arange(50.0) // 2)])
    columns = source.columns("y", further_targets=("z",))
    sample = FirstLook(columns, 7, 100, MultivariateGaussian(2, "full"))(source.parts[0]).sample
    assert len(sample.hashes) == 25
    assert sample.rows.shape == (25, 3)
    np.testing.assert_array_equal(sample.count, 2.0)


def test_em_goes_on_where_newton_does_not(rows, monkeypatch):
    from moefast.streams import optimum

    monkeypatch.setattr(optimum, "_MOST_PARAMETERS", 0)
    X, Y = rows
    model = MixtureOfExpertsRegressor(2, random_state=0)
    model.fit_dataset(lambda: [table_of(X, Y[:, 0], z=Y[:, 1])], ["y", "z"], sample_rows=3000, max_passes=60)
    assert model.converged_
    memory = MixtureOfExpertsRegressor(2, start=model, tol=1e-13).fit(X, Y)
    assert abs(memory.log_likelihood_ - model.log_likelihood_) < 0.1
