"""A fit of a data set is the fit of its rows in memory: whatever the files, the batches and the order."""

import sys
from subprocess import run

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

import moefast._core as _core
from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.em.streamed import BatchSums, StreamedProblem
from moefast.samples import Samples
from moefast.sources import open_source
from moefast.streams.passes import PassLog, RowSums
from moefast.streams.stages import DECREMENT_TOL
from oracles.row_files import table_of, write_parquet


@pytest.fixture(scope="module")
def rows():
    """Rows of three experts, whose regions overlap."""
    X, y, _ = make_moe(24_000, 4, 3, noise=0.5, expert_intercept=1.0, gate_intercept=0.5, random_state=3)
    return X, y


def deficit(model, X, y, weights=None, **parameters):
    """Return how far below the optimum in memory a fit is, in log-likelihood less the ridges."""
    X = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    parameters = {"n_experts": len(model.coef_), **parameters}
    memory = MixtureOfExpertsRegressor(**parameters, start=model, tol=1e-13)
    memory.fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(model.log_likelihood_, model.log_likelihood(X, y, weights), rtol=1e-12)

    def objective(fit):  # experts' slopes and gates are in standard units as EM has them
        scale, gates = X.std(axis=0, ddof=0).to_numpy() if weights is None else spread(X, weights), fit.gate_coef_
        slopes = fit.coef_ * scale / fit.sigma_[:, None]
        centred = (gates - gates.mean(axis=0)) * scale
        alpha, gate_alpha = parameters.get("alpha", 0.0), parameters.get("gate_alpha", 0.0)
        return fit.log_likelihood_ - 0.5 * (alpha * (slopes**2).sum() + gate_alpha * (centred**2).sum())

    return objective(memory) - objective(model)


def spread(X, weights):
    """Return weighted standard deviations."""
    mean = np.average(X, axis=0, weights=weights)
    return np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights))


@pytest.mark.parametrize("batch_rows", [1, 383, 4096, 65_536])
def test_sums_do_not_depend_on_batches(batch_rows, rows, tmp_path):
    X, y = (part[: 600 if batch_rows == 1 else 3000] for part in rows)
    w = np.linspace(0.5, 2.0, len(y))
    table = table_of(X, y, w=w)
    problem = EmProblem(Samples(X, y, w), EmOptions(n_threads=1))
    at = problem.run_many([np.eye(3)[np.arange(len(y)) % 3]], max_iter=3)[0].mixture
    _, parameters = problem._parameters(at)
    wanted = _core.e_step(problem._data(), (*parameters, None, None), problem._settings(), "all")
    write_parquet(tmp_path, table, 3, row_group_size=len(y) // 4)
    source = open_source(tmp_path)
    row_sums = RowSums(source.columns("y", None, "w"), batch_rows, BatchSums(problem), [(parameters, "all")])
    terms = [row_sums(part) for part in source.parts]
    total = terms[0].merged(terms[1]).merged(terms[2])
    assert total.n_read == len(y)
    for name, values in wanted.items():
        scale = np.abs(values).max() if np.size(values) else 1.0
        np.testing.assert_allclose(total.sums[0][name], values, rtol=0, atol=1e-12 * max(scale, len(y)))


@pytest.mark.parametrize(
    ("batch_rows", "n_rows", "sample_rows"), [(1, 600, 400), (383, 24_000, 6000), (65_536, 24_000, 6000)]
)
def test_fits_do_not_depend_on_batches(batch_rows, n_rows, sample_rows, rows):
    X, y = (part[:n_rows] for part in rows)
    table = table_of(X, y)

    def fitted(n):
        model = MixtureOfExpertsRegressor(3, random_state=0)
        return model.fit_dataset(lambda: [table], "y", batch_rows=n, sample_rows=sample_rows)

    one, other = fitted(batch_rows), fitted(4096)
    assert one.n_iter_ == other.n_iter_
    assert one.fit_report_.n_passes == other.fit_report_.n_passes
    np.testing.assert_allclose(one.log_likelihood_, other.log_likelihood_, rtol=1e-12)
    for name in ("coef_", "intercept_", "gate_coef_", "gate_intercept_", "sigma_"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=1e-10)


SETTINGS = {
    "defaults": {},
    "shared noise": {"noise": "shared"},
    "ridges": {"alpha": 20.0, "gate_alpha": 50.0},
    "no intercepts": {"fit_intercept": False, "fit_gate_intercept": False},
    "some columns": {"expert_features": ["x0", "x1"], "gate_features": ["x3", "x1"]},
    "constant gates": {"gate_features": []},
    "common": {"common_features": ["x2"]},
    "noise floor": {"noise_floor": 0.6},
    "one expert": {"n_experts": 1},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_it_ends_at_the_optimum_of_all_rows(name, rows, tmp_path):
    X, y = rows
    w = np.random.default_rng(0).uniform(0.5, 2.0, size=len(y))
    write_parquet(tmp_path, table_of(X, y, w=w), 5)
    settings = {"n_experts": 3, "random_state": 0, **SETTINGS[name]}
    model = MixtureOfExpertsRegressor(**settings)
    if name == "noise floor":
        with pytest.warns(UserWarning, match="collapsed"):
            model.fit_dataset(tmp_path, "y", weights="w", sample_rows=6000)
    else:
        model.fit_dataset(tmp_path, "y", weights="w", sample_rows=6000)
    assert model.converged_
    assert model.fit_report_.n_passes <= 8
    assert model.n_samples_fit_ == len(y)
    np.testing.assert_allclose(model.training_weight_, w.sum(), rtol=1e-12)
    if name != "noise floor":
        assert abs(deficit(model, X, y, w, **SETTINGS[name])) < DECREMENT_TOL


def test_links_and_families(rows):
    X, _ = rows
    rng = np.random.default_rng(0)
    X, border = X[:12_000], X[:12_000, 0] + rng.normal(size=12_000) > 0
    eta = np.where(border, 1.0 + 0.5 * X[:, 1], -0.5 * X[:, 2])
    responses = {
        "poisson": rng.poisson(np.exp(eta)).astype(float),
        "student_t": eta + 0.3 * rng.standard_t(3, size=len(eta)),
        "bernoulli": (rng.uniform(size=len(eta)) < 1 / (1 + np.exp(-3 * eta))).astype(float),
        "tobit": np.maximum(0.0, eta + 0.3 * rng.normal(size=len(eta))),
    }
    for family, y in responses.items():
        table = table_of(X, y)
        model = MixtureOfExpertsRegressor(2, family=family, random_state=0, alpha=1e-3)
        model.fit_dataset(lambda table=table: [table], "y", sample_rows=4000)
        assert model.converged_, family
        assert abs(deficit(model, X, y, family=family, alpha=1e-3)) < 3 * DECREMENT_TOL, family
    y = np.maximum(0.0, eta) + 0.1 * rng.normal(size=len(eta))
    table = table_of(X, y)
    model = MixtureOfExpertsRegressor(2, link="softplus", random_state=0)
    model.fit_dataset(lambda: [table], "y", sample_rows=4000)
    assert model.converged_
    assert abs(deficit(model, X, y, link="softplus")) < 3 * DECREMENT_TOL


def test_files_order_and_kind_do_not_matter(rows, tmp_path):
    X, y = rows
    order = np.random.default_rng(0).permutation(len(y))
    for name, table, n_files in (("a", table_of(X, y), 3), ("b", table_of(X[order], y[order]), 11)):
        (tmp_path / name).mkdir()
        write_parquet(tmp_path / name, table, n_files, row_group_size=900)
    with pa.OSFile(str(tmp_path / "c.arrow"), "wb") as sink, pa.ipc.new_file(sink, table_of(X, y).schema) as out:
        out.write_table(table_of(X, y), max_chunksize=5000)
    kinds = {
        "files": str(tmp_path / "a" / "*.parquet"),
        "other files": [tmp_path / "b"],
        "arrow": tmp_path / "c.arrow",
        "dataset": ds.dataset(tmp_path / "a"),
        "function": lambda: table_of(X, y).to_batches(max_chunksize=999),
    }
    models = {}
    for name, data in kinds.items():
        models[name] = MixtureOfExpertsRegressor(3, random_state=0).fit_dataset(data, "y", sample_rows=6000)
    for name, model in models.items():
        np.testing.assert_allclose(model.coef_, models["files"].coef_, atol=1e-8, err_msg=name)
        np.testing.assert_allclose(model.log_likelihood_, models["files"].log_likelihood_, rtol=1e-11)


def test_copies_are_weights(rows, tmp_path):
    X, y = (part[:6000] for part in rows)
    w = np.random.default_rng(0).integers(1, 4, size=len(y))
    copies = table_of(np.repeat(X, w, axis=0), np.repeat(y, w))
    model = MixtureOfExpertsRegressor(3, random_state=0)
    weighted = model.fit_dataset(lambda: [table_of(X, y, w=w)], "y", weights="w", sample_rows=2000)
    copied = MixtureOfExpertsRegressor(3, random_state=0).fit_dataset(lambda: [copies], "y", sample_rows=2000)
    np.testing.assert_allclose(weighted.coef_, copied.coef_, atol=1e-8)
    np.testing.assert_allclose(weighted.log_likelihood_, copied.log_likelihood_, rtol=1e-11)
    np.testing.assert_allclose(weighted.training_weight_, copied.training_weight_, rtol=1e-12)


def test_few_rows_of_very_many_copies():
    """Ten rows have 30 000 copies each, or weigh 10^5: the fit ends where that in memory does."""
    X, y, _ = make_moe(5000, 2, 2, noise=0.5, random_state=3)
    frame = pd.DataFrame(X, columns=["x0", "x1"])
    settings = {"n_experts": 2, "noise": "shared", "random_state": 0}
    for many, weights in ((30_000, None), (100_000, "w")):
        n_copies = np.append(np.full(10, many), np.ones(4990, dtype=int))
        of = np.repeat(np.arange(5000), n_copies)
        table = table_of(X, y, w=n_copies) if weights else table_of(X[of], y[of])
        memory = MixtureOfExpertsRegressor(**settings).fit(frame, y, sample_weight=n_copies)
        model = MixtureOfExpertsRegressor(**settings)
        model.fit_dataset(lambda table=table: [table], "y", weights=weights, sample_rows=1500)
        assert model.converged_
        assert model.n_samples_fit_ == len(table)
        assert memory.log_likelihood_ - model.log_likelihood_ < 2 * DECREMENT_TOL


@pytest.mark.filterwarnings("ignore:the fit did not settle", "ignore:expert")
@pytest.mark.parametrize(("seed", "sample_rows", "n_init"), [(5, 9000, "auto"), (4, 11_500, 3)])
def test_more_experts_than_there_are(seed, sample_rows, n_init):
    """What is hardly determined is not taken for arrived."""
    X, y, _ = make_moe(12_000, 4, 2, noise=1.0, expert_intercept=1.0, gate_intercept=0.5, random_state=seed)
    model = MixtureOfExpertsRegressor(4, random_state=0, n_init=n_init)
    model.fit_dataset(lambda: [table_of(X, y)], "y", sample_rows=sample_rows)
    if model.converged_:
        assert deficit(model, X, y) < DECREMENT_TOL


@pytest.mark.parametrize("weight", [1e-3, 1.0, 1e3, 1e5])
def test_weights_are_copies_in_the_tolerance_too(rows, weight):
    """However large: a hundredth of a unit of log-likelihood is one, whatever the rows weigh."""
    X, y = (part[:6000] for part in rows)
    table = table_of(X, y).append_column("w", pa.array(np.full(len(y), weight)))
    model = MixtureOfExpertsRegressor(3, random_state=0)
    model.fit_dataset(lambda: [table], "y", weights="w", sample_rows=1000)
    assert model.converged_
    memory = MixtureOfExpertsRegressor(3, start=model, tol=1e-14).fit(X, y, sample_weight=np.full(len(y), weight))
    assert memory.log_likelihood_ - model.log_likelihood_ < 2 * DECREMENT_TOL * min(1.0, weight)


def test_copies_are_rows_in_the_tolerance_too():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, 400_000).astype(float)
    y = rng.poisson(np.exp(np.where(rng.random(len(x)) < 0.4, 0.3 * x - 0.5, 1.5 - 0.2 * x)))
    table = pa.table({"x": x, "y": y})
    model = MixtureOfExpertsRegressor(2, family="poisson", random_state=0)
    model.fit_dataset(lambda: [table], "y", sample_rows=60)
    memory = MixtureOfExpertsRegressor(2, family="poisson", start=model, tol=1e-14).fit(x[:, None], y)
    gained = memory.log_likelihood_ - model.log_likelihood_
    assert gained < 2 * DECREMENT_TOL or not model.converged_
    assert gained < 1.0


def test_types_of_columns(rows):
    X, y = (part[:4000] for part in rows)
    X = np.round(X * 10)
    y = y.astype(np.float32)
    plain = table_of(X, y.astype(np.float64))
    table = pa.table(
        {
            "x0": pa.array(X[:, 0].astype(np.int32)),
            "x1": pa.array(X[:, 1].astype(np.float32)),
            "x2": pa.array(X[:, 2].astype(np.int64)).cast(pa.decimal128(20)),
            "x3": pa.array(X[:, 3].astype(np.int16)).dictionary_encode(),
            "name": ["a"] * len(y),
            "y": y,
        }
    )
    one, other = (
        MixtureOfExpertsRegressor(2, random_state=0).fit_dataset(lambda t=t: [t], "y", sample_rows=1000)
        for t in (plain, table)
    )
    assert list(other.feature_names_in_) == ["x0", "x1", "x2", "x3"]
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-9, atol=1e-12)


def test_a_sample_of_all_rows_needs_one_pass_more(rows):
    X, y = (part[:5000] for part in rows)
    model = MixtureOfExpertsRegressor(3, random_state=0).fit_dataset(lambda: [table_of(X, y)], "y")
    memory = MixtureOfExpertsRegressor(3, random_state=0).fit(X, y)
    assert model.fit_report_.n_passes == 2
    assert model.fit_report_.n_rows == memory.fit_report_.n_rows
    np.testing.assert_allclose(model.log_likelihood_, memory.log_likelihood_, rtol=1e-10)
    np.testing.assert_allclose(model.entropy_, memory.entropy_, rtol=1e-5)
    assert model.target_name_ == "y"


def test_rivals_compete_on_all_rows(rows, monkeypatch):
    """The best of the sample is a wrong one: that of all rows has to win."""
    from moefast.streams import stages

    X, y = rows
    seen = []
    inner = stages.optimum_of_stream

    def watched(problem, passes, starts, **options):
        found = problem.whole.run(responsibilities=np.eye(3)[np.arange(problem.whole.n_rows) % 3], max_iter=1)
        end = inner(problem, passes, [found.mixture, *starts], **options)
        seen.append((end.chosen, len(starts)))
        return end

    monkeypatch.setattr(stages, "optimum_of_stream", watched)
    model = MixtureOfExpertsRegressor(3, random_state=0)
    model.fit_dataset(lambda: [table_of(X, y)], "y", sample_rows=6000)
    assert seen[0][0] >= 1
    assert model.converged_


def test_em_takes_over_where_the_metric_is_of_no_use(rows, monkeypatch):
    from moefast.streams import optimum

    X, y = rows
    monkeypatch.setattr(optimum, "_MOST_PARAMETERS", 0)
    model = MixtureOfExpertsRegressor(3, random_state=0)
    model.fit_dataset(lambda: [table_of(X, y)], "y", sample_rows=6000, max_passes=100)
    assert model.converged_
    assert model.fit_report_.decrement is None
    assert deficit(model, X, y) < 0.1


def test_too_few_passes_are_told(rows):
    X, y = rows
    model = MixtureOfExpertsRegressor(3, random_state=0)
    with pytest.warns(UserWarning, match="did not settle"):
        model.fit_dataset(lambda: [table_of(X, y)], "y", sample_rows=3000, max_passes=1)
    assert not model.converged_
    assert model.fit_report_.decrement > DECREMENT_TOL


def test_features_by_name(rows):
    X, y = (part[:6000] for part in rows)
    table = table_of(X, y)
    model = MixtureOfExpertsRegressor(2, random_state=0)
    model.fit_dataset(lambda: [table], "y", ["x2", "x0"], gate_features=["x0", "x3"], sample_rows=2000)
    assert list(model.feature_names_in_) == ["x2", "x0", "x3"]
    assert (model.coef_[:, 2] == 0).all()
    assert (model.gate_coef_[:, 0] == 0).all()
    assert (model.gate_coef_[0, 1:] != 0).all()


def test_a_fitted_start_needs_no_search(rows):
    X, y = rows
    table = table_of(X, y)
    first = MixtureOfExpertsRegressor(3, random_state=0).fit_dataset(lambda: [table], "y", sample_rows=6000)
    again = MixtureOfExpertsRegressor(3, start=first).fit_dataset(lambda: [table], "y", sample_rows=6000)
    np.testing.assert_allclose(again.coef_, first.coef_, atol=1e-3)
    assert len(again.fit_report_.starts) == 1


def test_products_are_left_out_of_a_remembered_pass():
    made = []

    def make(at, number):
        made.append(number)
        return [{"products": np.ones((3, 4)), "gate_products": np.ones((3, 0)), "totals": np.ones(3)} for _ in at]

    log = PassLog(make, lambda log: None)
    at = (np.zeros((3, 2)), np.zeros((3, 2)), np.ones((3, 2)))
    assert log(at, "all")["products"].shape == (3, 4)
    assert log(at, "experts")["products"].shape == (3, 3)
    assert log(at, "gradient")["products"].shape == (3, 0)
    assert made == [0]
    assert PassLog(make, lambda log: None, log.entries)(at, "gradient")["totals"].sum() == 3
    assert made == [0]


def test_nothing_loads_arrow_or_dask_before_a_data_set_is_opened():
    """Newer versions of scikit-learn load pandas, and that pyarrow: here neither can be loaded at all."""
    code = """
import sys
for name in ("pyarrow", "dask", "distributed"):
    sys.modules[name] = None
from moefast import MixtureOfExpertsRegressor
import moefast.cli
try:
    MixtureOfExpertsRegressor().fit_dataset("x.parquet", "y")
except ImportError as error:
    print(error)
"""
    done = run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'moefast[scale]'" in done.stdout


def test_ridges_of_the_sample_are_as_strong_against_its_weight(rows):
    X, y = (part[:500] for part in rows)
    whole = EmProblem(Samples(X, y, np.full(500, 2.0)), EmOptions(alpha=4.0, gate_alpha=8.0))
    problem = StreamedProblem(whole, n_rows=5000, weight=10_000.0)
    assert problem.share == 0.1
    assert problem.sample.options.alpha == pytest.approx(0.4)
    assert problem.sample.options.gate_ridge == pytest.approx(0.8)


def test_a_lasso_goes_by_em(rows):
    X, y = (part[:8000] for part in rows)
    settings = {"alpha": 40.0, "l1_ratio": 1.0, "random_state": 0}
    model = MixtureOfExpertsRegressor(3, **settings)
    model.fit_dataset(lambda: [table_of(X, y)], "y", sample_rows=3000, max_passes=100)
    frame = pd.DataFrame(X, columns=["x0", "x1", "x2", "x3"])
    memory = MixtureOfExpertsRegressor(3, start=model, tol=1e-12, **settings).fit(frame, y)
    assert model.converged_
    np.testing.assert_allclose(model.coef_, memory.coef_, atol=2e-3)
    assert model.n_parameters_ == memory.n_parameters_


def test_parts_without_weight_add_nothing(rows, tmp_path):
    X, y = (part[:9000] for part in rows)
    w = np.repeat([0.0, 1.0], [4000, 5000])
    write_parquet(tmp_path, table_of(X, y, w=w), 6)
    found = MixtureOfExpertsRegressor(3, random_state=0).fit_dataset(tmp_path, "y", weights="w", sample_rows=2000)
    left = table_of(X[4000:], y[4000:])
    wanted = MixtureOfExpertsRegressor(3, random_state=0).fit_dataset(lambda: [left], "y", sample_rows=2000)
    np.testing.assert_allclose(found.coef_, wanted.coef_, atol=1e-8)
    np.testing.assert_allclose(found.log_likelihood_, wanted.log_likelihood_, rtol=1e-11)
    assert found.n_samples_fit_ == 5000


def test_an_index_of_pandas_is_no_feature(rows, tmp_path):
    X, y = (part[:2000] for part in rows)
    frame = table_of(X, y).to_pandas().iloc[::-1]
    frame.to_parquet(tmp_path / "a.parquet")
    assert open_source(tmp_path).columns("y").features == ("x0", "x1", "x2", "x3")


def test_ctrl_c_ends_a_pass_and_leaves_the_model_as_it_was(rows, monkeypatch):
    from moefast.streams.passes import RowSums

    X, y = (part[:4000] for part in rows)
    model = MixtureOfExpertsRegressor(2, random_state=0)

    def interrupted(self, part):
        raise KeyboardInterrupt

    monkeypatch.setattr(RowSums, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit_dataset(lambda: [table_of(X, y)], "y", sample_rows=1000)
    assert not hasattr(model, "coef_")
