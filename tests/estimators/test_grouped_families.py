"""Groups of responses of every family: the likelihood by scipy's laws, row by row, and fits near the truth."""

import numpy as np
import pytest
from scipy import stats

from moefast import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from oracles import grouped

EXPERTS = np.array([[0.6, -0.5, 0.8], [-0.7, 0.4, 0.2]])
COLUMNS = {"expert_features": [0, 1], "gate_features": [2], "random_state": 0}


def draw(family, eta, rng, terms):
    """A response for each predictor."""
    n_trials = terms.get("n_trials")
    return {
        "poisson": lambda: rng.poisson(np.exp(eta)),
        "binomial": lambda: rng.binomial(1 if n_trials is None else n_trials.astype(int), 1 / (1 + np.exp(-eta))),
        "gamma": lambda: rng.gamma(4.0, np.exp(eta) / 4.0),
        "negative_binomial": lambda: rng.negative_binomial(5.0, 5.0 / (5.0 + np.exp(eta))),
        "student_t": lambda: eta + 0.4 * rng.standard_t(5, size=len(eta)),
    }[family]().astype(float)


def log_law(family, y, eta, sigma, shape, n_trials):
    """log f of one row for one expert."""
    mean = np.exp(eta)
    return {
        "poisson": lambda: stats.poisson.logpmf(y, mean),
        "binomial": lambda: stats.binom.logpmf(y, n_trials, 1 / (1 + np.exp(-eta))),
        "gamma": lambda: stats.gamma.logpdf(y, shape, scale=mean / shape),
        "negative_binomial": lambda: stats.nbinom.logpmf(y, shape, shape / (shape + mean)),
        "student_t": lambda: stats.t.logpdf(y, shape, eta, sigma),
    }[family]()


def log_likelihood(model, X, y, group, terms):
    """Of the groups, a row at a time."""
    total, n = 0.0, len(y)
    offset, n_trials = terms.get("offset", np.zeros(n)), terms.get("n_trials", np.ones(n))
    for g in np.unique(group):
        rows = np.flatnonzero(group == g)
        logits = model.gate_coef_ @ X[rows[0]] + model.gate_intercept_
        joint = logits - np.logaddexp.reduce(logits)
        for i in range(len(joint)):
            for r in rows:
                eta = model.coef_[i] @ X[r] + model.intercept_[i] + offset[r]
                law = model.family_.name, y[r], eta, model.sigma_[i], model.shape_[i], n_trials[r]
                joint[i] += log_law(*law)
        total += np.logaddexp.reduce(joint)
    return total


@pytest.mark.parametrize(
    ("family", "more"),
    [
        ("poisson", "offset"),
        ("poisson", ""),
        ("binomial", "n_trials"),
        ("binomial", ""),
        ("gamma", "offset"),
        ("negative_binomial", ""),
        ("student_t", ""),
    ],
)
def test_fits(family, more):
    X, _, group, expert = grouped.simulate(400, 0)
    rng = np.random.default_rng(1)
    terms = {}
    if more == "offset":
        terms = {"offset": rng.uniform(-0.5, 0.5, size=len(group))}
    if more == "n_trials":
        terms = {"n_trials": rng.integers(1, 12, size=len(group)).astype(float)}
    truth = EXPERTS[expert[group]]
    eta = (X[:, :2] * truth[:, :2]).sum(axis=1) + truth[:, 2] + terms.get("offset", 0.0)
    y = draw(family, eta, rng, terms)
    order = rng.permutation(len(y))
    X, y, group, terms = X[order], y[order], group[order], {name: term[order] for name, term in terms.items()}
    model = MixtureOfExpertsRegressor(2, family=family, **COLUMNS).fit(X, y, groups=group, **terms)
    assert model.converged_
    value = log_likelihood(model, X, y, group, terms)
    assert model.log_likelihood_ == pytest.approx(value, rel=1e-9)
    assert model.log_likelihood(X, y, groups=group, **terms) == pytest.approx(value, rel=1e-9)
    begun = MixtureOfExpertsRegressor(2, family=family, start=expert[group], **COLUMNS)
    begun.fit(X, y, groups=group, **terms)
    assert model.log_likelihood_ > begun.log_likelihood_ - 0.01
    found = np.column_stack([model.coef_[:, :2], model.intercept_])
    found = found[np.argsort(-found[:, 0])]
    assert np.abs(found - EXPERTS).max() < (0.45 if (family, more) == ("binomial", "") else 0.2)
    r = model.responsibilities(X, y, groups=group, **terms)
    assert all(np.ptp(r[group == g], axis=0).max() == 0 for g in range(400))
    assert model.membership_.prior == pytest.approx(
        [r[np.unique(group, return_index=True)[1]].mean(axis=0)[i] for i in range(2)], abs=1e-3
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes(n_classes):
    """The core's likelihood is that of the model's probabilities, a group at a time; labels are texts."""
    X, _, group, expert = grouped.simulate(300, 4)
    rng = np.random.default_rng(4)
    coef = 2.0 * np.array([[[1.0, -1.0], [0.5, 1.0], [0.0, 0.0]], [[-1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]])
    scores = np.einsum("nj,ncj->nc", X[:, :2], coef[expert[group], :n_classes])
    y = np.array(["a", "b", "c"])[(scores + rng.gumbel(size=scores.shape)).argmax(axis=1)]
    model = MixtureOfExpertsClassifier(2, **COLUMNS).fit(X, y, groups=group)
    assert model.n_groups_fit_ == 300
    assert model.log_likelihood(X, y, groups=group) == pytest.approx(model.log_likelihood_, rel=1e-10)
    r = model.responsibilities(X, y, groups=group)
    agree = (r.argmax(axis=1) == expert[group]).mean()
    assert max(agree, 1 - agree) > 0.7
    with pytest.raises(ValueError, match="varies within group"):
        MixtureOfExpertsClassifier(2).fit(X, y, groups=group)


def test_counts_are_weighted_by_group():
    X, _, group, expert = grouped.simulate(120, 2)
    truth = EXPERTS[expert[group]]
    rng = np.random.default_rng(2)
    y = rng.poisson(np.exp((X[:, :2] * truth[:, :2]).sum(axis=1) + truth[:, 2])).astype(float)
    times = rng.integers(0, 4, size=120)
    rows = np.concatenate([np.flatnonzero(group == g) for g in range(120) for _ in range(times[g])])
    copies = np.concatenate([np.full((group == g).sum(), 4 * g + c) for g in range(120) for c in range(times[g])])
    model = MixtureOfExpertsRegressor(2, family="poisson", **COLUMNS)
    weighted = model.fit(X, y, times[group], groups=group).coef_
    repeated = model.fit(X[rows], y[rows], groups=copies).coef_
    np.testing.assert_allclose(weighted, repeated, rtol=1e-3, atol=1e-4)
