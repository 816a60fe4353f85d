"""Whether this machine computes what another one did, to the last bit.

A sum of floats depends on the order of its terms, and that on the BLAS, on the processor it finds and on how many
threads it may use. So a run that goes on elsewhere may end in other bytes; here is how it notices.
"""

import hashlib
import os
import platform
from dataclasses import replace

import numpy as np

from ..nets import network
from ..ops import optim
from . import loop

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OPENBLAS_CORETYPE")


def describe(net, recipe, data, seed, fitted):
    """{what: text}: what the sums of a run depend on, and the first step that they lead to.

    net, recipe, data, seed, fitted: as `loop.train` takes them.
    """
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = [f"{cores} cores", *(f"{name}={os.environ[name]}" for name in THREADS if os.environ.get(name))]
    return {"machine": platform.machine(), "numpy": np.__version__,
            "blas": f"{blas.get('name')} {blas.get('version')}", "threads": ", ".join(threads),
            "first_step": first_step(net, recipe, data, seed, fitted)}


def first_step(net, recipe, data, seed, fitted):
    """The sha256 of the gradients of one minibatch, the training set's first pictures: Adam's first moments hold them.

    The parameters would not show their last bits, which are lost where a small step is added to a large weight. It is
    the readable step, which waits for no compiler: the fast one writes the same bytes.
    """
    recipe = replace(recipe, optimizer=optim.ADAM)
    state = loop.start(net, recipe, seed)
    running = network.refresh(net, state.params, loop.fitted_statistics(net, state.running, data, fitted))
    rates = optim.learning_rates(recipe.lr[0], {}, state.params, recipe.optimizer.glorot_power)
    with np.errstate(all="ignore"):                    # what diverges does so again in training, where it is told
        *_, optimizer = loop.training_step(net, recipe, state.params, running, state.optimizer,
                                           loop.scale_pixels(data.train_x[:recipe.batch]),
                                           data.train_y[:recipe.batch], rates, np.random.default_rng([seed, 0]))
    digest = hashlib.sha256()
    for array in optimizer["m"].values():
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
