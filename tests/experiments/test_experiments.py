"""``moefast reproduce``: every experiment in small; runs resume and do not depend on how they were cut."""

import builtins
import os
import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.stats import bootstrap
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold

from moefast import l4
from moefast.cli import main
from moefast.datasets import make_moe, random_mixture
from moefast.experiments import (
    EXPERIMENTS,
    Plan,
    expert_error,
    gate_error,
    landscapes,
    learning_curves,
    run_experiment,
    starts,
)
from moefast.experiments.cells import cell_key, code_of
from moefast.experiments.gate_error import contraction
from moefast.experiments.measures import bootstrap_interval, chord_errors, unit_rows
from moefast.experiments.results import Results
from moefast.experiments.runner import Experiment
from moefast.spectral import recover_experts


def _reproduce(*args):
    return CliRunner().invoke(main, ["reproduce", *(str(a) for a in args)])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_in_small(name, tmp_path):
    result = _reproduce(name, "--quick", "--seeds", 2, "--output", tmp_path)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / f"{name}-quick.csv")
    assert list(table.columns[3:]) == list(EXPERIMENTS[name].columns)
    assert len(table) > 10
    assert not table.drop_duplicates("cell").empty
    text = (tmp_path / f"{name}-quick.md").read_text()
    assert result.stdout.strip() == text.strip()
    assert "nan" not in text
    pictures = list(tmp_path.glob("*.png"))
    assert f"{name}-quick.png" in [p.name for p in pictures]
    assert all(p.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for p in pictures)


# ---- the record -------------------------------------------------------------------------------------


def _two_powers(cell):
    """Two rows; the log tells which cells were computed."""
    with open(cell["log"], "a") as log:
        log.write(f"{cell['seed']}\n")
    if os.environ.get("HANG_IN_CELL") == str(cell["seed"]):  # until it is killed
        print("here", flush=True)
        sys.stdin.read()
    value = float(np.random.default_rng(cell["seed"]).normal())
    return [{"seed": cell["seed"], "power": power, "value": value**power} for power in (1, 2)]


def _run_toy(folder, n=4, run=_two_powers):
    cells = [{"log": str(folder.parent / "log"), "seed": seed} for seed in range(n)]
    toy = Experiment(
        "toy", "Toy", ("seed", "power", "value"), lambda _: cells, run, lambda _: {}, lambda t: f"{len(t)} rows"
    )
    return run_experiment(toy, Plan(), folder, echo=lambda _: None, verbose=False)


def _computed(folder):
    log = folder.parent / "log"
    return log.read_text().split() if log.exists() else []


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results"


def test_a_second_run_computes_only_what_is_missing(folder):
    assert "4 rows" in _run_toy(folder, n=2)
    assert "10 rows" in _run_toy(folder, n=5)
    assert _computed(folder) == list("01234")
    assert "4 rows" in _run_toy(folder, n=2)  # what is not asked for is kept, and stays out of the report
    assert len(pd.read_csv(folder / "toy.csv")) == 10
    assert _computed(folder) == list("01234")


@pytest.mark.parametrize("lines", [0.2, 1.0, 1.7, 2.0, 2.3])
def test_half_written_cells_are_taken_off_and_computed_again(folder, lines):
    """A file cut inside a line, between the two rows of a cell, or after a cell."""
    _run_toy(folder)
    whole = (folder / "toy.csv").read_bytes()
    rows = whole.splitlines(keepends=True)
    kept = b"".join(rows[: len(rows) - int(lines) - (lines % 1 > 0)])
    half = rows[len(rows) - int(lines) - 1][: int(len(rows[-1]) * (1 - lines % 1))] if lines % 1 else b""
    (folder / "toy.csv").write_bytes(kept + half)
    _run_toy(folder)
    assert (folder / "toy.csv").read_bytes() == whole
    assert _computed(folder)[4:] == (["3"] if lines <= 2 else ["2", "3"])


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    """Killed in the middle, then the same command: the CSV is that of an undisturbed run."""
    script = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import test_experiments as t;"
        "t._run_toy(pathlib.Path(sys.argv[2]), n=8)"
    )
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    command = [sys.executable, "-c", script, os.path.dirname(__file__), str(killed)]
    hanging = os.environ | {"HANG_IN_CELL": "3"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=hanging) as process:
        assert process.stdout.readline().strip() == b"here"
        process.kill()
    assert pd.read_csv(killed / "toy.csv")["cell"].nunique() == 3
    (tmp_path / "log").unlink()
    _run_toy(killed, n=8)
    assert _computed(killed) == list("34567")
    _run_toy(undisturbed, n=8)
    assert (killed / "toy.csv").read_bytes() == (undisturbed / "toy.csv").read_bytes()


def test_ctrl_c_keeps_what_is_done_and_says_so(tmp_path, monkeypatch):
    real, calls = expert_error.recover_from_moments, []

    def interrupted(*args, **options):
        calls.append(None)
        if len(calls) == 12:  # in the second cell
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(expert_error, "recover_from_moments", interrupted)
    stopped = _reproduce("expert-error", "--quick", "--output", tmp_path)
    assert stopped.exit_code == 130
    assert "goes on from there" in stopped.stderr
    assert pd.read_csv(tmp_path / "expert-error-quick.csv")["seed"].unique().tolist() == [0]
    assert _reproduce("expert-error", "--quick", "--output", tmp_path).exit_code == 0
    assert pd.read_csv(tmp_path / "expert-error-quick.csv")["seed"].unique().tolist() == [0, 1, 2]


def test_results_do_not_depend_on_the_number_of_jobs(tmp_path):
    texts = []
    for jobs in (1, 2):
        folder = tmp_path / str(jobs)
        result = _reproduce("landscapes", "--quick", "--seeds", 1, "--jobs", jobs, "--output", folder)
        assert result.exit_code == 0, result.output
        texts.append((folder / "landscapes-quick.csv").read_bytes())
    assert texts[0] == texts[1]


def test_a_failing_cell_keeps_the_others(folder):
    def fails(cell):
        if cell["seed"] == 2:
            raise ArithmeticError("seed 2")
        return _two_powers(cell)

    with pytest.raises(ArithmeticError, match="seed 2"):
        _run_toy(folder, run=fails)
    assert pd.read_csv(folder / "toy.csv")["seed"].unique().tolist() == [0, 1]


def test_a_file_that_is_no_record_is_not_touched(folder):
    folder.mkdir()
    for text in ("a,b\n1,2\n", "no table\n", 'a,"b\n1,2\n'):
        (folder / "toy.csv").write_text(text)
        with pytest.raises(ValueError, match=r"toy\.csv is not a record of results"):
            _run_toy(folder)
        assert (folder / "toy.csv").read_text() == text


@pytest.mark.parametrize("content", [b"one line of somebody else", b"\xff\xfe\x00", b"cell,cell_row,cell_rows,b"])
def test_a_single_line_of_somebody_else_is_not_touched(tmp_path, content):
    path = tmp_path / "record.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"record.csv is not a record of results"):
        Results(path, ["a"])
    assert path.read_bytes() == content


def test_a_header_cut_off_is_a_record(tmp_path):
    path = tmp_path / "record.csv"
    path.write_text("cell,cell_ro")
    Results(path, ["a"]).add("first", [{"a": 1}])
    assert Results(path, ["a"]).keys == {"first"}


def test_processes_in_one_folder_keep_each_others_cells(tmp_path):
    path = tmp_path / "record.csv"
    ours, theirs = Results(path, ["a"]), Results(path, ["a"])
    ours.add("ours", [{"a": 1}])
    theirs.add("theirs", [{"a": 2}, {"a": 3}])
    ours.sort(["ours"])
    theirs.sort(["theirs"])
    assert Results(path, ["a"]).keys == {"ours", "theirs"}
    assert theirs.table(["theirs"]).a.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("a,y\n" + "1,2\n" * 3, "has 3 rows; 5 folds need at least 10"),
        ("y\n" + "1\n2\n" * 6, "no column left for a feature beside 'y'"),
        ("a,y\n" + "1,2\n2,2\n" * 6, "column 'y' is constant"),
        ("a,y\n" + "u,2\nv,3\n" * 6, "column 'a' is not numeric"),
        ("a,b\n" + "1,2\n2,3\n" * 6, "no column 'y'"),
    ],
)
def test_tables_without_use_are_refused_before_the_work(tmp_path, table, match):
    path = tmp_path / "t.csv"
    path.write_text(table)
    ran = CliRunner().invoke(main, ["reproduce", "real-data", "--output", str(tmp_path), "--data", f"{path}:y"])
    assert ran.exit_code == 1
    assert match in ran.stderr
    assert not list(tmp_path.glob("real-data*"))


def test_columns_may_be_added_to_a_record(tmp_path):
    path = tmp_path / "record.csv"
    Results(path, ["a"]).add("first", [{"a": 0.1}])
    wider = Results(path, ["a", "b"])
    wider.add("second", [{"a": 0.2, "b": "text, with comma"}])
    table = Results(path, ["a", "b"]).table(["first", "second"])
    assert table["a"].tolist() == [0.1, 0.2]
    assert table["b"].isna().tolist() == [True, False]
    with pytest.raises(ValueError, match="of the columns declared"):
        wider.add("third", [{"c": 1}])


# ---- keys -------------------------------------------------------------------------------------------


def test_the_key_follows_the_code_that_is_run(monkeypatch):
    """Helpers and constants of the experiments count; comments, pictures and reports do not."""
    code = code_of(expert_error.run)
    assert "random_mixture" in code
    assert "def chord_errors" in code  # of another file of the package
    assert "def report" not in code
    assert "def recover_from_moments" not in code  # of moefast itself: by its version
    assert "Recover experts from nested prefixes" not in code
    monkeypatch.setattr(expert_error, "_DEFAULT_NOISE", 0.2)
    assert code_of(expert_error.run) != code
    monkeypatch.undo()
    assert code_of(expert_error.run) == code
    gates = code_of(gate_error.run)
    monkeypatch.setattr(gate_error, "_PLAIN", replace(gate_error._PLAIN, gate_alpha=1.0))
    assert code_of(gate_error.run) != gates
    monkeypatch.undo()
    monkeypatch.setattr("moefast.__version__", "9.9")
    assert cell_key(code, {"n": 1}) != cell_key(code, {"n": 2})
    before = cell_key(code, {"n": 1})
    monkeypatch.undo()
    assert cell_key(code, {"n": 1}) != before


# ---- measures ---------------------------------------------------------------------------------------


def test_chord_errors_are_those_of_matched_unit_vectors():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(3, 5))
    angles = np.array([0.1, 0.2, 0.3])
    across = rng.normal(size=(3, 5))
    across -= (across * true).sum(axis=1, keepdims=True) * true / (true**2).sum(axis=1, keepdims=True)
    across *= np.linalg.norm(true, axis=1, keepdims=True) / np.linalg.norm(across, axis=1, keepdims=True)
    found = np.cos(angles)[:, None] * true + np.sin(angles)[:, None] * across
    scaled = np.array([2.0, 0.5, 3.0])[:, None] * found
    np.testing.assert_allclose(chord_errors(scaled[[2, 0, 1]], true), 2 * np.sin(angles / 2), rtol=1e-12)
    assert chord_errors(-true, true).min() > 1.0  # a wrong sign is an error


def test_the_bootstrap_agrees_with_scipy():
    samples = np.random.default_rng(1).normal(size=50)
    low, high = bootstrap_interval(samples, lambda s: s.mean(axis=1), resamples=20_000)
    other = bootstrap((samples,), np.mean, method="percentile", n_resamples=20_000, rng=0).confidence_interval
    np.testing.assert_allclose([low, high], other, atol=0.01)


def test_slope_of_errors_with_a_known_rate():
    """Errors c n^(-1/2) up to noise, and one n at which nothing is found."""
    sizes = np.array([1e3, 1e4, 3e4, 1e5])
    noise = np.exp(0.2 * np.random.default_rng(0).normal(size=(50, 4)))
    errors = pd.DataFrame(10 * sizes**-0.5 * noise, columns=sizes)
    errors[1e3] = 1.4
    slope, low, high = expert_error.fit_slope(errors)
    assert low < -0.5 < high
    assert high - low < 0.15
    assert slope == pytest.approx(np.polyfit(np.log(sizes[1:]), np.log(errors.median()[1:]), 1)[0])
    assert np.isnan(expert_error.fit_slope(errors * 100)).all()


def test_contraction_of_a_geometric_sequence():
    distances = 0.3 ** np.arange(40.0)
    assert contraction(distances + 1e-12) == pytest.approx(0.3, rel=0.01)
    assert np.isnan(contraction(np.array([1.0, 1e-3, 1e-12])))


# ---- experiments ------------------------------------------------------------------------------------


def test_the_experts_measured_are_those_of_the_public_function():
    """Shared prefix sums give what recover_experts gives."""
    cell = {"d": 10, "sizes": [5000, 20_000], "links": ["linear", "tanh"], "seed": 3}
    rows = pd.DataFrame(expert_error.run(cell)).set_index(["link", "k", "n"])["error"]
    alone = pd.DataFrame(expert_error.run({**cell, "links": ["tanh"]})).set_index(["link", "k", "n"])["error"]
    assert alone.equals(rows[rows.index.get_level_values("link") == "tanh"])
    X = np.random.default_rng([3, 10]).normal(size=(20_000, 10))
    for k in (2, 3):
        rng = np.random.default_rng([3, 10, k, zlib.crc32(b"tanh")])
        truth = random_mixture(10, k, link="tanh", noise=0.05, orthogonal_gate=True, random_state=rng)
        y = truth.draw(X, rng)
        for n in (5000, 20_000):
            found = recover_experts(X[:n], y[:n], k, link="tanh", sigma=0.05, random_state=0)
            worst = np.sqrt(2 - 2 * unit_rows(found.coef) @ unit_rows(truth.coef).T).min(axis=0).max()
            assert rows["tanh", k, n] == pytest.approx(worst, rel=1e-5)


def test_real_data_takes_tables(tmp_path):
    X, y, _ = make_moe(300, 3, 2, noise=0.1, gate_scale=4.0, expert_intercept=1.0, random_state=0)
    path = tmp_path / "table.csv"
    pd.DataFrame(X, columns=["a", "b", "c"]).assign(answer=y).to_csv(path, index=False)
    output = tmp_path / "out"
    result = _reproduce("real-data", "--quick", "--data", f"{path}:answer", "--output", output)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(output / "real-data-quick.csv")
    means = table.groupby("method")["held_out"].mean()
    assert means["moefast"] > means["linear regression"] + 0.5
    assert set(table["data"]) == {"table"}
    # the mean of held-out rows for linear regression, computed by hand
    train, test = next(KFold(5, shuffle=True, random_state=0).split(X))
    line = LinearRegression().fit(X[train], y[train])
    sigma = np.std(y[train] - line.predict(X[train]))
    density = -0.5 * ((y[test] - line.predict(X[test])) / sigma) ** 2 - np.log(sigma * np.sqrt(2 * np.pi))
    first = table[(table["method"] == "linear regression") & (table["fold"] == 0)]["held_out"].iloc[0]
    assert first == pytest.approx(density.mean() + np.log(y.std()), rel=1e-6)


def test_likelihood_of_a_landscape_is_that_of_the_mixture():
    X, y, truth = make_moe(200, 10, 2, random_state=0)
    u = np.array([-60.0, 20.0])
    values = landscapes._minus_log_likelihood("likelihood, true gates", X, y, truth, u)
    errors = landscapes._squared_error("squared error, true gates", X, y, truth, u, u)
    for i in range(2):
        for j in range(2):
            coef = np.zeros((2, 10))
            coef[:, :2] = landscapes._at(np.array([u[i], u[j]]))
            there = replace(truth, coef=coef)
            assert values[i, j] == pytest.approx(-there.log_density(X, y).mean())
            assert errors[i, j] == pytest.approx(((y - there.mean(X)) ** 2).mean())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_learning_curves_end_where_the_methods_end():
    """The curves are of the runs themselves: the last epoch is what the fit returns."""
    cell = {"k": 2, "n": 20_000, "starts": 2, "epochs": 4, "seed": 1}
    table = pd.DataFrame(learning_curves.run(cell))
    X, y, truth = make_moe(20_000, 10, 2, noise=0.1, orthogonal_gate=True, random_state=1)
    found = l4.recover_experts(
        X,
        y,
        2,
        sigma=0.1,
        solver="sgd",
        n_starts=2,
        n_epochs=4,
        batch_size=200,
        fit_intercept=False,
        random_state=1,
    )
    mine = table[table["method"] == "L4, whitened, SGD"].set_index(["epoch", "start"])
    assert sorted(mine.index.get_level_values("epoch").unique()) == list(range(5))
    for start, run in enumerate(found.runs):
        distances = np.linalg.norm(run.coef[:, None] - truth.coef[None], axis=2)
        worst = min(distances[[0, 1], [0, 1]].max(), distances[[1, 0], [0, 1]].max())
        assert mine.loc[(4, start), "error"] == pytest.approx(worst, rel=1e-5)
    ends = table.dropna(subset="gate_error")
    assert ends.groupby("method").size().tolist() == [1, 1, 1, 1]
    assert (ends["epoch"] == 4).all()


def test_regimes_are_what_their_names_say():
    """On the data themselves: share, angles, correlation, moments, norms of the gates."""

    def drawn(name, **changes):
        return starts._draw_data({**starts._BASE, **starts._REGIMES[name], **changes, "regime": name, "seed": 3})

    X, _, truth = drawn("an expert with 2 %")
    assert truth.gate_proba(X)[:, 0].mean() == pytest.approx(0.02, rel=1e-6)
    _, _, truth = drawn("correlated experts")
    np.testing.assert_allclose(truth.coef @ truth.coef.T, 0.1 * np.eye(3) + 0.9, atol=1e-12)
    np.testing.assert_allclose(truth.coef @ truth.gate_coef.T, 0.0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(truth.gate_coef, axis=1), [2, 2, 0], atol=1e-12)
    X, _, _ = drawn("correlated features", n=50_000)
    np.testing.assert_allclose(np.cov(X.T)[0, :3], [1, 0.9, 0.81], atol=0.03)
    for name in ("heavy tails", "skewed features"):
        X, _, _ = drawn(name, n=100_000)
        np.testing.assert_allclose(X.mean(axis=0), 0, atol=0.03)
        np.testing.assert_allclose(X.std(axis=0), 1, atol=0.05)
    assert np.linalg.norm(drawn("steep gates")[2].gate_coef[0]) == pytest.approx(20)


def test_as_good_as_the_truth_means_the_same_answer():
    cell = {**starts._BASE, "n": 1000, "starts": 1, "regime": "easy", "seed": 0}
    table = pd.DataFrame(starts.run(cell))
    assert set(table["method"]) == {*starts._EM_STARTS, "spectral", "L4", "moefast"}
    good = table[table["same_likelihood"]]
    assert len(good) >= 4
    np.testing.assert_allclose(good["error"], good["best_error"], rtol=1e-2)
    assert (good["best_error"] < 0.05).all()
    # with an expert too many the reference splits one, which before the step apart is the same model
    X, y, truth = starts._draw_data(cell)
    split = starts._true_starts(truth, 4, 0)[1]
    split = replace(split, coef=np.vstack([truth.coef, truth.coef[1]]))
    np.testing.assert_allclose(split.log_density(X, y), truth.log_density(X, y))


# ---- the command ------------------------------------------------------------------------------------


def test_bad_requests_are_one_plain_line(tmp_path):
    for arguments, word in (
        (("nonsense",), "nonsense"),
        (("landscapes", "--data", "a.csv:y"), "real-data"),
        (("real-data", "--data", "a.csv"), "FILE:TARGET"),
        (("real-data", "--data", "missing.csv:y"), "missing.csv"),
        (("landscapes", "--jobs", 0), "jobs"),
        (("landscapes", "--seeds", 0), "seeds"),
    ):
        result = _reproduce(*arguments, "--output", tmp_path / "out")
        assert result.exit_code != 0
        assert word in result.stderr
        assert isinstance(result.exception, SystemExit)
        assert not (tmp_path / "out").exists()


def test_without_matplotlib_the_work_is_done_all_the_same(tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    result = _reproduce("landscapes", "--quick", "--output", tmp_path)
    assert result.exit_code == 0, result.output
    assert 'pip install "moefast[plot]"' in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["landscapes-quick.csv", "landscapes-quick.md"]
