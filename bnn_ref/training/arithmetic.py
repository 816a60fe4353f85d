"""Whether this machine computes what another one did, to the last bit.

A sum of floats depends on the order of its terms, and that on the BLAS, on the processor it finds and on how many
threads it may use. So a run that goes on elsewhere may end in other bytes; here is how it notices.
"""

import hashlib
import os
import platform

import numpy as np

from ..nets import network
from ..ops import optim
from . import loop

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OPENBLAS_CORETYPE")


def describe(net, recipe, data, seed, fitted, way):
    """{what: text}: what the sums of a run depend on, and the first step that they lead to.

    net, recipe, data, seed, fitted, way: as `loop.train` takes them.
    """
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = [f"{cores} cores", *(f"{name}={os.environ[name]}" for name in THREADS if os.environ.get(name))]
    return {"machine": platform.machine(), "numpy": np.__version__,
            "blas": f"{blas.get('name')} {blas.get('version')}", "threads": ", ".join(threads),
            "first_step": first_step(net, recipe, data, seed, fitted, way)}


def first_step(net, recipe, data, seed, fitted, way):
    """The sha256 of parameters and optimizer after one minibatch, the training set's first pictures.

    Of both, because a first step of Adam is ±lr whatever the last bits of the gradient; these are in its moments.
    """
    state = loop.start(net, recipe, seed)
    running = loop.fitted_statistics(net, state.running, data, fitted)
    running = network.refresh(net, state.params, running)
    shapes = loop.binary_shapes(net) if recipe.glorot_rates else {}
    rates = optim.learning_rates(recipe.lr[0], shapes, state.params, recipe.optimizer.glorot_power)
    params, optimizer = way.own(recipe, state.params, state.optimizer)
    with np.errstate(all="ignore"):                    # what diverges does so again in training, where it is told
        _, params, _, optimizer = way.step(way.accelerate(net), recipe, params, running, optimizer,
                                 loop.scale_pixels(data.train_x[:recipe.batch]), data.train_y[:recipe.batch], rates,
                                 np.random.default_rng([seed, 0]))
    digest = hashlib.sha256()
    for arrays in (params, *(slot for key, slot in optimizer.items() if key != "t")):
        for array in arrays.values():
            digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
