"""pyarrow, which is optional: loaded when a data set is opened, and not before."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["arrow_errors", "pyarrow_module"]


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


def arrow_errors() -> tuple[type[Exception], ...]:
    """Return what pyarrow raises for files that it cannot read, among them names that are no UTF-8."""
    return (pyarrow_module().ArrowException, OSError, UnicodeDecodeError)
