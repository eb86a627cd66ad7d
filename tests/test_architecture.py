"""Imports point one way, and importing the package loads no more than fitting needs."""

import subprocess
import sys
from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_imports_point_one_way_and_never_in_a_circle(capsys):
    """The contracts stand in pyproject.toml."""
    assert lint_imports(config_filename=str(PROJECT), no_cache=True) == EXIT_STATUS_SUCCESS, (
        capsys.readouterr().out
    )


def modules_after(code):
    """Return what a fresh interpreter has loaded after running the code."""
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_import_loads_no_library_that_fitting_can_do_without():
    """scikit-learn's own foundations, which load what they like, count as there before."""
    foundations = "import numpy, scipy.linalg, scipy.special, sklearn.base, sklearn.utils.validation"
    loaded = modules_after(f"{foundations}\nimport moefast") - modules_after(foundations)
    families = {".".join(name.split(".")[:2]) for name in loaded}
    unwanted = {"pandas", "matplotlib", "tabulate", "click", "pyarrow", "polars", "dask"}
    unwanted |= {
        f"sklearn.{part}" for part in ("tree", "mixture", "cluster", "linear_model", "preprocessing", "metrics")
    }
    assert families & unwanted == set()
