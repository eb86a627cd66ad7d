"""Inputs of every kind, mostly sensible, so that calls get somewhere, and odd in a place or two."""

import datetime as dt
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import scipy.sparse
from hypothesis import strategies as st

FAMILIES = ["gaussian", "student_t", "poisson", "negative_binomial", "gamma", "binomial", "bernoulli", "tobit"]
LINKS = ["linear", "relu", "leaky_relu", "sigmoid", "tanh", "softplus", "gelu", "silu"]
ODD = [
    None,
    -1,
    0,
    1,
    2,
    1.5,
    -0.0,
    np.nan,
    np.inf,
    -np.inf,
    5e-324,
    1e-300,
    1e300,
    10**30,
    -(10**30),
    True,
    False,
    "",
    "text",
    "auto",
    b"bytes",
    [],
    [0],
    [-1],
    [10**9],
    [0, 0],
    ["x0"],
    {},
    {1},
    (),
    np.int8(3),
    np.float32(0.5),
    np.array(2),
    np.array([1.0, 2.0]),
    np.array([]),
    np.nan,
    1j,
    object,
    len,
    dt.date(2020, 1, 1),
    range(3),
    slice(1),
]
"""What a parameter may be that nobody would think of."""

seeds = st.integers(0, 2**32 - 1)


def mostly(usual, odd, one_in=12):
    """Draw the usual, and once in a while the odd."""
    return st.integers(0, one_in - 1).flatmap(lambda i: odd if i == one_in - 1 else usual)


odd_values = st.sampled_from(ODD)


def parameters(choices):
    """Draw some of the parameters, each from its usual values and now and then from the odd ones."""
    return st.fixed_dictionaries(
        {}, optional={name: mostly(usual, odd_values, 25) for name, usual in choices.items()}
    )


# ---- arrays --------------------------------------------------------------------------------------------


scales = mostly(
    st.sampled_from([1.0, 1.0, 1e-3, 1e6]),
    st.sampled_from([0.0, 1e-320, 1e-300, 1e-160, 1e-30, 1e30, 1e160, 1e300]),
)
shifts = mostly(st.just(0.0), st.sampled_from([1.0, -1e3, 1e8, 1e16, -1e300]))


@st.composite
def columns(draw, n):
    """Draw one column of a table: smooth, whole numbers, two values, constant, outliers, any unit, any place."""
    rng = np.random.default_rng(draw(seeds))
    kind = draw(st.sampled_from(["normal", "normal", "normal", "uniform", "whole", "two", "constant", "outlier"]))
    column = {
        "normal": lambda: rng.normal(size=n),
        "uniform": lambda: rng.uniform(size=n),
        "whole": lambda: rng.integers(-3, 4, size=n).astype(float),
        "two": lambda: rng.integers(0, 2, size=n).astype(float),
        "constant": lambda: np.ones(n),
        "outlier": lambda: np.where(np.arange(n) == n // 2, 1e6, rng.normal(size=n)),
    }[kind]()
    with np.errstate(all="ignore"):
        return np.nan_to_num(column * draw(scales) + draw(shifts), posinf=1e308, neginf=-1e308)


def _strided(array):
    wide = np.empty((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def _read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def _unaligned(array):
    return np.frombuffer(b"x" + array.tobytes(), array.dtype, array.size, 1).reshape(array.shape)


def _names(array):
    return pd.DataFrame(array, columns=[f"x{j}" for j in range(array.shape[1])]) if array.ndim == 2 else array


def _cell(value, kind=object):
    def put(array):
        changed = array.astype(kind)
        if changed.size:
            changed.flat[changed.size // 2] = value
        return changed

    return put


def _quiet(kind):
    def cast(array):
        with np.errstate(all="ignore"):
            return array.astype(kind)

    return cast


SAME = [
    lambda a: a,
    lambda a: a,
    np.asfortranarray,
    _strided,
    _read_only,
    _unaligned,
    _names,
    lambda a: a.tolist(),
    lambda a: a.astype(object),
    lambda a: a[::-1],
]
"""The same numbers in other memory."""
OTHER = [
    _quiet(np.float32),
    _quiet(np.float16),
    _quiet(np.longdouble),
    _quiet(np.int64),
    _quiet(np.uint8),
    _quiet(bool),
    _quiet(">f8"),
    _quiet(complex),
    lambda a: a.astype(str),
    _quiet("datetime64[s]"),
    lambda a: a[..., None],
    lambda a: a[:-1],
    lambda a: a[:0],
    lambda a: a[:1],
    lambda a: a.ravel(),
    lambda a: a[None],
    lambda a: a[..., :0],
    lambda a: None,
    lambda a: float(a.sum()) if a.size else 0.0,
    lambda a: "text",
    lambda a: {"a": 1},
    lambda a: scipy.sparse.csr_array(np.atleast_2d(a)) if a.ndim <= 2 else a,
    lambda a: pd.DataFrame(a).astype("category") if a.ndim == 2 else pd.Series(a, dtype="category"),
    lambda a: np.ma.masked_array(a, mask=a > 1),
    lambda a: [*map(list, np.atleast_2d(a)[:-1]), [1.0]],
    _cell(np.nan, float),
    _cell(np.inf, float),
    _cell(-np.inf, float),
    _cell(1e300, float),
    _cell(5e-324, float),
    _cell(-1.0, float),
    _cell(None),
    _cell("1.5"),
    _cell("word"),
    _cell(dt.date(2020, 1, 1)),
    _cell([1, 2]),
    _cell(10**400),
    _cell(1j),
]
"""Other numbers, or none."""


def disguised(array, one_in=16):
    """Draw the array in other memory, and now and then as something else."""
    return mostly(st.sampled_from(SAME), st.sampled_from(OTHER), one_in).map(
        lambda change: _changed(array, change)
    )


def _changed(array, change):
    try:
        return change(array)
    except (TypeError, ValueError, IndexError, NotImplementedError):  # what cannot be such a thing stays as it is
        return array


@st.composite
def tables(draw, n=None, most_columns=4):
    """Draw a table of numbers, (n, d)."""
    n = draw(mostly(st.integers(8, 40), st.integers(0, 7))) if n is None else n
    d = draw(mostly(st.integers(1, most_columns), st.sampled_from([0, 7, 50])))
    parts = [draw(columns(n)) for _ in range(min(d, 3))]
    if not parts:
        return np.empty((n, 0))
    mix = np.random.default_rng(d).normal(size=(n, max(d - 3, 0)))
    table = np.column_stack([*parts, mix])
    if d > 1 and draw(st.integers(0, 9)) == 0:
        table[:, -1] = table[:, 0]
    return table


@st.composite
def responses(draw, n, family="gaussian"):
    """Draw a response, mostly one that the family takes."""
    rng = np.random.default_rng(draw(seeds))
    of_family = {
        "poisson": lambda: rng.poisson(3.0, n),
        "negative_binomial": lambda: rng.negative_binomial(2, 0.4, n),
        "gamma": lambda: rng.gamma(2.0, size=n),
        "binomial": lambda: rng.integers(0, 4, n),
        "bernoulli": lambda: rng.integers(0, 2, n),
        "tobit": lambda: np.maximum(rng.normal(size=n), 0.0),
    }
    if family in of_family and draw(st.integers(0, 7)):
        return of_family[family]()
    q = draw(mostly(st.just(1), st.sampled_from([2, 2, 3]), 5)) if family == "gaussian" else 1
    return draw(columns(n)) if q == 1 else np.column_stack([draw(columns(n)) for _ in range(q)])


# ---- what `fit` takes ----------------------------------------------------------------------------------


@dataclass
class Rows:
    """X, y and what is given besides of them."""

    X: object
    y: object
    more: dict = field(default_factory=dict)


def _weights(n):
    rng = np.random.default_rng(n)
    return st.sampled_from(
        [
            None,
            2.0,
            np.ones(n),
            rng.uniform(size=n),
            rng.integers(0, 3, n),
            np.zeros(n),
            np.full(n, 1e-320),
            np.full(n, 1e300),
            np.full(n, 1e16),
            np.where(np.arange(n) == 0, 1e16, 1.0),
            (np.arange(n) == 0).astype(float),
        ]
    )


@st.composite
def rows(draw, family="gaussian"):
    """Draw rows to fit."""
    X = draw(tables())
    n = len(X)
    y = draw(responses(n, family))
    rng = np.random.default_rng(n)
    more = {}
    if draw(st.integers(0, 3)) == 3:
        more["sample_weight"] = draw(
            _weights(n).flatmap(lambda w: st.just(w) if np.ndim(w) == 0 else disguised(w))
        )
    if draw(st.integers(0, 5)) == 5:
        more["groups"] = draw(disguised(rng.integers(0, max(1, n // 3), n), 4))
    if draw(st.integers(0, 5)) == 5:
        more["offset"] = draw(mostly(scales.flatmap(lambda s: disguised(s * rng.normal(size=n))), odd_values, 6))
    if family == "binomial" or draw(st.integers(0, 9)) == 9:
        more["n_trials"] = draw(mostly(st.just(5), odd_values))
    return Rows(draw(disguised(X)), draw(disguised(np.asarray(y))), more)


FORMULAS = ["y ~ x0", "x0 + x1", "x0 * x1", "0 + x0", "np.log(x0)", "C(x0)", "~", "x9", "(("]
features = st.sampled_from([None, [0], [0, 1], [-1], ["x0"], [True, False], [], slice(0, 1), [0, 0], [99]])
OF_MIXTURES = {
    "formula": mostly(st.none(), st.sampled_from(FORMULAS), 4),
    "expert_features": mostly(st.none(), features, 3),
    "gate_features": mostly(st.none(), features, 3),
    "fit_intercept": st.booleans(),
    "fit_gate_intercept": st.booleans(),
    "max_iter": st.integers(1, 15),
    "tol": st.sampled_from([1e-8, 1e-3, 0.0, 1.0]),
    "alpha": st.sampled_from([0.0, 0.1, 1.0, 1e-300, 1e300]),
    "gate_alpha": st.sampled_from(["auto", 0.0, 0.1, 1e300]),
    "noise_floor": st.sampled_from([0.02, 1e-6, 0.5, 10.0]),
    "time_budget": st.sampled_from([None, 1e-9, 1.0]),
    "random_state": st.sampled_from([0, 1, None, np.random.RandomState(0), np.random.default_rng(0)]),
    "verbose": st.just(0),
}
OF_FLAT = OF_MIXTURES | {
    "n_experts": st.integers(1, 4),
    "link": mostly(st.just("linear"), st.sampled_from(LINKS), 3),
    "gate_basis": st.sampled_from(["linear", "quadratic", "spline"]),
    "common_features": mostly(st.none(), features, 3),
    "noise": st.sampled_from(["per_expert", "shared"]),
    "covariance_type": st.sampled_from(["full", "diag"]),
    "start": st.sampled_from(["auto", "random", "spectral", "l4"]),
    "polish": mostly(st.just(True), st.just(False), 5),
    "alpha_towards": st.sampled_from(["zero", "mean"]),
    "l1_ratio": st.sampled_from([0.0, 0.0, 0.5, 1.0]),
}
OF_CLASSIFIERS = {
    n: s
    for n, s in OF_FLAT.items()
    if n not in {"link", "gate_basis", "noise", "noise_floor", "covariance_type", "polish"}
}
OF_TREES = OF_MIXTURES | {
    "branches": st.sampled_from([(2,), (2, 2), (2, 1), (1, 1), (3,), (2, 1, 2)]),
    "noise": st.sampled_from(["per_expert", "shared"]),
    "start": st.sampled_from(["auto", "random"]),
}
