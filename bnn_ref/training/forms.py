"""What a trained network answers in a form other than its own: binary weights where it uses real ones, say.

The papers leave the choice at test time open, and it is a choice of vocabulary: the same parameters, other steps.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..data import check_parts
from ..nets import network, recipe
from ..ops.binarize import sign, stochastic_sign
from ..ops.checks import check_dtype, check_generator, check_instance, check_names, check_not_empty
from ..ops.optim import check_params
from ..ops.ternary import stochastic_ternary
from . import loop

SAMPLES = 10


@dataclass(frozen=True)
class Form:
    """A network at test time: the steps that its parameters are given to, and how these are drawn, if they are."""

    vocabulary: recipe.Vocabulary
    sample: Callable | None = None    # sample(rng, binary names, params) -> params, SAMPLES times; outputs are averaged


def _sample(binarizer, rng, names, params):
    check_generator("rng", rng)
    check_params(params)
    check_names("names", names, params)
    return {name: binarizer(w, rng.random(w.shape, dtype=w.dtype)) if name in names else w
            for name, w in params.items()}


def sample_signs(rng, names, params):
    """Each real weight behind a binary one becomes its stochastic sign [BC-2].

    names: those weights. Returns new parameters, the others as they are. Raises TypeError or ValueError for arguments
    that do not fit.
    """
    return _sample(stochastic_sign, rng, names, params)


def sample_ternary(rng, names, params):
    """As `sample_signs`, by the stochastic ternary weights [FM-1]."""
    return _sample(stochastic_ternary, rng, names, params)


def sample_posterior(rng, names, params):
    """Each binary weight is drawn from P(W) ∝ exp(h W), and h becomes it; each bias from N(b, 1) [EBP-W].

    names: not needed, no weight here is a real one. Returns new parameters, in which h is ±1. Raises TypeError for an
    rng or params that are none.
    """
    check_generator("rng", rng)
    check_params(params)
    return {name: sign(np.tanh(array) - rng.uniform(-1, 1, array.shape).astype(array.dtype)) if name.endswith(".h")
            else array + rng.standard_normal(array.shape, array.dtype) for name, array in params.items()}


def recompute_statistics(net, params, running, train_x, seed=0):
    """As `network.recompute_statistics`, over training pictures in an order drawn from `seed`: what a form is given.

    train_x: (N, C, H, W) uint8. Raises TypeError or ValueError for arguments that do not fit.
    """
    loop.check_seed(seed)
    check_dtype("train_x", train_x, np.uint8, "N C H W")
    check_not_empty("train_x", train_x)
    order = np.random.default_rng([seed, 2]).permutation(len(train_x))
    return network.recompute_statistics(net, params, running, loop.statistics_batches(train_x, order))


def outputs(form, chosen, names, data, params, running, images, tick=lambda done, total: None, seed=0,
            way=None):
    """What the network answers in this form: (N, classes), averaged over samples where it draws them.

    chosen: the Recipe; names: the real weights behind binary ones, as it was trained; data: the `data.Dataset` it was
    trained on, from whose training pictures statistics of batch normalization are taken anew; params, running: of the
    trained network; images: (N, C, H, W) uint8; tick is called before each sample, and after the last;
    way: how the steps run (default: `loop.choose_way`).
    Raises loop.TrainingError where a parameter, a statistic or an answer is not finite, TypeError or ValueError for
    arguments that do not fit, or no image.
    """
    check_instance("form", form, Form, "a Form")
    check_instance("chosen", chosen, recipe.Recipe, "a Recipe")
    check_parts("data", data, ("train",))
    loop.check_seed(seed)
    check_dtype("images", images, np.uint8, "N C H W")
    check_not_empty("images", images)
    loop.check_finite(params)
    net = recipe.build(chosen, data.shape, data.classes, form.vocabulary)
    pictures = (SAMPLES if form.sample else 1) * (len(images) + min(len(data.train_x), loop.STATISTICS_IMAGES))
    net = (way or loop.choose_way(loop.products(net, data.shape) * pictures)).accelerate(net)
    rng = np.random.default_rng([seed, 3])
    total, count = 0, SAMPLES if form.sample else 1
    for done in range(count):
        tick(done, count)
        drawn = form.sample(rng, names, params) if form.sample else params
        own = recompute_statistics(net, drawn, running, data.train_x, seed)
        loop.check_finite(own)
        total = total + np.concatenate([network.predict(net, drawn, own, loop.scale_pixels(part))
                                        for part in loop.batches(images, loop.EVALUATION_BATCH)])
    tick(count, count)
    return loop.finite_logits(total / count)


def error_rate(form, chosen, names, data, params, running, tick=lambda done, total: None, way=None):
    """Percent of wrong answers on the test set in this form. Arguments and errors as of `outputs`."""
    check_parts("data", data, ("train", "test"))
    answers = outputs(form, chosen, names, data, params, running, data.test_x, tick, way=way).argmax(axis=1)
    return 100 * float(np.mean(answers != data.test_y))
