"""The training step, fast: a table of functions that equal the readable ones, and the network that is made of them.

The equations stay where they are read and verified. What is here computes the same numbers to the last bit, so that a
run trained either way writes the same bytes; the tests hold it to that.
"""

from dataclasses import replace

from ...nets import network
from ...ops import batchnorm as bn
from ...ops import binarize, bit_planes, bitwise, conv, dense, optim
from . import bitwise as fast_bitwise
from . import conv as fast_conv
from . import dense as fast_dense
from . import norm as fast_norm
from . import update as fast_update

FAST = {
    dense.dense_forward: fast_dense.dense_forward,
    dense.dense_backward: fast_dense.dense_backward,
    dense.binary_dense_forward: fast_dense.binary_dense_forward,
    dense.binary_dense_backward: fast_dense.dense_backward,
    dense.stochastic_binary_dense_backward: fast_dense.dense_backward,
    conv.conv_forward: fast_conv.conv_forward,
    conv.conv_backward: fast_conv.conv_backward,
    conv.binary_conv_forward: fast_conv.binary_conv_forward,
    conv.binary_conv_backward: fast_conv.conv_backward,
    conv.stochastic_binary_conv_forward: fast_conv.stochastic_binary_conv_forward,
    conv.stochastic_binary_conv_backward: fast_conv.conv_backward,
    conv.max_pool_forward: fast_conv.max_pool_forward,
    conv.max_pool_backward: fast_conv.max_pool_backward,
    bn.batchnorm_forward: fast_norm.batchnorm_forward,
    bn.batchnorm_backward: fast_norm.batchnorm_backward,
    bit_planes.bit_plane_dense_forward: fast_dense.binary_dense_forward,
    bit_planes.bit_plane_dense_backward: fast_dense.dense_backward,
    bit_planes.bit_plane_conv_forward: fast_conv.binary_conv_forward,
    bit_planes.bit_plane_conv_backward: fast_conv.conv_backward,
    bitwise.compressed_dense_forward: fast_bitwise.compressed_dense_forward,
    bitwise.compressed_dense_backward: fast_bitwise.compressed_dense_backward,
    bitwise.bitwise_dense_forward: fast_bitwise.bitwise_dense_forward,
    bitwise.bitwise_dense_backward: fast_bitwise.bitwise_dense_backward,
    binarize.sign_forward: fast_dense.sign_forward,
    binarize.sign_backward: fast_dense.sign_backward,
}

# Behind an activation that is ±1.
ON_BITS = {
    dense.binary_dense_forward: fast_dense.xnor_dense_forward,
    conv.binary_conv_forward: fast_conv.xnor_conv_forward,
}

# Of the first layer: nothing below it learns.
WEIGHTS_ONLY = {
    fast_dense.dense_backward: fast_dense.dense_backward_weights,
    fast_conv.conv_backward: fast_conv.conv_backward_weights,
    fast_bitwise.compressed_dense_backward: fast_bitwise.compressed_dense_backward_weights,
    fast_bitwise.bitwise_dense_backward: fast_bitwise.bitwise_dense_backward_weights,
}

BINARY = (binarize.sign_forward, binarize.stochastic_sign_forward)
KEEP_BINARY = (conv.max_pool_forward, conv.flatten_forward)            # ±1 in, ±1 out


def _no_gradient(dout, cache):
    """Below the first parameter: there is nothing to pass on."""
    return None


def accelerate(net):
    """The same network, made of fast functions where there are any.

    net: a tuple of steps. Forward and backward return what those of `net` return, bit for bit, except that backward's
    derivative with respect to the picture is None: training has no use for it. A product runs on bits where the
    steps before it leave nothing but ±1, which their kinds alone decide. Predict is as fast where it is forward.
    Raises TypeError for what is no tuple of steps.
    """
    network.check_steps("net", net)
    fast, binary, learns = [], False, False
    for step in net:
        forward, backward = FAST.get(step.forward, step.forward), FAST.get(step.backward, step.backward)
        if binary and step.forward in ON_BITS and _border_is_binary(step):
            forward = ON_BITS[step.forward]
        if not learns:
            backward = WEIGHTS_ONLY.get(backward, backward) if step.params else _no_gradient
        fast.append(replace(step, forward=forward, backward=backward))
        binary = step.forward in BINARY or (binary and step.forward in KEEP_BINARY)
        learns = learns or bool(step.params)
    return tuple(fast)


def _border_is_binary(step):
    if step.forward is not conv.binary_conv_forward:
        return True
    _, pad, pad_value = step.settings
    return pad == 0 or abs(pad_value) == 1


def own(recipe, params, state):
    """Parameters and optimizer state that `training_step` may write to: copies where it does, else the same."""
    return fast_update.own(params, state) if recipe.optimizer.step in fast_update.IN_PLACE else (params, state)


def training_step(net, recipe, params, running, state, x, labels, rates, rng):
    """Equals `loop.training_step` bit for bit, but Adam and shift-based AdaMax write their results **in place**.

    net: from `accelerate`; params, state: from `own`. Everything else as in `loop.training_step`.
    """
    y, caches, running = network.forward(net, params, running, x, rng)
    loss, cache = recipe.loss.forward(y, labels)
    _, grads = network.backward(net, caches, recipe.loss.backward(1.0, cache))
    clipped = recipe.clipped(net)
    if recipe.optimizer.step in fast_update.IN_PLACE:
        params, state = fast_update.IN_PLACE[recipe.optimizer.step](params, grads, state, rates, clipped)
    else:
        params, state = recipe.optimizer.step(params, grads, state, rates)
        params = optim.clip_weights(params, clipped)
    return loss, params, running, state
