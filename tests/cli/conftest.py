"""The command in an empty folder, and fits that must not happen."""

import pytest
from click.testing import CliRunner

from moefast import MixtureOfExpertsRegressor
from moefast.cli import main


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command in an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return lambda *args: CliRunner().invoke(main, [str(a) for a in args])


@pytest.fixture
def no_fit(monkeypatch):
    """Let a fit be the failure of a test: the error must come before."""

    def fit(*_args, **_kwargs):
        raise AssertionError("the fit began")

    monkeypatch.setattr(MixtureOfExpertsRegressor, "fit", fit)
