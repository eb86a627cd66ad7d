"""Writing files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it there when the block ends well, remove it when not.

    Parameters
    ----------
    path : str or path-like
        What is to be written. An existing file is replaced in one step and keeps its permissions; a link is
        followed; a pipe or device is written to as it is.

    Yields
    ------
    pathlib.Path
        Where to write; it ends like `path`, so that writers who go by the ending are not misled.

    Raises
    ------
    OSError
        When the folder cannot be written or `path` is a folder.
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_file() and not target.is_dir():
        yield target
        return
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a directory, not a file")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder {target.parent} does not exist")
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}-", suffix=target.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        # mkstemp makes files private; what the user asked for gets its own or the usual permissions.
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        else:
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
