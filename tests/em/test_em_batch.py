"""Many EM runs at once: each is what it is alone, has its own status, gives up when it cannot win."""

import signal
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from moefast import _core, build_info
from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem, HardAssignment
from moefast.mixture import Mixture
from moefast.samples import Samples
from oracles import core
from oracles import em as em_oracles

SETS = build_info()["instruction_sets"]


def problem_of(n=600, d=3, k=3, noise=0.3, seed=0, **options):
    X, y, truth = make_moe(n, d, k, noise=noise, random_state=seed)
    problem = EmProblem(Samples(X, y, np.ones(n)), EmOptions(**{"n_threads": 1, **options}))
    return problem, truth.to_standard(problem.standardisation)


def labels(problem, k, seed):
    rng = np.random.default_rng(seed)
    return HardAssignment(rng.integers(0, k, size=len(problem.t), dtype=np.int32), k)


def same(a, b):
    for name in ("coef", "intercept", "gate_coef", "gate_intercept", "sigma"):
        np.testing.assert_array_equal(getattr(a.mixture, name), getattr(b.mixture, name))
    np.testing.assert_array_equal(a.trace, b.trace)
    np.testing.assert_array_equal(a.totals, b.totals)
    assert (a.log_likelihood, a.n_iter, a.status, a.collapsed) == (
        b.log_likelihood,
        b.n_iter,
        b.status,
        b.collapsed,
    )


# ---- a batch is its runs -------------------------------------------------------------------------------


# Many rows and few starts: threads share each pass. On few rows there is one thread.
@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize(("n", "d"), [(600, 3), (20_000, 24)])
def test_a_batch_is_bit_for_bit_its_runs(n, d, n_threads):
    alone, truth = problem_of(n, d)
    together, _ = problem_of(n, d, n_threads=n_threads)
    assignment = labels(alone, 2, 0)
    soft = np.random.default_rng(0).dirichlet(np.ones(4), size=n)
    many = together.run_many([truth, assignment, soft], max_iter=7)
    same(many[0], alone.run(truth, max_iter=7))
    same(many[1], alone.run(responsibilities=np.eye(2)[assignment.labels], max_iter=7))
    same(many[2], alone.run(responsibilities=soft, max_iter=7))
    assert [fit.mixture.n_experts for fit in many] == [3, 2, 4]


def test_many_runs_keep_their_order():
    """Enough work for threads, which take whole runs."""
    alone, _ = problem_of(2000, 10)
    together, _ = problem_of(2000, 10, n_threads=4)
    starts = [labels(alone, 8, seed) for seed in range(100)]
    fits = together.run_many(starts, max_iter=25)
    for i in (0, 1, 2, 49, 97, 98, 99):
        same(fits[i], alone.run_many([starts[i]], max_iter=25)[0])


def test_no_starts_no_fits():
    assert problem_of()[0].run_many([]) == []


def test_each_run_has_its_own_status():
    problem, truth = problem_of(noise=0.05)
    wild = Mixture(np.full((2, 3), 1e200), np.zeros(2), np.zeros((2, 3)), np.zeros(2), np.ones(2))
    fits = problem.run_many([truth, labels(problem, 3, 0), wild], max_iter=10)
    assert [fit.status for fit in fits] == ["converged", "iteration_limit", "degenerate"]
    assert fits[1].n_iter == 10


def test_a_run_goes_on_from_where_it_stopped():
    """With a metric of the gates made anew, so on another way to the same end."""
    problem, _ = problem_of(d=8, tol=0.0, max_iter=3000)
    start = labels(problem, 3, 1)
    (whole,) = problem.run_many([start])
    (first,) = problem.run_many([start], max_iter=12)
    (second,) = problem.run_many([first.mixture])
    np.testing.assert_array_equal(first.trace, whole.trace[:13])
    assert second.trace[0] == pytest.approx(first.trace[-1], rel=1e-13)
    assert np.diff(second.trace).min() > -1e-9
    np.testing.assert_allclose(second.mixture.coef, whole.mixture.coef, atol=1e-4)
    assert second.trace[-1] == pytest.approx(whole.trace[-1], abs=1e-5)


@pytest.mark.parametrize("link", ["linear", "tanh"])
def test_where_every_pass_makes_the_metric_a_run_goes_on_as_if_it_had_not_stopped(link):
    """With two experts and one column, or a link."""
    X, y, truth = make_moe(600, 1 if link == "linear" else 3, 2, link=link, noise=0.3, random_state=0)
    problem = EmProblem(Samples(X, y, np.ones(600)), EmOptions(tol=0.0, accelerate=False), truth.link)
    start = labels(problem, 2, 1)
    (whole,) = problem.run_many([start], max_iter=30)
    (first,) = problem.run_many([start], max_iter=12)
    (second,) = problem.run_many([first.mixture], max_iter=18)
    np.testing.assert_allclose(second.mixture.coef, whole.mixture.coef, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(np.append(first.trace, second.trace[1:]), whole.trace, rtol=1e-12)


# ---- a likelihood to beat ------------------------------------------------------------------------------


def test_runs_that_cannot_win_give_up_and_winners_do_not():
    """Over many starts: nobody who would have come within a unit of the goal is stopped, and most others are."""
    problem, _ = problem_of(n=800, k=4, noise=0.1, seed=1, max_iter=3000)
    starts = [labels(problem, 4, seed) for seed in range(60)]
    ends = problem.run_many(starts)
    goal = max(fit.trace[-1] for fit in ends)
    fits = problem.run_many(starts, to_beat=goal - 1.0)
    lost = [i for i, fit in enumerate(ends) if fit.trace[-1] < goal - 15]
    beaten = [i for i, fit in enumerate(fits) if fit.status == "beaten"]
    assert set(beaten) <= {i for i, fit in enumerate(ends) if fit.trace[-1] < goal - 1.0}
    assert len(lost) >= 5
    assert len(set(lost) & set(beaten)) >= 0.8 * len(lost)
    assert sum(fits[i].n_iter for i in lost) < 0.8 * sum(ends[i].n_iter for i in lost)
    for i in set(range(60)) - set(beaten):
        same(fits[i], ends[i])
    # Up to where it stopped a beaten run is the same, and it can go on.
    for i in beaten:
        np.testing.assert_array_equal(fits[i].trace, ends[i].trace[: len(fits[i].trace)])
    (resumed,) = problem.run_many([fits[beaten[0]].mixture])
    assert resumed.trace[-1] == pytest.approx(ends[beaten[0]].trace[-1], abs=0.01)


def test_without_or_with_an_easy_goal_nothing_changes():
    problem, _ = problem_of()
    start = labels(problem, 3, 2)
    (plain,) = problem.run_many([start])
    # The forecast errs by units on a run as slow as this one, whose gains grow again three times.
    for to_beat in (None, -1e300, -np.inf, float(plain.trace[-1]) - 5.0):
        same(problem.run_many([start], to_beat=to_beat)[0], plain)


def test_growing_gains_are_not_beaten():
    """A run that leaves a saddle gains little at first, but more and more: it may still win."""
    X, y, truth = make_moe(1000, 2, 2, noise=0.2, random_state=16)
    problem = EmProblem(Samples(X, y, np.ones(1000)), EmOptions())
    one = problem.run(responsibilities=np.ones((1000, 1))).mixture
    start = Mixture(
        one.coef + 1e-5 * np.eye(2),
        np.repeat(one.intercept, 2),
        np.zeros((2, 2)),
        np.zeros(2),
        np.repeat(one.sigma, 2),
    )
    best = problem.run(truth.to_standard(problem.standardisation)).trace[-1]
    (fit,) = problem.run_many([start], to_beat=float(best) - 1.0)
    assert fit.status == "converged"
    assert fit.trace[-1] == pytest.approx(best, abs=0.1)


# ---- what is refused -----------------------------------------------------------------------------------


def batch_arguments():
    X, y, w, p = em_oracles.random_problem(5, 2, 2, seed=9)
    problem = EmProblem(Samples(X, y, w + 0.1), EmOptions())
    return X, y, w, (p.experts, p.gates, p.variance), problem._settings(3)


@pytest.mark.parametrize(
    ("responsibilities", "chosen", "message"),
    [
        (np.zeros((5, 3)), None, "responsibilities must have shape"),
        (None, np.zeros(4, dtype=np.int32), "labels must have shape"),
        (None, np.array([0, 1, 2, 0, 0], dtype=np.int32), "labels must be from 0 to 1, got 2"),
        (None, np.array([0, 1, -1, 0, 0], dtype=np.int32), "labels must be from 0 to 1, got -1"),
        (np.zeros((5, 2)), np.zeros(5, dtype=np.int32), "not both"),
    ],
)
def test_wrong_assignments_are_refused(responsibilities, chosen, message):
    X, y, w, parameters, options = batch_arguments()
    good = (*parameters, None, None)
    with pytest.raises(ValueError, match=message):
        _core.em_run(_core.EmData(X, y, w), [good, (*parameters, responsibilities, chosen)], options)


def test_wrong_parameters_are_refused():
    X, y, w, (experts, gates, variance), options = batch_arguments()
    for changed in (
        (experts[:, :2], gates, variance),
        (experts, gates[:1], variance),
        (experts, gates, -variance),
    ):
        arrays = tuple(np.ascontiguousarray(a) for a in changed)
        with pytest.raises(ValueError, match="must"):
            _core.em_run(_core.EmData(X, y, w), [(*arrays, None, None)], options)
    with pytest.raises(TypeError, match=r"^experts must be an array of float64 in C order, got dtype.*float32"):
        _core.em_run(_core.EmData(X, y, w), [(experts.astype(np.float32), gates, variance, None, None)], options)
    with pytest.raises(ValueError, match="to_beat must"):
        problem_of()[0]._settings(1, to_beat=np.nan)


# ---- interrupts ----------------------------------------------------------------------------------------


# Many runs on few rows, and few runs on many rows, of which no run would end by itself.
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(("n", "n_starts"), [(2000, 400), (40_000, 2)])
def test_an_interrupt_reaches_a_batch(n, n_starts, n_threads):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, 10)), rng.normal(size=n)
    problem = EmProblem(Samples(X, y, np.ones(n)), EmOptions(tol=0.0, max_iter=10**9, n_threads=n_threads))
    starts = [labels(problem, 8, seed) for seed in range(n_starts)]
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])

    def started():
        timer.start()
        problem.run_many(starts)

    try:
        with pytest.raises(KeyboardInterrupt):
            started()
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGINT, previous)
    # The next batch is whole.
    same(problem.run_many(starts[:1], max_iter=2)[0], problem.run_many(starts[:2], max_iter=2)[0])


# ---- the statistics behind it, for anything in range ---------------------------------------------------


def test_large_statistics_take_fewer_lanes_and_do_not_depend_on_threads():
    """A million products a lane: lanes are limited by memory here, not by rows."""
    X, y, w, p = em_oracles.random_problem(8300, 50, 40, seed=0, spread=0.1)
    of_threads = [EmProblem(Samples(X, y, w + 1.0), EmOptions(n_threads=t))._settings(1) for t in (1, 3)]
    serial, parallel = (core.e_step(X, y, w, p, s) for s in of_threads)
    for name, value in serial.items():
        np.testing.assert_array_equal(value, parallel[name], name)
    U = np.column_stack([X, np.ones(8300)])
    r = np.asarray(em_oracles.posterior(X, y, p), dtype=float)
    b, a = np.tril_indices(51)
    np.testing.assert_allclose(serial["products"][:, 7], ((U * (w * r[:, 7])[:, None]).T @ U)[a, b], atol=1e-9)
    np.testing.assert_allclose(serial["totals"], w @ r, rtol=1e-10)


@pytest.mark.parametrize("instruction_set", SETS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(1, 900),
    d=st.integers(1, 12),
    k=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
    given_kind=st.sampled_from(["posterior", "responsibilities", "means", "log_densities"]),
    log_weight=st.integers(-150, 150),
    log_units=st.integers(-30, 30),
    log_sigma=st.integers(-3, 20),
)
@example(n=1, d=4, k=6, seed=0, given_kind="posterior", log_weight=0, log_units=0, log_sigma=-3)  # terms underflow
def test_statistics_are_the_oracles(instruction_set, n, d, k, seed, given_kind, log_weight, log_units, log_sigma):
    """Any shape, weights of any size with zeros among them, y and experts in any units, wide or narrow noise."""
    X, y, w, p = em_oracles.random_problem(n, d, k, seed, spread=1 / np.sqrt(d))
    rng = np.random.default_rng(seed)
    w *= 10.0**log_weight * (rng.random(n) > 0.2)
    units = 10.0**log_units
    y *= units
    p.experts *= units
    p.variance *= (units * 10.0 ** (log_sigma / 2)) ** 2
    extra = {}
    if given_kind == "responsibilities":
        extra["responsibilities"] = rng.dirichlet(np.ones(k), size=n)
    if given_kind == "means":
        extra["means"] = units * rng.normal(size=(n, k))
    if given_kind == "log_densities":
        extra["log_densities"] = 10.0 ** (log_sigma / 10) * rng.normal(size=(n, k))
    before = build_info()["instruction_set"]
    _core.use_instruction_set(instruction_set)
    try:
        one_thread = EmProblem(Samples(X, y, w + 1.0), EmOptions(n_threads=1))._settings(1)
        found = core.e_step(X, y, w, p, one_thread, **extra)
    finally:
        _core.use_instruction_set(before)
    wanted, size = em_oracles.statistics(X, y, w, p, **extra)
    # Rounding of a score enters through exp and e / s, which is up to 1e2 in size here.
    rounding = 1e-11 * (1 + np.abs(p.gates).max())
    # log P has the size of its parts: they cancel when P is near 1.
    size["log_likelihood"] = size["log_likelihood"] + w.sum() * (1 + abs(np.log(p.variance)).max())
    # Shares of a row below 1e-304 count as 0, and those that underflow times w are rounded; what they are
    # multiplied with is at most this.
    means = extra.get("means", np.column_stack([X, np.ones(n)]) @ p.experts.T)
    largest = (1 + np.abs(y[:, None] - means).max()) ** 2 * (1 + np.abs(X).max()) ** 2
    lost = largest * (1e-304 * w.sum() + n * np.finfo(float).smallest_subnormal)
    frozen = given_kind in ("means", "log_densities")
    assert not found.pop("gate_products").size  # they stand beside those of experts
    assert not found.pop("shape_slopes").any()  # normal responses have no shape
    assert not found.pop("shape_curvatures").any()
    for name, value in found.items():
        if frozen and name == "residuals":
            assert not value.any()
            continue
        rows = (..., slice(k, None)) if frozen and name == "products" else ...
        error = np.abs(np.asarray(value)[rows] - np.asarray(wanted[name])[rows])
        allowed = rounding * np.asarray(size[name])[rows] + 1e-14 * w.sum() * (name in ("gate_slope", "totals"))
        assert (error <= allowed + lost).all(), name
