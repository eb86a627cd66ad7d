"""Files are replaced whole: after kills, power cuts and failures of the disk."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from moefast import atomic
from moefast.atomic import replacing
from moefast.plotting import save_figure

posix = pytest.mark.skipif(os.name != "posix", reason="needs devices, links, pipes or signals of POSIX")
PNG = b"\x89PNG\r\n\x1a\n"


# The module alone: it needs nothing of the package, whose imports would take most of the time.
KILLED = """
import os, runpy, signal, sys
with runpy.run_path(sys.argv[1])["replacing"](sys.argv[2]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_while_it_writes(path):
    done = subprocess.run([sys.executable, "-c", KILLED, atomic.__file__, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL


@posix
def test_leftovers_of_the_dead_are_swept_and_those_of_the_living_are_not(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    killed_while_it_writes(path)
    assert path.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2
    (tmp_path / ".moefast-notes.tmp").write_text("not ours")
    with replacing(tmp_path / "slow.txt") as living:
        living.write_text("slow")
        with replacing(path) as temporary:
            assert str(os.getpid()) in temporary.name
            temporary.write_text("new")
        assert living.exists()
    assert sorted(os.listdir(tmp_path)) == [".moefast-notes.tmp", "out.txt", "slow.txt"]


@posix
def test_temporary_files_of_other_machines_are_left_alone(tmp_path, monkeypatch):
    killed_while_it_writes(tmp_path / "out.txt")
    monkeypatch.setattr("platform.node", lambda: "another machine")
    with replacing(tmp_path / "out.txt") as temporary:
        temporary.write_text("new")
    assert len(os.listdir(tmp_path)) == 2


@posix
def test_file_and_folder_are_synced_before_and_after_the_rename(tmp_path, monkeypatch):
    events = []
    sync, replace = os.fsync, os.replace

    def fsync(handle):
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"{os.fstat(handle).st_size} bytes"
        events.append(kind)
        sync(handle)

    def rename(*names):
        events.append("rename")
        replace(*names)

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    monkeypatch.setattr(atomic.os, "replace", rename)
    with replacing(tmp_path / "out.txt") as temporary:
        temporary.write_text("12345")
    assert events == ["5 bytes", "rename", "folder"]


def test_what_could_not_be_synced_is_not_put_in_place(tmp_path, monkeypatch):
    path = tmp_path / "out.txt"
    path.write_text("old")

    def broken(_handle):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(atomic.os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"), replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


@posix
def test_names_as_long_as_the_system_allows(tmp_path):
    from matplotlib.figure import Figure

    save_figure(Figure(), tmp_path / ("n" * 251 + ".png"))
    with replacing(tmp_path / ("n" * 255)) as temporary:
        temporary.write_text("new")
    assert len(os.listdir(tmp_path)) == 2
