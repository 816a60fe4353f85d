"""What the options of a command, or the settings that a run recorded, stand for: recipe, network, forms."""

import math
from dataclasses import replace

from .. import data
from ..nets import recipe
from ..papers import PAPERS
from ..training import runs
from . import text
from .options import UsageError, recorded

OWN_PIXELS = 256                      # numbers of a picture from which own ones are as MNIST's, not as the digits


def choose(options):
    """What the options ask for, completed by defaults: the settings that a run records.

    lr, batch, layers and epochs are None where they are the recipe's own, epochs also for commands that train nothing.
    Where a run has two rounds, epochs are those of both, and first_epochs, of the first, is None where the recipe says
    how they are shared out.
    """
    module = PAPERS[options.paper]
    source = recorded(options.data or "digits")
    variants = list(module.VOCABULARIES)
    if options.variant and options.variant not in variants:
        raise UsageError(f"--variant {options.variant}: {options.paper} has {' or '.join(variants)}")
    variant, preset = options.variant or variants[0], options.preset or "quick"
    layers = getattr(options, "layers", None)
    epochs = getattr(options, "epochs", None)
    return {"paper": options.paper, "data": source, "preset": preset, "net": _net(options, source, preset, variant),
            "variant": variant, "epochs": epochs and sum(epochs), "seed": getattr(options, "seed", None) or 0,
            "lr": getattr(options, "lr", None), "batch": getattr(options, "batch", None), "layers": layers,
            "first_epochs": _first_epochs(options.paper, epochs) if epochs else None}


def _net(options, source, preset, variant):
    """The kind of net: what is asked for, else what the layers are, else what the preset has for the data."""
    recipes = PAPERS[options.paper].RECIPES
    offered = recipe.offered(recipes, variant)
    layers = getattr(options, "layers", None)
    asked = options.net or (layers and recipe.kind(layers))
    if asked == "convnet" and all(net != asked for _, net, _ in offered):
        raise UsageError(f"{'--net' if options.net else '--layers'}: {options.paper} has no convolutions, its paper "
                         "defines its method for fully connected layers alone")
    known = (source,) if source in data.NAMES else ("mnist", "digits")
    nets = [net for name, net, of in offered if name in known and of == preset]
    if not nets or (asked and asked not in nets):
        missing = " ".join(filter(None, [source, asked, preset, *recipe.own_key(recipes, variant)]))
        raise UsageError(f"{options.paper} has no recipe for {missing}; it has: "
                         f"{', '.join(map(' '.join, offered))}")
    if layers and recipe.kind(layers) != asked:
        raise UsageError(f"--layers {layers}: layers of the kind {recipe.kind(layers)}, and --net {asked} is another")
    return asked or nets[0]


def _first_epochs(paper, epochs):
    """Those of the first round where the option names them, else None. Raises UsageError for rounds that are not."""
    rounds = max(len(_numbers_of_epochs(chosen)) for chosen in PAPERS[paper].RECIPES.values())
    said = "+".join(map(str, epochs))
    if len(epochs) > rounds:
        raise UsageError(f"--epochs {said}: {paper} trains in one round, give one number")
    if sum(epochs) < rounds:
        raise UsageError(f"--epochs {said}: {paper} trains in two rounds, give 2 at least, or those of each, as in 3+2")
    return epochs[0] if len(epochs) > 1 else None


def epochs_typed(settings):
    """The epochs of a run as they are typed: "50", or "40+10" where those of each round were named."""
    first = settings["first_epochs"]
    return str(settings["epochs"]) if first is None else f"{first}+{settings['epochs'] - first}"


def _numbers_of_epochs(chosen):
    return [*(_numbers_of_epochs(chosen.before) if chosen.before else []), chosen.epochs]


def recipe_of(settings, shape):
    """The data set whose recipe these settings take: their own, else that of pictures of about the same size.

    shape: (C, H, W) of a picture. How many pictures there are makes no difference: a file that grows by one picture is
    not suddenly trained in another way. Only the quick recipes know small pictures.
    """
    if settings["data"] in data.NAMES:
        return settings["data"]
    return "digits" if math.prod(shape) < OWN_PIXELS and settings["preset"] == "quick" else "mnist"


def rounds_of(settings, shape):
    """[(Recipe, Vocabulary)] for the settings, on pictures of this shape (C, H, W)."""
    try:
        module = PAPERS[settings["paper"]]
        chosen = recipe.choose(module.RECIPES, recipe_of(settings, shape), settings["net"], settings["preset"],
                               settings["variant"])
        vocabulary = module.VOCABULARIES[settings["variant"]]
    except KeyError as error:
        raise runs.RunError(f"no recipe for {error}: a run of another version; choose another --out") from None
    chosen = _changed(chosen, settings)
    if settings["epochs"] is not None:
        chosen = _in_epochs(chosen, settings["epochs"], settings["first_epochs"])
    return recipe.rounds(chosen, vocabulary)


def _changed(chosen, settings):
    """The recipe, in all of its rounds, with what the settings change; None leaves it as it is.

    lr: of the first epoch. Where its decay ends scales along: the rate of every epoch is the recipe's times one factor.
    """
    if settings["lr"] is not None:
        first, last = chosen.lr
        chosen = replace(chosen, lr=(settings["lr"], last * (settings["lr"] / first)))
    return replace(chosen, batch=settings["batch"] or chosen.batch, net=settings["layers"] or chosen.net,
                   before=chosen.before and _changed(chosen.before, settings))


def _in_epochs(chosen, epochs, first):
    """The recipe in so many epochs, all rounds together. first: those of the first round; None: the recipe's share."""
    if chosen.before is None:
        return replace(chosen, epochs=epochs)
    if first is None:
        first = round(epochs * chosen.before.epochs / (chosen.before.epochs + chosen.epochs))
        first = max(1, min(first, epochs - 1))
    return replace(chosen, epochs=epochs - first, before=replace(chosen.before, epochs=first))


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
    if text.is_cross_validation(record):
        raise UsageError(f"{folder}: a cross-validation, which leaves an error and no network")
    chosen, vocabulary = rounds_of(record["settings"], record["shape"])[-1]
    net = build_network(chosen, tuple(record["shape"]), record["classes"], vocabulary)
    return record, net, *runs.load_params(folder, record, net)
