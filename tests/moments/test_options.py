"""The options of the methods of moments are checked when made, and say where score tensors come from."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from moefast import MomentAccumulator
from moefast.datasets import make_moe
from moefast.l4 import L4Options
from moefast.l4.recover import recover_from_samples as l4_from_samples
from moefast.links import get_link
from moefast.moments import InputMixture, MomentOptions, ScoreMoments, TwoPassMoments
from moefast.moments.input_mixture import MixtureMoments
from moefast.moments.source import first_pass, moment_source, with_second_pass
from moefast.samples import Samples
from moefast.spectral import recover_from_moments
from moefast.spectral.recover import recover_from_samples
from moefast.standardisation import Standardisation
from moefast.transforms import cubic_transform, optimal_transform, quartic_transform

LAW = InputMixture(np.array([0.4, 0.6]), np.array([[-1.0, 0.0], [1.0, 0.5]]), np.stack([np.eye(2)] * 2))


def draw(n=2000, link="linear"):
    X, y, _ = make_moe(n, 2, 2, link=link, random_state=0)
    return Samples(X, y, np.ones(n))


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"link": "relu"}, TypeError, "link must be a Link, got 'relu'; moefast.links.get_link makes one"),
        ({"sigma": -1.0}, ValueError, "sigma must be"),
        ({"strategy": "both"}, ValueError, "strategy must be one of"),
        ({"transform": 3}, ValueError, "transform must be one of"),
        ({"x_distribution": "uniform"}, ValueError, "x_distribution must be 'gaussian'"),
        ({"x_distribution": np.eye(2)}, TypeError, "x_distribution must be .* got ndarray"),
        ({"fit_intercept": 1}, TypeError, "fit_intercept must be True or False"),
        ({"n_threads": 0}, ValueError, "n_threads"),
        ({"strategy": "one_pass", "x_distribution": LAW}, ValueError, "an input mixture is no polynomial"),
        (
            {"strategy": "one_pass", "transform": "optimal", "link": get_link("relu")},
            ValueError,
            'transform="optimal" is no polynomial',
        ),
    ],
)
def test_bad_settings_of_moments_are_named(settings, error, match):
    with pytest.raises(error, match=match):
        MomentOptions(**settings)


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"solver": "adam"}, ValueError, "solver must be one of"),
        ({"whiten": 1}, TypeError, "whiten must be True or False"),
        ({"mu": "big"}, ValueError, "mu must be"),
        ({"mu": -1.0}, ValueError, "mu must be"),
        ({"lam": 0.0}, ValueError, "lam must be"),
        ({"n_starts": 0}, ValueError, "n_starts must be at least 1"),
        ({"max_iter": 1.5}, TypeError, "max_iter must be an integer"),
        ({"n_epochs": 0}, ValueError, "n_epochs must be at least 1"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be"),
        ({"on_epoch": 1}, TypeError, "on_epoch must be a function"),
    ],
)
def test_bad_settings_of_the_l4_loss_are_named(settings, error, match):
    with pytest.raises(error, match=match):
        L4Options(**settings)


def test_options_of_something_else_are_refused():
    samples = draw(50)
    moments = MomentAccumulator(2).update(samples.X, samples.y).score_moments()
    with pytest.raises(TypeError, match="options must be a MomentOptions or None, got 3"):
        recover_from_moments(moments, 2, 3)
    with pytest.raises(TypeError, match=r"samples must be a Samples .* got tuple"):
        recover_from_moments(moments, 2, samples=(samples.X, samples.y, samples.sample_weight))
    with pytest.raises(TypeError, match="options must be an L4Options or None, got 3"):
        l4_from_samples(samples, 2, MomentOptions(), 3)
    with pytest.raises(ValueError, match="x_distribution must be 'gaussian' for the L4 loss"):
        l4_from_samples(samples, 2, MomentOptions(x_distribution=LAW))


def test_the_number_of_passes_follows_from_the_options():
    samples, relu = draw(), get_link("relu")
    for options, order in (
        (MomentOptions(strategy="one_pass"), 3),
        (MomentOptions(strategy="two_pass"), 2),
        (MomentOptions(strategy="one_pass", transform="optimal"), 3),  # linear: a polynomial all the same
        (MomentOptions(relu, transform="optimal"), 2),
        (MomentOptions(x_distribution=LAW), 2),
    ):
        assert first_pass(samples, 2, options).order == order
    one = MomentAccumulator(2).update(samples.X, samples.y).score_moments()
    assert isinstance(with_second_pass(one, None, MomentOptions()), ScoreMoments)
    assert type(moment_source(samples, 2, MomentOptions())) is TwoPassMoments
    assert type(moment_source(samples, 2, MomentOptions(x_distribution=LAW))) is MixtureMoments
    with pytest.raises(ValueError, match="moments of order 4 are needed"):
        with_second_pass(one, None, MomentOptions(), order=4)


def test_noise_and_law_change_units_with_the_samples():
    samples = draw()
    units = Standardisation.of(samples)
    options = MomentOptions(sigma=2.0, x_distribution=LAW).in_units(units)
    assert options.sigma == pytest.approx(2.0 / units.y_scale)
    np.testing.assert_allclose(options.x_distribution.means, LAW.means / units.x_scale)
    assert MomentOptions().in_units(units).sigma is None


def test_moments_of_a_part_of_the_way_find_what_the_whole_finds():
    """Also with a law that scikit-learn has to fit first."""
    samples = draw(5000)
    law = GaussianMixture(1, random_state=0)
    options = MomentOptions(x_distribution=law)
    moments = MomentAccumulator(2, 2).update(samples.X, samples.y).score_moments()
    parts = recover_from_moments(moments, 2, options, samples=samples, random_state=0)
    whole = recover_from_samples(samples, 2, options, random_state=0)
    np.testing.assert_allclose(parts.coef, whole.coef, rtol=1e-6)
    assert not hasattr(law, "means_")


@pytest.mark.parametrize("value", [0.1, 1.0 / 3.0])
@pytest.mark.parametrize("law", ["gaussian", LAW])
def test_a_constant_response_leaves_exact_zeros(value, law):
    """The transform less its mean is rounding, which a decomposition would take for experts."""
    X = draw(500).X
    samples = Samples(X, np.full(len(X), value), np.random.default_rng(0).uniform(0.5, 2.0, len(X)))
    source = moment_source(samples, 2, MomentOptions(strategy="two_pass", x_distribution=law))
    for order, transform in (
        (3, cubic_transform("tanh", 0.3)),
        (3, optimal_transform("tanh", 0.3)),
        (4, quartic_transform("tanh", 0.3)),
    ):
        np.testing.assert_array_equal(source.score_tensor(order, transform), np.zeros((2,) * order))
