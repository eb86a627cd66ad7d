"""pyarrow, which is optional: loaded when a data set is opened, and not before."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["pyarrow_module"]


def pyarrow_module(name: str = "pyarrow") -> Any:
    """Return pyarrow or one of its modules.

    Raises
    ------
    ImportError
        Where it is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"data sets in files need pyarrow, which could not be loaded ({error}): pip install 'moefast[scale]'"
        ) from None
