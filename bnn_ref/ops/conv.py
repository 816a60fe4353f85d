"""Convolution as one matrix product over patches, its binary forms, and max pooling.

im2col writes every patch of the padded image as a column; col2im, its adjoint, adds columns back where they came
from. With the pair, a convolution's derivative is the dense layer's.
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .binarize import sign, stochastic_sign
from .checks import check_float, check_not_empty, check_number, check_shapes, check_whole

COLUMNS_BYTES = 4 << 30               # of patches at one time: with more images, some after the others


def out_size(size, kernel, stride, pad):
    """(size + 2·pad - kernel) // stride + 1: positions of a kernel along one side. Raises ValueError for none,
    TypeError for what is no whole number."""
    for name, value in (("kernel", kernel), ("stride", stride), ("pad", pad)):
        check_whole(name, value)
    if stride < 1 or pad < 0:
        raise ValueError(f"stride, pad: expected stride >= 1 and pad >= 0, got {stride} and {pad}")
    if kernel < 1:
        raise ValueError(f"kernel: expected a side of at least 1, got {kernel}")
    out = (size + 2 * pad - kernel) // stride + 1
    if out < 1:
        raise ValueError(f"kernel: expected at most the image side {size} with pad {pad}, got {kernel}")
    return out


def im2col(x, kernel, stride, pad, pad_value):
    """Patches as columns [CONV-1].

    x: (N, C, H, W); kernel: (KH, KW). The border of `pad` rows and columns holds `pad_value`.
    Returns (N, C·KH·KW, OH·OW) with OH = (H + 2·pad - KH) // stride + 1, OW alike; rows past the last whole
    stride belong to no patch.
    """
    oh, ow = (out_size(size, k, stride, pad) for size, k in zip(x.shape[2:], kernel))
    border = ((0, 0), (0, 0), (pad, pad), (pad, pad))
    padded = np.pad(x, border, constant_values=pad_value) if pad else x
    windows = sliding_window_view(padded, kernel, axis=(2, 3))[:, :, ::stride, ::stride]  # N C OH OW KH KW
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(len(x), -1, oh * ow)               # N CKK P


def col2im(cols, shape, kernel, stride, pad):
    """The adjoint of im2col: <im2col(x), cols> = <x, col2im(cols)> with pad value 0 [CONV-2].

    cols: (N, C·KH·KW, OH·OW). Returns (N, C, H, W) = `shape`: each entry the sum over the patches it is in.
    """
    n, c, h, w = shape
    oh, ow = (out_size(size, k, stride, pad) for size, k in zip((h, w), kernel))
    patches = cols.reshape(n, c, *kernel, oh, ow)
    padded = np.zeros((n, c, h + 2 * pad, w + 2 * pad), cols.dtype)
    for i, j in np.ndindex(*kernel):
        padded[:, :, i:i + stride * oh:stride, j:j + stride * ow:stride] += patches[:, :, i, j]
    return padded[:, :, pad:pad + h, pad:pad + w]


def _parts(n, image_bytes):
    """Slices of n images whose patches, `image_bytes` an image, are COLUMNS_BYTES together at most."""
    size = max(1, COLUMNS_BYTES // image_bytes)
    return [slice(start, start + size) for start in range(0, n, size)]


# --- convolution ---------------------------------------------------------------------------------------------------


def conv_forward(x, w, stride=1, pad=0, pad_value=0.0):
    """s[n, m] = Σ_c x[n, c] ⋆ w[m, c]: cross-correlation, as in every network here [CONV-3].

    x: (N, C, H, W); w: (M, C, KH, KW). Returns (s, cache), s: (N, M, OH, OW), sizes as in `im2col`.
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N C H W"), ("w", w, "M C KH KW"))
    check_not_empty("x", x)
    check_not_empty("w", w)
    pad_value = check_number("pad_value", pad_value)
    m, _, *kernel = w.shape
    oh, ow = (out_size(size, k, stride, pad) for size, k in zip(x.shape[2:], kernel))
    s = np.empty((len(x), m, oh * ow), x.dtype)
    for part in _parts(len(x), w[0].nbytes * oh * ow):
        cols = im2col(x[part], kernel, stride, pad, pad_value)     # N CKK P
        s[part] = w.reshape(m, -1) @ cols                          # N M P
    return s.reshape(len(x), m, oh, ow), (x, w, stride, pad, pad_value)


def conv_backward(ds, cache):
    """dx = col2im(wᵀ ds), dw = ds colsᵀ summed over images; **exact** [CONV-4].

    ds: (N, M, OH, OW). Returns dx: (N, C, H, W), dw: (M, C, KH, KW).
    """
    x, w, stride, pad, pad_value = cache
    m, _, *kernel = w.shape
    oh, ow = (out_size(size, k, stride, pad) for size, k in zip(x.shape[2:], kernel))
    check_shapes(("x", x, "N C H W"), ("ds", ds, "N M OH OW"))
    if ds.shape != (len(x), m, oh, ow):
        raise ValueError(f"ds: expected shape {(len(x), m, oh, ow)}, got {ds.shape}")
    ds = ds.reshape(len(x), m, oh * ow)                                      # N M P
    dx, dw = np.empty_like(x), np.zeros((m, w[0].size), w.dtype)
    for part in _parts(len(x), w[0].nbytes * oh * ow):
        cols = im2col(x[part], kernel, stride, pad, pad_value)               # N CKK P, again: it is too large to keep
        dw += (ds[part] @ cols.transpose(0, 2, 1)).sum(axis=0)               # M CKK
        dcols = w.reshape(m, -1).T @ ds[part]                                # N CKK P
        dx[part] = col2im(dcols, x[part].shape, kernel, stride, pad)
    return dx, dw.reshape(w.shape)


# --- binary weights ------------------------------------------------------------------------------------------------


def binary_conv_forward(x, w, stride, pad, pad_value):
    """s = x ⋆ w_b with w_b = sign(w) [BC-A1] [BNN-A1].

    x: (N, C, H, W), real (a binary-weight convolution) or ±1 (a binary convolution); w: (M, C, KH, KW), real.
    `pad_value` has no default: 0 is no value of a binary signal, so a network that is to run on bits pads with
    +1 or -1, while the papers' code pads with 0. Returns (s, cache), s: (N, M, OH, OW).
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N C H W"), ("w", w, "M C KH KW"))
    return conv_forward(x, sign(w), stride, pad, pad_value)


def binary_conv_backward(ds, cache):
    """As `conv_backward` at the binary weights; the gradient there moves the real ones [BC-A1] [BNN-A1].

    **ESTIMATOR of** `binary_conv_surrogate`. ds: (N, M, OH, OW). Returns dx: (N, C, H, W), dw: (M, C, KH, KW).
    """
    return conv_backward(ds, cache)


def binary_conv_surrogate(x0, w0, stride, pad, pad_value):
    """s = x ⋆ (sign(w0) + w - w0): the binary weights at w0, slope 1 around them."""
    offset = sign(w0) - w0
    return lambda x, w, *geometry: conv_forward(x, offset + w, *geometry)


def stochastic_binary_conv_forward(x, w, u, stride, pad, pad_value):
    """s = x ⋆ w_b with w_b the stochastic sign of w; one draw u a minibatch [BC-A1] [BC-2].

    x: (N, C, H, W); w: (M, C, KH, KW), real; u: as w, uniform numbers from [0, 1). Returns (s, cache).
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N C H W"), ("w", w, "M C KH KW"), ("u", u, "M C KH KW"))
    return conv_forward(x, stochastic_sign(w, u), stride, pad, pad_value)


def stochastic_binary_conv_backward(ds, cache):
    """As `conv_backward` with the w_b that forward drew [BC-A1].

    **ESTIMATOR of** `stochastic_binary_conv_surrogate`. Returns dx: (N, C, H, W), dw: (M, C, KH, KW).
    """
    return conv_backward(ds, cache)


def stochastic_binary_conv_surrogate(x0, w0, u, stride, pad, pad_value):
    """s = x ⋆ (w_b(w0, u) + w - w0): the drawn weights at w0, slope 1 around them."""
    offset = stochastic_sign(w0, u) - w0
    return lambda x, w, u, *geometry: conv_forward(x, offset + w, *geometry)


# --- max pooling ---------------------------------------------------------------------------------------------------


def max_pool_forward(x, kernel, stride):
    """out = the largest entry of each kernel × kernel window, one window every `stride` [POOL-1].

    Windows may overlap (stride < kernel). Where several entries tie, the first in reading order wins; ties are
    the rule, not the exception, where x holds sums of ±1. x: (N, C, H, W). Returns (out, cache),
    out: (N, C, OH, OW) with OH = (H - kernel) // stride + 1. Raises ValueError where the kernel does not fit.
    """
    check_shapes(("x", x, "N C H W"))
    oh, ow = (out_size(size, kernel, stride, 0) for size in x.shape[2:])
    out = np.full((*x.shape[:2], oh, ow), -np.inf, x.dtype)
    winner = np.zeros(out.shape, np.min_scalar_type(kernel**2))   # which entry of its window, in reading order
    for index, (i, j) in enumerate(np.ndindex(kernel, kernel)):
        entry = x[:, :, i:i + stride * oh:stride, j:j + stride * ow:stride]
        np.copyto(winner, winner.dtype.type(index), where=entry > out)
        np.maximum(out, entry, out=out)
    return out, (winner, x.shape, kernel, stride)


def max_pool_backward(dout, cache):
    """dx = dout at each window's winner, summed where windows overlap; **exact** away from ties [POOL-2].

    dout: (N, C, OH, OW). Returns dx: (N, C, H, W).
    """
    winner, shape, kernel, stride = cache
    check_float("dout", dout)
    if dout.shape != winner.shape:
        raise ValueError(f"dout: expected shape {winner.shape}, got {dout.shape}")
    oh, ow = winner.shape[2:]
    dx = np.zeros(shape, dout.dtype)
    for index, (i, j) in enumerate(np.ndindex(kernel, kernel)):
        dx[:, :, i:i + stride * oh:stride, j:j + stride * ow:stride] += dout * (winner == index)
    return dx


def max_pool_frozen(x0, kernel, stride):
    """The pooling that goes on choosing the entries that win at x0: the same value and derivative there.

    Sums of ±1 tie all the time, and at a tie max has no derivative to compare with; this linear function has.
    """
    winner = max_pool_forward(x0, kernel, stride)[1][0]
    rows, columns = np.ogrid[:winner.shape[2], :winner.shape[3]]
    rows, columns = rows * stride + winner // kernel, columns * stride + winner % kernel
    images, channels = np.ogrid[:winner.shape[0], :winner.shape[1]]
    where = images[..., None, None], channels[..., None, None], rows, columns
    return lambda x, kernel, stride: (x[where], None)


# --- from pictures to rows -----------------------------------------------------------------------------------------


def flatten_forward(x):
    """(N, C, H, W) -> (N, C·H·W), the rows of a dense layer. Returns (out, cache)."""
    check_shapes(("x", x, "N C H W"))
    return x.reshape(len(x), math.prod(x.shape[1:])), x.shape


def flatten_backward(dout, cache):
    """dx = dout in its old shape; **exact**. dout: (N, C·H·W). Returns dx: (N, C, H, W)."""
    shape = cache
    check_float("dout", dout)
    flat = shape[0], math.prod(shape[1:])
    if dout.shape != flat:
        raise ValueError(f"dout: expected shape {flat}, got {dout.shape}")
    return dout.reshape(shape)
