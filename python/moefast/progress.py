"""Progress bars, which are for eyes: files, pipes and closed streams get none."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

__all__ = ["progress_bar"]


def progress_bar(*, shown: bool, **options: Any) -> tqdm[Any]:
    """Return a bar of tqdm on standard error, drawn only when wished and when that is a terminal.

    Parameters
    ----------
    shown : bool
    **options
        For :class:`tqdm.tqdm`.
    """
    # tqdm's own disable=None takes a missing or closed stream, which cannot be asked, for a terminal.
    try:
        terminal = sys.stderr.isatty()
    except (AttributeError, ValueError):
        terminal = False
    return tqdm(disable=not (shown and terminal), **options)
