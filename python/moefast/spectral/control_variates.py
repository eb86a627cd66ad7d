r"""Powers of the response less what does not show in the score tensors: the same expectation, less variance.

A polynomial q of degree below m in the response t and the whitened residual z of the experts' columns has, given
x, a mean that is a polynomial in z of degree below m, whose m-th derivatives vanish. So, with coefficients that
are any functions of the gates' columns :math:`x_g`,

.. math::

    E[q(t, z; x_g)\, S_m(z)] = 0, \qquad \deg q < m,

and :math:`t^m` may be replaced by its residual from a regression on such terms: control variates whose mean is
known. The more of them, the less variance, as long as there are many more rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement
from math import comb

import numpy as np

from moefast._typing import Floats

__all__ = ["power_residual", "regression_coefficients"]


# Eigenvalues of the correlations of regressors below this count as 0.
_DEPENDENT = 1e-10
# Rows for each control variate at least (in-sample regression takes its share of the signal), and the most of them
# (beyond, the products take longer than all else).
_ROWS_EACH, _MOST = 50, 200
# Numbers of a block of regressors.
_BLOCK = 2**19


def regression_coefficients(gram: Floats, cross: Floats) -> Floats:
    """Return least-squares coefficients (p, q) from products of regressors (p, p) and with the targets (p, q).

    The smallest ones, in units of the regressors' sizes, where these are collinear.
    """
    scale = np.sqrt(np.diag(gram))
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    solver = np.linalg.pinv(gram * np.outer(inverse, inverse), rcond=_DEPENDENT, hermitian=True)
    return np.asarray(inverse[:, None] * (solver @ (inverse[:, None] * cross)))


def power_residual(t: Floats, Z: Floats, given: Floats, order: int, share: Floats, n_distinct: int) -> Floats:
    """Return t^order less its regression on terms of lower degree in (t, z), shape (n,).

    Parameters
    ----------
    t : ndarray of shape (n,)
    Z : ndarray of shape (n, r)
    given : ndarray of shape (n, 1 + g)
        A constant and the gates' columns: the coefficients of the terms are quadratic functions of these, linear
        ones where rows are few.
    order : {2, 3}
        m.
    share : ndarray of shape (n,)
        Weights of sum 1.
    n_distinct : int
        The number of different rows, which decides how many terms there are.
    """
    functions, degree = _chosen(order, Z.shape[1], given.shape[1] - 1, n_distinct)
    width = _n_terms(order, degree, Z.shape[1]) * _n_functions(functions, given.shape[1] - 1)

    def terms(rows: slice) -> Floats:
        block = _terms(t[rows], Z[rows], order, degree)
        coefficients = _functions(given[rows], functions)
        return np.asarray(np.einsum("np,ng->npg", block, coefficients).reshape(len(block), width))

    residual = t**order
    gram, cross = np.zeros((width, width)), np.zeros((width, 1))
    for rows in _blocks(len(t), width):
        block = terms(rows)
        weighted = block * share[rows, None]
        gram += weighted.T @ block
        cross += weighted.T @ residual[rows, None]
    found = regression_coefficients(gram, cross)[:, 0]
    for rows in _blocks(len(t), width):
        residual[rows] -= terms(rows) @ found
    return residual


def _chosen(order: int, n_directions: int, n_gates: int, n_rows: int) -> tuple[int, int]:
    """Return the degrees in the gates' columns and in z, the first of the list that the rows allow.

    With 3 experts, 6 own columns, 2 of the gates and 4e4 rows the median error of the worst expert's direction was
    0.11, 0.14, 0.21 and 0.46 by the four (14 data sets); with 2 experts 0.035, 0.042, 0.043 and 0.071.
    """
    limit = min(_MOST, n_rows / _ROWS_EACH)
    for functions, degree in ((2, order - 1), (2, 1), (1, 1)):
        if _n_terms(order, degree, n_directions) * _n_functions(functions, n_gates) <= limit:
            return functions, degree
    return 0, 0  # powers of t alone


def _n_functions(degree: int, n_gates: int) -> int:
    return comb(n_gates + degree, degree)


def _functions(given: Floats, degree: int) -> Floats:
    """Return the monomials of at most that degree of the gates' columns, a constant standing before them."""
    if degree < 2:
        return given[:, : given.shape[1] if degree else 1]
    first, second = np.triu_indices(given.shape[1])
    return np.asarray(given[:, first] * given[:, second])


def _n_terms(order: int, degree: int, n_directions: int) -> int:
    return sum((order - b) * comb(n_directions + b - 1, b) for b in range(degree + 1))


def _terms(t: Floats, Z: Floats, order: int, degree: int) -> Floats:
    """Return the monomials of degree below `order` in (t, z), and at most `degree` in z, (n, p)."""
    columns = []
    for b in range(degree + 1):
        for chosen in combinations_with_replacement(range(Z.shape[1]), b):
            product = Z[:, list(chosen)].prod(axis=1)
            columns += [t**a * product for a in range(order - b)]
    return np.column_stack(columns)


def _blocks(n: int, width: int) -> Iterator[slice]:
    step = max(1, _BLOCK // width)
    return (slice(first, first + step) for first in range(0, n, step))
