# ruff: noqa: F811, F821
"""Wrong answers to set 2."""

# %% sign: sign(0) = 0
def sign(x):
    return np.sign(x)

# %% sign: sign(0) = -1
def sign(x):
    return np.where(x > 0, 1, -1).astype(x.dtype)

# %% sign: another dtype
def sign(x):
    return np.where(x >= 0, 1.0, -1.0)

# %% stochastic_sign: the comparison is turned round
def stochastic_sign(x, u):
    return np.where(u >= np.clip((x + 1) / 2, 0, 1), 1, -1).astype(x.dtype)

# %% stochastic_sign: the logistic sigmoid in place of the hard one
def stochastic_sign(x, u):
    return np.where(u < 1 / (1 + np.exp(-x)), 1, -1).astype(x.dtype)

# %% sign_backward: no mask
def sign_backward(dout, x):
    return dout.copy()

# %% sign_backward: the boundary is left out
def sign_backward(dout, x):
    return dout * (np.abs(x) < 1)

# %% sign_backward: cancelled on one side only
def sign_backward(dout, x):
    return dout * (x <= 1)

# %% sign_surrogate: slope 1 everywhere
def sign_surrogate(x0):
    return lambda x: np.where(x0 >= 0, 1, -1) + x - x0

# %% sign_surrogate: not frozen
def sign_surrogate(x0):
    return lambda x: np.where(x >= 0, 1.0, -1.0)

# %% slope_of_the_mean: divided by h
def slope_of_the_mean(x, draws, h, draw_sign):
    x = np.full(len(draws), x)
    return (draw_sign(x + h, draws).mean() - draw_sign(x - h, draws).mean()) / h
