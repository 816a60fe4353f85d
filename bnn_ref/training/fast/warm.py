"""Kernels get ready in a thread of their own, so that the first epoch does not wait for them.

To compile what a network needs takes some ten seconds, once on a machine; to load it from the cache on disk, one. Both
ways write the same bytes, so training begins on the equations and changes over between two minibatches.
"""

import threading
from dataclasses import replace

import numpy as np

from ...nets import network
from . import steps


class Stopped(Exception):
    """Nobody waits for the kernels any longer."""


class Warming:
    """A training step on copies, by which every kernel that a network needs is compiled or loaded."""

    def __init__(self, net, recipe, params, running, optimizer, x, labels):
        """net: from `steps.accelerate`, its functions without effects; params, running, optimizer: those of training,
        which are not written to; x: some scaled pictures (N, C, H, W); labels: (N,)."""
        self._stopped = False
        self._thread = threading.Thread(
            target=self._step, args=(net, recipe, params, running, optimizer, x, labels), name="bnn_ref kernels")
        self._thread.start()

    def done(self):
        """Whether kernels are ready. What went wrong goes wrong again where they are called, and is seen there."""
        return not self._thread.is_alive()

    def stop(self):
        """End the thread at its next operation: with the kernel that is being compiled, if there is one."""
        self._stopped = True

    def _step(self, net, recipe, params, running, optimizer, x, labels):
        net = tuple(replace(step, forward=self._until_stopped(step.forward),
                            backward=self._until_stopped(step.backward)) for step in net)
        try:
            with np.errstate(all="ignore"):
                own, optimizer = steps.own(recipe, params, optimizer)
                network.predict(net, params, running, x)
                steps.training_step(net, recipe, own, running, optimizer, x, labels, dict.fromkeys(params, 1e-3),
                                    np.random.default_rng(0))
        except Exception:             # Stopped; or what `done` speaks of
            pass

    def _until_stopped(self, function):
        def call(*args):
            if self._stopped:
                raise Stopped
            return function(*args)

        return call
