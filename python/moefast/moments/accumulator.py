"""One pass over the samples: raw cross moments of (x, y), mergeable and picklable."""

from __future__ import annotations

import struct
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import moefast._core as _core
from moefast._typing import Floats
from moefast.columns import column_names, explain_conversion, refuse_misread
from moefast.moments import byte_parts
from moefast.moments.column_errors import named_columns
from moefast.moments.memory import n_sums, refuse_too_large
from moefast.moments.scores import ScoreMoments
from moefast.threads import resolve_threads
from moefast.transforms.polynomial import PolynomialTransform
from moefast.validation import (
    check_choice,
    check_integer,
    check_weights,
    flat_response,
)

__all__ = ["MomentAccumulator"]


_MAGIC = b"moefast moments\0"
_VERSION = 2
# version, order, dtype code (itemsize), n_features, rows in full blocks, pending rows, weight, about, degree + 1
_HEADER = struct.Struct("<16sIIIqqqddI")


class MomentAccumulator:
    r"""Accumulates :math:`\sum_n w_n y_n^h \, x_n^{\otimes m}` for h, m = 0 .. order in one pass.

    From these, centred and whitened score tensors follow exactly for every transform that is a polynomial in y
    of degree at most `order`, with link, noise, centring and whitening unknown until the pass ends. Where the
    transform P is known beforehand, `transform` accumulates :math:`\sum_n w_n P(y_n) \, x_n^{\otimes m}` alone,
    for a fraction of the time.

    Rows are summed in super-blocks of 4096, each centred on its own means; blocks are merged by the exact
    re-centring formula. The state does not depend, bit for bit, on `n_threads`, on how the rows were cut
    into calls or on their memory layout; data that are sorted or lie far from zero lose no digits.

    Parameters
    ----------
    n_features : int
        d, the number of columns of X.
    order : {2, 3, 4}
        The highest order m.
    dtype : {"float64", "float32"}
        What rows are read as. With float32 the products are float32 too, of rows scaled by powers of two, which
        takes about 0.6 of the time; sums over more than 64 rows are float64 in both cases.
    n_threads : int or None
        Threads of `update`; None means the CPUs this process may use.
    transform : PolynomialTransform, optional
        The only channel to accumulate.

    Raises
    ------
    ValueError, TypeError
        For a parameter out of range.
    MemoryError
        When :attr:`memory` is more than the machine has; the message has the figure and the alternative.

    Notes
    -----
    Memory: the state has order + 1 (with `transform`: 1) times C(d + order, order) numbers; `update` needs four
    to five times that, and while the state is below 2.5 MB that much again for every further thread. Above,
    threads share the panels of one block. Up to 4095 rows wait for a full block. Beside the state, moments and
    scores need three times as much while they are made, `merge` six times and `to_bytes` twice; where there is not
    so much they raise MemoryError before they begin.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast import MomentAccumulator
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(1000, 2)), rng.normal(size=1000)
    >>> whole = MomentAccumulator(2).update(X, y)
    >>> halves = MomentAccumulator(2).update(X[:300], y[:300]).update(X[300:], y[300:])
    >>> whole.to_bytes() == halves.to_bytes()
    True
    >>> bool(np.allclose(whole.raw_moment(2), X.T @ X))
    True
    """

    def __init__(
        self,
        n_features: int,
        order: int = 3,
        dtype: Literal["float64", "float32"] = "float64",
        n_threads: int | None = None,
        *,
        transform: PolynomialTransform | None = None,
    ) -> None:
        check_integer("n_features", n_features, high=4000)
        check_integer("order", order, low=2, high=4)
        try:
            dtype_name = np.dtype(dtype).name
        except (TypeError, ValueError):  # no type at all
            raise TypeError(f"dtype must be 'float64' or 'float32', got {dtype!r}") from None
        check_choice("dtype", dtype_name, ("float64", "float32"))
        if transform is not None and not isinstance(transform, PolynomialTransform):
            raise TypeError(f"transform must be a PolynomialTransform or None, got {type(transform).__name__}")
        self._dtype = np.dtype(dtype_name)
        self._transform = transform
        self.n_threads = n_threads
        threads = resolve_threads(n_threads)
        coefficients = () if transform is None else transform.coefficients
        about = 0.0 if transform is None else transform.about
        if not np.isfinite([about, *coefficients]).all():
            raise ValueError(f"transform must have finite coefficients, got {transform!r}")
        needed = _core.Accumulator.memory(dtype_name, int(n_features), int(order), len(coefficients), threads)
        refuse_too_large(n_features, order, needed)
        self._core = _core.Accumulator(dtype_name, int(n_features), int(order), list(coefficients), float(about))

    @property
    def n_features(self) -> int:
        """The number of columns d."""
        return int(self._core.n_features)

    @property
    def order(self) -> int:
        """The highest order of the moments."""
        return int(self._core.order)

    @property
    def transform(self) -> PolynomialTransform | None:
        """The only channel, or None where all powers of y are accumulated."""
        return self._transform

    @property
    def memory(self) -> int:
        """Bytes that `update` needs at most, the state included, the rows given not."""
        return self._memory(resolve_threads(self.n_threads))

    def _memory(self, n_threads: int) -> int:
        degree = 0 if self._transform is None else len(self._transform.coefficients)
        return int(self._core.memory(self._dtype.name, self.n_features, self.order, degree, n_threads))

    def _refuse_too_large(self, n_states: float, purpose: str) -> None:
        """Refuse what would not fit beside the state: an update by one thread less the state, and `n_states`."""
        of_state = 8 * n_sums(self.n_features, self.order, self._transform is not None)
        needed = self._memory(1) + (n_states - 1) * of_state
        refuse_too_large(self.n_features, self.order, needed, f" more {purpose}")

    @property
    def dtype(self) -> np.dtype[Any]:
        """What rows are read as."""
        return self._dtype

    @property
    def n_samples(self) -> int:
        """Rows accumulated so far; rows of weight zero do not count."""
        return int(self._core.n_samples)

    def __repr__(self) -> str:
        size = f"n_features={self.n_features}, order={self.order}, n_samples={self.n_samples}"
        transform = "" if self._transform is None else f", transform={self._transform!r}"
        return f"MomentAccumulator({size}, dtype={self._dtype.name!r}{transform})"

    def update(self, X: Any, y: Any, sample_weight: Any = None) -> MomentAccumulator:
        """Add rows. When this raises, or is interrupted, nothing has changed.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Any memory layout; read in place when its dtype is that of the accumulator.
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), optional
            Not negative. A row of weight zero is left out; where all are zero, nothing is added.

        Returns
        -------
        MomentAccumulator
            Itself.

        Raises
        ------
        ValueError
            For wrong shapes, NaN, infinity or bad weights; the column and row are named.
        TypeError
            For values that are not numbers.
        OverflowError
            When products up to the order leave the range of float64; the column is named.
        """
        names = column_names(X)
        X = self._as_array(X, "X")
        y = self._as_array(y, "y")
        if X.ndim != 2 or X.shape[1] != self.n_features:
            raise ValueError(f"X must have shape (n, {self.n_features}), got {X.shape}")
        y = flat_response(y, len(X))
        if y.shape != (len(X),):
            raise ValueError(f"y must have shape ({len(X)},), got {y.shape}")
        weights, rows = None, None
        if sample_weight is not None:
            weights = check_weights(sample_weight, len(y), all_zero=True)
            if not weights.all():
                rows = np.flatnonzero(weights)
                X, y, weights = X[rows], y[rows], weights[rows]
        with named_columns(names, self.n_features, rows):
            self._core.update(X, y, weights, resolve_threads(self.n_threads))
        return self

    def merge(self, other: MomentAccumulator) -> MomentAccumulator:
        """Add everything `other` has seen; `other` stays as it is.

        The result agrees to rounding with one accumulator that saw all rows.

        Raises
        ------
        TypeError
            When `other` is not a MomentAccumulator.
        ValueError
            When its number of features, order, dtype or transform differs.
        MemoryError
            When there is no room for it, see the notes; nothing has changed then.
        """
        if not isinstance(other, MomentAccumulator):
            raise TypeError(f"other must be a MomentAccumulator, got {type(other).__name__}")
        if other._kind() != self._kind():
            raise ValueError(
                f"cannot merge {other!r} into {self!r}: n_features, order, dtype and transform must agree"
            )
        # The other's state is copied twice, and this one's once beside the copy that an update makes.
        self._refuse_too_large(3, "to be merged")
        with named_columns(None, self.n_features):
            self._core.merge(other._core)
        return self

    def _kind(self) -> tuple[Any, ...]:
        transform = self._transform
        return (
            self.n_features,
            self.order,
            self.dtype,
            None if transform is None else (transform.coefficients, transform.about),
        )

    def raw_moment(self, order: int, power: int = 0) -> Floats:
        r"""Return :math:`\sum_n w_n y_n^h x_n^{\otimes m}`, uncentred.

        Parameters
        ----------
        order : int
            m, from 0 to the accumulator's order.
        power : int
            h, likewise. With a `transform` only 0, which stands for P(y) in place of the power.

        Returns
        -------
        ndarray of shape (n_features,) * order
        """
        return self._moment(order, power, centred=False)

    def central_moment(self, order: int, power: int = 0) -> Floats:
        r"""Return the weighted mean of :math:`(y - \bar y)^h (x - \bar x)^{\otimes m}`.

        With a `transform` that of :math:`P(y) (x - \bar x)^{\otimes m}`: P is taken as it is.

        Parameters as for :meth:`raw_moment`.

        Returns
        -------
        ndarray of shape (n_features,) * order
        """
        return self._moment(order, power, centred=True)

    def score_moments(self) -> ScoreMoments:
        """Return the moments about the means with the whitening of x, the source of every score tensor.

        Raises
        ------
        ValueError
            For an accumulator with a `transform`, which knows no covariance, and for an empty one.
        """
        if self._transform is not None:
            raise ValueError("score tensors need the powers of y: accumulate without transform")
        return ScoreMoments(self._snapshot())

    def score_tensor(self, order: int, transform: PolynomialTransform) -> Floats:
        r"""Return the sample mean of :math:`(P(y) - \overline{P(y)}) S_m(z)` for whitened x.

        :math:`z = L^T (x - \bar x)` with L from :attr:`ScoreMoments.whitening`. Subtracting the mean of the
        transformed response leaves the expectation as it is and takes most of the variance off.

        Parameters
        ----------
        order : {2, 3, 4}
            m, at most the accumulator's order.
        transform : PolynomialTransform
            P.

        Returns
        -------
        ndarray of shape (rank,) * order
            rank is that of the covariance of x: n_features unless columns are collinear.
        """
        return self.score_moments().score_tensor(order, transform)

    def to_bytes(self) -> bytes:
        """Return the whole state, with a checksum; the same state gives the same bytes.

        Raises
        ------
        MemoryError
            When there is no room for them; copies and pickles need it too.
        """
        self._refuse_too_large(-1, "to be written")  # an update is three states beside the state, this is two
        count, weight, centre, magnitude, sums, x, y, w = self._core.get_state()
        transform = self._transform or PolynomialTransform((), 1.0, order=self.order)
        P = np.array([*transform.coefficients, transform.constant, transform.order], dtype=np.float64)
        size, itemsize, terms = self.n_features, self._dtype.itemsize, len(transform.coefficients)
        about = float(transform.about)
        header = _HEADER.pack(_MAGIC, _VERSION, self.order, itemsize, size, count, len(w), weight, about, terms)
        fields = (a.astype(a.dtype.newbyteorder("<"), copy=False) for a in (P, centre, magnitude, sums, x, y, w))
        return byte_parts.join([np.frombuffer(header, np.uint8), *fields])

    @classmethod
    def from_bytes(cls, data: bytes, n_threads: int | None = None) -> MomentAccumulator:
        """Rebuild an accumulator from :meth:`to_bytes`.

        Raises
        ------
        ValueError
            When the bytes are no accumulator, of another version, damaged or cut short.
        """
        data = bytes(data)
        if len(data) < 20 or data[:16] != _MAGIC:
            raise ValueError(f"data is not a moefast moment accumulator ({len(data)} bytes)")
        version = struct.unpack_from("<I", data, 16)[0]
        if version != _VERSION:
            raise ValueError(f"data has format version {version}; this moefast reads version {_VERSION}")
        if len(data) < _HEADER.size + 4 or byte_parts.checksum(data) != struct.unpack("<I", data[-4:])[0]:
            raise ValueError("data is damaged or cut short: its checksum does not match")
        _, _, order, itemsize, d, count, pending, weight, about, terms = _HEADER.unpack_from(data)
        if not (2 <= order <= 4 and itemsize in (4, 8) and d >= 1 and pending >= 0):
            raise ValueError("data is damaged: its header is none")
        numbers = 2 * (d + 1) + n_sums(d, order, terms > 0) + terms + 2 + pending
        if len(data) != _HEADER.size + 8 * numbers + itemsize * pending * (d + 1) + 4:
            raise ValueError("data is damaged: its header tells of other sizes than it has")
        at = _HEADER.size

        def read(kind: np.dtype[Any], *shape: int) -> npt.NDArray[Any]:
            nonlocal at
            n = int(np.prod(shape))
            stored = np.frombuffer(data, kind.newbyteorder("<"), n, at)
            at += n * kind.itemsize
            return np.require(stored.reshape(shape).astype(kind, copy=False), requirements=["C", "A"])

        wide = np.dtype(np.float64)
        P = read(wide, terms + 2)
        transform = (
            PolynomialTransform(tuple(map(float, P[:-2])), float(P[-2]), int(P[-1]), about) if terms else None
        )
        accumulator = cls(d, order, "float64" if itemsize == 8 else "float32", n_threads, transform=transform)
        fields = [read(wide, d + 1), read(wide, d + 1), read(wide, n_sums(d, order, terms > 0))]
        fields += [read(accumulator.dtype, pending, d), read(accumulator.dtype, pending), read(wide, pending)]
        accumulator._core.set_state(count, weight, *fields)
        return accumulator

    def __getstate__(self) -> dict[str, Any]:
        return {"bytes": self.to_bytes(), "n_threads": self.n_threads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(MomentAccumulator.from_bytes(state["bytes"], state["n_threads"]).__dict__)

    def _snapshot(self) -> Any:
        if self.n_samples == 0:
            raise ValueError("the accumulator is empty: call update first")
        self._refuse_too_large(0, "to be looked at")
        with named_columns(None, self.n_features):
            return self._core.snapshot()

    def _moment(self, order: int, power: int, centred: bool) -> Floats:
        highest = {"order": self.order, "power": self.order if self._transform is None else 0}
        for name, value in (("order", order), ("power", power)):
            check_integer(name, value, low=0, high=highest[name])
        sums = self._snapshot()
        d = self.n_features
        if not centred:
            # A fixed P(y) is not shifted with the response.
            with named_columns(None, d):
                sums = sums.recentred(np.zeros(d + 1))
        coefficients = [float(h == power) for h in range(sums.n_channels)]
        dense: Floats = (
            sums.to_dense(coefficients) if order == self.order else sums.lower_order(order, coefficients)
        )
        # A slice at a time: a whole tensor takes long to copy, and numpy lets no Ctrl-C through meanwhile.
        divisor = sums.weight if centred else 1.0
        moment: Floats = np.empty((d,) * order)
        for row in np.ndindex(moment.shape[:1]):
            moment[row] = dense[(*row, *(slice(d),) * (order - len(row)))] / divisor
        return moment

    def _as_array(self, values: Any, name: str) -> npt.NDArray[Any]:
        refuse_misread(values, name)
        try:
            array = np.asarray(values)
            if array.dtype.kind not in "fiub":
                if array.dtype.kind == "c":
                    raise ValueError(f"{name} must be real, got complex values")
                array = array.astype(np.float64)
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
                array = array.astype(self._dtype, copy=False)
        except (TypeError, ValueError, OverflowError) as error:
            if name == "X":
                raise explain_conversion(values, error) from None
            raise type(error)(f"{name} is not numeric: {error}") from None
        return np.require(array, requirements=["A"])
