"""What a release tells of itself agrees: version, Pythons, workflows."""

import re
import sys
from pathlib import Path

import pytest

import moefast

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_versions_agree():
    version = PROJECT["project"]["version"]
    assert moefast.__version__ == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_wheels_are_built_from_the_oldest_python_on():
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=").replace(".", "")
    built = PROJECT["tool"]["cibuildwheel"]["build"].split()
    assert built[0] == f"cp{oldest}-*"


@pytest.mark.parametrize("name", ["numpy", "scipy", "scikit-learn", "pandas"])
def test_the_oldest_versions_of_dependencies_are_tested(name):
    lower = dict(re.split(">=", line) for line in PROJECT["project"]["dependencies"])[name]
    tests = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert f'"{name}=={lower}.*"' in tests
