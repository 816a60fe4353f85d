"""Bitwise Neural Networks: trained twice, first with weights and units squeezed through tanh, then rounded.

| paper | here | what |
| --- | --- | --- |
| W̄, b̄ | `w`, `b` | the real parameters, of both rounds |
| tanh W̄ | inside `compressed_dense_forward` | the weight of round 1 [KS-5] |
| w | `bitwise_weights(w, beta)` | the weight of round 2: -1, 0 (inactive) or +1 |
| a, z̄, z | `a`, `tanh(a)`, `sign(a)` | product, unit of round 1, unit of round 2 |
| λ | `Choices.sparsity` | fraction of weights that are 0 |
| β | `beta_w`, `beta_b` | the λ-quantile of |w| in a layer |
| δ | `da` | derivative of the loss with respect to a [KS-6] [KS-7] |

Round 1: backpropagation through tanh, with dropout (`compressed_dense_backward`, `tanh_backward`).
Round 2, from its best parameters: signs and rounded weights in the forward and the backward pass, the gradient moves
the real ones (`bitwise_dense_backward`, noisy backpropagation); β is taken anew before every epoch (`network.refresh`).

The paper says neither λ nor the learning rates, batch size, number of epochs of round 2, nor how softmax copes with
integers up to 1024. Here these are `Choices` and the other fields of the recipes, chosen on validation data.
"""

from dataclasses import dataclass, replace

from ..nets import steps
from ..nets.inputs import rounded_inputs, sign_inputs, two_bit_inputs, unit_inputs
from ..nets.recipe import Recipe, Vocabulary
from ..ops import losses

TITLE = "Bitwise Neural Networks: two rounds of training for networks of bits"
SOURCE = "M. Kim, P. Smaragdis, ICML workshop 2015, arXiv 1601.06071"


@dataclass(frozen=True)
class Choices:
    """What the paper leaves open of round 2."""

    sparsity: float = 0.1             # λ: after training no value of it was better than another
    width: float | None = 32.0        # a unit whose sum is farther from 0 passes no gradient; None: all do, as printed
    logits: float = 0.03              # what the integers at the top are multiplied by before softmax


_ROUND_1 = Vocabulary(steps.compressed_dense_step, None, steps.tanh_step, norm=None)


def _round_2(choices):
    sign = steps.identity_sign_step if choices.width is None else steps.masked_sign_step(choices.width)
    return Vocabulary(steps.bitwise_dense_step(choices.sparsity), None, sign, norm=None,
                      last=steps.scale_step(choices.logits), before=_ROUND_1)


# By variant, the coding of pictures; the first is the default.
VOCABULARIES = {"bipolar": _round_2, "zero-one": _round_2, "two-bit": _round_2}
INPUTS = {"bipolar": ((), (sign_inputs,)), "zero-one": ((unit_inputs,), (rounded_inputs,)),
          "two-bit": ((two_bit_inputs,), (two_bit_inputs,))}                 # of round 1, of round 2
FORMS = {}                                                                   # at test time: no other


def _rounds(first, second):
    """{variant: Recipe} of two rounds, with the inputs of each."""
    return {variant: replace(second, inputs=two, before=replace(first, inputs=one))
            for variant, (one, two) in INPUTS.items()}


def _first(net, epochs, lr, dropout, batch=100):
    return Recipe(net, epochs, batch, lr, loss=losses.SOFTMAX_CROSS_ENTROPY, dropout=dropout)


def _second(net, epochs, lr, batch=100):
    return Recipe(net, epochs, batch, lr, loss=losses.SOFTMAX_CROSS_ENTROPY, choices=Choices())


_NETS = {
    ("digits", "mlp", "quick"): _rounds(_first("512FC-512FC", 40, (3e-3, 3e-5), (0.1, 0.2), 50),
                                        _second("512FC-512FC", 30, (3e-3, 3e-5), 50)),
    # Half of the units dropped need the hundreds of epochs of the paper; shorter runs do better with fewer dropped.
    ("mnist", "mlp", "quick"): _rounds(_first("1024FC-1024FC-1024FC", 20, (1e-3, 1e-5), (0.2, 0.2)),
                                       _second("1024FC-1024FC-1024FC", 10, (1e-3, 1e-6))),
    ("mnist", "mlp", "long"): _rounds(_first("1024FC-1024FC-1024FC", 200, (1e-3, 1e-6), (0.2, 0.3)),
                                      _second("1024FC-1024FC-1024FC", 80, (1e-3, 1e-6))),
    # The paper says "500 to 1000 iterations" of round 1 and nothing of round 2.
    ("mnist", "mlp", "paper"): _rounds(_first("1024FC-1024FC-1024FC", 1000, (1e-3, 1e-6), (0.2, 0.5)),
                                       _second("1024FC-1024FC-1024FC", 200, (1e-3, 1e-6))),
}
RECIPES = {(*key, variant): recipe for key, variants in _NETS.items() for variant, recipe in variants.items()}
