"""The commands on finished runs: evaluate, in any form or on bits; pack, as a file of bits."""

import contextlib
import functools
import json
import sys

import numpy as np

from .. import data
from ..nets import network
from ..training import forms, loop
from . import choices
from .options import UsageError
from .progress import Progress


def _fitting(options, default, shape, classes):
    """The data set to evaluate on, if the network is for such pictures."""
    dataset = data.load(options.data or default, options.data_dir)
    if dataset.shape != shape or dataset.classes > classes:
        raise UsageError(f"{options.source} is for pictures of shape {shape} in {classes} classes; the data have "
                         f"{dataset.shape} in {dataset.classes}")
    return dataset


def run_evaluate(options):
    """Print the test error of a run, in its own form, in another or on bits, or of a packed file. Returns 0."""
    if options.source.is_dir() or not options.source.exists():
        record, net, params, running = choices.finished_run(options.source)
        dataset = _fitting(options, record["settings"]["data"], tuple(record["shape"]), record["classes"])
        if options.rung is not None:
            on_bits = _on_bits(options, options.source, record, net, params, running)
        elif options.form is not None:
            return _evaluate_form(options, record, net, params, running, dataset)
        else:
            error = loop.error_rate(net, params, running, dataset.test_x, dataset.test_y)
            print(f"test error {error:.2f} %")
            return 0
    else:
        if options.form is not None:
            raise UsageError(f"--form {options.form}: {options.source} is a packed file, whose form is settled")
        from .. import packed

        on_bits = packed.load_packed(options.source)
        try:
            trained_on = json.loads(on_bits.text)["data"]
        except (ValueError, KeyError, TypeError):
            trained_on = None
        if not (options.data or isinstance(trained_on, str)):
            raise UsageError(f"{options.source} does not say what it was trained on: name the data with --data")
        dataset = _fitting(options, trained_on, on_bits.shape, on_bits.classes)
    return _evaluate_bits(options, on_bits, dataset)


def _evaluate_form(options, record, net, params, running, dataset):
    """The test error in another form, with statistics of the run's own training pictures."""
    settings = record["settings"]
    form = _chosen_form(options, settings)
    trained_on = dataset if options.data is None else data.load(settings["data"], options.data_dir)
    chosen, _ = choices.rounds_of(settings, record["examples"])[-1]
    answers = forms.outputs(form, chosen, loop.binary_shapes(net), trained_on, params, running, dataset.test_x,
                                functools.partial(Progress(0, stream=sys.stderr).testing, options.form))
    error = 100 * float(np.mean(answers.argmax(axis=1) != dataset.test_y))
    print(f"test error with {options.form} {error:.2f} %")
    return 0


def _chosen_form(options, settings):
    offered = choices.forms(settings)
    if options.form not in offered:
        names = " or ".join(offered) if offered else "none but its own"
        raise UsageError(f"--form {options.form}: {settings['paper']} {settings['variant']} has {names}")
    return offered[options.form]


def _on_bits(options, folder, record, net, params, running):
    """The run's network as bits, in its own form or in the one that is asked for."""
    from .. import packed

    settings = record["settings"]
    said = {key: settings[key] for key in ("paper", "variant", "data", "preset", "net", "seed")}
    if options.form is not None:
        form = _chosen_form(options, settings)
        if form.sample:
            raise UsageError(f"--form {options.form} and bits: it averages over networks that are drawn; give one of "
                             "them")
        said["form"] = options.form
        net = _form_network(record, form)
        if any(map(network.has_statistics, net)):
            train_x = data.load(settings["data"], options.data_dir).train_x
            running = forms.recompute_statistics(net, params, running, train_x)
    try:
        return packed.pack_network(net, params, running, tuple(record["shape"]), json.dumps(said))
    except (ValueError, TypeError) as error:
        names = [] if options.form else _forms_on_bits(record, params, running)
        other = f"; on bits with --form {' or '.join(names)}" if names else ""
        raise UsageError(f"{folder}: {error}{other}") from None


def _form_network(record, form):
    chosen, _ = choices.rounds_of(record["settings"], record["examples"])[-1]
    return choices.build_network(chosen, tuple(record["shape"]), record["classes"], form.vocabulary)


def _forms_on_bits(record, params, running):
    """The names of the forms, besides its own, in which the run's network has one on bits."""
    from .. import packed

    names = []
    for name, form in choices.forms(record["settings"]).items():
        with contextlib.suppress(ValueError, TypeError):
            if not form.sample:
                packed.pack_network(_form_network(record, form), params, running, tuple(record["shape"]))
                names.append(name)
    return names


def _evaluate_bits(options, on_bits, dataset):
    from .. import packed

    try:
        answers = packed.predict_labels(on_bits, dataset.test_x, options.rung)
    except ValueError as error:                        # a rung that is unknown, or that cannot run here
        raise UsageError(error) from None
    print(f"test error {100 * float(np.mean(answers != dataset.test_y)):.2f} %")
    return 0


# --- pack ----------------------------------------------------------------------------------------------------------


def run_pack(options):
    """Write a finished run's network as bits. Returns the exit code."""
    from .. import packed

    record, net, params, running = choices.finished_run(options.folder)
    on_bits = _on_bits(options, options.folder, record, net, params, running)
    if options.out.is_dir():
        raise UsageError(f"{options.out} is a folder: name a file to write, for example {options.out / 'net.bnn'}")
    packed.save_packed(options.out, on_bits)
    size, floats = options.out.stat().st_size, sum(array.nbytes for array in (*params.values(), *running.values()))
    print(packed.describe(on_bits))
    print(f"{options.out}: {size:,} bytes, 1/{floats / size:.1f} of the {floats:,} bytes of float32 parameters")
    return 0
