"""Neural Networks with Few Multiplications: sampled binary or ternary weights, and back-propagation by shifts.

| paper | here | what |
| --- | --- | --- |
| w̄ | `w` | the real weight, in [-1, 1] |
| W | `stochastic_sign(w, u)`, `stochastic_ternary(w, u)` | the weight of this minibatch [BC-2] [FM-1] |
| x | `x` | input of a layer |
| x̃ | `stochastic_power_of_two(x, r)` | x rounded to a power of two at random, its mean being x [FM-3] |
| δ | `ds` | derivative of the loss with respect to the product |
| η | `lr` | learning rate |
| C | `loss` | squared hinge |

One minibatch (`train.training_step`):

1. draw W for every layer; y from x and W, layer by layer: `network.forward`
2. δ at the top, then downwards ds Wᵀ, which needs only changes of sign, and *only* in the gradient of the weights x̃ᵀ ds
   in place of xᵀ ds, which needs only shifts: `few_mult.*_backward`
3. w̄ ← clip(w̄ - η x̃ᵀ ds, -1, 1): `optim.*_step`, `optim.clip_weights`

Neither δ nor the forward pass is quantized. At test time the real weights serve; the statistics of batch normalization
are taken anew for them. The authors' code leaves the derivative of batch normalization out of the gradient of dense
weights, and turns the 0 of a dead unit into -1/16 in convolutions: neither is repeated here, and `few_mult` says where.
`costs.multiplications` counts what is left to multiply.
"""

from ..nets import steps
from ..nets.inputs import centred_inputs
from ..nets.recipe import Recipe, Vocabulary
from ..ops import optim
from ..training.forms import Form, sample_signs, sample_ternary
from .binaryconnect import VOCABULARIES as BINARYCONNECT
from .float_baseline import CIFAR_INPUTS, CIFAR_QUARTER, SVHN_INPUTS
from .float_baseline import VOCABULARIES as FLOAT

TITLE = "Neural Networks with Few Multiplications: sampled weights and quantized back-propagation"
SOURCE = "Z. Lin, M. Courbariaux, R. Memisevic, Y. Bengio, ICLR 2016, arXiv 1510.03009"

# Of CIFAR-10 and SVHN; maps of 30, 28, 14, 13, 12, 6, 5, 4, 2 and 1.
NET = "128C3V-128C3V-MP2-256C2V-256C2V-MP2-512C2V-512C2V-MP2-1024C2V-1024FC"

# By variant; the first is the default.
VOCABULARIES = {
    "ternary": Vocabulary(steps.ternary_few_mult_dense_step, steps.ternary_few_mult_conv_step, steps.relu_step),
    "binary": Vocabulary(steps.binary_few_mult_dense_step, steps.binary_few_mult_conv_step, steps.relu_step),
}

# What else the trained parameters can be at test time.
FORMS = {
    "ternary": {
        "deterministic": Form(Vocabulary(steps.ternary_dense_step, steps.ternary_conv_step, steps.relu_step)),
        "sampled": Form(FLOAT["real"], sample_ternary),
    },
    "binary": {
        "deterministic": Form(BINARYCONNECT["deterministic"]),
        "sampled": Form(FLOAT["real"], sample_signs),
    },
}

# By (data, kind of net, preset). `quick` was chosen on validation error; notebooks/results.md has what it reaches.
RECIPES = {
    ("digits", "mlp", "quick"): Recipe("256FC-256FC", 120, 50, (3e-3, 3e-5)),
    ("digits", "convnet", "quick"): Recipe("32C3-32C3-MP2-64C3-MP2-128FC", 30, 50, (3e-3, 3e-5), pad_value=-1.0),
    ("mnist", "mlp", "quick"): Recipe("1024FC-1024FC-1024FC", 20, 100, (1e-3, 3e-6)),
    ("mnist", "convnet", "quick"): Recipe("32C3-MP2-64C3-MP2-256FC", 8, 100, (1e-3, 1e-5), pad_value=-1.0),
    # The paper keeps weights in ±c and adds the loss up over outputs: see the recipes of BinaryConnect.
    ("mnist", "mlp", "paper"): Recipe("1024FC-1024FC-1024FC", 1000, 200, (3.0, 0.1), optim.SGD,
                                      inputs=(centred_inputs,)),
    ("cifar10", "convnet", "quick"): Recipe(CIFAR_QUARTER, 10, 50, (1e-3, 1e-5), inputs=CIFAR_INPUTS),
    ("svhn", "convnet", "quick"): Recipe(CIFAR_QUARTER, 2, 50, (1e-3, 1e-5), inputs=SVHN_INPUTS),
    ("cifar10", "convnet", "paper"): Recipe(NET, 300, 100, (3.0, 0.01), optim.SGD, inputs=CIFAR_INPUTS),
    ("svhn", "convnet", "paper"): Recipe(NET, 60, 100, (3.0, 0.01), optim.SGD, inputs=SVHN_INPUTS),
}
