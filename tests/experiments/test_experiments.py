"""``moefast reproduce``: every experiment in small; their data, curves and keys."""

import builtins
import zlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from reproduce import reproduce
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold

from moefast import l4
from moefast.datasets import make_moe, random_mixture
from moefast.experiments import (
    EXPERIMENTS,
    expert_error,
    gate_error,
    landscapes,
    learning_curves,
    starts,
)
from moefast.experiments.cells import cell_key, code_of
from moefast.experiments.measures import unit_rows
from moefast.spectral import recover_experts


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_in_small(name, tmp_path):
    seeds = 1 if name == "starts" else 2  # one, as --quick has by itself, where a cell takes longest
    result = reproduce(name, "--quick", "--seeds", seeds, "--output", tmp_path)
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


# ---- keys --------------------------------------------------------------------------------------------


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


# ---- experiments -------------------------------------------------------------------------------------


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
    result = reproduce("real-data", "--quick", "--data", f"{path}:answer", "--output", output)
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
    values = landscapes._minus_log_likelihood(landscapes._LOSSES["likelihood, true gates"], X, y, truth, u)
    errors = landscapes._squared_error(landscapes._LOSSES["squared error, true gates"], X, y, truth, u, u)
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
    assert truth.gates(X)[:, 0].mean() == pytest.approx(0.02, rel=1e-6)
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


# ---- the command -------------------------------------------------------------------------------------


def test_bad_requests_are_one_plain_line(tmp_path):
    for arguments, word in (
        (("nonsense",), "nonsense"),
        (("landscapes", "--data", "a.csv:y"), "real-data"),
        (("real-data", "--data", "a.csv"), "FILE:TARGET"),
        (("real-data", "--data", "missing.csv:y"), "missing.csv"),
        (("landscapes", "--jobs", 0), "jobs"),
        (("landscapes", "--seeds", 0), "seeds"),
    ):
        result = reproduce(*arguments, "--output", tmp_path / "out")
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
    result = reproduce("landscapes", "--quick", "--output", tmp_path)
    assert result.exit_code == 0, result.output
    assert 'pip install "moefast[plot]"' in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["landscapes-quick.csv", "landscapes-quick.md"]
