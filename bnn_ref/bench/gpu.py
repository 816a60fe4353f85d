"""The CUDA rungs on this machine's GPU: verified, then timed. `python -m bnn_ref.bench.gpu [--json FILE] [--size N]`

Nothing is timed before it gave the right integers. Times are medians over repetitions, taken by the GPU's own clock
(CUDA events) while rivals take turns, with operands and results on the device; transfers are stated apart.
"""

import argparse
import io
import itertools
import json
import math
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from ..files import PlaceError, atomic_write, check_place
from ..kernels import bits, device, ladder, reference
from ..kernels import cuda as kernels

RUNGS = {
    "cuda_naive": kernels.launch_naive,
    "cuda_tiled": kernels.launch_tiled,
    "cuda_carry_save": kernels.launch_carry_save,
    "cuda_tensor": kernels.launch_tensor,
}
RAGGED = tuple(itertools.product((1, 63, 64, 65, 130, 1000), repeat=3))
SAMPLE = 0.02                         # seconds: what takes less is launched again and again between two events
IMAGES, LAYERS = 10_000, (784, 4096, 4096, 4096, 10)                 # [BNN §4]


def verify(shapes):
    """Compare every rung that can run here with `reference.identity`, and packing and the float kernel beside them.

    shapes: (m, n, k) each. Returns the rungs' names. Raises AssertionError naming the first that differs.
    """
    rng = np.random.default_rng(0)
    names = [name for name in RUNGS if device.missing(name) is None]
    for m, n, k in shapes:
        x, w = (rng.standard_normal((rows, k), np.float32) for rows in (m, n))
        x[rng.random(x.shape) < 0.1], x[rng.random(x.shape) < 0.1], x[rng.random(x.shape) < 0.1] = 0.0, -0.0, np.nan
        a, b = bits._pack_bits(x >= 0), bits._pack_bits(w >= 0)
        expected = reference.identity(a, b, k)
        results = {name: getattr(kernels, name)(a, b, k) for name in names}
        signs, weights = bits.unpack(a, k, np.float32), bits.unpack(b, k, np.float32).T
        results["float_baseline"] = kernels.float_baseline(signs, weights)
        for name, result in results.items():
            require(np.array_equal(result, expected), f"{name} differs from identity for m, n, k = {m}, {n}, {k}")
        require(np.array_equal(kernels.cuda_pack(x), a), f"cuda_pack differs from bits.pack for {m} × {k}")
    return names


def require(condition, message):
    """Raise AssertionError, with python -O too."""
    if not condition:
        raise AssertionError(message)


def seconds(rivals, repetitions):
    """{name: times} of {name: function that launches}, in turns, so that all see the same machine."""
    start, stop = kernels.cuda.event(), kernels.cuda.event()

    def elapsed(launches, times):
        start.record()
        for _ in range(times):
            launches()
        stop.record()
        stop.synchronize()
        return start.elapsed_time(stop) / 1000 / times

    for launches in rivals.values():
        elapsed(launches, 1)                                             # compiles it
    often = {name: max(1, math.ceil(SAMPLE / elapsed(launches, 1))) for name, launches in rivals.items()}
    taken = {name: [] for name in rivals}
    for _ in range(repetitions):
        for name, launches in rivals.items():
            taken[name].append(elapsed(launches, often[name]))
    return {name: {"median": statistics.median(times), "min": min(times), "max": max(times), "launches": often[name]}
            for name, times in taken.items()}


def libraries(x, w, expected):
    """{name: function that launches} of cuBLAS's products, through PyTorch or CuPy, whichever there is; verified.

    x: float32 (m, k), w: float32 (k, n), both ±1; expected: int32 (m, n). What cannot run is said on stderr.
    """
    rivals, checks = {}, {}
    try:
        import torch
    except ImportError:
        try:
            import cupy
        except ImportError:
            print("neither PyTorch nor CuPy: no cuBLAS to compare with", file=sys.stderr)
            return {}
        for name, dtype in (("cublas float32", np.float32), ("cublas float16", np.float16)):   # TF32 is off in CuPy
            operands = cupy.asarray(x, dtype), cupy.asarray(w, dtype)
            out = cupy.empty(expected.shape, dtype)
            rivals[name] = lambda operands=operands, out=out: cupy.matmul(*operands, out=out)
            checks[name] = lambda out=out: cupy.asnumpy(out)
    else:
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        for name, dtype, product, result in (("cublas float32", torch.float32, torch.mm, torch.float32),
                                             ("cublas float16", torch.float16, torch.mm, torch.float16),
                                             ("cublas int8", torch.int8, torch._int_mm, torch.int32)):
            left = torch.from_numpy(x).cuda().to(dtype)
            right = torch.from_numpy(np.ascontiguousarray(w.T)).cuda().to(dtype).T  # column by column, as int8 wants it
            out = torch.empty(expected.shape, dtype=result, device="cuda")
            rivals[name] = lambda left=left, right=right, out=out, product=product: product(left, right, out=out)
            checks[name] = lambda out=out: out.cpu().numpy()
    for name in list(rivals):
        try:
            rivals[name]()
        except RuntimeError as error:                                    # int8 is choosy about sizes
            print(f"{name} cannot run here: {str(error).splitlines()[0]}", file=sys.stderr)
            del rivals[name]
            continue
        result = checks[name]()
        require(np.array_equal(result, expected.astype(result.dtype)), f"{name} differs")
    return rivals


def product_times(names, size, repetitions):
    """The product of two size × size matrices of ±1: kernels, rungs with packing and without, cuBLAS; and transfers."""
    rng = np.random.default_rng(1)
    x, w = (2 * rng.integers(0, 2, (size, size), np.int8).astype(np.float32) - 1 for _ in range(2))
    a, b = bits.pack(x), bits.pack(np.ascontiguousarray(w.T))
    expected = ladder.xnor_matmul(a, b, size)
    d_x, d_w, d_columns = (kernels.cuda.to_device(np.ascontiguousarray(rows)) for rows in (x, w, w.T))
    d_a, d_b = kernels.cuda.to_device(a), kernels.cuda.to_device(b)
    floats = kernels.cuda.device_array(expected.shape, np.float32)
    out = kernels.cuda.device_array(expected.shape, np.int32)
    ones = [kernels.cuda.device_array(size, np.int32) for _ in range(2)]

    def launch(name, packing=False):
        if packing:
            kernels.launch_pack(d_x, d_a)
            kernels.launch_pack(d_columns, d_b)
        RUNGS[name](d_a, d_b, size, out, *([ones] if name == "cuda_tensor" else []))

    rivals = {"float_baseline": lambda: kernels.launch_float_baseline(d_x, d_w, floats)}
    rivals["float_baseline"]()
    require(np.array_equal(floats.copy_to_host(), expected), f"float_baseline differs at {size}³")
    for name in names:
        for packing in (False, True):
            rivals[f"{name} + packing" if packing else name] = lambda name=name, packing=packing: launch(name, packing)
            out.copy_to_device(np.zeros_like(expected))
            launch(name, packing)
            require(np.array_equal(out.copy_to_host(), expected), f"{name} differs from the CPU's product at {size}³")
    rivals.update(libraries(x, w, expected))
    host = {"a, b to the device, packed": lambda: (d_a.copy_to_device(a), d_b.copy_to_device(b)),
            "x, w to the device, float32": lambda: (d_x.copy_to_device(x), d_w.copy_to_device(w)),
            "product to the host, int32": lambda: out.copy_to_host(expected)}
    return seconds(rivals, repetitions), transfer_times(host, repetitions)


def transfer_times(transfers, repetitions):
    """As `seconds`, by the host's clock, from and to ordinary (pageable) memory."""
    taken = {name: [] for name in transfers}
    for _ in range(repetitions):
        for name, transfer in transfers.items():
            kernels.cuda.synchronize()
            start = time.perf_counter()
            transfer()
            kernels.cuda.synchronize()
            taken[name].append(time.perf_counter() - start)
    return {name: {"median": statistics.median(times), "min": min(times), "max": max(times)}
            for name, times in taken.items()}


def mlp_times(names, repetitions, images=IMAGES, layers=LAYERS):
    """The paper's network on its batch of 10,000 [BNN §4]: the first layer in floats, the others on a rung, or floats.

    Pixels and ±1 weights are random, and batch normalization is left out: behind a product of integers it is a
    threshold per neuron, here 0. The same scores, so the same labels, are required. The paper packs the weights
    each time.
    """
    rng = np.random.default_rng(2)
    x = kernels.cuda.to_device(rng.integers(0, 256, (images, layers[0])).astype(np.float32))
    weights = [2 * rng.integers(0, 2, shape, np.int8).astype(np.float32) - 1 for shape in itertools.pairwise(layers)]
    w = [kernels.cuda.to_device(matrix) for matrix in weights]
    columns = [kernels.cuda.to_device(np.ascontiguousarray(matrix.T)) for matrix in weights[1:]]
    packed_w = [kernels.cuda.to_device(bits.pack(np.ascontiguousarray(matrix.T))) for matrix in weights[1:]]
    s = [kernels.cuda.device_array((images, width), np.float32) for width in layers[1:]]
    s_int = [kernels.cuda.device_array((images, width), np.int32) for width in layers[2:]]
    packed = [kernels.cuda.device_array((images, bits.words(width)), bits.WORD) for width in layers[1:-1]]
    ones = [[kernels.cuda.device_array(size, np.int32) for size in (images, width)] for width in layers[2:]]

    def baseline():
        for layer, matrix in enumerate(w):
            kernels.launch_float_baseline(s[layer - 1] if layer else x, matrix, s[layer])
            if layer < len(w) - 1:
                kernels.launch_sign(s[layer])

    def xnor(name, packing):
        kernels.launch_float_baseline(x, w[0], s[0])
        for layer, width in enumerate(layers[1:-1]):
            kernels.launch_pack(s_int[layer - 1] if layer else s[0], packed[layer])
            if packing:
                kernels.launch_pack(columns[layer], packed_w[layer])
            scratch = [ones[layer]] if name == "cuda_tensor" else []
            RUNGS[name](packed[layer], packed_w[layer], width, s_int[layer], *scratch)

    baseline()
    expected = s[-1].copy_to_host()
    rivals = {"float_baseline": baseline}
    for name in names:
        for packing in (True, False):
            rivals[name if packing else f"{name}, weights packed before"] = (
                lambda name=name, packing=packing: xnor(name, packing))
            s_int[-1].copy_to_device(np.zeros(expected.shape, np.int32))
            xnor(name, packing)
            scores = s_int[-1].copy_to_host()
            require(np.array_equal(scores.argmax(1), expected.argmax(1)), f"{name}: the network gives other labels")
            require(np.array_equal(scores, expected), f"{name}: the network gives other scores")
    return seconds(rivals, repetitions)


def machine():
    """What the figures were taken on."""
    gpu = kernels.cuda.get_current_device()
    try:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", f"--id={gpu.id}"]
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        driver = "unknown"
    loaded = [name for name in ("numpy", "numba", "torch", "cupy") if name in sys.modules]
    versions = {name: sys.modules[name].__version__ for name in loaded}
    name = gpu.name.decode() if isinstance(gpu.name, bytes) else gpu.name
    return {"gpu": name, "compute_capability": list(gpu.compute_capability), "driver": driver,
            "cuda": list(kernels.cuda.runtime.get_version()), "python": platform.python_version(), **versions}


def table(title, figures, operations=None):
    """Lines of a table: median, spread, Top/s of so many operations, and ratios to the two that the paper compares."""
    lines = [f"{title:36}{'median':>12}{'min':>12}{'max':>12}{'Top/s':>9}{'× baseline':>12}{'× cuBLAS':>10}"]
    for name, figure in figures.items():
        median = figure["median"]
        ratios = [figures[other]["median"] / median if other in figures else None
                  for other in ("float_baseline", "cublas float32")]
        figure["times_as_fast_as"] = {"float_baseline": ratios[0], "cublas_float32": ratios[1]}
        rate = f"{operations / median / 1e12:9.1f}" if operations else " " * 9
        lines.append(f"{name:36}" + "".join(f"{1000 * figure[key]:9.3f} ms" for key in ("median", "min", "max")) + rate
                     + "".join(f"{ratio:{width}.2f}" if ratio else "" for ratio, width in zip(ratios, (12, 10))))
    return "\n".join(lines)


def main(arguments=None):
    """Verify, then time; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):       # × and its like, where output is ASCII
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = argparse.ArgumentParser(prog="python -m bnn_ref.bench.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, in seconds")
    parser.add_argument("--size", type=int, default=8192, help="rows, columns and inner size of the product (8192)")
    parser.add_argument("--repetitions", type=int, default=11, help="how often each is timed (11)")
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there already")
    options = parser.parse_args(arguments)
    if options.size < 1 or options.repetitions < 1:
        parser.error("--size and --repetitions: expected at least 1")
    if options.json:
        try:
            check_place(options.json, options.force)
        except PlaceError as error:
            parser.error(f"--json: {error}")
    lacking = device.missing("cuda_naive")
    if lacking:
        print(f"bnn_ref.bench.gpu: {lacking}", file=sys.stderr)
        return 2
    shapes = [(1, 1, 1), (3, 5, 65), (options.size,) * 3] if device.SIMULATED else RAGGED
    names = verify(shapes)
    print(f"{len(shapes)} shapes: {', '.join(names)} give the integers of identity")
    for name in [name for name in RUNGS if name not in names]:
        print(f"{name}: {device.missing(name)}", file=sys.stderr)
    if device.SIMULATED:
        print("not timed: this is Numba's simulator")
        return 0

    products, transfers = product_times(names, options.size, options.repetitions)
    networks = mlp_times(names, options.repetitions)
    lines = [table(f"{options.size} × {options.size} × {options.size}", products, 2 * options.size ** 3),
             table("transfers", transfers),
             table(f"MLP {'-'.join(map(str, LAYERS))}, {IMAGES} images", networks)]
    print(*lines, sep="\n\n")
    if options.json:
        figures = {"machine": machine(), "size": options.size, "repetitions": options.repetitions, "unit": "seconds",
                   "product": products, "transfers": transfers, "mlp": networks}
        with atomic_write(options.json) as file:
            file.write((json.dumps(figures, indent=2) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
