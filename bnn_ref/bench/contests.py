"""Kernels, networks on bits and training steps against their rivals: verified, then timed in one run."""

import functools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import packed
from ..kernels import bits, compiled, limit
from ..kernels.ladder import LADDER, WITH_PLANES, rung
from ..nets import network, recipe
from ..ops import binarize, conv, dense, optim
from ..papers import bnn
from ..training import loop
from ..training.fast import steps as fast
from . import timing, torch_step

BLAS = "NumPy float32 (BLAS)"
ALL_RUNGS_TO = 1024                   # larger products only for the rungs that are worth waiting for
SIZES, THOROUGH_SIZES = (1024, 2048, 4096), (1024, 2048, 4096, 8192)
SLOW = 10.0                           # seconds for one product; a rival that would take longer is left out
THREADED = ("blocks", "lookup")       # the rungs that are timed on all threads, too


# --- bench matmul --------------------------------------------------------------------------------------------------


def _operands(m, n, k, rng):
    """±1 as float32 and packed: x (m, k), w (n, k), a, b."""
    x, w = (rng.choice(np.array([-1, 1], np.float32), (rows, k)) for rows in (m, n))
    return x, w, bits.pack(x), bits.pack(w)


def _torch_rivals(torch, kinds, x, w, expected):
    """{name: function} of PyTorch's products of the same ±1. Raises AssertionError for one that gives other numbers."""
    rivals = {}
    for kind in (getattr(torch, kind) for kind in kinds):
        name = str(kind).replace("torch.", "PyTorch ")
        left, right = torch.from_numpy(x).to(kind), torch.from_numpy(w).to(kind).T
        out = torch.empty(expected.shape, dtype=torch.int32 if kind is torch.int8 else kind)
        rivals[name] = functools.partial(torch._int_mm if kind is torch.int8 else torch.mm, left, right, out=out)
        found = rivals[name]().to(torch.float64).numpy()
        # bfloat16 rounds its output to 8 bits: equal up to that; int8 and float32 to the integer.
        allowed = np.abs(expected).max() / 128 if kind is torch.bfloat16 else 0
        if np.abs(found - expected).max() > allowed:
            raise AssertionError(f"{name} is wrong for {expected.shape}: not timed")
    return rivals


def _patience(thorough):
    return timing.THOROUGH if thorough else timing.PATIENCE


def matmul(say=lambda text: None, thorough=False, sizes=None, side=4096):
    """Every rung this machine can run, its register limits, NumPy's BLAS and PyTorch, on size³ products of ±1; then few
    rows against side × side weights.

    A rival of which a smaller product says that this one would take more than 10 s is left out.
    """
    timing.check_tools()
    rng, rows = np.random.default_rng(0), []
    for size in sizes or (THOROUGH_SIZES if thorough else SIZES):
        operands = _operands(size, size, size, rng)
        for count in sorted({1, compiled.threads()}):
            rows += _square(size, count, *operands, _slow(rows, size, count), _patience(thorough),
                            lambda text, size=size, count=count: say(f"{size}³ on {timing.on(count)}: {text}"))
    few = []
    for m in (1, 4, 8, 16, 64):
        few += _few_rows(m, side, rng, _patience(thorough), lambda text, m=m: say(f"{m} rows: {text}"))
    return {**timing.header("matmul"), "rows": rows, "few_rows": few, "side": side}


def _slow(rows, size, count):
    """The names of PyTorch's products that would take too long, by those of the smaller sizes that were timed."""
    return {row["name"] for row in rows if row["threads"] == count and row["name"].startswith("PyTorch")
            and row["median"] * (size / row["size"])**3 > SLOW}


def _square(size, count, x, w, a, b, slow, patience, say):
    """Timings of one size on that many threads: a dict a contender. slow: names of PyTorch's that are left out."""
    expected = (x @ w.T).astype(np.int32)
    operations, torch = 2 * size**3, timing.pytorch()
    with timing.on_threads(count):
        contenders = {}
        for candidate in LADDER:
            small = candidate.module in ("reference", "loops") or candidate.name == "rows"
            if (candidate.module == "cuda" or candidate.missing() or (small and size > ALL_RUNGS_TO)
                    or (count > 1 and candidate.name not in THREADED)):
                continue
            say(f"verifying {candidate.name}")
            _verify(candidate, a, b, size, expected)
            contenders[candidate.name] = functools.partial(candidate, a, b, size)
        out = np.empty(expected.shape, np.float32)                 # memory of its own, as the kernels have
        contenders[BLAS] = lambda: np.matmul(x, w.T, out=out)
        if torch:
            kinds = [kind for kind in ("float32", "bfloat16", "int8") if f"PyTorch {kind}" not in slow]
            contenders |= _torch_rivals(torch, kinds, x, w, expected)
        if count == 1:
            for name in limit.available():
                contenders[limit.LABEL + name] = functools.partial(limit.seconds, operations, name)
            copied = np.empty_like(x)
            contenders["pack"] = lambda: bits.pack(x)
            contenders["copy of its input"] = lambda: np.copyto(copied, x)
        samples = timing.interleave(contenders, say, patience)
    return [{"size": size, "threads": count, "name": name, "operations": operations, **timing.summary(times)}
            for name, times in samples.items()]


def _verify(candidate, a, b, k, expected):
    if not np.array_equal(candidate(a, b, k), expected):
        raise AssertionError(f"rung {candidate.name} is wrong for {expected.shape} and k = {k}: not timed")


def _few_rows(m, side, rng, patience, say):
    """m rows of a against side × side weights, on one thread."""
    x, w, a, b = _operands(m, side, side, rng)
    expected = (x @ w.T).astype(np.int32)
    with timing.on_threads(1):
        contenders = {}
        for candidate in map(rung, WITH_PLANES):
            if not candidate.missing():
                _verify(candidate, a, b, side, expected)
                contenders[candidate.name] = functools.partial(candidate, a, b, side)
        contenders[BLAS] = lambda: x @ w.T
        samples = timing.interleave(contenders, say, patience)
    return [{"rows": m, "name": name, **timing.summary(times)} for name, times in samples.items()]


# --- bench mlp, bench convnet --------------------------------------------------------------------------------------


def _float_form(net, params):
    """The same network for NumPy's float32, at its best: products with weights that are ±1 already."""
    real = {dense.binary_dense_forward: dense.dense_forward, conv.binary_conv_forward: conv.conv_forward}
    steps = tuple(replace(step, predict=lambda *args, form=real[step.forward]: form(*args)[0])
                  if step.forward in real else step for step in net)
    return steps, {name: binarize.sign(w) if name.endswith(".w") else w for name, w in params.items()}


def _untrained(chosen, shape, images):
    """A network of a recipe with weights drawn at random, and statistics of its own: (net, params, running)."""
    net = recipe.build(replace(chosen, dropout=(0.0, 0.0)), shape, 10, bnn.VOCABULARIES["deterministic"])
    params, running = network.init(net, np.random.default_rng(0))
    batches = (loop.scale_pixels(part) for part in loop.batches(images, 50))
    return net, params, network.recompute_statistics(net, params, running, batches)


def _each(function, pictures, size):
    for part in loop.batches(pictures, size):
        function(part)


def _inference(what, chosen, shape, count, singles, batch, patience, say):
    """Pixels to logits on bits and in NumPy float32, `count` pictures at once and one at a time."""
    timing.check_tools()
    images = np.random.default_rng(1).integers(0, 256, (count, *shape), np.uint8)
    net, params, running = _untrained(chosen, shape, images[:100])
    on_bits = packed.pack_network(net, params, running, shape)
    steps, weights = _float_form(net, params)

    def in_floats(pictures):
        return np.concatenate([network.predict(steps, weights, running, loop.scale_pixels(part))
                               for part in loop.batches(pictures, batch)])

    say("verifying: logits on bits and in floats")
    if packed.predict(on_bits, images).tobytes() != in_floats(images).tobytes():
        raise AssertionError(f"{what}: logits differ: not timed")
    if network.predict(net, params, running, loop.scale_pixels(images[:9])).tobytes() != in_floats(
            images[:9]).tobytes():
        raise AssertionError(f"{what}: the float form is not the network's: not timed")
    rows = []
    for threads in sorted({1, compiled.threads()}):
        with timing.on_threads(threads):
            for how, pictures, size in (("at once", images, count), ("one at a time", images[:singles], 1)):
                contenders = {
                    "bits": functools.partial(_each, lambda x: packed.predict(on_bits, x), pictures, size),
                    "floats": functools.partial(_each, in_floats, pictures, size)}
                samples = timing.interleave(contenders, lambda text, how=how, threads=threads: say(
                    f"{how}, {timing.on(threads)}: {text}"), patience)
                rows += [{"pictures": len(pictures), "how": how, "threads": threads, "name": name,
                          **timing.summary(times)} for name, times in samples.items()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.bnn"
        packed.save_packed(path, on_bits)
        size = path.stat().st_size
    floats = sum(w.nbytes for w in params.values()) + sum(array.nbytes for array in running.values())
    return {**timing.header(what), "net": chosen.net, "rows": rows, "packed_bytes": size, "float32_bytes": floats}


def mlp(say=lambda text: None, thorough=False, count=10_000):
    """The MLP 784-4096×3-10 on 10,000 pictures, random ones: neither speed nor equality depends on what they show."""
    chosen = bnn.RECIPES["mnist", "mlp", "paper"]
    return _inference("mlp", chosen, (1, 28, 28), count, 100, 1000, _patience(thorough), say)


def convnet(say=lambda text: None, thorough=False, count=100):
    """The CIFAR-10 ConvNet on 100 pictures, its borders padded with -1."""
    chosen = replace(bnn.RECIPES["cifar10", "convnet", "paper"], pad_value=-1.0)
    return _inference("convnet", chosen, (3, 32, 32), count, 20, 20, _patience(thorough), say)


# --- bench train ---------------------------------------------------------------------------------------------------


def training(say=lambda text: None, thorough=False, nets=("mlp", "convnet")):
    """A training step on a minibatch of 100, the MLP 784-1024×3-10 and the MNIST ConvNet: readable, fast, PyTorch's."""
    timing.check_tools()
    rows = []
    for kind in nets:
        chosen = bnn.RECIPES["mnist", kind, "quick"]
        _verify_steps(chosen, (1, 28, 28), say)
        for threads in sorted({1, compiled.threads()}):
            with timing.on_threads(threads):
                contenders = _step_contenders(chosen, (1, 28, 28))
                samples = timing.interleave(
                    contenders, lambda text, kind=kind, threads=threads: say(
                        f"{kind}, {timing.on(threads)}: {text}"), _patience(thorough))
            rows += [{"net": kind, "threads": threads, "name": name, **timing.summary(times)}
                     for name, times in samples.items()]
    notations = {kind: bnn.RECIPES["mnist", kind, "quick"].net for kind in nets}
    return {**timing.header("train"), "nets": notations, "rows": rows}


def _step_contenders(chosen, shape, dtype=np.float32):
    """{name: function that does one step and returns (loss, params)}, all from one point on one minibatch."""
    rng = np.random.default_rng(2)
    net = recipe.build(chosen, shape, 10, bnn.VOCABULARIES["deterministic"])
    params, running = network.init(net, rng, dtype)
    # With β = 0 a unit whose batch mean is an integer has activations of 0, whose sign rounding decides.
    params = {name: rng.normal(0, 0.1, w.shape).astype(dtype) if name.endswith(".beta") else w
              for name, w in params.items()}
    images = loop.scale_pixels(rng.integers(0, 256, (chosen.batch, *shape), np.uint8)).astype(dtype)
    labels = rng.integers(0, 10, chosen.batch)
    rates = optim.learning_rates(chosen.lr[0], loop.binary_shapes(net), params, chosen.optimizer.glorot_power)

    def stepper(step, steps, params, state):
        at = {"params": params, "running": running, "state": state}

        def once():
            loss, at["params"], at["running"], at["state"] = step(
                steps, chosen, at["params"], at["running"], at["state"], images, labels, rates, rng)
            return float(loss), at["params"]

        return once

    state = chosen.optimizer.init(params)
    contenders = {"readable": stepper(loop.training_step, net, params, state),
                  "fast": stepper(fast.training_step, fast.accelerate(net), *fast.own(chosen, params, state))}
    torch = timing.pytorch()
    if torch:
        x, y = torch.from_numpy(images), torch.from_numpy(labels)
        for adam in torch_step.ADAMS:
            step, tensors = torch_step.make_step(net, params, rates, adam)
            contenders[f"PyTorch eager, {adam} Adam"] = lambda step=step, tensors=tensors: (step(x, y), tensors)
    return contenders


def _verify_steps(chosen, shape, say):
    """Three steps of each: the fast one writes the bytes of the readable one. PyTorch's losses are compared in float64,
    because it adds in another order, and in float32 that alone turns signs over."""
    steps = _step_contenders(chosen, shape)
    for _ in range(3):
        say("verifying the fast step")
        (_, expected), (_, found) = steps["readable"](), steps["fast"]()
        if any(found[name].tobytes() != w.tobytes() for name, w in expected.items()):
            raise AssertionError("the fast training step writes other bytes: not timed")
    exact = _step_contenders(chosen, shape, np.float64)
    losses = {}
    for name, step in exact.items():
        say(f"verifying {name}")
        losses[name] = [step()[0] for _ in range(3)]
        if not np.allclose(losses[name], losses["readable"], rtol=1e-6):
            raise AssertionError(f"{name}: losses {losses[name]}, expected {losses['readable']}: not timed")


BENCHES = {"matmul": matmul, "mlp": mlp, "convnet": convnet, "train": training}
