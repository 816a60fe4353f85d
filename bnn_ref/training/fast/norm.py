"""Batch normalization for training: three passes over the maps forward, two backward, and no array in between.

Every function equals the readable one of its name bit for bit. So sums go in NumPy's order: image by image, within a
map pairwise. Where NumPy would sum in yet another order (a single channel, an array that is not C-contiguous) or
where maps are huge, the readable function itself is called.
"""

import numpy as np

from ...kernels.compiled import jit
from ...kernels.recycle import empty
from ...ops import batchnorm as bn
from ...ops.checks import check_like, check_number
from .dense import contiguous, pieces

LARGEST = 8192                        # entries of a map: that many are halved DEPTH times at most


def _fits(x, *others):
    return x.ndim in (2, 4) and x.size and x.shape[1] > 1 and x[0, 0].size <= LARGEST and contiguous(x, *others)


LEAF = 128                            # entries that NumPy adds up without halving
DEPTH = 8                             # halvings of LARGEST, with room to spare


@jit
def _leaf(x):
    """The sum of at most LEAF entries: eight sums side by side, then what remains."""
    total = x.dtype.type(0)
    whole = 0
    if len(x) >= 8:
        s0, s1, s2, s3, s4, s5, s6, s7 = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
        whole = len(x) - len(x) % 8
        for i in range(8, whole, 8):
            s0 += x[i]
            s1 += x[i + 1]
            s2 += x[i + 2]
            s3 += x[i + 3]
            s4 += x[i + 4]
            s5 += x[i + 5]
            s6 += x[i + 6]
            s7 += x[i + 7]
        total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for i in range(whole, len(x)):
        total += x[i]
    return total


@jit
def _pairwise(x, left, right):
    """The sum of x in NumPy's order: the sum of its halves, and of theirs, down to leaves.

    left, right: DEPTH entries of scratch, the sum of the left half and the length of the right one of each level. A
    stack, because Numba does not bring recursive functions back from its cache.
    """
    start, count, level = 0, len(x), 0
    while True:
        while count > LEAF:
            half = count // 2
            half -= half % 8
            right[level] = count - half
            level += 1
            count = half
        total = _leaf(x[start:start + count])
        start += count
        while level and not right[level - 1]:
            level -= 1
            total = left[level] + total
        if not level:
            return total
        left[level - 1] = total
        count = right[level - 1]
        right[level - 1] = 0


# In the kernels x is (N, C·P), a row an image, P the entries of a map: 1 for (N, D), whose loops then run along the
# units. Slices, not offsets, because an index that might be negative keeps LLVM from using vectors.


@jit
def _sum(x, p, out, start, stop):
    left, right = np.empty(DEPTH, x.dtype), np.zeros(DEPTH, np.int64)
    out = out[start:stop]
    for n in range(len(x)):
        row = x[n, start * p:stop * p]
        for c in range(len(out)):
            out[c] += row[c] if p == 1 else _pairwise(row[c * p:(c + 1) * p], left, right)


@jit
def _sum_squares(x, p, mu, out, start, stop):
    square, left, right = np.empty(p, x.dtype), np.empty(DEPTH, x.dtype), np.zeros(DEPTH, np.int64)
    mu, out = mu[start:stop], out[start:stop]
    for n in range(len(x)):
        row = x[n, start * p:stop * p]
        if p == 1:
            for c in range(len(out)):
                out[c] += (row[c] - mu[c]) * (row[c] - mu[c])
            continue
        for c in range(len(out)):
            entries, mean = row[c * p:(c + 1) * p], mu[c]
            for i in range(p):
                square[i] = (entries[i] - mean) * (entries[i] - mean)
            out[c] += _pairwise(square, left, right)


@jit
def _normalize(x, p, mu, rstd, gamma, beta, x_hat, a, start, stop):
    mu, rstd, gamma, beta = mu[start:stop], rstd[start:stop], gamma[start:stop], beta[start:stop]
    for n in range(len(x)):
        row, hat_row, a_row = x[n, start * p:stop * p], x_hat[n, start * p:stop * p], a[n, start * p:stop * p]
        if p == 1:
            for c in range(len(mu)):
                hat_row[c] = (row[c] - mu[c]) * rstd[c]
                a_row[c] = gamma[c] * hat_row[c] + beta[c]
            continue
        for c in range(len(mu)):
            entries, hat, out = row[c * p:(c + 1) * p], hat_row[c * p:(c + 1) * p], a_row[c * p:(c + 1) * p]
            mean, scale, slope, offset = mu[c], rstd[c], gamma[c], beta[c]
            for i in range(p):
                hat[i] = (entries[i] - mean) * scale
                out[i] = slope * hat[i] + offset


def batchnorm_forward(x, gamma, beta, running_mean, running_var, eps=bn.EPS, *, alpha=0.1):
    """Equals `batchnorm.batchnorm_forward`."""
    bn.layout(x, ("gamma", gamma), ("beta", beta), ("running_mean", running_mean), ("running_var", running_var))
    if not _fits(x, gamma, beta):
        return bn.batchnorm_forward(x, gamma, beta, running_mean, running_var, eps, alpha=alpha)
    rows, p = x.reshape(len(x), -1), x[0, 0].size
    eps, alpha = bn.as_eps(eps, gamma), check_number("alpha", alpha)
    units, count = len(gamma), x.size // len(gamma)

    def mean(kernel, *arrays):
        sums = np.zeros(units, x.dtype)
        pieces(lambda start, stop: kernel(*arrays, sums, start, stop), units, count)
        return (sums / np.float64(count)).astype(x.dtype)            # as `np.mean` divides

    mu = mean(_sum, rows, p)
    v = mean(_sum_squares, rows, p, mu)
    rstd = 1 / np.sqrt(v + eps)
    x_hat, a = empty(rows.shape, x.dtype), empty(rows.shape, x.dtype)
    pieces(lambda start, stop: _normalize(rows, p, mu, rstd, gamma, beta, x_hat, a, start, stop), units, count)
    new_mean = (1 - alpha) * running_mean + alpha * mu
    new_var = (1 - alpha) * running_var + alpha * v
    return a.reshape(x.shape), (x_hat.reshape(x.shape), gamma, rstd), new_mean, new_var


@jit
def _sum_gradients(da, x_hat, p, dbeta, dgamma, start, stop):
    product, left, right = np.empty(p, da.dtype), np.empty(DEPTH, da.dtype), np.zeros(DEPTH, np.int64)
    dbeta, dgamma = dbeta[start:stop], dgamma[start:stop]
    for n in range(len(da)):
        da_row, hat_row = da[n, start * p:stop * p], x_hat[n, start * p:stop * p]
        if p == 1:
            for c in range(len(dbeta)):
                dbeta[c] += da_row[c]
                dgamma[c] += da_row[c] * hat_row[c]
            continue
        for c in range(len(dbeta)):
            entries, hat = da_row[c * p:(c + 1) * p], hat_row[c * p:(c + 1) * p]
            for i in range(p):
                product[i] = entries[i] * hat[i]
            dbeta[c] += _pairwise(entries, left, right)
            dgamma[c] += _pairwise(product, left, right)


@jit
def _input_gradient(da, x_hat, p, mean_da, mean_product, scale, dx, start, stop):
    mean_da, mean_product, scale = mean_da[start:stop], mean_product[start:stop], scale[start:stop]
    for n in range(len(da)):
        da_row, hat_row, row = da[n, start * p:stop * p], x_hat[n, start * p:stop * p], dx[n, start * p:stop * p]
        if p == 1:
            for c in range(len(scale)):
                row[c] = (da_row[c] - mean_da[c] - hat_row[c] * mean_product[c]) * scale[c]
            continue
        for c in range(len(scale)):
            entries, hat, out = da_row[c * p:(c + 1) * p], hat_row[c * p:(c + 1) * p], row[c * p:(c + 1) * p]
            mean, product, factor = mean_da[c], mean_product[c], scale[c]
            for i in range(p):
                out[i] = (entries[i] - mean - hat[i] * product) * factor


def batchnorm_backward(da, cache):
    """Equals `batchnorm.batchnorm_backward`."""
    x_hat, gamma, rstd = cache
    check_like("da", da, "x", x_hat)
    if not _fits(da, x_hat):
        return bn.batchnorm_backward(da, cache)
    units, count = len(gamma), x_hat.size // len(gamma)
    da_rows, hat_rows, p = da.reshape(len(da), -1), x_hat.reshape(len(da), -1), da[0, 0].size
    dbeta, dgamma = np.zeros(units, da.dtype), np.zeros(units, da.dtype)
    pieces(lambda start, stop: _sum_gradients(da_rows, hat_rows, p, dbeta, dgamma, start, stop), units, count)
    mean_da, mean_product, scale = dbeta / count, dgamma / count, gamma * rstd
    dx = empty(da_rows.shape, da.dtype)
    pieces(lambda start, stop: _input_gradient(da_rows, hat_rows, p, mean_da, mean_product, scale, dx, start, stop),
           units, count)
    return dx.reshape(da.shape), dgamma, dbeta
