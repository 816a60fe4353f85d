# ruff: noqa: F811, F821
"""Wrong answers to set 3."""

# %% batchnorm_forward: the unbiased variance
def batchnorm_forward(x, gamma, beta, eps=1e-4):
    rstd = 1 / np.sqrt(x.var(axis=0, ddof=1) + eps)
    x_hat = (x - x.mean(axis=0)) * rstd
    return gamma * x_hat + beta, (x_hat, gamma, rstd)

# %% batchnorm_forward: ε outside of the root
def batchnorm_forward(x, gamma, beta, eps=1e-4):
    rstd = 1 / (np.sqrt(x.var(axis=0)) + eps)
    x_hat = (x - x.mean(axis=0)) * rstd
    return gamma * x_hat + beta, (x_hat, gamma, rstd)

# %% batchnorm_backward: the projection on x̂ is missing
def batchnorm_backward(da, cache):
    x_hat, gamma, rstd = cache
    return gamma * rstd * (da - da.mean(axis=0)), (da * x_hat).sum(axis=0), da.sum(axis=0)

# %% batchnorm_backward: μ and v taken for constants
def batchnorm_backward(da, cache):
    x_hat, gamma, rstd = cache
    return gamma * rstd * da, (da * x_hat).sum(axis=0), da.sum(axis=0)

# %% batchnorm_backward: the sign of γ is ignored
def batchnorm_backward(da, cache):
    x_hat, gamma, rstd = cache
    dx = np.abs(gamma) * rstd * (da - da.mean(axis=0) - x_hat * (da * x_hat).mean(axis=0))
    return dx, (da * x_hat).sum(axis=0), da.sum(axis=0)

# %% running_statistics: α on the wrong side
def running_statistics(x, running_mean, running_var, alpha=0.1):
    return (alpha * running_mean + (1 - alpha) * x.mean(axis=0),
            alpha * running_var + (1 - alpha) * x.var(axis=0))

# %% batchnorm_predict: the batch's own statistics
def batchnorm_predict(x, gamma, beta, running_mean, running_var, eps=1e-4):
    return gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) + beta

# %% batchnorm_predict: the variance taken for the standard deviation
def batchnorm_predict(x, gamma, beta, running_mean, running_var, eps=1e-4):
    return gamma * (x - running_mean) / (running_var + eps) + beta

# %% normalize_maps: per position instead of per channel
def normalize_maps(x, gamma, beta, eps=1e-4):
    x_hat = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)
    return gamma.reshape(-1, 1, 1) * x_hat + beta.reshape(-1, 1, 1)
