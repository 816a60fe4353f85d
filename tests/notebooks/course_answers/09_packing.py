# ruff: noqa: E402, F811, F821
"""Wrong answers to set 9."""

# %% thresholds: γ < 0 is ignored
from bnn_ref.ops.batchnorm import batchnorm_predict


def thresholds(gamma, beta, mean, var, k):
    s = np.arange(-k, k + 1, dtype=np.float32)
    plus = batchnorm_predict(np.repeat(s[:, None], len(gamma), axis=1), np.abs(gamma), beta, mean, var) >= 0
    flip = ~plus[-1]
    return ((plus != flip).argmax(axis=0) - k).astype(np.int32), flip

# %% thresholds: sign(0) = -1
from bnn_ref.ops.batchnorm import batchnorm_predict


def thresholds(gamma, beta, mean, var, k):
    s = np.arange(-k, k + 1, dtype=np.float32)
    plus = batchnorm_predict(np.repeat(s[:, None], len(gamma), axis=1), gamma, beta, mean, var) > 0
    flip = ~plus[-1]
    return ((plus != flip).argmax(axis=0) - k).astype(np.int32), flip

# %% thresholds: units that never change are forgotten
from bnn_ref.ops.batchnorm import batchnorm_predict


def thresholds(gamma, beta, mean, var, k):
    s = np.arange(-k, k + 1, dtype=np.float32)
    plus = batchnorm_predict(np.repeat(s[:, None], len(gamma), axis=1), gamma, beta, mean, var) >= 0
    flip = gamma < 0
    return ((plus != flip).argmax(axis=0) - k).astype(np.int32), flip

# %% hidden_layer: the flip is forgotten
def hidden_layer(x, w, k, t, flip):
    return bits.pack(np.where(xnor_matmul(x, w, k) >= t, 1, -1))

# %% hidden_layer: above the threshold instead of from it on
def hidden_layer(x, w, k, t, flip):
    return bits.pack(np.where((xnor_matmul(x, w, k) > t) != flip, 1, -1))

# %% hidden_layer: padding bits are 1
def hidden_layer(x, w, k, t, flip):
    return ~bits.pack(np.where((xnor_matmul(x, w, k) >= t) != flip, -1, 1))

# %% pixel_sums: the most significant plane first
def pixel_sums(x, w, k):
    planes = bits.pack_planes(x)
    return sum(xnor_matmul(planes[:, n], w, k) << (7 - n) for n in range(8))

# %% pixel_sums: all planes weigh the same
def pixel_sums(x, w, k):
    planes = bits.pack_planes(x)
    return sum(xnor_matmul(planes[:, n], w, k) for n in range(8))

# %% pixel_sums: pixels from 0, not centred
def pixel_sums(x, w, k):
    return x.astype(int) @ bits.unpack(w, k).astype(int).T

# %% predict: the flip is forgotten
def predict(x, hidden, output):
    for number, (w, k, t, _) in enumerate(hidden):
        sums = xnor_matmul(x, w, k) if number else plane_matmul(bits.pack_planes(x), w, k)
        x = bits.pack(np.where(sums >= t, 1, -1))
    w, k, mean, scale, beta = output
    return (xnor_matmul(x, w, k).astype(np.float32) - mean) * scale + beta

# %% predict: the mean is taken off behind the scale
def predict(x, hidden, output):
    for number, (w, k, t, flip) in enumerate(hidden):
        sums = xnor_matmul(x, w, k) if number else plane_matmul(bits.pack_planes(x), w, k)
        x = bits.pack(np.where((sums >= t) != flip, 1, -1))
    w, k, mean, scale, beta = output
    return xnor_matmul(x, w, k).astype(np.float32) * scale - mean + beta
