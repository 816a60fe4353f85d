"""The table: every public function that takes arrays, with arguments that it takes; the others, each with a reason."""

import fnmatch
import inspect

import numpy as np

from bnn_ref import data, derivatives, gradcheck, packed
from bnn_ref.kernels import (
    LADDER,
    bits,
    cuda,
    device,
    ebp_sparse,
    ebp_sparse_real,
    ladder,
    packed_conv,
    sign_accumulate,
)
from bnn_ref.kernels.compiled import COMPILED
from bnn_ref.nets import costs, filters, network, recipe, steps
from bnn_ref.ops import (
    batchnorm,
    binarize,
    bit_planes,
    bitwise,
    conv,
    dropout,
    ebp,
    ebp_real,
    ebp_ternary,
    gaussian,
    losses,
    optim,
    powers,
    preprocess,
    shift_batchnorm,
    ternary,
)
from bnn_ref.packed import convert, layers
from bnn_ref.papers import bnn
from bnn_ref.training import forms, loop, text_tasks
from bnn_ref.training.fast import bitwise as fast_bitwise
from bnn_ref.training.fast import conv as fast_conv
from bnn_ref.training.fast import dense as fast_dense
from bnn_ref.training.fast import norm as fast_norm
from bnn_ref.training.fast import steps as fast_steps
from bnn_ref.training.fast import update as fast_update

from .misuses import RIGHT, Call, Made

RNG = np.random.default_rng(0)
F32 = np.float32
X, W, B = (RNG.standard_normal(shape).astype(F32) for shape in ((4, 7), (7, 5), (5,)))
MAPS, KERNELS = (RNG.standard_normal(shape).astype(F32) for shape in ((2, 3, 6, 5), (4, 3, 3, 2)))
U, R = RNG.random((4, 7), F32), RNG.random((7, 5), F32)
SIGNS = np.where(X >= 0, F32(1), F32(-1))
PACKED, PACKED_W = bits.pack(X), bits.pack(np.ascontiguousarray(W.T))
PIXELS = RNG.integers(0, 256, (4, 7), np.uint8)
PICTURES = RNG.integers(0, 256, (6, 1, 4, 3), np.uint8)
LABELS = np.array([1, 0, 2, 1, 0, 2])


def name_of(function):
    """Where the function is: "ops.dense.dense_forward"."""
    return f"{inspect.getmodule(function).__name__.removeprefix('bnn_ref.')}.{function.__qualname__}"


def call(function, /, **arguments):
    """The function with these arguments."""
    return Call(name_of(function), function, arguments)


# --- operations ----------------------------------------------------------------------------------------------------


def _cases():
    """Each forward of the honesty list and its backward at the cache that forward leaves."""
    for case in derivatives.CASES:
        if hasattr(case, "forward"):
            args = [arg.astype(F32) if getattr(arg, "dtype", None) == np.float64 else arg for arg in case.args]
            forward = op(case.forward, **dict(zip(inspect.signature(case.forward).parameters, args)))
            yield forward.but(others=("y", "kernel"), any_shape=("x",) if "pool" in forward.name else ())
            yield _backward(case.backward, case.forward, args)


def _backward(backward, forward, args):
    """The backward at the cache that forward leaves."""
    out, cache, *_ = forward(*args)
    name = next(iter(inspect.signature(backward).parameters))
    dout = np.random.default_rng(1).standard_normal(np.shape(out)).astype(F32) if np.ndim(out) else 0.7
    return Call(name_of(backward), lambda **one: backward(*one.values(), cache), {name: dout}, silent=(name,),
                others=("x", "w", "y", "out", "dout", "a", "z"))


def op(function, /, **arguments):
    """An operation: NaN is a number like others, for a network that diverged is to show it, and sign makes it -1."""
    return call(function, **arguments).but(silent=tuple(arguments), others=("w", "b", "x"))


UNIT = RNG.random((4, 7), F32)
PARAMS = {"fc1.w": RNG.standard_normal((3, 2)).astype(F32), "bn1.beta": RNG.standard_normal(2).astype(F32)}
GRADS = {name: RNG.standard_normal(w.shape).astype(F32) for name, w in PARAMS.items()}


def _rules():
    """A second step of each update rule."""
    for rule in (optim.SGD, optim.MOMENTUM, optim.NESTEROV, optim.ADAM, optim.ADAMAX, optim.SHIFT_ADAMAX,
                 optim.SHIFT_ADAMAX_PRINTED):
        _, state = rule.step(PARAMS, GRADS, rule.init(PARAMS), 0.1)
        defaults = {name: parameter.default for name, parameter in inspect.signature(rule.step).parameters.items()
                    if parameter.default is not inspect.Parameter.empty}
        yield op(rule.step, params=PARAMS, grads=GRADS, state=state, lr=0.1, **defaults)
    yield op(optim.adam_step, params=PARAMS, grads=GRADS, state=optim.adam_init(PARAMS),
             lr={"fc1.w": 0.1, "bn1.beta": 0.2})


SOME = (("params", "without fc1.w"), ("params", "without bn1.beta"))      # there need be no more of them

OPS = (
    *_cases(), *_rules(),
    op(batchnorm.batchnorm_forward, x=X, gamma=UNIT[0], beta=UNIT[1], running_mean=UNIT[2], running_var=UNIT[3],
       eps=1e-4, alpha=0.1),
    op(batchnorm.batchnorm_predict, x=X, gamma=UNIT[0], beta=UNIT[1], running_mean=UNIT[2], running_var=UNIT[3],
       eps=1e-4),
    op(shift_batchnorm.shift_batchnorm_forward, x=X, gamma=UNIT[0], beta=UNIT[1], running_mean=UNIT[2],
       running_rstd=UNIT[3], eps=1e-4, alpha=0.125),
    op(shift_batchnorm.shift_batchnorm_predict, x=X, gamma=UNIT[0], beta=UNIT[1], running_mean=UNIT[2],
       running_rstd=UNIT[3], eps=1e-4),
    op(binarize.sign, x=X),
    op(binarize.hard_sigmoid, x=X), op(binarize.stochastic_sign, x=X, u=U).but(any_shape=("x", "u")),
    op(bit_planes.pixels, x=(2 * PIXELS.astype(F32) - 255) / 256),
    op(bit_planes.bit_plane, p=PIXELS, n=3, dtype=F32).but(any_shape=("dtype",)),
    op(bitwise.boundary, w=W, sparsity=0.3).but(any_shape=("w",)),
    op(bitwise.bitwise_weights, w=W, beta=np.array(0.3, F32)),
    op(bitwise.sparsity_of, w_b=np.where(X > 0, X, F32(0))).but(any_shape=("w_b",)),
    op(bitwise.refresh_boundaries, w=W, b=B, sparsity=0.3).but(any_shape=("w", "b")),
    op(conv.conv_forward, x=MAPS, w=KERNELS, stride=1, pad=0, pad_value=0.0),
    op(dropout.draw_keep, rng=np.random.default_rng(0), x=X, p=0.4).but(allowed=(("x", "another float"),)),
    op(ebp.ebp_map_dense_forward, x=X, h=W, b=B), op(ebp_ternary.ebp_ternary_map_dense_forward, x=X, hp=W, hm=R, b=B),
    op(ebp_ternary.most_probable, hp=W, hm=R), op(ebp_ternary.ternary_moments, hp=W, hm=R),
    op(ebp_real.ebp_real_map_dense_forward, x=X, h=W, b=B), op(ebp_real.real_moments, h=W), op(ebp.binary_moments, h=W),
    op(gaussian.phi, z=X), op(gaussian.cdf, z=X), op(gaussian.log_cdf, z=X), op(gaussian.phi_over_cdf, z=X),
    op(gaussian.mills_ratio, x=np.abs(X)),
    op(losses.check_labels, y=X, labels=LABELS[:4]).but(any_shape=("y", "labels")),
    *(op(init, params=PARAMS).but(any_shape=("params",), allowed=SOME) for init in (
        optim.sgd_init, optim.momentum_init, optim.adam_init, optim.adamax_init, optim.shift_adamax_init)),
    op(optim.clip_weights, params=PARAMS, names={"fc1.w"}).but(allowed=SOME),
    op(optim.ap2_number, x=3.0),
    op(optim.rates_by_name, params=PARAMS, grads=GRADS, state={"t": 0}, lr=0.1).but(any_shape=("params", "grads")),
    op(powers.ap2, x=X), op(powers.stochastic_power_of_two, x=X, r=U, low=-3, high=2),
    op(powers.exponent_histogram, x=X).but(any_shape=("x",)),
    op(ternary.ternary, w=X), op(ternary.stochastic_ternary, w=X, u=U).but(any_shape=("w", "u")),
    op(preprocess.centre_fit, x=MAPS).but(any_shape=("x",)),
    op(preprocess.zca_fit, x=MAPS, bias=0.1).but(any_shape=("x",)),
    op(preprocess.gcn_forward, x=MAPS, scale=2.0, eps=1e-4),
    op(preprocess.lcn_forward, x=MAPS, kernel_size=3, eps=1e-4),
)


# --- kernels -------------------------------------------------------------------------------------------------------

ROWS = ebp_sparse.SparseRows(np.array([0, 2, 3, 6], np.int32), np.array([0, 3, 1, 0, 2, 6], np.int32),
                             RNG.standard_normal(6).astype(F32), 7)
CHOSEN = np.array([2, 0])


def _never(*names_and_forms):
    """Documented: these arguments are not taken in these forms."""
    forms = [one for one in names_and_forms if one in RIGHT]
    return tuple((name, form) for name in names_and_forms if name not in RIGHT for form in forms)


ORDERS = ("another order", "every other", "backwards")
C_ORDER = _never("h", "w_mean", *ORDERS)
REAL_SPARSE_CACHE = ebp_sparse_real.ebp_real_first_dense_forward(ROWS, CHOSEN, W, B)[1]
SPARSE_CACHE = ebp_sparse.ebp_first_dense_forward(ROWS, CHOSEN, np.tanh(W), B)[1]


def _rungs():
    for rung in LADDER:
        if not rung.missing():
            yield Call(f"kernels.{rung.module}.{rung.name}", rung, {"a": PACKED, "b": PACKED_W, "k": 7})


def doors_of_cuda():
    """What this machine cannot run: the door alone, which comes before a GPU is asked for."""
    for rung in LADDER:
        if rung.missing():
            yield Call(f"kernels.cuda.{rung.name}", rung, {"a": PACKED, "b": PACKED_W, "k": 7})
    if LADDER[-1].missing() and COMPILED:
        no_gpu = (device.cuda.CudaSupportError,)
        yield op(cuda.cuda_pack, x=X).but(raises=no_gpu)
        yield op(cuda.float_baseline, x=X, w=W).but(raises=no_gpu)


KERNEL_CALLS = (
    *_rungs(),
    op(bits.words, k=70), op(bits.pack, x=X).but(any_shape=("x",)), op(bits.unpack, packed=PACKED, k=7, dtype=F32),
    op(bits.pack_planes, x=PIXELS).but(any_shape=("x",)), op(bits.unpack_planes, packed=bits.pack_planes(PIXELS), k=7),
    call(bits.check_words, name="packed", packed=PACKED, k=7).but(any_shape=("packed",), allowed=(("name", "*"),)),
    call(ladder.xnor_matmul, a=PACKED, b=PACKED_W, k=7), call(ladder.check_operands, a=PACKED, b=PACKED_W,
                                                              k=7).but(any_shape=("a", "b")),
    call(ladder.plane_matmul, planes=bits.pack_planes(PIXELS), b=PACKED_W, k=7, rung=ladder.rung("loops")),
    call(ladder.rung, name="loops").but(others=("rung",)),
    call(sign_accumulate.sign_accumulate, x=X, w=PACKED_W, k=7),
    call(ebp_sparse.SparseRows,
         indptr=ROWS.indptr, indices=ROWS.indices, values=ROWS.values, columns=7).but(
        any_shape=("columns", "values", "indices"), silent=("values",), others=("values", "indptr", "indices")),
    Call("kernels.ebp_sparse.SparseRows.rows", ROWS.rows, {"chosen": CHOSEN}),
    call(ebp_sparse.ebp_first_dense_forward, x=ROWS, chosen=CHOSEN, w_mean=np.tanh(W), b=B).but(
        silent=("w_mean", "b"), allowed=C_ORDER),
    call(ebp_sparse.ebp_map_dense_forward, x=ROWS, chosen=CHOSEN, h=W, b=B).but(silent=("h", "b"), allowed=C_ORDER),
    Call("kernels.ebp_sparse.ebp_first_dense_step_in_place",
         lambda h, w_mean, b, dz: ebp_sparse.ebp_first_dense_step_in_place(h, w_mean, b, dz, SPARSE_CACHE),
         {"h": W, "w_mean": np.tanh(W), "b": B, "dz": RNG.standard_normal((2, 5)).astype(F32)},
         silent=("h", "w_mean", "b", "dz"), writes=("h", "w_mean", "b"),
         allowed=(*C_ORDER, *_never("h", "w_mean", "b", "read-only"))),
    call(ebp_sparse_real.ebp_real_first_dense_forward, x=ROWS, chosen=CHOSEN, h=W, b=B).but(
        silent=("h", "b"), allowed=C_ORDER),
    call(ebp_sparse_real.ebp_real_map_dense_forward, x=ROWS, chosen=CHOSEN, h=W, b=B).but(
        silent=("h", "b"), allowed=C_ORDER),
    Call("kernels.ebp_sparse_real.ebp_real_first_dense_step_in_place",
         lambda h, b, dz: ebp_sparse_real.ebp_real_first_dense_step_in_place(h, b, dz, REAL_SPARSE_CACHE),
         {"h": W, "b": B, "dz": RNG.standard_normal((2, 5)).astype(F32)},
         silent=("h", "b", "dz"), writes=("h", "b"), allowed=(*C_ORDER, *_never("h", "b", "read-only"))),
    call(packed_conv.im2col,
         x=PIXELS.reshape(1, 4, 7), length=1, pad=1, fill=0, out=np.zeros((1, 4, 7, 3, 3), np.uint8)).but(
        silent=("x", "fill"), writes=("out",), allowed=(("fill", "a fraction"), *_never("out", "read-only"))),
    call(packed_conv.threshold,
         s=RNG.integers(-9, 9, (6, 5), np.int32), thresholds=RNG.integers(-9, 9, (2, 5), np.int32),
         kinds=np.array([0, 1, 1]), out=np.zeros((6, 1), np.uint64)).but(
        writes=("out",), allowed=(*_never("out", "read-only"), *((name, entry) for name in ("s", "thresholds")
                                                                    for entry in ("an entry of -1", "a large entry")))),
    call(packed_conv.or_pool,
         x=bits.pack(RNG.standard_normal((2, 4, 4, 7))), kernel=2, stride=2, out=np.zeros((2, 2, 2, 1), np.uint64)).but(
        writes=("out",), allowed=_never("out", "read-only")),
)


# --- networks ------------------------------------------------------------------------------------------------------

NET = (steps.dropout_step("drop0", 0.2), steps.flatten_step("flat"), steps.binary_dense_step("fc1", 12, 3),
       steps.batchnorm_step("bn1", 3))
NET_PARAMS, RUNNING = network.init(NET, np.random.default_rng(0))
X_NET = loop.scale_pixels(PICTURES)
OUT, CACHES, _ = network.forward(NET, NET_PARAMS, RUNNING, X_NET, np.random.default_rng(0))
RECIPE = recipe.Recipe("5FC", epochs=1, batch=4, lr=(0.1, 0.01))
VOCABULARY = bnn.VOCABULARIES["deterministic"]
OF_STEPS = ("w", "x", "gamma", "beta", "running_mean", "running_var", "b", "da", "labels", "y", "lr", "keep",
            "steps", "arrays")
RECIPES = (("recipe", "*"),)           # whatever has a loss and an optimizer is one
FITTED = network.Step("centre", preprocess.centre_forward, preprocess.centre_backward,
                              running=(("mean", (1, 4, 3), 0.0),), fit=preprocess.centre_fit)
FRESH = steps.bitwise_dense_step(0.3)("fc1", 12, 5)
FRESH_PARAMS, FRESH_RUNNING = network.init((FRESH,), np.random.default_rng(0))



def of_net(function, /, **arguments):
    """As `op`; messages name the arguments of the steps."""
    return op(function, **arguments).but(others=OF_STEPS)


NET_CALLS = (
    of_net(network.init, steps=NET, rng=np.random.default_rng(0), dtype=F32),
    of_net(network.forward, steps=NET, params=NET_PARAMS, running=RUNNING, x=X_NET, rng=np.random.default_rng(0)),
    of_net(network.backward, steps=NET, caches=Made(lambda: CACHES), dout=OUT),
    of_net(network.predict, steps=NET, params=NET_PARAMS, running=RUNNING, x=X_NET),
    of_net(network.fit, steps=(FITTED,),
           running={"centre.mean": np.zeros((1, 4, 3), F32)}, x=X_NET).but(
        any_shape=("x",), allowed=(("running", "*"),)),
    of_net(network.refresh, steps=(FRESH,), params=FRESH_PARAMS, running=FRESH_RUNNING).but(
        any_shape=("params",), allowed=(("running", "*"),)),
    of_net(network.recompute_statistics, steps=NET, params=NET_PARAMS, running=RUNNING,
       batches=[X_NET[:3], X_NET[3:]]).but(any_shape=("batches",)),
    of_net(network.freeze, steps=NET, params=NET_PARAMS, running=RUNNING, x=X_NET,
       rng=np.random.default_rng(0)).but(any_shape=("params", "running", "x")),
    of_net(network.param_specs, steps=NET), of_net(network.shapes, steps=NET), of_net(network.describe, steps=NET),
    of_net(recipe.build, recipe=RECIPE, shape=(1, 4, 3), classes=3, vocabulary=VOCABULARY),
    of_net(filters.slice_codes, w=RNG.standard_normal((4, 3, 3, 3)).astype(F32)).but(any_shape=("w",)),
    of_net(filters.unique_filters, w=RNG.standard_normal((4, 3, 3, 3)).astype(F32)).but(any_shape=("w",)),
    of_net(costs.inference_costs, net=NET, shape=(1, 4, 3)),
    of_net(costs.multiplications, net=NET, recipe=RECIPE, params=NET_PARAMS,
       running=RUNNING, x=X_NET, labels=LABELS, rng=np.random.default_rng(0)).but(
        any_shape=("params", "running", "labels", "x"), allowed=RECIPES),
)


# --- training ------------------------------------------------------------------------------------------------------

RATES = dict.fromkeys(NET_PARAMS, 0.01)
DATA = data.Dataset("mine", np.repeat(PICTURES, 2, 0), np.repeat(LABELS, 2), PICTURES, LABELS, PICTURES, LABELS)
STATE = loop.start(NET, RECIPE, 0)
FORM, SAMPLED = forms.Form(VOCABULARY), forms.Form(VOCABULARY, forms.sample_signs)
BUILT = recipe.build(RECIPE, (1, 4, 3), 3, VOCABULARY)
BUILT_PARAMS, BUILT_RUNNING = network.init(BUILT, np.random.default_rng(0))
TASK = text_tasks.TextTask("mine", ROWS, np.array([0, 1, 1]))


def _text_net():
    return text_tasks.init(np.random.default_rng(0), 7, 4)


def _run(**arguments):
    return [(state.params, state.running, state.best_epoch) for state in loop.train(**arguments)]


def _owned():
    return {name: part.copy() for name, part in NET_PARAMS.items()}


WITHOUT = tuple((argument, f"without {name}") for argument in ("arrays", "params")
                for name in ("fc1.w", "bn1.beta", "fc1.h", "fc1.b"))
DRAWN = (*WITHOUT, ("params", "another float"))                # other draws for another dtype


TRAINING_CALLS = (
    of_net(loop.check_finite, arrays=PARAMS).but(any_shape=("arrays",), allowed=WITHOUT),
    of_net(loop.finite_logits, logits=X),
    of_net(loop.start, net=NET, recipe=RECIPE, seed=0), of_net(loop.go_on, net=NET, recipe=RECIPE, seed=0, state=STATE),
    of_net(loop.scale_pixels, x=PICTURES),
    of_net(loop.training_step, net=NET, recipe=RECIPE, params=NET_PARAMS, running=RUNNING,
       state=optim.adam_init(NET_PARAMS), x=X_NET, labels=LABELS, rates=RATES, rng=np.random.default_rng(0)).but(
        any_shape=("labels", "x"), allowed=RECIPES),
    of_net(loop.binary_shapes, net=NET),
    of_net(loop.batches, x=X, size=3).but(allowed=(("x", "text of numbers"), ("x", "dates"))),
    of_net(loop.error_rate, net=NET, params=NET_PARAMS, running=RUNNING, x=PICTURES, labels=LABELS).but(
        any_shape=("x", "labels")),
    Call("training.loop.statistics_batches", lambda x, order: list(loop.statistics_batches(x, order)),
         {"x": PICTURES, "order": np.arange(6)[::-1].copy()}, any_shape=("order",)),
    Call("training.loop.train", _run, {"net": NET, "recipe": RECIPE, "data": DATA, "state": STATE, "seed": 0}),
    of_net(forms.sample_signs, rng=np.random.default_rng(0), names={"fc1.w"}, params=PARAMS).but(allowed=DRAWN),
    of_net(forms.sample_ternary, rng=np.random.default_rng(0), names={"fc1.w"}, params=PARAMS).but(allowed=DRAWN),
    of_net(forms.sample_posterior, rng=np.random.default_rng(0), names=set(), params={"fc1.h": W, "fc1.b": B}).but(
        allowed=DRAWN),
    of_net(forms.recompute_statistics, net=NET, params=NET_PARAMS, running=RUNNING,
       train_x=PICTURES, seed=0).but(any_shape=("params", "running", "train_x")),
    of_net(forms.outputs, form=FORM, chosen=RECIPE, names={"fc1.w"}, data=DATA, params=BUILT_PARAMS,
       running=BUILT_RUNNING, images=PICTURES, seed=0).but(allowed=(("names", "*"),)),
    of_net(forms.error_rate, form=FORM, chosen=RECIPE, names={"fc1.w"}, data=DATA, params=BUILT_PARAMS,
       running=BUILT_RUNNING).but(allowed=(("names", "*"),)),
    of_net(fast_steps.accelerate, net=NET),
    Call("training.fast.steps.training_step", fast_steps.training_step, {
        "net": fast_steps.accelerate(NET), "recipe": RECIPE, "params": NET_PARAMS, "running": RUNNING,
        "state": optim.adam_init(NET_PARAMS), "x": X_NET, "labels": LABELS, "rates": RATES,
        "rng": np.random.default_rng(0)}, any_shape=("labels", "x"), silent=("params", "running", "state", "x"),
        writes=("params", "state"), others=OF_STEPS,
        allowed=RECIPES + _never("params", "state", "read-only", *ORDERS)),
    *(Call(name_of(rule), rule, {"params": PARAMS, "grads": GRADS, "state": optim.adam_init(PARAMS)
                               if rule is fast_update.adam_step_in_place else optim.adamax_init(PARAMS), "lr": 0.1,
                               "clip": {"fc1.w"}, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
           silent=("params", "grads", "state"), writes=("params", "state"),
           allowed=_never("params", "state", "read-only", *ORDERS))
      for rule in (fast_update.adam_step_in_place, fast_update.shift_adamax_step_in_place)),
    of_net(text_tasks.init, rng=np.random.default_rng(0), features=7, hidden=4),
    Call("training.text_tasks.train_step", text_tasks.train_step,
         {"net": Made(_text_net), "task": TASK, "chosen": CHOSEN}, writes=("net",), others=OF_STEPS),
    of_net(text_tasks.answers, net=_text_net(), task=TASK, chosen=CHOSEN),
    of_net(text_tasks.error_rates, net=_text_net(), task=TASK, chosen=CHOSEN).but(any_shape=("chosen",)),
    of_net(text_tasks.fold_examples, examples=9, folds=3, fold=1),
    of_net(text_tasks.cross_validate, task=TASK, epochs=1, folds=3, batch=2, hidden=4, seed=0),
    call(text_tasks.TextTask, name="mine", x=ROWS, labels=np.array([0, 1, 1])).but(
        any_shape=("labels",), others=("labels",), allowed=(("name", "*"),)),
)


def _fast():
    """The functions that equal readable ones: what they take is what those take."""
    sized = {"x": X, "w": W, "b": B, "beta_w": np.array(0.3, F32), "beta_b": np.array(0.2, F32), "u": U}
    pictures = {"x": MAPS, "w": KERNELS, "u": RNG.random(KERNELS.shape, F32), "stride": 1, "pad": 1, "pad_value": 1.0}
    for module, functions in ((fast_dense, "dense_forward binary_dense_forward sign sign_forward"),
                              (fast_bitwise, "compressed_dense_forward bitwise_dense_forward"),
                              (fast_conv, "conv_forward binary_conv_forward stochastic_binary_conv_forward "
                                          "xnor_conv_forward")):
        for name in functions.split():
            function = getattr(module, name)
            given = pictures if module is fast_conv else sized
            made = op(function, **{key: given[key] for key in inspect.signature(function).parameters})
            if name == "xnor_conv_forward":
                made = op(function, **{**made.arguments, "x": np.where(MAPS >= 0, F32(1), F32(-1))})
            yield made
    yield op(fast_dense.xnor_dense_forward, x=SIGNS, w=W)
    yield op(fast_conv.max_pool_forward, x=MAPS, kernel=3, stride=2).but(any_shape=("x",))
    yield op(fast_norm.batchnorm_forward, x=X, gamma=UNIT[0], beta=UNIT[1], running_mean=UNIT[2], running_var=UNIT[3],
             eps=1e-4, alpha=0.1)
    for backward, forward, args in (
            (fast_dense.sign_backward, fast_dense.sign_forward, (X,)),
            (fast_dense.dense_backward, fast_dense.dense_forward, (X, W)),
            (fast_dense.dense_backward_weights, fast_dense.dense_forward, (X, W)),
            (fast_bitwise.compressed_dense_backward, fast_bitwise.compressed_dense_forward, (X, W, B)),
            (fast_bitwise.compressed_dense_backward_weights, fast_bitwise.compressed_dense_forward, (X, W, B)),
            (fast_bitwise.bitwise_dense_backward, fast_bitwise.bitwise_dense_forward,
             (X, W, B, sized["beta_w"], sized["beta_b"])),
            (fast_bitwise.bitwise_dense_backward_weights, fast_bitwise.bitwise_dense_forward,
             (X, W, B, sized["beta_w"], sized["beta_b"])),
            (fast_conv.conv_backward, fast_conv.conv_forward, (MAPS, KERNELS, 1, 1, 0.0)),
            (fast_conv.conv_backward_weights, fast_conv.conv_forward, (MAPS, KERNELS, 1, 1, 0.0)),
            (fast_conv.max_pool_backward, fast_conv.max_pool_forward, (MAPS, 3, 2)),
            (fast_norm.batchnorm_backward, fast_norm.batchnorm_forward, (X, *UNIT))):
        yield _backward(backward, forward, args)


# --- networks on bits, files, checks -------------------------------------------------------------------------------

DEEP = (*NET, steps.sign_step("act1"), steps.binary_dense_step("fc2", 3, 3))
DEEP_PARAMS, _ = network.init(DEEP, np.random.default_rng(0))
ON_BITS = packed.pack_network(DEEP, DEEP_PARAMS, RUNNING, (1, 4, 3), "mine")
LAYER = ON_BITS.layers[0]

PACKED_CALLS = (
    call(packed.pack_network, net=DEEP, params=DEEP_PARAMS, running=RUNNING, shape=(1, 4, 3),
         text="mine").but(others=("net",)),
    call(packed.predict, packed=ON_BITS, images=PICTURES, rung="loops"),
    call(packed.predict_labels, packed=ON_BITS, images=PICTURES, rung="loops"),
    call(packed.describe, packed=ON_BITS),
    call(convert.find_thresholds, geometry=LAYER.geometry, affine=ON_BITS.output.affine).but(silent=("affine",)),
    call(layers.BitLayer, geometry=LAYER.geometry, weights=LAYER.weights, thresholds=LAYER.thresholds,
         flips=LAYER.flips).but(allowed=(("thresholds", "an entry of -1"),)),
    call(layers.RealLayer, geometry=ON_BITS.output.geometry, weights=ON_BITS.output.weights,
         affine=ON_BITS.output.affine),
    call(layers.PackedNetwork, layers=ON_BITS.layers, output=ON_BITS.output, text="mine", fronts=()),
)


def files(folder):
    """Calls that write or read files, in a folder that is there for them."""
    path = str(folder / "mine.npz")
    held = {"train_x": DATA.train_x, "train_y": DATA.train_y, "test_x": PICTURES, "test_y": LABELS,
            "valid_x": PICTURES, "valid_y": LABELS}
    data.save(path, **held)
    packed.save_packed(folder / "net.bnn", ON_BITS)
    return (
        Call("data.save", lambda **given: data.save(**given, replace=True), {"path": path, **held, "source": "nowhere"},
             any_shape=tuple(held), allowed=(("train_y", "a large entry"), ("source", "None"))),
        call(data.load, source=path),
        Call("training.text_tasks.save_task", lambda **given: text_tasks.save_task(**given, replace=True),
             {"path": str(folder / "task.npz"), "x": ROWS, "labels": np.array([0, 1, 1]), "source": "nowhere"},
             any_shape=("labels",), allowed=(("source", "None"),)),
        call(packed.save_packed, path=str(folder / "other.bnn"), packed=ON_BITS),
        call(packed.load_packed, path=str(folder / "net.bnn")),
    )


D_CALLS = (
    call(data.Dataset, name="mine",
         **{key: getattr(DATA, key) for key in data.KEYS}).but(
        any_shape=tuple(f"{part}_{letter}" for part in data.PARTS for letter in "xy"), allowed=(
            ("name", "*"), *((f"{part}_y", entry) for part in data.PARTS
                             for entry in ("an entry of -1", "a large entry")))),
)


def _square(x):
    return x * x, x


def _square_backward(dout, cache):
    return 2 * cache * dout


def _check_op(**arguments):
    return gradcheck.check_op(_square, _square_backward, *[arguments.pop("x")], **arguments)


WIDE = {name: w.astype(np.float64) for name, w in NET_PARAMS.items()}
GRADCHECK_CALLS = (
    Call("gradcheck.operation.check_op", _check_op,
         {"x": X.astype(np.float64), "seed": 0, "tolerance": 1e-7, "sample": 5}, any_shape=("x",),
         others=("argument 0",), raises=(AssertionError,), allowed=(("sample", "None"), *(
             ("x", name) for name in ("a list", "text of numbers", "dates", "None", "a text", "a number", "a dict")))),
    of_net(gradcheck.check_network, steps=NET, params=WIDE,
         running={name: array.astype(np.float64) for name, array in RUNNING.items()}, x=X_NET.astype(np.float64),
         labels=LABELS, loss_forward=losses.squared_hinge_forward, loss_backward=losses.squared_hinge_backward, seed=0,
         directions=1, tolerance=1e-6).but(any_shape=("x", "labels", "params", "running"), raises=(AssertionError,)),
    call(gradcheck.numeric_gradient, f=np.sin, arg=X.astype(np.float64), dout=U.astype(np.float64)),
    of_net(gradcheck.relative_error, analytic=X.astype(np.float64), numeric=U.astype(np.float64), floor=1e-3).but(
        any_shape=("analytic", "numeric"), allowed=(("analytic", "a number"), ("numeric", "a number"))),
    op(gradcheck.central_difference, f=np.sin, h=1e-4),
)

CALLS = (*OPS, *KERNEL_CALLS, *NET_CALLS, *TRAINING_CALLS, *_fast(), *PACKED_CALLS, *D_CALLS, *GRADCHECK_CALLS)


# --- those that are not in the table -------------------------------------------------------------------------------

# The reason, and the functions: "module.*" are all of a module that are not in the table.
REASONS = {
    "takes no arrays: names, numbers, shapes, folders, results as dicts": (
        "advice.*", "bench.*", "data.data_folder", "data.check_absent", "environment.*", "kernels.ladder.chosen",
        "files.*", "lesson.*", "nets.inputs.*",
        "nets.steps.*", "nets.recipe.*", "nets.costs.in_floats", "nets.costs.total", "nets.filters.chance",
        "nets.network.has_statistics", "papers.*", "training.loop.choose_way",
        "training.text_tasks.load_task", "packed.layers.check_output",
        "kernels.device.*", "kernels.limit.*", "kernels.machine.*", "kernels.recycle.*", "kernels.compiled.*",
        "ops.conv.out_size", "ops.optim.glorot_coefficient", "ops.optim.learning_rates",
        "ops.optim.exponential_decay", "ops.optim.halving_decay", "ops.optim.as_settings", "ops.ebp.init_h",
        "gradcheck.pytest_plugin.*", "gradcheck.report.*"),
    "a check, or a helper of one: the walk sees what it says": (
        "ops.checks.*", "data.check_parts", "kernels.ebp_sparse.check", "nets.network.check_steps",
        "training.loop.check_seed",
        "ops.batchnorm.layout",  "ops.batchnorm.as_eps", "ops.ebp.check_means", "ops.optim.check_params",
        "packed.layers.check_affine"),
    "a part of an operation that checks for it": (
        "ops.conv.im2col", "ops.conv.col2im", "ops.ebp.known_inputs", "ops.ebp.random_signs", "ops.ebp.layer_forward",
        "ops.ebp.layer_gradients", "ops.ebp.layer_frozen", "ops.preprocess.fitted", "nets.network.as_tuple",
        "packed.layers.offsets", "packed.layers.scaled", "packed.layers.normalize", "training.fast.dense.contiguous",
        "training.fast.dense.pieces", "training.fast.dense.matmul", "training.fast.dense.sign_and_pack",
        "training.fast.bitwise.bitwise_weights", "training.fast.update.own", "training.fast.steps.own",
        "gradcheck.contract.*", "gradcheck.line.*", "nets.network.zeros", "training.arithmetic.*",
        "training.loop.fitted_statistics", "training.loop.products", "training.loop.work"),
    "writes the code of a kernel": ("kernels.lanes.write_tile", "kernels.nibbles.*", "kernels.pixels.*"),
    "a surrogate: check_op and network.freeze call it with what its forward has taken": (
        "ops.*_surrogate", "ops.conv.max_pool_frozen"),
    "a rung without its door: `Rung` checks and calls it, and it is tried as one": (
        "kernels.reference.*", "kernels.loops.*", "kernels.panels.*", "kernels.cuda.cuda_*",
        "kernels.sign_accumulate.definition", "kernels.sign_accumulate.by_tables", "kernels.packing.*"),
    "takes arrays that lie on the device": ("kernels.cuda.launch_*", "kernels.cuda_tensor.*", "kernels.cuda.*"),
    "what a run folder holds is checked when it is read": ("training.runs.*", "training.record.*"),
}


def without(names):
    """{name: its reason} of those of the names that have one."""
    return {name: reason for name in names for reason, patterns in REASONS.items()
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)}
