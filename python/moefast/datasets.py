"""Simulated mixtures of experts with known truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.links import Link, get_link
from moefast.mixture import Mixture
from moefast.randomness import RandomState, get_generator
from moefast.validation import check_choice

__all__ = ["make_moe", "random_mixture"]


def make_moe(
    n_samples: int = 1000,
    n_features: int = 5,
    n_experts: int = 2,
    *,
    link: str | Link | Callable[[Any], Any] = "linear",
    noise: float | npt.ArrayLike = 0.1,
    gate_scale: float = 2.0,
    gate_intercept: float = 0.0,
    expert_intercept: float = 0.0,
    orthogonal_gate: bool = False,
    x: str = "gaussian",
    x_mean: float | npt.ArrayLike = 0.0,
    random_state: RandomState = None,
) -> tuple[Floats, Floats, Mixture]:
    """Draw samples of a random mixture of experts.

    Experts are uniform on the unit sphere; gate rows have norm `gate_scale`, the last one is 0.

    Parameters
    ----------
    n_samples, n_features, n_experts : int
    link : str, Link or callable
        g.
    noise : float or array-like of shape (n_experts,)
        Standard deviations s_i.
    gate_scale : float
        Norm of the gate rows.
    gate_intercept : float
        Standard deviation of the gate intercepts.
    expert_intercept : float
        Standard deviation of the expert intercepts.
    orthogonal_gate : bool
        Draw the gate rows in the orthogonal complement of the experts' span; needs
        n_features > n_experts.
    x : {"gaussian", "uniform"}
        The law of the features, of variance 1.
    x_mean : float or array-like of shape (n_features,)
        Added to the features after drawing.
    random_state : int, Generator, RandomState or None

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    truth : Mixture

    Raises
    ------
    ValueError
        For sizes below 1, or orthogonal gates without room for them.

    Examples
    --------
    >>> from moefast.datasets import make_moe
    >>> X, y, truth = make_moe(100, 4, 3, random_state=0)
    >>> X.shape, y.shape, truth.coef.shape
    ((100, 4), (100,), (3, 4))
    """
    check_choice("x", x, ("gaussian", "uniform"))
    if n_samples < 1:
        raise ValueError(f"n_samples must be at least 1, got {n_samples}")
    rng = get_generator(random_state)
    truth = random_mixture(
        n_features,
        n_experts,
        link=link,
        noise=noise,
        gate_scale=gate_scale,
        gate_intercept=gate_intercept,
        expert_intercept=expert_intercept,
        orthogonal_gate=orthogonal_gate,
        random_state=rng,
    )
    shape = (n_samples, n_features)
    X = rng.normal(size=shape) if x == "gaussian" else rng.uniform(-np.sqrt(3), np.sqrt(3), size=shape)
    X = X + np.asarray(x_mean, dtype=np.float64)
    return X, truth.draw(X, rng), truth


def random_mixture(
    n_features: int = 5,
    n_experts: int = 2,
    *,
    link: str | Link | Callable[[Any], Any] = "linear",
    noise: float | npt.ArrayLike = 0.1,
    gate_scale: float = 2.0,
    gate_intercept: float = 0.0,
    expert_intercept: float = 0.0,
    orthogonal_gate: bool = False,
    random_state: RandomState = None,
) -> Mixture:
    """Draw the parameters of a mixture; ``mixture.draw(X, rng)`` then draws responses for features of any law.

    Parameters and errors as for :func:`make_moe`.

    Returns
    -------
    Mixture

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.datasets import random_mixture
    >>> rng = np.random.default_rng(0)
    >>> truth = random_mixture(4, 3, link="tanh", random_state=rng)
    >>> truth.draw(rng.standard_t(5, size=(100, 4)), rng).shape
    (100,)
    """
    for name, value in (("n_features", n_features), ("n_experts", n_experts)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if orthogonal_gate and n_experts > 1 and n_features <= n_experts:
        raise ValueError(
            f"orthogonal_gate needs n_features > n_experts, got n_features={n_features}, n_experts={n_experts}"
        )
    rng = get_generator(random_state)
    coef = _unit_rows(rng.normal(size=(n_experts, n_features)))
    gates = rng.normal(size=(n_experts, n_features))
    if orthogonal_gate:
        basis = np.linalg.qr(coef.T)[0]
        gates = gates - gates @ basis @ basis.T
    gates = gate_scale * _unit_rows(gates)
    gates[-1] = 0.0
    offsets = gate_intercept * rng.normal(size=n_experts)
    return Mixture(
        coef=coef,
        intercept=expert_intercept * rng.normal(size=n_experts),
        gate_coef=gates,
        gate_intercept=offsets - offsets[-1],
        sigma=np.broadcast_to(np.asarray(noise, dtype=np.float64), (n_experts,)).copy(),
        link=get_link(link),
    )


def _unit_rows(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
