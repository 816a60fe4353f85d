# ruff: noqa: E402, F811, F821
"""Wrong answers to set 6."""

# %% layer_forward: the sign of s, in front of the normalization
from bnn_ref.ops import batchnorm


def batchnorm_forward(s, gamma, beta):
    zeros = np.zeros_like(gamma)
    return batchnorm.batchnorm_forward(s, gamma, beta, zeros, zeros)[:2]


def layer_forward(x, w, gamma, beta):
    s = x @ np.where(w >= 0, 1.0, -1.0)
    return np.where(s >= 0, 1.0, -1.0), batchnorm_forward(s, gamma, beta)[0], s

# %% layer_forward: sign(0) = 0
from bnn_ref.ops import batchnorm


def batchnorm_forward(s, gamma, beta):
    zeros = np.zeros_like(gamma)
    return batchnorm.batchnorm_forward(s, gamma, beta, zeros, zeros)[:2]


def layer_forward(x, w, gamma, beta):
    s = x @ np.sign(w)
    a, _ = batchnorm_forward(s, gamma, beta)
    return np.sign(a), a, s

# %% layer_backward: no mask
from bnn_ref.ops.batchnorm import batchnorm_backward


def layer_backward(da_b, x, w, a, bn_cache):
    ds, dgamma, dbeta = batchnorm_backward(da_b, bn_cache)
    return ds @ np.where(w >= 0, 1.0, -1.0).T, x.T @ ds, dgamma, dbeta

# %% layer_backward: the mask on the wrong side of the normalization
from bnn_ref.ops.batchnorm import batchnorm_backward


def layer_backward(da_b, x, w, a, bn_cache):
    ds, dgamma, dbeta = batchnorm_backward(da_b, bn_cache)
    ds = ds * (np.abs(a) <= 1)
    return ds @ np.where(w >= 0, 1.0, -1.0).T, x.T @ ds, dgamma, dbeta

# %% layer_backward: through the real weights
from bnn_ref.ops.batchnorm import batchnorm_backward


def layer_backward(da_b, x, w, a, bn_cache):
    ds, dgamma, dbeta = batchnorm_backward(da_b * (np.abs(a) <= 1), bn_cache)
    return ds @ w.T, x.T @ ds, dgamma, dbeta

# %% squared_hinge: a sum over the classes
def squared_hinge(y, labels):
    t = -np.ones_like(y)
    t[np.arange(len(y)), labels] = 1
    margin = np.maximum(0, 1 - t * y)
    return np.sum(margin**2) / len(y), -2 * t * margin / len(y)

# %% squared_hinge: not squared on the way back
def squared_hinge(y, labels):
    t = -np.ones_like(y)
    t[np.arange(len(y)), labels] = 1
    margin = np.maximum(0, 1 - t * y)
    return np.mean(margin**2), -t * (margin > 0) / y.size

# %% build: a sign behind the last layer
from bnn_ref.nets.steps import batchnorm_step as norm_step
from bnn_ref.nets.steps import binary_dense_step as dense_step
from bnn_ref.nets.steps import sign_step


def build(sizes):
    net = []
    for k in range(1, len(sizes)):
        net.append(dense_step(f"fc{k}", sizes[k - 1], sizes[k]))
        net += [norm_step(f"bn{k}", sizes[k]), sign_step(f"act{k}")]
    return tuple(net)

# %% build: the sign in front of the normalization
from bnn_ref.nets.steps import batchnorm_step as norm_step
from bnn_ref.nets.steps import binary_dense_step as dense_step
from bnn_ref.nets.steps import sign_step


def build(sizes):
    net = []
    for k in range(1, len(sizes)):
        net.append(dense_step(f"fc{k}", sizes[k - 1], sizes[k]))
        net += [sign_step(f"act{k}"), norm_step(f"bn{k}", sizes[k])]
    return (*net[:-2], net[-1])

# %% answers: the inputs are binarized
from bnn_ref.ops.batchnorm import batchnorm_predict


def answers(x, layers):
    for w, *norm in layers:
        x = batchnorm_predict(np.where(x >= 0, 1.0, -1.0) @ np.where(w >= 0, 1.0, -1.0), *norm)
    return x.argmax(axis=1)

# %% answers: hidden activations stay real
from bnn_ref.ops.batchnorm import batchnorm_predict


def answers(x, layers):
    for w, *norm in layers:
        x = batchnorm_predict(x @ np.where(w >= 0, 1.0, -1.0), *norm)
    return x.argmax(axis=1)
