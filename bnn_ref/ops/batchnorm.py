"""Batch normalization: with the statistics of the minibatch in training, with running ones at test time.

For (N, D) each of the D units is normalized over the batch; for (N, C, H, W) each of the C *channels* is, over the
batch and all positions.
"""

import numpy as np

from .checks import check_float, check_like, check_not_empty, check_number, check_numbers, check_shapes, is_plain

EPS = 1e-4                            # ε, as in the authors' code; PyTorch's is 1e-5, and Keras has 1e-3


def layout(x, *per_unit):
    """Check the arguments; return the axes to average over and the shape in which a unit's number broadcasts."""
    check_float("x", x)
    letters = "N C H W" if x.ndim == 4 else "N C"
    check_shapes(("x", x, letters), *((name, array, "C") for name, array in per_unit))
    return ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))


def as_eps(eps, like):
    """ε, a number or one for each unit, in the dtype of what it is added to: a NumPy scalar of float64 would turn
    float32 into float64.

    like: an array of a number a unit. Raises TypeError or ValueError for anything else, ValueError below 0.
    """
    if not is_plain(eps):
        return np.asarray(check_number("eps", eps, "a number of at least 0", lambda eps: eps >= 0), like.dtype)
    check_numbers("eps", eps)
    if eps.shape not in ((), like.shape):
        raise ValueError(f"eps: expected a number or {like.shape} of them, got shape {eps.shape}")
    if not ((eps >= 0) & (eps < np.inf)).all():
        raise ValueError(f"eps: expected a number of at least 0, got {eps.min()}")
    return eps.astype(like.dtype)


def batchnorm_forward(x, gamma, beta, running_mean, running_var, eps=EPS, *, alpha=0.1):
    """a = γ x̂ + β with x̂ = (x - μ) / √(v + ε), μ and v the batch's mean and biased variance [BN-1].

    x: (N, D) or (N, C, H, W); gamma, beta, running_mean, running_var: (D,) or (C,).
    Returns (a, cache, new_mean, new_var): the running statistics move by the fraction alpha towards the batch's;
    the caller's arrays stay as they are. A batch of one number per unit has v = 0: then x̂ = 0, a = β and no
    gradient reaches x or γ; that is what the equation says, and such a batch teaches nothing below this layer.
    The BNN authors' code averages 1/√(v + ε) instead of v, BinaryConnect's adds ε to √v instead of v: both differ
    from this by less than the batch-to-batch noise. Raises TypeError or ValueError for arrays that do not fit,
    ValueError for an empty batch.
    """
    axes, unit = layout(x, ("gamma", gamma), ("beta", beta), ("running_mean", running_mean),
                         ("running_var", running_var))
    check_not_empty("x", x)
    eps, alpha = as_eps(eps, gamma), check_number("alpha", alpha, "a fraction of 1", lambda alpha: 0 <= alpha <= 1)
    mu = x.mean(axis=axes)
    centred = x - mu.reshape(unit)
    v = np.square(centred).mean(axis=axes)
    rstd = 1 / np.sqrt(v + eps)                          # "reciprocal standard deviation"
    x_hat = centred * rstd.reshape(unit)
    a = gamma.reshape(unit) * x_hat + beta.reshape(unit)
    new_mean = (1 - alpha) * running_mean + alpha * mu
    new_var = (1 - alpha) * running_var + alpha * v
    return a, (x_hat, gamma, rstd), new_mean, new_var


def batchnorm_backward(da, cache):
    """dx = γ/√(v+ε) · (da - mean(da) - x̂ mean(da x̂)), dγ = Σ da x̂, dβ = Σ da; **exact** [BN-2].

    The two means are what μ and v contribute: they depend on x too. da: as x.
    Returns dx, as x, dgamma: (D,) or (C,), dbeta: alike.
    """
    x_hat, gamma, rstd = cache
    check_like("da", da, "x", x_hat)
    axes, unit = layout(x_hat)
    count = x_hat.size // len(gamma)
    dbeta = da.sum(axis=axes)
    dgamma = (da * x_hat).sum(axis=axes)
    dx = da - (dbeta / count).reshape(unit) - x_hat * (dgamma / count).reshape(unit)
    return dx * (gamma * rstd).reshape(unit), dgamma, dbeta


def batchnorm_predict(x, gamma, beta, running_mean, running_var, eps=EPS):
    """a = γ (x - running mean) / √(running variance + ε) + β: test time [BN-3].

    Shapes as in `batchnorm_forward`. Returns a, as x. Raises TypeError or ValueError for arrays that do not fit.
    """
    _, unit = layout(x, ("gamma", gamma), ("beta", beta), ("running_mean", running_mean),
                      ("running_var", running_var))
    scale = gamma / np.sqrt(running_var + as_eps(eps, gamma))
    return (x - running_mean.reshape(unit)) * scale.reshape(unit) + beta.reshape(unit)
