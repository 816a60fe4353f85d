"""Every derivative of the package is accepted, and planted mistakes are refused by argument and index."""

import importlib
import inspect
import math
import pkgutil
import re

import numpy as np
import pytest

import bnn_ref
from bnn_ref import gradcheck
from bnn_ref.derivatives import CASES, OpCase
from bnn_ref.gradcheck import check_op
from bnn_ref.nets import network
from bnn_ref.ops.batchnorm import batchnorm_backward, batchnorm_forward
from bnn_ref.ops.binarize import sign_backward, sign_forward, sign_surrogate
from bnn_ref.ops.conv import conv_backward, conv_forward, max_pool_backward, max_pool_forward
from bnn_ref.ops.dense import dense_backward, dense_forward
from bnn_ref.ops.relu import relu_backward, relu_forward
from bnn_ref.training.fast import steps as fast
from tests.ops.naive import read_only

pytestmark = pytest.mark.task_dense

RNG = np.random.default_rng(0)
X = read_only(np.array([[-2.0, -0.6, 0.3, 1.4], [0.2, 1.7, -0.4, -1.3], [0.7, -0.1, 2.2, 0.5]]))      # off the kinks
W = read_only(RNG.standard_normal((4, 4)))                                  # square: a transposed dw has its shape
UNITS = read_only(RNG.standard_normal((4, 4)))
MAPS = read_only(RNG.permutation(2 * 5 * 4).reshape(1, 2, 5, 4) * 0.1)
OP_CASES = [case for case in CASES if isinstance(case, OpCase)]


# what is right is accepted


@pytest.mark.parametrize("case", OP_CASES, ids=lambda case: case.name)
def test_every_operation_is_accepted(case):
    report = case.check()
    gradients = network.as_tuple(case.backward(*case.forward(*case.args)[:2]))
    assert report.checked == sum(gradient.size for gradient in gradients)
    assert report.worst < 1e-7


def modules():
    for found in pkgutil.walk_packages(bnn_ref.__path__, "bnn_ref."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def test_every_backward_is_in_the_honesty_list():
    """Those of the kernels are not derived: they equal one of the list bit for bit (training/test_fast.py)."""
    written = {function for module in modules() for name, function in inspect.getmembers(module, inspect.isfunction)
               if name.endswith("_backward") and function.__module__.startswith("bnn_ref.")
               and not function.__module__.startswith("bnn_ref.training.fast.")}
    assert len(written) > 15
    assert written == {case.backward for case in OP_CASES}
    assert {function for function in fast.FAST if function.__name__.endswith("_backward")} <= written


@pytest.mark.parametrize("case", OP_CASES, ids=lambda case: case.name)
def test_docstrings_say_what_the_list_says(case):
    text = case.backward.__doc__
    if case.surrogate is None:
        assert "**exact**" in text and "ESTIMATOR" not in text
        assert case.claim == "exact"
    else:
        assert f"**ESTIMATOR of** `{case.surrogate.__name__}`" in text and "exact**" not in text
        assert case.claim == f"ESTIMATOR of {case.surrogate.__name__}"


@pytest.mark.task_straight_through
def test_an_estimator_is_no_derivative_of_its_own_forward():
    """Differences through sign are exactly zero: a check without a surrogate refuses every straight-through one."""
    dout = RNG.standard_normal(X.shape)
    numeric = gradcheck.numeric_gradient(lambda x: sign_forward(x)[0], X, dout)
    np.testing.assert_array_equal(numeric, np.zeros(X.shape))
    with pytest.raises(AssertionError, match=r"numeric 0, relative error 1 > 1e-07 \(7 of 12 coordinates differ\)"):
        check_op(sign_forward, sign_backward, X)
    with pytest.raises(AssertionError, match=r"> 0 \(7 of 12 coordinates differ\)"):
        check_op(sign_forward, sign_backward, X, tolerance=0)
    assert check_op(sign_forward, sign_backward, X, surrogate=sign_surrogate).checked == 12
    for case in OP_CASES:
        if case.surrogate is not None:
            # (what takes 8-bit pixels alone has no points nearby to compare with)
            says = r"^x: expected pixels" if "bit_plane" in case.name else r"^argument \d, index .* analytic .* numeric"
            with pytest.raises((AssertionError, ValueError), match=says):
                check_op(case.forward, case.backward, *case.args)


# what is wrong is refused


def batchnorm_without(mean=1, projection=1, gamma=True, rstd=True, count=None):
    """batchnorm_backward with a term left out or a wrong count."""
    def backward(da, cache):
        x_hat, scale, reciprocal = cache
        n = count or len(x_hat)
        dbeta, dgamma = da.sum(axis=0), (da * x_hat).sum(axis=0)
        dx = da - mean * dbeta / n - projection * x_hat * dgamma / n
        return dx * (scale if gamma else 1) * (reciprocal if rstd else 1), dgamma, dbeta

    return backward


def pool_assigning(dout, cache):
    """max_pool_backward with `=` where windows overlap."""
    winner, shape, kernel, stride = cache
    dx = np.zeros(shape)
    for n, c, i, j in np.ndindex(winner.shape):
        row, column = divmod(int(winner[n, c, i, j]), kernel)
        dx[n, c, i * stride + row, j * stride + column] = dout[n, c, i, j]
    return dx


def changed(backward, change):
    """backward with `change` applied to its tuple of gradients."""
    return lambda dout, cache: change(*network.as_tuple(backward(dout, cache)))


def spoil_one(gradient, factor):
    gradient = gradient.copy()
    gradient[2, 1] *= factor
    return gradient


BATCHNORM = batchnorm_forward, (X, *UNITS)
DENSE = dense_forward, (X, W)
CONV = conv_forward, (MAPS, read_only(RNG.standard_normal((2, 2, 3, 3))), 1, 1)
RELU = relu_forward, (X,)
POOL = max_pool_forward, (MAPS, 3, 1)
SIGN = sign_forward, (X,)
PLANTED = {                                   # (forward, arguments), the wrong backward, the argument it spoils
    "sign flipped": (DENSE, changed(dense_backward, lambda dx, dw: (-dx, dw)), 0),
    "factor 2": (DENSE, changed(dense_backward, lambda dx, dw: (dx, 2 * dw)), 1),
    "factor 1 + 1e-5": (DENSE, changed(dense_backward, lambda dx, dw: (dx, dw * (1 + 1e-5))), 1),
    "weight gradient transposed": (DENSE, changed(dense_backward, lambda dx, dw: (dx, dw.T)), 1),
    "weight not transposed": (DENSE, lambda ds, cache: (ds @ cache[1], cache[0].T @ ds), 0),
    "one coordinate negated": (DENSE, changed(dense_backward, lambda dx, dw: (dx, spoil_one(dw, -1))), 1),
    "one coordinate wrong by 1e-5": (DENSE, changed(dense_backward, lambda dx, dw: (spoil_one(dx, 1 + 1e-5), dw)), 0),
    "zero": (DENSE, changed(dense_backward, lambda dx, dw: (dx, 0 * dw)), 1),
    "not a number": (DENSE, changed(dense_backward, lambda dx, dw: (dx, spoil_one(dw, np.nan))), 1),
    "infinite": (DENSE, changed(dense_backward, lambda dx, dw: (dx, spoil_one(dw, np.inf))), 1),
    "kernel not flipped back": (CONV, lambda ds, cache: conv_backward(
        ds, (cache[0], np.ascontiguousarray(cache[1][:, :, ::-1, ::-1]), *cache[2:])), 0),
    "channels swapped": (CONV, changed(conv_backward, lambda dx, dw: (dx, dw.swapaxes(0, 1))), 1),
    "mask missing": (RELU, lambda da, cache: da.copy(), 0),
    "mask the wrong way": (RELU, lambda da, cache: da * (cache < 0), 0),
    "batch mean missing": (BATCHNORM, batchnorm_without(mean=0), 0),
    "batch mean's sign": (BATCHNORM, batchnorm_without(mean=-1), 0),
    "projection missing": (BATCHNORM, batchnorm_without(projection=0), 0),
    "projection's sign": (BATCHNORM, batchnorm_without(projection=-1), 0),
    "gamma missing": (BATCHNORM, batchnorm_without(gamma=False), 0),
    "standard deviation missing": (BATCHNORM, batchnorm_without(rstd=False), 0),
    "count wrong": (BATCHNORM, batchnorm_without(count=12), 0),
    "gamma and beta swapped": (BATCHNORM, changed(batchnorm_backward, lambda dx, dg, db: (dx, db, dg)), 1),
    "overlapping windows assigned": (POOL, pool_assigning, 0),
    "winner lost": (POOL, lambda dout, cache: max_pool_backward(dout, (cache[0] * 0, *cache[1:])), 0),
}


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_refused_by_argument(name):
    (forward, args), backward, position = PLANTED[name]
    with pytest.raises(AssertionError, match=rf"^argument {position}, index \(.*\): analytic .*, numeric .*, relative"):
        check_op(forward, backward, *args)


@pytest.mark.parametrize("forward, backward, args", [
    (*DENSE[:1], dense_backward, DENSE[1]), (*BATCHNORM[:1], batchnorm_without(), BATCHNORM[1]),
    (*CONV[:1], conv_backward, CONV[1]), (*RELU[:1], relu_backward, RELU[1]), (*POOL[:1], max_pool_backward, POOL[1]),
])
def test_the_same_backwards_without_the_mistakes_are_accepted(forward, backward, args):
    assert check_op(forward, backward, *args).worst < 1e-8


@pytest.mark.task_straight_through
def test_the_straight_through_mask_is_checked_against_the_surrogate():
    for wrong in (lambda dout, x: dout.copy(), lambda dout, x: dout * (np.abs(x) <= 1.5),
                  lambda dout, x: dout * (np.abs(x) >= 1), lambda dout, x: 0 * dout):
        with pytest.raises(AssertionError, match=r"^argument 0, index"):
            check_op(sign_forward, wrong, X, surrogate=sign_surrogate)


def test_the_message_is_about_the_worst_coordinate():
    def backward(ds, cache):
        dx, dw = dense_backward(ds, cache)
        dw[2, 1], dw[3, 0] = 2 * dw[2, 1], 1.1 * dw[3, 0]
        return dx, dw

    dout = np.random.default_rng([7, 1]).standard_normal((3, 4))
    right = (X.T @ dout)[2, 1]
    with pytest.raises(AssertionError) as caught:
        check_op(dense_forward, backward, X, W, seed=7, tolerance=1e-6)
    parts = re.fullmatch(r"argument 1, index \(2, 1\): analytic (\S+), numeric (\S+), relative error 0.5 > 1e-06 "
                         r"\(2 of 16 coordinates differ\)", str(caught.value))
    assert math.isclose(float(parts[1]), 2 * right, rel_tol=1e-11)
    assert math.isclose(float(parts[2]), right, rel_tol=1e-8)


def test_tolerance_is_a_relative_error_inclusive_and_the_report_has_the_worst():
    wrong = changed(dense_backward, lambda dx, dw: (dx, spoil_one(dw, 1 / (1 - 0.25))))
    report = check_op(dense_forward, wrong, X, W, tolerance=0.2501)
    assert report.checked == 28 and math.isclose(report.worst, 0.25, rel_tol=1e-8)
    with pytest.raises(AssertionError, match=r"relative error 0.25 > 0.2499"):
        check_op(dense_forward, wrong, X, W, tolerance=0.2499)
    assert check_op(dense_forward, wrong, X, W, tolerance=report.worst) == report
    assert check_op(dense_forward, wrong, X, W, tolerance=1, seed=0).worst == report.worst


@pytest.mark.parametrize("change, message", [
    (lambda dx, dw: (dx, dw[None]), r"^argument 1: expected a gradient of shape \(4, 4\), got \(1, 4, 4\)$"),
    (lambda dx, dw: (dx.T, dw), r"^argument 0: expected a gradient of shape \(3, 4\), got \(4, 3\)$"),
    (lambda dx, dw: (dx, 0.0), r"^argument 1: expected a gradient of shape \(4, 4\), got \(\)$"),
    (lambda dx, dw: (dx, dw, dw), r"^backward returned 3 gradients for 2 arguments$"),
    (lambda dx, dw: (), r"^nothing was checked: backward returned no gradient$"),
    (lambda dx, dw: None, r"^nothing was checked: backward returned no gradient$"),
])
def test_gradients_of_the_wrong_shape_or_number_are_refused(change, message):
    with pytest.raises(AssertionError, match=message):
        check_op(dense_forward, changed(dense_backward, change), X, W)


def test_arguments_without_a_gradient_are_skipped():
    assert check_op(dense_forward, changed(dense_backward, lambda dx, dw: (None, dw)), X, W).checked == 16
    assert check_op(dense_forward, changed(dense_backward, lambda dx, dw: dx), X, W).checked == 12
    with pytest.raises(AssertionError, match=r"^argument 1, index"):
        check_op(dense_forward, changed(dense_backward, lambda dx, dw: (None, 2 * dw)), X, W)


def test_an_empty_argument_has_nothing_to_check():
    with pytest.raises(AssertionError, match="nothing was checked"):
        check_op(relu_forward, relu_backward, np.zeros((0, 3)))


def writing(where):
    """A dense pair in which one place writes into an array of the caller's."""
    def forward(x, w):
        out, cache = dense_forward(x.copy(), w.copy())
        if where in ("x", "w"):
            {"x": x, "w": w}[where][0, 0] = 5
        return out, (cache, x)

    def backward(ds, cache):
        gradients = dense_backward(ds, cache[0])
        if where == "dout":
            ds *= 2
        if where == "x in backward":
            cache[1][...] = np.nan
        return gradients

    return forward, backward


@pytest.mark.parametrize("where, named", [("x", "argument 0"), ("w", "argument 1"), ("dout", "dout"),
                                          ("x in backward", "argument 0")])
def test_writing_into_the_callers_arrays_is_refused(where, named):
    with pytest.raises(AssertionError, match=rf"^{named} was changed in place by forward or backward$"):
        check_op(*writing(where), X.copy(), W.copy())
    assert check_op(*writing("nowhere"), X, W).checked == 28


def test_arguments_beyond_the_gradients_are_passed_on_as_they_are():
    keep, labels = np.array([[np.nan, 1.0]]), np.array([1])

    def forward(x, noise, some_labels, text):
        assert noise is keep and some_labels is labels and text == "text"
        return 3 * x, None, "more", "results"

    report = check_op(forward, lambda dout, cache: 3 * dout, np.array([0.5, 2.0]), keep, labels, "text")
    assert report.checked == 2


def test_a_number_as_output_gets_a_number_upstream():
    def backward(dloss, cache):
        assert type(dloss) is float and dloss != 1
        return dloss * 2 * cache

    assert check_op(lambda x: (np.sum(x * x), x), backward, X).checked == 12


@pytest.mark.parametrize("bad, came", [
    (X.astype(np.float32), "float32; float32 is too coarse to check a derivative: pass dtype=np.float64"),
    (np.arange(3), "int64: convert it"), (X * 1j, "complex128: convert it"), (X.astype(">f8"), ">f8: convert it"),
    ([1.0], "list$"), (2, "int$")], ids=["float32", "int array", "complex", "big-endian", "list", "int"])
def test_arguments_that_are_not_float64_are_refused(bad, came):
    with pytest.raises(TypeError, match=rf"^argument 1: expected a float64 array, got {came}"):
        check_op(lambda x, w: (x, None), lambda dout, cache: (dout.copy(), np.zeros(np.shape(bad))), X, bad)


def test_a_surrogate_with_another_value_or_slope_is_refused():
    def off(x0):
        surrogate = sign_surrogate(x0)
        return lambda x: (surrogate(x)[0] + 1e-8, None)

    with pytest.raises(AssertionError, match=r"(?m)^the surrogate does not have the value of forward at this point$"):
        check_op(sign_forward, sign_backward, X, surrogate=off)
    with pytest.raises(AssertionError, match=r"^argument 0, index"):
        check_op(sign_forward, sign_backward, X, surrogate=lambda x0: lambda x: (sign_forward(x0)[0] + x - x0, None))
    assert check_op(sign_forward, lambda dout, x: dout.copy(), X,
                    surrogate=lambda x0: lambda x: (sign_forward(x0)[0] + x - x0, None)).checked == 12
    # Rounding at the value 0 is no other value.
    assert check_op(lambda x: (0 * x, x), lambda dout, x: dout.copy(), X,
                    surrogate=lambda x0: lambda x: (x - x0 + 1e-10, None)).checked == 12
