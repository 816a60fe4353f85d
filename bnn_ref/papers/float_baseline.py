"""The full-precision baseline: the networks of the papers with real weights and no regularizer.

Every paper's table has this row; without it nobody could say what binarization costs.
"""

from ..nets import steps
from ..nets.inputs import centred_inputs, contrast_inputs, local_contrast_inputs, unit_contrast_inputs, whitened_inputs
from ..nets.recipe import Recipe, Vocabulary
from ..ops import optim

TITLE = "full precision, no regularizer (the baseline row of the papers' tables)"
SOURCE = "M. Courbariaux, Y. Bengio, J.-P. David, BinaryConnect, NIPS 2015, arXiv 1511.00363, Table 2"

CIFAR_NET = "128C3-128C3-MP2-256C3-256C3-MP2-512C3-512C3-MP2-1024FC-1024FC"
CIFAR_QUARTER = "32C3-32C3-MP2-64C3-64C3-MP2-128C3-128C3-MP2-256FC-256FC"   # a quarter of the units
SVHN_NET = "64C3-64C3-MP2-128C3-128C3-MP2-256C3-256C3-MP2-1024FC-1024FC"

CIFAR_INPUTS = (contrast_inputs, whitened_inputs)                            # as in BinaryConnect
SVHN_INPUTS = (unit_contrast_inputs, local_contrast_inputs)

# By variant; the first is the default.
VOCABULARIES = {"real": Vocabulary(steps.dense_step, steps.conv_step, steps.relu_step)}
FORMS = {}                                                                   # at test time: no other

# By (data, kind of net, preset). `quick` was chosen on validation error; notebooks/results.md has what it reaches.
RECIPES = {
    ("digits", "mlp", "quick"): Recipe("256FC-256FC", 40, 50, (3e-3, 3e-5)),
    ("digits", "convnet", "quick"): Recipe("32C3-32C3-MP2-64C3-MP2-128FC", 20, 50, (3e-3, 3e-5), pad_value=-1.0),
    ("mnist", "mlp", "quick"): Recipe("1024FC-1024FC-1024FC", 20, 100, (1e-3, 1e-6)),
    ("mnist", "convnet", "quick"): Recipe("32C3-MP2-64C3-MP2-256FC", 6, 100, (1e-3, 1e-5), pad_value=-1.0),
    # The loss here is a mean over the 10 outputs, the papers' a sum: hence ten times their 0.3 -> 0.01.
    ("mnist", "mlp", "paper"): Recipe("1024FC-1024FC-1024FC", 1000, 200, (3.0, 0.1), optim.SGD,
                                         inputs=(centred_inputs,)),
    ("cifar10", "convnet", "quick"): Recipe(CIFAR_QUARTER, 10, 50, (1e-3, 1e-5), inputs=CIFAR_INPUTS),
    ("svhn", "convnet", "quick"): Recipe(CIFAR_QUARTER, 2, 50, (1e-3, 1e-5), inputs=SVHN_INPUTS),
    ("cifar10", "convnet", "paper"): Recipe(CIFAR_NET, 500, 50, (3e-3, 2e-6), inputs=CIFAR_INPUTS),
    ("svhn", "convnet", "paper"): Recipe(SVHN_NET, 200, 50, (1e-2, 3e-6), inputs=SVHN_INPUTS),
}
