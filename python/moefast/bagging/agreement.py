"""On what replicates agree: which rows they give to one expert, and what they say of its law."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from moefast._typing import Floats
from moefast.inference.bootstrap import matching
from moefast.inference.bootstrap_result import robust_spread
from moefast.samples import Samples

__all__ = ["Agreement"]

# Rows by which the replicate in the middle of all is looked for, at most.
_ROWS = 1000

Labels = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False, repr=False)
class Agreement:
    """Replicates beside the one that most resembles all others, each expert paired with the one that has its rows.

    Attributes
    ----------
    reference : int
        The replicate in the middle: the one whose assignment of the rows the others share most.
    experts : ndarray of shape (B, k)
        Of each replicate, the experts paired with those of the reference.
    rows : ndarray of shape (n,)
        For each row the share of the replicates that give it to the expert to which the reference gives it, after
        y is seen.
    weights : ndarray of shape (n,)
        Of the rows.
    shares : ndarray of shape (k,)
        Share of the weight of each expert, on average.
    overlap : ndarray of shape (k,)
        Rows that an expert has both in the reference and in another replicate, divided by those it has in one of
        them, on average: 1 for an expert that all find, near 0 for one that comes and goes.
    coef, coef_spread : ndarray of shape (k, d)
        Medians over the replicates, in the units of the data, and spreads: interquartile ranges over that of a
        standard normal variable, as the standard errors of the bootstrap.
    sigma, sigma_spread : ndarray of shape (k,)
        Likewise.
    names : tuple of str
        Of the columns.
    """

    reference: int
    experts: Labels
    rows: Floats
    weights: Floats
    shares: Floats
    overlap: Floats
    coef: Floats
    coef_spread: Floats
    sigma: Floats
    sigma_spread: Floats
    names: tuple[str, ...]

    @classmethod
    def of(cls, parts: Sequence[Any], samples: Samples) -> Agreement:
        """Compare mixtures of as many experts each on some rows."""
        given = (samples.X, samples.y, samples.terms)
        weights, k = samples.sample_weight, parts[0].n_experts
        likely = [part.responsibilities(*given) for part in parts]
        labels = np.array([r.argmax(axis=1) for r in likely])
        reference = _middle(labels, k)
        posterior = likely[reference] * weights[:, None]
        experts = np.array([matching(posterior, r) for r in likely])
        numbers = np.array([np.argsort(order)[found] for order, found in zip(experts, labels, strict=True)])
        same = numbers == numbers[reference]
        others = np.arange(len(parts)) != reference
        both = np.array([[weights @ (same[b] & (numbers[b] == i)) for i in range(k)] for b in range(len(parts))])
        sizes = np.array([np.bincount(found, weights, minlength=k) for found in numbers])
        either = np.maximum(sizes + sizes[reference] - both, np.finfo(float).tiny)
        ordered = [part.ordered(order) for part, order in zip(parts, experts, strict=True)]
        coef, sigma = (np.array([getattr(one, name) for one in ordered]) for name in ("coef", "sigma"))
        names = samples.names or tuple(f"x{j}" for j in range(samples.n_features))
        return cls(
            reference=reference,
            experts=experts,
            rows=same[others].mean(axis=0),
            weights=weights,
            shares=(sizes / weights.sum()).mean(axis=0),
            overlap=(both / either)[others].mean(axis=0),
            coef=np.median(coef, axis=0),
            coef_spread=robust_spread(coef),
            sigma=np.median(sigma, axis=0),
            sigma_spread=robust_spread(sigma),
            names=tuple(map(str, names)),
        )

    @property
    def share_of_rows(self) -> float:
        """The mean of `rows` with their weights: 1 where all replicates assign all rows alike."""
        return float(self.rows @ self.weights / self.weights.sum())

    def to_frame(self) -> Any:
        """Return a pandas DataFrame: a row for each coefficient, with median, spread and the expert's overlap."""
        import pandas as pd

        k, d = self.coef.shape
        index = pd.MultiIndex.from_product([[f"expert {i}" for i in range(k)], self.names], names=["", "column"])
        columns = {
            "median": self.coef.ravel(),
            "spread": self.coef_spread.ravel(),
            "share": np.repeat(self.shares, d),
            "overlap": np.repeat(self.overlap, d),
        }
        return pd.DataFrame(columns, index=index)

    def __repr__(self) -> str:
        return f"<Agreement of {len(self.experts)} replicates: {self.share_of_rows:.0%} of the rows>"

    def __str__(self) -> str:
        from tabulate import tabulate  # fitting can do without

        header = ["", "share", "overlap", "sigma", *self.names]
        lines = []
        for i, _ in enumerate(self.shares):
            of_columns = [f"{a:.3g} ({s:.2g})" for a, s in zip(self.coef[i], self.coef_spread[i], strict=True)]
            noise = f"{self.sigma[i]:.3g} ({self.sigma_spread[i]:.2g})"
            lines.append([f"expert {i}", f"{self.shares[i]:.0%}", f"{self.overlap[i]:.2f}", noise, *of_columns])
        title = (
            f"{len(self.experts)} replicates give {self.share_of_rows:.0%} of the rows to the same expert as the "
            f"one in the middle (number {self.reference}).\nMedians over the replicates, spreads in brackets:"
        )
        return f"{title}\n\n{tabulate(lines, header, tablefmt='simple', disable_numparse=True)}"


def _middle(labels: Labels, k: int) -> int:
    """Return which of some assignments, of shape (B, n), the others share most when experts are paired by rows."""
    some = labels[:, np.linspace(0, labels.shape[1] - 1, min(labels.shape[1], _ROWS)).astype(np.intp)]
    shared = np.zeros(len(some))
    for b, one in enumerate(some):
        for c in range(b):
            counts = np.bincount(k * one + some[c], minlength=k * k).reshape(k, k)
            common = counts[linear_sum_assignment(-counts)].sum()
            shared[[b, c]] += common
    return int(shared.argmax())
