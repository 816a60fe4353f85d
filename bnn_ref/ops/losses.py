"""The losses: the squared hinge (an L2-SVM on top of the network), softmax cross-entropy, and EBP's likelihood."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from . import gaussian
from .checks import check_integers, check_number, check_shapes


def check_labels(y, labels):
    """Raise TypeError or ValueError unless labels are integers (N,) from 0 to C - 1 for outputs y (N, C)."""
    n, c = check_shapes(("y", y, "N C")).values()
    check_integers("labels", labels)
    if labels.shape != (n,):
        raise ValueError(f"labels: expected shape ({n},), got {labels.shape}")
    if n == 0 or labels.min() < 0 or labels.max() >= c:
        found = f"{labels.min()} to {labels.max()}" if n else "none"
        raise ValueError(f"labels: expected at least one, from 0 to {c - 1}, got {found}")


def squared_hinge_forward(y, labels):
    """ℓ = mean over all N·C entries of max(0, 1 - t y)², t = +1 for an example's class, -1 for the others [SVM-1].

    y: (N, C) outputs; labels: (N,) integers from 0 to C - 1. Returns (loss, cache), loss a float of y's dtype.
    The mean over entries is BNN's and BinaryConnect's current code; BinaryConnect's first code and Few
    Multiplications sum over classes and average over examples, which is C times this loss and its gradient: it
    matters to SGD, not to Adam. Raises TypeError or ValueError for labels that do not fit.
    """
    check_labels(y, labels)
    t = -np.ones_like(y)
    t[np.arange(len(y)), labels] = 1
    margin = np.maximum(0, 1 - t * y)                    # N C
    return np.mean(margin * margin), (t, margin)


def squared_hinge_backward(dloss, cache):
    """dy = -2 t max(0, 1 - t y) / (N·C) · dloss; **exact** [SVM-2]. dloss: a number. Returns dy: (N, C)."""
    t, margin = cache
    dloss = check_number("dloss", dloss)
    return dloss * (-2 / margin.size) * t * margin


def softmax_cross_entropy_forward(y, labels):
    """ℓ = mean over examples of -ln softmax(y)[label] [CE-1].

    y: (N, C) outputs; labels: (N,) integers from 0 to C - 1. Returns (loss, cache), loss a float of y's dtype.
    The largest output of each row is subtracted first, so no exponential overflows.
    Raises TypeError or ValueError for labels that do not fit.
    """
    check_labels(y, labels)
    shifted = y - y.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))   # N C
    rows = np.arange(len(y))
    return -np.mean(log_p[rows, labels]), (log_p, labels)


def softmax_cross_entropy_backward(dloss, cache):
    """dy = (softmax(y) - one_hot(labels)) / N · dloss; **exact** [CE-2]. dloss: a number. Returns dy: (N, C)."""
    log_p, labels = cache
    dloss = check_number("dloss", dloss)
    dy = np.exp(log_p)
    dy[np.arange(len(dy)), labels] -= 1
    return dloss * dy / len(dy)


def log_likelihood_forward(z, labels):
    """ℓ = -Σ ln Φ(y z): minus the log-probability of the labels, a sum over examples and outputs [EBP-4.3].

    z: (N, C), the last layer's; labels: (N,) integers. With several outputs y = +1 for an example's class, from 0 to
    C - 1, and -1 for the others; with one output (C = 1) it is +1 for the label 1 and -1 for the label 0.
    Returns (loss, cache), loss a float of z's dtype. It is a sum, unlike the other losses, because evidence adds up:
    SGD on it, at the rate 1, is Bayes' rule. Raises TypeError or ValueError for labels that do not fit.
    """
    n, c = check_shapes(("z", z, "N C")).values()
    check_labels(np.broadcast_to(z, (n, 2)) if c == 1 else z, labels)
    y = np.where(labels[:, None] == (1 if c == 1 else np.arange(c)), 1, -1).astype(z.dtype)
    yz = y * z
    return -gaussian.log_cdf(yz).sum(), (y, yz)


def log_likelihood_backward(dloss, cache):
    """dz = -y φ(y z) / Φ(y z) · dloss; **exact** [EBP-4.3]. dloss: a number. Returns dz: (N, C).

    It tends to z where an answer is confidently wrong. The paper falls back to that limit where its quotient is 0/0,
    and the authors' code for binary weights does so with the wrong sign for y = -1; this form never is 0/0.
    """
    y, yz = cache
    dloss = check_number("dloss", dloss)
    return -dloss * y * gaussian.phi_over_cdf(yz)


# --- as data for recipes -------------------------------------------------------------------------------------------


class Loss(NamedTuple):
    """A loss as recipes name it: forward(y, labels) -> loss, cache; backward(dloss, cache) -> dy."""

    name: str
    forward: Callable
    backward: Callable


SQUARED_HINGE = Loss("squared hinge", squared_hinge_forward, squared_hinge_backward)
SOFTMAX_CROSS_ENTROPY = Loss("softmax cross-entropy", softmax_cross_entropy_forward, softmax_cross_entropy_backward)
LOG_LIKELIHOOD = Loss("log-likelihood", log_likelihood_forward, log_likelihood_backward)
