"""What other people's layers do: buffers written to again, results of other forms, noise of their own. Each by name."""

from dataclasses import replace

import numpy as np
import pytest

from bnn_ref.gradcheck import check_network, check_op
from bnn_ref.nets import network, steps
from bnn_ref.ops.dense import dense_backward, dense_forward
from tests.ops.naive import read_only

RNG = np.random.default_rng(0)
X = read_only(RNG.standard_normal((3, 4)))
W = read_only(RNG.standard_normal((4, 2)))


def twice(x):
    return 2 * x, None


def back_twice(dout, cache):
    return 2 * dout


def refused(match, forward=twice, backward=back_twice, args=(X,), **settings):
    with pytest.raises(AssertionError, match=match):
        check_op(forward, backward, *args, **settings)


# memory that is written to again


def test_an_output_buffer_that_every_call_overwrites():
    buffer = np.empty(3)

    def forward(x):
        np.multiply(x, 2, out=buffer)
        return buffer, None

    x = X[0, :3].copy()
    assert check_op(forward, back_twice, x).checked == 3
    refused(r"^argument 0, index \(\d,\): analytic 0, numeric", forward, lambda dout, cache: 0 * dout, (x,))


def test_a_gradient_buffer_that_every_call_overwrites():
    buffer = np.empty(X.shape)

    def backward(dout, cache):
        np.multiply(dout, cache, out=buffer)
        return buffer

    def forward(x, factor=2.0):
        return factor * x, factor

    assert check_op(forward, backward, X).checked == 12
    refused(r"^argument 0, index", lambda x: (2 * x, 3.0), backward)


def test_backward_may_use_up_its_cache_and_the_output():
    def forward(x):
        out = np.tanh(x)
        return out, out

    def backward(dout, out):
        np.subtract(1, out**2, out=out)
        out *= dout
        return out

    assert check_op(forward, backward, X).checked == 12
    refused(r"^argument 0, index", forward, lambda dout, out: backward(dout, out) * 1.001)


def test_a_moved_argument_may_be_kept_by_forward():
    kept = []

    def forward(x):
        kept.append(x)
        return x * x, x

    assert check_op(forward, lambda dout, x: 2 * x * dout, X).checked == 12


# results of other forms


def test_gradients_of_another_kind_are_named():
    args = X, W
    for results, message in (
            (lambda dx, dw: [dx, dw], r"^backward returned a list of 2; expected a tuple in the order of forward's"),
            (lambda dx, dw: {"x": dx, "w": dw}, r"^backward returned a dict of 2; expected a tuple in the order"),
            (lambda dx, dw: (dx.tolist(), dw), r"^argument 0: expected a gradient of shape \(3, 4\), an array, got a"),
            (lambda dx, dw: (dx, "dw"), r"^argument 1: expected a gradient of shape \(4, 2\), an array, got a str$"),
            (lambda dx, dw: (dx.astype(np.float32), dw),
             r"^argument 0: expected a float64 gradient, as the argument is, got float32$"),
            (lambda dx, dw: (dx, dw.astype(">f8")), r"^argument 1: expected a float64 gradient.*got >f8$"),
            (lambda dx, dw: (dx, dw + 0j), r"^argument 1: expected a float64 gradient.*got complex128$")):
        refused(message, dense_forward, lambda dout, cache, made=results: made(*dense_backward(dout, cache)), args)


@pytest.mark.parametrize("number", [1.5, np.float64(1.5), np.array(1.5)], ids=["float", "float64", "array"])
def test_numbers_are_arguments_and_gradients(number):
    def forward(x, factor):
        return x * factor, (x, factor)

    def backward(dout, cache, kind=float):
        x, factor = cache
        return dout * factor, kind(np.sum(dout * x))

    for kind in (float, np.float64, np.array):
        report = check_op(forward, lambda dout, cache, kind=kind: backward(dout, cache, kind), X, number)
        assert report.checked == 13
    refused(r"^argument 1, index \(\): analytic", forward,
            lambda dout, cache: (backward(dout, cache)[0], 2 * backward(dout, cache)[1]), (X, number))


def test_results_of_forward_of_another_kind_are_named():
    for forward, message in (
            (lambda x: 2 * x, r"^forward returned a float64 array; expected a tuple: out, cache$"),
            (lambda x: (2 * x,), r"^forward returned a tuple of 1; expected a tuple: out, cache$"),
            (lambda x: [2 * x, None], r"^forward returned a list of 2; expected a tuple: out, cache$"),
            (lambda x: ([2 * x], None), r"^the output of forward is a list of 1; expected a float64 array"),
            (lambda x: ((2 * x, [1]), None), r"^output 1 of forward is a list of 1; expected"),
            (lambda x: ((2 * x).astype(np.float32), None),
             r"^the output of forward is a float32 array, and the arguments are float64: remove what converts it"),
            (lambda x: (x > 0, None), r"^the output of forward is a bool array"),
            (lambda x: (2 * x + 1j, None), r"^the output of forward is a complex128 array"),
            (lambda x: (np.where(x == X[1, 2], np.nan, x), None),
             r"^the output of forward is not finite at index \(1, 2\): choose a point inside its domain$")):
        refused(message, forward)


def test_a_surrogate_without_a_cache_is_named():
    refused(r"^the function that surrogate returned returned a float64 array; expected a tuple: out, cache$",
            surrogate=lambda x0: lambda x: 2 * x)


def test_more_results_than_two_are_named_where_the_cache_is_no_cache():
    def lstm_like(x):
        return np.tanh(x), x**2, (x,)

    def backward(dout, cache):
        (x,) = cache
        return dout * (1 - np.tanh(x)**2)

    refused(r"forward returned 3 results, and the second, an array of shape \(1, 4\), was taken for the cache: if it "
            r"is an output, return \(y1, y2\), cache$", lstm_like, backward, (X[:1],))
    assert check_op(lambda x: (2 * x, x, "more"), back_twice, X).checked == 12


# a forward or backward that is no function of its arguments


def test_noise_and_memory_are_named():
    rng = np.random.default_rng(1)
    calls = []

    def counting(x):
        calls.append(1)
        return x * len(calls), None

    def memory_later(x):
        calls.append(x[0, 0])
        return x * (1 + (X[0, 0] != calls[0]) + 0.1 * len(set(calls))), None

    refused(r"^forward gave two results at the same point, \S+ and \S+ in entry \d+ of its output: draw random numbers "
            "outside and pass them as an argument, and keep no state", lambda x: (x * rng.random(x.shape), None))
    refused("^forward gave two results at the same point", counting)
    calls.clear()
    refused("^(forward gave two results at the same point after other points|argument 0, index)", memory_later)
    refused(r"^argument 0, index \(\d, \d\): backward gave two gradients at the same point, \S+ and \S+: they must",
            backward=lambda dout, cache: 2 * dout * rng.random(dout.shape))
    refused("two results at the same point.* argument 1 is a random generator, pass the drawn numbers instead$",
            lambda x, generator: (x * np.random.default_rng(calls.append(1) or len(calls)).random(), None),
            args=(X, np.random.default_rng(3)))


def test_state_that_forward_changes_is_named():
    settings = {"calls": 0}

    def counts_in_settings(x, settings):
        settings["calls"] += 1
        return 2 * x, None

    def draws(x, generator):
        return 2 * x + 0 * generator.random(), None

    refused("^argument 1 was changed in place by forward or backward$", counts_in_settings, args=(X, settings))
    refused("^argument 1 was changed in place by forward or backward$", draws, args=(X, np.random.default_rng(0)))
    refused("^NumPy's global random numbers were drawn by forward or backward: draw outside and pass",
            lambda x: (2 * x + 0 * np.random.random(), None))                                            # noqa: NPY002
    assert check_op(counts_in_settings, back_twice, X, settings, skip=("purity",)).checked == 12


# several outputs


def split(x, w):
    return (np.tanh(x @ w), np.sum(x * x), x.mean(axis=0)), (x, w)


def split_backward(dout, cache, factor=1.0):
    (dy, dsquares, dmean), (x, w) = dout, cache
    assert type(dsquares) is float and dmean.shape == (4,)
    ds = dy * (1 - np.tanh(x @ w)**2)
    return ds @ w.T + 2 * x * dsquares + factor * dmean / len(x), x.T @ ds


def test_several_outputs_get_several_upstream_gradients():
    assert check_op(split, split_backward, X, W).checked == 12 + 8
    refused(r"^argument 0, index \(\d, \d\): analytic", split, lambda dout, cache: split_backward(dout, cache, 0.999),
            (X, W))


def test_the_upstream_gradients_of_several_outputs_stay_as_they_are():
    def backward(dout, cache):
        dout[2][...] = 0
        return split_backward(dout, cache)

    refused("^dout was changed in place by forward or backward$", split, backward, (X, W))


# what may be asked and switched


def test_backward_is_linear_in_dout():
    def backward(dout, cache):
        return np.where(np.abs(dout) < 3, 2, 0) * dout        # "clipped", and right at this dout

    dout = np.random.default_rng([0, 1]).standard_normal(X.shape)
    assert np.abs(dout).max() < 3
    refused(r"^argument 0, index \(\d, \d\): backward is not linear in dout: backward\(2a - b\) is \S+, "
            r"2 backward\(a\) - backward\(b\) is \S+$", backward=backward)
    assert check_op(twice, backward, X, skip=("linearity",)).checked == 12


def test_the_adjoint_identity_finds_one_wrong_coordinate_among_many():
    x, w = RNG.standard_normal((2, 300)), RNG.standard_normal((300, 200))

    def backward(ds, cache):
        dx, dw = dense_backward(ds, cache)
        dw[123, 45] *= 1.5
        return dx, dw

    refused(r"^argument 1, index \(123, 45\): analytic \S+, numeric \S+, relative error 0.33", dense_forward, backward,
            (x, w), sample=5)
    assert check_op(dense_forward, backward, x, w, sample=5, skip=("adjoint",)).checked == 10
    assert "at most 5 coordinates an argument, seed 0" in str(check_op(dense_forward, dense_backward, x, w, sample=5))


def test_only_looks_at_the_arguments_that_are_asked_for():
    def backward(ds, cache):
        dx, dw = dense_backward(ds, cache)
        return 2 * dx, dw

    assert check_op(dense_forward, backward, X, W, only=1).checked == 8
    refused("^argument 0, index", dense_forward, backward, (X, W), only=(0, 1))
    refused("^argument 1: backward returned no gradient for it$", dense_forward,
            lambda ds, cache: dense_backward(ds, cache)[0], (X, W), only=1)


def test_a_float32_layer_is_checked_with_its_arguments_converted():
    x = X.astype(np.float32)
    assert check_op(dense_forward, dense_backward, x, W.astype(np.float32), dtype=np.float64).checked == 20
    with pytest.raises(TypeError, match=r"^argument 0: expected a float64 array, got float32; float32 is too coarse"):
        check_op(dense_forward, dense_backward, x, W.astype(np.float32))
    refused("^the output of forward is a float32 array, and the arguments are float64",
            lambda x: (2 * x.astype(np.float32), None), args=(x,), dtype=np.float64)


def test_complex_steps_have_no_rounding_error():
    def forward(x):
        return np.exp(1e3 * x) / 3, x

    def backward(dout, x, factor=1.0):
        return dout * factor * 1e3 * np.exp(1e3 * x) / 3

    x = X * 1e-2
    assert check_op(forward, backward, x, complex_step=True).worst < 1e-14
    refused("^argument 0, index", forward, lambda dout, x: backward(dout, x, 1 + 1e-5), (x,), complex_step=True)
    refused(r"^argument 0, index .*: forward does not continue to complex numbers \(abs, .real, a comparison\?\): l",
            lambda x: (np.abs(x)**2, x), lambda dout, x: 2 * x * dout, complex_step=True)
    with pytest.raises(TypeError, match=r"^argument 0: forward does not take complex numbers \(.*\): leave complex"):
        check_op(lambda x: (x + np.floor(x), None), lambda dout, cache: dout, X, complex_step=True)


@pytest.mark.parametrize("setting, message", [
    ({"kinks": "yes"}, "^kinks: expected"), ({"skip": "purity"}, "^skip: expected"),
    ({"skip": ("speed",)}, "^skip: expected"),
    ({"only": 1}, "^only: expected positions of arguments, 0 to 0"), ({"sample": 0}, "^sample: expected"),
    ({"dtype": np.float32}, "^dtype: expected np.float64")])
def test_settings_that_make_no_sense_are_named(setting, message):
    with pytest.raises(ValueError, match=message):
        check_op(twice, back_twice, X, **setting)


# networks


def loss_forward(y, labels):
    return np.sum(y * y) / 2, y


def loss_backward(dloss, y):
    return dloss * y


def network_of(*made, x=X):
    params, running = network.init(made, np.random.default_rng(1), np.float64)
    return check_network(made, params, running, x, None, loss_forward, loss_backward)


DENSE = steps.dense_step("fc1", 4, 3)
RELU = steps.relu_step("act1")
TOP = steps.dense_step("fc2", 3, 2)


def test_a_step_that_writes_into_an_array_of_others_is_named():
    def shifts_in_place(x, *params):
        x -= 0.5
        return x, None

    writes = network.Step("shift", shifts_in_place, lambda dout, cache: dout)
    for made in ((writes, DENSE), (DENSE, writes, TOP)):
        with pytest.raises(AssertionError, match=r"^the input of step shift was changed in place by the forward of"):
            network_of(*made, x=X.copy())

    def writes_weights(x, w):
        w *= 0.5
        return dense_forward(x, w)

    with pytest.raises(AssertionError, match=r"^fc1.w was changed in place by the forward of step fc1$"):
        network_of(replace(DENSE, forward=writes_weights))


def test_steps_that_share_a_buffer_are_named():
    buffer = np.empty((3, 4))

    def forward(x):
        np.multiply(x, 2, out=buffer)
        return buffer.copy() if x is buffer else buffer, None

    def other(x):
        out = x + 0
        buffer[...] = 7
        return out, None

    one = network.Step("one", forward, back_twice)
    assert network_of(one, steps.dense_step("fc1", 4, 3)).checked == 6
    with pytest.raises(AssertionError, match=r"^the (output of step one|input of step two) was changed in place by"):
        network_of(one, network.Step("two", other, lambda dout, cache: dout))


def test_what_a_step_returns_is_named():
    for step, message in (
            (replace(DENSE, backward=lambda ds, cache: list(dense_backward(ds, cache))),
             r"^the backward of step fc1 returned a list of 2; expected a tuple in the order of forward's arguments$"),
            (replace(DENSE, backward=lambda ds, cache: (dense_backward(ds, cache)[0], None)),
             r"^fc1.w: expected a gradient of shape \(4, 3\), got None$"),
            (replace(DENSE, backward=lambda ds, cache: (None, dense_backward(ds, cache)[1])),
             r"^x: expected a gradient of shape \(3, 4\), got None$"),
            (replace(DENSE, backward=lambda ds, cache: (dense_backward(ds, cache)[0], 2.0)),
             r"^fc1.w: expected a gradient of shape \(4, 3\), got a float$"),
            (replace(DENSE, forward=lambda x, w: x @ w),
             r"^the forward of step fc1 returned a float64 array; expected a tuple: out, cache$")):
        with pytest.raises(AssertionError, match=message):
            network_of(step)


def test_a_network_without_a_finite_loss_is_named():
    with pytest.raises(AssertionError, match=r"^the loss is nan at this point: choose another one$"):
        network_of(DENSE, x=X * np.nan)


def test_an_array_that_is_none_is_named():
    with pytest.raises(TypeError, match=r"^x: expected a float64 array, got list$"):
        network_of(DENSE, x=X.tolist())
