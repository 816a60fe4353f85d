"""The honesty list: every backward pass of the package, exact or an estimator of a named surrogate, with a test point.

`python -m bnn_ref gradcheck` walks it; a test fails if a backward is missing from it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .gradcheck import check_network, check_op
from .nets import network as net
from .nets import steps
from .ops import (
    batchnorm,
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
    losses,
    preprocess,
    relu,
    shift_batchnorm,
    ternary,
)


@dataclass(frozen=True)
class OpCase:
    """An operation at a test point: float64, away from kinks by more than the differences reach."""

    name: str
    forward: Callable
    backward: Callable
    args: tuple
    surrogate: Callable | None = None

    @property
    def claim(self):
        """What its backward claims to be."""
        return f"ESTIMATOR of {self.surrogate.__name__}" if self.surrogate else "exact"

    def check(self):
        """Compare every coordinate; returns a gradcheck.Report, raises AssertionError."""
        return check_op(self.forward, self.backward, *self.args, surrogate=self.surrogate)


@dataclass(frozen=True)
class NetworkCase:
    """A whole network and a loss at a test point."""

    name: str
    steps: tuple
    loss: losses.Loss
    x: np.ndarray
    labels: np.ndarray

    claim = "of the network with frozen binarizers"

    def check(self):
        """Compare along random directions; returns a gradcheck.Report, raises AssertionError."""
        rng = np.random.default_rng(5)
        params, running = net.init(self.steps, rng, np.float64)
        running = net.refresh(self.steps, params, running)
        moved = {name: w if name.endswith(".w") else w + 0.3 * rng.standard_normal(w.shape)
                 for name, w in params.items()}            # gamma = 1 and beta = 0 would hide mistakes
        return check_network(self.steps, moved, running, self.x, self.labels, self.loss.forward, self.loss.backward)


def _away_from_kinks(rng, shape):
    """Normal numbers, none within 0.01 of the kinks of the operations here: 0 and ±1."""
    x = rng.standard_normal(shape)
    for kink in (-1, 0, 1):
        near = np.abs(x - kink) < 0.01
        x[near] = kink + 0.01 + np.abs(x[near] - kink)
    return x


def _distinct(rng, shape):
    """Numbers no two of which are closer than 0.1: no ties for max pooling."""
    return rng.permutation(np.prod(shape)).reshape(shape) * 0.1 - 1


def _op_cases():
    rng = np.random.default_rng(4)
    x, u = _away_from_kinks(rng, (4, 7)), rng.random((4, 7))
    for module, name, extra in (
            (binarize, "sign", ()), (binarize, "stochastic_sign", (u,)), (binarize, "hard_tanh", ()),
            (binarize, "hard_sigmoid", ()), (relu, "relu", ()), (dropout, "dropout", ((u < 0.6) * 1.0, 0.4))):
        yield _case(module, name, x, *extra)
    w, u = _away_from_kinks(rng, (7, 5)), rng.random((7, 5))
    yield _case(dense, "dense", x, w)
    yield _case(dense, "binary_dense", x, w)
    yield _case(dense, "stochastic_binary_dense", x, w, u)
    maps = _away_from_kinks(rng, (2, 3, 6, 5))             # not square, and the stride leaves a rest
    w, u = _away_from_kinks(rng, (4, 3, 3, 2)), rng.random((4, 3, 3, 2))
    yield _case(conv, "conv", maps, w, 2, 1, 0.0)
    yield _case(conv, "binary_conv", maps, w, 2, 1, -1.0)
    yield _case(conv, "stochastic_binary_conv", maps, w, u, 1, 2, 1.0)
    yield _case(conv, "max_pool", _distinct(rng, (2, 3, 7, 5)), 3, 2)
    yield _case(conv, "flatten", maps)
    yield _case(dense, "bias", x, rng.standard_normal(7))
    yield _case(dense, "bias", maps, rng.standard_normal(3))
    yield _case(batchnorm, "batchnorm", x, *rng.standard_normal((4, 7)))
    yield _case(batchnorm, "batchnorm", maps, *rng.standard_normal((4, 3)))
    yield _case(shift_batchnorm, "shift_batchnorm", x, *rng.standard_normal((4, 7)))
    yield _case(shift_batchnorm, "shift_batchnorm", maps, *rng.standard_normal((4, 3)))
    labels = np.array([3, 0, 6, 3])
    yield _case(losses, "squared_hinge", x, labels)
    yield _case(losses, "softmax_cross_entropy", x, labels)
    yield from _preprocess_cases()
    yield from _bit_plane_cases()
    yield from _bitwise_cases(x)
    yield from _few_multiplications_cases(x, maps)
    yield from _ebp_cases(x)


def _bitwise_cases(x):
    rng = np.random.default_rng(7)
    w, b = _away_from_kinks(rng, (7, 5)), rng.standard_normal(5)
    pixels = (2 * rng.integers(0, 256, (2, 3, 4, 5)) - 255) / 256   # no pixel is at a boundary between two codes
    yield _case(bitwise, "tanh", x)
    yield _case(bitwise, "compressed_dense", x, w, b)
    yield _case(bitwise, "bitwise_dense", x, w, b, *bitwise.refresh_boundaries(w, b, 0.4))
    yield _case(bitwise, "identity_sign", x)
    yield _case(bitwise, "masked_sign", x, 0.7)
    yield _case(bitwise, "scale", x, 0.3)
    for coding in ("unit_pixels", "rounded_pixels", "two_bit_pixels"):
        yield _case(bitwise, coding, pixels)


def _few_multiplications_cases(x, maps):
    rng = np.random.default_rng(8)
    w, u, r = rng.standard_normal((7, 5)), rng.random((7, 5)), rng.random(x.shape)
    yield _case(ternary, "ternary_dense", x, w)
    yield _case(ternary, "stochastic_ternary_dense", x, w, u)
    yield _case(few_mult, "binary_few_mult_dense", x, w, u, r)
    yield _case(few_mult, "ternary_few_mult_dense", x, w, u, r, -2, 0)
    w, u, r = rng.standard_normal((4, 3, 3, 2)), rng.random((4, 3, 3, 2)), rng.random(maps.shape)
    yield _case(ternary, "ternary_conv", maps, w, 2, 1, -1.0)
    yield _case(ternary, "stochastic_ternary_conv", maps, w, u, 1, 2, 1.0)
    yield _case(few_mult, "binary_few_mult_conv", maps, w, u, r, 2, 1, -1.0)
    yield _case(few_mult, "ternary_few_mult_conv", maps, w, u, r, 1, 2, 1.0, -2, 0)


def _ebp_cases(x):
    rng = np.random.default_rng(9)
    means = rng.uniform(-1, 1, x.shape)
    h, hm, b = rng.standard_normal((7, 5)), rng.standard_normal((7, 5)), rng.standard_normal(5)
    for module, kind, params in ((ebp, "ebp", (h, b)), (ebp_ternary, "ebp_ternary", (h, hm, b)),
                                 (ebp_real, "ebp_real", (h, b))):
        yield _case(module, f"{kind}_first_dense", x, *params)
        yield _case(module, f"{kind}_dense", means, *params)
    yield _case(ebp, "mean_sign", x)
    yield _case(losses, "log_likelihood", x, np.array([3, 0, 6, 3]))
    yield _case(losses, "log_likelihood", x[:, :1], np.array([1, 0, 1, 1]))


def _preprocess_cases():
    rng = np.random.default_rng(8)
    x = rng.standard_normal((2, 3, 5, 4))
    yield _case(preprocess, "centre", x, rng.standard_normal((3, 5, 4)))
    yield _case(preprocess, "gcn", x, 2.0)
    yield _case(preprocess, "zca", x[:, :1], rng.standard_normal((1, 5, 4)), rng.standard_normal((20, 20)))
    yield _case(preprocess, "lcn", x, 3)


def _bit_plane_cases():
    rng = np.random.default_rng(9)
    x, w = _scaled_pixels(rng, (4, 7)), _away_from_kinks(rng, (7, 5))
    yield _case(bit_planes, "bit_plane_dense", x, w)
    maps, w = _scaled_pixels(rng, (2, 3, 6, 5)), _away_from_kinks(rng, (4, 3, 3, 2))
    yield _case(bit_planes, "bit_plane_conv", maps, w, 2, 1, -1.0)


def _scaled_pixels(rng, shape):
    return (2 * rng.integers(0, 256, shape) - 255) / 256


def _case(module, name, *args):
    return OpCase(name, getattr(module, f"{name}_forward"), getattr(module, f"{name}_backward"), args,
                  getattr(module, f"{name}_surrogate", None))


def _network_cases():
    rng = np.random.default_rng(6)
    x, labels = rng.standard_normal((12, 2, 6, 5)), rng.integers(0, 4, 12)
    kinds = (("float", steps.dense_step, steps.conv_step, steps.relu_step),
             ("binary weights", steps.binary_dense_step, steps.binary_conv_step, steps.relu_step),
             ("sampled weights", steps.stochastic_binary_dense_step, steps.stochastic_binary_conv_step,
              steps.relu_step),
             ("binary", steps.binary_dense_step, steps.binary_conv_step, steps.sign_step),
             ("binary, sampled units", steps.binary_dense_step, steps.binary_conv_step, steps.stochastic_sign_step),
             ("few multiplications, binary", steps.binary_few_mult_dense_step, steps.binary_few_mult_conv_step,
              steps.relu_step),
             ("few multiplications, ternary", steps.ternary_few_mult_dense_step, steps.ternary_few_mult_conv_step,
              steps.relu_step))
    for kind, dense_step, conv_step, activation in kinds:
        mlp = (steps.dropout_step("drop0", 0.2), steps.flatten_step("flat"),
               dense_step("fc1", 60, 9), steps.batchnorm_step("bn1", 9), activation("act1"),
               steps.dropout_step("drop1", 0.5),
               dense_step("fc2", 9, 8), steps.batchnorm_step("bn2", 8), activation("act2"),
               dense_step("fc3", 8, 4), steps.batchnorm_step("bn3", 4))
        convnet = (conv_step("conv1", 2, 4, 3, 1, -1.0), steps.batchnorm_step("bn1", 4), activation("act1"),
                   steps.dropout_step("drop1", 0.2),
                   conv_step("conv2", 4, 5, 3, 1, 1.0), steps.max_pool_step("pool2", 2, 2),
                   steps.batchnorm_step("bn2", 5), activation("act2"), steps.flatten_step("flat"),
                   dense_step("fc3", 30, 4), steps.batchnorm_step("bn3", 4))
        yield NetworkCase(f"MLP, {kind}", mlp, losses.SQUARED_HINGE, x, labels)
        yield NetworkCase(f"ConvNet, {kind}", convnet, losses.SOFTMAX_CROSS_ENTROPY, x, labels)
    yield NetworkCase("MLP, shift-based", (
        steps.flatten_step("flat"), steps.binary_dense_step("fc1", 60, 9), steps.shift_batchnorm_step("bn1", 9),
        steps.stochastic_sign_step("act1"), steps.binary_dense_step("fc2", 9, 4), steps.batchnorm_step("bn2", 4)),
        losses.SQUARED_HINGE, x, labels)
    yield NetworkCase("MLP, Bitwise, round 1", (
        steps.flatten_step("flat"), steps.compressed_dense_step("fc1", 60, 9), steps.tanh_step("act1"),
        steps.dropout_step("drop1", 0.5), steps.compressed_dense_step("fc2", 9, 4)),
        losses.SOFTMAX_CROSS_ENTROPY, x, labels)
    yield NetworkCase("MLP, Bitwise, round 2", (
        steps.flatten_step("flat"), steps.bitwise_dense_step(0.3)("fc1", 60, 9), steps.masked_sign_step(3.0)("act1"),
        steps.bitwise_dense_step(0.0)("fc2", 9, 8), steps.identity_sign_step("act2"),
        steps.bitwise_dense_step(0.5)("fc3", 8, 4), steps.scale_step(0.3)("out3", 4)),
        losses.SOFTMAX_CROSS_ENTROPY, x, labels)
    for kind, (first, later, _) in (("binary", steps.BINARY_POSTERIOR), ("ternary", steps.TERNARY_POSTERIOR),
                                    ("real", steps.REAL_POSTERIOR)):
        yield NetworkCase(f"MLP, {kind} posterior", (
            steps.flatten_step("flat"), first("fc1", 60, 9), steps.mean_sign_step("act1"), later("fc2", 9, 8),
            steps.mean_sign_step("act2"), later("fc3", 8, 4)), losses.LOG_LIKELIHOOD, x, labels)


CASES = (*_op_cases(), *_network_cases())
