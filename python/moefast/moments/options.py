"""The settings that the methods of moments share, checked when made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from moefast.links import LINKS, Link
from moefast.moments.input_mixture import InputMixture, check_input_law
from moefast.standardisation import Standardisation
from moefast.threads import resolve_threads
from moefast.validation import check_choice, check_flag, check_number

__all__ = ["MomentOptions"]


@dataclass(frozen=True)
class MomentOptions:
    """What the methods of moments have to know besides the samples and the number of experts, checked when made.

    Parameters
    ----------
    link : Link
        g; :func:`moefast.links.get_link` makes one of a name or a function.
    sigma : float, optional
        The noise's standard deviation. Linear experts do not need it; for other links it is estimated when it is
        not given.
    strategy : {"auto", "one_pass", "two_pass"}
        How the tensor of the highest order is formed, see :mod:`moefast.moments.strategy`.
    transform : {"polynomial", "optimal"}
        The papers' transforms of the response, or those of least variance (:mod:`moefast.transforms.optimal`),
        which take a second pass. For linear experts they are the same.
    x_distribution : "gaussian", InputMixture or sklearn.mixture.GaussianMixture
        The law of x, whose score functions are used (:mod:`moefast.moments.input_mixture`). A mixture takes a
        second pass.
    fit_intercept : bool
        Linear experts have a common intercept, which the mean of y stands for.
    n_threads : int or None

    Raises
    ------
    ValueError, TypeError
        For settings out of range, and for "one_pass" where one pass will not do.

    Examples
    --------
    >>> from moefast.links import get_link
    >>> from moefast.moments import MomentOptions
    >>> MomentOptions(link=get_link("relu"), transform="optimal").needs_second_pass
    True
    """

    link: Link = LINKS["linear"]
    sigma: float | None = None
    strategy: str = "auto"
    transform: str = "polynomial"
    x_distribution: Any = "gaussian"
    fit_intercept: bool = True
    n_threads: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.link, Link):
            raise TypeError(f"link must be a Link, got {self.link!r}; moefast.links.get_link makes one")
        check_choice("strategy", self.strategy, ("auto", "one_pass", "two_pass"))
        check_choice("transform", self.transform, ("polynomial", "optimal"))
        if self.sigma is not None:
            check_number("sigma", self.sigma)
        check_flag("fit_intercept", self.fit_intercept)
        check_input_law(self.x_distribution)
        resolve_threads(self.n_threads)
        if self.strategy == "one_pass" and self.needs_second_pass:
            name = "an input mixture" if self.has_polynomials else 'transform="optimal"'
            raise ValueError(
                f'strategy="one_pass" has moments of powers of x and y alone, {name} is no polynomial of them: '
                'use strategy="two_pass" or "auto"'
            )

    @property
    def has_polynomials(self) -> bool:
        """Whether the transforms are polynomials of the response."""
        return self.transform == "polynomial" or self.link.is_linear

    @property
    def needs_second_pass(self) -> bool:
        """Whether moments of powers of x and y are not enough."""
        return not (self.has_polynomials and isinstance(self.x_distribution, str))

    @classmethod
    def given(cls, options: MomentOptions | None) -> MomentOptions:
        """Return `options`, the defaults for None; TypeError for anything else."""
        if options is not None and not isinstance(options, MomentOptions):
            raise TypeError(f"options must be a MomentOptions or None, got {options!r}")
        return cls() if options is None else options

    def in_units(self, units: Standardisation) -> MomentOptions:
        """Return the options for samples in other units; a GaussianMixture must be an InputMixture by now."""
        law, sigma = self.x_distribution, self.sigma
        if isinstance(law, InputMixture):
            law = law.transformed(np.diag(1.0 / units.x_scale), units.x_mean)
        return replace(self, x_distribution=law, sigma=None if sigma is None else sigma / units.y_scale)
