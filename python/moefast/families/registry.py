"""The families by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from moefast.families.binomial import BERNOULLI, Binomial
from moefast.families.family import Family
from moefast.families.gamma import Gamma
from moefast.families.gaussian import GAUSSIAN
from moefast.families.multivariate_gaussian import MultivariateGaussian
from moefast.families.negative_binomial import NegativeBinomial
from moefast.families.poisson import Poisson
from moefast.families.student_t import StudentT
from moefast.families.tobit import Tobit

__all__ = ["FAMILIES", "from_plain", "get_family", "to_plain"]

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        GAUSSIAN,
        StudentT(),
        Poisson(),
        NegativeBinomial(),
        Gamma(),
        Binomial(),
        BERNOULLI,
        Tobit(),
    )
}
"""The families known by name: Student's t with fitted degrees of freedom, tobit with the lower limit 0."""


def get_family(family: str | Family) -> Family:
    """Return a :class:`Family` for a name or a Family.

    Raises
    ------
    ValueError
        For an unknown name.
    TypeError
        For anything else.

    Examples
    --------
    >>> from moefast.families import get_family
    >>> get_family("poisson").is_discrete
    True
    """
    if isinstance(family, Family):
        return family
    if not isinstance(family, str):
        raise TypeError(f"family must be a name or a Family, got {family!r}")
    if family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(map(repr, FAMILIES))} or a Family, got {family!r}")
    return FAMILIES[family]


def to_plain(family: Family) -> dict[str, Any]:
    """Return a family as files hold it: its name and what can be set of it, None where nothing is.

    Raises
    ------
    ValueError
        For a family of the user's own.
    """
    if isinstance(family, MultivariateGaussian):  # which the number of responses makes of the normal one
        family = GAUSSIAN
    if family.name not in FAMILIES or type(family) is not type(FAMILIES[family.name]):
        raise ValueError(f"a model with family {family.name!r} cannot be saved: only {', '.join(FAMILIES)} can")
    plain: dict[str, Any] = {"name": family.name, "df": None, "lower": None, "upper": None}
    if isinstance(family, StudentT) and family.df is not None:
        plain["df"] = float(family.df)
    if isinstance(family, Tobit):
        plain |= {k: float(v) for k, v in (("lower", family.lower), ("upper", family.upper)) if np.isfinite(v)}
    return plain


def from_plain(plain: Mapping[str, Any]) -> str | Family:
    """Undo :func:`to_plain`; what is known by its name alone comes back as a name."""
    family: Family = FAMILIES[plain["name"]]
    if plain["name"] == "student_t":
        family = StudentT(plain["df"])
    if plain["name"] == "tobit":
        lower, upper = plain["lower"], plain["upper"]
        family = Tobit(-np.inf if lower is None else lower, np.inf if upper is None else upper)
    return family.name if family == FAMILIES[family.name] else family
