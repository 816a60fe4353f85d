"""Finished run folders of made-up parameters: nothing is trained, so that on every processor they answer the same."""

import json

import numpy as np

from bnn_ref import data
from bnn_ref.cli import choices
from bnn_ref.files import sha256
from bnn_ref.nets import network, recipe
from bnn_ref.training import record

HALF = 128                            # of the 256 units of a hidden layer


def made_run(folder, paper, variant, source, change=None, data_dir=None, net="mlp"):
    """Write a finished run of the paper's quick `net` on the data set `source`, as `data.load` takes it and its folder.

    change(params, running) sets the arrays in place; without it they are those before training, and random statistics.
    The best of three epochs is the second. Returns the folder.
    """
    dataset = data.load(source, data_dir)
    settings = {"paper": paper, "data": str(source), "preset": "quick", "net": net, "variant": variant, "epochs": 3,
                "lr": None, "batch": None, "layers": None, "first_epochs": None, "seed": 0}
    chosen, vocabulary = choices.rounds_of(settings, dataset.shape)[-1]
    rng = np.random.default_rng(1)
    params, running = network.init(recipe.build(chosen, dataset.shape, dataset.classes, vocabulary), rng)
    for array in running.values():
        array[...] = rng.random(array.shape)
    if change:
        change(params, running)
    folder.mkdir()
    np.savez(folder / "params.npz", **params, **running)
    history = [{"epoch": epoch, "lr": 0.1, "loss": 1 / epoch, "valid_error": error, "seconds": 1.0, "cpu_seconds": 1.0}
               for epoch, error in enumerate((30.0, 10.0, 20.0), 1)]
    (folder / "run.json").write_text(json.dumps({
        "format": record.FORMAT, "settings": settings, "recipe": chosen.as_text(), "shape": list(dataset.shape),
        "classes": dataset.classes, "examples": len(dataset.train_x), "fingerprint": dataset.fingerprint,
        "history": history, "best_epoch": 2, "test_error": 50.0, "seconds": 3.0, "cpu_seconds": 3.0,
        "params_sha256": sha256(folder / "params.npz")}))
    return folder


def grey(*levels, shape=(1, 2, 2)):
    """Pictures (N, C, H, W), each all of one grey."""
    return np.broadcast_to(np.array(levels, np.uint8)[:, None, None, None], (len(levels), *shape))


def save_greys(path, dark, bright, test):
    """A data set of two greys, 20 training pictures of each; `test` says which are tested, 0 or 1."""
    levels = np.array([dark, bright])
    y = np.arange(40) % 2
    data.save(path, grey(*levels[y]), y, grey(*levels[test]), np.array(test), grey(*levels), np.arange(2),
              replace=True)
    return path


def brighter(params, running):
    """For BinaryConnect's MLP, two classes: what answers by comparing a picture's grey with the mean of those that the
    statistics were taken from.

    With binary weights 1 is brighter. Sampled, 1 is darker, since weights that are next to 0 outweigh the others no
    longer. As it is stored the answer is always 1, for its mean is whiter than white.
    """
    side = np.where(np.arange(2 * HALF) < HALF, np.float32(1), np.float32(-1))     # units for brighter, for darker
    sure = np.arange(2 * HALF) % HALF < 28
    params["fc1.w"][:] = 1
    params["fc2.w"][:] = side[:, None]
    params["fc3.w"][:] = np.outer(np.where(sure, -side, side / 1000), [-1, 1])
    params["bn1.gamma"][:] = params["bn2.gamma"][:] = side
    for name, array in running.items():
        array[...] = 1 if name.endswith("var") else 0
    running["bn1.mean"][:] = 1000
