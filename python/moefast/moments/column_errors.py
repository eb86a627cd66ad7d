"""Errors of the core that blame a column, in the caller's own words."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from moefast.columns import column_label

__all__ = ["named_columns"]


class named_columns:
    """Rewrite the core's column errors with the columns' own names; `rows` are the caller's rows it was given."""

    def __init__(self, names: list[str] | None, n_features: int, rows: npt.NDArray[np.intp] | None = None) -> None:
        self.names, self.n_features, self.rows = names, n_features, rows

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        column = getattr(error, "column", None)
        if column is None or error is None:
            return
        if column < self.n_features:
            where = f"X {column_label(column, self.names)}"
        else:
            where = "y" if column == self.n_features else "sample_weight"
        row, reason = getattr(error, "row", -1), getattr(error, "reason", "")
        if row >= 0 and self.rows is not None:
            row = int(self.rows[row])
        raise type(error)(f"{where}{f' at row {row}' if row >= 0 else ''}: {reason}") from None
