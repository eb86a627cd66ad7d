"""Writing files whole or not at all, also across a kill or a power cut."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

__all__ = ["check_writable", "replacing"]

# File systems that cannot sync say so with these; anything else means that the bytes are in danger.
_CANNOT_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it there when the block ends well, remove it when not.

    What was written is on the disk before the old file goes. Temporary files that killed processes left in the
    folder are removed.

    Parameters
    ----------
    path : str or path-like
        What is to be written. An existing file is replaced in one step and keeps its permissions; a link is
        followed; a pipe or device is written to as it is.

    Yields
    ------
    pathlib.Path
        Where to write. Its ending tells nothing of the format.

    Raises
    ------
    OSError
        When the folder or an existing file cannot be written, or `path` is a folder.
    """
    target, mode = _target(path)
    if mode is not None and not stat.S_ISREG(mode):
        yield target
        return
    _sweep(target.parent)
    temporary = _temporary(target.parent)
    try:
        yield temporary
        if mode is None:
            umask = os.umask(0)
            os.umask(umask)
            mode = 0o666 & ~umask
        handle = os.open(temporary, os.O_RDWR)  # before the permissions, which may forbid it
        try:
            # Temporary files are private; what the user asked for gets its own or the usual permissions.
            temporary.chmod(stat.S_IMODE(mode))
            _sync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise what :func:`replacing` would raise, as far as it can be known beforehand; nothing is left behind.

    Parameters
    ----------
    path : str or path-like

    Raises
    ------
    OSError
        When `path` cannot be written; the message says why.
    """
    target, mode = _target(path)
    if mode is None or stat.S_ISREG(mode):
        try:
            _temporary(target.parent).unlink()
        except OSError as error:
            raise type(error)(f"cannot write in the folder {target.parent}: {error.strerror}") from None
    elif stat.S_ISCHR(mode):
        # A device that refuses nothing at all refuses more, too. A pipe is left alone: its reader would take
        # the end of this visit for the end of the file.
        handle = os.open(target, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
        try:
            os.write(handle, b"")
        except OSError as error:
            raise type(error)(f"{path} cannot be written: {error.strerror}") from None
        finally:
            os.close(handle)


def _target(path: str | os.PathLike[str]) -> tuple[Path, int | None]:
    """Return where to write and the mode of what is there, None for nothing; raise OSError for what cannot be."""
    if os.fspath(path) == "":
        raise FileNotFoundError("the name of the file to write is empty")
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    except OSError as error:  # a loop of links, a name too long, a folder that cannot be entered
        raise type(error)(f"{path} cannot be written: {error.strerror}") from None
    if mode is not None and stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{path} is a directory, not a file; give a file's name")
    if mode is not None and not os.access(path, os.W_OK):
        raise PermissionError(f"{path} cannot be written: it is write-protected")
    if mode is not None and not stat.S_ISREG(mode):
        return Path(path), mode  # what lies behind /dev/stdout has no path of its own
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder {target.parent} of {path} does not exist")
    return target, mode


def _prefix() -> str:
    """Name this machine: process ids of another one that shares the folder say nothing here."""
    return f".moefast-{hashlib.sha256(platform.node().encode()).hexdigest()[:8]}-"


def _temporary(folder: Path) -> Path:
    handle, name = tempfile.mkstemp(dir=folder, prefix=f"{_prefix()}{os.getpid()}-", suffix=".tmp")
    os.close(handle)
    return Path(name)


def _sweep(folder: Path) -> None:
    """Remove the temporary files of processes of this machine that no longer live."""
    ours = re.compile(re.escape(_prefix()) + r"(\d+)-\w+\.tmp")
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = ours.fullmatch(entry.name)
            if found and not psutil.pid_exists(int(found[1])):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def _sync(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut, where folders can be synced; the file itself is safe already."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
