"""Batch normalization without multiplications: one factor of each product is rounded to a power of two.

A product with a power of two is a shift of bits. What remains is additions, divisions by the size of the batch, and one
reciprocal root for each unit.
"""

import numpy as np

from .batchnorm import as_eps, batchnorm_backward, layout
from .checks import check_not_empty, check_number
from .powers import ap2

EPS = 1e-5                            # ε, as in the authors' code


def shift_batchnorm_forward(x, gamma, beta, running_mean, running_rstd, eps=EPS, *, alpha=0.125):
    """d = x - μ, v = mean(d AP2(d)), x̂ = d AP2(1/√(v + ε)), a = AP2(γ) x̂ + β [BNN-A3].

    x: (N, D) or (N, C, H, W); gamma, beta, running_mean, running_rstd: (D,) or (C,).
    Returns (a, cache, new_mean, new_rstd): the running statistics, which move by the fraction alpha towards the
    batch's, are the mean and 1/√(v + ε) *before* it is rounded; the caller's arrays stay as they are.

    The paper's last line has no + β and shifts γ by x̂; its authors' code is as here. AP2 is off by √2 at most, so v is
    too, and the standard deviation of x̂ lies between 2^(-3/4) and 2^(3/4) instead of at 1 (as long as v is well
    above ε): γ and β learn the rest. Raises TypeError or ValueError for arrays that do not fit.
    """
    axes, unit = layout(x, ("gamma", gamma), ("beta", beta), ("running_mean", running_mean),
                         ("running_rstd", running_rstd))
    check_not_empty("x", x)
    eps, alpha = as_eps(eps, gamma), check_number("alpha", alpha, "a fraction of 1", lambda alpha: 0 <= alpha <= 1)
    mu = x.mean(axis=axes)
    d = x - mu.reshape(unit)
    d_p = ap2(d)                                         # "_p": rounded to a power of two
    v = (d * d_p).mean(axis=axes)
    rstd = 1 / np.sqrt(v + eps)
    rstd_p, gamma_p = ap2(rstd), ap2(gamma)
    x_hat = d * rstd_p.reshape(unit)
    x_hat_p = d_p * rstd_p.reshape(unit)                 # = AP2(x̂): a power of two passes through AP2
    a = gamma_p.reshape(unit) * x_hat + beta.reshape(unit)
    new_mean = (1 - alpha) * running_mean + alpha * mu
    new_rstd = (1 - alpha) * running_rstd + alpha * rstd
    return a, (x_hat_p, gamma_p, rstd_p), new_mean, new_rstd


def shift_batchnorm_backward(da, cache):
    """dx = AP2(γ) r (da - mean(da) - p mean(p da)), dγ = Σ p da, dβ = Σ da; p = AP2(x̂), r = AP2(1/√(v + ε)).

    The backward pass of batch normalization with powers of two in the places of x̂, γ and 1/√(v + ε), as in the BNN
    authors' code; the paper prints none [BNN-A3]. **ESTIMATOR of** `shift_batchnorm_surrogate`.
    da: as x. Returns dx, as x, dgamma: (D,) or (C,), dbeta: alike.
    """
    return batchnorm_backward(da, cache)


def shift_batchnorm_surrogate(x0, gamma0, beta0, running_mean, running_rstd, eps=EPS):
    """a = AP2(γ₀) r₀ (x - mean(x) - p₀ mean(p₀ (x - x₀))) + p₀ (γ - γ₀) + β: linear in each argument.

    With p₀ = AP2(x̂₀) and r₀ = AP2(1/√(v₀ + ε)). Its value at (x₀, γ₀, β₀) is forward's, since
    AP2(γ₀) r₀ (x₀ - mean(x₀)) = AP2(γ₀) x̂₀. The running statistics play no part.

    What the derivative keeps and what it replaces: the paths of x through d, of μ and of β are exact. AP2 is a
    staircase, flat almost everywhere: forward's own derivative by γ is 0, and that by x lacks what comes through v.
    So AP2(γ) and AP2(1/√(v + ε)) pass the gradient on as if they did not round, and v counts as the mean of d², with
    derivative 2 d/m; the factors d and x̂ that this brings in are rounded in turn.
    """
    _, (x_hat_p, gamma_p, rstd_p), *_ = shift_batchnorm_forward(x0, gamma0, beta0, running_mean, running_rstd, eps)
    axes, unit = layout(x0)
    scale = (gamma_p * rstd_p).reshape(unit)

    def mean(x):
        return x.mean(axis=axes, keepdims=True)

    def forward(x, gamma, beta, *_):
        through_v = x_hat_p * mean(x_hat_p * (x - x0))
        a = scale * (x - mean(x) - through_v) + x_hat_p * (gamma - gamma0).reshape(unit) + beta.reshape(unit)
        return a, None

    return forward


def shift_batchnorm_predict(x, gamma, beta, running_mean, running_rstd, eps=EPS):
    """a = AP2(γ) AP2(running 1/√(v + ε)) (x - running mean) + β: test time [BNN-A3].

    The average is rounded, not the batches it was taken over; ε is in it already, and eps is here only so that a step
    has the same settings in training and at test time. Shapes as in `shift_batchnorm_forward`.
    Returns a, as x. Raises TypeError or ValueError for arrays that do not fit.
    """
    _, unit = layout(x, ("gamma", gamma), ("beta", beta), ("running_mean", running_mean),
                      ("running_rstd", running_rstd))
    as_eps(eps, gamma)
    scale = ap2(gamma) * ap2(running_rstd)
    return (x - running_mean.reshape(unit)) * scale.reshape(unit) + beta.reshape(unit)
