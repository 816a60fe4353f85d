"""The losses: values, gradients, outputs large enough to overflow, labels that do not fit."""

import numpy as np
import pytest

from bnn_ref.ops import losses
from tests.ops import naive
from tests.ops.naive import DTYPES, LAYOUTS, assert_agree, expected, read_only, sample, spoiled

pytestmark = pytest.mark.task_bnn

LOSSES = {
    "squared hinge": (losses.SQUARED_HINGE, naive.squared_hinge, naive.squared_hinge_backward),
    "softmax cross-entropy": (losses.SOFTMAX_CROSS_ENTROPY, naive.softmax_cross_entropy,
                              naive.softmax_cross_entropy_backward),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("label_dtype", [np.uint8, np.int64])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (7, 2), (5, 10)], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_agree_with_the_loops(name, shape, label_dtype, dtype, layout):
    rng = np.random.default_rng(0)
    loss, ref_forward, ref_backward = LOSSES[name]
    y, labels = sample(rng, shape, dtype, layout), rng.integers(0, shape[1], shape[0]).astype(label_dtype)
    labels = read_only(naive.LAYOUTS[layout](labels))
    comp_loss, cache = loss.forward(y, labels)
    assert_agree(comp_loss, ref_forward(y, labels), dtype)
    for dloss in (1.0, -2.5):
        assert_agree(loss.backward(dloss, cache), ref_backward(dloss, y, labels), dtype)


def test_they_are_called_by_their_names():
    assert {name: loss.name for name, (loss, *_) in LOSSES.items()} == {name: name for name in LOSSES}
    assert LOSSES["squared hinge"][0][1:] == (losses.squared_hinge_forward, losses.squared_hinge_backward)


def test_squared_hinge_is_zero_from_the_margin_on():
    y = np.array([[1.0, -1.0, -3.0], [-1.0, 2.0, -1.0]])
    comp_loss, cache = losses.squared_hinge_forward(y, np.array([0, 1]))
    assert comp_loss == 0
    np.testing.assert_array_equal(losses.squared_hinge_backward(1.0, cache), np.zeros((2, 3)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", DTYPES)
def test_large_outputs_do_not_overflow(dtype):
    y = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0], [1e4, 1e4, 1e4], [-1e4, -1e4, -1e4]], dtype)
    for labels in (np.array([0, 1, 2, 0]), np.array([1, 0, 0, 2])):
        for loss, ref_forward, ref_backward in LOSSES.values():
            comp_loss, cache = loss.forward(y, labels)
            assert_agree(comp_loss, ref_forward(y, labels), dtype)
            assert_agree(loss.backward(1.0, cache), ref_backward(1.0, y, labels), dtype)


@pytest.mark.parametrize("name", LOSSES)
def test_doors(name):
    forward = LOSSES[name][0].forward
    y, labels = np.zeros((3, 4)), np.array([0, 3, 1])
    for error, bad in spoiled(y, alone=True, axes=()):
        with pytest.raises(error, match=expected("y", r"shape \(N, C\)")):
            forward(bad, labels)
    for bad, came in ([0, 3, 1], "list"), (labels * 1.0, "dtype float64"), (labels > 1, "dtype bool"), (3, "int"):
        with pytest.raises(TypeError, match=rf"^labels: expected an array of integers, got {came}$"):
            forward(y, bad)
    for bad in labels[:2], labels[:, None], np.array(0):
        with pytest.raises(ValueError, match=r"^labels: expected shape \(3,\), got \("):
            forward(y, bad)
    for bad, came in (np.array([0, 4, 1]), "0 to 4"), (np.array([0, -1, 1]), "-1 to 1"):
        with pytest.raises(ValueError, match=rf"^labels: expected at least one, from 0 to 3, got {came}$"):
            forward(y, bad)
    with pytest.raises(ValueError, match=r"^labels: expected at least one"):
        forward(y[:0], labels[:0])
