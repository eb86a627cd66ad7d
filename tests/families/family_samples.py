"""Mixtures of every family, and data drawn from them."""

from dataclasses import dataclass, replace

import numpy as np

from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.families import (
    BERNOULLI,
    GAUSSIAN,
    Binomial,
    Gamma,
    NegativeBinomial,
    Poisson,
    StudentT,
    Tobit,
)
from moefast.mixture import Mixture
from moefast.samples import NO_TERMS, RowTerms, Samples


@dataclass(frozen=True)
class Case:
    """A family and what data of it look like.

    Attributes
    ----------
    norm, level : float
        Of the experts' coefficients, and what is added to their intercepts, which have standard deviation 1/2.
    shape, trials : float
    """

    family: object
    norm: float = 1.0
    level: float = 0.0
    shape: float = 1.0
    trials: int | None = None

    def truth(self, k, d, rng):
        """Experts of one norm in random directions behind gates of norm 2."""
        coef, gates = rng.normal(size=(k, d)), rng.normal(size=(k, d))
        coef *= self.norm / np.linalg.norm(coef, axis=1)[:, None]
        gates *= 2 / np.linalg.norm(gates, axis=1)[:, None]
        intercept = self.level + 0.5 * rng.normal(size=k)
        sigma = np.full(k, 0.3 if self.family.has_scale else 1.0)
        return Mixture(
            coef,
            intercept,
            gates - gates[-1],
            np.zeros(k),
            sigma,
            family=self.family,
            shape=np.full(k, self.shape),
        )

    def draw(self, k, n, d, seed):
        """Return X, y, the truth and the terms of the rows."""
        rng = np.random.default_rng(seed)
        truth = self.truth(k, d, rng)
        X = rng.normal(size=(n, d))
        terms = NO_TERMS if self.trials is None else RowTerms(None, np.full(n, float(self.trials)))
        return X, truth.draw(X, rng, terms), truth, terms


CASES = {
    "gaussian": Case(GAUSSIAN),
    "student_t": Case(StudentT(), shape=3.0),
    "poisson": Case(Poisson(), norm=0.6, level=1.0),
    "negative_binomial": Case(NegativeBinomial(), norm=0.6, level=1.0, shape=4.0),
    "gamma": Case(Gamma(), norm=0.8, shape=5.0),
    "binomial": Case(Binomial(), trials=10),
    "bernoulli": Case(BERNOULLI, norm=2.0),
    "tobit": Case(Tobit(-0.5)),
}


def problem_of(X, y, terms, family, sample_weight=None, **options):
    """Return an EM problem on one thread."""
    weight = np.ones(len(y)) if sample_weight is None else sample_weight
    samples = Samples(X, np.asarray(y, dtype=float), weight, None, terms)
    return EmProblem(samples, EmOptions(n_threads=1, **options), family=family)


def oracle_log_likelihood(X, y, truth, terms):
    """Where EM leads to from the truth, run until nothing is left to gain."""
    problem = problem_of(X, y, terms, truth.family, max_iter=20_000, tol=1e-13)
    fit = problem.run(truth.to_standard(problem.standardisation))
    return problem.to_units(fit).log_likelihood


def moved(mixture, rng, size=0.3):
    """Return a mixture some way from another."""
    return replace(
        mixture,
        coef=mixture.coef + size * rng.normal(size=mixture.coef.shape),
        intercept=mixture.intercept + size * rng.normal(size=mixture.intercept.shape),
        gate_coef=mixture.gate_coef
        + np.append(size * rng.normal(size=mixture.gate_coef[1:].shape), 0 * mixture.gate_coef[:1], axis=0),
    )
