"""Binarized Neural Networks (BinaryNet): weights *and* activations are ±1, in training and at test time.

| paper | here | what |
| --- | --- | --- |
| W_k, W_k^b | `w`, `sign(w)` | real weights in [-1, 1] and their signs [BNN-1] |
| s_k | `s` | product of layer k, an integer behind the first layer |
| a_k, a_k^b | `a`, `sign(a)` | after batch normalization, and its sign |
| g_x | `dx` | derivative of the loss with respect to x |
| θ_k | `gamma`, `beta` | parameters of batch normalization |
| γ_k | `1 / glorot_coefficient` | scale of the learning rate of W_k |
| Htanh | `hard_tanh_forward` | whose derivative stands in for that of sign [BNN-4] [BNN-5] |

Algorithm 1, one minibatch (`train.training_step`) [BNN-A1]:

1. for k = 1..L: W_k^b = sign(W_k), s_k = a_{k-1}^b W_k^b, a_k = BatchNorm(s_k), and for k < L a_k^b = sign(a_k):
   `network.forward`; a_0 is the picture, real; pooling comes before batch normalization, as in the authors' code
2. for k = L..1: for k < L g_{a_k} = g_{a_k^b} · 1[|a_k| <= 1] (`sign_backward`, on the value *behind* batch
   normalization), then `batchnorm_backward`, then g_{a_{k-1}^b} = g_{s_k} W_k^bᵀ and g_{W_k^b} =
   a_{k-1}^bᵀ g_{s_k} (`binary_dense_backward`): `network.backward`
3. W_k ← clip(Update(W_k, γ_k η, g_{W_k^b}), -1, 1), θ_k ← Update(θ_k, η, g_{θ_k}): `optim.*_step`,
   `optim.clip_weights`

The statistics of batch normalization for test time are taken anew after each epoch (`train.train` says why); the
authors' code keeps moving averages. The paper prints the decay of η inside the loop over layers; meant, and done here,
is once an epoch.
"""

from ..nets import steps
from ..nets.recipe import Recipe, Vocabulary
from ..ops import optim
from .float_baseline import CIFAR_NET, CIFAR_QUARTER, SVHN_NET

TITLE = "Binarized Neural Networks: weights and activations constrained to +1 or -1 (BinaryNet)"
SOURCE = "I. Hubara, M. Courbariaux, D. Soudry, R. El-Yaniv, Y. Bengio, NIPS 2016, arXiv 1602.02830"

# By variant; the first is the default.
VOCABULARIES = {
    "deterministic": Vocabulary(steps.binary_dense_step, steps.binary_conv_step, steps.sign_step),
    "stochastic": Vocabulary(steps.binary_dense_step, steps.binary_conv_step, steps.stochastic_sign_step),
    # Products and normalization without multiplications: the network of the authors' Torch code.
    "shift": Vocabulary(steps.binary_dense_step, steps.binary_conv_step, steps.stochastic_sign_step,
                        norm=steps.shift_batchnorm_step, last_norm=steps.batchnorm_step,
                        first_dense=steps.bit_plane_dense_step, first_conv=steps.bit_plane_conv_step),
}
FORMS = {}                                                                   # at test time: no other

# By (data, kind of net, preset). `quick` was chosen on validation error; notebooks/results.md has what it reaches.
RECIPES = {
    ("digits", "mlp", "quick"): Recipe("512FC-512FC-512FC", 60, 50, (3e-3, 3e-5), dropout=(0.1, 0.2)),
    ("digits", "convnet", "quick"): Recipe("32C3-32C3-MP2-64C3-MP2-128FC", 30, 50, (3e-3, 3e-5), pad_value=-1.0),
    ("mnist", "mlp", "quick"): Recipe("1024FC-1024FC-1024FC", 32, 100, (3e-3, 3e-6)),
    ("mnist", "convnet", "quick"): Recipe("32C3-MP2-64C3-MP2-512FC", 12, 100, (3e-3, 1e-5), pad_value=-1.0),
    ("mnist", "mlp", "long"): Recipe("2048FC-2048FC-2048FC", 100, 100, (3e-3, 3e-6), dropout=(0.2, 0.5)),
    ("mnist", "mlp", "paper"): Recipe("4096FC-4096FC-4096FC", 1000, 100, (3e-3, 3e-7), dropout=(0.2, 0.5)),
    ("digits", "mlp", "quick", "shift"): Recipe("512FC-512FC-512FC", 60, 50, (2**-6, 2**-12), optim.SHIFT_ADAMAX,
                                                decay=optim.halving_decay),
    ("mnist", "mlp", "quick", "shift"): Recipe("1024FC-1024FC-1024FC", 32, 100, (2**-6, 2**-13), optim.SHIFT_ADAMAX,
                                               decay=optim.halving_decay),
    ("digits", "convnet", "quick", "shift"): Recipe("32C3-32C3-MP2-64C3-MP2-128FC", 30, 50, (2**-6, 2**-12),
                                                    optim.SHIFT_ADAMAX, pad_value=-1.0, decay=optim.halving_decay),
    ("mnist", "convnet", "quick", "shift"): Recipe("32C3-MP2-64C3-MP2-512FC", 12, 100, (2**-6, 2**-13),
                                                   optim.SHIFT_ADAMAX, pad_value=-1.0, decay=optim.halving_decay),
    ("mnist", "mlp", "paper", "shift"): Recipe("2048FC-2048FC-2048FC", 240, 100, (2**-6, 2**-17), optim.SHIFT_ADAMAX,
                                               decay=optim.halving_decay),
    ("cifar10", "convnet", "paper", "shift"): Recipe(CIFAR_NET, 500, 200, (2**-6, 2**-15), optim.SHIFT_ADAMAX,
                                                     decay=optim.halving_decay, clip="all"),
    ("svhn", "convnet", "paper", "shift"): Recipe(SVHN_NET, 200, 200, (2**-7, 2**-16), optim.SHIFT_ADAMAX,
                                                  decay=optim.halving_decay, clip="all"),
    ("cifar10", "convnet", "quick"): Recipe(CIFAR_QUARTER, 14, 50, (1e-3, 1e-5), pad_value=-1.0),
    ("svhn", "convnet", "quick"): Recipe(CIFAR_QUARTER, 2, 50, (1e-3, 1e-5), pad_value=-1.0),
    ("cifar10", "convnet", "paper"): Recipe(CIFAR_NET, 500, 50, (1e-3, 3e-7)),
    ("svhn", "convnet", "paper"): Recipe(SVHN_NET, 200, 50, (1e-3, 1e-6)),
}
