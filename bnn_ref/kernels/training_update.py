"""Adam and the clipping behind it as one loop over each weight, in place.

NumPy's form writes new arrays, seven passes over memory and a page fault for every 4 kB of them; here each weight is
read and written once, in arrays that belong to the training loop.
"""

import math

from .. import optim
from .compiled import jit, parallel_for

PIECE = 1 << 16                       # weights worth a thread of their own


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
    Returns (params, new state): the same arrays. Raises ValueError where grads do not fit params, or where an array
    to be written to is not C-contiguous.
    """
    rates = optim.rates_by_name(params, grads, lr)
    t = state["t"] + 1
    correction = math.sqrt(1 - beta2**t) / (1 - beta1**t)
    for name, w in params.items():
        owned = w, state["m"][name], state["u"][name]
        if not all(array.flags.c_contiguous for array in owned):
            raise ValueError(f"params: expected C-contiguous arrays to update in place, got another order in {name}")
        flat = [array.reshape(-1) for array in (w, grads[name], *owned[1:])]
        numbers = [w.dtype.type(number) for number in (beta1, 1 - beta1, beta2, 1 - beta2, eps,
                                                       rates[name] * correction)]

        def update(start, stop, flat=flat, numbers=numbers, clipped=name in clip):
            _adam(*(array[start:stop] for array in flat), *numbers, clipped)

        parallel_for(update, w.size, PIECE)
    return params, {"t": t, "m": state["m"], "u": state["u"]}


def own(params, state):
    """Copies of the parameters and of Adam's state that `adam_step_in_place` may write to: once an epoch.

    Returns (params, state), all arrays new and C-contiguous.
    """
    def copies(arrays):
        return {name: array.copy(order="C") for name, array in arrays.items()}

    return copies(params), {"t": state["t"], "m": copies(state["m"]), "u": copies(state["u"])}
