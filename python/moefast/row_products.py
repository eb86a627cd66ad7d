"""Products of rows with coefficients: for a row the same bits, whatever other rows there are."""

from __future__ import annotations

import numpy as np

from moefast._typing import Floats

__all__ = ["row_products"]

# BLAS sums in another order for other numbers of rows, for the last of them, and for rows that are columns in
# memory: blocks of one size and layout have one order. Of so many rows calls cost little, and a single row does.
_ROWS = 512


def row_products(X: Floats, coef: Floats) -> Floats:
    """Return a.x of each row of X and of coef, shape (n, k).

    Parameters
    ----------
    X : ndarray of shape (n, d)
    coef : ndarray of shape (k, d)

    Examples
    --------
    >>> import numpy as np
    >>> row_products(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 1.0]]))
    array([[3.],
           [7.]])
    """
    n, d = X.shape
    products = np.empty((n, len(coef)))
    block, columns = np.zeros((_ROWS, d)), np.ascontiguousarray(coef.T)
    for begin in range(0, n, _ROWS):
        rows = X[begin : begin + _ROWS]
        block[: len(rows)] = rows  # what is left of the block before is not looked at
        products[begin : begin + _ROWS] = (block @ columns)[: len(rows)]
    return products
