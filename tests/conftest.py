"""Shared data for the tests of files and the console."""

from pathlib import Path

import pandas as pd
import pytest

from moefast.datasets import make_moe


def pytest_addoption(parser):
    parser.addoption("--real-data", type=Path, help="folder with concrete.csv, airfoil.csv and power_plant.csv")


def pytest_ignore_collect(collection_path, config):
    """The tables are not part of this repository."""
    if collection_path.name == "test_real_targets.py" and config.getoption("--real-data") is None:
        return True
    return None


@pytest.fixture(scope="session")
def real_data(request):
    return request.config.getoption("--real-data")


@pytest.fixture(scope="session")
def table():
    """400 rows of a two-expert mixture with column names, response last."""
    X, y, _ = make_moe(400, 3, 2, noise=0.2, expert_intercept=1.0, random_state=3)
    return pd.DataFrame({"age": 40 + 10 * X[:, 0], "dose": X[:, 1], "flow rate": 1e-3 * X[:, 2], "yield": 5 + y})


@pytest.fixture
def csv_file(table, tmp_path):
    path = tmp_path / "data.csv"
    table.to_csv(path, index=False)
    return path
