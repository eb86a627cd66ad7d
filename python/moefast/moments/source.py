"""Where score tensors come from: moments of one pass over the samples, or of a second one."""

from __future__ import annotations

from typing import Protocol

from moefast._typing import Floats
from moefast.links import Link
from moefast.moments.accumulator import MomentAccumulator
from moefast.moments.input_mixture import MixtureMoments
from moefast.moments.options import MomentOptions
from moefast.moments.scores import ScoreMoments
from moefast.moments.strategy import choose_strategy
from moefast.moments.two_pass import TwoPassMoments
from moefast.samples import Samples
from moefast.transforms.polynomial import ResponseTransform

__all__ = ["MomentSource", "first_pass", "moment_source", "with_second_pass"]


class MomentSource(Protocol):
    """Moments about the means with the whitening of x, and score tensors from them."""

    x_mean: Floats
    y_mean: float
    y_variance: float
    whitening: Floats

    @property
    def rank(self) -> int:
        """The dimension of z = whitening' (x - x_mean)."""

    def cross_moment(self) -> Floats:
        """Return the mean of (y - mean y) S_1(z), shape (rank,)."""

    def noise(self, link: Link) -> float:
        """Return an estimate of the noise's standard deviation under a link other than linear."""

    def score_tensor(self, order: int, transform: ResponseTransform, directions: Floats | None = None) -> Floats:
        """Return the mean of (h(y) - mean h(y)) S_m(z) along directions, shape (q,) * order."""


def first_pass(samples: Samples, n_directions: int, options: MomentOptions, order: int = 3) -> ScoreMoments:
    """Return moments of an order, or of order 2 where a second pass shall follow.

    Parameters
    ----------
    samples : Samples
    n_directions : int
        Along which the tensor of that order is wanted.
    options : MomentOptions
    order : {3, 4}
    """
    strategy = "two_pass" if options.needs_second_pass else options.strategy
    if strategy == "auto":
        strategy = choose_strategy(samples.n_features, n_directions, order)
    accumulator = MomentAccumulator(
        samples.n_features, order if strategy == "one_pass" else 2, n_threads=options.n_threads
    )
    return accumulator.update(samples.X, samples.y, samples.sample_weight).score_moments()


def with_second_pass(
    moments: ScoreMoments, samples: Samples | None, options: MomentOptions, order: int = 3
) -> MomentSource:
    """Return a source of the score tensors up to an order, which reads the samples again where the moments end.

    An `x_distribution` must be "gaussian" or an InputMixture.

    Raises
    ------
    ValueError
        Where it would have to and there are no samples.
    """
    if samples is None:
        if moments.order < order or options.needs_second_pass:
            raise ValueError(f"moments of order {order} are needed, or order 2 and the samples for a second pass")
        return moments
    if not isinstance(options.x_distribution, str):
        return MixtureMoments(samples, moments, options.x_distribution, options.n_threads)
    return TwoPassMoments(samples, moments, options.n_threads)


def moment_source(samples: Samples, n_directions: int, options: MomentOptions, order: int = 3) -> MomentSource:
    """Return a source of the score tensors up to an order; parameters as of :func:`first_pass`."""
    return with_second_pass(first_pass(samples, n_directions, options, order), samples, options, order)
