"""Expectation backpropagation (EBP; Soudry, Hubara, Meir 2014): a distribution for every weight, no learning rate.

What it descends is minus the log-likelihood of the labels, and its Bayesian update is a step of plain SGD at the rate
1 on the *sum* of that loss; so it fits the pairs of functions here, and any training loop that runs them.

The network is one of sign units, a = sign(a W + b), of which W and b are known only as distributions, each number
independent of all others (a mean-field posterior):

    weights      parameters   distribution                                      mean <W>       variance Var W
    binary       h            ±1, P(W) ∝ exp(h W)                               tanh h         1 - tanh² h
    ternary      hp, hm       -1, 0, +1; the log-odds of ±1 against 0           p₊ - p₋        p₊ + p₋ - <W>²
    real         h            normal, variance 1                                h              1
    bias (real)  b            normal, variance 1, on the constant input 1       b              1

Here are the layer, whatever its weights, and the binary ones; the others are in `ebp_ternary` and `ebp_real`, minus
the log-likelihood among the `losses`.

A unit's sum over many inputs is then about normal, with a mean μ and a variance σ², and all that the layer above must
know of it is z = μ/σ: the unit is +1 with probability Φ(z), and its mean is <a> = 2Φ(z) - 1. The paper divides the sum
by √K, K = D + 1 the number of its inputs and the bias. Here nothing does: √K cancels in z, and hence in every
derivative of it. The last layer's z is the network's output. Predict by its sign or, among several outputs, by the
largest: that is the paper's EBP-P [EBP-4.7], which averages over all networks; `ebp_map_dense_forward` with
`binarize.sign_forward` between the layers makes EBP-D, the one network of the most probable weights.
"""

import math

import numpy as np

from . import gaussian
from .binarize import sign
from .checks import check_float, check_like, check_shapes


def init_h(rng, shape):
    """h at first: uniform, mean 0, variance 1/D for a (D, M) layer (the authors' code); b starts at 0.

    It must be random: units of one layer that start equal stay equal, and at h = 0 a hidden layer passes no gradient.
    """
    return (rng.random(shape) - 0.5) * math.sqrt(12 / shape[0])


# --- what is known of a weight -------------------------------------------------------------------------------------


def binary_moments(h):
    """<W> = tanh h, Var W = 1 - tanh² h, for W = ±1 with P(W) ∝ exp(h W) [EBP-W]. h: (D, M). Returns both, as h."""
    check_float("h", h)
    w_mean = np.tanh(h)
    return w_mean, 1 - w_mean * w_mean


# --- what is then known of a unit's sum ----------------------------------------------------------------------------


def known_inputs(x, w_mean, w_var, b):
    """μ = Σ x <W> + b, σ² = Σ x² Var W + 1: the first layer, whose inputs are plain numbers [EBP-4.1].

    x: (N, D); w_mean: (D, M); w_var: (D, M) or (D, 1); b: (M,). Returns μ: (N, M), σ²: (N, M) or (N, 1).
    """
    return x @ w_mean + b, x * x @ w_var + 1


def random_signs(x, w_mean, w_var, b):
    """μ = Σ x <W> + b, σ² = Σ (Var W + (1 - x²) <W>²) + 1: inputs are random signs of which x is the mean [EBP-4.1].

    A sign's square is 1, whatever its mean: hence Var W stands without x², and 1 - x² is the sign's own variance. For
    binary weights it is σ² = K - Σ x² tanh² h. Shapes as in `known_inputs`.
    """
    return x @ w_mean + b, (1 - x * x) @ (w_mean * w_mean) + w_var.sum(axis=0) + 1


# --- a layer, whatever its weights and its inputs ------------------------------------------------------------------


def layer_forward(sum_moments, x, weight_moments, b):
    """z = μ/σ of a layer [EBP-4.1]. sum_moments: `known_inputs` or `random_signs`; weight_moments: (<W>, Var W).

    x: (N, D); b: (M,). Returns (z, cache), z: (N, M).
    """
    w_mean, w_var = weight_moments
    mu, var = sum_moments(x, w_mean, w_var, b)
    rstd = 1 / np.sqrt(var)
    return mu * rstd, (x, w_mean, rstd)


def layer_gradients(dz, cache):
    """dx = dμ <W>ᵀ, d<W> = xᵀ dμ, db = Σ dμ, with dμ = dz/σ [EBP-4.4] [EBP-4.5]. dz: (N, M). σ counts as a constant.

    Returns dx: (N, D), d<W>: (D, M), db: (M,). Raises TypeError or ValueError for a dz that does not fit.
    """
    x, w_mean, rstd = cache
    check_shapes(("x", x, "N D"), ("w_mean", w_mean, "D M"), ("dz", dz, "N M"))
    dmu = dz * rstd                                       # minus the paper's Δ, but for √K
    return dmu @ w_mean.T, x.T @ dmu, dmu.sum(axis=0)


def layer_frozen(cache):
    """z as a function of x, of a change of <W>, and of b, at the σ that it had."""
    _, w_mean0, rstd0 = cache
    return lambda x, dw, b: ((x @ (w_mean0 + dw) + b) * rstd0, None)


def check_means(x):
    """Raise ValueError unless x can be means of signs: within [-1, 1]. NaN passes: a network that diverged is to show
    it in its output, as any other does."""
    if np.any(np.abs(x) > 1):
        raise ValueError(f"x: expected means of signs, within [-1, 1], got {np.nanmax(np.abs(x))}; "
                         "the layer for inputs of any size is the first one")


# --- binary weights ------------------------------------------------------------------------------------------------


def ebp_first_dense_forward(x, h, b):
    """z = μ/σ, μ = Σ x tanh h + b, σ² = Σ x² (1 - tanh² h) + 1: the first layer, binary weights [EBP-4.1].

    x: (N, D), any known numbers; h: (D, M); b: (M,). Returns (z, cache), z: (N, M).
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N D"), ("h", h, "D M"), ("b", b, "M"))
    return layer_forward(known_inputs, x, binary_moments(h), b)


def ebp_first_dense_backward(dz, cache):
    """dx = dμ tanh(h)ᵀ, dh = xᵀ dμ, db = Σ dμ, with dμ = dz/σ [EBP-4.4] [EBP-4.5].

    **ESTIMATOR of** `ebp_first_dense_surrogate`, in two things: σ counts as a constant, as in the paper; and the
    gradient with respect to the mean weight tanh h moves h itself, without the factor 1 - tanh² h. This is no
    approximation but Bayes' rule: multiplying P(W) ∝ exp(h W) by a likelihood exp(g W) adds g to h, and g is the
    derivative of the log-likelihood with respect to the mean. Hence h - 1·dh is the paper's update, and 1 the only
    rate; minibatches add up. dz: (N, M). Returns dx: (N, D), dh: (D, M), db: (M,).
    """
    return layer_gradients(dz, cache)


def ebp_first_dense_surrogate(x0, h0, b0):
    """z = (Σ x (tanh(h0) + h - h0) + b) / σ(x0, h0): σ frozen, the mean weight of slope 1 in h."""
    frozen = layer_frozen(ebp_first_dense_forward(x0, h0, b0)[1])
    return lambda x, h, b: frozen(x, h - h0, b)


def ebp_dense_forward(x, h, b):
    """z = μ/σ, μ = Σ x tanh h + b, σ² = K - Σ x² tanh² h: every later layer, binary weights [EBP-4.1].

    x: (N, D), the means <a> of the signs below; h: (D, M); b: (M,). Returns (z, cache), z: (N, M).
    Raises TypeError or ValueError where dtypes or shapes do not fit, or where x is not within [-1, 1].
    """
    check_shapes(("x", x, "N D"), ("h", h, "D M"), ("b", b, "M"))
    check_means(x)
    return layer_forward(random_signs, x, binary_moments(h), b)


def ebp_dense_backward(dz, cache):
    """dx = dμ tanh(h)ᵀ, dh = xᵀ dμ, db = Σ dμ, with dμ = dz/σ [EBP-4.4] [EBP-4.5].

    **ESTIMATOR of** `ebp_dense_surrogate`, as in `ebp_first_dense_backward`; the paper lets no gradient through σ,
    although here it depends on x. dz: (N, M). Returns dx: (N, D), dh: (D, M), db: (M,).
    """
    return layer_gradients(dz, cache)


def ebp_dense_surrogate(x0, h0, b0):
    """z = (Σ x (tanh(h0) + h - h0) + b) / σ(x0, h0): σ frozen, the mean weight of slope 1 in h."""
    frozen = layer_frozen(ebp_dense_forward(x0, h0, b0)[1])
    return lambda x, h, b: frozen(x, h - h0, b)


def ebp_map_dense_forward(x, h, b):
    """s = x sign(h) + b: a layer of the most probable weights, EBP-D; test time only, it has no backward [EBP-D].

    The bias is not scaled: it and the weights are in the same sum. x: (N, D); h: (D, M); b: (M,).
    Returns (s, None), s: (N, M). Raises TypeError or ValueError where dtypes or shapes do not fit.
    A weight of which next to nothing is known has as much say here as any other; only an input that is 0 silences it.
    So scale pixels to [0, 1]: centred, an empty border of hundreds of pixels is not 0, and ruins EBP-D (not EBP-P).
    """
    check_shapes(("x", x, "N D"), ("h", h, "D M"), ("b", b, "M"))
    return x @ sign(h) + b, None


# --- the mean of a unit --------------------------------------------------------------------------------------------


def mean_sign_forward(z):
    """<a> = 2 Φ(z) - 1, the mean of a sign that is +1 with probability Φ(z) [EBP-4.2].

    z: float array of any shape. Returns (out, cache). Raises TypeError for anything but float32 or float64.
    """
    check_float("z", z)
    return 2 * gaussian.cdf(z) - 1, z


def mean_sign_backward(dout, cache):
    """dz = dout · 2 φ(z); **exact** [EBP-4.4]. dout: as z. Returns dz, as z."""
    z = cache
    check_like("dout", dout, "z", z)
    return dout * 2 * gaussian.phi(z)
