"""Preprocessing and bit planes, one number at a time: the reference that the package's arrays are compared with.

Loops over plain Python numbers, written from the papers' sentences, that share nothing with the package.
"""

import math

import numpy as np


def _pictures(x):
    """Every picture as a flat list of Python numbers."""
    return [[float(pixel) for pixel in picture.ravel()] for picture in x]


def pixel_means(x):
    """For each pixel its mean over the pictures."""
    pictures = _pictures(x)
    means = [math.fsum(picture[d] for picture in pictures) / len(pictures) for d in range(len(pictures[0]))]
    return np.array(means).reshape(x.shape[1:])


def centre(x, mean):
    """Every picture less the mean picture."""
    out = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(x.shape):
        out[n, c, i, j] = float(x[n, c, i, j]) - float(mean[c, i, j])
    return out


def _contrast(picture):
    """(the picture less its mean, the Euclidean norm of that)."""
    mean = math.fsum(picture) / len(picture)
    centred = [pixel - mean for pixel in picture]
    return centred, math.sqrt(math.fsum(pixel * pixel for pixel in centred))


def gcn(x, scale, eps):
    """Subtract the picture's mean, divide by its L2 norm, times scale; 0 where there is no contrast."""
    out = []
    for picture in _pictures(x):
        centred, norm = _contrast(picture)
        out.append([scale * pixel / norm if norm > eps else 0.0 for pixel in centred])
    return np.array(out).reshape(x.shape)


def gcn_backward(dout, x, scale, eps):
    """Σ_i dout_i ∂out_i/∂x_j, with every entry of the Jacobian: c_i = x_i - mean depends on all x, the norm too."""
    dx = []
    for picture, upstream in zip(_pictures(x), _pictures(dout)):
        centred, norm = _contrast(picture)
        size, row = len(picture), []
        for j in range(size):
            total = 0.0
            for i in range(size):
                if norm > eps:
                    jacobian = ((i == j) - 1 / size) / norm - centred[i] * centred[j] / norm**3
                    total += upstream[i] * scale * jacobian
            row.append(total)
        dx.append(row)
    return np.array(dx).reshape(x.shape)


def covariance(x):
    """Σ over pictures of (x_i - mean_i)(x_j - mean_j), divided by their number."""
    pictures, mean = _pictures(x), [float(m) for m in pixel_means(x).ravel()]
    size = len(mean)
    return np.array([[math.fsum((picture[i] - mean[i]) * (picture[j] - mean[j]) for picture in pictures) / len(pictures)
                      for j in range(size)] for i in range(size)])


def rows_times(x, matrix):
    """Each flattened picture as a row vector times the matrix, back in its shape."""
    out = [[math.fsum(picture[i] * float(matrix[i, j]) for i in range(len(picture))) for j in range(len(picture))]
           for picture in _pictures(x)]
    return np.array(out).reshape(x.shape)


def lcn(x, kernel_size, eps, sigma=2.0):
    """Jarrett et al. 2009: less the local average; divided by the local deviation or its average, the larger one."""
    _, channels, height, width = x.shape

    def window(i, j):
        """(row, column, weight) of the pixels around (i, j) that exist, weights adding up to 1."""
        reach = (kernel_size - 1) // 2
        places = [(p, q, math.exp(-((p - i)**2 + (q - j)**2) / (2 * sigma**2)))
                  for p in range(height) for q in range(width) if abs(p - i) <= reach and abs(q - j) <= reach]
        total = sum(weight for _, _, weight in places)
        return [(p, q, weight / total) for p, q, weight in places]

    out = np.zeros(x.shape)
    for n in range(len(x)):
        v, std = np.zeros(x.shape[1:]), np.zeros((height, width))
        for i, j in np.ndindex(height, width):
            average = math.fsum(weight * float(x[n, c, p, q])
                                for c in range(channels) for p, q, weight in window(i, j)) / channels
            for c in range(channels):
                v[c, i, j] = float(x[n, c, i, j]) - average
        for i, j in np.ndindex(height, width):
            std[i, j] = math.sqrt(math.fsum(weight * float(v[c, p, q])**2
                                            for c in range(channels) for p, q, weight in window(i, j)) / channels)
        mean_std = math.fsum(std.ravel().tolist()) / (height * width)
        for c, i, j in np.ndindex(*x.shape[1:]):
            out[n, c, i, j] = v[c, i, j] / max(std[i, j], mean_std, eps)
    return out


def plane_dense(p, w):
    """The BNN paper's sum for 8-bit inputs: each bit of each pixel, 0 or 1, times its power of two and a sign."""
    out = np.zeros((len(p), w.shape[1]))
    for n in range(len(p)):
        for m in range(w.shape[1]):
            for d in range(p.shape[1]):
                for bit, character in enumerate(reversed(f"{int(p[n, d]):08b}")):
                    if character == "1":
                        out[n, m] += 2**bit * (1 if w[d, m] >= 0 else -1)
    return out


def signs_sum(w):
    """For each unit, how many weights are +1 less how many are -1."""
    return np.array([sum(1 if float(weight) >= 0 else -1 for weight in column) for column in w.T])
