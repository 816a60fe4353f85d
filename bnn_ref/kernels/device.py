"""The GPU as every CUDA rung meets it: what is missing here, arrays there and back, and how a kernel is launched."""

import functools
import warnings

import numpy as np

try:
    import numba
    from numba import cuda
except ImportError:
    numba = cuda = None

SIMULATED = cuda is not None and bool(numba.config.ENABLE_CUDASIM)


def missing(name):
    """What the rung of that name needs that this machine lacks, in one line; None where it can run. Never raises."""
    if cuda is None:
        return "needs Numba (pip install numba)"
    try:
        if not cuda.is_available():
            return "needs an NVIDIA GPU, its driver and CUDA's NVVM, and Numba finds no such set"
        if name != "cuda_tensor":
            return None
        if SIMULATED:
            return "needs an NVIDIA GPU, and Numba's simulator has no tensor cores"
        capability = cuda.get_current_device().compute_capability
    except Exception as error:        # drivers fail in many ways, and a question must not
        return f"needs an NVIDIA GPU, and asking for it failed ({' '.join(f'{type(error).__name__}: {error}'.split())})"
    if not (8, 0) <= capability <= (9, 0):
        return ("needs binary tensor cores, which GPUs of compute capability 8.0 to 9.0 have, "
                f"and this one is {'.'.join(map(str, capability))}")
    return None


def on_device(launch, a, b, k):
    """A rung from its launch: a and b to the device, the product back. Returns int32 (m, n)."""
    out = np.empty((len(a), len(b)), np.int32)
    if out.size:                      # a grid of no blocks is an error
        product = cuda.device_array(out.shape, out.dtype)
        launch(cuda.to_device(np.ascontiguousarray(a)), cuda.to_device(np.ascontiguousarray(b)), int(k), product)
        product.copy_to_host(out)
    return out


def run(kernel, blocks, threads, *arguments):
    """Launch a kernel, compiled at its first launch. Returns at once, when the device has yet to run it."""
    with warnings.catch_warnings():   # Numba warns that a small product leaves most of a GPU idle; so it does
        warnings.simplefilter("ignore", numba.core.errors.NumbaPerformanceWarning)
        configured = _compiled(kernel)[blocks, threads]
    configured(*arguments)


@functools.cache
def _compiled(kernel):
    return cuda.jit(kernel)


def covering(shape, tile):
    """How many tile × tile blocks cover an array. One axis of them, because the others end at 65,535."""
    return -(-shape[0] // tile) * -(-shape[1] // tile)
