"""The scores against integrals and scipy, and the command on little data."""

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import softmax
from scipy.stats import norm

import density_methods
import held_out_density
from density_tables import from_file
from moefast import MixtureOfExpertsRegressor
from normal_mixtures import NormalMixtures, scores


@pytest.fixture
def laws():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), size=5)
    return NormalMixtures(p, rng.normal(size=(5, 3)), rng.uniform(0.2, 2.0, size=(5, 3)))


Y = np.array([-2.0, 0.3, 0.0, 1.7, 6.0])


def of_row(laws, n):
    def density(y):
        return laws.proportions[n] @ norm.pdf(y, laws.means[n], laws.sigma[n])

    def below(y):
        return laws.proportions[n] @ norm.cdf(y, laws.means[n], laws.sigma[n])

    return density, below


def test_scores_are_those_of_their_definitions(laws):
    for n, y in enumerate(Y):
        density, below = of_row(laws, n)
        assert laws.log_density(Y)[n] == pytest.approx(np.log(density(y)), rel=1e-12)
        assert laws.cdf(Y)[n] == pytest.approx(below(y), rel=1e-12)
        assert laws.mean[n] == pytest.approx(quad(lambda t, f=density: t * f(t), -15, 15, limit=200)[0], rel=1e-8)
        left = quad(lambda t, f=below: f(t) ** 2, -15, y, limit=200)[0]
        right = quad(lambda t, f=below: (1 - f(t)) ** 2, y, 15, limit=200)[0]
        assert laws.crps(Y)[n] == pytest.approx(left + right, rel=1e-7)


def test_crps_of_many_normals_is_that_of_all_pairs(monkeypatch):
    """Most of which hardly occur in a row."""
    rng = np.random.default_rng(0)
    p = softmax(20 * rng.normal(size=(5, 60)), axis=1)
    laws = NormalMixtures(p, rng.normal(size=(5, 60)), rng.uniform(0.2, 2.0, size=(5, 60)))
    assert (p < 1e-8).sum() > 100
    found = laws.crps(Y)
    monkeypatch.setattr("normal_mixtures._LEFT_OUT", 0.0)
    np.testing.assert_allclose(found, laws.crps(Y), atol=1e-5)


def test_one_normal_a_row_and_the_scores_of_a_split():
    one = NormalMixtures.of_one([0.0, 1.0], 2.0)
    y = np.array([1.0, 5.0])
    found = scores(one, y)
    assert found["nll"] == pytest.approx(-norm.logpdf(y, [0, 1], 2).mean())
    assert found["rmse"] == pytest.approx(np.sqrt((1 + 16) / 2))
    assert found["coverage"] == 0.5  # 4 is beyond 1.645 * 2
    wide = NormalMixtures(one.proportions, one.means, one.sigma, np.array([[-5.0, 5.0], [-4.0, 6.0]]))
    assert scores(wide, y) == {**found, "coverage": 1.0}


def data(n=150):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, 2))
    right = X[:, 0] + 0.3 * rng.logistic(size=n) > 0
    return X, np.where(right, 2 + X[:, 1], -1.0) + 0.2 * rng.normal(size=n)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of linear-tree
@pytest.mark.parametrize("name", [*density_methods.PEERS, *density_methods.OURS])
def test_every_method_learns(name, monkeypatch):
    monkeypatch.setattr(density_methods, "MOST_ITERATIONS", 60)
    X, y = data()
    try:
        laws = {**density_methods.PEERS, **density_methods.OURS}[name](X[:100], y[:100], 0)(X[100:])
    except ImportError as missing:
        pytest.skip(f"not installed: {missing}")
    assert laws.mean.shape == (50,)
    alone = NormalMixtures.of_one(np.full(50, y.mean()), y.std())
    assert scores(laws, y[100:])["nll"] < scores(alone, y[100:])["nll"]


def test_flexmix_is_beside_our_fit(monkeypatch):
    monkeypatch.setattr(density_methods, "STARTS", 2)
    X, y = data()
    try:
        theirs = density_methods.flexmix(2, X, y, 0)(X)
    except ImportError as missing:
        pytest.skip(f"not installed: {missing}")
    model = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    assert theirs.log_density(y).sum() == pytest.approx(model.log_likelihood_, abs=0.5)


def test_a_model_that_says_something_else_than_its_parameters_is_told(monkeypatch):
    X, y = data()
    laws = density_methods.ours(MixtureOfExpertsRegressor(2), X, y, 0)
    monkeypatch.setattr(MixtureOfExpertsRegressor, "score_samples", lambda self, X, y: np.zeros(len(X)))
    with pytest.raises(AssertionError, match="densities"):
        laws(X)
    monkeypatch.undo()
    monkeypatch.setattr(MixtureOfExpertsRegressor, "predict_interval", lambda self, X: np.zeros((len(X), 2)))
    with pytest.raises(AssertionError, match="intervals"):
        laws(X)


def test_command(tmp_path, capsys, monkeypatch):
    X, y = data()
    colour = np.where(np.arange(150) % 3 == 0, "red", "blue")
    table = pd.DataFrame(X, columns=["a", "b"]).assign(colour=colour, always=1.0, y=y)
    table.loc[3, "a"] = np.nan
    table.to_csv(tmp_path / "small.csv", index=False)
    X, y = from_file(tmp_path / "small.csv")
    assert X.shape == (149, 3)
    assert set(X[:, 2]) == {0.0, 1.0}
    keep = tmp_path / "found.jsonl"
    command = ["--data", str(tmp_path / "small.csv"), "--splits", "2", "--methods", "least squares"]
    command += ["--also", "two=MixtureOfExpertsRegressor(2)", "--against", "least squares", "--keep", str(keep)]
    held_out_density.main(command)
    shown = capsys.readouterr().out
    assert len(keep.read_text().splitlines()) == 4
    line = next(line for line in shown.splitlines() if "| two" in line)
    values = [part.strip() for part in line.strip("|").split("|")]
    assert values[:3] == ["small", "two", "2"]
    assert float(values[3].split()[0]) < 1
    assert float(values[-1].split()[0]) < -0.5
    # What is known is not computed again, and what is shown is the same.
    monkeypatch.setattr(held_out_density, "run", None)
    held_out_density.main(command)
    assert capsys.readouterr().out == shown


def test_splits_are_those_of_every_method_and_what_is_missing_is_left_out():
    X, y = data()
    seen = {"first": [], "second": []}

    def method(X, y, seed, name):
        seen[name].append(X)
        return lambda rows: NormalMixtures.of_one(np.zeros(len(rows)), 1.0)

    def missing(X, y, seed):
        raise ImportError

    methods = {name: lambda X, y, seed, n=name: method(X, y, seed, n) for name in seen} | {"third": missing}
    found, left_out = held_out_density.compare({"table": (X, y)}, methods, held_out_density.Results())
    assert left_out == {"third"}
    assert list(found["table"]) == ["first", "second"]
    assert len(seen["first"]) == 20
    assert all(np.array_equal(a, b) for a, b in zip(seen["first"], seen["second"], strict=True))
    assert len(held_out_density.splits(5001)) == 5
