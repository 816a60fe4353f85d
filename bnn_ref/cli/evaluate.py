"""The command that tests what was trained: a run in its own form, in another or on bits, or a packed file."""

import functools
import json
import sys

import numpy as np

from .. import data
from ..training import forms, loop
from . import choices
from .options import UsageError
from .pack import network_on_bits
from .progress import Progress
from .terminal import say

OTHER_DATA = ", or name the data to test on with --data"


def run_evaluate(options):
    """Print the test error of a finished run or of a packed file. Returns the exit code."""
    if options.source.exists() and not options.source.is_dir():
        return _packed_file(options)
    run = choices.finished_run(options.source)
    if options.rung is not None:
        return _run_on_bits(options, run)
    if options.form is not None:
        return _run_in_another_form(options, run)
    return _run_in_its_own_form(options, run)


# --- the four cases ------------------------------------------------------------------------------------------------


def _run_in_its_own_form(options, run):
    record, net, params, running = run
    dataset = _data_of_run(options, record)
    say(f"test error {loop.error_rate(net, params, running, dataset.test_x, dataset.test_y):.2f} %")
    return 0


def _run_in_another_form(options, run):
    """The statistics of the form are of the pictures that the run was trained on, whatever it is tested on."""
    record, net, params, running = run
    form = choices.form(record["settings"], options.form)
    trained_on = choices.own_data(options.source, record, options.data_dir)
    dataset = _other_data(options, record["shape"], record["classes"]) if options.data else trained_on
    chosen, _ = choices.rounds_of(record["settings"], record["shape"])[-1]
    tick = functools.partial(Progress(0, stream=sys.stderr).testing, options.form)
    logits = forms.outputs(form, chosen, loop.binary_shapes(net), trained_on, params, running, dataset.test_x, tick)
    say(f"test error with {options.form} {_error(logits.argmax(axis=1), dataset):.2f} %")
    return 0


def _run_on_bits(options, run):
    on_bits = network_on_bits(options.source, run, options.form, options.data_dir)
    return _test_bits(options, on_bits, _data_of_run(options, run[0]))


def _packed_file(options):
    from .. import packed  # its kernels take a while to import

    if options.form is not None:
        raise UsageError(f"--form {options.form}: {options.source} is a packed file, whose form is settled")
    on_bits = packed.load_packed(options.source)
    if options.data:
        return _test_bits(options, on_bits, _other_data(options, on_bits.shape, on_bits.classes))
    said = _trained_on(on_bits.text)
    if said is None:
        raise UsageError(f"{options.source} does not say what it was trained on: name the data with --data")
    dataset = choices.own_data(options.source, said, options.data_dir, OTHER_DATA)
    return _test_bits(options, on_bits, _fitting(options, dataset, on_bits.shape, on_bits.classes))


# --- what they share -----------------------------------------------------------------------------------------------


def _data_of_run(options, record):
    """The data that the options name, else those that the run was trained on."""
    if options.data:
        return _other_data(options, record["shape"], record["classes"])
    return choices.own_data(options.source, record, options.data_dir, OTHER_DATA)


def _other_data(options, shape, classes):
    return _fitting(options, data.load(options.data, options.data_dir), shape, classes)


def _fitting(options, dataset, shape, classes):
    """The data set, if the network is for such pictures. Fewer classes than it knows are no reason to refuse."""
    if dataset.shape != tuple(shape) or dataset.classes > classes:
        raise UsageError(f"{options.source} is for pictures of shape {tuple(shape)} in {classes} classes; the data "
                         f"have {dataset.shape} in {dataset.classes}")
    return dataset


def _trained_on(text):
    """What `pack` wrote of the data into a packed file, as the record of a run has it; None if that is not there."""
    try:
        said = json.loads(text)
        known = isinstance(said["data"], str)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return {"settings": said, "fingerprint": said.get("fingerprint")} if known else None


def _test_bits(options, on_bits, dataset):
    from .. import packed

    try:
        labels = packed.predict_labels(on_bits, dataset.test_x, options.rung)
    except ValueError as error:                        # a rung that is unknown, or that cannot run here
        raise UsageError(error) from None
    say(f"test error {_error(labels, dataset):.2f} %")
    return 0


def _error(labels, dataset):
    """Percent of wrong labels on the test set."""
    return 100 * float(np.mean(labels != dataset.test_y))
