"""The settings of method 2 beside those of the moments, checked when made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from moefast._typing import Floats
from moefast.l4.loss import LARGEST_FACTOR
from moefast.validation import check_choice, check_flag, check_function, check_integer, check_number

__all__ = ["L4Options"]


# mu T4(u, u, u, u) / lam along the heaviest direction when mu is chosen: bounded from below by far, and the
# experts' own values still count.
_SHARE = 0.25


@dataclass(frozen=True)
class L4Options:
    """How the L4 loss is made and minimised, checked when made; :func:`moefast.l4.recover_experts` says more.

    Parameters
    ----------
    solver : {"tensor", "sgd"}
        Trust regions on the tensor T4, or stochastic gradients of mini-batches.
    whiten : bool
        Project and whiten by the k leading eigenvectors of T2 first.
    mu : float or "auto"
        How much the experts' own values count in the loss.
    lam : float
        The loss's penalty on lengths other than 1.
    n_starts : int
        Random candidates.
    max_iter : int
        Of "tensor", each start.
    n_epochs : int
        Of "sgd".
    batch_size : int or "auto"
        Of "sgd"; the default is a hundredth of the rows.
    learning_rate : float or "auto"
        Of "sgd": the first rate, see :func:`moefast.l4.solvers.learning_rates`.
    on_epoch : callable, optional
        Of "sgd". Called as ``on_epoch(epoch, coef)`` with the experts of all starts.

    Examples
    --------
    >>> from moefast.l4 import L4Options
    >>> L4Options(solver="sgd").rows_of_batch(20_000)
    200
    """

    solver: str = "tensor"
    whiten: bool = True
    mu: float | str = "auto"
    lam: float = 2.0
    n_starts: int = 10
    max_iter: int = 200
    n_epochs: int = 30
    batch_size: int | str = "auto"
    learning_rate: float | str = "auto"
    on_epoch: Callable[[int, Floats], None] | None = None

    def __post_init__(self) -> None:
        check_choice("solver", self.solver, ("tensor", "sgd"))
        for name in ("n_starts", "max_iter", "n_epochs"):
            check_integer(name, getattr(self, name))
        check_flag("whiten", self.whiten)
        check_function("on_epoch", self.on_epoch)
        if not _is_auto(self.mu):
            check_number("mu", self.mu, high=LARGEST_FACTOR)
        if not _is_auto(self.learning_rate):
            check_number("learning_rate", self.learning_rate, open_low=True, high=LARGEST_FACTOR)
        if not _is_auto(self.batch_size):
            check_integer("batch_size", self.batch_size)
        check_number("lam", self.lam, open_low=True, high=LARGEST_FACTOR)

    @classmethod
    def given(cls, options: L4Options | None) -> L4Options:
        """Return `options`, the defaults for None; TypeError for anything else."""
        if options is not None and not isinstance(options, L4Options):
            raise TypeError(f"options must be an L4Options or None, got {options!r}")
        return cls() if options is None else options

    def mu_for(self, largest_value: float) -> float:
        """Return mu for a loss whose tensor has this largest value T4(u, u, u, u)."""
        return _SHARE * self.lam / (largest_value or 1.0) if self.mu == "auto" else float(self.mu)

    def rows_of_batch(self, n_rows: int) -> int:
        """Return the size of a mini-batch of so many rows."""
        return max(1, n_rows // 100) if self.batch_size == "auto" else int(self.batch_size)

    @property
    def first_rate(self) -> float | None:
        """The first learning rate; None where it follows from the loss."""
        return None if self.learning_rate == "auto" else float(self.learning_rate)


def _is_auto(value: object) -> bool:
    return isinstance(value, str) and value == "auto"
