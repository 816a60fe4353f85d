"""Arrays between two pages of memory that nobody may touch, and kernels run on them.

Compiled code checks no index: what it reads past an array's end is no error and mostly changes no result, until the
array happens to lie at the end of what the system has lent. Here each one does, and the process dies at once.
"""

import contextlib
import ctypes
import itertools
import math
import mmap
from unittest import mock

import numpy as np

from bnn_ref.kernels import LADDER, bits, lookup, panels, plane_matmul
from bnn_ref.ops import optim
from bnn_ref.training.fast import bitwise, conv, dense, norm, update

PAGE = mmap.PAGESIZE
C = ctypes.CDLL(None, use_errno=True)


def empty(shape, dtype=float, at_end=True):
    """As `np.empty`, with a forbidden page right behind the last entry (or right before the first)."""
    shape, dtype = (shape,) if isinstance(shape, int) else tuple(shape), np.dtype(dtype)
    count = math.prod(shape)
    pages = max(1, -(-count * dtype.itemsize // PAGE))
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for forbidden in (address, address + (pages + 1) * PAGE):
        if C.mprotect(ctypes.c_void_p(forbidden), ctypes.c_size_t(PAGE), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    first = PAGE + (pages * PAGE - count * dtype.itemsize if at_end else 0)
    return np.frombuffer(memory, dtype, count, first).reshape(shape)


def guarded(array, at_end):
    out = empty(array.shape, array.dtype, at_end)
    out[...] = array
    return out


@contextlib.contextmanager
def everywhere(at_end):
    """What kernels are given to write to has forbidden pages, too."""
    def guarded_empty(shape, dtype=float):
        return empty(shape, dtype, at_end)

    def guarded_zeros(shape, dtype=float):
        out = empty(shape, dtype, at_end)
        out[...] = 0
        return out

    with contextlib.ExitStack() as stack:
        for module in (panels, lookup, bitwise, conv, dense, norm):
            stack.enter_context(mock.patch.object(module, "empty", guarded_empty))
        stack.enter_context(mock.patch.object(np, "empty", guarded_empty))
        stack.enter_context(mock.patch.object(np, "zeros", guarded_zeros))
        yield


# --- what runs on them ---------------------------------------------------------------------------------------------


def products(place):
    """Every rung, on shapes that cut off tiles, panels and words; pixels, too; and packing."""
    rng = np.random.default_rng(0)
    for m, n, k in itertools.product((1, 2, 3, 5, 13), (1, 7, 16, 33), (64, 65, 200)):
        x, w = (place(rng.choice(np.array([-1, 1], np.float32), (rows, k))) for rows in (m, n))
        a, b = place(bits.pack(x)), place(bits.pack(w))
        pixels = place(rng.integers(0, 256, (m, k), np.uint8))
        planes = place(bits.pack_planes(pixels))
        for rung in (rung for rung in LADDER if rung.module != "cuda" and not rung.missing()):
            np.testing.assert_array_equal(rung(a, b, k), x.astype(int) @ w.T.astype(int))
            np.testing.assert_array_equal(plane_matmul(planes, b, k, rung), (2 * pixels.astype(int) - 255) @ w.T)


def rows(place):
    """Dense layers, signs and updates of the fast step, on sizes that end inside of its words, vectors and blocks."""
    rng = np.random.default_rng(0)
    for dtype, size in itertools.product((np.float32, np.float64), (1, 7, 65, 1100)):
        x, w, b, ds, g = (place(rng.standard_normal(shape).astype(dtype))
                          for shape in ((3, size), (size, 5), (5,), (3, 5), (size, 5)))
        beta = np.array(0.5, dtype)
        dense.sign_backward(x, dense.sign_forward(x)[1])
        dense.dense_backward(ds, dense.xnor_dense_forward(place(dense.sign(x)), w)[1])
        bitwise.compressed_dense_backward(ds, bitwise.compressed_dense_forward(x, w, b)[1])
        bitwise.bitwise_dense_backward(ds, bitwise.bitwise_dense_forward(x, w, b, beta, beta)[1])
        norm.batchnorm_backward(x, norm.batchnorm_forward(x, *[place(np.ones(size, dtype))] * 4)[1])
        for init, step in ((optim.adam_init, update.adam_step_in_place),
                           (optim.shift_adamax_init, update.shift_adamax_step_in_place)):
            params, state = update.own({"w": w}, init({"w": w}))
            params = {"w": place(params["w"])}
            state = {name: {"w": place(part["w"])} if isinstance(part, dict) else part for name, part in state.items()}
            step(params, {"w": g}, state, 0.1, ["w"])


def maps(place):
    """Convolution, pooling and normalization of the fast step, with strides, borders and images that do not fit."""
    rng = np.random.default_rng(0)
    geometries = itertools.product((np.float32, np.float64), ((5, 4), (9, 9), (1, 1)), (1, 3), (1, 2), (0, 1))
    for dtype, (height, width), kernel, stride, pad in geometries:
        if min(height, width) + 2 * pad < kernel:
            continue
        x, w = (place(np.sign(rng.standard_normal(shape)).astype(dtype))
                for shape in ((2, 7, height, width), (3, 7, kernel, kernel)))
        for forward in (conv.conv_forward, conv.xnor_conv_forward):
            s, cache = forward(x, w, stride, pad, 1.0)
            conv.conv_backward(place(s), cache)
        norm.batchnorm_backward(x, norm.batchnorm_forward(x, *[place(np.ones(7, dtype))] * 4)[1])
        if min(height, width) >= kernel:
            out, cache = conv.max_pool_forward(x, kernel, stride)
            conv.max_pool_backward(place(out), cache)


def check(what):
    """Run it with forbidden pages behind the operands and before them, then around results and scratch as well."""
    for at_end in (True, False):
        def place(array, at_end=at_end):
            return guarded(array, at_end)

        what(place)                               # compiles, which must not see another `np.empty`
        with everywhere(at_end):
            what(place)
    print("no page touched")
