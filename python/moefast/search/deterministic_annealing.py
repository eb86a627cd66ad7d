"""Deterministic annealing EM: the objective is smooth at first and becomes the likelihood step by step.

Ueda and Nakano, Neural Networks 1998. The responsibilities are in proportion to ``(p_i N_i)**beta``, see
:class:`moefast.em.fit.Stage`; the inverse temperature beta rises to 1. It finds on some data what hardly
anything else does (concrete with shared noise: more than half of all starts reach one good optimum), on others
(airfoil) it ends where all experts are the same.
"""

from __future__ import annotations

from typing import Literal

from moefast.em.fit import Stage

__all__ = ["annealing"]


def annealing(
    lowest: float, n_steps: int, n_iter: int, noise: Literal["per_expert", "shared"]
) -> tuple[Stage, ...]:
    """Return the stages of a run at inverse temperatures that rise by one factor from `lowest` to below 1.

    Parameters
    ----------
    lowest : float
        The first inverse temperature, at most 1.
    n_steps : int
        How many there are.
    n_iter : int
        EM iterations at each.
    noise : {"per_expert", "shared"}
    """
    return tuple(Stage(n_iter, noise, lowest ** (1 - step / n_steps)) for step in range(n_steps))
