"""The text tasks of the paper on expectation backpropagation: eight pairs of classes, up to 240,000 word features.

Rows are sparse, and have a file format of their own. The error of a task is that of eight-fold cross-validation, which
trains eight networks; this module does that too, since no other data set is used so.

The format is an .npz archive (`numpy.savez_compressed`) with N examples of M features, of which K are not 0, feature
by feature; all but values are of any integer dtype:

    indptr     (M + 1,)           feature j has the entries indptr[j] .. indptr[j + 1] - 1 of the next two
    indices    (K,)               the example of each entry, from 0; ascending within a feature
    values     (K,) float32       its value
    examples   ()                 N
    labels     (N,)               0 or 1

`save_task` writes it, `load_task` reads it; pickled objects are refused. Texts of one's own, for `train ebp --data
FILE.npz`, are such a file. Of a matrix x of SciPy, one row a text, and labels y these lines write it:

    x = x.tocsr().astype(np.float32)
    x.sum_duplicates()
    save_task("mine.npz", SparseRows(x.indptr, x.indices, x.data, x.shape[1]), y)

(`from bnn_ref.training.text_tasks import SparseRows, save_task`.) The order of texts should be a random one, because
each fold tests neighbours. Features are used as they are in the authors' files: counts of words in some tasks,
standardized in others (so that nothing is 0). A file is feature by feature because the values of one feature are much
alike: standardized ones compress to less than a hundredth.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..data import DataError, check_absent, data_folder
from ..files import DamagedError, atomic_write, read_arrays
from ..kernels import ebp_sparse, ebp_sparse_real
from ..kernels.ebp_sparse import LARGEST, SparseRows
from ..ops import ebp, ebp_real, losses
from ..ops.binarize import sign
from ..ops.checks import check_generator, check_instance, check_integers, check_not_empty, check_whole
from .loop import TrainingError, check_seed

KEYS = ("indptr", "indices", "values", "examples", "labels")
HELP = "`python -m pydoc bnn_ref.training.text_tasks` shows the format"
EVALUATION_BATCH = 250


@dataclass(frozen=True)
class Description:
    """A task as the paper's Table 1 has it, and the name of its folder in the authors' code."""

    title: str
    source: str
    examples: int
    features: int


TASKS = {
    "reuters_i6": Description("Reuters I6", "reuters_I654_I65", 2000, 11463),
    "reuters_i8": Description("Reuters I8", "reuters_I81_I83", 2000, 12167),
    "spam_d0": Description("Spam d0", "domain0", 2500, 26580),
    "spam_d1": Description("Spam d1", "domain1", 2500, 27523),
    "news_comp_hw": Description("20News comp vs HW", "20News_comp", 1943, 29409),
    "news_elec_med": Description("20News elec vs med", "20News_elec", 1971, 38699),
    "amazon_books": Description("Amazon books", "apparel_books", 3880, 221972),
    "amazon_dvd": Description("Amazon DVD", "apparel_dvd", 3880, 238739),
}


@dataclass(frozen=True, eq=False)
class TextTask:
    """Examples x: SparseRows (float32), and labels: int64 (N,), 0 or 1; `name` is what `load_task` was given.

    Raises TypeError or ValueError for others.
    """

    name: str
    x: SparseRows
    labels: np.ndarray

    def __post_init__(self):
        check_instance("x", self.x, SparseRows, "SparseRows")
        check_integers("labels", self.labels, "N")
        if self.labels.shape != (len(self.x),) or not set(np.unique(self.labels)) <= {0, 1}:
            raise ValueError(f"labels: expected {len(self.x)} of them, 0 or 1, got {len(self.labels)} from "
                             f"{self.labels.min(initial=0)} to {self.labels.max(initial=0)}")


def load_task(name, data_dir=None):
    """The TextTask of `name`: one of TASKS (`data_dir` goes to `data.data_folder`) or a path that ends in .npz.

    Raises DataError for an unknown name, an absent file, and whatever in the file differs from the format.
    """
    name = str(name)
    if name not in TASKS and not name.lower().endswith(".npz"):
        raise DataError(f"unknown text task {name!r}: choose {', '.join(TASKS)} or a path that ends in .npz")
    path = data_folder(data_dir) / "ebp_text" / f"{name}.npz" if name in TASKS else Path(name)
    try:
        by_feature, labels = _checked(path, read_arrays(path, KEYS, KEYS, at_least=_most_bytes(name)))
    except FileNotFoundError:
        brings = f"; `python data_scripts/ebp_text.py --out {path.parent.parent}` brings it" if name in TASKS else ""
        raise DataError(f"{path.absolute()} is not there{brings}") from None
    except DamagedError as error:
        raise DataError(f"{path}: {error}; not a text task, {HELP}") from error
    came, expected = (by_feature.columns, len(by_feature)), TASKS.get(name)
    if expected and came != (expected.examples, expected.features):
        raise DataError(f"{path}: has {came[0]} examples of {came[1]} features, expected {expected.examples} of "
                        f"{expected.features}; delete it and run `python data_scripts/ebp_text.py` again")
    return TextTask(name, by_feature.transposed(), labels)


def _most_bytes(name):
    """What the arrays of a known task may take however small its file is: as if nothing were 0."""
    known = TASKS.get(name)
    return 8 * (known.examples + 1) * (known.features + 1) if known else 0


def save_task(path, x, labels, source=None, replace=False):
    """Check as `load_task` does and write to `path` (.npz), whole or not at all; makes the folder.

    x: SparseRows, float32; labels: (N,) integers, 0 or 1; source: a line for people that tells where they are from,
    stored as an array of text; replace: whether a file that is there is written over. Equal arrays give equal bytes.
    Raises DataError for what differs from the format or is there already, OSError where the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise DataError(f"{path}: a data file's name must end in .npz")
    check_absent(path, replace)
    check_instance("x", x, SparseRows, "SparseRows")
    if not isinstance(source, str | None):
        raise DataError(f"{path}: source must be a line of text, got {type(source).__name__}")
    by_feature = x.transposed()
    arrays = {"indptr": by_feature.indptr, "indices": by_feature.indices, "values": by_feature.values,
              "examples": np.int64(len(x)), "labels": np.asarray(labels)}
    _checked(path, arrays)
    arrays |= {"indices": by_feature.indices.astype(np.min_scalar_type(len(x))), "labels": np.asarray(labels, np.uint8)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        more = {} if source is None else {"source": np.array(source)}
        np.savez_compressed(file, **arrays | more)


def _checked(path, arrays):
    """(SparseRows, a row for each feature; labels, int64) of the arrays of a file. Raises DataError that starts with
    `path`."""
    labels, values, examples = arrays["labels"], arrays["values"], arrays["examples"]
    if examples.shape != () or examples.dtype.kind not in "iu":
        raise DataError(f"{path}: examples must be one integer, got {examples.dtype} of shape {examples.shape}; {HELP}")
    if labels.dtype.kind not in "iu" or labels.shape != (examples,) or not set(np.unique(labels)) <= {0, 1}:
        raise DataError(f"{path}: labels must be {examples} integers 0 or 1, got {labels.dtype} of shape {labels.shape}"
                        f"; {HELP}")
    if values.dtype != np.float32 or not np.isfinite(values).all():
        raise DataError(f"{path}: values must be finite numbers, float32, got {values.dtype}; {HELP}")
    indptr, indices = (_int32(path, key, arrays[key]) for key in ("indptr", "indices"))
    try:
        by_feature = SparseRows(indptr, indices, values, int(examples))
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: a row for each feature, a column for each example: {error}; {HELP}") from error
    return by_feature, labels.astype(np.int64)


def _int32(path, key, array):
    """The array as int32. Raises DataError where it holds no such numbers."""
    if array.dtype.kind not in "iu" or (array.size and not 0 <= array.min() <= array.max() <= LARGEST):
        raise DataError(f"{path}: {key} must be integers from 0 to {LARGEST}, got {array.dtype}; {HELP}")
    return array.astype(np.int32, copy=False)


# --- training and error --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weights:
    """What a kind of weights is trained and tested with: functions of the first layer, on sparse rows, then of the
    second."""

    mean: Callable                    # of what is known of a weight, h: its mean
    first_forward: Callable
    first_step_in_place: Callable     # of h, the mean, b, dz, cache
    first_map: Callable
    forward: Callable
    backward: Callable
    most_probable: Callable


WEIGHTS = {
    "binary": Weights(np.tanh, ebp_sparse.ebp_first_dense_forward, ebp_sparse.ebp_first_dense_step_in_place,
                      ebp_sparse.ebp_map_dense_forward, ebp.ebp_dense_forward, ebp.ebp_dense_backward,
                      ebp.ebp_map_dense_forward),
    "real": Weights(lambda h: h, ebp_sparse_real.ebp_real_first_dense_forward,
                    lambda h, mean, b, dz, cache: ebp_sparse_real.ebp_real_first_dense_step_in_place(h, b, dz, cache),
                    ebp_sparse_real.ebp_real_map_dense_forward, ebp_real.ebp_real_dense_forward,
                    ebp_real.ebp_real_dense_backward, ebp_real.ebp_real_map_dense_forward),
}


@dataclass(frozen=True)
class Network:
    """features-hidden-1: what is known of its weights. The mean w1, tanh(h1) or h1 itself, is kept, being costly to
    make."""

    h1: np.ndarray                    # features, hidden
    w1: np.ndarray                    # features, hidden
    b1: np.ndarray                    # hidden
    h2: np.ndarray                    # hidden, 1
    b2: np.ndarray                    # 1
    weights: Weights = WEIGHTS["binary"]


def init(rng, features, hidden, weights="binary"):
    """A network that has seen nothing, float32. weights: one of WEIGHTS.

    Raises TypeError or ValueError for an rng, sizes or weights that are none.
    """
    check_generator("rng", rng)
    for name, size in (("features", features), ("hidden", hidden)):
        check_whole(name, size, "a number of units, 1 at least", lambda size: size >= 1)
    if weights not in WEIGHTS:
        raise ValueError(f"weights: expected one of {', '.join(WEIGHTS)}, got {weights!r}")
    h1, h2 = (ebp.init_h(rng, shape).astype(np.float32) for shape in ((features, hidden), (hidden, 1)))
    kind = WEIGHTS[weights]
    return Network(h1, kind.mean(h1), np.zeros(hidden, np.float32), h2, np.zeros(1, np.float32), kind)


def _check(net, task):
    check_instance("net", net, Network, "a Network, from init")
    check_instance("task", task, TextTask, "a TextTask")


def _check_finite(what, numbers, task):
    """Raise TrainingError where numbers are not finite: the sign of NaN would be an answer."""
    if not np.isfinite(numbers).all():
        raise TrainingError(f"{what} is not finite: values of the examples, up to {np.abs(task.x.values).max():.3g}, "
                            "are too large, divide them all by one number")


def train_step(net, task, chosen):
    """One minibatch of EBP: forward, backward, and SGD at the rate 1 on the summed loss [EBP-4.5].

    chosen: (N,) numbers of examples. The first layer of `net` is updated **in place**. Returns (loss, network).
    Raises TrainingError where what it computes is not finite, TypeError or ValueError for arguments that do not fit.
    """
    _check(net, task)
    z1, cache1 = net.weights.first_forward(task.x, chosen, net.w1, net.b1)
    a1, cache_a1 = ebp.mean_sign_forward(z1)
    z2, cache2 = net.weights.forward(a1, net.h2, net.b2)
    loss, cache = losses.log_likelihood_forward(z2, task.labels[chosen])
    _check_finite("the loss", loss, task)

    dz2 = losses.log_likelihood_backward(1.0, cache)
    da1, dh2, db2 = net.weights.backward(dz2, cache2)
    dz1 = ebp.mean_sign_backward(da1, cache_a1)
    net.weights.first_step_in_place(net.h1, net.w1, net.b1, dz1, cache1)
    return loss, replace(net, h2=net.h2 - dh2, b2=net.b2 - db2)


def answers(net, task, chosen):
    """What the network says, 0 or 1, of the chosen examples: (EBP-P, EBP-D), two integer arrays (N,).

    P averages over the weights: the sign of the last mean. D has each weight at its more probable value.
    Raises TrainingError where what it computes is not finite, TypeError or ValueError for arguments that do not fit.
    """
    _check(net, task)
    z1, _ = net.weights.first_forward(task.x, chosen, net.w1, net.b1)
    z2, _ = net.weights.forward(ebp.mean_sign_forward(z1)[0], net.h2, net.b2)
    s1, _ = net.weights.first_map(task.x, chosen, net.h1, net.b1)
    s2, _ = net.weights.most_probable(sign(s1), net.h2, net.b2)
    for out in (z2, s2):
        _check_finite("an answer", out, task)
    return tuple((out[:, 0] >= 0).astype(np.int64) for out in (z2, s2))


def error_rates(net, task, chosen):
    """Percent of wrong answers among the chosen examples, one at least: (EBP-P, EBP-D). Raises as `answers` does."""
    _check(net, task)
    check_integers("chosen", chosen, "N")
    check_not_empty("chosen", chosen)
    wrong = np.zeros(2)
    for start in range(0, len(chosen), EVALUATION_BATCH):
        part = chosen[start:start + EVALUATION_BATCH]
        wrong += [np.sum(answer != task.labels[part]) for answer in answers(net, task, part)]
    return tuple((100 * wrong / len(chosen)).tolist())


def fold_examples(examples, folds, fold):
    """(training, test) numbers of examples for the fold 0 .. folds - 1: as in the authors' code, test examples are
    neighbours in the file, whose order is random already.

    Raises TypeError or ValueError for numbers of which none is a fold.
    """
    check_whole("examples", examples, "a number of examples from 1 up", lambda examples: examples >= 1)
    check_whole("folds", folds, f"from 1 to {examples} folds", lambda folds: 1 <= folds <= examples)
    check_whole("fold", fold, f"from 0 to {folds - 1}", lambda fold: 0 <= fold < folds)
    first, end = ((2 * i * examples + folds) // (2 * folds) for i in (fold, fold + 1))   # rounded, halves upwards
    numbers = np.arange(examples)
    return np.concatenate([numbers[:first], numbers[end:]]), numbers[first:end]


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Test errors in percent, (folds, epochs): p of EBP-P, d of EBP-D.

    `final` is the result. The paper reports the best of three epochs, `best`, a choice that its test examples made.
    """

    p: np.ndarray
    d: np.ndarray

    @property
    def final(self):
        """(P, D): the error after the last epoch, mean over the folds."""
        return float(self.p[:, -1].mean()), float(self.d[:, -1].mean())

    @property
    def best(self):
        """(P, D): the smallest of the epochs' errors, each the mean over the folds, as in the paper."""
        return float(self.p.mean(axis=0).min()), float(self.d.mean(axis=0).min())


def cross_validate(task, epochs=3, folds=8, batch=10, hidden=120, seed=0, tick=lambda fold, epoch, p, d: None,
                   weights="binary"):
    """Train a network for each fold, M-hidden-1, and test it on that fold after every epoch.

    weights: one of WEIGHTS. The defaults are the paper's. The authors' loop takes eleven examples in a minibatch of
    ten, the last of which begins the next one too; here each example comes once an epoch, and a smaller minibatch may
    end it. tick is called after each epoch of each fold with the two errors.
    Returns a CrossValidation. Raises TypeError or ValueError for a task, sizes, weights or a seed that are none,
    ValueError where there are too few examples for so many folds.
    """
    check_instance("task", task, TextTask, "a TextTask")
    for name, number in (("epochs", epochs), ("folds", folds), ("batch", batch), ("hidden", hidden)):
        check_whole(name, number, "a whole number from 1 up", lambda number: number >= 1)
    check_seed(seed)
    if not 2 <= folds <= len(task.x):
        raise ValueError(f"folds: expected from 2 to {len(task.x)}, the number of examples, got {folds}")
    p, d = np.zeros((2, folds, epochs))
    for fold in range(folds):
        training, test = fold_examples(len(task.x), folds, fold)
        rng = np.random.default_rng([seed, fold])
        net = init(rng, task.x.columns, hidden, weights)
        for epoch in range(epochs):
            order = rng.permutation(training)
            for start in range(0, len(order), batch):
                _, net = train_step(net, task, order[start:start + batch])
            p[fold, epoch], d[fold, epoch] = error_rates(net, task, test)
            tick(fold + 1, epoch + 1, p[fold, epoch], d[fold, epoch])
    return CrossValidation(p, d)
