"""BinaryConnect: weights are ±1 in the forward and backward passes, real where gradients accumulate.

| paper | here | what |
| --- | --- | --- |
| w | `w` | the real weight, in [-1, 1] |
| w_b | `sign(w)`, `stochastic_sign(w, u)` | the binary weight of this minibatch [BC-1] [BC-2] |
| σ | `hard_sigmoid` | probability that w_b = +1 [BC-3] |
| a_k | `x` | activation of layer k, real (ReLU) |
| η | `lr` | learning rate |
| C | `loss` | squared hinge |

Algorithm 1, one minibatch (`train.training_step`) [BC-A1]:

1. w_b = binarize(w); for k = 1..L a_k from a_{k-1} and w_b: `network.forward`
2. ∂C/∂a_L, then for k = L..2 ∂C/∂a_{k-1} from ∂C/∂a_k and *the same* w_b: `network.backward`
3. ∂C/∂w_b and ∂C/∂b from ∂C/∂a_k and a_{k-1}: the `dw` of `binary_dense_backward`, `binary_conv_backward`
4. w ← clip(w - η ∂C/∂w_b, -1, 1): `optim.*_step`, then `optim.clip_weights`

At test time deterministic networks keep sign(w), stochastic ones use the real w, and `FORMS` has the other choices. The
statistics of batch normalization are taken anew for them (`network.recompute_statistics`), as in the code that gave the
paper's numbers.
The paper's bias is the beta of batch normalization, which follows every product.
"""

from ..nets import steps
from ..nets.inputs import centred_inputs
from ..nets.recipe import Recipe, Vocabulary
from ..ops import optim
from ..training.forms import Form, sample_signs
from .float_baseline import CIFAR_INPUTS, CIFAR_NET, CIFAR_QUARTER, SVHN_INPUTS, SVHN_NET
from .float_baseline import VOCABULARIES as FLOAT

TITLE = "BinaryConnect: training deep neural networks with binary weights during propagations"
SOURCE = "M. Courbariaux, Y. Bengio, J.-P. David, NIPS 2015, arXiv 1511.00363"

# By variant; the first is the default.
VOCABULARIES = {
    "stochastic": Vocabulary(steps.stochastic_binary_dense_step, steps.stochastic_binary_conv_step, steps.relu_step),
    "deterministic": Vocabulary(steps.binary_dense_step, steps.binary_conv_step, steps.relu_step),
}

# What else the trained parameters can be at test time: the three choices of the paper's section 2.6, less the own one.
FORMS = {
    "stochastic": {"binary": Form(VOCABULARIES["deterministic"]), "sampled": Form(FLOAT["real"], sample_signs)},
    "deterministic": {"real": Form(FLOAT["real"]), "sampled": Form(FLOAT["real"], sample_signs)},
}

# By (data, kind of net, preset). `quick` was chosen on validation error; notebooks/results.md has what it reaches.
RECIPES = {
    ("digits", "mlp", "quick"): Recipe("256FC-256FC", 120, 50, (3e-3, 3e-5)),
    ("digits", "convnet", "quick"): Recipe("32C3-32C3-MP2-64C3-MP2-128FC", 40, 50, (3e-3, 3e-5), pad_value=-1.0),
    ("mnist", "mlp", "quick"): Recipe("1024FC-1024FC-1024FC", 24, 100, (1e-3, 3e-6)),
    ("mnist", "convnet", "quick"): Recipe("32C3-MP2-64C3-MP2-256FC", 8, 100, (1e-3, 1e-5), pad_value=-1.0),
    ("mnist", "mlp", "long"): Recipe("1024FC-1024FC-1024FC", 150, 100, (1e-3, 3e-6)),
    # The paper keeps weights in ±c, rate 0.3 -> 0.01; in ±1 that is the rate over c², which glorot_power does.
    # Its loss is a sum over the 10 outputs, the one here their mean: hence ten times 0.3 -> 0.01.
    ("mnist", "mlp", "paper"): Recipe("1024FC-1024FC-1024FC", 1000, 200, (3.0, 0.1), optim.SGD,
                                         inputs=(centred_inputs,)),
    ("cifar10", "convnet", "quick"): Recipe(CIFAR_QUARTER, 10, 50, (1e-3, 1e-5), inputs=CIFAR_INPUTS),
    ("svhn", "convnet", "quick"): Recipe(CIFAR_QUARTER, 2, 50, (1e-3, 1e-5), inputs=SVHN_INPUTS),
    ("cifar10", "convnet", "paper"): Recipe(CIFAR_NET, 500, 50, (3e-3, 2e-6), inputs=CIFAR_INPUTS),
    ("svhn", "convnet", "paper"): Recipe(SVHN_NET, 200, 50, (1e-2, 3e-6), inputs=SVHN_INPUTS),
}
