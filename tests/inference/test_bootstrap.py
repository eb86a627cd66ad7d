"""The bootstrap: what it draws, that it is reproducible, and that it agrees with theory where that holds."""

import numpy as np
import pytest

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.exceptions import DegenerateDataWarning
from moefast.inference.bootstrap import KINDS, aligned
from moefast.inference.bootstrap_result import robust_spread

COPIES = np.array([1, 2, 3])


def fitted(X, y, k=2, sample_weight=None, **parameters):
    return MixtureOfExpertsRegressor(k, random_state=0, **parameters).fit(X, y, sample_weight)


@pytest.fixture(scope="module")
def result():
    X, y, _ = make_moe(700, 2, 2, noise=0.3, random_state=1)
    X, y = X * [0.1, 30.0] + [2.0, -50.0], 40 * y + 7
    return fitted(X, y).inference(X, y)


# ---- what it draws --------------------------------------------------------------------------------------


def drawn(result, kind, n=4000):
    rng = np.random.default_rng(0)
    return np.array([KINDS[kind](result.fit, rng).sample_weight for _ in range(n)])


@pytest.mark.parametrize("kind", ["weighted", "pairs"])
@pytest.mark.parametrize("clusters", [False, True])
def test_weights_have_the_mean_and_the_variance_of_copies(kind, clusters):
    """Three copies of a row, with a weight each, have together the mean 3 and the variance 3."""
    X, y, _ = make_moe(60, 2, 2, noise=0.3, random_state=1)
    w = COPIES[np.arange(60) % 3]
    groups = np.arange(60) // 5
    model = fitted(X, y, 1, w)
    result = model.inference(X, y, w, **({"cov_type": "cluster", "groups": groups} if clusters else {}))
    weights = drawn(result, kind)
    np.testing.assert_allclose(weights.mean(axis=0), w, rtol=0.15)
    expected = w**2 if clusters else w
    np.testing.assert_allclose(weights.var(axis=0), expected * (1 if kind == "weighted" else 0.95), rtol=0.2)
    if kind == "pairs" and not clusters:
        assert (weights.sum(axis=1) == w.sum()).all()
    if clusters:  # rows of a group share their fate
        ratio = (weights / w).reshape(len(weights), 12, 5)
        np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :, :1], ratio.shape))


def test_a_parametric_replicate_has_new_responses_of_the_fit(result):
    problem = KINDS["parametric"](result.fit, np.random.default_rng(0))
    original = result.fit.problem
    assert problem.Z is original.Z
    assert (problem.t != original.t).all()
    assert result.fit.mixture.log_density(problem.Z, problem.t).mean() == pytest.approx(
        result.fit.mixture.log_density(original.Z, original.t).mean(), abs=0.1
    )


# ---- reproducible, aligned ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["weighted", "pairs", "parametric"])
def test_the_result_depends_on_the_seed_alone(result, kind):
    one, three = (
        result.bootstrap(20, kind=kind, random_state=3, n_threads=n_threads).refits.theta for n_threads in (1, 3)
    )
    np.testing.assert_array_equal(one, three)
    assert (one != result.bootstrap(20, kind=kind, random_state=4).refits.theta).any()
    np.testing.assert_array_equal(one[:7], result.bootstrap(7, kind=kind, random_state=3).refits.theta)


def test_cold_replicates_depend_on_the_seed_alone(result):
    one, two = (result.bootstrap(10, start="cold", random_state=3, n_threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one.refits.theta, two.refits.theta)
    assert one.refits.n_better == two.refits.n_better == 0
    assert result.bootstrap(3, random_state=0).refits.n_better is None


def test_experts_are_paired_by_the_rows_they_are_responsible_for():
    X, y, _ = make_moe(500, 2, 3, noise=0.2, random_state=4)
    result = fitted(X, y, 3).inference(X, y)
    fit = result.fit
    posterior = fit.mixture.responsibilities(fit.problem.Z, fit.problem.t)
    for order in ([1, 2, 0], [2, 1, 0], [0, 1, 2]):
        found = aligned(fit.mixture.ordered(np.array(order)), fit.problem, posterior)
        np.testing.assert_allclose(found.coef, fit.mixture.coef)
        np.testing.assert_allclose(found.gate_coef, fit.mixture.gate_coef, atol=1e-12)


def test_cold_replicates_come_aligned():
    X, y, _ = make_moe(600, 2, 3, noise=0.1, random_state=4)
    result = fitted(X, y, 3).inference(X, y)
    warm, cold = (result.bootstrap(16, start=start, random_state=0).replicates for start in ("warm", "cold"))
    np.testing.assert_allclose(warm, cold, atol=1e-2)  # one optimum, found from everywhere


# ---- right ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["weighted", "pairs", "parametric"])
def test_standard_errors_agree_with_those_of_theory_where_the_model_is_right(kind):
    X, y, _ = make_moe(3000, 2, 2, noise=0.3, random_state=1)
    result = fitted(X, y).inference(X, y)
    bootstrap = result.bootstrap(400, kind=kind, random_state=0)
    ratio = bootstrap.bse / result.bse
    assert abs(ratio.mean() - 1) < 0.06
    assert abs(ratio - 1).max() < 0.25  # IQR of 400: 6 %
    prediction, theory = bootstrap.predict(X[:50]), result.predict(X[:50])
    np.testing.assert_array_equal(prediction.mean, theory.mean)
    assert abs((prediction.se_mean / theory.se_mean).mean() - 1) < 0.1


def test_clusters_are_resampled_whole():
    """Five copies of each row as a cluster: the standard errors of the single rows."""
    X, y, _ = make_moe(600, 2, 2, noise=0.3, random_state=1)
    alone = fitted(X, y).inference(X, y)
    rows = np.repeat(np.arange(600), 5)
    copied = fitted(X[rows], y[rows]).inference(X[rows], y[rows], cov_type="cluster", groups=rows)
    for kind in ("weighted", "pairs"):
        ratio = copied.bootstrap(200, kind=kind, random_state=0).bse / alone.bse
        assert abs(ratio.mean() - 1) < 0.15


def test_units_and_intervals(result):
    bootstrap = result.bootstrap(50, random_state=0)
    mixtures = bootstrap.mixtures()
    np.testing.assert_allclose([m.coef[0, 0] for m in mixtures], bootstrap.replicates[:, 0])
    np.testing.assert_allclose([np.log(m.sigma[1]) for m in mixtures], bootstrap.replicates[:, -1])
    np.testing.assert_allclose(bootstrap.bse, robust_spread(bootstrap.replicates))
    wide = bootstrap.conf_int(0.05)
    np.testing.assert_allclose(wide.mean(axis=1), result.params)
    np.testing.assert_allclose((wide[:, 1] - wide[:, 0]) / 2, 1.959963984540054 * bootstrap.bse)
    low, high = bootstrap.conf_int(0.5, method="percentile").T
    np.testing.assert_allclose((high - low) / 1.3489795003921634, bootstrap.bse)
    np.testing.assert_allclose(bootstrap.sigma_conf_int(), np.exp(wide[-2:]))
    frame = bootstrap.summary_frame(0.1)
    assert list(frame.columns) == ["coef", "std err", "[0.05", "0.95]"]
    assert bootstrap.names == result.names
    assert repr(bootstrap) == "<BootstrapResult: 50 weighted replicates, warm starts>"


def test_another_reference_goes_through(result):
    turned = result.with_reference(0).bootstrap(30, random_state=0)
    plain = result.bootstrap(30, random_state=0)
    where = result.layout.gates
    np.testing.assert_allclose(turned.replicates[:, where], -plain.replicates[:, where])
    np.testing.assert_allclose(turned.bse, plain.bse)


def test_robust_spread_is_the_standard_deviation_of_a_normal_variable():
    values = np.random.default_rng(0).normal(size=(200_000, 2)) * [1.0, 5.0]
    values[:100] = 1e12  # stray refits do not move it
    np.testing.assert_allclose(robust_spread(values), [1.0, 5.0], rtol=0.02)


def test_what_has_no_standard_error_gets_none_from_the_bootstrap():
    rng = np.random.default_rng(5)
    X = rng.uniform(-2, 2, size=(300, 1))
    X = X[np.abs(X[:, 0] - 0.3) > 0.1]
    y = np.where(X[:, 0] > 0.3, 3.0, X[:, 0] - 1) + 0.1 * rng.normal(size=len(X))
    with pytest.warns(DegenerateDataWarning, match="separated gates"):
        model = fitted(X, y)
    with pytest.warns(DegenerateDataWarning, match="separated"):
        result = model.inference(X, y)
    bootstrap = result.bootstrap(20, random_state=0)
    np.testing.assert_array_equal(np.isnan(bootstrap.bse), ~result.estimable)
    np.testing.assert_array_equal(np.isnan(bootstrap.conf_int(method="percentile")[:, 0]), ~result.estimable)


def test_competing_optima_are_told():
    """Three experts that overlap, in 200 rows: random starts often find a better optimum than the fit leads to."""
    X, y, _ = make_moe(200, 3, 3, noise=1.0, gate_scale=1.5, random_state=0)
    model = fitted(X, y, 3, n_init=10)
    result = _quiet(model.inference, X, y)
    with pytest.warns(DegenerateDataWarning, match=r"in \d+ of 20 replicates random starts found"):
        bootstrap = result.bootstrap(20, start="cold", random_state=0)
    assert bootstrap.refits.n_better >= 2
    assert bootstrap.refits.messages


def _quiet(call, *arguments):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)
        return call(*arguments)


# ---- refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"n_replicates": 1}, ValueError, "n_replicates must be at least 2, got 1"),
        ({"n_replicates": 10.0}, TypeError, "n_replicates must be an integer"),
        (
            {"kind": "jackknife"},
            ValueError,
            "kind must be one of 'weighted', 'pairs', 'parametric'",
        ),
        ({"start": "hot"}, ValueError, "start must be one of 'warm', 'cold', got 'hot'"),
        ({"random_state": "x"}, TypeError, "random_state must be"),
        ({"n_threads": 0}, ValueError, "n_threads must be at least 1"),
        ({"verbose": -1}, ValueError, "verbose must be at least 0"),
    ],
)
def test_bad_options_are_refused(result, change, error, message):
    with pytest.raises(error, match=message):
        result.bootstrap(**{"n_replicates": 5, **change})


def test_a_parametric_bootstrap_needs_independent_rows_of_one_weight():
    X, y, _ = make_moe(100, 2, 2, noise=0.3, random_state=1)
    w = 1.0 + np.arange(100) % 2
    with pytest.raises(ValueError, match="sample_weight must be the same for all"):
        fitted(X, y, 1, w).inference(X, y, w).bootstrap(5, kind="parametric")
    groups = np.arange(100) // 10
    clustered = fitted(X, y, 1).inference(X, y, cov_type="cluster", groups=groups)
    with pytest.raises(ValueError, match="draws independent rows"):
        clustered.bootstrap(5, kind="parametric")


def test_methods_of_intervals_are_checked(result):
    bootstrap = result.bootstrap(5, random_state=0)
    with pytest.raises(ValueError, match="method must be one of 'normal', 'percentile', got 'bca'"):
        bootstrap.conf_int(method="bca")
    for method in ("normal", "percentile"):
        with pytest.raises(ValueError, match="alpha must be a finite number above 0"):
            bootstrap.conf_int(0, method)


def test_an_error_in_a_replicate_is_not_lost(result, monkeypatch):
    def fails(fit, rng):
        raise RuntimeError("of a replicate")

    monkeypatch.setitem(KINDS, "weighted", fails)
    for n_threads in (1, 2):
        with pytest.raises(RuntimeError, match="of a replicate"):
            result.bootstrap(50, n_threads=n_threads)
