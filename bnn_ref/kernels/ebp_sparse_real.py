"""The first layer of expectation backpropagation on sparse rows, as in `ebp_sparse`, of real weights.

A weight is normal with mean h and variance 1, so that h is the mean weight: no second array goes with it.
"""

import numpy as np

from ..ops.checks import check_float, check_shapes, check_writable
from .compiled import jit
from .ebp_sparse import check, descend


def ebp_real_first_dense_forward(x, chosen, h, b):
    """As `ebp_real.ebp_real_first_dense_forward` on the chosen rows of x.

    x: SparseRows of D columns; chosen: (N,) row numbers; h: (D, M), C-contiguous; b: (M,).
    Returns (z, cache), z: (N, M). Raises TypeError or ValueError where dtypes, shapes or row numbers do not fit.
    """
    check(x, chosen, ("h", h), ("b", b))
    mu, var = np.tile(b, (len(chosen), 1)), np.ones((len(chosen), 1), b.dtype)
    _moments(x.indptr, x.indices, x.values, chosen, h, mu, var)
    rstd = 1 / np.sqrt(var)
    return mu * rstd, (x, chosen, rstd)


def ebp_real_first_dense_step_in_place(h, b, dz, cache):
    """h - dh and b - db as `ebp_real.ebp_real_first_dense_backward` has them, written **in place**.

    h: (D, M), C-contiguous, of which only the rows are read or written whose inputs are not 0; b: (M,); dz: (N, M).
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    x, chosen, rstd = cache
    for name, array in (("h", h), ("b", b)):
        check_float(name, array)
        check_writable(name, array)
    check(x, chosen, ("h", h), ("b", b))
    check_shapes(("h", h, "D M"), ("rstd", rstd, "N 1"), ("dz", dz, "N M"))
    dmu = dz * rstd
    descend(x.indptr, x.indices, x.values, chosen, dmu, h, np.zeros(len(h), np.bool_))
    b -= dmu.sum(axis=0)


def ebp_real_map_dense_forward(x, chosen, h, b):
    """As `ebp_real.ebp_real_map_dense_forward` on the chosen rows of x: s = x h + b.

    Arguments and errors as in `ebp_real_first_dense_forward`. Returns (s, None), s: (N, M).
    """
    check(x, chosen, ("h", h), ("b", b))
    s = np.tile(b, (len(chosen), 1))
    _moments(x.indptr, x.indices, x.values, chosen, h, s, np.ones((len(chosen), 1), b.dtype))
    return s, None


@jit
def _moments(indptr, indices, values, chosen, h, mu, var):
    for n in range(len(chosen)):
        for k in range(indptr[chosen[n]], indptr[chosen[n] + 1]):
            x, weights = values[k], h[indices[k]]
            var[n, 0] += x * x
            for m in range(h.shape[1]):
                mu[n, m] += x * weights[m]
