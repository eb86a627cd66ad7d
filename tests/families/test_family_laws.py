"""What families say of a law, beside scipy.stats."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from moefast.families import (
    BERNOULLI,
    GAUSSIAN,
    Binomial,
    CustomFamily,
    Gamma,
    NegativeBinomial,
    Poisson,
    Predictors,
    StudentT,
    Tobit,
)

SHAPE = np.array([2.5, 7.0, 40.0])
SIGMA = np.array([0.2, 1.0, 30.0])
ETA = np.array([[-3.0, 0.0, 0.5], [1.0, 2.0, 4.0], [-0.1, 3.3, -6.0]])
TRIALS = np.array([[1.0], [7.0], [300.0]])
OF = Predictors(ETA, SIGMA, SHAPE, TRIALS)
LEVELS = [1e-6, 0.03, 0.5, 0.9, 1 - 1e-6]

LAWS = {
    "gaussian": (GAUSSIAN, stats.norm(ETA, SIGMA)),
    "student_t": (StudentT(), stats.t(SHAPE, ETA, SIGMA)),
    "student_t, df=3": (StudentT(df=3), stats.t(3.0, ETA, SIGMA)),
    "poisson": (Poisson(), stats.poisson(np.exp(ETA))),
    "negative_binomial": (NegativeBinomial(), stats.nbinom(SHAPE, SHAPE / (SHAPE + np.exp(ETA)))),
    "gamma": (Gamma(), stats.gamma(SHAPE, scale=np.exp(ETA) / SHAPE)),
    "binomial": (Binomial(), stats.binom(TRIALS, expit(ETA))),
    "bernoulli": (BERNOULLI, stats.bernoulli(expit(ETA))),
}
ONE_TRIAL = Predictors(ETA, SIGMA, SHAPE)


def at(name):
    return ONE_TRIAL if name == "bernoulli" else OF


def responses(name, law, rng):
    """Draws, from all over the law, and responses that it cannot have."""
    y = law.ppf(rng.uniform(size=(30, *ETA.shape)))
    odd = [-2.0, 0.0] if name not in ("gaussian", "student_t", "student_t, df=3") else [-50.0, 1e6]
    return np.concatenate([y, np.broadcast_to(np.reshape(odd, (-1, 1, 1)), (2, *ETA.shape))])


@pytest.mark.parametrize("name", LAWS)
def test_densities_and_distribution_functions(name):
    family, law = LAWS[name]
    density = law.logpmf if family.is_discrete else law.logpdf
    for y in responses(name, law, np.random.default_rng(0)):
        if name == "gamma":  # scipy's density at 0 is that of the limit
            y = np.where(y == 0, 1e-300, y)
        possible = y >= 0 if family.is_discrete else np.full(y.shape, True)
        found = family.log_density(at(name), np.where(possible, y, 0.0))
        np.testing.assert_allclose(found[possible], density(y)[possible], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(family.cdf(at(name), y), law.cdf(y), rtol=1e-8, atol=1e-13)


@pytest.mark.parametrize("name", LAWS)
def test_densities_are_zero_where_there_is_no_response(name):
    """No count is negative, a fraction, or above the number of trials."""
    family, law = LAWS[name]
    if family.is_discrete:
        assert (family.log_density(at(name), np.full(ETA.shape, -1.0)) == -np.inf).all()
        assert (family.log_density(at(name), np.full(ETA.shape, 0.5)) == -np.inf).all()
        np.testing.assert_allclose(family.cdf(at(name), np.full(ETA.shape, 1.5)), law.cdf(1))
    if "nom" in name and "neg" not in name:
        assert (family.log_density(at(name), TRIALS + np.ones(ETA.shape)) == -np.inf).all()
    if name == "gamma":
        assert (family.log_density(at(name), np.full(ETA.shape, -1.0)) == -np.inf).all()


@pytest.mark.parametrize("name", LAWS)
def test_quantiles(name):
    family, law = LAWS[name]
    for level in LEVELS:
        np.testing.assert_allclose(family.quantile(at(name), level), law.ppf(level), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", [*LAWS, "tobit"])
def test_laws_are_continuous_where_no_draw_has_a_probability_of_its_own(name):
    family = Tobit() if name == "tobit" else LAWS[name][0]
    rng, of = np.random.default_rng(0), ONE_TRIAL if name in ("bernoulli", "tobit") else OF
    jumps = []
    for _ in range(20):
        y = family.draw(of, rng)
        jumps.append(family.cdf(of, y) - family.cdf(of, np.nextafter(y, -np.inf)))
    assert family.is_continuous == (np.max(jumps) < 1e-9)


def test_whole_numbers_of_a_family_of_ones_own_are_not_continuous():
    functions = (lambda y, eta: y * eta,) * 3 + (np.log, np.exp)
    found = [CustomFamily("of my own", *functions, discrete=whole).is_continuous for whole in (False, True)]
    assert found == [True, False]


@pytest.mark.parametrize("name", LAWS)
def test_means_and_spreads(name):
    family, law = LAWS[name]
    np.testing.assert_allclose(family.mean(at(name)), law.mean(), rtol=1e-10)
    np.testing.assert_allclose(family.std(at(name)), law.std(), rtol=1e-10)


@pytest.mark.parametrize("name", [*LAWS, "tobit"])
def test_draws_follow_the_law(name):
    """Their distribution function, at which draws of a discrete law lie anywhere in the jump, is uniform."""
    family = Tobit(-0.2, 4.0) if name == "tobit" else LAWS[name][0]
    rng = np.random.default_rng(3)
    for i in range(3):
        of = Predictors(*(np.full((4000, 1), a[i]) for a in (ETA[1], SIGMA, SHAPE)), 5.0)
        of = Predictors(of.eta, SIGMA[i : i + 1], SHAPE[i : i + 1], 1.0 if name == "bernoulli" else 5.0)
        y = family.draw(of, rng)
        below = family.cdf(of, np.nextafter(y, -np.inf)) if not family.is_discrete else family.cdf(of, y - 1)
        place = below + rng.uniform(size=y.shape) * (family.cdf(of, y) - below)
        assert stats.kstest(place[:, 0], "uniform").pvalue > 1e-3


# ---- tobit, of which scipy has nothing -------------------------------------------------------------------

LIMITS = [(-0.2, 4.0), (0.0, np.inf), (-np.inf, 1.0), (-np.inf, np.inf)]


@pytest.mark.parametrize(("lower", "upper"), LIMITS)
def test_tobit_is_a_normal_law_with_what_is_beyond_the_limits_at_them(lower, upper):
    family, law = Tobit(lower, upper), stats.norm(ETA, SIGMA)
    for limit, wanted in ((lower, law.logcdf), (upper, law.logsf)):
        if np.isfinite(limit):
            found = family.log_density(OF, np.full(ETA.shape, limit))
            np.testing.assert_allclose(found, wanted(limit), rtol=1e-10)
            out = family.log_density(OF, np.full(ETA.shape, limit + (1 if limit == upper else -1)))
            assert (out == -np.inf).all()
    inside = np.full(ETA.shape, 0.5)
    np.testing.assert_allclose(family.log_density(OF, inside), law.logpdf(inside), rtol=1e-12)
    for y in (-1.0, -0.2, 0.0, 0.5, 4.0, 9.0):
        wanted = np.where(y < lower, 0.0, np.where(y >= upper, 1.0, law.cdf(y)))
        np.testing.assert_allclose(family.cdf(OF, np.full(ETA.shape, y)), wanted, rtol=1e-12)
    for level in LEVELS:
        np.testing.assert_allclose(family.quantile(OF, level), np.clip(law.ppf(level), lower, upper))


@pytest.mark.parametrize(("lower", "upper"), LIMITS)
def test_mean_and_spread_of_a_censored_response_by_quadrature(lower, upper):
    """Sums of clipped quantiles at the middles of many equal slices of probability, and of slices near 0 and 1."""
    edges = np.concatenate([10.0 ** np.arange(-14, -2, 0.002), np.linspace(0.01, 0.99, 20_001)])
    edges = np.unique(np.concatenate([[0.0], edges, 1 - edges[edges < 0.02], [1.0]]))
    middle, share = 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)
    y = np.clip(stats.norm.ppf(middle)[:, None, None] * SIGMA + ETA, lower, upper)
    mean = np.tensordot(share, y, 1)
    std = np.sqrt(np.tensordot(share, (y - mean) ** 2, 1))
    np.testing.assert_allclose(Tobit(lower, upper).mean(OF), mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(Tobit(lower, upper).std(OF), std, rtol=1e-4, atol=1e-4)


def test_spread_of_a_law_without_variance_is_infinite():
    of = Predictors(np.zeros((1, 2)), np.ones(2), np.array([1.5, 4.0]))
    np.testing.assert_allclose(StudentT().std(of), [[np.inf, np.sqrt(2)]])
    assert (StudentT(df=2).std(of) == np.inf).all()
