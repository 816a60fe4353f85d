"""What pictures go through first, with the numbers of the papers: as the scalar loops have it, and in which shape."""

import numpy as np
import pytest

from bnn_ref.nets import inputs, network
from tests.ops import naive, naive_preprocess
from tests.ops.naive import assert_agree

SHAPE = 2, 4, 5


@pytest.fixture
def x():
    return (2.0 * np.random.default_rng(0).integers(0, 256, (7, *SHAPE)) - 255) / 256


def through(make, x):
    """(out, shape that was promised), what is to be fitted being fitted to x."""
    step, shape = make(SHAPE)
    running = network.fit((step,), network.init((step,), None, x.dtype)[1], x)
    assert [running[f"{step.name}.{name}"].shape for name, _, _ in step.running] == [of for _, of, _ in step.running]
    return network.predict((step,), {}, running, x), shape


@pytest.mark.parametrize("make, by_hand", [
    (inputs.sign_inputs, naive.sign),
    (inputs.unit_inputs, lambda x: (x + 255 / 256) / 2),
    (inputs.rounded_inputs, lambda x: (naive.sign(x) + 1) / 2),
    (inputs.centred_inputs, lambda x: naive_preprocess.centre(x, naive_preprocess.pixel_means(x))),
    (inputs.contrast_inputs, lambda x: naive_preprocess.gcn(x, 55, 1e-4)),
    (inputs.unit_contrast_inputs, lambda x: naive_preprocess.gcn(x, 1, 1e-4)),
    (inputs.local_contrast_inputs, lambda x: naive_preprocess.lcn(x, 9, 1e-4)),
], ids=lambda part: part.__name__)
def test_inputs_are_those_of_the_papers(make, by_hand, x):
    out, shape = through(make, x)
    assert shape == SHAPE
    assert_agree(out, by_hand(x), np.float64)


def test_two_bits_are_twice_the_channels(x):
    out, shape = through(inputs.two_bit_inputs, x)
    assert out.shape[1:] == shape == (4, 4, 5)
    np.testing.assert_array_equal(out[:, :2], naive.sign(x))
    # What the bits stand for is the middle of a quarter of the range, which is half as wide.
    assert np.abs(out[:, :2] / 2 + out[:, 2:] / 4 - x).max() <= 0.25


def test_whitened_pictures_have_the_covariance_that_the_bias_leaves(x):
    """λ / (λ + 0.1) in every direction of variance λ, and mean 0."""
    out, shape = through(inputs.whitened_inputs, x)
    assert shape == SHAPE
    rows = (x - x.mean(axis=0)).reshape(7, -1)
    values, v = np.linalg.eigh(rows.T @ rows / 7)
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-9)
    turned = out.reshape(7, -1) @ v
    np.testing.assert_allclose(turned.T @ turned / 7, np.diag(values / (values + 0.1)), atol=1e-9)
