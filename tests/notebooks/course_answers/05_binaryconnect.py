# ruff: noqa: E402, F811, F821
"""Wrong answers to set 5."""

# %% binary_dense_forward: the real weights
def binary_dense_forward(x, w):
    return x @ w, (x, w)

# %% binary_dense_forward: sign(0) = 0
def binary_dense_forward(x, w):
    return x @ np.sign(w), (x, np.sign(w))

# %% binary_dense_forward: the real weights are overwritten
def binary_dense_forward(x, w):
    w[:] = np.where(w >= 0, 1, -1)
    return x @ w, (x, w)

# %% binary_dense_backward: back through the real weights
def binary_dense_backward(ds, x, w):
    return ds @ w.T, x.T @ ds

# %% binary_dense_backward: a mask on the weights that forward does not have
def binary_dense_backward(ds, x, w):
    return ds @ np.where(w >= 0, 1, -1).T, x.T @ ds * (np.abs(w) < 0.8)

# %% update: no clipping
def update(w, dw, lr):
    return w - lr * dw

# %% update: the gradient is clipped
def update(w, dw, lr):
    return w - lr * np.clip(dw, -1, 1)

# %% update: the binary weight moves
def update(w, dw, lr):
    return np.clip(np.where(w >= 0, 1, -1) - lr * dw, -1, 1)

# %% layer_rate: multiplied by c
def layer_rate(lr, shape, power):
    return lr * np.sqrt(1.5 / sum(shape)) ** power

# %% layer_rate: the power is ignored
def layer_rate(lr, shape, power):
    return lr / np.sqrt(1.5 / sum(shape))

# %% training_step: the rectifier is forgotten on the way back
from bnn_ref.ops import dense, losses, relu


def training_step(w1, w2, x, labels, lr):
    s1, cache1 = dense.binary_dense_forward(x, w1)
    a1, _ = relu.relu_forward(s1)
    y, cache2 = dense.binary_dense_forward(a1, w2)
    loss, cache_loss = losses.squared_hinge_forward(y, labels)
    da1, dw2 = dense.binary_dense_backward(losses.squared_hinge_backward(1.0, cache_loss), cache2)
    _, dw1 = dense.binary_dense_backward(da1, cache1)
    return loss, np.clip(w1 - lr * dw1, -1, 1), np.clip(w2 - lr * dw2, -1, 1)

# %% training_step: uphill
from bnn_ref.ops import dense, losses, relu


def training_step(w1, w2, x, labels, lr):
    s1, cache1 = dense.binary_dense_forward(x, w1)
    a1, cache_relu = relu.relu_forward(s1)
    y, cache2 = dense.binary_dense_forward(a1, w2)
    loss, cache_loss = losses.squared_hinge_forward(y, labels)
    da1, dw2 = dense.binary_dense_backward(losses.squared_hinge_backward(1.0, cache_loss), cache2)
    _, dw1 = dense.binary_dense_backward(relu.relu_backward(da1, cache_relu), cache1)
    return loss, np.clip(w1 + lr * dw1, -1, 1), np.clip(w2 + lr * dw2, -1, 1)
