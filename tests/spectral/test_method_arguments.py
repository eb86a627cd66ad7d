"""Arguments out of the ordinary: named errors, no warnings of numpy, nothing that is nobody's business changed."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.mixture import GaussianMixture

from moefast import HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor, l4, spectral
from moefast.baselines import fit_gradient_descent, fit_joint_em, fit_joint_em_many
from moefast.diagnostics import diagnose
from moefast.em import fit_em
from moefast.gating import fit_gates
from moefast.l4.loss import L4Loss, StochasticL4Loss
from moefast.links import Link
from moefast.mixture import Mixture
from moefast.moments.input_mixture import InputMixture
from moefast.transforms import cubic_transform, quartic_transform
from moefast.transforms.optimal import marginal_sigma, optimal_transform


def data(n=200, d=3):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    return X, np.where(X[:, 0] > 0, 1.0, -1.0) * X[:, -1] + 0.1 * rng.normal(size=n)


def mixture(**changed):
    zeros = np.zeros((2, 3))
    parameters = {"coef": np.ones((2, 3)), "intercept": np.zeros(2), "gate_coef": zeros, "sigma": np.ones(2)}
    return Mixture(**{**parameters, "gate_intercept": np.zeros(2), **changed})


class Unhashable:
    __hash__ = None

    def __call__(self, z):
        return np.tanh(z)


# ---- links -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_starts", [1, 2])
def test_gradient_descent_checks_what_a_link_returns(n_starts):
    X, y = data()
    with pytest.raises(ValueError, match="must return real numbers of the shape"):
        fit_gradient_descent(X, y, 2, link=lambda z: 1.0, n_epochs=1, learning_rate=0.1, n_starts=n_starts)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_gradient_descent_takes_a_link_of_integers():
    X, y = data()
    ends = [
        fit_gradient_descent(X, y, 2, link=g, n_epochs=2, learning_rate=0.1, random_state=0).mixture
        for g in (lambda z: (z > 0).astype(int), lambda z: (z > 0).astype(float))
    ]
    assert_array_equal(ends[0].gate_coef, ends[1].gate_coef)


def test_a_link_that_writes_into_its_argument_does_no_harm():
    z = np.linspace(-1, 1, 5)
    careless = Link("careless", lambda t: np.multiply(t, 2.0, out=t))
    assert_array_equal(careless(z), 2.0 * np.linspace(-1, 1, 5))
    assert_array_equal(z, np.linspace(-1, 1, 5))


@pytest.mark.parametrize(
    "link", [Link("a", Unhashable()), Link("b", np.tanh, derivative=Unhashable())], ids=["function", "derivative"]
)
def test_a_link_that_cannot_be_hashed_serves(link):
    assert cubic_transform(link, 0.1) == cubic_transform("tanh", 0.1)
    assert optimal_transform(link, 0.3).constant == optimal_transform("tanh", 0.3).constant


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (("a", np.tanh, (np.nan,)), ValueError, "breakpoints of link 'a' must be a sequence of finite numbers"),
        (("a", np.tanh, 0.0), ValueError, "breakpoints of link 'a' must be a sequence"),
        (("a", None), TypeError, "the function of link 'a' must be callable, got None"),
        (("a", np.tanh, (), 1.0), TypeError, "the derivative of link 'a' must be callable, got 1.0"),
    ],
)
def test_bad_links_are_refused(arguments, error, match):
    with pytest.raises(error, match=match):
        Link(*arguments)


def test_overflow_in_a_link_is_not_warned_of():
    steep = Link("steep", lambda z: np.exp(z**2))
    assert np.isinf(steep(np.array([40.0]))).all()
    assert np.isnan(steep.slope(np.array([40.0]))).all()
    assert steep.slope(np.array([0.0])) == 0.0


def test_nan_of_a_link_at_infinity_is_no_reason_to_refuse_it():
    silu = Link("silu too", lambda z: z / (1 + np.exp(-z)))
    assert np.isnan(silu(np.array([-np.inf]))).all()


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e4])
def test_quadrature_is_judged_beside_the_size_of_the_integrand(factor):
    # E[g^4 He_1] is 0 by symmetry: an error relative to it says nothing.
    Q = quartic_transform(Link("scaled", lambda z: factor * np.sinh(z)), 0.0)
    unit = quartic_transform(Link("one", np.sinh), 0.0)
    assert Q.constant == pytest.approx(factor**4 * unit.constant, rel=1e-9)


def test_quartic_transform_of_the_cube_is_known_in_closed_form():
    """From E[Z^2m] = 1, 3, 15, 105, ...: E[g^4 He_2] = 124 740, E[g^2 He_2] = 90, E[g^4 He_4] = 1 247 400, 360."""
    Q = quartic_transform(Link("cube", lambda z: z**3), 0.0)
    assert Q.coefficients == pytest.approx((0.0, 0.0, -124_740 / 90, 0.0, 1.0), abs=1e-9)
    assert Q.constant == pytest.approx(1_247_400 - 124_740 / 90 * 360, rel=1e-12)


@pytest.mark.parametrize(
    "function", [lambda z: z * np.exp(z**2), lambda z: np.exp(2.0 * z)], ids=["z exp", "exp 2z"]
)
def test_moments_that_quadrature_cuts_off_are_refused(function):
    with pytest.raises(ValueError, match="g grows too fast"):
        quartic_transform(function, 0.1)


# ---- units -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1e-300, 1e-150, 1e150])
@pytest.mark.parametrize("recover", [l4.recover_experts, spectral.recover_experts], ids=["l4", "spectral"])
def test_a_response_far_from_its_link_is_named(recover, factor):
    X, y = data()
    with pytest.raises(OverflowError, match="rescale"):
        recover(X, factor * y, 2, link="sigmoid", random_state=0)


@pytest.mark.parametrize("factor", [1e-300, 1e300])
def test_squares_of_the_response_out_of_range_are_named(factor):
    X, y = data()
    with pytest.raises(OverflowError, match="squares of y"):
        fit_gradient_descent(X, factor * y, 2, n_epochs=1, learning_rate=0.1)


@pytest.mark.parametrize("factor", [1e-300, 1e300])
def test_gates_of_experts_in_other_units_are_refused(factor):
    X, y = data()
    with pytest.raises(ValueError, match="out of all proportion"):
        fit_gates(X, factor * y, mixture(), sigma=1.0)
    with pytest.raises(ValueError, match="experts predict values out of all proportion"):
        fit_gates(1e300 * X, y, mixture(), sigma=1.0)
    if factor < 1:
        with pytest.raises(OverflowError, match="out of all proportion"):
            diagnose(X, factor * y, mixture())
    else:
        assert np.isfinite([check.value for check in diagnose(X, factor * y, mixture()).checks[:5]]).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_annealing_of_a_tiny_response_with_a_link():
    X, y = data()
    fit = fit_joint_em(X, 1e-300 * y, 2, start="annealed", link="tanh", random_state=0)
    assert np.isfinite(fit.mixture.coef).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("factor", [1e-300, 1e-150, 1e40])
def test_a_response_far_from_its_link_is_fitted_from_random_starts(factor):
    X, y = data()
    model = MixtureOfExpertsRegressor(2, link="softplus", n_init=2, max_iter=20, random_state=0).fit(X, factor * y)
    assert {start.kind for start in model.fit_report_.starts} == {"random parameters"}


# ---- arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"sigma": "a"}, ValueError, "sigma must be a finite number not below 0, got 'a'"),
        ({"sigma": -0.5}, ValueError, "sigma must be .* got -0.5"),
        ({"fit_intercept": "no"}, TypeError, "fit_intercept must be True or False, got 'no'"),
        ({"random_state": "a"}, TypeError, "random_state must be a number .* got 'a'"),
        ({"random_state": -1}, ValueError, "random_state must be a number .* got -1"),
        ({"strategy": np.array([1, 2])}, ValueError, "strategy must be one of"),
    ],
)
@pytest.mark.parametrize("recover", [l4.recover_experts, spectral.recover_experts], ids=["l4", "spectral"])
def test_methods_name_bad_arguments(recover, options, error, match):
    X, y = data()
    with pytest.raises(error, match=match):
        recover(X, y, 2, **options)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda X, y: l4.recover_experts(X, y, 2, mu=np.array([1, 2])), ValueError, "mu must be"),
        (lambda X, y: l4.recover_experts(X, y, 2, lam=1e300), ValueError, "lam must be .* at most"),
        (lambda X, y: l4.recover_experts(X, y, 2, solver="sgd", on_epoch=1), TypeError, "on_epoch must be a func"),
        (lambda X, y: fit_gradient_descent(X, y, 2, on_epoch=1), TypeError, "on_epoch must be a function"),
        (lambda X, y: fit_gradient_descent(X, y, 2, start="a"), TypeError, "start must be a Mixture or"),
        (
            lambda X, y: fit_gradient_descent(X, y, 2, start=mixture(coef=np.full((2, 3), np.nan))),
            ValueError,
            "start has NaN",
        ),
        (
            lambda X, y: fit_joint_em_many(X, y, 2, n_starts=1, options=0),
            TypeError,
            "options must be an EmOptions",
        ),
        (lambda X, y: fit_em(X, y, None), TypeError, "start must be a Mixture, got NoneType"),
        (
            lambda X, y: fit_em(X, y, mixture(sigma=np.full(2, np.nan))),
            ValueError,
            "start has NaN or infinity in sigma",
        ),
        (lambda X, y: fit_gates(X, y, 3, sigma=1.0), TypeError, "experts must have coef"),
        (
            lambda X, y: fit_gates(X, y, mixture(), sigma=np.ones(3)),
            ValueError,
            "sigma must be a number or have sh",
        ),
        (lambda X, y: fit_gates(X, y, mixture(), sigma="a"), ValueError, "sigma is not numeric"),
        (lambda X, y: fit_gates(X, y, mixture(), sigma=1.0, update_noise="a"), TypeError, "update_noise must be"),
        (
            lambda X, y: fit_gates(X, y, mixture(intercept=np.zeros(3)), sigma=1.0),
            ValueError,
            r"intercept of shape \(k,\)",
        ),
        (
            lambda X, y: diagnose(X, y, mixture(gate_coef=np.zeros((2, 2)))),
            ValueError,
            "model must have gate_coef",
        ),
        (lambda X, y: diagnose(X, y, mixture(sigma=np.zeros(2))), ValueError, "model must have positive sigma"),
        (lambda X, y: diagnose(np.ones_like(X), y, mixture()), ValueError, "X has no column that varies"),
        (lambda X, y: marginal_sigma(y, "relu", np.zeros(len(y))), ValueError, "sample_weight is zero"),
        (lambda X, y: marginal_sigma(y[:0], "relu"), ValueError, "y must have at least one"),
        (lambda X, y: marginal_sigma(y + 0j, "relu"), ValueError, "y must be real"),
        (lambda X, y: optimal_transform("relu", 1e9), ValueError, "the noise hides them"),
        (lambda X, y: optimal_transform("relu", "a"), ValueError, "sigma must be a finite number"),
        (lambda X, y: L4Loss(np.zeros((2,) * 4), None, 1.0), ValueError, "mu must be a finite number"),
        (lambda X, y: L4Loss(np.zeros((2,) * 4), 0.1, 1.0).value(np.eye(2) + 0j), ValueError, "A must be real"),
        (
            lambda X, y: StochasticL4Loss(X, y, 0.1, 1.0, sample_weight=np.zeros(len(y))),
            ValueError,
            "sample_weight is zero",
        ),
        (lambda X, y: StochasticL4Loss(X + 0j, y, 0.1, 1.0), ValueError, "Z must be real"),
        (
            lambda X, y: InputMixture(np.ones(1), np.zeros((1, 3)) + 0j, np.eye(3)[None]),
            TypeError,
            "means of the in",
        ),
        (
            lambda X, y: spectral.recover_experts(
                X, y, 2, x_distribution=InputMixture(np.ones(1), np.full((1, 3), 1e300), np.eye(3)[None])
            ),
            ValueError,
            "it is not the law of X",
        ),
        (
            lambda X, y: MixtureOfExpertsRegressor(2, polish="no").fit(X, y),
            TypeError,
            "polish must be True or False",
        ),
        (
            lambda X, y: HierarchicalMixtureOfExpertsRegressor(np.array(2)).fit(X, y),
            ValueError,
            "branches must be a sequence",
        ),
        (lambda X, y: MixtureOfExpertsRegressor(2).fit(X, y + 0j), ValueError, "Complex data not supported"),
        (
            lambda X, y: MixtureOfExpertsRegressor(2, link=lambda z: np.full_like(z, np.inf), n_init=2).fit(X, y),
            OverflowError,
            "link '<lambda>' leaves the range",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, match):
    with pytest.raises(error, match=match):
        call(*data())


# ---- randomness ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_law_of_x_is_fitted_with_the_random_state_given():
    X, y = data()
    # scikit-learn would draw from the global generator, of which only the legacy interface tells the state.
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    found = [
        spectral.recover_experts(X, y, 2, x_distribution=GaussianMixture(3), random_state=0).coef for _ in range(2)
    ]
    assert_array_equal(*found)
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# ---- diagnosis -------------------------------------------------------------------------------------


def test_parallel_experts_span_one_direction():
    """The gate is orthogonal to the one direction there is; a basis of two would hold an arbitrary second one."""
    X, y = data(2000)
    a = np.array([1.0, 1.0, 1.0])
    w = np.array([1.0, -1.0, 0.0])
    Z = (X - X.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(X.T, bias=True))).T  # white
    for seed in range(5):
        turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
        truth = mixture(
            coef=np.stack([turn @ a, -(turn @ a)]), gate_coef=np.stack([turn @ w, np.zeros(3)]), sigma=np.ones(2)
        )
        assert diagnose(Z, y, truth)["gates orthogonal"].value < 1e-6


def test_an_unknown_check_is_answered_with_the_names():
    with pytest.raises(KeyError, match=r"no check 'gates'; there are 'x is normal', 'a\.x is normal'"):
        diagnose(*data(), mixture())["gates"]


def test_more_experts_than_columns_have_no_gap():
    X, y = data(d=2)
    zeros = np.zeros((3, 2))
    truth = Mixture(np.ones((3, 2)), np.zeros(3), zeros, np.zeros(3), np.ones(3))
    assert diagnose(X, y, truth)["gap of T2"].holds is False
