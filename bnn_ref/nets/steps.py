"""The vocabulary of networks: one function for each operation, which describes it as a step.

A description names the pair of functions and the arrays they take; it computes nothing.
"""

import math

import numpy as np

from ..ops import batchnorm as bn
from ..ops import (
    binarize,
    bit_planes,
    bitwise,
    conv,
    dense,
    dropout,
    ebp,
    ebp_real,
    ebp_ternary,
    few_mult,
    relu,
    ternary,
)
from ..ops import shift_batchnorm as shift_bn
from ..ops.checks import check_float, check_generator
from .network import Param, Step

DENSE_SHIFTS, CONV_SHIFTS = (None, None), (-4, 3)    # exponents of quantized inputs: in dense layers any, in maps 8


def _real_dense(x, w, low, high):
    return dense.dense_forward(x, w)


def _real_conv(x, w, stride, pad, pad_value, low, high):
    return conv.conv_forward(x, w, stride, pad, pad_value)


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


def _draw_like(rng, x, name="x"):
    check_generator("rng", rng)
    check_float(name, x)
    return rng.random(x.shape, dtype=x.dtype)


def _draw_like_weight(rng, x, w):
    return _draw_like(rng, w, "w")


def _draw_like_weight_and_input(rng, x, w):
    return _draw_like(rng, w, "w"), _draw_like(rng, x)


def _dense_weight(n_in, n_out):
    return Param("w", (n_in, n_out), _uniform, binary=True)


def _conv_weight(c_in, c_out, kernel):
    return Param("w", (c_out, c_in, kernel, kernel), _uniform, binary=True)


# --- dense ---------------------------------------------------------------------------------------------------------


def dense_step(name, n_in, n_out):
    """Dense product with real weights, uniform in ±√(6 / (n_in + n_out)) at first (Glorot)."""
    weight = Param("w", (n_in, n_out), _glorot)
    return Step(name, dense.dense_forward, dense.dense_backward, params=(weight,))


def binary_dense_step(name, n_in, n_out):
    """Dense product with sign(w); real weights uniform in [-1, 1] at first."""
    weight = _dense_weight(n_in, n_out)
    return Step(name, dense.binary_dense_forward, dense.binary_dense_backward, params=(weight,),
                surrogate=dense.binary_dense_surrogate)


def stochastic_binary_dense_step(name, n_in, n_out):
    """Dense product with weights sampled once a minibatch; the real ones at test time, as in BC's tables."""
    weight = _dense_weight(n_in, n_out)
    return Step(name, dense.stochastic_binary_dense_forward, dense.stochastic_binary_dense_backward,
                _only_out(dense.dense_forward), (weight,), draw=_draw_like_weight,
                surrogate=dense.stochastic_binary_dense_surrogate)


def bit_plane_dense_step(name, n_in, n_out):
    """As `binary_dense_step`, on the bit planes of scaled pixels: for the first layer."""
    return Step(name, bit_planes.bit_plane_dense_forward, bit_planes.bit_plane_dense_backward,
                params=(_dense_weight(n_in, n_out),), surrogate=bit_planes.bit_plane_dense_surrogate)


def ternary_dense_step(name, n_in, n_out):
    """Dense product with weights -1, 0 and +1; real weights uniform in [-1, 1] at first."""
    return Step(name, ternary.ternary_dense_forward, ternary.ternary_dense_backward,
                params=(_dense_weight(n_in, n_out),), surrogate=ternary.ternary_dense_surrogate)


def binary_few_mult_dense_step(name, n_in, n_out):
    """Dense product with sampled binary weights and quantized back-propagation; real weights at test time."""
    return Step(name, few_mult.binary_few_mult_dense_forward, few_mult.binary_few_mult_dense_backward,
                _only_out(_real_dense), (_dense_weight(n_in, n_out),), draw=_draw_like_weight_and_input,
                settings=DENSE_SHIFTS, surrogate=few_mult.binary_few_mult_dense_surrogate)


def ternary_few_mult_dense_step(name, n_in, n_out):
    """Dense product with sampled ternary weights and quantized back-propagation; real weights at test time."""
    return Step(name, few_mult.ternary_few_mult_dense_forward, few_mult.ternary_few_mult_dense_backward,
                _only_out(_real_dense), (_dense_weight(n_in, n_out),), draw=_draw_like_weight_and_input,
                settings=DENSE_SHIFTS, surrogate=few_mult.ternary_few_mult_dense_surrogate)


def compressed_dense_step(name, n_in, n_out):
    """Dense product and bias through tanh; weights uniform in ±√(6 / (n_in + n_out)) (Glorot), biases 0 at first."""
    return Step(name, bitwise.compressed_dense_forward, bitwise.compressed_dense_backward,
                params=(Param("w", (n_in, n_out), _glorot), Param("b", (n_out,), _zeros)))


def bitwise_dense_step(sparsity):
    """The step of a dense product and bias of -1, 0 and +1, `sparsity` of them 0; boundaries anew each epoch."""
    def bitwise_dense_step(name, n_in, n_out):
        return Step(name, bitwise.bitwise_dense_forward, bitwise.bitwise_dense_backward,
                    params=(Param("w", (n_in, n_out), _glorot), Param("b", (n_out,), _zeros)),
                    running=(("beta_w", (), 0.0), ("beta_b", (), 0.0)), surrogate=bitwise.bitwise_dense_surrogate,
                    refresh=lambda w, b: bitwise.refresh_boundaries(w, b, sparsity))

    return bitwise_dense_step


def _posterior_step(forward, backward, surrogate, numbers):
    def step(name, n_in, n_out):
        params = *(Param(number, (n_in, n_out), ebp.init_h) for number in numbers), Param("b", (n_out,), _zeros)
        return Step(name, forward, backward, params=params, surrogate=surrogate)

    return step


# Dense products of weights that are known as distributions: (first layer, later layers, both at their most probable).
BINARY_POSTERIOR = (
    _posterior_step(ebp.ebp_first_dense_forward, ebp.ebp_first_dense_backward, ebp.ebp_first_dense_surrogate, ("h",)),
    _posterior_step(ebp.ebp_dense_forward, ebp.ebp_dense_backward, ebp.ebp_dense_surrogate, ("h",)),
    _posterior_step(ebp.ebp_map_dense_forward, None, None, ("h",)))
TERNARY_POSTERIOR = (
    _posterior_step(ebp_ternary.ebp_ternary_first_dense_forward, ebp_ternary.ebp_ternary_first_dense_backward,
                    ebp_ternary.ebp_ternary_first_dense_surrogate, ("hp", "hm")),
    _posterior_step(ebp_ternary.ebp_ternary_dense_forward, ebp_ternary.ebp_ternary_dense_backward,
                    ebp_ternary.ebp_ternary_dense_surrogate, ("hp", "hm")),
    _posterior_step(ebp_ternary.ebp_ternary_map_dense_forward, None, None, ("hp", "hm")))
REAL_POSTERIOR = (
    _posterior_step(ebp_real.ebp_real_first_dense_forward, ebp_real.ebp_real_first_dense_backward,
                    ebp_real.ebp_real_first_dense_surrogate, ("h",)),
    _posterior_step(ebp_real.ebp_real_dense_forward, ebp_real.ebp_real_dense_backward,
                    ebp_real.ebp_real_dense_surrogate, ("h",)),
    _posterior_step(ebp_real.ebp_real_map_dense_forward, None, None, ("h",)))


# --- convolution ---------------------------------------------------------------------------------------------------


def conv_step(name, c_in, c_out, kernel, pad, pad_value):
    """Convolution with real weights (Glorot at first), stride 1."""
    weight = Param("w", (c_out, c_in, kernel, kernel), _glorot)
    return Step(name, conv.conv_forward, conv.conv_backward, params=(weight,), settings=(1, pad, pad_value))


def binary_conv_step(name, c_in, c_out, kernel, pad, pad_value):
    """Convolution with sign(w), stride 1; real weights uniform in [-1, 1] at first."""
    weight = _conv_weight(c_in, c_out, kernel)
    return Step(name, conv.binary_conv_forward, conv.binary_conv_backward, params=(weight,),
                settings=(1, pad, pad_value), surrogate=conv.binary_conv_surrogate)


def stochastic_binary_conv_step(name, c_in, c_out, kernel, pad, pad_value):
    """Convolution with weights sampled once a minibatch, stride 1; the real ones at test time."""
    weight = _conv_weight(c_in, c_out, kernel)
    return Step(name, conv.stochastic_binary_conv_forward, conv.stochastic_binary_conv_backward,
                _only_out(conv.conv_forward), (weight,), draw=_draw_like_weight, settings=(1, pad, pad_value),
                surrogate=conv.stochastic_binary_conv_surrogate)


def bit_plane_conv_step(name, c_in, c_out, kernel, pad, pad_value):
    """As `binary_conv_step`, on the bit planes of scaled pixels: for the first layer."""
    return Step(name, bit_planes.bit_plane_conv_forward, bit_planes.bit_plane_conv_backward,
                params=(_conv_weight(c_in, c_out, kernel),), settings=(1, pad, pad_value),
                surrogate=bit_planes.bit_plane_conv_surrogate)


def ternary_conv_step(name, c_in, c_out, kernel, pad, pad_value):
    """Convolution with weights -1, 0 and +1, stride 1; real weights uniform in [-1, 1] at first."""
    return Step(name, ternary.ternary_conv_forward, ternary.ternary_conv_backward,
                params=(_conv_weight(c_in, c_out, kernel),), settings=(1, pad, pad_value),
                surrogate=ternary.ternary_conv_surrogate)


def binary_few_mult_conv_step(name, c_in, c_out, kernel, pad, pad_value):
    """Convolution with sampled binary weights and quantized back-propagation; real weights at test time."""
    return Step(name, few_mult.binary_few_mult_conv_forward, few_mult.binary_few_mult_conv_backward,
                _only_out(_real_conv), (_conv_weight(c_in, c_out, kernel),), draw=_draw_like_weight_and_input,
                settings=(1, pad, pad_value, *CONV_SHIFTS), surrogate=few_mult.binary_few_mult_conv_surrogate)


def ternary_few_mult_conv_step(name, c_in, c_out, kernel, pad, pad_value):
    """Convolution with sampled ternary weights and quantized back-propagation; real weights at test time."""
    return Step(name, few_mult.ternary_few_mult_conv_forward, few_mult.ternary_few_mult_conv_backward,
                _only_out(_real_conv), (_conv_weight(c_in, c_out, kernel),), draw=_draw_like_weight_and_input,
                settings=(1, pad, pad_value, *CONV_SHIFTS), surrogate=few_mult.ternary_few_mult_conv_surrogate)


def max_pool_step(name, kernel, stride):
    """Max pooling."""
    return Step(name, conv.max_pool_forward, conv.max_pool_backward, settings=(kernel, stride),
                surrogate=conv.max_pool_frozen)


def flatten_step(name):
    """Pictures to rows."""
    return Step(name, conv.flatten_forward, conv.flatten_backward)


# --- normalization, activations, dropout ---------------------------------------------------------------------------


def _eps_settings(eps, default):
    eps = float(bn.as_eps(eps, np.zeros(())))
    return () if eps == default else (eps,)  # a printed network shows what is not as always


def batchnorm_step(name, n, eps=bn.EPS):
    """Batch normalization of n units or channels; gamma 1, beta 0, running mean 0 and variance 1 at first.

    eps: ε; a network from elsewhere brings its own, 1e-5 in PyTorch, and 1e-3 in Keras. Raises ValueError for one
    below 0.
    """
    return Step(name, bn.batchnorm_forward, bn.batchnorm_backward, bn.batchnorm_predict,
                (Param("gamma", (n,), _ones), Param("beta", (n,), _zeros)),
                running=(("mean", (n,), 0.0), ("var", (n,), 1.0)), settings=_eps_settings(eps, bn.EPS))


def shift_batchnorm_step(name, n, eps=shift_bn.EPS):
    """Shift-based batch normalization of n units or channels; gamma 1, beta 0 at first. eps: as in `batchnorm_step`."""
    return Step(name, shift_bn.shift_batchnorm_forward, shift_bn.shift_batchnorm_backward,
                shift_bn.shift_batchnorm_predict, (Param("gamma", (n,), _ones), Param("beta", (n,), _zeros)),
                running=(("mean", (n,), 0.0), ("rstd", (n,), 1.0)), settings=_eps_settings(eps, shift_bn.EPS),
                surrogate=shift_bn.shift_batchnorm_surrogate)


def relu_step(name):
    """The rectifier."""
    return Step(name, relu.relu_forward, relu.relu_backward)


def sign_step(name):
    """The binary activation, straight-through in the backward pass."""
    return Step(name, binarize.sign_forward, binarize.sign_backward, surrogate=binarize.sign_surrogate)


def stochastic_sign_step(name):
    """The stochastic binary activation; sign at test time."""
    return Step(name, binarize.stochastic_sign_forward, binarize.stochastic_sign_backward,
                _only_out(binarize.sign_forward), draw=_draw_like,
                surrogate=binarize.stochastic_sign_surrogate)


def tanh_step(name):
    """tanh, of Bitwise networks in round 1."""
    return Step(name, bitwise.tanh_forward, bitwise.tanh_backward)


def mean_sign_step(name):
    """The mean of a sign of which z = μ/σ is known, of expectation backpropagation."""
    return Step(name, ebp.mean_sign_forward, ebp.mean_sign_backward)


def identity_sign_step(name):
    """The binary activation of Bitwise networks: the gradient passes as if it were not there."""
    return Step(name, bitwise.identity_sign_forward, bitwise.identity_sign_backward,
                surrogate=bitwise.identity_sign_surrogate)


def masked_sign_step(width):
    """The step of a binary activation whose gradient is cancelled beyond ±width."""
    def masked_sign_step(name):
        return Step(name, bitwise.masked_sign_forward, bitwise.masked_sign_backward, settings=(width,),
                    surrogate=bitwise.masked_sign_surrogate)

    return masked_sign_step


def scale_step(factor):
    """The step of a constant factor, behind an output layer of integers."""
    def scale_step(name, n):
        return Step(name, bitwise.scale_forward, bitwise.scale_backward, settings=(factor,))

    return scale_step


def dropout_step(name, p):
    """Inverted dropout; nothing at test time."""
    return Step(name, dropout.dropout_forward, dropout.dropout_backward, lambda x, p: x,
                draw=lambda rng, x: dropout.draw_keep(rng, x, p), settings=(p,))
