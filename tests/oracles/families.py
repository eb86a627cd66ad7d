"""Log-densities of the families as functions of complex numbers, from textbooks and scipy.special."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import erfc, gammaln, loggamma

LIMITS = (-0.8, 1.1)  # of the tobit


def _nothing(y, trials):
    return np.zeros(len(y))


@dataclass(frozen=True)
class Law:
    """log f(y | eta, sigma, shape), all broadcast; the row's trials are of the binomial only."""

    core: object  # as the core is told of it
    log_density: Callable
    draw: Callable  # rng, eta, trials -> y, with sigma 0.5 and shape 4
    has_scale: bool = False
    has_shape: bool = False
    row_term: Callable = _nothing
    n_predictors: int = 1  # eta is then of shape (n, k, n_predictors), and what `draw` is given (n,)


def _poisson(y, eta, sigma, shape, trials):
    return y * eta - np.exp(eta) - gammaln(y + 1)


def _binomial(y, eta, sigma, shape, trials):
    return y * eta - trials * np.log(1 + np.exp(eta)) + _log_choose(y, trials)


def _log_choose(y, trials):
    return gammaln(trials + 1) - gammaln(y + 1) - gammaln(trials - y + 1)


def _gamma(y, eta, sigma, shape, trials):
    return shape * (np.log(shape) - eta) - loggamma(shape) + (shape - 1) * np.log(y) - shape * y * np.exp(-eta)


def _negative_binomial(y, eta, sigma, shape, trials):
    mean = np.exp(eta)
    binomial = loggamma(y + shape) - loggamma(shape) - gammaln(y + 1)
    return binomial + shape * np.log(shape / (shape + mean)) + y * np.log(mean / (shape + mean))


def _student_t(y, eta, sigma, shape, trials):
    z = (y - eta) / sigma
    constant = loggamma((shape + 1) / 2) - loggamma(shape / 2) - 0.5 * np.log(shape * np.pi)
    return constant - np.log(sigma) - (shape + 1) / 2 * np.log(1 + z**2 / shape)


def _student_t_of_3(y, eta, sigma, shape, trials):
    return _student_t(y, eta, sigma, 3.0 + 0j, trials)


def _tobit(y, eta, sigma, shape, trials):
    lower, upper = LIMITS
    seen = -0.5 * ((y - eta) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    below, above = (_log_probability((lower - eta) / sigma), _log_probability((eta - upper) / sigma))
    return np.where(y <= lower, below, np.where(y >= upper, above, seen))


def _log_probability(z):
    return np.log(0.5 * erfc(-z / np.sqrt(2)))


def _multinomial(y, eta, sigma, shape, trials):
    """Four classes."""
    exponents = np.concatenate([np.zeros_like(eta[..., :1]), eta], axis=-1)
    return (exponents * (y[..., None] == np.arange(4))).sum(axis=-1) - np.log(np.exp(exponents).sum(axis=-1))


def _called(y, eta):
    """A law of one's own: Poisson with weights that are not its second derivative."""
    return y * eta - np.exp(eta) - gammaln(y + 1), y - np.exp(eta), 1.0 + np.exp(eta)


LAWS = {
    "poisson": Law(
        ("poisson",),
        _poisson,
        lambda rng, eta, m: rng.poisson(np.exp(eta)),
        False,
        False,
        lambda y, m: -gammaln(y + 1),
    ),
    "binomial": Law(
        ("binomial",),
        _binomial,
        lambda rng, eta, m: rng.binomial(m.astype(int), 1 / (1 + np.exp(-eta))),
        False,
        False,
        _log_choose,
    ),
    "gamma": Law(
        ("gamma",),
        _gamma,
        lambda rng, eta, m: rng.gamma(4.0, np.exp(eta) / 4),
        False,
        True,
        lambda y, m: np.log(y),
    ),
    "negative_binomial": Law(
        ("negative_binomial",),
        _negative_binomial,
        lambda rng, eta, m: rng.negative_binomial(4, 4 / (4 + np.exp(eta))),
        False,
        True,
        lambda y, m: -gammaln(y + 1),
    ),
    "student_t": Law(
        ("student_t", None), _student_t, lambda rng, eta, m: eta + 0.5 * rng.standard_t(4, len(eta)), True, True
    ),
    "student_t of 3": Law(
        ("student_t", 3.0),
        _student_t_of_3,
        lambda rng, eta, m: eta + 0.5 * rng.standard_t(3, len(eta)),
        True,
        False,
    ),
    "tobit": Law(
        ("tobit", *LIMITS),
        _tobit,
        lambda rng, eta, m: np.clip(eta + 0.5 * rng.normal(size=len(eta)), *LIMITS),
        True,
        False,
    ),
    "multinomial": Law(
        ("multinomial", 4), _multinomial, lambda rng, eta, m: rng.integers(4, size=len(eta)), n_predictors=3
    ),
    "called": Law(_called, _poisson, lambda rng, eta, m: rng.poisson(np.exp(eta))),
}


def _normal(y, eta, sigma, shape, trials):
    return -0.5 * ((y - eta) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)


NORMAL = Law(None, _normal, lambda rng, eta, m: eta + 0.5 * rng.normal(size=len(eta)), True)
