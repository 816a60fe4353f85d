"""Bitwise neural networks as the paper's sentences say them, one number at a time; shares nothing with the package."""

import math

import numpy as np


def entries(function, *arrays):
    """function(number, ...) for each entry of arrays of one shape."""
    out = np.zeros(arrays[0].shape)
    for index in np.ndindex(out.shape):
        out[index] = function(*(float(array[index]) for array in arrays))
    return out


def neurons(x, w, b):
    """a[n, m] = b[m] + the sum over inputs d of w[d, m] x[n, d] (KS eq. 1)."""
    a = np.zeros((x.shape[0], w.shape[1]))
    for n in range(x.shape[0]):
        for m in range(w.shape[1]):
            a[n, m] = float(b[m]) + sum(float(w[d, m]) * float(x[n, d]) for d in range(x.shape[1]))
    return a


def neurons_backward(da, x, w):
    """A neuron sends da on through each weight; a weight collects da times its input, a bias da alone (KS eq. 7)."""
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(w.shape[1])
    for n in range(x.shape[0]):
        for m in range(w.shape[1]):
            db[m] += float(da[n, m])
            for d in range(x.shape[1]):
                dx[n, d] += float(w[d, m]) * float(da[n, m])
                dw[d, m] += float(da[n, m]) * float(x[n, d])
    return dx, dw, db


def tanh(x):
    """(e^x - e^-x) / (e^x + e^-x), here of moderate numbers only (KS section 3.1)."""
    return entries(lambda x: (math.exp(x) - math.exp(-x)) / (math.exp(x) + math.exp(-x)), x)


def tanh_slope(dout, x):
    """dout times the derivative of tanh, written as 1 / cosh² (KS eq. 6 writes it 1 - tanh²)."""
    return entries(lambda dout, x: dout / math.cosh(x) ** 2, dout, x)


def compressed(x, w, b):
    """Weights and biases pass through tanh before they are used (KS eq. 5)."""
    return neurons(x, tanh(w), tanh(b))


def compressed_backward(da, x, w, b):
    """The gradients at the compressed parameters, times the slopes of the compression (KS eq. 6)."""
    dx, dw, db = neurons_backward(da, x, tanh(w))
    return dx, tanh_slope(dw, w), tanh_slope(db, b)


def boundary(w, sparsity):
    """The least magnitude that at most the fraction λ of all magnitudes lies below; 0 if that is the least of all.

    Found by trying every magnitude: none is sorted or ranked.
    """
    magnitudes = [abs(float(entry)) for entry in w.ravel()]
    if sparsity * len(magnitudes) < 1:
        return 0.0
    return max(beta for beta in magnitudes
               if sum(magnitude < beta for magnitude in magnitudes) <= sparsity * len(magnitudes))


def bitwise(w, beta):
    """+1 from β up, -1 from -β down, 0 between; a weight of 0 that no zone holds back is +1 (KS section 3.2)."""
    return entries(lambda w: 1.0 if w >= beta else -1.0 if w <= -beta else 0.0, w)


def sign(x):
    """+1 if x >= 0, else -1."""
    return entries(lambda x: 1.0 if x >= 0 else -1.0, x)


def masked(dz, a, width):
    """dz for units from -width to width, both included; 0 for the others."""
    return entries(lambda dz, a: dz if -width <= a <= width else 0.0, dz, a)


def pixel(p):
    """A pixel p of 0..255 as the package scales it, between -1 and 1."""
    return (2 * int(p) - 255) / 256


def two_bits(p):
    """Both bits of a pixel p of 0..255, its range cut in four equal parts; -1 for a bit that is 0 (KS section 4)."""
    part = int(p) // 64
    return (1.0 if part in (2, 3) else -1.0), (1.0 if part in (1, 3) else -1.0)
