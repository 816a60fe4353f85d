"""What the papers do to pictures before the first layer: centring, contrast normalization, whitening.

Each is an operation at the bottom of a network, on pixels already scaled to (2p - 255) / 256, and what was fitted to
the training pictures travels with the network as running statistics do: evaluation needs no training data.
"""

import contextlib
import hashlib
from pathlib import Path

import numpy as np

from ..files import DamagedError, atomic_write, read_arrays
from .checks import check_like, check_number, check_shapes, check_whole

PICTURE = (1, 2, 3)                   # the axes of one picture in (N, C, H, W)
LCN_SIGMA = 2.0                       # pixels; the width of the window's Gaussian in the papers' libraries
FIT_CHUNK = 1000                      # pictures that are float64 at one time during a fit


def _check_pictures(x, least=1):
    """Raise TypeError or ValueError unless x is so many pictures at least, of one pixel at least."""
    check_shapes(("x", x, "N C H W"))
    if len(x) < least or 0 in x.shape[1:]:
        raise ValueError(f"x: expected at least one picture, got none in shape {x.shape}")


def _positive(name, value):
    return check_number(name, value, "a number above 0", lambda value: value > 0)


# --- centring ------------------------------------------------------------------------------------------------------


def centre_fit(x):
    """The mean of every pixel over the training pictures, for `centre_forward` [BC §3.1].

    x: (N, C, H, W). Returns (mean,), mean: (C, H, W), added up in float64. Raises TypeError or ValueError for
    anything else, ValueError for no pictures.
    """
    _check_pictures(x)
    return (x.mean(axis=0, dtype=np.float64).astype(x.dtype),)


def centre_forward(x, mean):
    """out = x - mean, each pixel less its mean over the training pictures [BC §3.1].

    The BinaryConnect authors' code takes from the training and the test pictures each their own mean; here that of
    the training pictures serves both, so a picture's answer does not depend on the others in the test set.
    x: (N, C, H, W); mean: (C, H, W). Returns (out, cache, mean). Raises TypeError or ValueError where they do not fit.
    """
    check_shapes(("x", x, "N C H W"), ("mean", mean, "C H W"))
    return x - mean, x, mean


def centre_backward(dout, cache):
    """dx = dout; **exact**. dout: as x. Returns dx, as x."""
    x = cache
    check_like("dout", dout, "x", x)
    return dout.copy()


# --- global contrast normalization ---------------------------------------------------------------------------------


def gcn_forward(x, scale, eps=1e-4):
    """out = scale · (x - μ) / ‖x - μ‖, μ and the norm over all of one picture [BC §3.2].

    The papers' code has scale 55 for CIFAR-10 and 1 for SVHN. A picture whose norm is at most eps has no contrast and
    becomes 0; the norm of a scaled 8-bit picture is 0 or above 0.005. Brightness and contrast cancel, so it makes no
    difference how pixels were scaled before. x: (N, C, H, W). Returns (out, cache), out as x.
    Raises TypeError or ValueError for another x, ValueError for a scale that is not above 0 or an eps below 0.
    """
    _check_pictures(x, least=0)
    scale = _positive("scale", scale)
    eps = check_number("eps", eps, "a number of at least 0", lambda eps: eps >= 0)
    centred = x - x.mean(axis=PICTURE, keepdims=True)
    norm = np.sqrt(np.square(centred).sum(axis=PICTURE, keepdims=True))
    rnorm = np.divide(1, norm, out=np.zeros_like(norm), where=norm > eps)  # "reciprocal norm"
    unit, scale = centred * rnorm, x.dtype.type(scale)
    return scale * unit, (unit, scale * rnorm)


def gcn_backward(dout, cache):
    """dx = scale/‖x - μ‖ · (dout - mean(dout) - u Σ dout u) with u = out / scale; **exact**, 0 without contrast.

    What is taken away is what the normalization ignores: a change of brightness and one along the picture itself.
    dout: as x. Returns dx, as x.
    """
    unit, gain = cache
    check_like("dout", dout, "x", unit)
    along = (dout * unit).sum(axis=PICTURE, keepdims=True)
    return gain * (dout - dout.mean(axis=PICTURE, keepdims=True) - unit * along)


# --- ZCA whitening -------------------------------------------------------------------------------------------------


def zca_fit(x, bias=0.1):
    """P = V (Λ + bias)^(-1/2) Vᵀ with V Λ Vᵀ the covariance of the training pictures [BC §3.2].

    x: (N, C, H, W), as they come out of the steps before this one; the covariance is the sum over pictures divided
    by N. `bias` is a variance, so it belongs to a scale: 0.1 goes with global contrast normalization to 55, where
    it leaves the directions of small variance, noise above all, small. Computed in float64, a chunk of pictures at
    a time. Returns (mean, p) in the dtype of x, mean: (C, H, W), p: (D, D), symmetric, D = C·H·W.
    Raises TypeError or ValueError for another x, ValueError for no pictures or a bias that is not above 0.
    """
    _check_pictures(x)
    bias = _positive("bias", bias)
    mean = x.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((mean.size, mean.size))
    for start in range(0, len(x), FIT_CHUNK):
        rows = (x[start:start + FIT_CHUNK] - mean).reshape(-1, mean.size)
        covariance += rows.T @ rows
    eigenvalues, v = np.linalg.eigh(covariance / len(x))
    p = (v / np.sqrt(eigenvalues + bias)) @ v.T
    return mean.astype(x.dtype), p.astype(x.dtype)


def zca_forward(x, mean, p):
    """out = (x - mean) P: decorrelated pixels, and of all such rotations the one closest to the picture [BC §3.2].

    x: (N, C, H, W); mean: (C, H, W); p: (D, D), D = C·H·W, from `zca_fit`. Returns (out, cache, mean, p), out as x.
    Raises TypeError or ValueError where they do not fit.
    """
    check_shapes(("x", x, "N C H W"), ("mean", mean, "C H W"))
    rows = (x - mean).reshape(len(x), mean.size)
    check_shapes(("x", rows, "N D"), ("p", p, "D D"))
    return (rows @ p).reshape(x.shape), (x, p), mean, p


def zca_backward(dout, cache):
    """dx = dout Pᵀ; **exact**. dout: as x. Returns dx, as x."""
    x, p = cache
    check_like("dout", dout, "x", x)
    return (dout.reshape(len(x), len(p)) @ p.T).reshape(x.shape)


# --- local contrast normalization ----------------------------------------------------------------------------------


def _window(size, kernel_size, dtype):
    """Along one side: row i holds the weights with which pixel i's window averages, cut off at the border."""
    position = np.arange(size)
    distance = position[:, None] - position
    weight = np.exp(-np.square(distance) / (2 * LCN_SIGMA**2)) * (np.abs(distance) <= kernel_size // 2)
    return (weight / weight.sum(axis=1, keepdims=True)).astype(dtype)


def _local_mean(x, rows, columns):
    """The average over each pixel's window and all channels: (N, C, H, W) -> (N, 1, H, W)."""
    return rows @ x.mean(axis=1, keepdims=True) @ columns.T


def _local_mean_adjoint(dout, rows, columns, channels):
    """What each of `channels` equal channels receives: (N, 1, H, W) -> (N, 1, H, W)."""
    return rows.T @ dout @ columns / channels


def lcn_forward(x, kernel_size, eps=1e-4):
    """v = x - E[x], σ = √E[v²], out = v / max(σ, mean of σ over the picture, eps) [BC §3.3] [Jarrett et al. 2009].

    E averages over the channels and a kernel_size × kernel_size window around the pixel with Gaussian weights; at
    the border the weights inside are scaled up to a sum of 1. This is the definition of Jarrett et al. The libraries
    behind the papers take each channel by itself and count pixels beyond the border as 0; pylearn2 (BinaryConnect:
    kernel 7) has x² in place of v² in σ, and after dp (the Torch code of BNN: kernel 9) everything is divided by its
    maximum. x: (N, C, H, W). Returns (out, cache), out as x. Raises TypeError or ValueError for another x,
    ValueError for a kernel_size that is not odd and positive or an eps that is not above 0.
    """
    _check_pictures(x, least=0)
    kernel_size = check_whole("kernel_size", kernel_size, "an odd number of pixels, 1 at least",
                              lambda size: size > 0 and size % 2 == 1)
    eps = _positive("eps", eps)
    rows, columns = (_window(size, kernel_size, x.dtype) for size in x.shape[2:])
    v = x - _local_mean(x, rows, columns)
    std = np.sqrt(_local_mean(np.square(v), rows, columns))
    mean_std, eps = std.mean(axis=(2, 3), keepdims=True), x.dtype.type(eps)
    divisor = np.maximum(np.maximum(std, mean_std), eps)                    # N 1 H W
    return v / divisor, (v, std, mean_std, eps, rows, columns)


def lcn_backward(dout, cache):
    """From out = v / divisor down to x, through whichever of σ, its mean and eps is the divisor; **exact** [LCN-1].

    Where the largest two tie, and where σ = 0, there is no derivative: then none goes through σ. dout: as x.
    Returns dx, as x.
    """
    v, std, mean_std, eps, rows, columns = cache
    check_like("dout", dout, "x", v)
    _, channels, h, w = v.shape
    floor = np.maximum(mean_std, eps)
    divisor = np.maximum(std, floor)
    ddivisor = -(dout * v).sum(axis=1, keepdims=True) / np.square(divisor)
    dfloor = np.where(std > floor, 0, ddivisor).sum(axis=(2, 3), keepdims=True)
    dmean_std = np.where(mean_std > eps, dfloor, 0)
    dstd = np.where(std > floor, ddivisor, 0) + dmean_std / (h * w)
    dvar = np.divide(dstd, 2 * std, out=np.zeros_like(std), where=std > 0)
    dv = dout / divisor + 2 * v * _local_mean_adjoint(dvar, rows, columns, channels)
    return dv - _local_mean_adjoint(dv.sum(axis=1, keepdims=True), rows, columns, channels)


# --- a fit is done once --------------------------------------------------------------------------------------------


def fitted(fit, x, key, folder):
    """fit(x), read from `folder`/`key`.npz where it was once computed for these very pictures, else computed and kept.

    fit: a function of the pictures that returns a tuple of arrays, such as `zca_fit`; key: a file name that says
    which fit with which settings. The file holds a fingerprint of x beside the arrays, so a file that belongs to
    other pictures is not used. Returns the tuple. A file that is damaged is replaced; one that cannot be written
    costs the time of the next fit, nothing else.
    """
    path = Path(folder) / f"{key}.npz"
    digest = hashlib.sha256(str(x.shape).encode())
    digest.update(np.ascontiguousarray(x))
    fingerprint = np.frombuffer(digest.digest(), np.uint8)
    with contextlib.suppress(FileNotFoundError, DamagedError):
        kept = read_arrays(path, required=("fingerprint",))
        if np.array_equal(kept.pop("fingerprint"), fingerprint):
            return tuple(kept.values())
    arrays = fit(x)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            np.savez(file, *arrays, fingerprint=fingerprint)
    return arrays
