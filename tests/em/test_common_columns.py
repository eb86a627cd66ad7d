"""Coefficients that all experts have in common, against least squares on a design written out."""

import numpy as np
import pytest

import moefast._core as _core
from moefast import MixtureOfExpertsRegressor
from moefast.em.newton import takes_newton
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.samples import Samples
from oracles.em import numerical_gradient

N, D, K = 800, 4, 3
rng = np.random.default_rng(3)
X = rng.normal(size=(N, D))
UPPER = rng.uniform(size=N) < 1.0 / (1.0 + np.exp(-X[:, 0]))
Y = np.where(UPPER, 1.0 + X[:, 1], -X[:, 1]) + 0.5 * X[:, 2] + 0.3 * rng.normal(size=N)
W = rng.uniform(0.5, 2.0, size=N)
COMMON = [2, 3]


def settings(**given):
    given = {"variance_floor": 1e-6, "max_iter": 1, "accelerate": False, "common_columns": COMMON} | given
    return _core.EmSettings(**given)


def written_out(r, variance, common):
    """Experts by one regression: a block of own columns an expert, the common columns once."""
    U = np.column_stack([X, np.ones(N)])
    own = [j for j in range(D + 1) if j not in common]
    rows, response, weights = [], [], []
    for i in range(K):
        block = np.zeros((N, K * len(own) + len(common)))
        block[:, i * len(own) : (i + 1) * len(own)] = U[:, own]
        block[:, K * len(own) :] = U[:, common]
        rows.append(block), response.append(Y), weights.append(W * r[:, i] / variance[i])
    design, root = np.concatenate(rows), np.sqrt(np.concatenate(weights))
    theta = np.linalg.lstsq(design * root[:, None], np.concatenate(response) * root, rcond=None)[0]
    experts = np.zeros((K, D + 1))
    experts[:, own] = theta[: K * len(own)].reshape(K, -1)
    experts[:, common] = theta[K * len(own) :]
    return experts


@pytest.mark.parametrize("common", [[2], [0, 3], [1, 2, 3], [0, 1, 2, 3, 4]])
def test_a_step_is_the_regression_on_the_design_written_out(common):
    r = np.random.default_rng(0).dirichlet(np.ones(K), size=N)
    variance = np.array([0.2, 1.0, 3.0])
    data = _core.EmData(X, Y, W)
    zero = np.zeros((K, D + 1))
    (found,) = _core.em_run(data, [(zero, zero, variance, r, None)], settings(max_iter=0, common_columns=common))
    expected = written_out(r, variance, common)
    np.testing.assert_allclose(found["experts"], expected, rtol=1e-9, atol=1e-9)
    assert (found["experts"][:, common] == found["experts"][0, common]).all()
    residuals = Y[:, None] - np.column_stack([X, np.ones(N)]) @ expected.T
    wanted = (W[:, None] * r * residuals**2).sum(axis=0) / (W[:, None] * r).sum(axis=0)
    np.testing.assert_allclose(found["variance"], wanted, rtol=1e-9)


@pytest.mark.parametrize("family", ["gaussian", "student_t", "poisson", "gamma"])
@pytest.mark.parametrize("noise", ["per_expert", "shared"])
def test_a_fit_ends_where_the_likelihood_is_flat(family, noise):
    """By the common coefficient, moved in all experts together, and by each own one."""
    y = {"gamma": np.exp(Y), "poisson": np.floor(np.exp(Y))}.get(family, Y)
    model = MixtureOfExpertsRegressor(
        2, family=family, noise=noise, common_features=COMMON, n_init=2, start="random", tol=1e-12, random_state=0
    )
    model.fit(X, y, W)
    coef = model.coef_
    assert (coef[:, COMMON] == coef[0, COMMON]).all()
    assert not (coef[1, :2] == coef[0, :2]).any()

    def at(values):
        moved = coef.copy()
        moved[:, COMMON], moved[0, :2] = values[:2], values[2:]
        object.__setattr__(model.mixture_, "coef", moved)
        return W @ model.mixture_.log_density(X, y)

    slopes = numerical_gradient(at, np.concatenate([coef[0, COMMON], coef[0, :2]]))
    np.testing.assert_allclose(slopes, 0.0, atol=0.02)


def test_what_is_common_counts_once():
    def count(**options):
        return EmProblem(Samples(X, Y, W), EmOptions(**options)).n_parameters(3)

    assert count(common_columns=COMMON) == count() - 2 * len(COMMON)
    twice = Samples(np.column_stack([X, X[:, 2]]), Y, W)
    alone = EmProblem(twice, EmOptions()).n_parameters(3)
    assert EmProblem(twice, EmOptions(common_columns=(2, 4))).n_parameters(3) == alone - 2


def test_nothing_in_common_and_one_expert_change_nothing():
    plain = MixtureOfExpertsRegressor(2, start="random", n_init=2, random_state=0).fit(X, Y)
    none = MixtureOfExpertsRegressor(2, common_features=[], start="random", n_init=2, random_state=0).fit(X, Y)
    assert (plain.coef_ == none.coef_).all()
    one = MixtureOfExpertsRegressor(1, common_features=[0, 2]).fit(X, Y)
    np.testing.assert_allclose(one.coef_, MixtureOfExpertsRegressor(1).fit(X, Y).coef_, rtol=1e-9)
    assert one.n_parameters_ == MixtureOfExpertsRegressor(1).fit(X, Y).n_parameters_


def test_names_of_common_columns_and_their_errors():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=list("abcd"))
    by_name = MixtureOfExpertsRegressor(2, common_features=["c"], random_state=0).fit(table, Y)
    by_position = MixtureOfExpertsRegressor(2, common_features=[2], random_state=0).fit(X, Y)
    assert (by_name.coef_ == by_position.coef_).all()
    with pytest.raises(ValueError, match="common_features must be of the columns that experts see, got 'c'"):
        MixtureOfExpertsRegressor(2, common_features=["c"], expert_features=["a"]).fit(table, Y)
    with pytest.raises(ValueError, match="common_features must be columns of X"):
        MixtureOfExpertsRegressor(2, common_features=[7]).fit(X, Y)
    with pytest.raises(ValueError, match="common_features need link='linear'"):
        MixtureOfExpertsRegressor(2, link="tanh", common_features=[1]).fit(X, Y)
    with pytest.raises(ValueError, match="common_columns must be increasing columns of the experts"):
        _core.em_run(_core.EmData(X, Y, W), [], settings(common_columns=[3, 2]))
    with pytest.raises(ValueError, match="common_columns need linear experts"):
        settings(link="tanh")


def test_newton_is_for_them():
    assert takes_newton(EmProblem(Samples(X, Y, W), EmOptions(common_columns=(1,))), 2)
    model = MixtureOfExpertsRegressor(2, family="student_t", common_features=COMMON, random_state=0).fit(X, Y, W)
    assert model.converged_
    assert model.fit_report_.gradient <= 1e-6
    assert (model.coef_[:, COMMON] == model.coef_[0, COMMON]).all()
