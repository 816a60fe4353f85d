"""Damaged run folders, some with checksums that fit: refused in one line by whatever reads them, or whole."""

import contextlib
import copy
import functools
import io
import json
import shutil
import warnings

import numpy as np

from bnn_ref.cli import main, progress
from bnn_ref.files import sha256
from bnn_ref.nets import recipe
from bnn_ref.papers import PAPERS
from bnn_ref.training import record
from tests.fuzz.damage import WORDS, damage
from tests.fuzz.harness import WrongError

HONEST = 1 << 20
PAPERS["float"].RECIPES["digits", "mlp", "quick"] = recipe.Recipe("4FC", 2, 400, (3e-3, 3e-5))      # in no time
PAPERS["binaryconnect"].RECIPES["digits", "convnet", "quick", "deterministic"] = recipe.Recipe(
    "2C3-MP2-4FC", 2, 400, (3e-3, 3e-5))
TRAIN = (["train", "float"], ["train", "binaryconnect", "--variant", "deterministic", "--net", "convnet"])
ODD = (None, True, False, "", "x", "\ud800", "\x1b[2J", "../../etc/passwd", "digits", "mnist", [], {}, [[]], [1, 8, 8],
       0, -1, 0.5, -0.0, 1e-320, 1e308, 2**31, 2**63, 10**25, *WORDS)
DEEP = b"[" * 10_000
CHANGES = (lambda x: x[..., :-1] if x.ndim else x[None], lambda x: x[None], lambda x: x.astype(np.float64),
           lambda x: np.full(x.shape, np.nan, np.float32), lambda x: np.zeros(0, x.dtype), lambda x: x.astype("S4"))


def attempt(rng, folder):
    """Damage a finished run or one on its way, and give it to a command."""
    begun = rng.random() < 0.4
    train = rng.choice(TRAIN)
    good = folder / f"good-{TRAIN.index(train)}-{begun}"
    answers = _good(good, tuple(train), begun)
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(good, run)
    signed = _damage(rng, run, begun)
    picture = folder / "picture.png"
    command = rng.choice((["evaluate", run], ["compare", run, "--out", picture], ["costs", run],
                          ["features", run, "--out", picture], ["pack", run, "--out", folder / "net.bnn"],
                          [*train, "--out", run, "--resume"]))
    for path in (picture, folder / "net.bnn"):
        path.unlink(missing_ok=True)
    code, out, error = _run(command)
    if code not in (0, 2) or (code == 2) != bool(error) or len(error.splitlines()) > 1:
        raise WrongError(f"{command[0]}: exit code {code} and on stderr {error!r}")
    if not error.rstrip("\n").isprintable():
        raise WrongError(f"{command[0]}: {error!r} reaches the terminal")
    if code == 2:
        return "refused"
    last = out.splitlines()[-1]
    if not signed and command[0] in ("evaluate", "train") and last != answers:
        raise WrongError(f"{command[0]}: {last}, expected {answers}, and no checksum complained")
    return "accepted"


@functools.cache
def _good(folder, train, begun):
    """Make the whole run; returns the line on its test error."""
    whole = folder.with_name("whole")
    answers = _run([*train, "--out", whole])[1].splitlines()[-1]
    if begun:
        tick = progress.Progress.tick

        def stop(self, epoch, done, total, loss):
            if epoch == 2:
                raise KeyboardInterrupt

        progress.Progress.tick = stop
        try:
            code = _run([*train, "--out", folder])[0]
        finally:
            progress.Progress.tick = tick
        assert code == 130 and (folder / "checkpoint.npz").exists()
        shutil.rmtree(whole)
    else:
        whole.rename(folder)
    return answers


def _run(command):
    """(exit code, stdout, stderr) of the command line."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = main.main(list(map(str, command)))
    return code, out.getvalue(), error.getvalue()


def _damage(rng, run, begun):
    """Damage one file of the folder. Returns whether checksums were made to fit, so that other answers are right."""
    arrays, words = run / ("checkpoint.npz" if begun else "params.npz"), run / "run.json"
    kind = rng.random()
    if kind < 0.15:
        path = rng.choice((arrays, words))
        path.write_bytes(damage(rng, path.read_bytes()))
        return path == words          # no checksum is of run.json: one digit more is another number
    if kind < 0.2:
        words.write_bytes(rng.choice((b"", DEEP, words.read_bytes() + DEEP, b'{"format": NaN}', b"\xff\xfe")))
        return False
    if kind < 0.6:
        words.write_bytes(json.dumps(_odd(rng, json.loads(words.read_bytes()))).encode())
        return True
    with np.load(arrays) as stored:
        content = dict(stored)
    if begun and kind < 0.8:
        said = _odd(rng, json.loads(content["json"].tobytes()))
        content["json"] = np.frombuffer(json.dumps(said).encode(), np.uint8)
    else:
        name = rng.choice(list(content))
        content[name] = rng.choice(CHANGES)(content[name])
    np.savez(arrays, **content)
    if not begun:
        told = json.loads(words.read_bytes())
        words.write_bytes(record.write({**told, "params_sha256": sha256(arrays)}))
    return True


def _odd(rng, words):
    """The words with one value replaced, doubled or gone."""
    words = copy.deepcopy(words)
    place = words
    while True:
        names = list(place) if isinstance(place, dict) else list(range(len(place)))
        name = rng.choice(names)
        if isinstance(place[name], dict | list) and place[name] and rng.random() < 0.75:
            place = place[name]
            continue
        if rng.random() < 0.2:
            del place[name]
        else:
            place[name] = rng.choice(ODD)
        return words


