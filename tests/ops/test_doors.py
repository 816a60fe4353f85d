"""Every public function with the arrays that people hand in by mistake: each works, or says which argument, what was
expected and what came."""

import importlib
import inspect
import pkgutil
import re
import warnings

import numpy as np
import pytest

from bnn_ref import derivatives, ops
from bnn_ref.kernels import LADDER, bits, ladder, sign_accumulate
from bnn_ref.nets import filters
from bnn_ref.ops import (
    batchnorm,
    binarize,
    bitwise,
    ebp,
    ebp_real,
    ebp_ternary,
    powers,
    preprocess,
    shift_batchnorm,
    ternary,
)

RNG = np.random.default_rng(0)
X, W, B = RNG.standard_normal((4, 7)), RNG.standard_normal((7, 5)), RNG.standard_normal(5)
MAPS, U = RNG.standard_normal((2, 3, 6, 5)), RNG.random((4, 7))
PACKED = bits.pack(X)
PIXELS = RNG.integers(0, 256, (4, 7), np.uint8)

# (function, arguments that it takes); every array among them is tried.
CALLS = [
    *((case.forward, case.args) for case in derivatives.CASES if hasattr(case, "forward")),
    (batchnorm.batchnorm_predict, (X, *RNG.random((4, 7)))),
    (shift_batchnorm.shift_batchnorm_predict, (MAPS, *RNG.random((4, 3)))),
    (binarize.sign, (X,)), (binarize.hard_sigmoid, (X,)), (binarize.stochastic_sign, (X, U)),
    (bitwise.boundary, (X, 0.3)), (bitwise.bitwise_weights, (X, np.array(0.3))), (bitwise.sparsity_of, (X,)),
    (bitwise.refresh_boundaries, (W, B, 0.3)),
    (ebp.ebp_map_dense_forward, (X, W, B)), (ebp_ternary.ebp_ternary_map_dense_forward, (X, W, W, B)),
    (ebp_real.ebp_real_map_dense_forward, (X, W, B)),
    (powers.ap2, (X,)), (powers.stochastic_power_of_two, (X, U)), (powers.exponent_histogram, (X,)),
    (ternary.ternary, (X,)), (ternary.stochastic_ternary, (X, U)),
    (preprocess.centre_fit, (MAPS,)), (preprocess.zca_fit, (MAPS,)),
    (bits.pack, (X,)), (bits.unpack, (PACKED, 7)), (bits.pack_planes, (PIXELS,)),
    (bits.unpack_planes, (bits.pack_planes(PIXELS), 7)),
    (ladder.xnor_matmul, (PACKED, PACKED, 7)), (ladder.plane_matmul, (bits.pack_planes(PIXELS), PACKED, 7)),
    *((rung, (PACKED, PACKED, 7)) for rung in LADDER if rung.module != "cuda" and not rung.missing()),
    (sign_accumulate.sign_accumulate, (np.float32(X), PACKED, 7)),
    (filters.unique_filters, (RNG.standard_normal((4, 3, 3, 3)),)),
    (filters.slice_codes, (RNG.standard_normal((4, 3, 3, 3)),)),
]


# Parts of other functions, which check for them, and functions of numbers, shapes or generators.
WITHIN = {"layout", "as_eps", "bit_plane", "out_size", "im2col", "col2im", "max_pool_frozen", "draw_keep", "init_h",
          "binary_moments", "known_inputs", "random_signs", "layer_forward", "layer_gradients", "layer_frozen",
          "check_means", "real_moments", "ternary_moments", "most_probable", "phi", "cdf", "log_cdf", "phi_over_cdf",
          "mills_ratio", "check_labels", "fitted", "pixels"}


def test_every_operation_is_tried():
    """The rules of `optim` have a test like this of their own."""
    tried = {getattr(function, "__name__", "") for function, _ in CALLS}
    tried |= {case.backward.__name__ for case in derivatives.CASES if hasattr(case, "backward")}
    for found in pkgutil.iter_modules(ops.__path__):
        module = importlib.import_module(f"bnn_ref.ops.{found.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name[0] != "_" and function.__module__ == module.__name__ and found.name not in ("checks", "optim"):
                assert name in tried | WITHIN or name.endswith("_surrogate"), f"{found.name}.{name}"


def backward(case):
    out, cache, *_ = case.forward(*case.args)
    dout = RNG.standard_normal(np.shape(out))
    return lambda dout: case.backward(dout, cache), (dout,)


def names_of(function, count):
    signature = inspect.signature(getattr(function, "function", function))
    return list(signature.parameters)[:count]


def trials():
    for function, arguments in CALLS:
        name = getattr(function, "name", None) or function.__name__
        yield pytest.param(function, names_of(function, len(arguments)), arguments, id=name)
    for case in derivatives.CASES:
        if hasattr(case, "forward") and np.ndim(case.forward(*case.args)[0]):
            call, arguments = backward(case)
            name = next(iter(inspect.signature(case.backward).parameters))
            yield pytest.param(call, [name], arguments, id=case.backward.__name__)


def matrix(x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.matrix(x) if x.ndim == 2 else np.matrix(x.reshape(1, -1))


class Own(np.ndarray):
    pass


WRONG = {
    "a list": lambda x: x.tolist(), "None": lambda x: None, "text": lambda x: "x", "a number": lambda x: 3.0,
    "int64": lambda x: x.astype(np.int64), "bool": lambda x: x.astype(bool), "complex": lambda x: x.astype(complex),
    "object": lambda x: x.astype(object), "float16": lambda x: x.astype(np.float16),
    "uint8": lambda x: x.astype(np.uint8),
    "the other float": lambda x: x.astype(np.float32 if x.dtype == np.float64 else np.float64),
    "dates": lambda x: x.astype(np.int64).astype("M8[s]"),
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "an axis more": lambda x: x[None], "an axis less": lambda x: x[0] if x.ndim else x,
    "longer": lambda x: np.concatenate([x, x[-1:]]) if x.ndim else x,
    "wider": lambda x: np.concatenate([x, x[..., -1:]], axis=-1) if x.ndim else x,
    "no dimensions": lambda x: x.reshape(-1)[0:1].reshape(()), "empty": lambda x: x[:0] if x.ndim else x,
    "no width": lambda x: x[..., :0] if x.ndim else x,
    "a matrix": matrix, "masked": lambda x: np.ma.masked_array(x), "a subclass": lambda x: x.view(Own),
}
OTHERS = ("x", "w", "y", "out", "kernel")      # of which a wrong one makes the sizes of another wrong, or in a cache
NEVER = ("a list", "None", "text", "a number", "complex", "object", "dates", "a matrix", "masked", "a subclass")
RIGHT = {
    "read-only": lambda x: _read_only(x), "another order": lambda x: x.copy(order="F"),
    "every other": lambda x: np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x,
}


def _read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


@pytest.mark.parametrize("function, names, arguments", [*trials()])
def test_what_is_wrong_is_named(function, names, arguments):
    unclear = []
    for place, (name, right) in enumerate(zip(names, arguments)):
        if not isinstance(right, np.ndarray):
            continue
        for what, make in WRONG.items():
            before = [np.copy(one) for one in arguments]
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")            # of empty means, and of int64 from NaN
                    function(*arguments[:place], make(right), *arguments[place + 1:])
            except (TypeError, ValueError) as error:
                said = str(error)
                if not re.match(rf"({'|'.join([*names, *OTHERS])}): expected .*, got .", said):
                    unclear.append(f"{name} {what}: {type(error).__name__}: {said}")
            except Exception as error:
                unclear.append(f"{name} {what}: {type(error).__name__}: {error}")
            else:
                if what in NEVER:
                    unclear.append(f"{name} {what}: taken")
            for one, kept in zip(arguments, before):
                np.testing.assert_array_equal(one, kept)
    assert not unclear, "\n".join(unclear)


@pytest.mark.parametrize("function, names, arguments", [*trials()])
def test_what_is_right_is_taken(function, names, arguments):
    expected = function(*arguments)
    for make in RIGHT.values():
        came = function(*(make(one) if isinstance(one, np.ndarray) else one for one in arguments))
        assert_same(came, expected)


def assert_same(came, expected):
    if isinstance(expected, tuple):
        for one, other in zip(came, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, np.ndarray | float | int):
        np.testing.assert_allclose(came, expected, rtol=1e-9, atol=1e-12)
