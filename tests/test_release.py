"""What a release tells of itself agrees: version, Pythons, workflows."""

import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest

import moefast

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
if not (ROOT / ".github").is_dir():
    pytest.skip("not the repository: an sdist", allow_module_level=True)
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


def read_toml(path):
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def written(tmp_path):
    """The metadata in a folder of their own, and what writes the address there."""
    for name in ("pyproject.toml", "CITATION.cff", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    write_urls = runpy.run_path(str(ROOT / "tools" / "project_urls.py"))["write_urls"]
    return tmp_path, write_urls


def test_the_tree_names_no_address():
    assert "urls" not in PROJECT["project"]
    assert "\nrepository-code:" not in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_address_of_the_repository_becomes_urls(written):
    folder, write_urls = written
    write_urls(folder, "https://github.com/Some-One/the.name")
    metadata = read_toml(folder / "pyproject.toml")
    assert metadata["project"].pop("urls") == {
        "Homepage": "https://some-one.github.io/the.name/",
        "Documentation": "https://some-one.github.io/the.name/",
        "Source": "https://github.com/Some-One/the.name",
        "Issues": "https://github.com/Some-One/the.name/issues",
        "Changelog": f"https://github.com/Some-One/the.name/blob/v{moefast.__version__}/CHANGELOG.md",
    }
    assert metadata == PROJECT  # and nothing else
    citation = (folder / "CITATION.cff").read_text(encoding="utf-8")
    assert citation.endswith('\nrepository-code: "https://github.com/Some-One/the.name"\n')
    readme = (folder / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((.*?)\)", readme)
    assert all(link.startswith("https://") for link in links)
    assert f"https://github.com/Some-One/the.name/blob/v{moefast.__version__}/docs/tutorial.md" in links
    with pytest.raises(SystemExit, match="already"):
        write_urls(folder, "https://github.com/Some-One/the.name")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/",
        "github.com/a/b",
        "http://github.com/a/b",
        "https://github.com/a",
        "https://github.com/a/b/c",
        'https://github.com/a/b"',
        "https://github.com/a/b\n",
        "https://github.com.example/a/b",
    ],
)
def test_what_is_no_address_of_a_repository_is_refused(written, address):
    folder, write_urls = written
    with pytest.raises(SystemExit, match="no address"):
        write_urls(folder, address)
    assert read_toml(folder / "pyproject.toml") == PROJECT


def test_an_action_is_pinned_to_one_commit_everywhere():
    pins = {}
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        for action, pin in re.findall(r"uses: ([\w./-]+)@(.*)", workflow.read_text(encoding="utf-8")):
            pins.setdefault(action, set()).add(pin)
    assert len(pins) > 5
    for pin, *others in pins.values():
        assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin)
        assert not others
