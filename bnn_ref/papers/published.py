"""Test errors as the papers print them, each with the place where it stands, so that what is reached here has something
to be compared with. They are kept apart from `measured`: not one number in this file was computed by this package.
"""

from dataclasses import dataclass

SYSTEMS = {"float": "full precision", "binaryconnect": "BinaryConnect", "bnn": "BNN",
           "few_multiplications": "Few Multiplications", "ebp": "EBP", "bitwise": "Bitwise NN"}

DATA = {"mnist": "MNIST", "cifar10": "CIFAR-10", "svhn": "SVHN",
        "reuters_i6": "Reuters I6", "reuters_i8": "Reuters I8", "spam_d0": "Spam d0", "spam_d1": "Spam d1",
        "news_comp_hw": "20News comp vs HW", "news_elec_med": "20News elec vs med",
        "amazon_books": "Amazon books", "amazon_dvd": "Amazon DVD", "digits": "digits"}


@dataclass(frozen=True)
class Published:
    """A test error in percent: of a paper's variant on some data, by that kind of net, in that form at test time."""

    paper: str
    variant: str                      # as in the paper's VOCABULARIES; a network that is not here has another name
    form: str                         # as in its FORMS, or "round 1", "round 2"; "" for its own
    data: str
    net: str
    error: float
    spread: float | None              # standard deviation over repetitions, where it is printed
    layers: str | None                # hidden ones, in the papers' notation; None where they are not known
    epochs: int | None                # None where neither paper nor the authors' code says
    source: str

    def __str__(self):
        return f"{self.error:.2f}" if self.spread is None else f"{self.error:.2f} ± {self.spread:.2f}"


def find(paper, variant, form, data, net):
    """The Published figure for exactly this system and data, None where there is none."""
    wanted = (paper, variant, form, data, net)
    found = [one for one in FIGURES if (one.paper, one.variant, one.form, one.data, one.net) == wanted]
    return found[0] if found else None


def _mnist(paper, variant, form, error, spread, trained, source):
    return Published(paper, variant, form, "mnist", "mlp", error, spread, *trained, source)


def _convnets(paper, variant, errors, trained, source):
    """errors, trained: on CIFAR-10, on SVHN."""
    return tuple(Published(paper, variant, "", name, "convnet", error, None, *how, source)
                 for name, error, how in zip(("cifar10", "svhn"), errors, trained))


def _text_tasks():
    """Eight-fold cross-validation, one hidden layer of 120; EBP-P is the own form, EBP-D the deterministic one."""
    columns = (("real", "deterministic"), ("real", ""), ("binary", "deterministic"), ("binary", ""))
    errors = {
        "reuters_i6": (14.5, 11.35, 21.7, 9.95), "reuters_i8": (15.65, 15.25, 23.15, 16.4),
        "spam_d0": (1.28, 1.11, 7.93, 0.76), "spam_d1": (1.0, 0.96, 3.85, 0.96),
        "news_comp_hw": (5.06, 4.96, 7.54, 4.44), "news_elec_med": (3.36, 3.15, 6.0, 2.08),
        "amazon_books": (2.14, 2.09, 2.45, 2.01), "amazon_dvd": (2.06, 2.14, 5.72, 2.27),
    }
    return tuple(Published("ebp", variant, form, task, "mlp", error, None, "120FC", 3,
                           "Table 1, the best of three epochs")
                 for task, row in errors.items() for (variant, form), error in zip(columns, row))


_CONTROL = "full-precision control"
_README = "the authors' README"
_CHENG = "Cheng et al. 2015, arXiv 1503.03562, abstract; depth and width not given there"

# What was trained, (layers, epochs): as the papers say, and where they are silent as the authors' code has it.
_MLP = "1024FC-1024FC-1024FC", 1000
_VGG = (("128C3-128C3-MP2-256C3-256C3-MP2-512C3-512C3-MP2-1024FC-1024FC", 500),
        ("64C3-64C3-MP2-128C3-128C3-MP2-256C3-256C3-MP2-1024FC-1024FC", 200))
_VALID = "128C3V-128C3V-MP2-256C2V-256C2V-MP2-512C2V-512C2V-MP2-1024C2V-1024FC"
_FEW = (_VALID, 300), (_VALID, 60)
_BITWISE = "1024FC-1024FC-1024FC", None              # "500 to 1000 iterations" of round 1, nothing on round 2

FIGURES = (
    # The BNN paper quotes this row with 10.94 for CIFAR-10; the table it is quoted from has 10.64.
    _mnist("float", "real", "", 1.30, 0.04, _MLP, "BinaryConnect, Table 2"),
    *_convnets("float", "real", (10.64, 2.44), _VGG, "BinaryConnect, Table 2"),
    _mnist("binaryconnect", "stochastic", "", 1.18, 0.04, _MLP, "Table 2"),
    *_convnets("binaryconnect", "stochastic", (8.27, 2.15), _VGG, "Table 2"),
    _mnist("binaryconnect", "deterministic", "", 1.29, 0.08, _MLP, "Table 2"),
    *_convnets("binaryconnect", "deterministic", (9.90, 2.30), _VGG, "Table 2"),
    _mnist("bnn", "deterministic", "", 0.96, None, ("4096FC-4096FC-4096FC", 1000), "Table 1, Theano"),
    *_convnets("bnn", "deterministic", (11.40, 2.80), _VGG, "Table 1, Theano"),
    _mnist("bnn", "shift", "", 1.40, None, ("2048FC-2048FC-2048FC", None), "Table 1, Torch7"),
    *_convnets("bnn", "shift", (10.15, 2.53), _VGG, "Table 1, Torch7"),
    # Its own full-precision row: another ConvNet than BinaryConnect's, trained by plain SGD.
    _mnist("few_multiplications", _CONTROL, "", 1.33, None, _MLP, _README),
    *_convnets("few_multiplications", _CONTROL, (15.64, 2.85), _FEW, _README),
    _mnist("few_multiplications", "ternary", "", 1.15, None, _MLP, _README),
    *_convnets("few_multiplications", "ternary", (12.01, 2.42), _FEW, _README),
    _mnist("few_multiplications", "binary", "", 1.29, None, _MLP, _README),
    *_convnets("few_multiplications", "binary", (12.08, 2.48), _FEW, _README),
    # Whether P or D is not said; the own form, P, is the likelier. The BNN paper quotes 2.2 ± 0.1 for the same work.
    _mnist("ebp", "binary", "", 2.12, None, (None, None), _CHENG),
    _mnist("ebp", "real", "", 1.66, None, (None, None), _CHENG),
    *_text_tasks(),
    _mnist("bitwise", "bipolar", "round 1", 1.17, None, _BITWISE, "Table 1"),
    _mnist("bitwise", "bipolar", "round 2", 1.33, None, _BITWISE, "Table 1"),
    _mnist("bitwise", "zero-one", "round 1", 1.32, None, _BITWISE, "Table 1"),
    _mnist("bitwise", "zero-one", "round 2", 1.36, None, _BITWISE, "Table 1"),
    _mnist("bitwise", "two-bit", "round 1", 1.36, None, _BITWISE, "Table 1"),
    _mnist("bitwise", "two-bit", "round 2", 1.47, None, _BITWISE, "Table 1"),
)
