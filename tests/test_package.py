"""What an installed package shows of itself."""

from importlib import metadata

import moefast


def test_version_has_one_source():
    assert moefast.__version__ == metadata.version("moefast") == moefast.build_info()["version"]


def test_build_info_tells_the_thread_count(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    info = moefast.build_info()
    assert info["threads"] == 1
    assert isinstance(info["openmp"], bool)
    assert info["eigen"].startswith("3.")


def test_typed_marker_and_stub_are_installed():
    files = {str(f).rsplit("/", 1)[-1] for f in metadata.files("moefast") or []}
    import pathlib

    here = pathlib.Path(moefast.__file__).parent
    assert (here / "py.typed").is_file()
    assert (here / "_core.pyi").is_file()
    assert files  # the distribution knows its files, so it can be uninstalled
