"""Convolution and max pooling for training, a few images at a time, so that their patches stay in a core's cache.

Every function equals the readable one of its name bit for bit: BLAS gets the very products of the readable form, image
by image, and sums over images and over patches go in the same order. The patches of a batch are never all in memory:
backward writes them anew.
"""

import math
from typing import NamedTuple

import numpy as np

from ...kernels import bits, ladder
from ...kernels.compiled import jit
from ...kernels.recycle import empty
from ...ops import conv
from ...ops.binarize import stochastic_sign
from ...ops.checks import check_float, check_not_empty, check_number, check_shapes
from .dense import contiguous, pieces, sign

CACHE = 1 << 22                       # bytes of patches at a time


# --- patches -------------------------------------------------------------------------------------------------------


# Unsigned indices, because one that might be negative costs a comparison for each entry; stride 1 spelled out, because
# LLVM then copies vectors.


@jit
def _gather(line, first, step, out, oh, ow, stride):
    """out[y, o] = line[first + y·step + o·stride], out flat."""
    for y in range(oh):
        source, target = np.uintp(first + y * step), np.uintp(y * ow)
        if stride == 1:
            for o in range(ow):
                out[target + np.uintp(o)] = line[source + np.uintp(o)]
        else:
            for o in range(ow):
                out[target + np.uintp(o)] = line[source + np.uintp(o * stride)]


@jit
def _scatter(entries, oh, ow, line, first, step, stride):
    """line[first + y·step + o·stride] += entries[y, o], entries flat."""
    for y in range(oh):
        source, target = np.uintp(y * ow), np.uintp(first + y * step)
        if stride == 1:
            for o in range(ow):
                line[target + np.uintp(o)] += entries[source + np.uintp(o)]
        else:
            for o in range(ow):
                line[target + np.uintp(o * stride)] += entries[source + np.uintp(o)]


@jit
def _im2col(x, cols, kh, kw, oh, ow, stride, pad, pad_value, start, stop):
    channels, h, w = x.shape[1:]
    height, width = h + 2 * pad, w + 2 * pad
    padded = np.full(channels * height * width, pad_value, x.dtype)
    for n in range(start, stop):
        for c in range(channels):
            _copy(x[n, c].reshape(-1), 0, w, padded, (c * height + pad) * width + pad, width, h, w)
        for row in range(channels * kh * kw):
            c, i, j = row // (kh * kw), row // kw % kh, row % kw
            _gather(padded, (c * height + i) * width + j, stride * width, cols[n, row], oh, ow, stride)


@jit
def _copy(source, first, step, target, target_first, target_step, h, w):
    """A picture of h rows from one flat array to another, whose rows lie `step` entries apart."""
    for y in range(h):
        read, write = np.uintp(first + y * step), np.uintp(target_first + y * target_step)
        for o in range(w):
            target[write + np.uintp(o)] = source[read + np.uintp(o)]


@jit
def _col2im(cols, x, kh, kw, oh, ow, stride, pad, start, stop):
    channels, h, w = x.shape[1:]
    height, width = h + 2 * pad, w + 2 * pad
    padded = np.empty(channels * height * width, x.dtype)
    for n in range(start, stop):
        padded[:] = 0
        for row in range(channels * kh * kw):
            c, i, j = row // (kh * kw), row // kw % kh, row % kw
            _scatter(cols[n, row], oh, ow, padded, (c * height + i) * width + j, stride * width, stride)
        for c in range(channels):
            _copy(padded, (c * height + pad) * width + pad, width, x[n, c].reshape(-1), 0, w, h, w)


@jit
def _pack_patches(x, packed, kh, kw, oh, ow, stride, pad, padding_bit, start, stop):
    """Words of the patches of x (N, C, H, W), rows of packed (N, P, words)."""
    channels, h, w = x.shape[1:]
    width = w + 2 * pad
    plus = np.empty(channels * (h + 2 * pad) * width, np.uint64)       # the image and its border as 0 and 1
    run = (oh - 1) * stride * width + (ow - 1) * stride + 1            # from the first patch to the last
    word = np.empty(run, np.uint64)
    for n in range(start, stop):
        plus[:] = padding_bit
        for c in range(channels):
            for y in range(h):
                first = (c * (h + 2 * pad) + y + pad) * width + pad
                inside, line = plus[first:first + w], x[n, c, y]
                for o in range(w):
                    inside[o] = line[o] >= 0
        rows = channels * kh * kw
        for block in range(0, rows, 64):
            word[:] = 0
            for row in range(block, min(block + 64, rows)):
                first = (row // (kh * kw) * (h + 2 * pad) + row // kw % kh) * width + row % kw
                entries, shift = plus[first:first + run], np.uint64(row - block)
                for p in range(run):
                    word[p] |= entries[p] << shift
            for y in range(oh):
                for o in range(ow):
                    packed[n, y * ow + o, block // 64] = word[(y * width + o) * stride]


class _Geometry(NamedTuple):
    """The sizes that a kernel of patches takes."""

    kh: int
    kw: int
    oh: int
    ow: int
    stride: int
    pad: int

    @property
    def p(self):
        """Patches of a picture."""
        return self.oh * self.ow


def _check(x, w, pad_value):
    """As `conv.conv_forward` does, but for pictures of which there are none: kernels trust what they are given."""
    check_shapes(("x", x, "N C H W"), ("w", w, "M C KH KW"))
    check_not_empty("w", w)
    check_number("pad_value", pad_value)


def _geometry(x, w, stride, pad):
    sizes = (conv.out_size(size, kernel, stride, pad) for size, kernel in zip(x.shape[2:], w.shape[2:]))
    return _Geometry(*w.shape[2:], *sizes, stride, pad)


def _batches(n, image):
    """Slices of n images, `image` bytes of patches each, that fit the cache together."""
    size = max(1, CACHE // max(1, image))
    return [slice(first, min(first + size, n)) for first in range(0, n, size)]


def _patches(x, pad_value, geometry):
    """Equals `conv.im2col`."""
    cols = empty((len(x), x.shape[1] * geometry.kh * geometry.kw, geometry.p), x.dtype)
    pieces(lambda start, stop: _im2col(x, cols, *geometry, pad_value, start, stop), len(x), math.prod(cols.shape[1:]))
    return cols


def _add_patches(cols, x, geometry):
    """`conv.col2im` into x."""
    pieces(lambda start, stop: _col2im(cols, x, *geometry, start, stop), len(x), math.prod(cols.shape[1:]))


# --- convolution ---------------------------------------------------------------------------------------------------


def conv_forward(x, w, stride=1, pad=0, pad_value=0.0):
    """Equals `conv.conv_forward`."""
    _check(x, w, pad_value)
    geometry = _geometry(x, w, stride, pad)
    if not contiguous(x, w):
        return conv.conv_forward(x, w, stride, pad, pad_value)
    s = empty((len(x), len(w), geometry.p), x.dtype)
    rows = w.reshape(len(w), -1)                                        # M CKK
    for part in _batches(len(x), rows[0].nbytes * geometry.p):
        np.matmul(rows, _patches(x[part], pad_value, geometry), out=s[part])
    return s.reshape(len(x), len(w), geometry.oh, geometry.ow), (x, w, stride, pad, pad_value)


def conv_backward(ds, cache):
    """Equals `conv.conv_backward`."""
    return _backward(ds, cache, True)


def conv_backward_weights(ds, cache):
    """Equals `conv.conv_backward`, but for dx, which is None: what is below has nothing to learn."""
    return _backward(ds, cache, False)


def _backward(ds, cache, with_dx):
    x, w, stride, pad, pad_value = cache
    geometry = _geometry(x, w, stride, pad)
    check_shapes(("x", x, "N C H W"), ("ds", ds, "N M OH OW"))
    shape = len(x), len(w), geometry.oh, geometry.ow
    if ds.shape != shape:
        raise ValueError(f"ds: expected shape {shape}, got {ds.shape}")
    if not contiguous(ds, x, w):
        dx, dw = conv.conv_backward(ds, cache)
        return dx if with_dx else None, dw
    rows, ds = w.reshape(len(w), -1), ds.reshape(len(x), len(w), geometry.p)    # M CKK, N M P
    dw = empty((len(x), *rows.shape), x.dtype)
    dx = empty(x.shape, x.dtype) if with_dx else None
    for part in _batches(len(x), rows[0].nbytes * geometry.p):
        cols = _patches(x[part], pad_value, geometry)                   # n CKK P
        np.matmul(ds[part], cols.transpose(0, 2, 1), out=dw[part])
        if with_dx:
            np.matmul(rows.T, ds[part], out=cols)
            _add_patches(cols, dx[part], geometry)
    return dx, dw.sum(axis=0).reshape(w.shape)


def binary_conv_forward(x, w, stride, pad, pad_value):
    """Equals `conv.binary_conv_forward`."""
    check_shapes(("x", x, "N C H W"), ("w", w, "M C KH KW"))
    return conv_forward(x, sign(w), stride, pad, pad_value)


def stochastic_binary_conv_forward(x, w, u, stride, pad, pad_value):
    """Equals `conv.stochastic_binary_conv_forward`."""
    check_shapes(("x", x, "N C H W"), ("w", w, "M C KH KW"), ("u", u, "M C KH KW"))
    return conv_forward(x, stochastic_sign(w, u), stride, pad, pad_value)


def xnor_conv_forward(x, w, stride, pad, pad_value):
    """Equals `conv.binary_conv_forward` where x holds nothing but ±1 and the border does: the product runs on bits.

    x: (N, C, H, W), ±1, not looked at; pad_value: +1 or -1 unless pad is 0.
    """
    _check(x, w, pad_value)
    geometry = _geometry(x, w, stride, pad)
    if not contiguous(x, w):
        return binary_conv_forward(x, w, stride, pad, pad_value)
    packed_w = bits.pack(w.reshape(len(w), -1))
    s = empty((len(x), len(w), geometry.p), x.dtype)
    for part in _batches(len(x), 4 * len(w) * geometry.p):
        _xnor_product(packed_w, x[part], pad_value >= 0, geometry, s[part])
    return s.reshape(len(x), len(w), geometry.oh, geometry.ow), (x, sign(w), stride, pad, pad_value)


def _xnor_product(packed_w, x, padding_bit, geometry, s):
    """s = the products of packed_w (M, words) with the patches of x (N, C, H, W); s: (N, M, P)."""
    k = x.shape[1] * geometry.kh * geometry.kw
    packed = np.empty((len(x), geometry.p, packed_w.shape[1]), np.uint64)
    pieces(lambda start, stop: _pack_patches(x, packed, *geometry, padding_bit, start, stop), len(x), k * geometry.p)
    integers = ladder.xnor_matmul(packed_w, packed.reshape(-1, packed.shape[2]), k)    # M N·P
    pieces(lambda start, stop: _to_maps(integers, s, start, stop), len(x), len(packed_w) * geometry.p)


@jit
def _to_maps(integers, s, start, stop):
    p = s.shape[2]
    for n in range(start, stop):
        for m in range(s.shape[1]):
            out, row = s[n, m], integers[m, n * p:(n + 1) * p]
            for i in range(p):
                out[i] = row[i]


# --- max pooling ---------------------------------------------------------------------------------------------------


@jit
def _max_pool(x, out, winner, kernel, stride, start, stop):
    """For each entry of the window: gather it from all windows of a map, then compare them side by side."""
    oh, ow = out.shape[1:]
    width = x.shape[2]
    entries = np.empty(oh * ow, x.dtype)
    number = winner.dtype.type
    for image in range(start, stop):
        pixels, best, index = x[image].reshape(-1), out[image].reshape(-1), winner[image].reshape(-1)
        best[:] = -np.inf
        index[:] = 0
        for i in range(kernel):
            for j in range(kernel):
                _gather(pixels, i * width + j, stride * width, entries, oh, ow, stride)
                here = number(i * kernel + j)
                for q in range(len(entries)):
                    index[q] = here if entries[q] > best[q] else index[q]
                    # What is no number spreads, but wins nothing.
                    best[q] = entries[q] if entries[q] > best[q] or entries[q] != entries[q] else best[q]


def max_pool_forward(x, kernel, stride):
    """Equals `conv.max_pool_forward`, but for the sign of a zero where +0 and -0 tie."""
    check_shapes(("x", x, "N C H W"))
    oh, ow = (conv.out_size(size, kernel, stride, 0) for size in x.shape[2:])
    if not contiguous(x):
        return conv.max_pool_forward(x, kernel, stride)
    shape = *x.shape[:2], oh, ow
    out, winner = empty(shape, x.dtype), empty(shape, np.min_scalar_type(kernel**2))
    maps = [array.reshape(-1, *array.shape[2:]) for array in (x, out, winner)]
    pieces(lambda start, stop: _max_pool(*maps, kernel, stride, start, stop), len(maps[0]), math.prod(x.shape[2:]))
    return out, (winner, x.shape, kernel, stride)


@jit
def _max_pool_gradient(dout, winner, dx, kernel, stride, start, stop):
    """In the order of the readable sum: entry by entry of the window, window by window."""
    one, zero = dout.dtype.type(1), dout.dtype.type(0)
    oh, ow = dout.shape[1:]
    width = dx.shape[2]
    entries = np.empty(oh * ow, dout.dtype)
    for image in range(start, stop):
        gradient, index, pixels = dout[image].reshape(-1), winner[image].reshape(-1), dx[image].reshape(-1)
        pixels[:] = 0
        for i in range(kernel):
            for j in range(kernel):
                # A product, so that an infinite or undefined dout does here what it does in the readable equation.
                for q in range(len(entries)):
                    entries[q] = gradient[q] * (one if index[q] == i * kernel + j else zero)
                _scatter(entries, oh, ow, pixels, i * width + j, stride * width, stride)


def max_pool_backward(dout, cache):
    """Equals `conv.max_pool_backward`."""
    winner, shape, kernel, stride = cache
    check_float("dout", dout)
    if not contiguous(dout) or dout.shape != winner.shape:
        return conv.max_pool_backward(dout, cache)
    dx = empty(shape, dout.dtype)
    maps = [array.reshape(-1, *array.shape[2:]) for array in (dout, winner, dx)]
    pieces(lambda start, stop: _max_pool_gradient(*maps, kernel, stride, start, stop), len(maps[0]),
           math.prod(shape[2:]))
    return dx
