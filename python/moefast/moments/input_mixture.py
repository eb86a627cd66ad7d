r"""Score tensors of inputs that follow a mixture of normal distributions.

For :math:`x \sim \sum_c \pi_c N(m_c, S_c)` the score tensors are those of the components, weighted by the
posteriors:

.. math::

    S_m(x) = \sum_c P(c \mid x)\, S_m^{(c)}(x),

    u = S_c^{-1} (x - m_c), \quad S_1^{(c)} = u, \quad S_2^{(c)} = u u^T - S_c^{-1}, \quad
    S_3^{(c)} = u^{\otimes 3} - \mathrm{sym}_3(u \otimes S_c^{-1}),

and :math:`E[f(x) S_m(x)] = E[\nabla^m f(x)]` holds exactly. Every component is one pass of projected moments with
the row weights times the posterior. What is not repaired: the transforms of a link other than the linear one want
:math:`a_i \cdot x` standard normal.

Source of the identity: Janzamin, Sedghi, Anandkumar, "Score function features for discriminative learning", 2014.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import softmax
from sklearn.base import clone

from moefast._typing import Floats
from moefast.moments.scores import ScoreMoments, score_correction
from moefast.moments.two_pass import TwoPassMoments, centred_response, projected_mean
from moefast.randomness import RandomState, get_generator
from moefast.samples import Samples
from moefast.transforms.polynomial import ResponseTransform

__all__ = ["InputMixture", "MixtureMoments", "check_input_law", "input_law_of"]


# Rows with a smaller posterior are left out of a component's sums.
_NEGLIGIBLE = 1e-20
# Squares of larger values, summed over rows, leave the range.
_LARGEST = 1e140


@dataclass(frozen=True)
class InputMixture:
    """The law of the inputs: a mixture of normal distributions.

    Attributes
    ----------
    weights : ndarray of shape (c,)
        Positive, of sum 1.
    means : ndarray of shape (c, d)
    covariances : ndarray of shape (c, d, d)
        Symmetric and positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.moments import InputMixture
    >>> law = InputMixture(np.array([0.5, 0.5]), np.array([[-2.0], [2.0]]), np.ones((2, 1, 1)))
    >>> law.posteriors(np.array([[0.0], [9.0]])).round(3)
    array([[0.5, 0.5],
           [0. , 1. ]])
    >>> law.score(np.array([[0.0], [5.0]])).round(3)
    array([[0.],
           [3.]])
    """

    weights: Floats
    means: Floats
    covariances: Floats

    def __post_init__(self) -> None:
        for name in ("weights", "means", "covariances"):
            try:
                values = np.asarray(getattr(self, name))
                values = values.astype(np.float64, casting="same_kind" if values.dtype.kind == "c" else "unsafe")
            except (TypeError, ValueError, OverflowError) as error:
                raise type(error)(f"{name} of the input mixture must be real numbers: {error}") from None
            if not np.isfinite(values).all():
                raise ValueError(f"{name} of the input mixture contain NaN or infinity")
            object.__setattr__(self, name, values)
        if self.means.ndim != 2 or 0 in self.means.shape:
            raise ValueError(f"means of the input mixture must have shape (c, d), got {self.means.shape}")
        c, d = self.means.shape
        if self.weights.shape != (c,) or self.covariances.shape != (c, d, d):
            raise ValueError(
                f"the input mixture needs weights of shape ({c},) and covariances of shape ({c}, {d}, {d}), as "
                f"its means say; got {self.weights.shape} and {self.covariances.shape}"
            )
        if (self.weights <= 0).any() or abs(self.weights.sum() - 1.0) > 1e-6:
            raise ValueError(f"weights of the input mixture must be positive and of sum 1, got {self.weights}")
        for i, covariance in enumerate(self.covariances):
            scale = float(np.abs(covariance).max())
            if np.abs(covariance - covariance.T).max() > 1e-8 * scale:
                raise ValueError(f"covariance {i} of the input mixture is not symmetric")
            deviation = np.sqrt(np.maximum(np.diag(covariance), 0.0))
            if not deviation.all() or np.linalg.eigvalsh(covariance / np.outer(deviation, deviation))[0] < 1e-12:
                raise ValueError(
                    f"covariance {i} of the input mixture is not positive definite: leave constant and collinear "
                    "columns of X out"
                )

    def transformed(self, matrix: Floats, shift: Floats) -> InputMixture:
        """Return the law of matrix (x - shift), for a square or wide matrix of shape (q, d)."""
        return InputMixture(
            self.weights, (self.means - shift) @ matrix.T, matrix @ self.covariances @ np.transpose(matrix)
        )

    def posteriors(self, X: Floats) -> Floats:
        """Return P(c | x), shape (n, c)."""
        log_joint = np.empty((len(X), len(self.weights)))
        for c, (weight, mean, covariance) in enumerate(
            zip(self.weights, self.means, self.covariances, strict=True)
        ):
            L = np.linalg.cholesky(covariance)
            with np.errstate(over="ignore"):
                squares = np.square(np.linalg.solve(L, (X - mean).T)).sum(axis=0)
            log_joint[:, c] = np.log(weight) - 0.5 * squares - np.log(np.diag(L)).sum()
        lost = ~np.isfinite(log_joint.max(axis=1))
        if lost.any():
            raise ValueError(
                f"x_distribution gives row {int(np.argmax(lost))} of X no density: it is not the law of X"
            )
        return np.asarray(softmax(log_joint, axis=1))

    def score(self, X: Floats) -> Floats:
        """Return S_1(x) = -grad log density, shape (n, d)."""
        parts = [
            p[:, None] * np.linalg.solve(S, (X - m).T).T
            for p, m, S in zip(self.posteriors(X).T, self.means, self.covariances, strict=True)
        ]
        return np.asarray(sum(parts))


def check_input_law(x_distribution: Any) -> None:
    """Raise unless `x_distribution` is "gaussian", an InputMixture or a GaussianMixture."""
    if isinstance(x_distribution, str):
        if x_distribution != "gaussian":
            raise ValueError(
                f"x_distribution must be 'gaussian', an InputMixture or a GaussianMixture, got {x_distribution!r}"
            )
        return
    if isinstance(x_distribution, InputMixture):
        return
    from sklearn.mixture import GaussianMixture  # slow to import, and nobody else needs it

    if not isinstance(x_distribution, GaussianMixture):
        raise TypeError(
            "x_distribution must be 'gaussian', an InputMixture or a GaussianMixture, got "
            f"{type(x_distribution).__name__}"
        )


def input_law_of(
    x_distribution: Any, samples: Samples, random_state: RandomState = None
) -> InputMixture | Literal["gaussian"]:
    """Return the law of x that a checked `x_distribution` names, fitted to samples if need be.

    Parameters
    ----------
    x_distribution : "gaussian", InputMixture or sklearn.mixture.GaussianMixture
        A GaussianMixture that is not fitted is cloned and fitted to X.
    samples : Samples
        scikit-learn's mixtures cannot be fitted with unequal weights.
    random_state : int, Generator, RandomState or None
        For a GaussianMixture that is not fitted and has none of its own.

    Raises
    ------
    ValueError
        For another number of features, or unequal weights and a mixture that is not fitted.
    """
    if isinstance(x_distribution, str):
        return "gaussian"
    if not isinstance(x_distribution, InputMixture):
        x_distribution = _from_sklearn(x_distribution, samples, random_state)
    law: InputMixture = x_distribution
    if law.means.shape[1] != samples.n_features:
        raise ValueError(f"x_distribution has {law.means.shape[1]} features, X has {samples.n_features}")
    return law


def _from_sklearn(model: Any, samples: Samples, random_state: RandomState) -> InputMixture:
    if not hasattr(model, "means_"):
        if np.ptp(samples.sample_weight) > 0:
            raise ValueError(
                "x_distribution: scikit-learn's GaussianMixture cannot be fitted with sample weights; give a "
                "fitted one"
            )
        largest = np.abs(samples.X).max(axis=0)
        if largest.max() > _LARGEST:
            j = int(largest.argmax())
            raise OverflowError(
                f"x_distribution: squares of X column {j}, whose largest value is {largest[j]:.3g}, leave the "
                "range of float64; rescale it"
            )
        model = clone(model)
        if model.random_state is None:  # numpy's global state is nobody's business here
            model.set_params(random_state=int(get_generator(random_state).integers(2**31)))
        model.fit(samples.X)
    c, d = model.means_.shape
    covariances = np.asarray(model.covariances_, dtype=np.float64)
    if model.covariance_type == "tied":
        covariances = np.broadcast_to(covariances, (c, d, d))
    elif model.covariance_type == "diag":
        covariances = covariances[:, :, None] * np.eye(d)
    elif model.covariance_type == "spherical":
        covariances = covariances[:, None, None] * np.eye(d)
    return InputMixture(model.weights_, model.means_, covariances)


class MixtureMoments(TwoPassMoments):
    """Score tensors of samples whose inputs follow a mixture, in coordinates whitened by their own covariance.

    Parameters
    ----------
    samples : Samples
    moments : ScoreMoments
        Of these samples: their means and whitening give the coordinates z = whitening' (x - x_mean).
    law : InputMixture
        Of x, in the units of X.
    n_threads : int or None
    """

    def __init__(
        self, samples: Samples, moments: ScoreMoments, law: InputMixture, n_threads: int | None = None
    ) -> None:
        super().__init__(samples, moments, n_threads)
        if moments.rank < samples.n_features:
            raise ValueError(
                f"x_distribution: X has {moments.rank} linearly independent columns of {samples.n_features}; "
                "leave constant and collinear ones out"
            )
        self.law = law
        self._in_z = law.transformed(self.whitening.T, self.x_mean)
        self._posteriors = self._in_z.posteriors(self._Z())

    def _Z(self) -> Floats:
        return np.asarray((self.samples.X - self.x_mean) @ self.whitening)

    def cross_moment(self) -> Floats:
        """Return the mean of (y - mean y) S_1(z), shape (rank,)."""
        Z, residual = self._Z(), self.samples.y - self.y_mean
        share = self.samples.share
        total = np.zeros(self.rank)
        for p, mean, S in zip(self._posteriors.T, self._in_z.means, self._in_z.covariances, strict=True):
            total += np.linalg.solve(S, (share * p * residual) @ (Z - mean))
        return total

    def score_tensor(self, order: int, transform: ResponseTransform, directions: Floats | None = None) -> Floats:
        """Return the mean of (h(y) - mean h(y)) S_m(z) along directions; see ScoreMoments.score_tensor."""
        if directions is None:
            directions = np.eye(self.rank)
        total = np.zeros((directions.shape[1],) * order)
        if self.y_variance == 0:  # h(y) - mean h(y) of a constant response is rounding
            return total
        transformed, P = centred_response(self.samples, transform)
        for p, mean, S in zip(self._posteriors.T, self.law.means, self._in_z.covariances, strict=True):
            rows = p > _NEGLIGIBLE
            if not rows.any():
                continue
            own = Samples(transformed.X[rows], transformed.y[rows], transformed.sample_weight[rows] * p[rows])
            along = np.linalg.solve(S, directions)  # u = S^-1 (z - m) along D is (z - m) along S^-1 D
            moments = projected_mean(
                own, P, order, np.ascontiguousarray(self.whitening @ along), mean, self.n_threads
            )
            weight = own.sample_weight.sum() / self.samples.sample_weight.sum()
            total += weight * score_correction(moments, directions.T @ along)
        return total
