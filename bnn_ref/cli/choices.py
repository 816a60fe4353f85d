"""What the options of a command, or the settings that a run recorded, stand for: recipe, network, forms."""

from dataclasses import replace
from pathlib import Path

from .. import data
from ..nets import recipe
from ..papers import PAPERS
from ..training import runs
from . import text
from .options import UsageError


def choose(options):
    """What the options ask for, completed by defaults: the settings that a run records.

    epochs, lr and batch are None where they are the recipe's own, and for commands that train nothing.
    """
    module = PAPERS[options.paper]
    source = options.data or "digits"
    if source.endswith(".npz"):
        source = str(Path(source).absolute())
        _check_name(source)
    variants = list(module.VOCABULARIES)
    if options.variant and options.variant not in variants:
        raise UsageError(f"--variant {options.variant}: {options.paper} has {' or '.join(variants)}")
    variant, preset = options.variant or variants[0], options.preset or "quick"
    known = source if source in data.NAMES else "mnist"        # own pictures take the nets of MNIST
    offered = list(dict.fromkeys(key[:3] for key in module.RECIPES if key[3:] in ((), (variant,))))
    nets = [net for name, net, of in offered if (name, of) == (known, preset)]
    if not nets or (options.net and options.net not in nets):
        asked = " ".join(filter(None, [source, options.net, preset]))
        raise UsageError(f"{options.paper} has no recipe for {asked}; it has: {', '.join(map(' '.join, offered))}")
    epochs, lr, batch, seed = (getattr(options, name, None) for name in ("epochs", "lr", "batch", "seed"))
    return {"paper": options.paper, "data": source, "preset": preset, "net": options.net or nets[0],
            "variant": variant, "epochs": epochs, "lr": lr, "batch": batch, "seed": seed or 0}


def _check_name(source):
    """Raise UsageError for a path that a text file such as run.json cannot hold."""
    try:
        source.encode()
    except UnicodeEncodeError:
        raise UsageError(f"--data: expected a path in UTF-8, which run.json can record, got {source}; rename the file "
                         "or folder, or set a UTF-8 locale") from None


def rounds_of(settings, examples):
    """[(Recipe, Vocabulary)] for the settings. Own pictures take the recipe of digits or MNIST, by number."""
    name = settings["data"]
    if name not in data.NAMES:
        name = "mnist" if examples >= 10_000 or settings["preset"] != "quick" else "digits"
    try:
        module = PAPERS[settings["paper"]]
        chosen = recipe.choose(module.RECIPES, name, settings["net"], settings["preset"], settings["variant"])
        vocabulary = module.VOCABULARIES[settings["variant"]]
    except KeyError as error:
        raise runs.RunError(f"no recipe for {error}: a run of another version; choose another --out") from None
    chosen = _changed(chosen, settings["lr"], settings["batch"])
    if settings["epochs"] is not None:
        chosen = replace(chosen, epochs=settings["epochs"])
    return recipe.rounds(chosen, vocabulary)


def _changed(chosen, lr, batch):
    """The recipe, in all of its rounds, with another learning rate and batch; None leaves it as it is.

    lr: of the first epoch. Where its decay ends scales along: the rate of every epoch is the recipe's times one factor.
    """
    if lr is not None:
        first, last = chosen.lr
        chosen = replace(chosen, lr=(lr, last * (lr / first)))
    return replace(chosen, batch=batch or chosen.batch, before=chosen.before and _changed(chosen.before, lr, batch))


def build_network(chosen, shape, classes, vocabulary):
    """The network of a recipe. Raises UsageError for pictures that do not fit it."""
    try:
        return recipe.build(chosen, shape, classes, vocabulary)
    except ValueError as error:                        # pictures too small for the net
        raise UsageError(error) from None


def forms(settings):
    """{name: forms.Form}: what the paper's networks of this variant can be at test time besides."""
    return PAPERS[settings["paper"]].FORMS.get(settings["variant"], {})


def form(settings, name):
    """The forms.Form of this name. Raises UsageError where the paper's networks of this variant have none so called."""
    offered = forms(settings)
    if name not in offered:
        names = " or ".join(offered) if offered else "none but its own"
        raise UsageError(f"--form {name}: {settings['paper']} {settings['variant']} has {names}")
    return offered[name]


def own_data(source, record, data_dir, otherwise=""):
    """The data set that a run was trained on.

    source: the run, for messages; record: its settings and fingerprint, None where that is not known; otherwise: how
    to go on without these data. Raises UsageError for data that changed since, data.DataError.
    """
    name = record["settings"]["data"]
    dataset = data.load(name, data_dir)
    if record["fingerprint"] not in (None, dataset.fingerprint):
        raise UsageError(f"{source}: the data changed since this network was trained: expected {name} as it was then; "
                         f"bring that back{otherwise}")
    return dataset


def finished_run(folder):
    """(record, network, params, running statistics) of a finished run."""
    record = runs.read(folder)
    if text.is_text(record["settings"]["data"]):
        raise UsageError(f"{folder}: a cross-validation, which leaves an error and no network")
    chosen, vocabulary = rounds_of(record["settings"], record["examples"])[-1]
    net = build_network(chosen, tuple(record["shape"]), record["classes"], vocabulary)
    return record, net, *runs.load_params(folder, record, net)
