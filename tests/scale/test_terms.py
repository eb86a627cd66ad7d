"""Offsets and trials come from columns, in fits and in predictions."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from moefast import MixtureOfExpertsRegressor
from moefast.families import get_family
from moefast.sources import SourceError, open_source
from moefast.streams.first_pass import FirstLook
from oracles.row_files import table_of


def rows(n=6000):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 2))
    eta = np.where(X[:, 0] + rng.logistic(size=n) > 0, X[:, 1], -0.5 * X[:, 1])
    return X, eta, rng.normal(size=n), rng.integers(5, 20, size=n)


def response(family, eta, offset, trials):
    """Return y, and what is known of its rows."""
    rng = np.random.default_rng(1)
    if family == "poisson":
        return rng.poisson(np.exp(1.0 + eta + offset)).astype(float), {"offset": offset}
    if family == "binomial":
        return rng.binomial(trials, 1 / (1 + np.exp(-eta - offset))) * 1.0, {"offset": offset, "n_trials": trials}
    if family == "tobit":
        return np.maximum(0.0, eta + offset + 0.3 * rng.normal(size=len(eta))), {"offset": offset}
    return eta + 10.0 * offset + 0.3 * rng.normal(size=len(eta)), {"offset": 10.0 * offset}


@pytest.mark.parametrize("family", ["gaussian", "poisson", "binomial", "tobit"])
def test_fits_and_predictions_are_those_in_memory(family, tmp_path):
    X, eta, offset, trials = rows()
    y, terms = response(family, eta, offset, trials)
    table, frame = table_of(X, y, **terms), pd.DataFrame(X, columns=["x0", "x1"])
    names = {name: name for name in terms}
    model = MixtureOfExpertsRegressor(2, family=family, random_state=0, alpha=1e-3)
    model.fit_dataset(lambda: [table], "y", **names, sample_rows=2500, batch_rows=999)
    memory = MixtureOfExpertsRegressor(2, family=family, start=model, tol=1e-13, alpha=1e-3).fit(frame, y, **terms)
    assert model.converged_
    assert list(model.feature_names_in_) == ["x0", "x1"]
    np.testing.assert_allclose(model.log_likelihood_, model.log_likelihood(frame, y, **terms), rtol=1e-11)
    np.testing.assert_allclose(model.log_likelihood_, memory.log_likelihood_, rtol=0, atol=0.03)
    np.testing.assert_allclose(model.response_std_, memory.response_std_, rtol=1e-9)
    model.predict_dataset(
        lambda: [table], tmp_path / "o.parquet", ["prediction", "log_density"], target="y", **names
    )
    found = pq.read_table(tmp_path / "o.parquet")
    np.testing.assert_array_equal(found["prediction"], model.predict(frame, **terms))
    np.testing.assert_array_equal(found["log_density"], model.score_samples(frame, y, **terms))


def test_copies_have_the_same_terms():
    """Rows that differ in the offset alone are no copies."""
    X, _, offset, _ = rows(300)
    X[:], y = X[0], np.full(300, 2.0)
    source = open_source(lambda: [table_of(X, y, o=offset), table_of(X[:1], y[:1], o=offset[:1])])
    look = FirstLook(source.columns("y", offset="o"), 50, 1000, get_family("poisson"))
    sample = look(source.parts[0]).sample
    assert len(sample.hashes) == 300
    assert sample.count.sum() == 301


def test_bad_terms_are_named(tmp_path):
    X, eta, offset, trials = rows(500)
    y, _ = response("binomial", eta, offset, trials)
    pq.write_table(table_of(X, y, t=trials - 5.0 * (np.arange(500) == 7) + 0.5), tmp_path / "a.parquet")
    model = MixtureOfExpertsRegressor(2, family="binomial", random_state=0)
    with pytest.raises(SourceError, match=r"a.parquet: n_trials must be whole numbers"):
        model.fit_dataset(tmp_path, "y", n_trials="t", sample_rows=200)
    for match, arguments in (
        ("offset must be of the columns", {"offset": "z"}),
        ("n_trials must be the name of a column, got 3", {"n_trials": 3}),
        ("column 't' cannot be of two uses", {"offset": "t", "n_trials": "t"}),
    ):
        with pytest.raises((ValueError, TypeError), match=match):
            model.fit_dataset(tmp_path, "y", **arguments)
    with pytest.raises(ValueError, match="offset needs link='linear', got 'relu'"):
        MixtureOfExpertsRegressor(link="relu").fit_dataset(tmp_path, "y", offset="t")
    with pytest.raises(ValueError, match="n_trials"):
        MixtureOfExpertsRegressor().fit_dataset(tmp_path, "y", n_trials="t")
