"""What the paper on expectation backpropagation says, one number at a time; nothing of the package is used.

Loops over plain Python numbers, with the paper's √K in them: the means and variances of weights are sums over their
values, not formulas; Φ far from 0 is its asymptotic series.
"""

import math

import numpy as np

# --- the normal distribution ---------------------------------------------------------------------------------------


def phi(z):
    """The standard normal density, of one number."""
    return math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def cdf(z):
    """The standard normal distribution function, of one number."""
    return 0.5 * math.erfc(-z / math.sqrt(2))


def _log_series(z):
    """ln(Φ(z) / φ(z)) for z < -20: -ln(-z) + ln(1 - 1/z² + 1·3/z⁴ - 1·3·5/z⁶ + ...)."""
    total, term = 1.0, 1.0
    for k in range(1, 12):
        term *= -(2 * k - 1) / (z * z)
        total += term
    return math.log(total) - math.log(-z)


def log_cdf(z):
    """ln Φ(z), of one number."""
    if z < -20:
        return -0.5 * z * z - 0.5 * math.log(2 * math.pi) + _log_series(z)
    return math.log(cdf(z)) if z < 0 else math.log1p(-cdf(-z))


def phi_over_cdf(z):
    """φ(z) / Φ(z), of one number."""
    return math.exp(-_log_series(z)) if z < -20 else phi(z) / cdf(z)


# --- weights: (mean, variance) from the probabilities of their values ----------------------------------------------


def _moments(values, logits):
    top = max(logits)
    p = [math.exp(logit - top) for logit in logits]
    mean = sum(v * q for v, q in zip(values, p)) / sum(p)
    return mean, sum((v - mean) ** 2 * q for v, q in zip(values, p)) / sum(p)


def binary(h):
    """P(W) ∝ exp(h W), W = ±1."""
    return _moments((-1, 1), (-h, h))


def ternary(hp, hm):
    """Log-odds hp of +1 and hm of -1 against 0."""
    return _moments((-1, 0, 1), (hm, 0.0, hp))


def real(h):
    """Normal around h with variance 1."""
    return h, 1.0


# --- layers --------------------------------------------------------------------------------------------------------


def layer(first, weight, x, params, b):
    """μ and σ of eq. 4.1, each an (N, M) array, scaled by 1/√K as printed, K = D + 1.

    first: inputs are numbers; else they are means of signs, whose square is 1. weight: one of the three above;
    params: a tuple of (D, M) arrays.
    """
    (n_rows, d_rows), m_rows = x.shape, len(b)
    mu, sigma = np.zeros((2, n_rows, m_rows))
    k = d_rows + 1
    for n in range(n_rows):
        for m in range(m_rows):
            mean, var = float(b[m]), 1.0                  # the bias: normal, variance 1, input 1
            for d in range(d_rows):
                a = float(x[n, d])
                w, w_var = weight(*(float(p[d, m]) for p in params))
                square = a * a if first else 1.0
                mean += w * a
                var += (w_var + w * w) * square - (w * a) ** 2     # <W²><v²> - <W>²<v>²
            mu[n, m] = mean / math.sqrt(k)
            sigma[n, m] = math.sqrt(var / k)
    return mu, sigma


def delta(dz, sigma):
    """The derivative with respect to μ, of what has the derivative dz with respect to μ/σ, σ a constant."""
    out = np.zeros(dz.shape)
    for index in np.ndindex(dz.shape):
        out[index] = float(dz[index]) / sigma[index]
    return out


def layer_backward(dz, first, weight, x, params, b):
    """dx, dw at the mean weight, db: eq. 4.4 and 4.5 with the 1/√K of both."""
    (n_rows, d_rows), m_rows = x.shape, len(b)
    _, sigma = layer(first, weight, x, params, b)
    d_mu, root = delta(dz, sigma), math.sqrt(d_rows + 1)
    dx, dw, db = np.zeros((n_rows, d_rows)), np.zeros((d_rows, m_rows)), np.zeros(m_rows)
    for n in range(n_rows):
        for m in range(m_rows):
            db[m] += d_mu[n, m] / root
            for d in range(d_rows):
                w, _ = weight(*(float(p[d, m]) for p in params))
                dx[n, d] += d_mu[n, m] * w / root
                dw[d, m] += d_mu[n, m] * float(x[n, d]) / root
    return dx, dw, db


def map_layer(weight, x, params, b):
    """x times the most probable weights, plus the bias."""
    s = np.zeros((len(x), len(b)))
    for n in range(len(x)):
        for m in range(len(b)):
            s[n, m] = float(b[m]) + sum(float(x[n, d]) * weight(*(float(p[d, m]) for p in params))
                                        for d in range(x.shape[1]))
    return s


def map_binary(h):
    """sgn(h), sgn(0) = +1."""
    return 1.0 if h >= 0 else -1.0


def map_ternary(hp, hm):
    """The value of the largest log-odds; the earlier one in +1, -1, 0 where two are equal."""
    candidates = [(1.0, hp), (-1.0, hm), (0.0, 0.0)]
    best = candidates[0]
    for candidate in candidates[1:]:
        if candidate[1] > best[1]:
            best = candidate
    return best[0]


# --- units and labels ----------------------------------------------------------------------------------------------


def mean_sign(z):
    """Probability of +1 less that of -1 (eq. 4.2)."""
    out = np.zeros(z.shape)
    for index in np.ndindex(z.shape):
        out[index] = cdf(float(z[index])) - cdf(-float(z[index]))
    return out


def mean_sign_backward(dout, z):
    """dout times the derivative of both terms."""
    out = np.zeros(z.shape)
    for index in np.ndindex(z.shape):
        out[index] = float(dout[index]) * (phi(float(z[index])) + phi(-float(z[index])))
    return out


def label_signs(labels, outputs):
    """One +1 among -1s; with one output the label itself, 0 as -1."""
    if outputs == 1:
        return [[1 if label == 1 else -1] for label in labels.tolist()]
    return [[1 if label == c else -1 for c in range(outputs)] for label in labels.tolist()]


def log_likelihood(z, labels):
    """Minus the logarithm of the product of the probabilities Φ(y z) of all signs."""
    y = label_signs(labels, z.shape[1])
    return np.array(-math.fsum(log_cdf(y[n][c] * float(z[n, c])) for n, c in np.ndindex(z.shape)))


def log_likelihood_backward(dloss, z, labels):
    """Minus y φ/Φ (eq. 4.3, at σ = 1)."""
    y = label_signs(labels, z.shape[1])
    out = np.zeros(z.shape)
    for n, c in np.ndindex(z.shape):
        out[n, c] = -dloss * y[n][c] * phi_over_cdf(y[n][c] * float(z[n, c]))
    return out


# --- the update, and a whole step ----------------------------------------------------------------------------------


def ebp_step(x, y, hs, biases):
    """The new h and b of every layer after one minibatch: the paper's algorithm for binary weights, in its own words.

    x: (N, D); y: (N,) of lists of ±1; hs: (D, M) arrays; biases: (M,) arrays. Each example is seen with the old h.
    """
    new_hs, new_biases = [h.copy() for h in hs], [b.copy() for b in biases]
    for n in range(len(x)):
        means, mus, sigmas = [x[n:n + 1]], [], []
        for level, (h, b) in enumerate(zip(hs, biases)):
            mu, sigma = layer(level == 0, binary, means[-1], (h,), b)
            mus.append(mu)
            sigmas.append(sigma)
            means.append(mean_sign(mu / sigma))
        deltas = [None] * len(hs)
        for level in reversed(range(len(hs))):
            deltas[level] = []
            for i in range(hs[level].shape[1]):
                mu, sigma = mus[level][0, i], sigmas[level][0, i]
                density = math.exp(-mu * mu / (2 * sigma * sigma)) / (math.sqrt(2 * math.pi) * sigma)
                if level == len(hs) - 1:
                    deltas[level].append(y[n][i] * density / cdf(y[n][i] * mu / sigma))
                else:
                    above = hs[level + 1]
                    backwards = sum(math.tanh(above[i, j]) * deltas[level + 1][j] for j in range(above.shape[1]))
                    deltas[level].append(2 / math.sqrt(above.shape[0] + 1) * density * backwards)
        for level in range(len(hs)):
            root = math.sqrt(hs[level].shape[0] + 1)
            for i, change in enumerate(deltas[level]):
                new_biases[level][i] += change / root
                for j in range(hs[level].shape[0]):
                    new_hs[level][j, i] += change * means[level][0, j] / root
    return new_hs, new_biases
