"""Update rules as pure steps: (params, grads, state) -> (new params, new state).

`params` and `grads` are dicts under full-path names ("fc1.w"), `state` is a dict of such dicts besides the step count
"t"; none of them is changed. `lr` is one number, or a dict with one for each name (`learning_rates`).

Every step raises TypeError where params, grads or the state are no dicts, an array of theirs is none or of a dtype
other than its parameter's (float64 gradients would turn float32 parameters), or a setting is no number; ValueError
where their names or shapes are not those of the parameters, a parameter has no rate, or a setting is out of range.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .checks import FLOATS, check_instance, check_names, check_number, check_whole, is_plain
from .powers import ap2


def check_params(params):
    """Raise TypeError unless params is a dict of float32 or float64 arrays by name."""
    check_instance("params", params, dict, "a dict of arrays by name")
    for name, w in params.items():
        if not _is_array(w) or w.dtype not in FLOATS:
            raise TypeError(f"params: expected a float32 or float64 array for {name}, got {_dtype(w)}")


def rates_by_name(params, grads, state, lr, *parts):
    """{name: learning rate}, Python floats: NumPy's would turn float32 weights into float64.

    parts: those of the state that hold an array like each parameter. Raises TypeError or ValueError for gradients or
    a state that are not, by name, dtype and shape, those of the parameters, or rates that do not name all of them.
    """
    check_params(params)
    _check_like("grads", grads, params)
    check_instance("state", state, dict, "the dict that init or the step before returned")
    absent = [part for part in ("t", *parts) if part not in state]
    if absent:
        raise ValueError(f"state: expected {', '.join(('t', *parts))}, got none of {', '.join(absent)}")
    check_whole("t", state["t"], "a number of steps of the state", lambda t: t >= 0)
    for part in parts:
        _check_like(part, state[part], params)
    rates = lr if isinstance(lr, dict) else dict.fromkeys(params, lr)
    absent = [name for name in params if name not in rates]
    if absent:
        raise ValueError(f"lr: expected a rate for each of params, got none for {', '.join(absent)}")
    return {name: check_number("lr", rates[name]) for name in params}


def _check_like(what, arrays, params):
    """Raise TypeError or ValueError unless the arrays have the names, dtypes and shapes of params."""
    check_instance(what, arrays, dict, "a dict of arrays by name")
    if params.keys() != arrays.keys():
        odd = sorted(map(str, params.keys() ^ arrays.keys()))
        raise ValueError(f"{what}: expected the names of params, got a difference in {', '.join(odd)}")
    for name, w in params.items():
        g = arrays[name]
        if not _is_array(g) or g.dtype != w.dtype:
            raise TypeError(f"{what}: expected {w.dtype} for {name}, as it is, got {_dtype(g)}")
        if g.shape != w.shape:
            raise ValueError(f"{what}: expected shape {w.shape} for {name}, got {g.shape}")


def as_settings(*settings):
    """The settings of a rule as floats: β, the part of a mean that a step keeps, 0 <= β < 1; ε >= 0, in a divisor.

    Each of them is (name, value). Raises TypeError or ValueError for what is no such number.
    """
    return [check_number(name, value, "a number of at least 0", lambda value: value >= 0) if name == "eps" else
            check_number(name, value, "a number from 0 up to 1, 1 excluded", lambda value: 0 <= value < 1)
            for name, value in settings]


def _is_array(x):
    """Whether it is a plain array or a NumPy scalar, which is what some functions make of an array of no dimensions."""
    return is_plain(x) or isinstance(x, np.generic)


def _dtype(x):
    return x.dtype if _is_array(x) else type(x).__name__


def _blocks(*arrays, size=1 << 15):
    """Walk several arrays of one shape together, in flat pieces that fit a core's cache.

    An update reads and writes each weight many times; block by block those visits stay in the cache, which makes
    Adam's readable equation nearly three times as fast. Arrays to be written must be C-contiguous.
    """
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, size):
        yield [array[start:start + size] for array in flat]


def _zeros(params):
    check_params(params)
    return {name: np.zeros_like(w) for name, w in params.items()}


# --- plain gradient descent ----------------------------------------------------------------------------------------


def sgd_init(params):
    """State of `sgd_step`: the step count alone."""
    check_params(params)
    return {"t": 0}


def sgd_step(params, grads, state, lr):
    """w ← w - η g [SGD-1]. Raises TypeError or ValueError for arguments that do not fit, see the module."""
    rates = rates_by_name(params, grads, state, lr)
    return {name: w - rates[name] * grads[name] for name, w in params.items()}, {"t": state["t"] + 1}


# --- momentum ------------------------------------------------------------------------------------------------------


def momentum_init(params):
    """State of `momentum_step` and `nesterov_step`: a velocity like each parameter."""
    return {"t": 0, "velocity": _zeros(params)}


def _velocities(state, grads, rates, mu):
    return {name: mu * v - rates[name] * grads[name] for name, v in state["velocity"].items()}


def momentum_step(params, grads, state, lr, mu=0.9):
    """v ← μ v - η g, w ← w + v [SGD-2]. Raises TypeError or ValueError for arguments that do not fit, see the module.
    """
    rates, (mu,) = rates_by_name(params, grads, state, lr, "velocity"), as_settings(("mu", mu))
    velocity = _velocities(state, grads, rates, mu)
    new_params = {name: w + velocity[name] for name, w in params.items()}
    return new_params, {"t": state["t"] + 1, "velocity": velocity}


def nesterov_step(params, grads, state, lr, mu=0.9):
    """v ← μ v - η g, w ← w + μ v - η g: momentum, looking one step ahead [SGD-3].

    Raises TypeError or ValueError for arguments that do not fit, see the module.
    """
    rates, (mu,) = rates_by_name(params, grads, state, lr, "velocity"), as_settings(("mu", mu))
    velocity = _velocities(state, grads, rates, mu)
    new_params = {name: w + mu * velocity[name] - rates[name] * grads[name] for name, w in params.items()}
    return new_params, {"t": state["t"] + 1, "velocity": velocity}


# --- Adam ----------------------------------------------------------------------------------------------------------


def adam_init(params):
    """State of `adam_step`: the mean m and the mean square u of the gradient, both 0 at first."""
    return {"t": 0, "m": _zeros(params), "u": _zeros(params)}


def adam_step(params, grads, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """m ← β₁ m + (1-β₁) g, u ← β₂ u + (1-β₂) g², w ← w - η √(1-β₂ᵗ)/(1-β₁ᵗ) · m / (√u + ε) [ADAM-1].

    The factor √(1-β₂ᵗ)/(1-β₁ᵗ) undoes the start at zero; t counts from 1.
    PyTorch adds ε behind that correction, η/(1-β₁ᵗ) · m / (√(u/(1-β₂ᵗ)) + ε), where it counts √(1-β₂ᵗ) times as much:
    0.03 times at first, once at last. So where gradients are not far above ε steps differ, the first by up to 0.7 η.
    Raises TypeError or ValueError for arguments that do not fit, see the module.
    """
    rates = rates_by_name(params, grads, state, lr, "m", "u")
    beta1, beta2, eps = as_settings(("beta1", beta1), ("beta2", beta2), ("eps", eps))
    t = state["t"] + 1
    correction = math.sqrt(1 - beta2**t) / (1 - beta1**t)
    new_params, m, u = {}, {}, {}
    for name, w in params.items():
        lr_t = rates[name] * correction
        new_params[name], m[name], u[name] = (np.empty(w.shape, w.dtype) for _ in range(3))
        for w_old, g, m_old, u_old, w_new, m_new, u_new in _blocks(
                w, grads[name], state["m"][name], state["u"][name], new_params[name], m[name], u[name]):
            m_new[:] = beta1 * m_old + (1 - beta1) * g
            u_new[:] = beta2 * u_old + (1 - beta2) * (g * g)
            w_new[:] = w_old - lr_t * m_new / (np.sqrt(u_new) + eps)
    return new_params, {"t": t, "m": m, "u": u}


# --- AdaMax, and AdaMax by shifts ----------------------------------------------------------------------------------


def adamax_init(params):
    """State of `adamax_step`: the mean m of the gradient and its decaying maximum v, both 0 at first."""
    return {"t": 0, "m": _zeros(params), "v": _zeros(params)}


def _adamax(params, grads, state, lr, beta1, beta2, move):
    """What the forms of AdaMax share: m ← β₁ m + (1-β₁) g, v ← max(β₂ v, |g|), w ← w - what `move` says.

    move(m, v, rate, correction) -> (what to subtract, the v to store); correction = 1/(1-β₁ᵗ), t from 1, undoes the
    start of m at zero.
    """
    rates = rates_by_name(params, grads, state, lr, "m", "v")
    beta1, beta2 = as_settings(("beta1", beta1), ("beta2", beta2))
    t = state["t"] + 1
    correction = 1 / (1 - beta1**t)
    new_params, m, v = {}, {}, {}
    for name, w in params.items():
        new_params[name], m[name], v[name] = (np.empty(w.shape, w.dtype) for _ in range(3))
        for w_old, g, m_old, v_old, w_new, m_new, v_new in _blocks(
                w, grads[name], state["m"][name], state["v"][name], new_params[name], m[name], v[name]):
            m_new[:] = beta1 * m_old + (1 - beta1) * g
            dw, v_new[:] = move(m_new, np.maximum(beta2 * v_old, np.abs(g)), rates[name], correction)
            w_new[:] = w_old - dw
    return new_params, {"t": t, "m": m, "v": v}


def adamax_step(params, grads, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """m ← β₁ m + (1-β₁) g, v ← max(β₂ v, |g|), w ← w - η/(1-β₁ᵗ) · m / (v + ε) [ADAMAX-1].

    Adam with the largest recent |g| in the place of √u; v needs no correction, since a maximum does not start low.
    PyTorch adds ε to |g| inside the maximum, v ← max(β₂ v, |g| + ε), and divides by v: where gradients are not far
    above ε the two differ, since its ε decays with v and this one does not.
    Raises TypeError or ValueError for arguments that do not fit, see the module.
    """
    (eps,) = as_settings(("eps", eps))
    return _adamax(params, grads, state, lr, beta1, beta2,
                   lambda m, v, rate, correction: (rate * correction * m / (v + eps), v))


def ap2_number(x):
    """AP2 of one number [BNN-A3]. x: a number. Returns a float."""
    return ap2(np.array(check_number("x", x))).item()                # a Python float: it does not widen float32 arrays


def shift_adamax_init(params):
    """State of `shift_adamax_step` and `shift_adamax_printed_step`: that of `adamax_step`."""
    return adamax_init(params)


def shift_adamax_step(params, grads, state, lr, beta1=0.9, beta2=0.999, eps=2**-27):
    """m as in AdaMax, v ← AP2(max(β₂ v, |g|)) + ε, w ← w - AP2(η/(1-β₁ᵗ)) · m / v; as its authors coded it [BNN-A2].

    The factor of m is a shift; so is the division by v, but for its ε: v is a power of two plus ε, and in float32 that
    sum is not the power itself where v is below 2^-3. The *rounded* v is stored: AP2(0.999 · 2^k) is 2^k again, so with
    any β₂ above 2^(-1/2) v never decays; it is the largest AP2(|g|) of the whole run. (A weight without any gradient
    has its v creep from ε to 5ε and stop; its m is 0.)

    η is the whole rate of a parameter, its factor 1/c included (`learning_rates`), and is rounded as a whole. The
    authors round η/(1-β₁ᵗ) by itself and multiply by the factor: as it is in their MNIST model, by its AP2 in their
    CIFAR-10 model. Steps here differ from theirs by a factor of 2 at most. For an η that is 2^k before the factor, once
    1-β₁ᵗ is 1 up to rounding, they are those of the CIFAR-10 model, and within √2 of the MNIST model's.
    Raises TypeError or ValueError for arguments that do not fit, see the module.
    """
    (eps,) = as_settings(("eps", eps))

    def move(m, v, rate, correction):
        v = ap2(v) + eps
        return ap2_number(rate * correction) * m / v, v

    return _adamax(params, grads, state, lr, beta1, beta2, move)


def shift_adamax_printed_step(params, grads, state, lr, beta1=1 - 2**-3, beta2=1 - 2**-10):
    """m and v as in AdaMax, w ← w - η AP2(1/(1-β₁ᵗ)) · m AP2(1/v), as the paper prints it, where it can be [BNN-A2].

    The defaults are the printed ones; the printed η is 2^(-10). What cannot be taken as printed, and the reading here:
    the mean that moves w, m̂, is never defined (m is meant); the correction is 1-β₁, without the step's number, and
    dividing by that constant, 2^(-3), would make every step 8 times as long (1-β₁ᵗ is what AdaMax has, and the
    caption has a βᵗ); no ε guards 1/v (while v = 0 no gradient has come: w stays).

    Unlike in `shift_adamax_step`, v is stored unrounded and does decay, and η itself is not rounded.
    Raises TypeError or ValueError for arguments that do not fit, see the module.
    """
    def move(m, v, rate, correction):
        divisor = ap2(np.where(v == 0, 1, v))            # AP2(1/v) = 1/AP2(v), and that cannot overflow
        return rate * ap2_number(correction) * m / divisor, v

    return _adamax(params, grads, state, lr, beta1, beta2, move)


# --- what binary weights need besides ------------------------------------------------------------------------------


def clip_weights(params, names):
    """Clip the real weights behind binary ones to [-1, 1], right after the update [BC-A1].

    A weight that wandered far beyond 1 would have no influence until it had wandered all the way back.
    names: those to clip. Returns a new dict; the others are passed on as they are. Raises TypeError for params that are
    no dict of float arrays and for names that are no set, ValueError for a name that params has not.
    """
    check_params(params)
    check_names("names", names, params)
    return {name: np.clip(w, -1, 1) if name in names else w for name, w in params.items()}


def glorot_coefficient(shape):
    """c = √(1.5 / (n_in + n_out)), the scale of a Glorot initialization [GLOROT-1].

    shape: (n_in, n_out) of a dense layer, or (M, C, KH, KW) of a convolution, whose n_in and n_out are KH·KW·C and
    KH·KW·M. Raises ValueError for any other.
    """
    if len(shape) == 2:
        return math.sqrt(1.5 / sum(shape))
    if len(shape) == 4:
        m, c, kh, kw = shape
        return math.sqrt(1.5 / (kh * kw * (m + c)))
    raise ValueError(f"shape: expected that of a dense or a convolution weight, got {shape}")


def learning_rates(lr, binary_shapes, names, power):
    """{name: η}, for real weights behind binary ones η / c^power with c their Glorot coefficient [GLOROT-2].

    A binary weight moves the output by ±1 however small its layer's weights ought to be; scaling the rate makes up
    for it. power: 1 for Adam, whose step does not grow with the gradient, 2 for SGD, momentum and Nesterov.
    binary_shapes: {name: shape} of those weights; names: all parameters.
    """
    return {name: lr / glorot_coefficient(binary_shapes[name]) ** power if name in binary_shapes else lr
            for name in names}


def exponential_decay(lr_start, lr_end, epoch, epochs):
    """η of an epoch, counted from 1: lr_start · λ^(epoch - 1) with λ = (lr_end / lr_start)^(1 / epochs) [DECAY-1].

    Once an epoch, as in the authors' code; BNN's Algorithm 1 prints the decay inside the loop over layers.
    """
    return lr_start * (lr_end / lr_start) ** ((epoch - 1) / epochs)


def halving_decay(lr_start, lr_end, epoch, epochs):
    """η of an epoch, counted from 1: lr_start, halved at equal intervals, down to lr_end or close to it [DECAY-2].

    The decay of BNN's shift-based runs: η stays a power of two, so that a step is a shift. The last rate is lr_start/2ⁿ
    with n = round(log2(lr_start / lr_end)): lr_end itself where the ratio is a power of two, else up to √2 above or
    below it.
    """
    stages = round(math.log2(lr_start / lr_end)) + 1
    return lr_start / 2 ** ((epoch - 1) * stages // epochs)


# --- as data for recipes -------------------------------------------------------------------------------------------


class Optimizer(NamedTuple):
    """An update rule as recipes name it; glorot_power: how its rate scales with 1/c (`learning_rates`)."""

    name: str
    init: Callable
    step: Callable
    glorot_power: int


SGD = Optimizer("SGD", sgd_init, sgd_step, 2)
MOMENTUM = Optimizer("momentum", momentum_init, momentum_step, 2)
NESTEROV = Optimizer("Nesterov", momentum_init, nesterov_step, 2)
ADAM = Optimizer("Adam", adam_init, adam_step, 1)
ADAMAX = Optimizer("AdaMax", adamax_init, adamax_step, 1)
SHIFT_ADAMAX = Optimizer("shift-based AdaMax", shift_adamax_init, shift_adamax_step, 1)
SHIFT_ADAMAX_PRINTED = Optimizer("shift-based AdaMax as printed", shift_adamax_init, shift_adamax_printed_step, 1)
