"""The parts of a data set: what one task reads, in an order that is fixed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from moefast.sources.batch import Batch, Columns, SourceError

__all__ = ["Part", "Source", "SourceError"]


class Part(Protocol):
    """Some of the rows, which can be read again and again; picklable unless it holds a function."""

    @property
    def label(self) -> str:
        """What messages call it."""

    @property
    def n_rows(self) -> int | None:
        """How many rows there are; None where that is not known before they are read."""

    def batches(self, columns: Columns, batch_rows: int) -> Iterator[Batch]:
        """Read the rows in order, at most so many at a time.

        Raises
        ------
        SourceError
            For what is no table of numbers, and for what has changed since the source was opened.
        """

    def identity(self) -> list[Any]:
        """Return what tells this part from others and from what it was before it changed, for JSON."""


@dataclass(frozen=True)
class Source:
    """A data set.

    Attributes
    ----------
    parts : tuple of Part
    names : tuple of str
        Of its columns.
    numeric : tuple of str
        Of the columns that are numbers.
    can_travel : bool
        Whether other processes can read the parts.
    """

    parts: tuple[Any, ...]
    names: tuple[str, ...]
    numeric: tuple[str, ...]
    can_travel: bool

    @property
    def n_rows(self) -> int | None:
        """How many rows there are, where that is known."""
        counts = [part.n_rows for part in self.parts]
        return None if any(n is None for n in counts) else sum(counts)

    def columns(
        self,
        target: str | None,
        features: list[str] | None = None,
        weights: str | None = None,
        *,
        offset: str | None = None,
        n_trials: str | None = None,
        further_targets: tuple[str, ...] = (),
    ) -> Columns:
        """Return what the columns are for; without `features` all that are numbers and have no other use.

        Raises
        ------
        ValueError
            For columns that there are not, and for a column of two uses.
        """
        roles = {"target": target, "weights": weights, "offset": offset, "n_trials": n_trials}
        apart = [name for name in (*roles.values(), *further_targets) if name is not None]
        if features is None:
            features = [name for name in self.numeric if name not in apart]
            if not features:
                raise ValueError(f"the data set has no column of numbers left for a feature beside {apart}")
        wanted: dict[str, Sequence[str | None]] = {role: [name] for role, name in roles.items()}
        wanted["target"] = [target, *further_targets]
        for what, names in {**wanted, "features": features}.items():
            for name in names:
                if name is not None and not isinstance(name, str):
                    raise TypeError(f"{what} must be the name of a column, got {name!r}")
                if name is not None and name not in self.names:
                    raise ValueError(
                        f"{what} must be of the columns {', '.join(map(repr, self.names))}, got {name!r}"
                    )
        if len(set(features)) < len(features):
            raise ValueError(f"features must name each column once, got {features}")
        both = [name for name in features if name in apart]
        if both or len(set(apart)) < len(apart):
            twice = both or [name for name in apart if apart.count(name) > 1]
            raise ValueError(f"column {twice[0]!r} cannot be of two uses among {', '.join(roles)}, features")
        return Columns(tuple(features), target, weights, offset, n_trials, further_targets)
