"""The first layer of a binary network, on the bits of its pixels: eight binary products in place of a real one.

The same numbers as `binary_dense_forward` and `binary_conv_forward` on scaled pixels, to the bit; it is here to show
how a layer whose inputs are not ±1 still runs on bits, and the kernels' layout of it is in `kernels/bits.py`.
"""

import numpy as np

from . import conv, dense
from .binarize import sign
from .checks import as_dtype, check_dtype, check_float, check_number, check_shapes, check_whole

# Planes hold 0 and 1 while weights are ±1, so a plane's product is *not* the XNOR dot product of two ±1 vectors; with
# weights stored as bits it is 2 popcount(xⁿ & w) - popcount(xⁿ). An XNOR dot product reads a plane as 2xⁿ - 1 and
# gives Σ 2ⁿ⁻¹ (2xⁿ - 1) · w_b = (2p - 255) · w_b = 255 (2p/255 - 1) · w_b: the product with centred pixels, scaled.


def pixels(x):
    """p = (256 x + 255) / 2, the 8-bit pixels behind scaled ones.

    x: float array of any shape that holds (2p - 255) / 256, p = 0, ..., 255. Returns p as uint8, same shape.
    Raises TypeError for anything but float32 or float64, ValueError for numbers that no pixel has.
    """
    check_float("x", x)
    p = np.clip(np.rint((256 * x + 255) / 2), 0, 255)
    wrong = x != (2 * p - 255) / 256
    if wrong.any():
        raise ValueError(f"x: expected pixels scaled to (2p - 255) / 256, p = 0, ..., 255, got {x[wrong][0]}")
    return p.astype(np.uint8)


def bit_plane(p, n, dtype):
    """xⁿ, the bit of weight 2ⁿ⁻¹ in each pixel: 0 or 1 in `dtype`; x⁸ is the most significant [BNN-6].

    p: uint8, any shape; n: 1 to 8. Raises TypeError or ValueError for others.
    """
    check_dtype("p", p, np.uint8)
    check_whole("n", n, "the number of a bit, 1 to 8", lambda n: 1 <= n <= 8)
    dtype = as_dtype("dtype", dtype, "a dtype of numbers", lambda found: found.kind in "fiu")
    return (p >> (n - 1) & 1).astype(dtype)


def bit_plane_dense_forward(x, w):
    """s = (2 Σ_n 2ⁿ⁻¹ (xⁿ · w_b) - 255 Σ w_b) / 256, n = 1, ..., 8, w_b = sign(w) [BNN-6].

    The paper's sum gives p · w_b; the rest is the scaling x = (2p - 255) / 256. Every number on the way is a whole
    number below 2²⁴ (D up to 65,000) over 256, so float32 does not round and the result is that of
    `binary_dense_forward`. x: (N, D), scaled pixels; w: (D, M), the real weights. Returns (s, cache), s: (N, M).
    Raises TypeError or ValueError where dtypes or shapes do not fit or x holds no pixels.
    """
    check_shapes(("x", x, "N D"), ("w", w, "D M"))
    p, w_b = pixels(x), sign(w)
    s = np.zeros((len(x), w.shape[1]), x.dtype)
    for n in range(1, 9):
        s += 2 ** (n - 1) * (bit_plane(p, n, x.dtype) @ w_b)
    return (2 * s - 255 * w_b.sum(axis=0)) / 256, (x, w_b)


def bit_plane_dense_backward(ds, cache):
    """dx = ds w_bᵀ, dw = xᵀ ds: in the backward pass the pixels are numbers again [BNN-A1].

    **ESTIMATOR of** `bit_plane_dense_surrogate`. ds: (N, M). Returns dx: (N, D), dw: (D, M).
    """
    return dense.binary_dense_backward(ds, cache)


def bit_plane_dense_surrogate(x0, w0):
    """s = x (sign(w0) + w - w0): the planes added up, the binary weights at w0, slope 1 around them."""
    return dense.binary_dense_surrogate(x0, w0)


def bit_plane_conv_forward(x, w, stride, pad, pad_value):
    """s = (2 Σ_n 2ⁿ⁻¹ (xⁿ ⋆ w_b) + r ⋆ w_b) / 256, n = 1, ..., 8, w_b = sign(w) [BNN-6].

    r is one picture that holds -255 inside and 256 · pad_value on the border. The planes have bit 0 on the border,
    which alone would mean p = 0, that is x = -255/256; r takes care of that, for any pad value.
    x: (N, C, H, W), scaled pixels; w: (M, C, KH, KW), the real weights; stride, pad and pad_value as in
    `binary_conv_forward`, whose result this is. Returns (s, cache), s: (N, M, OH, OW).
    Raises TypeError or ValueError where dtypes or shapes do not fit or x holds no pixels.
    """
    check_shapes(("x", x, "N C H W"), ("w", w, "M C KH KW"))
    p, w_b, pad_value = pixels(x), sign(w), check_number("pad_value", pad_value)
    rest, _ = conv.conv_forward(np.full((1, *x.shape[1:]), -255, x.dtype), w_b, stride, pad, 256 * pad_value)
    s = np.zeros((len(x), *rest.shape[1:]), x.dtype)
    for n in range(1, 9):
        s += 2 ** (n - 1) * conv.conv_forward(bit_plane(p, n, x.dtype), w_b, stride, pad, 0)[0]
    return (2 * s + rest) / 256, (x, w_b, stride, pad, pad_value)


def bit_plane_conv_backward(ds, cache):
    """As `binary_conv_backward`: in the backward pass the pixels are numbers again [BNN-A1].

    **ESTIMATOR of** `bit_plane_conv_surrogate`. ds: (N, M, OH, OW). Returns dx: (N, C, H, W), dw: (M, C, KH, KW).
    """
    return conv.binary_conv_backward(ds, cache)


def bit_plane_conv_surrogate(x0, w0, stride, pad, pad_value):
    """s = x ⋆ (sign(w0) + w - w0): the planes added up, the binary weights at w0, slope 1 around them."""
    return conv.binary_conv_surrogate(x0, w0, stride, pad, pad_value)
