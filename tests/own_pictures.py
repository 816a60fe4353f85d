"""Pictures and texts of one's own from the file to bits, by the commands that a user types: every paper, either net.

    python -m tests.own_pictures [--sets NAME,...] [--papers NAME,...] [--full]

Each set is trained, evaluated, packed where the network has a form on bits, and answered again from the file of bits:
the logits of both must be equal, on every picture (up to rounding where activations are real). Without --full the
networks are small and train for two epochs; with it each recipe is run as it is, which takes hours. One line a run; the
exit code is 1 if one failed.
"""

import argparse
import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bnn_ref import data
from bnn_ref.cli import choices, main
from bnn_ref.nets import network, recipe
from bnn_ref.packed import load_packed, predict
from bnn_ref.papers import PAPERS
from bnn_ref.training import forms, loop, runs

# name: shape, pictures of each class for training, and those of which classes are tested
SETS = {
    "rectangles": ((3, 20, 28), [12] * 3, (0, 1, 2)),
    "few": ((1, 28, 28), [60] * 3, (0, 1, 2)),
    "absent": ((1, 8, 8), [30] * 4, (0, 2, 3)),
    "classes": ((1, 8, 8), [2] * 257, range(257)),
    "9000": ((1, 28, 28), [900] * 10, range(10)),
    "12000": ((1, 28, 28), [1200] * 10, range(10)),
}
SMALL = {"mlp": "2x24", "convnet": "8C3-MP2-8C3-MP2-24"}
FORMS = {"binaryconnect": "binary", "few_multiplications": "deterministic", "ebp": "deterministic"}    # that have bits
REAL = ("binaryconnect", "few_multiplications")                        # activations, whose sums are rounded
LOGITS = 200                          # pictures whose logits are compared


class Failure(AssertionError):
    """What is not as it should be."""


def save(path, name):
    """Write the set: each class is a random picture, and its examples are that under noise."""
    shape, counts, tested = SETS[name]
    rng = np.random.default_rng(0)
    means = rng.integers(256, size=(len(counts), *shape), dtype=np.uint8)
    train_y, test_y = np.repeat(np.arange(len(counts)), counts), np.repeat(np.array(tested), 2)

    def pictures(labels):
        return np.stack([means[label] ^ rng.integers(64, size=shape, dtype=np.uint8) for label in labels])

    data.save(path, train_x=pictures(train_y), train_y=train_y, test_x=pictures(test_y), test_y=test_y)


def said(*args):
    """What a command prints. Raises Failure for another exit code than 0."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main.main([str(arg) for arg in args])
    if code:
        raise Failure(err.getvalue().strip())
    return out.getvalue()


def float_logits(folder, dataset, form):
    """Of a finished run, in its own form or in that of this name."""
    record, net, params, running = choices.finished_run(folder)
    x = dataset.test_x[:LOGITS]
    if form:
        chosen, _ = choices.rounds_of(record["settings"], record["shape"])[-1]
        return forms.outputs(choices.form(record["settings"], form), chosen, loop.binary_shapes(net), dataset, params,
                             running, x)
    return network.predict(net, params, running, loop.scale_pixels(x))


def attempt(path, paper, net, folder, small=True):
    """Train, evaluate, pack and answer from bits. Returns what was seen, in a line. Raises Failure."""
    changes = ["--layers", SMALL[net], "--epochs", "2"] if small else []
    lines = said("train", paper, "--data", path, "--net", net, "--out", folder, *changes).splitlines()
    record, dataset = runs.read(folder), data.load(path)
    if said("evaluate", folder).splitlines()[-1] != lines[-1]:
        raise Failure("evaluate does not say what train said")
    form = FORMS.get(paper)
    seen = f"error {record['test_error']:.1f} %, {lines[1].split('; ')[-1]}"
    if paper == "float":
        return f"{seen}, has no bits"
    asked = ["--form", form] if form else []
    packed = folder.with_suffix(".bnn")
    said("pack", folder, "--out", packed, *asked)
    on_bits, in_floats = predict(load_packed(packed), dataset.test_x[:LOGITS]), float_logits(folder, dataset, form)
    if paper in REAL:
        if not np.allclose(on_bits, in_floats, rtol=0, atol=1e-4 * np.abs(in_floats).max()):
            raise Failure("logits on bits are not those in floats, up to rounding")
        return f"{seen}, equal logits on bits up to rounding"
    if not np.array_equal(on_bits, in_floats):
        raise Failure("logits on bits are others than in floats")
    errors = [said("evaluate", *args).split()[-2] for args in ([packed], [folder, *asked])]
    if errors[0] != errors[1]:
        raise Failure(f"test error on bits {errors[0]}, in floats {errors[1]}")
    return f"{seen}, equal logits on bits"


def nets_of(paper):
    """Those that the paper's method has."""
    return [net for net in recipe.NETS if any(key[1] == net for key in PAPERS[paper].RECIPES)]


def run(arguments=None):
    """The exit status: 0 if all went well."""
    parser = argparse.ArgumentParser(prog="python -m tests.own_pictures")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--papers", default=",".join(PAPERS))
    parser.add_argument("--full", action="store_true", help="each recipe as it is")
    options = parser.parse_args(arguments)
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        for name in options.sets.split(","):
            path = Path(place) / f"{name}.npz"
            save(path, name)
            for paper in options.papers.split(","):
                for net in nets_of(paper):
                    began = time.monotonic()
                    try:
                        seen = attempt(path, paper, net, Path(place) / f"{name}-{paper}-{net}", not options.full)
                    except Failure as failure:
                        seen, failed = f"FAILED: {failure}", failed + 1
                    print(f"{name:<12}{paper:<20}{net:<9}{time.monotonic() - began:6.1f} s  {seen}", flush=True)
    print(f"{failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run())
