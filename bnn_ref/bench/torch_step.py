"""The training step of a BNN in PyTorch: what `bench train` measures `loop.training_step` against.

Eager code as one writes it, from the same parameters: two autograd functions, PyTorch's own products, pooling, batch
normalization and Adam. PyTorch is imported when a step is made, and nothing else here needs it.
"""

import itertools
import math

import numpy as np

from ..ops.batchnorm import EPS

ADAMS = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def _layers(torch):
    """{operation: layer(x, parameters, settings)} of the steps that a deterministic BNN is made of."""
    functional = torch.nn.functional

    class Sign(torch.autograd.Function):
        """The binary activation, straight-through where |x| <= 1."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

        @staticmethod
        def backward(ctx, dout):
            x, = ctx.saved_tensors
            return dout * (x.abs() <= 1)

    class Binarize(torch.autograd.Function):
        """Binary weights, whose gradient moves the real ones."""

        @staticmethod
        def forward(ctx, w):
            return torch.where(w >= 0, 1.0, -1.0).to(w.dtype)

        @staticmethod
        def backward(ctx, dw):
            return dw

    def conv(x, parameters, settings):
        stride, pad, pad_value = settings
        w = Binarize.apply(parameters["w"])
        if pad_value == 0:
            return functional.conv2d(x, w, stride=stride, padding=pad)
        return functional.conv2d(functional.pad(x, (pad,) * 4, value=pad_value), w, stride=stride)

    def batchnorm(x, parameters, settings):
        # Without running statistics: the trainer takes them anew, and so PyTorch need not keep them either.
        return functional.batch_norm(x, None, None, parameters["gamma"], parameters["beta"], training=True, eps=EPS)

    return {"flatten": lambda x, parameters, settings: x.flatten(1),
            "binary_dense": lambda x, parameters, settings: x @ Binarize.apply(parameters["w"]),
            "binary_conv": conv,
            "max_pool": lambda x, parameters, settings: functional.max_pool2d(x, *settings),
            "batchnorm": batchnorm,
            "sign": lambda x, parameters, settings: Sign.apply(x)}


def make_step(net, params, rates, adam="default"):
    """A PyTorch training step that begins at `params`: forward, squared hinge, backward, Adam, clip.

    net: the steps of a deterministic BNN without dropout (`papers.bnn`); params: {full-path name: array}, copied;
    rates: {full-path name: learning rate}; adam: "default", "foreach" or "fused", PyTorch's three implementations.
    Returns (step, tensors): step(x, labels) of tensors (N, C, H, W) float and (N,) int64 returns the loss, a float;
    tensors: {full-path name: tensor}, which step updates. Raises ModuleNotFoundError without PyTorch, ValueError for
    an operation that is not among those of such a network.
    """
    import torch

    layers = _layers(torch)
    tensors = {name: torch.from_numpy(np.array(w)).requires_grad_() for name, w in params.items()}
    plan, binary = [], []
    for step in net:
        operation = step.forward.__name__.removesuffix("_forward")
        if operation not in layers:
            raise ValueError(f"net: expected the operations {', '.join(layers)}, got {operation} in {step.name}")
        own = {param.name: tensors[f"{step.name}.{param.name}"] for param in step.params}
        plan.append((layers[operation], own, step.settings))
        binary += [own[param.name] for param in step.params if param.binary]
    groups = {}
    for name, tensor in tensors.items():
        groups.setdefault(rates[name], []).append(tensor)
    steps_done = itertools.count(1)
    optimizer = torch.optim.Adam([{"params": group, "lr": lr} for lr, group in groups.items()], **ADAMS[adam])

    def training_step(x, labels):
        optimizer.zero_grad()
        for layer, parameters, settings in plan:
            x = layer(x, parameters, settings)
        targets = 2 * torch.nn.functional.one_hot(labels, x.shape[1]).to(x.dtype) - 1
        loss = (1 - targets * x).clamp_(min=0).square().mean()
        loss.backward()
        # PyTorch adds ε to the corrected root, Adam's other form, which the papers' code takes, to the root as it is.
        eps = 1e-8 / math.sqrt(1 - 0.999**next(steps_done))
        for group in optimizer.param_groups:
            group["eps"] = eps
        optimizer.step()
        with torch.no_grad():
            for w in binary:
                w.clamp_(-1, 1)
        return loss.item()

    return training_step, tensors
