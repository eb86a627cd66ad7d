"""There are as many passes over the rows as are allowed, also where a fit goes on from a checkpoint."""

import numpy as np
import pytest

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.sources.batch import Batch
from moefast.streams.passes import OutOfPasses, PassLog
from oracles.row_files import table_of


@pytest.fixture(scope="module")
def table():
    X, y, _ = make_moe(9000, 3, 3, noise=0.5, random_state=3)
    return table_of(X, y)


SETTINGS = {"Newton": {}, "EM": {"alpha": 30.0, "l1_ratio": 1.0}, "rare": {"n_experts": 5}}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SETTINGS)
def test_no_pass_more_than_is_allowed(name, table, tmp_path, monkeypatch):
    """A fit that goes on, and one from what it had with fewer passes, are the fit without a stop."""
    n_read = 0
    inner = Batch.of.__func__

    def counted(cls, *args):
        nonlocal n_read
        n_read += 1
        return inner(cls, *args)

    monkeypatch.setattr(Batch, "of", classmethod(counted))

    def fit(max_passes, checkpoint=None):
        model = MixtureOfExpertsRegressor(**{"n_experts": 3, "random_state": 0, **SETTINGS[name]})
        model.fit_dataset(lambda: [table], "y", sample_rows=300, max_passes=max_passes, checkpoint=checkpoint)
        return model

    before = None
    for max_passes in (1, 2, 3, 5):
        n_read = 0
        model = fit(max_passes, tmp_path / "c")
        assert n_read <= 1 + max_passes
        n_read = 0
        undisturbed = fit(max_passes)
        assert n_read == undisturbed.fit_report_.n_passes == model.fit_report_.n_passes <= 1 + max_passes
        np.testing.assert_array_equal(model.coef_, undisturbed.coef_)
        assert model.log_likelihood_ == undisturbed.log_likelihood_
        assert name != "EM" or max_passes <= 2 or not np.array_equal(model.coef_, before)  # none is for nothing
        before = model.coef_


def test_what_was_stopped_counts_its_passes_once():
    made = []

    def make(at, number):
        made.append(number)
        return [{"products": np.ones((3, 0)), "gate_products": np.ones((3, 0))} for _ in at]

    points = [(np.full((3, 2), value), np.zeros((3, 2)), np.ones((3, 2))) for value in range(4)]
    log = PassLog(make, lambda log: None, most=3)
    for point in points[:3]:
        log(point, "gradient")
    log(points[0], "gradient")
    with pytest.raises(OutOfPasses):
        log(points[3], "gradient")
    again = PassLog(make, lambda log: None, log.entries, most=3)
    assert again.n_passes == 0
    again(points[1], "gradient")
    assert again.n_passes == 1
    assert made == [0, 1, 2]
    fewer = PassLog(make, lambda log: None, log.entries, most=1)
    fewer(points[2], "gradient")
    with pytest.raises(OutOfPasses):
        fewer(points[1], "gradient")


def test_too_few_passes_are_told_by_their_name(table):
    with pytest.warns(UserWarning, match=r"did not settle \(.* after 2 passes\); raise max_passes"):
        MixtureOfExpertsRegressor(3, random_state=0).fit_dataset(
            lambda: [table], "y", sample_rows=300, max_passes=1
        )
