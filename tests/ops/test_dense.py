"""Dense products with real, binary and sampled weights, the bias, and the checks at the door that all modules share."""

import numpy as np
import pytest

from bnn_ref.ops import checks, dense
from tests.ops import naive
from tests.ops.naive import DTYPES, LAYOUTS, assert_agree, expected, sample, spoiled, uniform

pytestmark = pytest.mark.task_dense

SIZES = ((1, 1, 1), (1, 7, 3), (5, 3, 2), (4, 4, 4), (3, 13, 1))       # N D M


@pytest.mark.task_binaryconnect
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_products_agree_with_the_loops(sizes, dtype, layout):
    n, d, m = sizes
    rng = np.random.default_rng(0)
    x, w = sample(rng, (n, d), dtype, layout), sample(rng, (d, m), dtype, layout)
    ds, u = sample(rng, (n, m), dtype, layout), uniform(rng, (d, m), dtype, layout)

    comp_s, cache = dense.dense_forward(x, w)
    assert_agree(comp_s, naive.dense(x, w), dtype)
    for comp, ref in zip(dense.dense_backward(ds, cache), naive.dense_backward(ds, x, w), strict=True):
        assert_agree(comp, ref, dtype)

    comp_s, cache = dense.binary_dense_forward(x, w)
    assert_agree(comp_s, naive.binary_dense(x, w), dtype)
    for comp, ref in zip(dense.binary_dense_backward(ds, cache), naive.binary_dense_backward(ds, x, w), strict=True):
        assert_agree(comp, ref, dtype)

    ref_w_b = naive.stochastic_sign(w, u)
    comp_s, cache = dense.stochastic_binary_dense_forward(x, w, u)
    assert_agree(comp_s, naive.dense(x, ref_w_b), dtype)
    for comp, ref in zip(dense.stochastic_binary_dense_backward(ds, cache), naive.dense_backward(ds, x, ref_w_b),
                         strict=True):
        assert_agree(comp, ref, dtype)


@pytest.mark.task_binaryconnect
@pytest.mark.parametrize("dtype", DTYPES)
def test_surrogates_have_slope_one_around_the_binary_weights(dtype):
    rng = np.random.default_rng(1)
    x0, x = sample(rng, (4, 5), dtype), sample(rng, (4, 5), dtype)
    w0, w, u = sample(rng, (5, 3), dtype), sample(rng, (5, 3), dtype), uniform(rng, (5, 3), dtype)
    step = w.astype(float) - w0
    assert_agree(dense.binary_dense_surrogate(x0, w0)(x, w)[0], naive.dense(x, naive.sign(w0) + step), dtype)
    assert_agree(dense.stochastic_binary_dense_surrogate(x0, w0, u)(x, w, u)[0],
                 naive.dense(x, naive.stochastic_sign(w0, u) + step), dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 3), (1, 3, 2, 5), (2, 3, 3, 1)], ids=str)
def test_bias_agrees_with_the_loop(shape, dtype, layout):
    rng = np.random.default_rng(2)
    s, b, dout = (sample(rng, size, dtype, layout) for size in (shape, shape[1:2], shape))
    comp_out, cache = dense.bias_forward(s, b)
    assert_agree(comp_out, naive.bias(s, b), dtype)
    comp_ds, comp_db = dense.bias_backward(dout, cache)
    assert_agree(comp_ds, dout, dtype)
    assert_agree(comp_db, naive.bias_backward(dout), dtype)
    assert not np.shares_memory(comp_ds, dout)


@pytest.mark.parametrize("forward, backward, arguments", [
    (dense.dense_forward, dense.dense_backward, "xw"),
    (dense.binary_dense_forward, dense.binary_dense_backward, "xw"),
    (dense.stochastic_binary_dense_forward, dense.stochastic_binary_dense_backward, "xwu"),
])
def test_doors(forward, backward, arguments):
    rng = np.random.default_rng(3)
    good = {"x": sample(rng, (4, 3)), "w": sample(rng, (3, 5)), "u": uniform(rng, (3, 5))}
    good = {name: good[name] for name in arguments}
    for name, axes, shape in (("x", (), "N, D"), ("w", (0,), "D=3, M"), ("u", (0, 1), "D=3, M=5")):
        for error, bad in spoiled(good[name], alone=name == "x", axes=axes) if name in good else ():
            with pytest.raises(error, match=expected(name, rf"shape \({shape}\)")):
                forward(*(good | {name: bad}).values())
    _, cache = forward(*good.values())
    for error, bad in spoiled(sample(rng, (4, 5)), axes=(0, 1)):
        with pytest.raises(error, match=expected("ds", r"shape \(N=4, M=5\)")):
            backward(bad, cache)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4, 2)], ids=str)
def test_bias_doors(shape):
    rng = np.random.default_rng(4)
    s, b = sample(rng, shape), sample(rng, (3,))
    for error, bad in spoiled(s, alone=True, axes=()):
        with pytest.raises(error, match=expected("s", r"shape \(N, M, H, W\)")):
            dense.bias_forward(bad, b)
    for error, bad in spoiled(b, axes=(0,)):
        with pytest.raises(error, match=expected("b", r"shape \(M=3\)", "s")):
            dense.bias_forward(s, bad)
    _, cache = dense.bias_forward(s, b)
    for error, bad in spoiled(sample(rng, shape), axes=range(len(shape))):
        with pytest.raises(error, match=expected("dout", r"shape .* like s", "s")):
            dense.bias_backward(bad, cache)


# the checks themselves


def test_check_shapes_returns_the_size_of_every_letter():
    x, w = np.zeros((2, 3)), np.zeros((3, 5))
    assert checks.check_shapes(("x", x, "N D"), ("w", w, "D M")) == {"N": 2, "D": 3, "M": 5}


@pytest.mark.parametrize("shape", [(4, 5), (3,), (3, 5, 1)], ids=str)
def test_check_shapes_says_what_it_expected_and_what_came(shape):
    with pytest.raises(ValueError) as caught:
        checks.check_shapes(("x", np.zeros((2, 3)), "N D"), ("w", np.zeros(shape), "D M"))
    assert str(caught.value) == f"w: expected shape (D=3, M), got {shape}"


def test_a_letter_stands_for_one_size_in_one_array_too():
    with pytest.raises(ValueError, match=r"^a: expected shape \(N, N\), got \(2, 3\)$"):
        checks.check_shapes(("a", np.zeros((2, 3)), "N N"))


@pytest.mark.parametrize("bad, came", [([1.0], "list"), (1.0, "float"), (np.float64(1), "float64"),
                                       (np.zeros(1, int), "dtype int64"), (np.zeros(1, bool), "dtype bool"),
                                       (np.zeros(1, np.float16), "dtype float16"),
                                       (np.zeros(1, complex), "dtype complex128")], ids=lambda value: str(value))
def test_check_float_names_the_argument_and_what_came(bad, came):
    with pytest.raises(TypeError) as caught:
        checks.check_float("x", bad)
    assert str(caught.value) == f"x: expected a float32 or float64 array, got {came}"


def test_mixed_dtypes_are_refused_by_name():
    single, double = np.zeros((1, 1), np.float32), np.zeros((1, 1))
    with pytest.raises(TypeError, match=r"^w: expected float32 like x, got float64$"):
        checks.check_shapes(("x", single, "N D"), ("w", double, "D M"))
    with pytest.raises(TypeError, match=r"^dout: expected float64 like x, got float32$"):
        checks.check_like("dout", single, "x", double)
    with pytest.raises(ValueError, match=r"^dout: expected shape \(1, 1\) like x, got \(1,\)$"):
        checks.check_like("dout", double[0], "x", double)
