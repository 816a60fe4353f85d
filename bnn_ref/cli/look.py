"""The commands that look into a network: what it costs, which filters repeat, what the first layer has learned."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import data
from ..nets import costs, filters, network, recipe
from ..ops import powers
from ..ops.binarize import sign
from ..papers import PAPERS
from ..training import loop, runs
from . import choices
from .options import UsageError, save_picture, table
from .terminal import say

SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32), "svhn": (3, 32, 32)}
CLASSES = 10                          # of each of them; to count takes no pictures, so the data need not be there

EXPONENT_PICTURES = 250               # enough for a histogram


# --- costs ---------------------------------------------------------------------------------------------------------


def show_costs(options):
    """Print what a network costs, layer by layer, and an MLP's training step. Returns the exit code."""
    settings, shape, classes = _asked(options)
    chosen, vocabulary = choices.rounds_of(settings, shape)[-1]
    net = choices.build_network(chosen, shape, classes, vocabulary)
    if options.source not in PAPERS:
        runs.check_size(Path(options.source), net)
    rows = costs.inference_costs(net, shape)
    floats = costs.in_floats(rows)
    own, real = costs.total(rows), costs.total(floats)
    say(f"{settings['paper']} {settings['variant']} on {settings['data']}: {chosen.net}-{classes}FC\n\n"
        f"One picture of {' × '.join(map(str, shape))} at test time:\n")
    say(table([("layer", "inputs", "weights", "number", "bytes", "written", "multiplied", "added", "xnor-popcounts",
                 "64-bit words", "arithmetic (nJ)", "memory (nJ)"),
                *map(_cells, (*rows, own, replace(real, name="in float32")))], 3))
    say(f"\nBeside float32: {_times(own.weight_bytes, real.weight_bytes)} the bytes of weights, "
        f"{_times(own.arithmetic, real.arithmetic)} the energy of arithmetic, "
        f"{_times(own.memory, real.memory)} that of reading weights.\n"
        "Energy by Horowitz's table for 45 nm, weights read once a picture. There is no XNOR in it: for 64 of them, "
        "their\npopcount and its sum, one int32 addition is *assumed*.")
    if all(len(param.shape) < 4 for step in net for param in step.params):
        _show_training_step(settings, chosen, vocabulary, shape, classes)
    if options.picture:
        from . import plots

        save_picture(plots.energies(rows, floats), options.picture)
    return 0


def _asked(options):
    """(settings, shape of a picture, classes) of the paper or the run that the options name."""
    if options.source in PAPERS:
        settings = choices.choose(Namespace(**vars(options), paper=options.source, epochs=None, seed=None))
        if settings["data"] in SHAPES:
            return settings, SHAPES[settings["data"]], CLASSES
        dataset = data.load(settings["data"])
        return settings, dataset.shape, dataset.classes
    for name in ("data", "preset", "net", "layers", "variant"):
        if getattr(options, name):
            raise UsageError(f"--{name}: {options.source} is no paper ({', '.join(PAPERS)}); a run has its own")
    if not Path(options.source).exists():
        raise UsageError(f"{options.source} is neither a paper ({', '.join(PAPERS)}) nor a run folder")
    record = runs.read(Path(options.source))
    return record["settings"], tuple(record["shape"]), record["classes"]


def _cells(row):
    counts = (row.weight_count, row.weight_bytes, row.activations, row.multiplications, row.additions,
              row.xnor_popcounts, row.words)
    return (row.name, row.inputs, row.weights, *(f"{count:,}" for count in counts), _energy(row.arithmetic),
            _energy(row.memory))


def _energy(joules):
    return f"{1e9 * joules:,.0f}" if joules >= 1e-6 else f"{1e9 * joules:.3g}"


def _times(own, real):
    return f"1/{real / own:.1f} of" if own <= real else f"{own / real:.1f} times"


def _show_training_step(settings, chosen, vocabulary, shape, classes):
    """Print the multiplications of a training step, with and without normalization, beside full precision."""
    named = {"full precision": PAPERS["float"].VOCABULARIES["real"]}
    if settings["paper"] != "float":
        named[f"{settings['paper']} {settings['variant']}"] = vocabulary
    rows, full = [], {}
    for name, words in named.items():
        for norm in ("without", "with") if vocabulary.norm else ("without",):
            own = words if norm == "with" else replace(words, norm=None, last_norm=None)
            try:
                charges = _count(chosen, recipe.build(chosen, shape, classes, own), shape, classes)
            except ValueError as error:
                say(f"\nMultiplications of a training step: not counted. {error}.")
                return
            products = [charge for charge in charges if charge.what not in ("units", "normalization")]
            total = _sum(charges, "multiplications")
            full.setdefault(norm, total)
            rows.append((name, norm, *(f"{_sum(of, kind):,}" for of, kind in (
                (products, "multiplications"), (products, "shifts"), (products, "sign_changes"),
                (charges, "multiplications"))), f"{total / full[norm]:.6f}"))
    say(f"\nMultiplications of one training step, {chosen.batch} pictures, as Few Multiplications counts them:\n")
    say(table([("network", "batch norm.", "in products", "shifts instead", "sign changes instead", "with units",
                 "ratio"), *rows], 2))


def _sum(charges, kind):
    return sum(getattr(charge, kind) for charge in charges)


def _count(chosen, net, shape, classes):
    """Charges of a step on noise: what is counted are kinds of numbers, and noise has none but its own."""
    rng = np.random.default_rng(0)
    params, running = network.init(net, rng)
    running = network.refresh(net, params, running)
    x = loop.scale_pixels(rng.integers(256, size=(chosen.batch, *shape), dtype=np.uint8))
    return costs.multiplications(net, chosen, params, running, x, rng.integers(classes, size=chosen.batch), rng)


# --- filters -------------------------------------------------------------------------------------------------------


def show_filters(options):
    """Print how many slices of a run's convolutions are distinct, beside chance. Returns the exit code."""
    _, net, params, _ = choices.finished_run(options.folder)
    weights = {name: params[name] for name, spec in network.param_specs(net).items() if len(spec.shape) == 4}
    if not weights:
        raise UsageError(f"{options.folder}: no convolutions, so no filters; a run with --net convnet has them")
    found = {name: filters.unique_filters(w) for name, w in weights.items()}
    rows = [("weights", "slices", "on one input", "chance", "± merged", "chance", "in the layer", "chance",
             "± merged", "chance")]
    for name, unique in found.items():
        m, c = unique.codes.shape
        kernel = "×".join(map(str, weights[name].shape[2:]))
        rows.append((name, f"{m} × {c} of {kernel}", *_percent(unique.by_channel), *_percent(unique.by_layer)))
    say("Distinct slices of signs:\n")
    say(table(rows, 2))
    plain, merged = (np.mean([getattr(unique.by_channel, kind) for unique in found.values()])
                     for kind in ("plain", "merged"))
    say(f"\nMean over layers, on one input: {plain:.1%}, with a slice and its negative merged {merged:.1%}. The BNN "
        "paper has\n42 % for its CIFAR-10 network, and does not say which of the counts that is.")
    if options.picture:
        from . import plots

        save_picture(plots.slice_counts(found), options.picture)
    return 0


def _percent(distinct):
    return [f"{value:.1%}" for value in (distinct.plain, distinct.plain_chance, distinct.merged,
                                         distinct.merged_chance)]


# --- features ------------------------------------------------------------------------------------------------------


def show_features(options):
    """Draw the weights of a run's first layer as pictures. Returns the exit code."""
    from . import plots

    record, net, params, _ = choices.finished_run(options.folder)
    name, w = next((name, params[name]) for name, spec in network.param_specs(net).items() if len(spec.shape) > 1)
    _, height, width = record["shape"]
    if w.ndim == 2:
        w = w.T.reshape(-1, len(w) // (height * width), height, width)
    say(f"{name}: {len(w)} features of {' × '.join(map(str, w.shape[1:]))}, the first {min(len(w), plots.FEATURES)}")
    save_picture(plots.features(sign(w) if options.binary else w), options.out)
    return 0


# --- exponents -----------------------------------------------------------------------------------------------------


def show_exponents(options):
    """Draw of which powers of two the inputs of a run's layers are. Returns the exit code."""
    from . import plots

    record, net, params, running = choices.finished_run(options.folder)
    pictures = choices.own_data(options.folder, record, options.data_dir).train_x[:EXPONENT_PICTURES]
    x, found = loop.scale_pixels(pictures), {}
    for step in net:
        if any(len(param.shape) > 1 for param in step.params):
            found[step.name] = powers.exponent_histogram(x)
        x = network.predict((step,), params, running, x)
    rows = [("inputs of", "smallest", "largest", "most frequent", "zeros")]
    for name, (exponents, counts, zeros) in found.items():
        limits = ["-"] * 3                             # of a layer that gets nothing but zeros
        if len(counts):
            limits = [f"2^{exponent}" for exponent in (exponents[0], exponents[-1], exponents[counts.argmax()])]
        rows.append((name, *limits, f"{zeros / (zeros + counts.sum()):.1%}"))
    say(f"Exponents ⌊log2|x|⌋ of what goes into each layer, {len(pictures)} training pictures at test time:\n")
    say(table(rows, 1))
    save_picture(plots.exponents(found), options.out)
    return 0
