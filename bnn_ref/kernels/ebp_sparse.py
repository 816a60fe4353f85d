"""The first layer of expectation backpropagation on sparse rows, at a cost in proportion to the inputs that are not 0.

A text has some hundred of 200,000 possible words. What it has not adds nothing to a unit's mean or variance, and no
weight of it moves: so nothing here ever walks over all weights.
"""

from dataclasses import dataclass

import numpy as np

from ..ops.checks import check_dtype, check_float, check_instance, check_shapes, check_whole, check_writable
from .compiled import jit

LARGEST = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class SparseRows:
    """A matrix, row by row (CSR): row i has values[indptr[i]:indptr[i + 1]] in the columns indices[the same].

    indptr: (N + 1,), indices: (K,), both int32; values: (K,), float32 or float64; columns: how many there are, from 1
    to 2³¹ - 1. Within a row the columns ascend. Raises TypeError or ValueError otherwise: kernels trust what is here.
    """

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    columns: int

    def __post_init__(self):
        check_shapes(("values", self.values, "K"))
        for name in ("indptr", "indices"):
            check_dtype(name, getattr(self, name), np.int32, "K")
        if len(self.indices) != len(self.values):
            raise ValueError(f"indices: expected {len(self.values)}, one for each value, got {len(self.indices)}")
        starts, stops = self.indptr[:-1], self.indptr[1:]
        rises = len(starts) and self.indptr[0] == 0 and self.indptr[-1] == len(self.values)
        if not rises or not (starts <= stops).all():           # compared: an int32 difference may wrap
            raise ValueError(f"indptr: expected to rise from 0 to {len(self.values)}, for one row at least, got "
                             f"{_ends(self.indptr)}")
        check_whole("columns", self.columns, f"from 1 to {LARGEST}", lambda columns: 1 <= columns <= LARGEST)
        if len(self.indices) and not 0 <= self.indices.min() <= self.indices.max() < self.columns:
            raise ValueError(f"indices: expected from 0 to {self.columns - 1}, got {self.indices.min()} to "
                             f"{self.indices.max()}")
        ascends = self.indices[:-1] < self.indices[1:]
        ascends[starts[(starts > 0) & (starts < len(self.indices))] - 1] = True  # from one row to the next
        if not ascends.all():
            raise ValueError("indices: expected ascending columns, none twice, within each row, got others")

    def __len__(self):
        return len(self.indptr) - 1

    def rows(self, chosen):
        """The chosen rows, in that order, as a dense (n, columns) array: for small matrices.

        chosen: int64 (n,). Raises TypeError or ValueError for what is no row.
        """
        _check_chosen(self, chosen)
        dense = np.zeros((len(chosen), self.columns), self.values.dtype)
        for i, row in enumerate(chosen):
            entries = slice(self.indptr[row], self.indptr[row + 1])
            dense[i, self.indices[entries]] = self.values[entries]
        return dense

    def transposed(self):
        """The SparseRows of columns as rows."""
        indptr = np.zeros(self.columns + 1, np.int32)
        np.cumsum(np.bincount(self.indices, minlength=self.columns), out=indptr[1:])
        indices, values = np.empty_like(self.indices), np.empty_like(self.values)
        _transpose(self.indptr, self.indices, self.values, indptr[:-1].copy(), indices, values)
        return SparseRows(indptr, indices, values, len(self))


def _ends(numbers):
    return f"{numbers[0]} to {numbers[-1]} in {len(numbers)}" if len(numbers) else "none"


def ebp_first_dense_forward(x, chosen, w_mean, b):
    """As `ebp.ebp_first_dense_forward` on the chosen rows of x, given w_mean = tanh h.

    x: SparseRows of D columns; chosen: (N,) row numbers; w_mean: (D, M), C-contiguous; b: (M,).
    Returns (z, cache), z: (N, M). Raises TypeError or ValueError where dtypes, shapes or row numbers do not fit.
    """
    check(x, chosen, ("w_mean", w_mean), ("b", b))
    mu, var = np.tile(b, (len(chosen), 1)), np.ones((len(chosen), len(b)), b.dtype)
    _moments(x.indptr, x.indices, x.values, chosen, w_mean, mu, var)
    rstd = 1 / np.sqrt(var)
    return mu * rstd, (x, chosen, rstd)


def ebp_first_dense_step_in_place(h, w_mean, b, dz, cache):
    """h - dh and b - db as `ebp.ebp_first_dense_backward` has them, written **in place**, and w_mean = tanh h anew.

    h, w_mean: (D, M), C-contiguous, of which only the rows are read or written whose inputs are not 0; b: (M,);
    dz: (N, M). A column that several examples have is moved by each, with the dz that all had before the step.
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    x, chosen, rstd = cache
    for name, array in (("h", h), ("w_mean", w_mean), ("b", b)):
        check_float(name, array)
        check_writable(name, array)
    check(x, chosen, ("h", h), ("b", b))
    check_shapes(("h", h, "D M"), ("w_mean", w_mean, "D M"), ("rstd", rstd, "N M"), ("dz", dz, "N M"))
    dmu = dz * rstd
    touched = descend(x.indptr, x.indices, x.values, chosen, dmu, h, np.zeros(len(h), np.bool_))
    w_mean[touched] = np.tanh(h[touched])
    b -= dmu.sum(axis=0)


def ebp_map_dense_forward(x, chosen, h, b):
    """As `ebp.ebp_map_dense_forward` on the chosen rows of x: s = x sign(h) + b.

    Arguments and errors as in `ebp_first_dense_forward`, but h in place of w_mean. Returns (s, None), s: (N, M).
    """
    check(x, chosen, ("h", h), ("b", b))
    s = np.tile(b, (len(chosen), 1))
    _signed_sums(x.indptr, x.indices, x.values, chosen, h, s)
    return s, None


def check(x, chosen, weights, bias):
    """Raise TypeError or ValueError unless the chosen rows of x, ("name", weights) and ("name", bias) fit together."""
    check_instance("x", x, SparseRows, "SparseRows")
    sizes = check_shapes(("values", x.values, "K"), (*weights, "D M"), (*bias, "M"))
    if sizes["D"] != x.columns:
        raise ValueError(f"{weights[0]}: expected {x.columns} rows, one for each column of x, got {sizes['D']}")
    if not weights[1].flags.c_contiguous:
        raise ValueError(f"{weights[0]}: expected a C-contiguous array, got another order")
    _check_chosen(x, chosen)


def _check_chosen(x, chosen):
    check_dtype("chosen", chosen, np.int64, "N")
    if len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(x):
        raise ValueError(f"chosen: expected row numbers from 0 to {len(x) - 1}, got {chosen.min()} to {chosen.max()}")


@jit
def _transpose(indptr, indices, values, places, rows, moved):
    for i in range(len(indptr) - 1):
        for k in range(indptr[i], indptr[i + 1]):
            place = places[indices[k]]
            rows[place], moved[place] = i, values[k]
            places[indices[k]] = place + 1


@jit
def _moments(indptr, indices, values, chosen, w_mean, mu, var):
    for n in range(len(chosen)):
        for k in range(indptr[chosen[n]], indptr[chosen[n] + 1]):
            x, weights = values[k], w_mean[indices[k]]
            for m in range(w_mean.shape[1]):
                mean = x * weights[m]
                mu[n, m] += mean
                var[n, m] += x * x - mean * mean


@jit
def descend(indptr, indices, values, chosen, dmu, h, seen):
    """h -= xᵀ dmu for the chosen rows x, **in place**. seen: False for every row of h. Returns the rows it wrote to."""
    touched = np.empty(min(len(h), np.sum(indptr[chosen + 1] - indptr[chosen])), np.int64)
    count = 0
    for n in range(len(chosen)):
        for k in range(indptr[chosen[n]], indptr[chosen[n] + 1]):
            x, j = values[k], indices[k]
            if not seen[j]:
                seen[j] = True
                touched[count] = j
                count += 1
            for m in range(h.shape[1]):
                h[j, m] -= x * dmu[n, m]
    return touched[:count]


@jit
def _signed_sums(indptr, indices, values, chosen, h, s):
    for n in range(len(chosen)):
        for k in range(indptr[chosen[n]], indptr[chosen[n] + 1]):
            x, weights = values[k], h[indices[k]]
            for m in range(h.shape[1]):
                s[n, m] += x if weights[m] >= 0 else -x
