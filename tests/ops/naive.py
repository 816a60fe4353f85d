"""What the papers say, one number at a time: the reference that the package's arrays are compared with.

Loops over plain Python numbers, written from the papers' sentences, that share nothing with the package; NumPy holds
results only. At the end: the arrays to compare on.
"""

import math

import numpy as np

# --- binarizers ----------------------------------------------------------------------------------------------------


def _entries(function, *arrays):
    """function(number, ...) for each entry of arrays of one shape."""
    out = np.zeros(arrays[0].shape)
    for index in np.ndindex(out.shape):
        out[index] = function(*(float(array[index]) for array in arrays))
    return out


def clip(x, low, high):
    """clip of the BinaryConnect and BNN papers, for one number."""
    return low if x < low else high if x > high else x


def sign(x):
    """+1 if x >= 0, else -1 (BC eq. 1, BNN eq. 1)."""
    return _entries(lambda x: 1.0 if x >= 0 else -1.0, x)


def hard_sigmoid(x):
    """clip((x + 1) / 2, 0, 1) (BC eq. 3)."""
    return _entries(lambda x: clip((x + 1) / 2, 0.0, 1.0), x)


def hard_sigmoid_backward(dout, x):
    """Half of dout between the two corners (derivative of BC eq. 3)."""
    return _entries(lambda dout, x: dout * 0.5 if -1 <= x <= 1 else 0.0, dout, x)


def hard_tanh(x):
    """clip(x, -1, 1) (BNN eq. 5)."""
    return _entries(lambda x: clip(x, -1.0, 1.0), x)


def stochastic_sign(x, u):
    """+1 with probability σ(x): where a uniform number u falls below it; else -1 (BC eq. 2)."""
    return _entries(lambda x, u: 1.0 if u < clip((x + 1) / 2, 0.0, 1.0) else -1.0, x, u)


def straight_through(dout, x):
    """dout where |x| <= 1, else 0 (BNN eq. 4)."""
    return _entries(lambda dout, x: dout if -1 <= x <= 1 else 0.0, dout, x)


def relu(x):
    """max(x, 0) (BC section 3, the hidden units)."""
    return _entries(lambda x: x if x > 0 else 0.0, x)


def relu_backward(dout, x):
    """dout where x > 0, else 0."""
    return _entries(lambda dout, x: dout if x > 0 else 0.0, dout, x)


# --- products ------------------------------------------------------------------------------------------------------


def dense(x, w):
    """s[n, m] = sum over d of x[n, d] w[d, m] (BNN Algorithm 1, forward)."""
    s = np.zeros((x.shape[0], w.shape[1]))
    for n in range(x.shape[0]):
        for m in range(w.shape[1]):
            for d in range(x.shape[1]):
                s[n, m] += float(x[n, d]) * float(w[d, m])
    return s


def dense_backward(ds, x, w):
    """Each product x[n, d] w[d, m] passes ds[n, m] to both factors (BNN Algorithm 1, backward)."""
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for n in range(x.shape[0]):
        for m in range(w.shape[1]):
            for d in range(x.shape[1]):
                dx[n, d] += float(ds[n, m]) * float(w[d, m])
                dw[d, m] += float(ds[n, m]) * float(x[n, d])
    return dx, dw


def binary_dense(x, w):
    """s = x w_b with w_b = sign(w) (BC Algorithm 1, BNN Algorithm 1)."""
    return dense(x, sign(w))


def binary_dense_backward(ds, x, w):
    """The gradient at w_b is the real weight's, without a mask (BC Algorithm 1, step 3)."""
    return dense_backward(ds, x, sign(w))


def bias(s, b):
    """out = s + b, b by unit or by channel."""
    return _unit_entries(lambda s, b: s + b, s, b)


def bias_backward(dout):
    """Each b takes the dout of all entries of its unit."""
    return _unit_sums(dout)


def _positions(size, kernel, stride, pad):
    """Where windows begin, in padded coordinates: every stride, as long as the kernel fits."""
    return [start for start in range(0, size + 2 * pad, stride) if start + kernel <= size + 2 * pad]


def _pixel(x, n, c, row, column, pad, pad_value):
    """One pixel of the padded image, (row, column) counted from the padding's corner."""
    row, column = row - pad, column - pad
    inside = 0 <= row < x.shape[2] and 0 <= column < x.shape[3]
    return float(x[n, c, row, column]) if inside else float(pad_value)


def _conv_terms(x, w, stride, pad):
    """Every product in a convolution: (n, m, output row, output column), (c, i, j), padded row, padded column."""
    kh, kw = w.shape[2:]
    for n in range(x.shape[0]):
        for m in range(w.shape[0]):
            for out_row, top in enumerate(_positions(x.shape[2], kh, stride, pad)):
                for out_column, left in enumerate(_positions(x.shape[3], kw, stride, pad)):
                    for c in range(x.shape[1]):
                        for i in range(kh):
                            for j in range(kw):
                                yield (n, m, out_row, out_column), (c, i, j), top + i, left + j


def conv(x, w, stride, pad, pad_value):
    """s[n, m, p] = sum over channels and kernel entries of the padded pixel times the weight (BNN section 2.3)."""
    s = np.zeros((x.shape[0], w.shape[0], len(_positions(x.shape[2], w.shape[2], stride, pad)),
                  len(_positions(x.shape[3], w.shape[3], stride, pad))))
    for out, (c, i, j), row, column in _conv_terms(x, w, stride, pad):
        s[out] += _pixel(x, out[0], c, row, column, pad, pad_value) * float(w[out[1], c, i, j])
    return s


def conv_backward(ds, x, w, stride, pad, pad_value):
    """Each product passes ds to both factors; what a padded pixel would get is dropped."""
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for out, (c, i, j), row, column in _conv_terms(x, w, stride, pad):
        n, m = out[:2]
        dw[m, c, i, j] += float(ds[out]) * _pixel(x, n, c, row, column, pad, pad_value)
        if 0 <= row - pad < x.shape[2] and 0 <= column - pad < x.shape[3]:
            dx[n, c, row - pad, column - pad] += float(ds[out]) * float(w[m, c, i, j])
    return dx, dw


def patches(x, kernel, stride, pad, pad_value):
    """The patch under each position as a column: channels, then kernel rows, then kernel columns."""
    columns = []
    for n in range(x.shape[0]):
        columns.append([[_pixel(x, n, c, top + i, left + j, pad, pad_value)
                         for top in _positions(x.shape[2], kernel[0], stride, pad)
                         for left in _positions(x.shape[3], kernel[1], stride, pad)]
                        for c in range(x.shape[1]) for i in range(kernel[0]) for j in range(kernel[1])])
    return np.array(columns)


# --- max pooling ---------------------------------------------------------------------------------------------------


def _winners(x, kernel, stride):
    """(output index, index of the window's largest pixel), the first of equals in reading order."""
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for out_row, top in enumerate(_positions(x.shape[2], kernel, stride, 0)):
                for out_column, left in enumerate(_positions(x.shape[3], kernel, stride, 0)):
                    best = None
                    for row in range(top, top + kernel):
                        for column in range(left, left + kernel):
                            if best is None or x[n, c, row, column] > x[best]:
                                best = (n, c, row, column)
                    yield (n, c, out_row, out_column), best


def max_pool(x, kernel, stride):
    """The largest pixel of each window ("MP2" of BC section 3.2)."""
    out = np.zeros((*x.shape[:2], len(_positions(x.shape[2], kernel, stride, 0)),
                    len(_positions(x.shape[3], kernel, stride, 0))))
    for index, best in _winners(x, kernel, stride):
        out[index] = float(x[best])
    return out


def max_pool_backward(dout, x, kernel, stride):
    """Each window passes its dout to its largest pixel, added up where windows overlap."""
    dx = np.zeros(x.shape)
    for index, best in _winners(x, kernel, stride):
        dx[best] += float(dout[index])
    return dx


# --- batch normalization -------------------------------------------------------------------------------------------


def _unit_entries(function, x, *per_unit):
    """function(entry, the numbers of its unit): the unit is axis 1 of (N, D) as of (N, C, H, W)."""
    out = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        out[index] = function(float(x[index]), *(float(numbers[index[1]]) for numbers in per_unit))
    return out


def _unit_sums(x):
    sums = [[] for _ in range(x.shape[1])]
    for index in np.ndindex(x.shape):
        sums[index[1]].append(float(x[index]))
    return np.array([math.fsum(entries) for entries in sums])


def _unit_means(x):
    return _unit_sums(x) / (x.size // x.shape[1])


def _normalized(x, eps):
    mu = _unit_means(x)
    v = _unit_means(_unit_entries(lambda x, mu: (x - mu) ** 2, x, mu))
    return _unit_entries(lambda x, mu, v: (x - mu) / math.sqrt(v + eps), x, mu, v), mu, v


def batchnorm(x, gamma, beta, running_mean, running_var, alpha, eps):
    """a = γ x̂ + β with the batch's mean and biased variance (BNN section 1.3); the averages move by alpha."""
    x_hat, mu, v = _normalized(x, eps)
    a = _unit_entries(lambda x_hat, gamma, beta: gamma * x_hat + beta, x_hat, gamma, beta)
    move = [[float(old) + alpha * (new - float(old)) for old, new in zip(average, batch)]
            for average, batch in ((running_mean, mu), (running_var, v))]
    return a, np.array(move[0]), np.array(move[1])


def batchnorm_backward(da, x, gamma, eps):
    """γ/√(v+ε) (g - mean(g) - x̂ mean(g x̂)), Σ g x̂, Σ g (the derivative of BNN section 1.3)."""
    x_hat, _, v = _normalized(x, eps)
    product = _entries(lambda g, x_hat: g * x_hat, da, x_hat)
    mean_g, mean_product = _unit_means(da), _unit_means(product)
    dx = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        unit = index[1]
        inner = float(da[index]) - mean_g[unit] - x_hat[index] * mean_product[unit]
        dx[index] = float(gamma[unit]) / math.sqrt(v[unit] + eps) * inner
    return dx, _unit_sums(product), _unit_sums(da)


def batchnorm_predict(x, gamma, beta, running_mean, running_var, eps):
    """The same with the running statistics in place of the batch's."""
    return _unit_entries(lambda x, gamma, beta, mu, v: gamma * (x - mu) / math.sqrt(v + eps) + beta,
                         x, gamma, beta, running_mean, running_var)


# --- dropout -------------------------------------------------------------------------------------------------------


def dropout(x, keep, p):
    """What survives is scaled up by 1 / (1 - p), the rest is 0 (BC Table 2, "50 % dropout"); backward is the same."""
    return _entries(lambda x, keep: x / (1 - p) if keep == 1 else 0.0, x, keep)


# --- losses --------------------------------------------------------------------------------------------------------


def _targets(y, labels):
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            yield (n, c), float(y[n, c]), (1.0 if labels[n] == c else -1.0)


def squared_hinge(y, labels):
    """Mean over entries of max(0, 1 - t y)² (BC section 3, the L2-SVM output; mean as in the BNN authors' code)."""
    return math.fsum(max(0.0, 1 - t * y) ** 2 for _, y, t in _targets(y, labels)) / y.size


def squared_hinge_backward(dloss, y, labels):
    """-2 t max(0, 1 - t y) for each entry, over their number."""
    dy = np.zeros(y.shape)
    for index, entry, t in _targets(y, labels):
        dy[index] = dloss * -2 * t * max(0.0, 1 - t * entry) / y.size
    return dy


def _log_softmax(row):
    row = [float(entry) for entry in row]
    log_sum = max(row) + math.log(math.fsum(math.exp(entry - max(row)) for entry in row))
    return [entry - log_sum for entry in row]


def softmax_cross_entropy(y, labels):
    """Mean over examples of -ln softmax(y)[label]."""
    return -math.fsum(_log_softmax(y[n])[labels[n]] for n in range(y.shape[0])) / y.shape[0]


def softmax_cross_entropy_backward(dloss, y, labels):
    """softmax(y), less 1 at the label, over the number of examples."""
    dy = np.zeros(y.shape)
    for n in range(y.shape[0]):
        for c, log_p in enumerate(_log_softmax(y[n])):
            dy[n, c] = dloss * (math.exp(log_p) - (1 if labels[n] == c else 0)) / y.shape[0]
    return dy


# --- update rules, for one number ----------------------------------------------------------------------------------


def sgd(w, g, lr):
    """w ← w - η g (BC Algorithm 1, step 3)."""
    return w - lr * g


def momentum(w, v, g, lr, mu):
    """The velocity v ← μ v - η g is added to w. Returns w, v."""
    v = mu * v - lr * g
    return w + v, v


def nesterov(w, v, g, lr, mu):
    """As momentum, but w moves by the velocity that the next step would start from (BC Table 1). Returns w, v."""
    v = mu * v - lr * g
    return w + mu * v - lr * g, v


def adam(w, m, u, g, t, lr, beta1, beta2, eps):
    """Adam with the correction in the rate (BC section 2.5); t counts from 1. Returns w, m, u."""
    m = beta1 * m + (1 - beta1) * g
    u = beta2 * u + (1 - beta2) * g**2
    rate = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
    return w - rate * m / (math.sqrt(u) + eps), m, u


def glorot_coefficient(n_in, n_out):
    """√(1.5 / (n_in + n_out)) (BC section 2.5)."""
    return math.sqrt(1.5 / (n_in + n_out))


def exponential_decay(lr_start, lr_end, epoch, epochs):
    """Multiplied once an epoch by one λ that leads from lr_start to lr_end (BC section 3)."""
    lr = lr_start
    for _ in range(epoch - 1):
        lr *= (lr_end / lr_start) ** (1 / epochs)
    return lr


# --- arrays to compare on ------------------------------------------------------------------------------------------

DTYPES = (np.float64, np.float32)
LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: np.array(x.T, order="C").T,
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x,
    "reversed": lambda x: np.array(x[::-1])[::-1] if x.ndim else x,
}


def kinks(dtype):
    """Where the operations bend or break, and their neighbours among the floats."""
    one = dtype(1)
    return np.array([0.0, -0.0, 1, -1, np.nextafter(one, dtype(2)), np.nextafter(-one, dtype(-2)),
                     np.nextafter(one, dtype(0)), np.nextafter(-one, dtype(0)), 2.5, -2.5], dtype)


def sample(rng, shape, dtype=np.float64, layout="contiguous"):
    """Normal numbers, half of them replaced by kinks where they fit. Read-only: whoever writes into it fails."""
    x = rng.standard_normal(shape).astype(dtype)
    places = rng.permutation(x.size)[:min((x.size + 1) // 2, 10)]
    x.reshape(-1)[places] = kinks(dtype)[:len(places)]
    return read_only(LAYOUTS[layout](x))


def uniform(rng, shape, dtype=np.float64, layout="contiguous"):
    """Uniform numbers from [0, 1) with exact 0 and 1/2 among them, read-only."""
    u = rng.random(shape, dtype=dtype)
    u.reshape(-1)[:2] = [0, 0.5][:u.size]
    return read_only(LAYOUTS[layout](u))


def read_only(x):
    """A view that cannot be written to."""
    x = x.view()
    x.flags.writeable = False
    return x


def assert_agree(comp, ref, dtype):
    """Same shape, the expected dtype, and equal up to rounding: 1e-12 in float64."""
    tolerance = 1e-12 if dtype == np.float64 else 5e-6
    assert comp.dtype == dtype
    assert np.shape(comp) == np.shape(ref)
    np.testing.assert_allclose(comp, ref, rtol=tolerance, atol=tolerance)


def spoiled(x, alone=False, axes=None):
    """(error, x spoiled) for each way that a check at the door must refuse.

    alone: no other array is there whose dtype x could contradict; axes: those whose sizes others determine, None
    where any shape will do.
    """
    yield TypeError, x.tolist()
    yield TypeError, x.astype(np.int64)
    yield TypeError, x.astype(np.float16)
    if not alone:
        yield TypeError, x.astype(np.float32 if x.dtype == np.float64 else np.float64)
    if axes is not None:
        yield ValueError, x[None]
        yield ValueError, np.asarray(x[0])
        for axis in axes:
            yield ValueError, np.concatenate([x, x], axis)


def expected(name, shape="no", like="x"):
    """What an error message must match: it names the argument, a dtype or the expected shape, and says what came."""
    return rf"^{name}: expected (a float32 or float64 array|float64 like {like}|{shape}), got "


# --- bits ----------------------------------------------------------------------------------------------------------


def words_of_signs(x):
    """Rows of numbers as lists of Python integers: bit j of word i is 1 where entry 64 i + j is >= 0."""
    return [[sum(1 << j for j, entry in enumerate(row[i:i + 64]) if entry >= 0) for i in range(0, len(row), 64)]
            for row in x.tolist()]


def matmul_of_signs(x, w):
    """Each row of x with each row of w: how many signs agree, less how many differ (BNN eq. 7 counts agreements)."""
    out = np.zeros((len(x), len(w)), np.int64)
    for i, row in enumerate(x.tolist()):
        for j, weights in enumerate(w.tolist()):
            out[i, j] = sum(1 if (a >= 0) == (b >= 0) else -1 for a, b in zip(row, weights))
    return out


def matmul_of_pixels(x, w):
    """Each row of 8-bit pixels with each row of ±1, plane by plane (BNN eq. 6): bits 0 and 1 read as -1 and +1."""
    out = np.zeros((len(x), len(w)), np.int64)
    for i, row in enumerate(x.tolist()):
        for j, weights in enumerate(w.tolist()):
            out[i, j] = sum(2**n * (1 if pixel // 2**n % 2 else -1) * (1 if b >= 0 else -1)
                            for n in range(8) for pixel, b in zip(row, weights))
    return out
