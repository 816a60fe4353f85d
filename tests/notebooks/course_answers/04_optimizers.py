# ruff: noqa: F811, F821
"""Wrong answers to set 4."""

# %% momentum_step: w moves by the old velocity
def momentum_step(w, g, v, lr, mu=0.9):
    return w + v, mu * v - lr * g

# %% momentum_step: in place
def momentum_step(w, g, v, lr, mu=0.9):
    v *= mu
    v -= lr * g
    w += v
    return w, v

# %% nesterov_step: plain momentum
def nesterov_step(w, g, v, lr, mu=0.9):
    v = mu * v - lr * g
    return w + v, v

# %% nesterov_step: looks ahead along the old velocity
def nesterov_step(w, g, v, lr, mu=0.9):
    return w + mu * v - lr * g, mu * v - lr * g

# %% adam_step: the start at zero is not undone
def adam_step(w, g, m, u, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * g
    u = beta2 * u + (1 - beta2) * g**2
    return w - lr * m / (np.sqrt(u) + eps), m, u

# %% adam_step: ε under the root
def adam_step(w, g, m, u, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * g
    u = beta2 * u + (1 - beta2) * g**2
    return w - lr * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m / np.sqrt(u + eps), m, u

# %% adam_step: t counted from 0
def adam_step(w, g, m, u, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    t = t - 1
    m = beta1 * m + (1 - beta1) * g
    u = beta2 * u + (1 - beta2) * g**2
    correction = np.sqrt(1 - beta2**t) / (1 - beta1**t) if t else 1
    return w - lr * correction * m / (np.sqrt(u) + eps), m, u

# %% adamax_step: g without its absolute value
def adamax_step(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * g
    v = np.maximum(beta2 * v, g)
    return w - lr / (1 - beta1**t) * m / (v + eps), m, v

# %% adamax_step: Adam's correction
def adamax_step(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * g
    v = np.maximum(beta2 * v, np.abs(g))
    return w - lr * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (v + eps), m, v

# %% exponential_decay: epochs counted from 0
def exponential_decay(first, last, epoch, epochs):
    return first * (last / first) ** (epoch / epochs)

# %% exponential_decay: a straight line
def exponential_decay(first, last, epoch, epochs):
    return first + (last - first) * (epoch - 1) / epochs
