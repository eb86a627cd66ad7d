"""Predictions from files to a file: those of the methods, in the order of the rows, whole or not at all."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.sources import SourceError
from oracles.row_files import table_of, write_parquet


@pytest.fixture(scope="module")
def fitted():
    X, y, _ = make_moe(6000, 3, 2, noise=0.5, random_state=3)
    X = pd.DataFrame(X, columns=["x0", "x1", "x2"])
    return MixtureOfExpertsRegressor(2, random_state=0).fit(X[:2000], y[:2000]), X, y


@pytest.fixture(scope="module")
def models(fitted):
    model, X, y = fitted
    others = {k: MixtureOfExpertsRegressor(k, random_state=0).fit(X[:2000], y[:2000]) for k in (1, 3)}
    return {2: model, **others}


@pytest.mark.parametrize("n_experts", [1, 2, 3])
@pytest.mark.parametrize("batch_rows", [1, 7, 999, 65_536])
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_every_prediction_of_the_methods(fitted, models, tmp_path, n_experts, batch_rows, ending):
    model, (_, X, y) = models[n_experts], fitted
    if batch_rows < 10:
        X, y = X[: 30 * batch_rows], y[: 30 * batch_rows]
    (tmp_path / "in").mkdir()
    write_parquet(tmp_path / "in", table_of(X.to_numpy(), y, other=np.arange(len(y))), 4)
    output = tmp_path / f"out.{ending}"
    what = ["prediction", "std", "experts", "gates", "assigned", "log_density", "cdf", "responsibilities"]
    n = model.predict_dataset(
        tmp_path / "in", output, what, quantiles=[0.05, 0.9], target="y", batch_rows=batch_rows
    )
    assert n == len(y)
    found = (pq.read_table(output) if ending == "parquet" else pa.ipc.open_file(output).read_all()).to_pandas()
    mean, std = model.predict(X, return_std=True)
    wanted = {
        "prediction": mean,
        "std": std,
        **{f"mean_{i}": values for i, values in enumerate(model.predict_experts(X).T)},
        **{f"gate_{i}": values for i, values in enumerate(model.predict_gates(X).T)},
        "assigned": model.assign(X),
        "log_density": model.score_samples(X, y),
        "cdf": model.cdf(X, y),
        **{f"responsibility_{i}": values for i, values in enumerate(model.responsibilities(X, y).T)},
        "quantile_0.05": model.predict_quantile(X, 0.05),
        "quantile_0.9": model.predict_quantile(X, 0.9),
    }
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_nothing_is_written_of_bad_data(fitted, tmp_path):
    model, X, y = fitted
    table = table_of(X.to_numpy(), y).to_pandas()
    table.loc[4321, "x1"] = np.nan
    paths = write_parquet(tmp_path, pa.Table.from_pandas(table), 3)
    output = tmp_path / "out.parquet"
    output.write_bytes(b"before")
    with pytest.raises(SourceError, match=r"part-02.parquet, row group 0 .*column 'x1'"):
        model.predict_dataset(paths, output)
    assert output.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", *(path.name for path in paths)]


def test_what_is_refused(fitted, tmp_path):
    model, X, y = fitted
    (path,) = write_parquet(tmp_path, table_of(X.to_numpy(), y), 1)
    output = tmp_path / "out.parquet"
    for match, arguments in (
        ("what must be", {"what": "prediction"}),
        ("what must be", {"what": ["mean"]}),
        ("needs the target", {"what": ["cdf"]}),
        ("name nothing", {"what": []}),
        ("quantiles", {"quantiles": [1.5]}),
        ("batch_rows", {"batch_rows": 0}),
    ):
        with pytest.raises(ValueError, match=match):
            model.predict_dataset(path, output, **arguments)
    with pytest.raises(ValueError, match="one of the files that are read"):
        model.predict_dataset(path, path)
    with pytest.raises(ValueError, match="features must be of the columns 'x0', 'y', got 'x1'"):
        model.predict_dataset(lambda: [table_of(X.to_numpy()[:, :1], y)], output)
    nameless = MixtureOfExpertsRegressor(2, random_state=0).fit(X.to_numpy()[:500], y[:500])
    with pytest.raises(ValueError, match="without column names"):
        nameless.predict_dataset(path, output)
    assert not output.exists()


def test_what_is_written_does_not_lie_among_the_data(fitted, tmp_path):
    """Else the next fit, or the same one that goes on, would read it as data."""
    model, X, y = fitted
    (tmp_path / "in").mkdir()
    paths = write_parquet(tmp_path / "in", table_of(X.to_numpy(), y), 3)
    again = MixtureOfExpertsRegressor(2, random_state=0)
    for data in (tmp_path / "in", str(tmp_path / "in" / "*.parquet"), [tmp_path / "in"]):
        with pytest.raises(ValueError, match=r"output=.* lies among the data"):
            model.predict_dataset(data, tmp_path / "in" / "predictions.parquet")
        with pytest.raises(ValueError, match=r"checkpoint=.* lies among the data"):
            again.fit_dataset(data, "y", checkpoint=tmp_path / "in" / "c.parquet")
    assert sorted((tmp_path / "in").iterdir()) == sorted(paths)
    model.predict_dataset(tmp_path / "in", tmp_path / "predictions.parquet")
    model.predict_dataset(paths, tmp_path / "in" / ".predictions.parquet")


def test_quantiles_that_lie_close_are_columns_of_their_own(fitted, tmp_path):
    model, X, y = fitted
    paths = write_parquet(tmp_path, table_of(X.to_numpy()[:100], y[:100]), 1)
    model.predict_dataset(paths, tmp_path / "out.parquet", quantiles=[0.1234567, 0.1234568])
    assert pq.read_table(tmp_path / "out.parquet").column_names[1:] == ["quantile_0.1234567", "quantile_0.1234568"]
