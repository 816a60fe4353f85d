"""Training: minibatches, an epoch, the best epoch by validation error.

Everything random in epoch e comes from one generator, seeded by (seed, e); so a run that goes on from a checkpoint
does what it would have done, to the bit.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ..data import check_parts
from ..nets import network
from ..nets.recipe import Recipe
from ..ops import losses, optim
from ..ops.checks import (
    check_dtype,
    check_float,
    check_instance,
    check_integers,
    check_not_empty,
    check_plain,
    check_whole,
)

EVALUATION_BATCH = 250
FAST_WORK = 1e10                      # products from which on kernels pay, with the seconds that they take to load
WARMING_IMAGES = 2                    # of a step that calls every kernel: they are compiled for kinds of arrays alone
FIT_IMAGES = 50_000                   # of the training set, for whitening and what else is fitted to pictures
STATISTICS_IMAGES = 10_000            # of the training set, for the statistics of batch normalization at test time


ADVICE = "training diverged, a smaller learning rate (--lr) may help"


class TrainingError(ArithmeticError):
    """The loss, a parameter, a statistic or an answer became NaN or infinite."""


def check_finite(arrays, when=""):
    """Raise TrainingError, naming the array of the dict, unless all of them hold finite numbers.

    Where an activation is a sign, NaN in the weights below it shows neither in the loss nor in an answer. Raises
    TypeError for anything but a dict of float arrays.
    """
    check_instance("arrays", arrays, dict, "a dict of arrays by name")
    for name, array in arrays.items():
        check_float(name, array)
        if not np.isfinite(array).all():
            raise TrainingError(f"{name} holds NaN or infinity{when}: {ADVICE}")


def finite_logits(logits):
    """The logits as they came. Raises TrainingError unless they are finite: argmax would make NaN a class.

    Raises TypeError for what is no float array.
    """
    check_float("logits", logits)
    if not np.isfinite(logits).all():
        raise TrainingError(f"the network answers with NaN or infinity: {ADVICE}")
    return logits


@dataclass(frozen=True)
class State:
    """Where a run stands after an epoch; a checkpoint is this and nothing else."""

    epoch: int
    params: dict
    running: dict                     # running statistics of batch normalization
    optimizer: dict
    best_params: dict                 # at the epoch of least validation error, the later one of equals
    best_running: dict
    best_epoch: int = 0
    history: tuple = field(default=())  # epoch, lr, loss, valid_error (percent), seconds, cpu_seconds, an epoch


def check_seed(seed):
    """Raise TypeError or ValueError unless `seed` is a whole number from 0 up."""
    check_whole("seed", seed, "a whole number from 0 up", lambda seed: seed >= 0)


def start(net, recipe, seed):
    """The state before the first epoch: parameters drawn from `seed`. Raises TypeError or ValueError for arguments that
    are none."""
    check_instance("recipe", recipe, Recipe, "a Recipe")
    check_seed(seed)
    params, running = network.init(net, np.random.default_rng([seed, 0]))
    return State(0, params, running, recipe.optimizer.init(params), params, running)


def go_on(net, recipe, seed, state):
    """The state before the first epoch of a next round: the best parameters of the one before, an optimizer at rest."""
    first = start(net, recipe, seed)
    check_instance("state", state, State, "a State")
    absent = first.params.keys() - state.best_params.keys()
    if absent:
        raise ValueError(f"state: expected the parameters of net, got none named {', '.join(sorted(absent))}")
    params = {name: state.best_params[name] for name in first.params}
    return replace(first, epoch=state.epoch, params=params, best_params=params, history=state.history)


def scale_pixels(x):
    """uint8 pixels to float32 between -1 and 1: (2x - 255) / 256 [DATA-1].

    The BNN authors divide by 255, or centre instead; batch normalization behind the first layer does not see the
    difference, up to rounding and ε. Multiples of 1/256 make sums of ±pixels *exact* in float32, in whatever order they
    are added, up to rows of 65,000: the first layer of a binary network gives one picture the same answer alone, in a
    batch, and on bits. x: uint8, any shape. Raises TypeError for another dtype: what was scaled once is no pixel.
    """
    check_dtype("x", x, np.uint8)
    return x.astype(np.float32) / np.float32(128) - np.float32(255 / 256)


def training_step(net, recipe, params, running, state, x, labels, rates, rng):
    """One minibatch: forward, backward, update, clip [BC-A1] [BNN-A1].

    x: (N, C, H, W) float; labels: (N,); rates: a learning rate for each parameter (`optim.learning_rates`);
    rng: for the noise of the steps that draw. Returns (loss, params, running statistics, optimizer state).
    """
    y, caches, running = network.forward(net, params, running, x, rng)
    loss, cache = recipe.loss.forward(y, labels)
    _, grads = network.backward(net, caches, recipe.loss.backward(1.0, cache))
    params, state = recipe.optimizer.step(params, grads, state, rates)
    return loss, optim.clip_weights(params, recipe.clipped(net)), running, state


def binary_shapes(net):
    """{full-path name: shape} of the real weights behind binary ones."""
    return {name: spec.shape for name, spec in network.param_specs(net).items() if spec.binary}


def batches(x, size):
    """Split into batches of `size` in order; what remains is a smaller last one. Raises TypeError or ValueError for
    what is no array or no size."""
    check_plain("x", x)
    if not x.ndim:
        raise ValueError("x: expected an axis of examples, got shape ()")
    check_whole("size", size, "at least 1 in a batch", lambda size: size >= 1)
    return [x[i:i + size] for i in range(0, len(x), size)]


def statistics_batches(x, order):
    """Shuffled training pictures in batches of one size, scaled: what `recompute_statistics` averages over.

    x: (N, C, H, W) uint8; order: integers, numbers of pictures. Raises TypeError or ValueError where they do not fit.
    """
    check_dtype("x", x, np.uint8, "N C H W")
    check_integers("order", order, "N")
    if len(order) and not 0 <= order.min() <= order.max() < len(x):
        raise ValueError(f"order: expected pictures from 0 to {len(x) - 1}, got {order.min()} to {order.max()}")
    size = min(EVALUATION_BATCH, len(x))
    for part in batches(order[:STATISTICS_IMAGES], size):
        if len(part) == size:
            yield scale_pixels(x[part])


def error_rate(net, params, running, x, labels):
    """Percent of wrong answers at test time. x: (N, C, H, W) uint8; labels: (N,).

    Raises TrainingError where a parameter, a statistic or an answer is not finite, TypeError or ValueError for
    arguments that do not fit, or no picture.
    """
    check_finite(params)
    check_finite(running)
    check_dtype("x", x, np.uint8, "N C H W")
    check_not_empty("x", x)
    logits = np.concatenate([finite_logits(network.predict(net, params, running, scale_pixels(part)))
                             for part in batches(x, EVALUATION_BATCH)])
    losses.check_labels(logits, labels)
    return 100 * float(np.mean(logits.argmax(axis=1) != labels))


@dataclass(frozen=True)
class Way:
    """How the steps of a network run: as the equations are read, or on kernels that write the same bytes sooner."""

    name: str                         # in a word, for people
    accelerate: Callable              # net -> the same network, of the functions that run
    own: Callable                     # recipe, params, optimizer state -> those that `step` may write to
    step: Callable                    # as `training_step`
    warm: Callable | None = None      # (net that runs, recipe, params, running, optimizer, x, labels) -> `warm.Warming`


READABLE = Way("readable", lambda net: net, lambda recipe, params, optimizer: (params, optimizer), training_step)


def work(net, recipe, shape, examples):
    """Products of an input and a weight, in one direction, from a recipe's first epoch to its last.

    shape: (C, H, W) of a picture; examples: how many pictures an epoch has.
    """
    return products(net, shape) * examples * recipe.epochs


def products(net, shape):
    """Products of an input and a weight for one picture of shape (C, H, W): a convolution has its weights once at each
    place of its map."""
    params, running = network.zeros(net)
    x, count = np.full((1, *shape), 1 / 256, np.float32), 0
    for step in net:
        x = network.predict((step,), params, running, x)
        weights = max((math.prod(param.shape) for param in step.params if len(param.shape) > 1), default=0)
        count += weights * math.prod(x.shape[2:])
    return count


def choose_way(work):
    """The Way for so many products: kernels where they are compiled and there is enough to do for them."""
    if work < FAST_WORK:
        return READABLE
    from ..kernels import compiled
    if not compiled.COMPILED:
        return READABLE
    from .fast import steps, warm  # here, because Numba takes a while to import

    return Way("fast", steps.accelerate, steps.own, steps.training_step, warm.Warming)


def _begin_to_warm(way, fast, net, recipe, state, data):
    """The Warming of a way's kernels, None where there is nothing to wait for.

    A network with operations of somebody's own runs at once as it is: nobody but training may call these.
    """
    functions = [function for step in net for function in (step.forward, step.backward)]
    if way.warm is None or not all(
            (getattr(function, "__module__", None) or "").startswith("bnn_ref.") for function in functions):
        return None
    running = network.refresh(net, state.params, state.running)
    return way.warm(fast, recipe, state.params, running, state.optimizer, scale_pixels(data.train_x[:WARMING_IMAGES]),
                    data.train_y[:WARMING_IMAGES])


def fitted_statistics(net, running, data, fitted=lambda step, x: step.fit(x)):
    """The running statistics with those that are fitted to training pictures, by `network.fit`."""
    if not any(step.fit for step in net):
        return running
    return network.fit(net, running, scale_pixels(data.train_x[:FIT_IMAGES]), fitted)


def train(net, recipe, data, state, seed, tick=lambda epoch, done, total, loss: None, first=0,
          fitted=lambda step, x: step.fit(x), way=None):
    """Go on from `state` to the recipe's last epoch; a generator that yields the new state after each.

    Before each validation the statistics of batch normalization are taken anew, for the weights as they are then.
    A moving average would remember weights that are gone: one binary weight that flips moves the mean of its unit
    at once.
    data: a `data.Dataset`; tick is called after each minibatch; first: epochs of the rounds before this one;
    fitted: as in `network.fit`; way: how the steps run (default: `choose_way`).
    A minibatch is always full: what remains of a shuffled epoch is left out, other pictures in each epoch. A training
    set smaller than a batch is one batch.
    Where there is much to do (FAST_WORK) the steps are those of `training.fast`, as soon as its kernels are compiled:
    they write the same bytes in about half the time (`bnn-ref bench train`). Else, and wherever `way` is READABLE, it
    is the equations as they are read that run, to be stepped through.
    Raises TrainingError where the loss is not finite, naming epoch and step, and where a parameter, a statistic or an
    answer is not at an epoch's end; TypeError or ValueError for arguments that do not fit.
    """
    network.check_steps("net", net)
    check_instance("recipe", recipe, Recipe, "a Recipe")
    check_instance("state", state, State, "a State")
    check_parts("data", data, ("train", "valid"))
    check_seed(seed)
    if state.epoch == first:
        running = fitted_statistics(net, state.running, data, fitted)
        state = replace(state, running=running, best_running=running)
    shapes = binary_shapes(net) if recipe.glorot_rates else {}
    way = way or choose_way(work(net, recipe, data.train_x.shape[1:], len(data.train_x)))
    fast = way.accelerate(net)
    warming = _begin_to_warm(way, fast, net, recipe, state, data)
    now, net = (READABLE, net) if warming else (way, fast)
    size = min(recipe.batch, len(data.train_x))
    total = len(data.train_x) // size
    try:
        for epoch in range(state.epoch + 1, first + recipe.epochs + 1):
            began, cpu_began = time.perf_counter(), time.process_time()
            rng = np.random.default_rng([seed, epoch])
            lr = recipe.decay(*recipe.lr, epoch - first, recipe.epochs)
            rates = optim.learning_rates(lr, shapes, state.params, recipe.optimizer.glorot_power)
            running = network.refresh(net, state.params, state.running)
            # Kernels write in place, and a State that was yielded must stay as it is.
            params, optimizer = now.own(recipe, state.params, state.optimizer)
            order = rng.permutation(len(data.train_x))
            loss_sum = 0.0
            for done in range(1, total + 1):
                if now is not way and warming.done():
                    now, net = way, fast
                    params, optimizer = now.own(recipe, params, optimizer)
                chosen = order[(done - 1) * size:done * size]
                loss, params, running, optimizer = now.step(
                    net, recipe, params, running, optimizer, scale_pixels(data.train_x[chosen]), data.train_y[chosen],
                    rates, rng)
                if not np.isfinite(loss):
                    raise TrainingError(f"the loss is {loss} in epoch {epoch}, step {done} of {total}: {ADVICE}")
                loss_sum += float(loss)
                tick(epoch, done, total, loss_sum / done)
            check_finite(params, f" after epoch {epoch}")
            running = network.recompute_statistics(net, params, running, statistics_batches(data.train_x, order))
            check_finite(running, f" after epoch {epoch}")
            valid_error = error_rate(net, params, running, data.valid_x, data.valid_y)
            record = {"epoch": epoch, "lr": lr, "loss": loss_sum / total, "valid_error": valid_error,
                      "seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu_began}
            state = replace(state, epoch=epoch, params=params, running=running, optimizer=optimizer,
                            history=(*state.history, record))
            if valid_error <= min(past["valid_error"] for past in state.history[first:]):
                state = replace(state, best_params=params, best_running=running, best_epoch=epoch)
            yield state
    finally:
        if warming:
            warming.stop()
