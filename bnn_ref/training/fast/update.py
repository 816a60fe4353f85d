"""Adam and shift-based AdaMax, and the clipping behind them, each weight in place.

NumPy's forms write new arrays, seven passes over memory and more, and a page fault for every 4 kB of them; here each
weight is read and written once, in arrays that belong to the training loop.
"""

import math

import numpy as np

from ...kernels.compiled import jit, parallel_for
from ...ops import optim
from ...ops.checks import check_names
from ...ops.powers import SQRT_HALF

PIECE = 1 << 16                       # weights worth a thread of their own
BLOCK = 1 << 10                       # weights whose arrays stay in the nearest cache from loop to loop


def _in_place(params, grads, states, rates, clip, update):
    """update(w, g, *states, η, whether to clip) over flat pieces of each parameter; returns params.

    states: the dicts of the state that are written to, as params is. Raises TypeError or ValueError for a `clip` that
    is no set of their names, or where an array to be written to is not C-contiguous or read-only.
    """
    check_names("clip", clip, params)
    for name in params:
        if not all(arrays[name].flags.carray for arrays in (params, *states)):
            raise ValueError("params: expected C-contiguous arrays to update in place, got another order, or one that "
                             f"is read-only, in {name}")
    for name, w in params.items():
        flat = [array.reshape(-1) for array in (w, grads[name], *(state[name] for state in states))]

        def piece(start, stop, flat=flat, rate=rates[name], clipped=name in clip):
            update(*(array[start:stop] for array in flat), rate, clipped)

        parallel_for(piece, w.size, PIECE)
    return params


# --- Adam ----------------------------------------------------------------------------------------------------------


@jit
def _adam(w, g, m, u, beta1, rest1, beta2, rest2, eps, lr_t, clip):
    one = w.dtype.type(1)
    for i in range(len(w)):
        m_new = beta1 * m[i] + rest1 * g[i]
        u_new = beta2 * u[i] + rest2 * (g[i] * g[i])
        w_new = w[i] - lr_t * m_new / (math.sqrt(u_new) + eps)
        if clip:
            w_new = -one if w_new < -one else one if w_new > one else w_new
        m[i] = m_new
        u[i] = u_new
        w[i] = w_new


def adam_step_in_place(params, grads, state, lr, clip=(), beta1=0.9, beta2=0.999, eps=1e-8):
    """Equals `optim.adam_step` and then `optim.clip_weights` of the names in `clip`, bit for bit, but **in place**.

    The arrays in params, state["m"] and state["u"] are written to and must be C-contiguous; grads stays as it is.
    Returns (params, new state): the same arrays. Raises as the rules of `optim` do, and ValueError where an array to be
    written to is not C-contiguous or is read-only; then nothing has been written.
    """
    rates = optim.rates_by_name(params, grads, state, lr, "m", "u")
    beta1, beta2, eps = optim.as_settings(("beta1", beta1), ("beta2", beta2), ("eps", eps))
    t = state["t"] + 1
    correction = math.sqrt(1 - beta2**t) / (1 - beta1**t)

    def update(w, g, m, u, rate, clipped):
        _adam(w, g, m, u, *map(w.dtype.type, (beta1, 1 - beta1, beta2, 1 - beta2, eps, rate * correction)), clipped)

    return _in_place(params, grads, (state["m"], state["u"]), rates, clip, update), {**state, "t": t}


# --- shift-based AdaMax --------------------------------------------------------------------------------------------


@jit
def _shift_adamax(w, g, m, v, v_bits, beta1, rest1, beta2, eps, lr_t, clip, up, exponent):
    """v_bits: v as integers, in which AP2 is an addition that carries into the exponent where √2 · 2^k is passed.

    up: what carries from the first fraction above √2 on; exponent: the bits of infinity. Numbers too small for an
    exponent come out as 0 or as the least power; ε, which is added to either, is the same sum.
    """
    one = w.dtype.type(1)
    for start in range(0, len(w), BLOCK):                  # in three loops, each of which vectors can run
        block = slice(start, start + BLOCK)
        w_i, g_i, m_i, v_i, bits_i = w[block], g[block], m[block], v[block], v_bits[block]
        for i in range(len(g_i)):
            magnitude, decayed = abs(g_i[i]), beta2 * v_i[i]
            m_i[i] = beta1 * m_i[i] + rest1 * g_i[i]
            v_i[i] = decayed if decayed >= magnitude or decayed != decayed else magnitude     # nan stays, from either
        for i in range(len(bits_i)):
            bits = bits_i[i]
            bits_i[i] = (bits + up) & exponent if bits <= exponent else bits                  # above infinity: nan
        for i in range(len(w_i)):
            v_i[i] += eps
            w_new = w_i[i] - lr_t * m_i[i] / v_i[i]
            if clip:
                w_new = -one if w_new < -one else one if w_new > one else w_new
            w_i[i] = w_new


def shift_adamax_step_in_place(params, grads, state, lr, clip=(), beta1=0.9, beta2=0.999, eps=2**-27):
    """Equals `optim.shift_adamax_step` and then `optim.clip_weights`, bit for bit, but **in place**.

    Everything as in `adam_step_in_place`, but that the state is m and v.
    """
    rates = optim.rates_by_name(params, grads, state, lr, "m", "v")
    beta1, beta2, eps = optim.as_settings(("beta1", beta1), ("beta2", beta2), ("eps", eps))
    t = state["t"] + 1
    correction = 1 / (1 - beta1**t)

    def update(w, g, m, v, rate, clipped):
        integer = np.dtype(f"u{w.itemsize}").type
        exponent, root = (np.array(number, w.dtype).view(integer)[()] for number in (np.inf, SQRT_HALF))
        fraction = integer((1 << np.finfo(w.dtype).nmant) - 1)
        numbers = (*map(w.dtype.type, (beta1, 1 - beta1, beta2, eps, optim.ap2_number(rate * correction))), clipped,
                   fraction - (root & fraction), exponent)
        _shift_adamax(w, g, m, v, v.view(integer), *numbers)

    return _in_place(params, grads, (state["m"], state["v"]), rates, clip, update), {**state, "t": t}


# --- for the training loop -----------------------------------------------------------------------------------------

IN_PLACE = {optim.adam_step: adam_step_in_place, optim.shift_adamax_step: shift_adamax_step_in_place}


def own(params, state):
    """Copies of the parameters and of the optimizer's state that may be written to: once an epoch.

    Returns (params, state), all arrays new and C-contiguous.
    """
    def copies(arrays):
        return {name: array.copy(order="C") for name, array in arrays.items()}

    return copies(params), {name: copies(part) if isinstance(part, dict) else part for name, part in state.items()}
