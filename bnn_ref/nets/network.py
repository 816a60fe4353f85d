"""A network is data: an ordered tuple of small step descriptions. This module runs it, and nothing else composes.

Forward keeps the caches, backward walks up them and returns gradients under full-path names ("fc1.w"), predict uses
each step's test-time function. Parameters and running statistics are dicts of arrays that come and go.
"""

from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from ..ops.checks import FLOATS, as_dtype, check_generator, check_instance

FIT_BATCH = 1000                      # pictures that go through a step at one time while those above wait to be fitted


@dataclass(frozen=True)
class Param:
    """A trainable array of a step."""

    name: str
    shape: tuple
    init: Callable                    # init(rng, shape) -> float64 array
    binary: bool = False              # the real weight behind a binary one: clipped to [-1, 1], its rate scaled


@dataclass(frozen=True)
class Step:
    """One operation in a network: its functions, and the arrays that they take besides the activation.

    forward(x, *params, *running, *noise, *settings) -> out, cache, *new running
    backward(dout, cache) -> dx, *dparams
    predict(x, *params, *running, *settings) -> out; None: at test time it is forward, without its cache
    """

    name: str
    forward: Callable
    backward: Callable
    predict: Callable | None = None
    params: tuple = ()                # Param, in the order of forward's arguments
    running: tuple = ()               # (name, shape, first value) of running statistics
    draw: Callable | None = None      # draw(rng, x, *params) -> the random argument of forward, or a tuple of them
    settings: tuple = ()              # stride, pad, ...
    surrogate: Callable | None = None  # of an estimator: surrogate(*forward's arguments) -> what to freeze
    fit: Callable | None = None       # fit(x) -> its running arrays, once, from training pictures
    refresh: Callable | None = None   # refresh(*params) -> its running arrays, before each epoch

    def __repr__(self):
        operation = self.forward.__name__.removesuffix("_forward")
        shapes = [f"{p.name} {'×'.join(map(str, p.shape))}" for p in self.params]
        settings = [str(value) for value in self.settings]
        return "  ".join([f"{self.name:<8}{operation:<24}", *shapes, *settings]).rstrip()


def check_steps(name, steps):
    """Raise TypeError unless `steps` is a tuple of Step; a list will do."""
    check_instance(name, steps, tuple | list, "a tuple of Step")
    for step in steps:
        check_instance(name, step, Step, "a tuple of Step")


@contextmanager
def _naming(step):
    """Put the step's name in front of what a TypeError or a ValueError says of its arrays."""
    try:
        yield
    except TypeError as error:
        raise TypeError(f"{step.name}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{step.name}: {error}") from error


def describe(steps):
    """The architecture as text: one line a step (name, operation, parameter shapes, settings)."""
    check_steps("steps", steps)
    return "\n".join(map(repr, steps))


def param_specs(steps):
    """{full-path name: Param} of all trainable arrays, in order. Raises ValueError if two steps share a name.
    """
    check_steps("steps", steps)
    specs = {f"{step.name}.{param.name}": param for step in steps for param in step.params}
    if len({step.name for step in steps}) != len(steps):
        raise ValueError(f"steps: expected distinct names, got {[step.name for step in steps]}")
    return specs


def shapes(steps):
    """({name: shape} of the parameters, {name: shape} of the running statistics) that `init` makes, which can be much
    memory. Raises TypeError or ValueError for steps that are none."""
    return ({name: spec.shape for name, spec in param_specs(steps).items()},
            {f"{step.name}.{name}": shape for step in steps for name, shape, _ in step.running})


def init(steps, rng, dtype=np.float32):
    """Initial parameters and running statistics: two dicts of arrays under full-path names.

    rng: a Generator; dtype: float32 or float64. Raises TypeError for others.
    """
    dtype, specs = as_dtype("dtype", dtype, "float32 or float64", FLOATS.__contains__), param_specs(steps)
    if specs:
        check_generator("rng", rng)
    params = {name: spec.init(rng, spec.shape).astype(dtype) for name, spec in specs.items()}
    running = {f"{step.name}.{name}": np.full(shape, value, dtype)
               for step in steps for name, shape, value in step.running}
    return params, running


def zeros(steps, dtype=np.float32):
    """As `init`, of zeros: for what needs shapes alone."""
    return ({name: np.zeros(spec.shape, dtype) for name, spec in param_specs(steps).items()},
            {f"{step.name}.{name}": np.zeros(shape, dtype) for step in steps for name, shape, _ in step.running})


def _arrays(step, params, running):
    return (_named("params", params, [f"{step.name}.{param.name}" for param in step.params]),
            _named("running", running, [f"{step.name}.{name}" for name, _, _ in step.running]))


def _named(what, arrays, names):
    check_instance(what, arrays, dict, "a dict of arrays by full-path name")
    for name in names:
        if name not in arrays:
            raise ValueError(f"{what}: expected an array {name}, got none of that name")
    return [arrays[name] for name in names]


def as_tuple(results):
    """A backward with one gradient, or a draw of one array, returns it bare."""
    return results if isinstance(results, tuple) else (results,)


def _noise(step, rng, x, arrays):
    return () if step.draw is None else as_tuple(step.draw(rng, x, *arrays))


def forward(steps, params, running, x, rng):
    """Training pass up the network.

    x: the minibatch; rng: the Generator that steps with noise draw from. Returns (out, caches, new running
    statistics); the dicts passed in stay as they are. Raises TypeError or ValueError, the name of the step in front,
    for arrays that do not fit.
    """
    check_steps("steps", steps)
    check_instance("running", running, dict, "a dict of arrays by full-path name")
    caches, running = [], dict(running)
    for step in steps:
        with _naming(step):
            arrays, averages = _arrays(step, params, running)
            noise = _noise(step, rng, x, arrays)
            x, cache, *updated = step.forward(x, *arrays, *averages, *noise, *step.settings)
        caches.append(cache)
        running.update((f"{step.name}.{name}", new) for (name, _, _), new in zip(step.running, updated))
    return x, caches, running


def backward(steps, caches, dout):
    """From the derivative of the loss with respect to the output, down to the input.

    Returns (dx, {full-path name: gradient}). Raises TypeError or ValueError for caches that are not those of the steps
    or, the name of the step in front, for a dout that does not fit.
    """
    check_steps("steps", steps)
    check_instance("caches", caches, list, "the list that forward returned")
    if len(caches) != len(steps):
        raise ValueError(f"caches: expected one for each of {len(steps)} steps, got {len(caches)}")
    grads = {}
    for step, cache in zip(reversed(steps), reversed(caches)):
        with _naming(step):
            dout, *dparams = as_tuple(step.backward(dout, cache))
        grads.update((f"{step.name}.{param.name}", dparam) for param, dparam in zip(step.params, dparams))
    return dout, grads


def _predict(step, *args):
    return step.forward(*args)[0] if step.predict is None else step.predict(*args)


def predict(steps, params, running, x):
    """Test-time pass: each step's own function for it. Returns the output. Raises as `forward` does."""
    check_steps("steps", steps)
    for step in steps:
        with _naming(step):
            arrays, averages = _arrays(step, params, running)
            x = _predict(step, x, *arrays, *averages, *step.settings)
    return x


def _up_to_last(steps, is_meant):
    """The steps from the first to the last one that is meant, both included; none if none is."""
    return steps[:max((place + 1 for place, step in enumerate(steps) if is_meant(step)), default=0)]


def fit(steps, running, x, fitted=lambda step, x: step.fit(x)):
    """Running arrays of the steps that are fitted to data, such as whitening: x are training pictures.

    They stand at the bottom, before anything that learns. fitted(step, x) -> arrays: a place to keep what takes long.
    Returns new running arrays. Raises as `forward` does.
    """
    check_steps("steps", steps)
    check_instance("running", running, dict, "a dict of arrays by full-path name")
    running, below = dict(running), _up_to_last(steps, lambda step: step.fit)
    for step in below:
        with _naming(step):
            if step.fit:
                running.update((f"{step.name}.{name}", new) for (name, _, _), new in zip(step.running, fitted(step, x)))
            if step is not below[-1]:
                arrays = _arrays(step, {}, running)[1]
                x = np.concatenate([_predict(step, x[start:start + FIT_BATCH], *arrays, *step.settings)
                                    for start in range(0, len(x), FIT_BATCH)])
    return running


def refresh(steps, params, running):
    """Running arrays of the steps that take them from their parameters, such as a quantile of weights, anew.

    Raises as `forward` does.
    """
    check_steps("steps", steps)
    check_instance("running", running, dict, "a dict of arrays by full-path name")
    running = dict(running)
    for step in steps:
        if step.refresh:
            with _naming(step):
                new = step.refresh(*_arrays(step, params, running)[0])
            running.update((f"{step.name}.{name}", array) for (name, _, _), array in zip(step.running, new))
    return running


def has_statistics(step):
    """Whether the step's running arrays are statistics of minibatches, as of batch normalization."""
    return bool(step.running) and not (step.fit or step.refresh)


def recompute_statistics(steps, params, running, batches):
    """Running statistics for the network as it stands at test time.

    Mean and variance of every batch, plainly averaged, with all other steps in their test-time form: as in
    BinaryConnect's first code, which samples weights in training and uses the real ones at test time.

    batches: an iterable of minibatches, one at least. Returns new running arrays, those that are no statistics as they
    were. Raises ValueError for no minibatch, else as `forward` does.
    """
    check_steps("steps", steps)
    check_instance("running", running, dict, "a dict of arrays by full-path name")
    check_instance("batches", batches, Iterable, "an iterable of minibatches")
    below = _up_to_last(steps, has_statistics)
    totals, count = {}, 0
    for x in batches if below else [None]:
        for step in below:
            with _naming(step):
                arrays, averages = _arrays(step, params, running)
                if has_statistics(step):
                    # With alpha = 1 the "new running statistics" are those of this batch.
                    x, _, *batch = step.forward(x, *arrays, *averages, *step.settings, alpha=1.0)
                    for (name, _, _), value in zip(step.running, batch):
                        totals[f"{step.name}.{name}"] = totals.get(f"{step.name}.{name}", 0.0) + value
                else:
                    x = _predict(step, x, *arrays, *averages, *step.settings)
        count += 1
    if not count:
        raise ValueError("batches: expected at least one minibatch, got none")
    return running | {name: (total / count).astype(running[name].dtype) for name, total in totals.items()}


def freeze(steps, params, running, x, rng):
    """The network with each estimator replaced by its surrogate, and each pooling by its choice, at (params, x).

    There the frozen network has the same value, and its exact derivative is what `backward` returns: so finite
    differences can verify a whole binarized network. rng: seeded as in the forward pass to be verified.
    Raises as `forward` does.
    """
    check_steps("steps", steps)
    frozen = []
    for step in steps:
        with _naming(step):
            arrays, averages = _arrays(step, params, running)
            noise = _noise(step, rng, x, arrays)
            out = step.forward(x, *arrays, *averages, *noise, *step.settings)[0]
            surrogate = step.surrogate and step.surrogate(x, *arrays, *averages, *noise, *step.settings)
        frozen.append(replace(step, forward=surrogate) if surrogate else step)
        x = out
    return tuple(frozen)
