"""The statistics of one EM pass in C++ against a slow oracle, for any number of threads."""

import numpy as np
import pytest

from moefast import _core
from oracles import core
from oracles import em as em_oracles

NAMES = ("log_likelihood", "totals", "squares", "residuals", "gate_slope", "products")
EPS = np.finfo(float).eps


def settings(**changes):
    values = {
        "max_iter": 10,
        "tol": 1e-8,
        "fit_intercept": True,
        "fit_gate_intercept": True,
        "update_noise": True,
        "shared_noise": False,
        "variance_floor": 1e-12,
        "alpha": 0.0,
        "gate_alpha": 0.0,
        "n_threads": 1,
        "accelerate": False,
    }
    return _core.EmSettings(**(values | changes))


def statistics(X, y, w, p, responsibilities=None, *, n_threads=1, **frozen):
    return core.e_step(X, y, w, p, settings(n_threads=n_threads), responsibilities, **frozen)


def assert_agrees(found, problem, names=NAMES, **given):
    """To rounding, measured against the sum of the absolute values of the terms of each sum."""
    X, _, _, p = problem
    wanted, size = em_oracles.statistics(*problem, **given)
    # A score is a sum of d + 1 products; its rounding enters through exp and e / s, of order 10 here.
    rounding = 50 * (X.shape[1] + 1) * EPS * (1 + np.abs(p.experts).max() + np.abs(p.gates).max())
    for name in names:
        np.testing.assert_array_less(np.abs(found[name] - wanted[name]), rounding * size[name] + 1e-300, name)


# Vectors have up to 8 rows, chunks 384, lanes at least 1024, threads start at 8192: one row around each.
@pytest.mark.parametrize(
    "n", [1, 2, 7, 8, 9, 64, 383, 384, 385, 769, 1023, 1024, 1025, 2048, 2111, 8191, 8192, 8193, 17000]
)
def test_any_number_of_rows(n):
    problem = em_oracles.random_problem(n, 3, 3, seed=n)
    assert_agrees(statistics(*problem), problem)


# All remainders of the tiles of pairs and rows; k = 1 has no gate products.
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("d", [1, 2, 3, 5, 24, 60])
def test_any_number_of_features_and_experts(d, k):
    problem = em_oracles.random_problem(150, d, k, seed=10 * d + k, spread=1 / np.sqrt(d))
    found = statistics(*problem)
    assert_agrees(found, problem)
    assert found["products"].shape == ((d + 1) * (d + 2) // 2, k + k * (k - 1) // 2)


@pytest.mark.parametrize("weights", ["ones", "zeros among them", "huge", "tiny"])
def test_weights(weights):
    X, y, w, p = em_oracles.random_problem(200, 3, 3, seed=1)
    w = {
        "ones": np.ones(200),
        "zeros among them": np.where(np.arange(200) % 3 == 0, 0.0, w),
        "huge": 1e100 * w,
        "tiny": 1e-100 * w,
    }[weights]
    assert_agrees(statistics(X, y, w, p), (X, y, w, p))


def test_a_zero_weight_row_counts_for_nothing():
    """Not even when its values are extreme."""
    X, y, w, p = em_oracles.random_problem(130, 3, 2, seed=2)
    w[7] = 0.0
    wild_X, wild_y = X.copy(), y.copy()
    wild_X[7], wild_y[7] = 1e6, -1e6
    plain, wild = statistics(X, y, w, p), statistics(wild_X, wild_y, w, p)
    for name in NAMES:
        np.testing.assert_array_equal(plain[name], wild[name], name)


def test_given_responsibilities_replace_the_posterior():
    problem = em_oracles.random_problem(300, 4, 3, seed=3)
    r = np.random.default_rng(3).dirichlet(np.ones(3), size=300)
    found = statistics(*problem, r)
    assert_agrees(found, problem, responsibilities=r)
    # The likelihood is that of the parameters all the same.
    assert found["log_likelihood"] == statistics(*problem)["log_likelihood"]


def test_frozen_means_replace_the_experts():
    """Rows of frozen experts that nobody reads stay 0; everything else follows the means."""
    problem = em_oracles.random_problem(300, 4, 3, seed=4)
    means = np.random.default_rng(4).normal(size=(300, 3))
    found = statistics(*problem, means=means)
    assert_agrees(found, problem, ("log_likelihood", "totals", "squares", "gate_slope"), means=means)
    wanted, size = em_oracles.statistics(*problem, means=means)
    atol = 1e-12 * size["products"].max()
    np.testing.assert_allclose(found["products"][:, 3:], wanted["products"][:, 3:], atol=atol)
    assert not found["residuals"].any()
    assert not found["products"][:, :3].any()


def test_log_densities_take_the_place_of_experts_and_noise():
    """Of any law; nobody asks for the experts' sums, nor for y."""
    X, y, w, p = em_oracles.random_problem(300, 4, 3, seed=4)
    log_densities = np.random.default_rng(4).normal(size=(300, 3)) - 3.0
    found = statistics(X, y, w, p, log_densities=log_densities)
    names = ("log_likelihood", "totals", "squares", "residuals", "gate_slope")
    assert_agrees(found, (X, y, w, p), names, log_densities=log_densities)
    wanted, size = em_oracles.statistics(X, y, w, p, log_densities=log_densities)
    atol = 1e-12 * size["products"].max()
    np.testing.assert_allclose(found["products"][:, 3:], wanted["products"][:, 3:], atol=atol)
    assert not found["products"][:, :3].any()
    assert not found["squares"].any()
    other = em_oracles.Parameters(p.experts + 1.0, p.gates, 2.0 * p.variance)
    for name, value in statistics(X, y + 1.0, w, other, log_densities=log_densities).items():
        np.testing.assert_array_equal(value, found[name], name)


def test_normal_log_densities_are_means_with_noise():
    X, y, w, p = em_oracles.random_problem(300, 4, 3, seed=4)
    means = np.random.default_rng(4).normal(size=(300, 3))
    densities = np.asarray(em_oracles.log_terms(X, y, p, means)[1], dtype=float)
    by_means, by_density = statistics(X, y, w, p, means=means), statistics(X, y, w, p, log_densities=densities)
    for name in ("log_likelihood", "totals", "gate_slope", "products"):
        np.testing.assert_allclose(by_density[name], by_means[name], rtol=1e-11, atol=1e-11, err_msg=name)


@pytest.mark.parametrize(
    ("frozen", "message"),
    [
        ({"means": np.zeros((5, 2)), "log_densities": np.zeros((5, 2))}, "either means or log_densities"),
        ({"log_densities": np.zeros((5, 2))}, "update_noise must be false"),
    ],
)
def test_contradicting_accounts_of_frozen_experts_are_refused(frozen, message):
    X, y, w, p = em_oracles.random_problem(5, 2, 2, seed=9)
    start = (p.experts, p.gates, p.variance, None, None)
    with pytest.raises(ValueError, match=message):
        _core.em_run(_core.EmData(X, y, w, **frozen), [start], settings())


@pytest.mark.parametrize("given", ["posterior", "responsibilities", "means", "log_densities"])
@pytest.mark.parametrize("columns", [None, [0, 2]])
@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("n", [300, 9000])
def test_a_pass_makes_the_sums_that_are_wanted(n, k, columns, given):
    """Those of a pass that makes all of them; the others have no columns.

    To the bit but for the products: the kernel multiplies the smaller side by the weights, and which side that is
    depends on how many columns there are.
    """
    X, y, w, p = em_oracles.random_problem(n, 4, k, seed=10)
    p.experts = np.ascontiguousarray(p.experts[:, [0, 2, 4]]) if columns else p.experts
    array = np.random.default_rng(0).dirichlet(np.ones(k), size=n)
    frozen = {given: array} if given in ("means", "log_densities") else {}
    data = _core.EmData(X, y, w, **frozen, expert_columns=columns)
    at = (p.experts, p.gates, p.variance, array if given == "responsibilities" else None, None)
    of = {sums: _core.e_step(data, at, settings(), sums) for sums in ("gradient", "experts", "all")}
    assert_same_sums(_core.e_step(data, at, settings()), of["all"])
    empty = {"products": np.zeros((len(of["all"]["products"]), 0))}
    no_gates = {"gate_products": np.zeros((15, 0))}
    assert_same_sums(of["experts"], of["all"] | no_gates | {"products": of["all"]["products"][:, :k]})
    assert_same_sums(of["gradient"], of["all"] | no_gates | empty)


def assert_same_sums(found, wanted):
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        if name == "products" and value.size:
            np.testing.assert_allclose(value, wanted[name], rtol=0, atol=1e-14 * np.abs(wanted[name]).max())
        else:
            np.testing.assert_array_equal(value, wanted[name], name)


def test_sums_of_no_such_name_are_refused():
    X, y, w, p = em_oracles.random_problem(5, 2, 2, seed=9)
    with pytest.raises(ValueError, match="sums must be 'gradient', 'experts' or 'all', got 'gates'"):
        core.e_step(X, y, w, p, settings(), sums="gates")


@pytest.mark.parametrize("n", [100, 8192, 20000])
def test_threads_do_not_change_a_bit(n):
    problem = em_oracles.random_problem(n, 6, 4, seed=5)
    serial = statistics(*problem)
    for n_threads in (2, 7):
        parallel = statistics(*problem, n_threads=n_threads)
        for name in NAMES:
            np.testing.assert_array_equal(serial[name], parallel[name], name)


# Logits of 1e5 overflow exp; (y - mean)^2 / variance of 1e8 underflows every density.
@pytest.mark.parametrize(
    ("gate_scale", "variance"), [(1e5, 1.0), (1e-300, 1.0), (1.0, 1e-8), (1e5, 1e-200), (1, 1e200)]
)
def test_extreme_parameters_stay_finite(gate_scale, variance):
    X, y, w, p = em_oracles.random_problem(200, 3, 3, seed=6)
    p.gates *= gate_scale
    p.variance[:] = variance * np.array([1.0, 2.0, 3.0])
    found = statistics(X, y, w, p)
    wanted, _ = em_oracles.statistics(X, y, w, p)
    assert all(np.isfinite(found[name]).all() for name in NAMES)
    assert found["log_likelihood"] == pytest.approx(float(wanted["log_likelihood"]), rel=1e-9)
    np.testing.assert_allclose(found["totals"].sum(), w.sum(), rtol=1e-12)


@pytest.mark.parametrize("k", [2, 4])
def test_slopes_are_gradients_of_the_log_likelihood(k):
    """By finite differences: residuals / s^2 for the experts, gate_slope for the gates."""
    X, y, w, p = em_oracles.random_problem(80, 3, k, seed=7)
    found = statistics(X, y, w, p)

    def at(experts=p.experts, gates=p.gates):
        return em_oracles.log_likelihood(X, y, w, em_oracles.Parameters(experts, gates, p.variance))

    gates = em_oracles.numerical_gradient(lambda g: at(gates=g), p.gates)
    experts = em_oracles.numerical_gradient(lambda a: at(experts=a), p.experts)
    np.testing.assert_allclose(found["gate_slope"], gates, atol=1e-6)
    np.testing.assert_allclose(found["residuals"] / p.variance[:, None], experts, atol=1e-6)


def test_gate_products_are_the_hessian_of_the_m_step():
    """With the responsibilities fixed, minus the derivative of gate_slope by the gates."""
    X, y, w, p = em_oracles.random_problem(80, 2, 3, seed=8)
    r = np.random.default_rng(8).dirichlet(np.ones(3), size=80)
    products = statistics(X, y, w, p, r)["products"][:, 3:]
    blocks = {(0, 0): 0, (0, 1): 1, (1, 1): 2}  # a row for each pair of gates i <= j < k - 1
    for (i, j), row in blocks.items():
        for a, b in [(0, 0), (0, 2), (1, 1), (1, 2), (2, 2)]:

            def slope(shift, j=j, b=b, i=i, a=a):
                gates = p.gates.copy()
                gates[j, b] += shift[0]
                moved = em_oracles.Parameters(p.experts, gates, p.variance)
                return statistics(X, y, w, moved, r)["gate_slope"][i, a]

            curvature = -em_oracles.numerical_gradient(slope, np.zeros(1))[0]
            assert products[b * (b + 1) // 2 + a, row] == pytest.approx(curvature, abs=1e-7)


def e_step(*, X, y, w, settings, **rest):
    frozen = {name: rest.pop(name) for name in ("means", "log_densities") if name in rest}
    return _core.e_step(_core.EmData(X, y, w, **frozen), (*rest.values(), None), settings)


def em_run(*, X, y, w, settings, **rest):
    frozen = {name: rest.pop(name) for name in ("means", "log_densities") if name in rest}
    return _core.em_run(_core.EmData(X, y, w, **frozen), [(*rest.values(), None)], settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", np.zeros(5)),
        ("X", np.zeros((5, 3))),
        ("y", np.zeros(4)),
        ("y", np.zeros((5, 1))),
        ("w", np.zeros(6)),
        ("experts", np.zeros((2, 2))),
        ("experts", np.zeros(3)),
        ("gates", np.zeros((3, 3))),
        ("variance", np.ones(3)),
        ("variance", np.array([1.0, 0.0])),
        ("variance", np.array([1.0, np.nan])),
        ("responsibilities", np.zeros((5, 3))),
        ("means", np.zeros((4, 2))),
        ("log_densities", np.zeros((5, 3))),
    ],
)
@pytest.mark.parametrize("function", [e_step, em_run])
def test_wrong_shapes_are_refused(function, name, value):
    # An X that is too wide is told by the first argument that should have as many columns.
    culprit = "experts" if name == "X" and value.ndim == 2 else name
    with pytest.raises(ValueError, match=f"^{culprit} must"):
        function(**(arguments() | {name: value}))


@pytest.mark.parametrize("function", [e_step, em_run])
@pytest.mark.parametrize(
    ("names", "culprit"),
    [("X y w responsibilities means log_densities", "X"), ("experts gates variance", "experts")],
)
def test_nothing_to_work_on_is_refused(function, names, culprit):
    given = arguments()
    empty = {name: given[name][:0] for name in names.split()}
    with pytest.raises(ValueError, match=f"^{culprit} must have at least one row"):
        function(**(given | empty))


# The core insists on float64 in C order: a silent copy of a big X would cost more than the pass. Features may be
# float32 too.
@pytest.mark.parametrize(
    "name", ["X", "y", "w", "experts", "gates", "variance", "responsibilities", "means", "log_densities"]
)
@pytest.mark.parametrize("change", ["float32", "strided", "list"])
@pytest.mark.parametrize("function", [e_step, em_run])
def test_conversions_are_refused(function, name, change):
    given = arguments()
    value = given[name]
    given[name] = {
        "float32": value.astype(np.float16 if name == "X" else np.float32),
        "strided": np.repeat(value, 2, axis=-1)[..., ::2],
        "list": list(value),
    }[change]
    with pytest.raises(TypeError, match=rf"^{name} must be an array of "):
        function(**given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_iter", -1),
        ("tol", -1e-3),
        ("tol", np.nan),
        ("variance_floor", 0.0),
        ("variance_floor", np.inf),
        ("alpha", -1.0),
        ("alpha", np.nan),
        ("gate_alpha", -1.0),
        ("gate_alpha", np.inf),
        ("n_threads", 0),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must .*, got {value:g}$"):
        settings(**{name: value})


def test_settings_that_are_left_out_have_defaults_and_unknown_ones_are_refused():
    plain = _core.EmSettings(variance_floor=1e-12).values()
    assert [plain[name] for name in ("max_iter", "tol", "fit_intercept", "alpha")] == [1000, 1e-8, True, 0.0]
    with pytest.raises(AttributeError, match="no_such_setting"):
        _core.EmSettings(variance_floor=1e-12, no_such_setting=1)
    with pytest.raises(TypeError):
        _core.EmSettings(variance_floor=1e-12, max_iter=1.5)


def arguments():
    X, y, w, p = em_oracles.random_problem(5, 2, 2, seed=9)
    return {
        "X": X,
        "y": y,
        "w": w,
        "experts": p.experts,
        "gates": p.gates,
        "variance": p.variance,
        "settings": settings(),
        "responsibilities": np.full((5, 2), 0.5),
        "means": np.zeros((5, 2)),
        "log_densities": np.zeros((5, 2)),
    }
