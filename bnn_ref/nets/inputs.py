"""What pictures go through before the first layer, as steps: the codings and the preprocessing of the papers.

Each function takes (C, H, W) of what comes in, pixels scaled to (2p - 255) / 256, and returns a step and the (C, H, W)
of what goes out; a recipe names them in order.
"""

import math

from ..ops import binarize, bitwise, preprocess
from .network import Step


def sign_inputs(shape):
    """±1: which half of its range a pixel is in."""
    return Step("inputs", binarize.sign_forward, binarize.sign_backward, surrogate=binarize.sign_surrogate), shape


def unit_inputs(shape):
    """Pixels from 0 to 1, p/256."""
    return Step("inputs", bitwise.unit_pixels_forward, bitwise.unit_pixels_backward), shape


def rounded_inputs(shape):
    """1 or 0: whether a pixel is bright."""
    return Step("inputs", bitwise.rounded_pixels_forward, bitwise.rounded_pixels_backward), shape


def two_bit_inputs(shape):
    """The two leading bits of a pixel, each a channel of ±1."""
    channels, height, width = shape
    step = Step("inputs", bitwise.two_bit_pixels_forward, bitwise.two_bit_pixels_backward)
    return step, (2 * channels, height, width)


def centred_inputs(shape):
    """Pixels less their mean over the training pictures."""
    return Step("centre", preprocess.centre_forward, preprocess.centre_backward, running=(("mean", shape, 0.0),),
                fit=preprocess.centre_fit), shape


def contrast_inputs(shape):
    """Pictures of mean 0 and norm 55."""
    return Step("contrast", preprocess.gcn_forward, preprocess.gcn_backward, settings=(55.0,)), shape


def unit_contrast_inputs(shape):
    """Pictures of mean 0 and norm 1."""
    return Step("contrast", preprocess.gcn_forward, preprocess.gcn_backward, settings=(1.0,)), shape


def whitened_inputs(shape):
    """ZCA: pixels decorrelated over the training pictures."""
    size = math.prod(shape)
    return Step("white", preprocess.zca_forward, preprocess.zca_backward,
                running=(("mean", shape, 0.0), ("p", (size, size), 0.0)), fit=preprocess.zca_fit), shape


def local_contrast_inputs(shape):
    """Local contrast normalization in windows of 9 × 9."""
    return Step("local", preprocess.lcn_forward, preprocess.lcn_backward, settings=(9,)), shape
