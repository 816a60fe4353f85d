"""Expectation Backpropagation: a distribution for every weight, moved by Bayes' rule; no gradient descent, no rate.

| paper | here | what |
| --- | --- | --- |
| h_ij,l | `h` | P(W) ∝ exp(h W): what is known of a binary weight, <W> = tanh h |
| ⟨v⟩ | `x`, behind `mean_sign_forward` | mean of a sign unit |
| μ, σ² | `known_inputs`, `random_signs` | mean and variance of a unit's sum [EBP-4.1] |
| Φ, N(0 given μ, σ²) | `gaussian.cdf`, `gaussian.phi` | |
| Δ | minus `dmu` | derivative of the log-likelihood with respect to μ [EBP-4.3] [EBP-4.4] |
| K | cancels in z = μ/σ | inputs of a unit |

One minibatch (`loop.training_step`):

1. means and variances layer by layer, upwards: `network.forward`; z = μ/σ at the top
2. Δ at the top from the label, then downwards, variances counted as constants: `network.backward`
3. h ← h + Δ ⟨v⟩ᵀ, b ← b + Δ, added up over the minibatch: `optim.sgd_step` at the rate 1, because that is Bayes' rule
   and `log_likelihood_forward` is a sum

Nothing is tuned but the width, the number of epochs and the spread of the first h. Classes are one output each, +1
against all others. In the test the mean network answers (EBP-P); `FORMS` has the network of the most probable weights
(EBP-D, which runs on bits) and the average over networks drawn from the posterior. A paper of 2015 (Cheng, Soudry, Mao,
Lan, arXiv 1503.03562) brought the method to MNIST; its nets are not known here in detail. The text tasks of the first
paper are in `training.text_tasks`.
"""

from ..nets import steps
from ..nets.inputs import unit_inputs
from ..nets.recipe import Recipe, Vocabulary
from ..ops import losses, optim
from ..training.forms import Form, sample_posterior

TITLE = "Expectation Backpropagation: parameter-free training of networks with continuous or discrete weights"
SOURCE = "D. Soudry, I. Hubara, R. Meir, NIPS 2014"


def _vocabularies(posterior):
    """Of training and EBP-P, and of EBP-D."""
    first, later, most_probable = posterior
    return (Vocabulary(later, None, steps.mean_sign_step, norm=None, first_dense=first),
            Vocabulary(most_probable, None, steps.sign_step, norm=None))


_BINARY, _BINARY_MAP = _vocabularies(steps.BINARY_POSTERIOR)
_TERNARY, _TERNARY_MAP = _vocabularies(steps.TERNARY_POSTERIOR)
_REAL, _REAL_MAP = _vocabularies(steps.REAL_POSTERIOR)

# By variant, the weights; the first is the default.
VOCABULARIES = {"binary": _BINARY, "ternary": _TERNARY, "real": _REAL}

# What else the trained parameters can be at test time: EBP-D, and the mean over drawn networks.
FORMS = {
    "binary": {"deterministic": Form(_BINARY_MAP), "sampled": Form(_BINARY_MAP, sample_posterior)},
    "ternary": {"deterministic": Form(_TERNARY_MAP)},
    "real": {"deterministic": Form(_REAL_MAP)},
}


def _recipe(net, epochs):
    return Recipe(net, epochs, 10, (1, 1), optim.SGD, losses.LOG_LIKELIHOOD, inputs=(unit_inputs,))


# By (data, kind of net, preset). Epochs of `quick` were chosen on validation error.
RECIPES = {
    ("digits", "mlp", "quick"): _recipe("256FC", 90),
    ("mnist", "mlp", "quick"): _recipe("500FC", 40),
}
