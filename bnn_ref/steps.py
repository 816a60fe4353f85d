"""The vocabulary of networks: one function for each operation, which describes it as a step.

A description names the pair of functions and the arrays they take; it computes nothing.
"""

import math

import numpy as np

from . import batchnorm as bn
from . import binarize, conv, dense, dropout, relu
from .network import Param, Step


def _only_out(forward):
    """The forward of another operation, as the test-time function of one that draws in training."""
    return lambda *args: forward(*args)[0]


def _uniform(rng, shape):
    return rng.uniform(-1, 1, shape)


def _glorot(rng, shape):
    fan = shape if len(shape) == 2 else [math.prod(shape[2:]) * n for n in shape[:2]]
    limit = math.sqrt(6 / sum(fan))
    return rng.uniform(-limit, limit, shape)


def _ones(rng, shape):
    return np.ones(shape)


def _zeros(rng, shape):
    return np.zeros(shape)


def _draw_like_weight(rng, x, w):
    return rng.random(w.shape, dtype=w.dtype)


# --- dense ---------------------------------------------------------------------------------------------------------


def dense_step(name, n_in, n_out):
    """Dense product with real weights, uniform in ±√(6 / (n_in + n_out)) at first (Glorot)."""
    weight = Param("w", (n_in, n_out), _glorot)
    return Step(name, dense.dense_forward, dense.dense_backward, params=(weight,))


def binary_dense_step(name, n_in, n_out):
    """Dense product with sign(w); real weights uniform in [-1, 1] at first."""
    weight = Param("w", (n_in, n_out), _uniform, binary=True)
    return Step(name, dense.binary_dense_forward, dense.binary_dense_backward, params=(weight,),
                surrogate=dense.binary_dense_surrogate)


def stochastic_binary_dense_step(name, n_in, n_out):
    """Dense product with weights sampled once a minibatch; the real ones at test time, as in BC's tables."""
    weight = Param("w", (n_in, n_out), _uniform, binary=True)
    return Step(name, dense.stochastic_binary_dense_forward, dense.stochastic_binary_dense_backward,
                _only_out(dense.dense_forward), (weight,), draw=_draw_like_weight,
                surrogate=dense.stochastic_binary_dense_surrogate)


# --- convolution ---------------------------------------------------------------------------------------------------


def conv_step(name, c_in, c_out, kernel, pad, pad_value):
    """Convolution with real weights (Glorot at first), stride 1."""
    weight = Param("w", (c_out, c_in, kernel, kernel), _glorot)
    return Step(name, conv.conv_forward, conv.conv_backward, params=(weight,), settings=(1, pad, pad_value))


def binary_conv_step(name, c_in, c_out, kernel, pad, pad_value):
    """Convolution with sign(w), stride 1; real weights uniform in [-1, 1] at first."""
    weight = Param("w", (c_out, c_in, kernel, kernel), _uniform, binary=True)
    return Step(name, conv.binary_conv_forward, conv.binary_conv_backward, params=(weight,),
                settings=(1, pad, pad_value), surrogate=conv.binary_conv_surrogate)


def stochastic_binary_conv_step(name, c_in, c_out, kernel, pad, pad_value):
    """Convolution with weights sampled once a minibatch, stride 1; the real ones at test time."""
    weight = Param("w", (c_out, c_in, kernel, kernel), _uniform, binary=True)
    return Step(name, conv.stochastic_binary_conv_forward, conv.stochastic_binary_conv_backward,
                _only_out(conv.conv_forward), (weight,), draw=_draw_like_weight, settings=(1, pad, pad_value),
                surrogate=conv.stochastic_binary_conv_surrogate)


def max_pool_step(name, kernel, stride):
    """Max pooling."""
    return Step(name, conv.max_pool_forward, conv.max_pool_backward, settings=(kernel, stride),
                surrogate=conv.max_pool_frozen)


def flatten_step(name):
    """Pictures to rows."""
    return Step(name, conv.flatten_forward, conv.flatten_backward)


# --- normalization, activations, dropout ---------------------------------------------------------------------------


def batchnorm_step(name, n):
    """Batch normalization of n units or channels; gamma 1, beta 0, running mean 0 and variance 1 at first."""
    return Step(name, bn.batchnorm_forward, bn.batchnorm_backward, bn.batchnorm_predict,
                (Param("gamma", (n,), _ones), Param("beta", (n,), _zeros)),
                running=(("mean", (n,), 0.0), ("var", (n,), 1.0)))


def relu_step(name):
    """The rectifier."""
    return Step(name, relu.relu_forward, relu.relu_backward)


def sign_step(name):
    """The binary activation, straight-through in the backward pass."""
    return Step(name, binarize.sign_forward, binarize.sign_backward, surrogate=binarize.sign_surrogate)


def stochastic_sign_step(name):
    """The stochastic binary activation; sign at test time."""
    return Step(name, binarize.stochastic_sign_forward, binarize.stochastic_sign_backward,
                _only_out(binarize.sign_forward), draw=lambda rng, x: rng.random(x.shape, dtype=x.dtype),
                surrogate=binarize.stochastic_sign_surrogate)


def dropout_step(name, p):
    """Inverted dropout; nothing at test time."""
    return Step(name, dropout.dropout_forward, dropout.dropout_backward, lambda x, p: x,
                draw=lambda rng, x: dropout.draw_keep(rng, x, p), settings=(p,))
