"""What the L4 loss finds, from every start and from the best one."""

from __future__ import annotations

from dataclasses import dataclass

from moefast._typing import Floats
from moefast.links import Link

__all__ = ["L4Experts", "L4Run"]


@dataclass(frozen=True)
class L4Run:
    """What one random start came to, in the units of the data.

    Attributes
    ----------
    coef : ndarray of shape (k, d)
    intercept, proportions : ndarray of shape (k,)
    sigma : float
    directions : ndarray of shape (k, rank)
        Unit vectors, signs set, in whitened coordinates of x.
    losses : ndarray
        The learning curve: the loss over all samples at the start and after every iteration ("tensor") or epoch
        ("sgd").
    status : str
        "converged", "iteration_limit" or "diverged".
    n_iter : int
        Iterations or epochs.
    """

    coef: Floats
    intercept: Floats
    proportions: Floats
    sigma: float
    directions: Floats
    losses: Floats
    status: str
    n_iter: int


@dataclass(frozen=True)
class L4Experts:
    """What the L4 loss finds, in the units of the data.

    The experts are those of the run with the lowest loss; :attr:`runs` has the others.

    Attributes
    ----------
    runs : tuple of L4Run
        One a start, in the order they were drawn.
    best : int
        The run with the lowest loss.
    spectrum : ndarray of shape (rank,)
        Eigenvalues of T2 over c_2, as in :class:`moefast.spectral.SpectralExperts`.
    mu, lam : float
        Of the loss.
    largest_value : float
        Of T4(u, u, u, u), in the scale of the loss; it is bounded below when lam exceeds mu times this.
    link : Link
    """

    runs: tuple[L4Run, ...]
    best: int
    spectrum: Floats
    mu: float
    lam: float
    largest_value: float
    link: Link

    @property
    def coef(self) -> Floats:
        """a_i, shape (k, d). For a link other than linear the norm is 1 in whitened coordinates."""
        return self.runs[self.best].coef

    @property
    def intercept(self) -> Floats:
        """b_i, shape (k,): the common one; the moments do not show differences."""
        return self.runs[self.best].intercept

    @property
    def proportions(self) -> Floats:
        """p_i = E[p_i(x)], estimated, shape (k,)."""
        return self.runs[self.best].proportions

    @property
    def sigma(self) -> float:
        """The common noise, given or estimated."""
        return self.runs[self.best].sigma

    @property
    def directions(self) -> Floats:
        """Unit vectors in whitened coordinates, shape (k, rank)."""
        return self.runs[self.best].directions

    @property
    def losses(self) -> Floats:
        """The learning curve of the best run."""
        return self.runs[self.best].losses

    @property
    def n_iter(self) -> int:
        """Iterations or epochs of the best run."""
        return self.runs[self.best].n_iter

    @property
    def converged(self) -> bool:
        """Whether the best run settled."""
        return self.runs[self.best].status == "converged"
