# ruff: noqa: F811, F821
"""Wrong answers that people write: each replaces one answer of the set and must lose exactly its points."""

# %% dense_forward: the weights are transposed
def dense_forward(x, w):
    return x @ w.reshape(w.shape[1], w.shape[0]).T, (x, w)

# %% dense_backward: dw is the mean over the examples, not the sum
def dense_backward(ds, cache):
    x, w = cache
    return ds @ w.T, x.T @ ds / len(x)

# %% bias_backward: db is not summed over the examples
def bias_backward(dout):
    return dout.copy(), dout

# %% numeric_gradient: the upstream gradient is forgotten
def numeric_gradient(f, x, dout, h=1e-5):
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        gradient[index] = np.sum(f(up) - f(down)) / (2 * h)
    return gradient

# %% numeric_gradient: one-sided
def numeric_gradient(f, x, dout, h=1e-5):
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        up = x.copy()
        up[index] += h
        gradient[index] = np.sum((f(up) - f(x)) * dout) / h
    return gradient

# %% numeric_gradient: moves the caller's array and never moves it back
def numeric_gradient(f, x, dout, h=1e-5):
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        x[index] += h
        up = f(x)
        x[index] -= h
        gradient[index] = np.sum((up - f(x)) * dout) / h
        x[index] -= h
    return gradient

# %% relative_error: 0/0 where both are zero
def relative_error(a, b, floor=1e-3):
    return np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))
