"""The functions that gates see as JSON: numbers and texts, of which scikit-learn's transformers are made anew."""

from __future__ import annotations

from typing import Any

import numpy as np

from moefast.file_fields import Choice, Listing, Number, Record, Text, Whole
from moefast.gate_basis import GATE_BASES, FittedGateBasis

__all__ = ["gate_basis_content", "gate_basis_fields", "gate_basis_of"]


def gate_basis_fields(n_features: int, n_functions: int) -> Record:
    """Return the rules for the functions of a model of so many features and functions."""
    column = Whole(0, n_features - 1)
    return Record(
        {
            "kind": Choice(GATE_BASES[1:]),
            "linear": Listing(column),
            "columns": Listing(column, least=1),
            "centre": Listing(Number(), least=1),
            "scale": Listing(Number(0.0, above=True), least=1),
            # further out there is no room for the knots that scikit-learn puts beside them
            "knots": Listing(Listing(Number(-1e300, 1e300))),
            "kept": Listing(Whole(), n_functions),
            "names": Listing(Text(), n_functions),
        }
    )


def gate_basis_content(basis: FittedGateBasis | None) -> dict[str, Any] | None:
    """Return the content of the field."""
    if basis is None:
        return None
    return {
        "kind": basis.kind,
        "linear": list(basis.linear),
        "columns": list(basis.columns),
        "centre": basis.centre.tolist(),
        "scale": basis.scale.tolist(),
        "knots": basis.knots.tolist(),
        "kept": list(basis.kept),
        "names": list(basis.names),
    }


def gate_basis_of(content: dict[str, Any] | None, n_features: int) -> FittedGateBasis | None:
    """Return the functions from the content of a checked field.

    Raises
    ------
    ValueError
        When parts of it do not fit together.
    """
    if content is None:
        return None
    n = len(content["columns"])
    basis = FittedGateBasis(
        kind=content["kind"],
        n_features=n_features,
        linear=tuple(content["linear"]),
        columns=tuple(content["columns"]),
        centre=np.array(content["centre"], dtype=np.float64),
        scale=np.array(content["scale"], dtype=np.float64),
        knots=np.array(content["knots"], dtype=np.float64).reshape(-1, n),
        kept=tuple(content["kept"]),
        names=tuple(content["names"]),
    )
    if len(basis.centre) != n or len(basis.scale) != n:
        raise ValueError("gate_basis must have a centre and a scale for each of its columns")
    if basis.kind == "spline" and (len(basis.knots) < 2 or (np.diff(basis.knots, axis=0) <= 0).any()):
        raise ValueError("gate_basis must have knots that increase")
    if max(basis.kept) >= basis.n_candidates:
        raise ValueError("gate_basis must keep functions that there are")
    return basis
