"""Links and the transforms of the response: tables, closed forms, defining conditions, refusals."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.special import eval_hermitenorm, expit

from moefast.links import LINKS, Link, get_link
from moefast.transforms import (
    PolynomialTransform,
    cubic_transform,
    hermite_moment,
    mean_slope,
    quadratic_transform,
    quartic_transform,
)

ARCTAN = Link("arctan", np.arctan)
STEPS = Link("two kinks", lambda z: np.clip(z, -0.5, 2.0), breakpoints=(-0.5, 2.0))
ALL_LINKS = [*LINKS.values(), ARCTAN, STEPS]
each_link = pytest.mark.parametrize("link", ALL_LINKS, ids=lambda link: link.name)


# ---- an independent quadrature: Gauss-Legendre on short pieces for z, Gauss-Hermite for the noise ----


def normal_nodes(cuts=()):
    """Nodes and weights of the standard normal, exact to rounding for functions smooth between the cuts."""
    edges = np.unique([*np.linspace(-11.0, 11.0, 23), *cuts])
    nodes, weights = np.polynomial.legendre.leggauss(24)
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half * (nodes + 1)).ravel()
    return z, (half * weights).ravel() * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def noisy_mean(transform, mean, sigma):
    """E[P(mean + sigma e)], exact for polynomials up to the ninth degree."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    values = transform(mean[..., None] + sigma * nodes)
    return values @ weights / weights.sum()


def mean_derivative(link, transform, sigma, m):
    """E[S^(m)(Z)] for S(z) = E[P(y) | a.x = z], by E[S(Z) He_m(Z)]."""
    z, weights = normal_nodes(link.breakpoints)
    return weights @ (noisy_mean(transform, link(z), sigma) * eval_hermitenorm(m, z))


# ---- constants -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "alpha", "beta_eff", "c3", "gamma", "c2"),
    [
        ("linear", 0.0, -3.0, 6.0, 0.0, 2.0),
        ("sigmoid", -1.5, 0.650993, 0.022769, -1.0, 0.062396),
        ("tanh", 0.0, -0.699858, 0.233457, 0.0, 0.363595),
        ("relu", -3.293594, 2.255815, 0.372092, -1.595769, 0.363380),
        ("leaky_relu", -2.854441, 1.369527, 0.748260, -1.436192, 0.494338),
        ("softplus", -3.569323, 3.245616, 0.699944, -2.025360, 0.488122),
        ("gelu", -3.070412, 1.636191, 0.293064, -1.410474, 0.376129),
        ("silu", -2.504360, 0.721785, 0.520393, -1.114933, 0.443191),
    ],
)
@pytest.mark.parametrize("sigma", [0.0, 0.3])
def test_constants_known_to_six_digits(link, alpha, beta_eff, c3, gamma, c2, sigma):
    cubic, quadratic = cubic_transform(link, sigma), quadratic_transform(link, sigma)
    assert cubic.coefficients == pytest.approx((0.0, beta_eff - 3 * sigma**2, alpha, 1.0), abs=1e-6)
    assert cubic.constant == pytest.approx(c3, abs=1e-6)
    assert quadratic.coefficients == pytest.approx((0.0, gamma, 1.0), abs=1e-6)
    assert quadratic.constant == pytest.approx(c2, abs=1e-6)
    assert (cubic.order, quadratic.order) == (3, 2)


@pytest.mark.parametrize(
    ("link", "a", "b_eff", "c_eff", "c4"),
    [
        ("linear", 0.0, -6.0, 0.0, 24.0),
        ("sigmoid", -2.0, 1.338631, -0.338631, 0.009359),
        ("tanh", 0.0, -1.019260, 0.0, 0.156872),
        ("relu", -5.352483, 8.125027, -3.291295, 0.501047),
        ("leaky_relu", -4.429125, 4.718291, -0.487078, 1.584895),
        ("softplus", -5.390619, 8.819277, -4.828319, 1.314687),
        ("gelu", -5.589551, 8.442292, -2.661914, -0.452982),
        ("silu", -4.326772, 4.224123, -0.001433, 0.653638),
    ],
)
@pytest.mark.parametrize("sigma", [0.0, 0.3])
def test_constants_of_the_quartic_known_to_six_digits(link, a, b_eff, c_eff, c4, sigma):
    quartic = quartic_transform(link, sigma)
    expected = (0.0, c_eff - 3 * a * sigma**2, b_eff - 6 * sigma**2, a, 1.0)
    assert quartic.coefficients == pytest.approx(expected, abs=1e-6)
    assert quartic.constant == pytest.approx(c4, abs=1e-6)
    assert quartic.order == 4


@each_link
def test_constants_agree_with_the_independent_quadrature_within_their_errors(link):
    """The reported errors bound the distance to constants from Gauss-Legendre nodes, and are below 1e-10."""
    z, weights = normal_nodes(link.breakpoints)
    for transform, order in ((quadratic_transform, 2), (cubic_transform, 3), (quartic_transform, 4)):
        P = transform(link, 0.0)
        H = np.array(
            [
                [weights @ (link(z) ** p * eval_hermitenorm(r, z)) for p in range(1, order + 1)]
                for r in range(1, order + 1)
            ]
        )
        lower = np.linalg.solve(H[:-1, :-1], -H[:-1, -1])
        np.testing.assert_allclose(P.coefficients[1:-1], lower, rtol=0, atol=1e-10)
        np.testing.assert_allclose(P.constant, H[-1] @ np.append(lower, 1.0), rtol=0, atol=1e-10)
        assert 0 < P.error < 1e-10


def test_the_error_of_the_constants_follows_that_of_the_integrals(monkeypatch):
    """Moving every integral at random within an error given moves no constant by more than the error told."""
    import moefast.transforms.polynomial as module

    relu, size, rng = get_link("relu"), 1e-6, np.random.default_rng(0)
    exact_Q, exact_constant, _ = module._solve(relu, 4)
    integrals = {(p, r): hermite_moment(relu, p, r)[0] for p in range(1, 5) for r in range(5)}

    def blurred(link, power, m):
        return integrals[power, m] + size * rng.uniform(-1, 1), size

    monkeypatch.setattr(module, "hermite_moment", blurred)
    for _ in range(50):
        Q, constant, error = module._solve.__wrapped__(relu, 4)
        moved = max(abs(constant - exact_constant), np.abs(np.subtract(Q, exact_Q)).max())
        assert size < moved <= 1.01 * error < 1e-3


@each_link
def test_slopes_are_derivatives(link):
    z = np.concatenate([np.linspace(-8, 8, 161) + 0.013, [-40.0, 40.0]])
    step = 1e-5
    numeric = (link(z + step) - link(z - step)) / (2 * step)
    np.testing.assert_allclose(link.slope(z), numeric, rtol=1e-6, atol=1e-9)
    assert link.slope(z.reshape(-1, 1)).shape == (len(z), 1)


@pytest.mark.parametrize("link", LINKS.values(), ids=lambda link: link.name)
def test_built_in_slopes_agree_with_central_differences_of_a_bare_callable(link):
    bare = Link("bare", link.function)
    z = np.linspace(-6, 6, 120)
    np.testing.assert_allclose(bare.slope(z), link.slope(z), rtol=1e-8, atol=1e-9)
    assert link.is_built_in
    assert not bare.is_built_in


def test_relu_in_closed_form():
    pi = np.pi
    cubic, quadratic = cubic_transform("relu", 0.0), quadratic_transform("relu")
    alpha, beta_eff = -(3 / np.sqrt(2 * pi)) / (1 - 2 / pi), -3 + 6 / (pi - 2)
    assert cubic.coefficients == pytest.approx((0.0, beta_eff, alpha, 1.0), abs=1e-10)
    assert cubic.constant == pytest.approx(3 - 3 / (pi - 2), abs=1e-10)
    assert quadratic.coefficients == pytest.approx((0.0, -4 / np.sqrt(2 * pi), 1.0), abs=1e-10)
    assert quadratic.constant == pytest.approx(1 - 2 / pi, abs=1e-10)
    assert mean_slope("relu") == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("sigma", [0.0, 0.1, 1.0])
def test_sigmoid_solves_the_published_system(sigma):
    # The talk on the ICML 2019 paper prints it to four digits.
    _, beta, alpha, _ = cubic_transform("sigmoid", sigma).coefficients
    system = np.array([[0.2067, 0.2066], [0.0624, 0.0]])
    right = [-0.1755 - 0.6199 * sigma**2, -0.0936]
    np.testing.assert_allclose(system @ [alpha, beta], right, rtol=0, atol=1e-4 * (1 + abs(alpha) + abs(beta)))
    entries = [
        hermite_moment("sigmoid", 2, 1)[0],
        hermite_moment("sigmoid", 1, 1)[0],
        hermite_moment("sigmoid", 2, 2)[0],
    ]
    np.testing.assert_allclose(entries, [0.2067, 0.2066, 0.0624], rtol=0, atol=1e-4)
    np.testing.assert_allclose(
        [hermite_moment("sigmoid", 3, 1)[0], 3 * mean_slope("sigmoid"), hermite_moment("sigmoid", 3, 2)[0]],
        [0.1755, 0.6199, 0.0936],
        rtol=0,
        atol=1e-4,
    )


@each_link
@pytest.mark.parametrize("power", [1, 2, 3])
@pytest.mark.parametrize("m", [0, 1, 2, 3])
def test_hermite_moments_agree_with_another_quadrature(link, power, m):
    z, weights = normal_nodes(link.breakpoints)
    value, error = hermite_moment(link, power, m)
    assert value == pytest.approx(weights @ (link(z) ** power * eval_hermitenorm(m, z)), abs=1e-11)
    assert error < 1e-10


def test_a_narrow_step_between_breakpoints_is_not_missed():
    # E[1(s < Z < t) He_m(Z)] = phi(s) He_{m-1}(s) - phi(t) He_{m-1}(t); no adaptive rule finds it unaided.
    s, t = 0.7, 0.7001
    step = Link("narrow", lambda z: np.where((z > s) & (z < t), 1e4, 0.0), breakpoints=(s, t))
    for m in (1, 2, 3):
        ends = [np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * eval_hermitenorm(m - 1, z) for z in (s, t)]
        assert hermite_moment(step, 1, m)[0] == pytest.approx(1e4 * (ends[0] - ends[1]), rel=1e-8)


# ---- what the transforms are for -------------------------------------------------------------------------


@each_link
@pytest.mark.parametrize("sigma", [0.0, 0.05, 0.7, 2.0])
def test_lower_derivatives_vanish_in_the_mean(link, sigma):
    # This is what removes every term in which a derivative falls on a gate.
    for transform in (quadratic_transform, cubic_transform, quartic_transform):
        P = transform(link, sigma)
        scale = 1e-10 * (1 + sigma**2) ** (P.order - 1)
        for m in range(1, P.order):
            assert mean_derivative(link, P, sigma, m) == pytest.approx(0.0, abs=scale)
        # And the one that stays is the constant.
        assert mean_derivative(link, P, sigma, P.order) == pytest.approx(P.constant, abs=scale)


def scores_of(points):
    eye = np.eye(points.shape[1])
    S2 = np.einsum("ni,nj->nij", points, points) - eye
    mixed = np.einsum("ni,jk->nijk", points, eye)
    S3 = np.einsum("ni,nj,nk->nijk", points, points, points)
    return S2, S3 - mixed - mixed.transpose(0, 2, 1, 3) - mixed.transpose(0, 3, 2, 1)


@pytest.mark.parametrize("link", ["linear", "sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("sigma", [0.0, 0.4])
def test_moments_with_scores_are_sums_over_experts_whatever_an_orthogonal_gate_does(link, sigma):
    # E over x = z a + t w of P3(y) S3(x), two experts a and -a (p, 1 - p), gate sigmoid(3 t + 1): exact integrals.
    link = get_link(link)
    a, w = np.array([0.6, 0.8]), np.array([-0.8, 0.6])
    z, weights = normal_nodes(link.breakpoints)
    t, weights_t = np.polynomial.hermite_e.hermegauss(60)
    z, t = (g.ravel() for g in np.meshgrid(z, t, indexing="ij"))
    mass = np.outer(weights, weights_t / weights_t.sum()).ravel()
    gate = expit(3 * t + 1)
    share = mass @ gate
    S2, S3 = scores_of(z[:, None] * a + t[:, None] * w)
    for transform, S, sign in ((cubic_transform(link, sigma), S3, -1), (quadratic_transform(link, sigma), S2, 1)):
        response = gate * noisy_mean(transform, link(z), sigma) + (1 - gate) * noisy_mean(
            transform, link(-z), sigma
        )
        power = a
        for _ in range(S.ndim - 2):
            power = np.multiply.outer(power, a)
        expected = transform.constant * (share + sign * (1 - share)) * power
        np.testing.assert_allclose(np.tensordot(mass * response, S, 1), expected, rtol=0, atol=1e-8)


# ---- refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "match"),
    [
        (lambda z: z**2, r"E\[g'\] = \S+ is about zero"),  # even: a and -a cannot be told apart
        (np.abs, r"E\[g'\] = \S+ is about zero"),
        (np.cos, r"E\[g'\] = \S+ is about zero"),
        (lambda z: z**3 - 3 * z, r"E\[g'\] = \S+ is about zero"),
        (lambda z: np.zeros_like(z), r"about zero"),
        (lambda z: np.full_like(z, 2.0), r"E\[g'\] = \S+ is about zero"),
    ],
)
@pytest.mark.parametrize(
    "make",
    [lambda g: quartic_transform(g, 0.1), lambda g: cubic_transform(g, 0.1), quadratic_transform, mean_slope],
)
def test_links_that_hide_the_experts_are_refused_with_the_number(link, match, make):
    with pytest.raises(ValueError, match=match):
        make(link)


def test_an_integral_that_is_not_accurate_is_refused():
    # 1200 jumps that nobody told of.
    with pytest.raises(ValueError, match=r"known to .* only; give the places where g jumps or kinks"):
        hermite_moment(lambda z: np.floor(50.0 * z), 1, 1)


def test_a_step_has_only_one_moment():
    # g^2 = g: square and response are one channel, so the system for the cubic is singular.
    step = Link("step", lambda z: np.where(z > 0, 1.0, 0.0), breakpoints=(0.0,))
    with pytest.raises(ValueError, match=r"link 'step'.*= \S+ is about zero"):
        cubic_transform(step, 0.1)


@pytest.mark.parametrize(
    "link",
    [
        lambda z: np.full_like(z, np.nan),
        lambda z: np.where(z > 1.0, np.inf, z),
        lambda z: np.where(z < 0.0, np.nan, z),
        lambda z: np.exp(np.minimum(z**3, 700.0)),  # finite, but not its cube
    ],
    ids=["nan", "inf", "nan_below_zero", "overflow"],
)
@pytest.mark.parametrize(
    "make",
    [lambda g: quartic_transform(g, 0.1), lambda g: cubic_transform(g, 0.1), quadratic_transform, mean_slope],
)
def test_links_without_finite_moments_are_refused(link, make):
    with pytest.raises(ValueError, match=r"not finite|about zero"):
        make(link)


def test_a_link_that_is_not_a_number_cannot_crash_the_interpreter():
    # QUADPACK has been seen to write out of bounds when the integrand is NaN, hence the process of its own.
    code = (
        "import numpy as np; from moefast.transforms import *; np.seterr(all='ignore')\n"
        "g = lambda z: np.log(z)\n"
        "for make in 3 * [quartic_transform, cubic_transform, quadratic_transform]:\n"
        "    try: make(g, 0.1)\n    except ValueError as error: print(error)\n"
        "for _ in range(3):\n    try: mean_slope(g)\n    except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("not finite") == 12


@pytest.mark.parametrize("sigma", [-0.1, np.nan, np.inf])
@pytest.mark.parametrize("make", [quartic_transform, cubic_transform, quadratic_transform])
def test_sigma_must_be_a_finite_number(sigma, make):
    with pytest.raises(ValueError, match="sigma must be a finite number not below 0"):
        make("tanh", sigma)


# ---- links and polynomials -------------------------------------------------------------------------------


def test_links_by_name_compute_their_functions():
    z = np.array([-800.0, -1.0, 0.0, 0.5, 800.0])
    np.testing.assert_array_equal(get_link("linear")(z), z)
    np.testing.assert_array_equal(get_link("relu")(z), [0.0, 0.0, 0.0, 0.5, 800.0])
    np.testing.assert_allclose(get_link("tanh")(z), [-1.0, -np.tanh(1.0), 0.0, np.tanh(0.5), 1.0])
    np.testing.assert_allclose(
        get_link("sigmoid")(z), [0.0, 1 / (1 + np.e), 0.5, 1 / (1 + np.exp(-0.5)), 1.0], atol=1e-300
    )


def test_a_link_can_be_a_name_a_link_or_a_callable():
    assert get_link("relu") is LINKS["relu"]
    assert get_link(ARCTAN) is ARCTAN
    assert get_link(np.sin).name == "sin"
    assert cubic_transform(np.tanh, 0.2) == cubic_transform("tanh", 0.2)


@pytest.mark.parametrize(("link", "error"), [("softmax", ValueError), (3, TypeError), (None, TypeError)])
def test_other_links_are_refused(link, error):
    with pytest.raises(error, match="link must be"):
        get_link(link)


@pytest.mark.parametrize("about", [0.0, -1.5])
@pytest.mark.parametrize("centre", [0.0, 2.5])
def test_a_polynomial_can_be_written_about_any_point(about, centre):
    P = PolynomialTransform((1.0, -2.0, 0.5, 3.0), 1.0, order=3, about=about)
    y = np.linspace(-2, 2, 7)
    direct = 1.0 - 2.0 * (y - about) + 0.5 * (y - about) ** 2 + 3.0 * (y - about) ** 3
    np.testing.assert_allclose(P(y), direct, rtol=1e-13)
    q = P.channels_about(centre)
    np.testing.assert_allclose(sum(q[j] * (y - centre) ** j for j in range(4)), direct, rtol=1e-11)


def test_short_polynomials_fill_all_four_channels():
    assert PolynomialTransform((0.0, 1.0), 1.0, order=2).channels_about(0.5) == (0.5, 1.0, 0.0, 0.0)
