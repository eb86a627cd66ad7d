"""What the experiments measure."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap

from moefast.experiments.gate_error import contraction
from moefast.experiments.measures import bootstrap_interval, chord_errors, fit_slope


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
    how = {"method": "percentile", "n_resamples": 20_000, "random_state": np.random.default_rng(0)}
    other = bootstrap((samples,), np.mean, **how)
    np.testing.assert_allclose([low, high], other.confidence_interval, atol=0.01)


def test_slope_of_errors_with_a_known_rate():
    """Errors c n^(-1/2) up to noise, and one n at which nothing is found."""
    sizes = np.array([1e3, 1e4, 3e4, 1e5])
    noise = np.exp(0.2 * np.random.default_rng(0).normal(size=(50, 4)))
    errors = pd.DataFrame(10 * sizes**-0.5 * noise, columns=sizes)
    errors[1e3] = 1.4
    slope, low, high = fit_slope(errors)
    assert low < -0.5 < high
    assert high - low < 0.15
    assert slope == pytest.approx(np.polyfit(np.log(sizes[1:]), np.log(errors.median().iloc[1:]), 1)[0])
    assert np.isnan(fit_slope(errors * 100)).all()


def test_contraction_of_a_geometric_sequence():
    distances = 0.3 ** np.arange(40.0)
    assert contraction(distances + 1e-12) == pytest.approx(0.3, rel=0.01)
    assert np.isnan(contraction(np.array([1.0, 1e-3, 1e-12])))
