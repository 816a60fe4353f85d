"""Shift-based batch normalization and update rules, one number at a time, written from the papers' sentences.

Loops over plain Python numbers that share nothing with the package; NumPy holds results only.
"""

import math

import numpy as np


def ap2(x):
    """sgn(x) 2^round(log2|x|), 0 for 0 (BNN Algorithm 3, where AP2 is introduced)."""
    return 0.0 if x == 0 else math.copysign(2.0 ** round(math.log2(abs(x))), x)


# --- batch normalization -------------------------------------------------------------------------------------------


def _units(x):
    """For each unit (axis 1), in order, where its numbers are."""
    return [[index for index in np.ndindex(x.shape) if index[1] == unit] for unit in range(x.shape[1])]


def _normalized(numbers, eps):
    """d, 1/√(v + ε) and the mean of one unit's numbers (BNN Algorithm 3, first three lines)."""
    mu = math.fsum(numbers) / len(numbers)
    d = [number - mu for number in numbers]
    v = math.fsum(entry * ap2(entry) for entry in d) / len(d)
    return d, 1 / math.sqrt(v + eps), mu


def shift_batchnorm(x, gamma, beta, running_mean, running_rstd, alpha, eps):
    """x̂ = d AP2(1/√(v + ε)), AP2(γ) x̂ + β (BNN Algorithm 3; + β as in the code); the averages move by alpha."""
    a, new_mean, new_rstd = np.zeros(x.shape), [], []
    for unit, places in enumerate(_units(x)):
        d, rstd, mu = _normalized([float(x[place]) for place in places], eps)
        for place, entry in zip(places, d):
            a[place] = ap2(float(gamma[unit])) * (entry * ap2(rstd)) + float(beta[unit])
        new_mean.append(float(running_mean[unit]) + alpha * (mu - float(running_mean[unit])))
        new_rstd.append(float(running_rstd[unit]) + alpha * (rstd - float(running_rstd[unit])))
    return a, np.array(new_mean), np.array(new_rstd)


def shift_batchnorm_backward(da, x, gamma, eps):
    """AP2(γ) r (g - mean(g) - r² D mean(D g)) with D = AP2(d), Σ AP2(x̂) g, Σ g (the authors' Torch7 code)."""
    dx, dgamma, dbeta = np.zeros(x.shape), [], []
    for unit, places in enumerate(_units(x)):
        d, rstd, _ = _normalized([float(x[place]) for place in places], eps)
        r, g = ap2(rstd), [float(da[place]) for place in places]
        mean_g = math.fsum(g) / len(g)
        mean_product = math.fsum(ap2(entry) * number for entry, number in zip(d, g)) / len(g)
        for place, entry, number in zip(places, d, g):
            dx[place] = ap2(float(gamma[unit])) * r * (number - mean_g - r**2 * ap2(entry) * mean_product)
        dgamma.append(math.fsum(ap2(entry * r) * number for entry, number in zip(d, g)))
        dbeta.append(math.fsum(g))
    return dx, np.array(dgamma), np.array(dbeta)


def shift_batchnorm_predict(x, gamma, beta, running_mean, running_rstd):
    """AP2(γ) (x - mean) AP2(average of 1/√(v + ε)) + β (the authors' Torch7 code)."""
    a = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        centred = float(x[index]) - float(running_mean[index[1]])
        a[index] = ap2(float(gamma[index[1]])) * centred * ap2(float(running_rstd[index[1]])) + float(beta[index[1]])
    return a


# --- update rules, for one number ----------------------------------------------------------------------------------


def adamax(w, m, v, g, t, lr, beta1, beta2, eps):
    """The largest |g|, decaying, divides the mean of g (Adam paper, Algorithm 2). Returns w, m, v; t from 1."""
    m = beta1 * m + (1 - beta1) * g
    v = max(beta2 * v, abs(g))
    return w - lr / (1 - beta1**t) * m / (v + eps), m, v


def shift_adamax(w, m, v, g, t, lr, beta1, beta2, eps):
    """v rounded to a power of two and kept so; the corrected rate rounded too (the authors' Torch7 code)."""
    m = beta1 * m + (1 - beta1) * g
    v = ap2(max(beta2 * v, abs(g))) + eps
    return w - ap2(lr / (1 - beta1**t)) * m / v, m, v


def shift_adamax_printed(w, m, v, g, t, lr, beta1, beta2):
    """α shifted by 1/(1 - β₁ᵗ), m shifted by 1/v, v itself as in AdaMax (BNN Algorithm 2)."""
    m = beta1 * m + (1 - beta1) * g
    v = max(beta2 * v, abs(g))
    step = 0.0 if v == 0 else lr * ap2(1 / (1 - beta1**t)) * (m * ap2(1 / v))
    return w - step, m, v
