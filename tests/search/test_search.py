"""The search: starts and moves are functions of the rows' values, and together they find the best optimum."""

import itertools
import json
import warnings
from dataclasses import asdict, replace

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from tqdm import tqdm

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem, fit_em
from moefast.em.newton import newton_end
from moefast.em.rows import row_groups
from moefast.samples import Samples
from moefast.search import certification
from moefast.search.account import Account, Climb
from moefast.search.assignments import KINDS, nearest_rows
from moefast.search.best_optimum import search
from moefast.search.budget import Budget, Deadline
from moefast.search.certification import Certification
from moefast.search.detours import DETOURS
from moefast.search.local_optimum import LocalOptimum
from moefast.search.moves import CROSSING, MOVES
from moefast.search.report import ClimbReport, FitReport, MoveReport, StartReport
from moefast.search.run import Run
from moefast.search.settings import SearchSettings

X, Y, TRUTH = make_moe(400, 3, 3, noise=0.3, random_state=0)
OPTIONS = EmOptions(n_threads=1)
ONCE = EmProblem(Samples(X, Y, np.ones(400)), OPTIONS)


def arranged(rows, weights):
    """The same samples with some rows repeated, some weighted, in another order."""
    other = EmProblem(Samples(X, Y, np.ones(400)), OPTIONS)
    other.features, other.response = ONCE.features.subset(rows), ONCE.response[rows]
    other.sample_weight = np.asarray(weights, dtype=float)
    other.row_group = row_groups(other)
    return other


ORDER = np.random.default_rng(1).permutation(400)
SOME = np.quantile(Y, 0.75) <= Y  # one side, so that they count
DOUBLE_WEIGHT = arranged(np.arange(400), 1.0 + SOME)
TWO_COPIES = arranged(np.append(np.arange(400), np.flatnonzero(SOME)), np.ones(500))


@pytest.mark.parametrize("kind", KINDS)
def test_starts_are_functions_of_the_rows(kind):
    for seed in range(12):

        def labels(problem, seed=seed):
            return KINDS[kind](problem, 3, np.random.default_rng(seed))

        once = labels(ONCE)
        assert once.dtype == np.int32
        assert set(np.unique(once)) <= {0, 1, 2}
        np.testing.assert_array_equal(labels(arranged(ORDER, np.ones(400))), once[ORDER])
        np.testing.assert_array_equal(labels(TWO_COPIES)[:400], labels(DOUBLE_WEIGHT))
        np.testing.assert_array_equal(labels(TWO_COPIES)[400:], labels(DOUBLE_WEIGHT)[SOME])


@pytest.mark.parametrize("kind", KINDS)
def test_starts_use_all_experts_and_differ(kind):
    drawn = [KINDS[kind](ONCE, 3, np.random.default_rng(seed)) for seed in range(6)]
    assert sum(len(np.unique(labels)) == 3 for labels in drawn) >= 4
    assert len({labels.tobytes() for labels in drawn}) == 6


def test_local_regressions_find_parallel_lines():
    """Two lines far apart without noise: the nearest line is that of the row, or one of neither."""
    x = np.linspace(-1, 1, 400)[:, None]
    upper = np.arange(400) % 2
    problem = EmProblem(Samples(x, x[:, 0] + 100.0 * upper, np.ones(400)), OPTIONS)
    best = 0.0
    for seed in range(30):
        labels = KINDS["local regressions"](problem, 2, np.random.default_rng(seed))
        agreement = np.mean(labels == upper)
        best = max(best, agreement, 1 - agreement)
    assert best == 1.0


def test_distinct_and_nearest_rows():
    assert TWO_COPIES.n_distinct == ONCE.n_distinct == 400
    assert (row_groups(TWO_COPIES)[400:] == row_groups(TWO_COPIES)[:400][SOME]).all()
    for seed in range(5):
        near = nearest_rows(ONCE, 0.25, np.random.default_rng(seed))
        assert 95 <= near.sum() <= 105
        twice = nearest_rows(TWO_COPIES, 0.25, np.random.default_rng(seed))
        np.testing.assert_array_equal(twice[:400], nearest_rows(DOUBLE_WEIGHT, 0.25, np.random.default_rng(seed)))


@pytest.mark.parametrize("move", set(MOVES) - {"fewer rows", CROSSING})
def test_moves_give_responsibilities_and_are_functions_of_the_rows(move):
    mixture = TRUTH.to_standard(ONCE.standardisation)
    for seed in range(5):

        def moved(problem, seed=seed):
            return MOVES[move](LocalOptimum(problem, mixture), np.random.default_rng(seed))

        once = moved(ONCE)
        assert once.shape == (400, 3)
        assert once.min() >= 0
        np.testing.assert_allclose(once.sum(axis=1), 1.0, rtol=1e-12)
        assert np.abs(once - LocalOptimum(ONCE, mixture).responsibilities).max() > 0.3
        np.testing.assert_allclose(moved(arranged(ORDER, np.ones(400))), once[ORDER], atol=1e-8)
        np.testing.assert_allclose(moved(TWO_COPIES)[:400], moved(DOUBLE_WEIGHT), atol=1e-8)


def test_merging_and_splitting_by_residual_moves_one_side():
    """The emptied expert gets the rows above the split one, or those above what was merged."""
    mixture = TRUTH.to_standard(ONCE.standardisation)
    optimum = LocalOptimum(ONCE, mixture)
    R, residuals = optimum.responsibilities, optimum.residuals
    np.testing.assert_allclose(residuals, ONCE.t[:, None] - mixture.expert_means(ONCE.Z))
    allowed = []
    for i in range(3):
        for j in set(range(3)) - {i}:
            merged = R.copy()
            merged[:, j] += merged[:, i]
            for split in set(range(3)) - {i}:
                above = residuals[:, split] > 0
                new = merged.copy()
                new[:, i] = np.where(above, merged[:, split], 0.0)
                new[:, split] = np.where(above, 0.0, merged[:, split])
                allowed.append(new)
    for seed in range(10):
        new = MOVES["split by residual"](optimum, np.random.default_rng(seed))
        assert min(np.abs(new - other).max() for other in allowed) < 1e-12


@pytest.mark.parametrize(("seed", "noise"), [(0, "per_expert"), (1, "shared"), (2, "per_expert")])
def test_the_default_fit_reaches_what_em_from_the_truth_reaches(seed, noise):
    """Hard for random starts: five experts, steep gates."""
    X, y, truth = make_moe(1500, 4, 5, noise=0.2, gate_scale=6.0, random_state=seed)
    best = fit_em(X, y, truth, options=EmOptions(noise=noise)).log_likelihood
    model = MixtureOfExpertsRegressor(5, noise=noise, random_state=seed).fit(X, y)
    assert model.log_likelihood_ > best - 0.01
    assert model.fit_report_.n_at_best >= 1


@pytest.mark.filterwarnings("ignore:separated gates:moefast.DegenerateDataWarning")
def test_real_data_beat_many_random_starts():
    """On the diabetes data 30 random starts rarely reach what the search finds with each seed."""
    X, y = load_diabetes(return_X_y=True)
    random = MixtureOfExpertsRegressor(3, noise="shared", start="random", n_init=30, random_state=0).fit(X, y)
    for seed in range(3):
        searched = MixtureOfExpertsRegressor(3, noise="shared", random_state=seed).fit(X, y)
        assert searched.log_likelihood_ > random.log_likelihood_ - 0.01


def test_easy_data_end_early_and_report_it():
    X, y, truth = make_moe(2000, 5, 2, random_state=3)
    model = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    report = model.fit_report_
    assert len(report.starts) < 24  # no second group of starts
    assert report.n_optima == 1
    assert report.n_at_best == report.n_independent >= 7
    assert report.chance_of_another == pytest.approx(1 / (report.n_independent + 1))
    assert report.expected_gain == pytest.approx(0, abs=0.2)
    assert model.log_likelihood_ == pytest.approx(fit_em(X, y, truth).log_likelihood, abs=0.01)


@pytest.mark.filterwarnings("ignore:separated gates:moefast.DegenerateDataWarning")
def test_the_report_of_a_search():
    X, y = load_diabetes(return_X_y=True)
    model = MixtureOfExpertsRegressor(3, noise="shared", random_state=0).fit(X, y)
    report = model.fit_report_
    assert len(report.starts) > 20
    assert {start.kind for start in report.starts} == {"spectral", *KINDS}  # few rows for L4
    assert {start.detour for start in report.starts} == set(DETOURS)
    assert [(move.kind, move.detour) for move in report.moves] == list(itertools.product(MOVES, DETOURS))
    assert sum(move.n_tried for move in report.moves) == sum(climb.n_moves for climb in report.climbs) > 0
    assert all(0 <= move.n_gained <= move.n_tried for move in report.moves)
    # Moves led somewhere.
    assert sum(move.n_gained for move in report.moves) > 0
    gains = [c.log_likelihood - report.starts[c.start].log_likelihood for c in report.climbs]
    assert max(gains) > 1.0
    assert min(gains) > -1e-6
    iterations, best = np.array(report.progress).T
    assert (np.diff(iterations) >= 0).all()
    assert iterations[-1] <= report.n_iter_total
    # The result is released from the ridge under which the climbs ended.
    assert model.log_likelihood_ - 6.0 < max(climb.log_likelihood for climb in report.climbs)
    assert max(climb.log_likelihood for climb in report.climbs) == best[-1] <= model.log_likelihood_ + 1e-6
    assert report.chosen in {climb.start for climb in report.climbs}
    assert report.n_at_best <= report.n_independent <= len(report.climbs)
    assert 1 <= report.n_optima <= report.n_independent
    assert (report.n_rows, report.out_of_time) == (0, False)
    assert report.cpu_seconds > 0
    assert report.in_words() in model.summary().notes
    assert FitReport.from_dict(json.loads(json.dumps(asdict(report)))) == report


def test_a_sound_optimum_further_down_the_list_is_taken():
    """Where the likeliest end collapsed on all rows, the others are tried."""
    problem = EmProblem(Samples(X, Y, np.ones(400)), OPTIONS)
    settings = SearchSettings()
    budget = Budget(0, 400, Deadline(), tqdm(disable=True))
    account = Account(problem, budget, settings)
    good = problem.run(TRUTH.to_standard(problem.standardisation))
    broken = replace(good, mixture=replace(good.mixture, sigma=np.array([1e-3, 0.5, 0.5])), collapsed=())
    runs = [
        Run("broken", "", replace(broken, log_likelihood=good.log_likelihood + 10 * (4 - i)), 5) for i in range(4)
    ]
    account.climbs = [Climb(run, 8) for run in runs]
    account.best_starts = [Run("sound", "", good, 5)]  # no climb began there
    account.best = runs[0]

    def end_collapsed(starts, **_):
        """As if rows outside the search had made all but the sound one collapse."""
        return [
            replace(broken, collapsed=(0,)) if start is broken.mixture else replace(good, n_iter=0)
            for start in starts
        ]

    problem.run_many = end_collapsed
    best = Certification(problem, budget, settings).best(account.candidates())
    assert best.kind == "sound"
    assert best.fit.collapsed == ()


@pytest.mark.parametrize(
    ("detour", "said"),
    [
        ("", "tree leaves)"),
        ("other noise", "leaves, by the other noise first)"),
        ("annealed", ", annealed first)"),
    ],
)
def test_the_report_says_which_start_was_best(detour, said):
    best = StartReport("tree leaves", detour, -1.0, 5, "converged", ())
    report = FitReport((replace(best, kind="L4", detour=""), best), chosen=1, n_iter_total=99)
    assert report.in_words().startswith("Search: 2 starts (the best: tree leaves")
    assert f"{said} without moves out of local optima (99 EM iterations" in report.in_words()
    assert replace(report, starts=(best,), chosen=0).in_words().startswith("Search: one start (tree leaves")


@pytest.mark.parametrize(("n_at_best", "n_optima", "chance", "said"), [(1, 4, 1.0, "100%"), (4, 1, 0.2, "20%")])
def test_the_report_promises_nothing(n_at_best, n_optima, chance, said):
    start = StartReport("tree leaves", "", -1.0, 5, "converged", ())
    climbs = tuple(ClimbReport(0, -1.0, 2, ()) for _ in range(4))
    moves = (MoveReport("split and merge", "", 5, 2), MoveReport("reseed", "", 4, 1))
    of_climbs = {"n_independent": 4, "n_optima": n_optima, "n_at_best": n_at_best}
    report = FitReport((start,), 0, moves=moves, climbs=climbs, chance_of_another=chance, **of_climbs)
    words = report.in_words()
    assert "9 moves out of local optima, 3 of them upwards" in words
    assert f"{n_at_best} of 4 independent climbs ended at the best optimum seen" in words
    assert f"one more would end at a new one with a chance of about {said}. " in words
    assert words.endswith("A longer search (time_budget) may find a better optimum.")
    assert "cut by time_budget" in replace(report, out_of_time=True).in_words()
    assert "cut" not in words
    alone = replace(report, climbs=climbs[:1], n_independent=1, n_at_best=1).in_words()
    assert "climb" not in alone
    assert alone.endswith("A longer search (time_budget) may find a better optimum.")


@pytest.mark.parametrize("max_iter", range(12, 24))
def test_what_has_settled_stays_settled(max_iter):
    """The iteration limit, reached while the gradient is being met, is no failure."""
    X, y, _ = make_moe(200, 3, 2, noise=0.3, random_state=0)
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        model = MixtureOfExpertsRegressor(2, max_iter=max_iter, random_state=0).fit(X, y)
    assert model.n_iter_ <= max_iter
    assert model.converged_ == (not raised)
    assert model.converged_ or model.n_iter_ == max_iter
    assert model.converged_ or model.fit_report_.gradient > 1e-6


@pytest.mark.parametrize("gate_alpha", [0.0, 1e-3, 1.0])
def test_the_result_is_under_the_ridge_asked_for(gate_alpha):
    """Below the ridge of the search or above: EM with the ridge asked for finds nothing to do at the result."""
    X, y, _ = make_moe(400, 3, 3, noise=0.4, gate_scale=5.0, random_state=6)
    model = MixtureOfExpertsRegressor(3, gate_alpha=gate_alpha, random_state=0).fit(X, y)
    problem = EmProblem(Samples(X, y, np.ones(400)), EmOptions(gate_alpha=gate_alpha))
    (again,) = problem.run_many([model.mixture_.to_standard(problem.standardisation)], max_iter=0)
    assert again.gradient == pytest.approx(model.fit_report_.gradient, rel=0.05, abs=1e-9)
    assert again.gradient < 1.2e-6


def test_every_iteration_is_counted(monkeypatch):
    """The pass at the start of a run, and of each stage before it, counts as one."""
    run_many, passes = EmProblem.run_many, []

    def counted(self, starts, **options):
        fits = run_many(self, starts, **options)
        passes.extend(fit.n_iter + 1 + fit.n_before for fit in fits)
        return fits

    def counted_newton(*arguments, **options):
        end = newton_end(*arguments, **options)
        passes.append(end.n_passes)
        return end

    monkeypatch.setattr(EmProblem, "run_many", counted)
    monkeypatch.setattr(certification, "newton_end", counted_newton)
    model = MixtureOfExpertsRegressor(3, random_state=0).fit(X, Y)
    assert model.fit_report_.n_iter_total == sum(passes)


def test_the_search_does_not_depend_on_the_number_of_threads():
    X, y, _ = make_moe(300, 3, 3, noise=0.4, gate_scale=5.0, random_state=6)
    one, two = (MixtureOfExpertsRegressor(3, random_state=0, n_threads=n).fit(X, y) for n in (1, 2))
    assert one.fit_report_ == two.fit_report_
    np.testing.assert_array_equal(one.coef_, two.coef_)


def test_many_rows_are_searched_on_some_and_fitted_on_all():
    X, y, truth = make_moe(15_000, 3, 3, noise=0.2, random_state=7)
    model = MixtureOfExpertsRegressor(3, random_state=0).fit(X, y)
    assert 2200 < model.fit_report_.n_rows < 2800
    assert model.log_likelihood_ == pytest.approx(fit_em(X, y, truth).log_likelihood, abs=0.01)
    assert model.log_likelihood_ == pytest.approx(model.log_likelihood(X, y), rel=1e-12)
    # What the starts reached is told for all rows.
    chosen = model.fit_report_.starts[model.fit_report_.chosen]
    assert chosen.log_likelihood == pytest.approx(model.log_likelihood_, rel=0.1)


def test_a_time_budget_is_spent():
    """The clock ticks whenever it is looked at."""
    X, y, _ = make_moe(300, 3, 2, random_state=8)
    problem = EmProblem(Samples(X, y, np.ones(300)), OPTIONS)
    ticks = itertools.count()
    _, short = search(problem, 2, np.random.default_rng(0))
    deadline = Deadline(100, clock=lambda: next(ticks))
    _, long = search(problem, 2, np.random.default_rng(0), deadline=deadline)
    assert 100 < next(ticks) < 110  # used up, and little was begun afterwards
    assert long.n_iter_total > 1.5 * short.n_iter_total
    assert long.out_of_time
    assert not short.out_of_time


def test_hardly_any_time_is_one_short_run_from_one_random_start():
    """No moments of all rows either; what has not settled says so, and is evaluated on all rows."""
    X, y, _ = make_moe(20_000, 5, 5, noise=0.5, random_state=0)
    model = MixtureOfExpertsRegressor(5, random_state=0, time_budget=1e-9)
    with pytest.warns(ConvergenceWarning, match="raise time_budget, max_iter or tol"):
        model.fit(X, y)
    report = model.fit_report_
    assert not model.converged_
    assert report.out_of_time
    (start,) = report.starts
    assert start.kind in KINDS
    # A detour of 20 to 24 iterations and 25 more on a quarter of the rows, then passes over all of them.
    assert report.n_iter_total <= 24 + 25 + 5 + 4
    assert model.n_iter_ <= 25
    assert model.log_likelihood_ == pytest.approx(model.log_likelihood(X, y), rel=1e-12)


def test_what_a_time_budget_found_goes_on_until_it_settles_or_for_as_long_again():
    X, y, _ = make_moe(600, 3, 3, noise=1.0, random_state=8)
    problem = EmProblem(Samples(X, y, np.ones(600)), replace(OPTIONS, tol=0.0, max_iter=100_000))
    for budget in (3, 30):
        ticks = itertools.count()
        search(problem, 3, np.random.default_rng(0), deadline=Deadline(budget, clock=lambda t=ticks: next(t)))
        assert next(ticks) < 2 * budget + 15
    ticks = itertools.count(step=1e-9)
    problem = EmProblem(Samples(X, y, np.ones(600)), OPTIONS)
    fit, _ = search(problem, 3, np.random.default_rng(0), deadline=Deadline(1e-7, clock=lambda: next(ticks)))
    assert fit.converged


def test_a_number_of_starts_or_a_kind_is_compared_without_moves():
    X, y, _ = make_moe(300, 3, 2, random_state=9)
    for parameters in (
        {"n_init": 4},
        {"start": "random"},
        {"start": "spectral"},
        {"start": "random", "n_init": 1},
    ):
        report = MixtureOfExpertsRegressor(2, random_state=0, **parameters).fit(X, y).fit_report_
        assert report.moves == report.climbs == report.progress == ()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:separated gates:moefast.DegenerateDataWarning")
@pytest.mark.parametrize("max_iter", [1, 2, 26, 30])
def test_first_iterations_on_few_rows_count_against_the_limit(max_iter):
    """2500 rows for 14 parameters: the first iterations are on few of them."""
    rng = np.random.default_rng(0)
    X, A = rng.standard_normal((2500, 2)), rng.standard_normal((2, 2))
    y = (A[(X[:, 0] > 0).astype(int)] * X).sum(axis=1) + 0.3 * rng.standard_normal(2500)
    short = [MixtureOfExpertsRegressor(2, max_iter=max_iter, random_state=seed).fit(X, y) for seed in range(4)]
    assert max(model.n_iter_ for model in short) <= max_iter
    if max_iter > 20:  # how far fewer iterations lead depends on the start
        whole = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
        assert max(model.log_likelihood_ for model in short) > whole.log_likelihood_ - 0.1
