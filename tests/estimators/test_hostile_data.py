"""Tables of other libraries, dates in disguise and values at the ends of the range: refused clearly, or served."""

import datetime as dt
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from scipy.optimize import OptimizeResult
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.mixture import GaussianMixture

from moefast import HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor, MomentAccumulator
from moefast.baselines import fit_gradient_descent, fit_joint_em
from moefast.datasets import make_moe
from moefast.diagnostics import diagnose
from moefast.em import fit_em
from moefast.estimators import flat_gates
from moefast.gating import fit_gates
from moefast.l4 import recover_experts as recover_by_l4
from moefast.l4.loss import L4Loss
from moefast.l4.solvers import descend_by_curvature
from moefast.links import Link
from moefast.mixture import Mixture
from moefast.spectral import recover_experts
from moefast.tensors import SymmetricTensor
from moefast.transforms.optimal import marginal_sigma

N = 120
X, Y, TRUTH = make_moe(N, 3, 2, noise=0.3, random_state=0)
NAMES = ["age", "dose", "flow rate"]
X.flags.writeable = Y.flags.writeable = False

DAYS = [dt.datetime(2020, 1, 1) + dt.timedelta(days=i) for i in range(N)]
TEMPORAL = {
    "datetime": DAYS,
    "date": [day.date() for day in DAYS],
    "time": [dt.time(1, 2, i % 60) for i in range(N)],
    "timedelta": [day - DAYS[0] for day in DAYS],
    "Timestamp": [pd.Timestamp(day) for day in DAYS],
    "datetime64": [np.datetime64(day) for day in DAYS],
    "timedelta64": [np.timedelta64(i) for i in range(N)],
}


def fit(X=X, y=Y, sample_weight=None, **parameters):
    return MixtureOfExpertsRegressor(**({"random_state": 0} | parameters)).fit(X, y, sample_weight)


def fit_tree(X, y, sample_weight=None):
    return HierarchicalMixtureOfExpertsRegressor((2, 1), random_state=0).fit(X, y, sample_weight)


# Everything that takes a table and a response.
READERS = {
    "flat": fit,
    "tree": fit_tree,
    "accumulator": lambda X, y: MomentAccumulator(np.shape(X)[1]).update(X, y),
    "spectral": lambda X, y: recover_experts(X, y, 2),
    "L4": lambda X, y: recover_by_l4(X, y, 2),
    "gates": lambda X, y: fit_gates(X, y, TRUTH, sigma=0.3),
    "em": lambda X, y: fit_em(X, y, TRUTH),
    "joint EM": lambda X, y: fit_joint_em(X, y, 2),
    "gradient": lambda X, y: fit_gradient_descent(X, y, 2),
    "diagnosis": lambda X, y: diagnose(X, y, TRUTH),
}


def with_objects(values):
    table = np.empty((N, 3), dtype=object)
    table[:, :2] = X[:, :2]
    for i, value in enumerate(values):
        table[i, 2] = value
    return table


# ---- dates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TEMPORAL)
def test_objects_of_dates_are_no_numbers(kind):
    table = with_objects(TEMPORAL[kind])
    for bad, name in (
        (table, "2"),
        (table.tolist(), "2"),
        (pd.DataFrame(X, columns=NAMES).assign(dose=pd.Series(table[:, 2], dtype=object)), "'dose'"),
    ):
        with pytest.raises(TypeError, match=f"X column {name} holds dates or time spans"):
            fit(bad)
    for bad in (table[:, 2], table[:, 2:], table[:, 2].tolist()):
        with pytest.raises(TypeError, match=r"y .*holds dates|y holds dates"):
            fit(y=bad)
    with pytest.raises(TypeError, match="sample_weight holds dates"):
        fit(sample_weight=table[:, 2])
    with pytest.raises(TypeError, match="X column 2 holds dates"):
        fit().predict(table)


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_dates(reader):
    table = with_objects(TEMPORAL["datetime64"])
    with pytest.raises(TypeError, match="X column 2 holds dates"):
        READERS[reader](table, Y)
    with pytest.raises(TypeError, match="y holds dates"):
        READERS[reader](X, table[:, 2])


@pytest.mark.parametrize("kind", ["datetime", "date", "time", "timedelta"])
@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_dates_in_tables_of_other_libraries(library, kind):
    module = pytest.importorskip(library)
    columns = dict(zip(NAMES, X.T, strict=True)) | {"when": TEMPORAL[kind]}
    table = module.DataFrame(columns) if library == "polars" else module.table(columns)
    with pytest.raises(TypeError, match="X column 'when' holds dates"):
        fit(table)
    with pytest.raises(TypeError, match="X column 'when' holds dates"):
        MomentAccumulator(4).update(table, Y)
    with pytest.raises(TypeError, match=r"y.* holds dates"):
        fit(y=table["when"])


def test_dates_in_arrow_dictionaries_and_categories():
    arrow = pytest.importorskip("pyarrow")
    when = arrow.array(DAYS).dictionary_encode()
    with pytest.raises(TypeError, match="X column 'when' holds dates"):
        fit(arrow.table({"age": X[:, 0], "when": when}))
    with pytest.raises(TypeError, match="X column 'dose' holds dates"):
        fit(pd.DataFrame(X, columns=NAMES).assign(dose=pd.Categorical(DAYS)))


# ---- tables --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_tables_of_other_libraries_serve_and_name_their_columns(library):
    module = pytest.importorskip(library)

    def table(values):
        columns = dict(zip(NAMES, values.T, strict=True))
        return module.DataFrame(columns) if library == "polars" else module.table(columns)

    model = fit(table(X))
    assert np.array_equal(model.coef_, fit().coef_)
    assert list(model.feature_names_in_) == NAMES
    bad = np.where((np.arange(N) == 5)[:, None] & (np.arange(3) == 1), np.nan, X)
    for use in (lambda t: fit(t), model.predict, lambda t: recover_experts(t, Y, 2)):
        with pytest.raises(
            ValueError, match=r"^X has missing values \(NaN\): 1 in 'dose' \(1 of \d+ rows, first at row 5\)"
        ):
            use(table(bad))
    with pytest.raises(ValueError, match="X column 'dose' at row 5: is NaN"):
        MomentAccumulator(3).update(table(bad), Y)


def test_frames_may_have_a_column_called_column_names():
    table = pd.DataFrame(np.where(X > 2.0, np.nan, X), columns=["columns", "column_names", "schema"])
    first = table.columns[np.isnan(table).any().to_numpy().argmax()]
    with pytest.raises(ValueError, match=f"missing values .* in '{first}'"):
        fit(table)


@pytest.mark.parametrize("reader", READERS)
def test_sparse_tables_are_refused_by_name(reader):
    frame = pd.DataFrame(X, columns=NAMES)
    one = frame.assign(dose=pd.arrays.SparseArray(np.maximum(X[:, 1], 0.0)))
    with pytest.raises(TypeError, match="X column 'dose' is sparse"):
        READERS[reader](one, Y)
    with pytest.raises(TypeError, match="X column 'age' is sparse"):
        READERS[reader](frame.astype(pd.SparseDtype(float, 0.0)), Y)
    with pytest.raises(TypeError, match="Sparse data was passed for X"):
        READERS[reader](scipy.sparse.csr_array(X), Y)


# ---- y -------------------------------------------------------------------------------------------------


def test_a_column_of_responses_is_one_response_everywhere():
    model, column = fit(), Y[:, None]
    for method in ("score_samples", "log_likelihood", "responsibilities", "aic", "bic"):
        with pytest.warns(DataConversionWarning, match="column-vector y"):
            found = getattr(model, method)(X, column)
        assert np.array_equal(found, getattr(model, method)(X, Y)), method
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        moments = MomentAccumulator(3).update(X, column)
    assert moments.to_bytes() == MomentAccumulator(3).update(X, Y).to_bytes()
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        assert marginal_sigma(np.abs(column), "relu") == marginal_sigma(np.abs(Y), "relu")


@pytest.mark.parametrize("model", [fit(), fit_tree(X, Y)], ids=["flat", "tree"])
@pytest.mark.parametrize("method", ["log_likelihood", "aic", "bic", "responsibilities", "score_samples"])
def test_likelihoods_need_a_response(model, method):
    with pytest.raises(ValueError, match="y is None"):
        getattr(model, method)(X, None)
    with pytest.raises(ValueError, match="y is None"):
        getattr(model, method)(X)


# ---- verbose -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [MixtureOfExpertsRegressor(), HierarchicalMixtureOfExpertsRegressor()])
@pytest.mark.parametrize(
    ("value", "error"),
    [("yes", TypeError), (None, TypeError), (1.5, TypeError), ([], TypeError), (-1, ValueError)],
)
def test_verbose_is_checked(estimator, value, error):
    with pytest.raises(error, match=f"verbose must be .* got {re.escape(repr(value))}"):
        estimator.set_params(verbose=value).fit(X, Y)


# ---- the ends of the range -----------------------------------------------------------------------------


@pytest.mark.parametrize("reader", [name for name in READERS if name != "accumulator"])
def test_a_denormal_response_is_refused(reader):
    with pytest.raises(OverflowError, match=r"y has a standard deviation of 1.*e-31., .*rescale y"):
        READERS[reader](X, 1e-310 * Y)
    with pytest.raises(OverflowError, match=r"y has a standard deviation of .*; rescale y"):
        READERS[reader](X, np.where(np.arange(N) % 2, 5e-324, 0.0))


@pytest.mark.parametrize("reader", ["flat", "tree", "spectral", "L4", "joint EM", "gradient"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_slopes_beyond_the_range_are_refused_by_column(reader):
    with pytest.raises(OverflowError, match=r"coefficients leave the range .* rescale X column 1"):
        READERS[reader](X * [1.0, 1e-312, 1.0], Y)


def test_gates_and_em_refuse_slopes_beyond_the_range():
    tiny = X * [1.0, 1e-312, 1.0]
    for run in (READERS["gates"], READERS["em"]):
        with pytest.raises(OverflowError, match=r"coefficients leave the range .* rescale X column 1"):
            run(tiny, Y)


def test_diagnosis_of_far_units_does_not_warn():
    with pytest.raises(OverflowError, match="out of all proportion"):
        diagnose(X, 1e-306 * Y, make_moe(N, 3, 2, noise=0.3, random_state=0)[2])
    with pytest.raises(OverflowError, match="out of all proportion"):
        diagnose(X * [1e-300, 1.0, 1e300], 1e-20 * Y, TRUTH)


def test_features_of_all_sizes_side_by_side():
    table = pd.DataFrame(X * [1e-300, 1.0, 1e300], columns=NAMES)
    model = fit(table)
    np.testing.assert_allclose(model.predict(table), fit().predict(X), rtol=1e-6)
    with pytest.raises(OverflowError, match="X column 'flow rate': its products"):
        MomentAccumulator(3).update(table, Y)
    with pytest.raises(OverflowError, match="x_distribution: squares of X column 2"):
        recover_experts(table, Y, 2, x_distribution=GaussianMixture(2))


def test_one_huge_value_is_blamed_on_its_own_column():
    table = pd.DataFrame(X.copy(), columns=NAMES)
    table.loc[5, "dose"] = 1e300
    assert np.isfinite(fit(table).coef_).all()
    with pytest.raises(OverflowError, match="X column 'dose': its products"):
        MomentAccumulator(3).update(table, Y)
    with pytest.raises(OverflowError, match="x_distribution: squares of X column 1"):
        recover_experts(table, Y, 2, x_distribution=GaussianMixture(2))


@pytest.mark.parametrize("link", ["linear", "relu"])
def test_samples_beyond_the_range_are_refused(link):
    model = fit(y=1.6e308 * np.abs(np.tanh(Y)), link=link)
    many = np.repeat(X, 50, axis=0)
    assert np.isfinite(model.predict(many)).all()
    with pytest.raises(OverflowError, match=r"row \d+ is too far from the training data, or"):
        model.sample(many, 0)


@pytest.mark.parametrize("weight", [1e16, 1e-320])
@pytest.mark.parametrize("solver", ["tensor", "sgd"])
@pytest.mark.parametrize("every", [True, False])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_weights_of_any_size_in_l4(weight, solver, every):
    """RuntimeWarnings of numpy would be errors here."""
    for seed in (1, 3):
        weights = np.where((np.arange(N) == seed) | every, weight, 1.0)
        found = recover_by_l4(X, Y, 2, sample_weight=weights, n_starts=2, random_state=seed, solver=solver)
        assert np.isfinite(found.coef).all()


def test_a_trust_region_may_look_beyond_the_range(monkeypatch):
    """Where one row has nearly all weight its steps do so now and then, as rounding will have it."""

    def minimize(x0, fun, **settings):
        for far in (1e80, 1e120, 1e160, 1e200):
            assert fun(np.full_like(x0, far)) == np.inf
        return OptimizeResult(x=x0, nit=1)

    monkeypatch.setattr("moefast.l4.solvers.minimize", minimize)
    loss = L4Loss(SymmetricTensor.from_dense(np.ones((2, 2, 2, 2))), 0.1, 2.0)
    assert descend_by_curvature(loss, np.eye(2), 10).status == "iteration_limit"


# ---- a constant response -------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["relu", "leaky_relu", "gelu", "silu", "softplus"])
@pytest.mark.parametrize("level", [0.3, 7.0, 30.0])
@pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning")
def test_a_constant_response_is_reached(link, level):
    model = fit(y=np.full(N, level), link=link)
    np.testing.assert_allclose(model.predict(X), level, rtol=1e-3)
    assert model.converged_


@pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning")
@pytest.mark.parametrize(
    ("link", "level", "parameters"),
    [
        ("relu", -2.0, {}),
        ("sigmoid", 2.0, {}),
        # the only start steps as far beyond y as it stood before it
        ("gelu", 7.0, {"n_experts": 1, "n_init": 1, "start": "random", "random_state": 3}),
    ],
)
def test_a_constant_response_that_is_not_reached_is_told(link, level, parameters):
    with pytest.warns(ConvergenceWarning, match=f"y is constant at {level:g}, .* link '{link}' does not take"):
        model = fit(y=np.full(N, level), link=link, **parameters)
    assert not model.converged_
    assert np.abs(model.predict(X) - level).max() > 0.5


# ---- a link that leaves the range ----------------------------------------------------------------------


def test_a_fit_without_predictions_for_its_own_rows_is_refused(monkeypatch):
    """Rare with data of few rows; here the search is made to end with steep experts."""
    find = flat_gates.find_optima

    def steep(*arguments, **options):
        found = find(*arguments, **options)
        mixture = found.fit.mixture
        return replace(
            found, fit=replace(found.fit, mixture=replace(mixture, coef=np.full_like(mixture.coef, 1e4)))
        )

    monkeypatch.setattr(flat_gates, "find_optima", steep)
    with pytest.raises(OverflowError, match=r"link 'exp' leaves the range .* training row \d+"):
        fit(link=Link("exp", np.exp, derivative=np.exp), n_init=1, start="random")


def test_an_expert_that_a_row_never_asks_need_not_be_finite_there():
    link = Link("exp", np.exp, derivative=np.exp)
    far = Mixture(np.array([[1.0], [0.0]]), np.zeros(2), np.array([[-1e3], [0.0]]), np.zeros(2), np.ones(2), link)
    assert np.array_equal(far.mean(np.array([[800.0]])), [1.0])
    assert np.array_equal(far.std(np.array([[800.0]])), [1.0])
