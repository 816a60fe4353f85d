"""The command that writes a finished run's network as bits, and which of its forms has one there."""

import contextlib
import json

from ..nets import network
from ..training import forms
from . import choices
from .options import UsageError
from .terminal import say

SAID = ("paper", "variant", "data", "preset", "net", "seed")           # of the settings, in the file's line of text


def run_pack(options):
    """Write a finished run's network as bits. Returns the exit code."""
    from .. import packed  # its kernels take a while to import

    run = choices.finished_run(options.folder)
    on_bits = network_on_bits(options.folder, run, options.form, options.data_dir)
    say(packed.describe(on_bits), flush=True)
    try:
        packed.save_packed(options.out, on_bits)
    except ValueError as error:                        # its line of text, where the name of the data is very long
        raise UsageError(f"{options.folder}: {error}") from None
    _, _, params, running = run
    size, floats = options.out.stat().st_size, sum(array.nbytes for array in (*params.values(), *running.values()))
    say(f"{options.out}: {size:,} bytes, 1/{floats / size:.1f} of the {floats:,} bytes of float32 parameters")
    return 0


def network_on_bits(folder, run, form_name, data_dir):
    """The PackedNetwork of a run, in its own form or in the one of this name.

    run: what `choices.finished_run` returns. Raises UsageError for a form that is unknown, that averages or that bits
    do not have, and where statistics for it must be taken but the run's data changed.
    """
    from .. import packed

    record, net, params, running = run
    settings = record["settings"]
    said = {key: settings[key] for key in SAID}
    if form_name is not None:
        form = choices.form(settings, form_name)
        if form.sample:
            raise UsageError(f"--form {form_name} and bits: it averages over networks that are drawn; give one of "
                             "them")
        said["form"] = form_name
        net = _network_in(form, record)
        if any(map(network.has_statistics, net)):
            train_x = choices.own_data(folder, record, data_dir).train_x
            running = forms.recompute_statistics(net, params, running, train_x)
    text = json.dumps({**said, "fingerprint": record["fingerprint"]})
    try:
        return packed.pack_network(net, params, running, tuple(record["shape"]), text)
    except (ValueError, TypeError) as error:
        names = [] if form_name else _forms_on_bits(run)
        other = f"; on bits with --form {' or '.join(names)}" if names else ""
        raise UsageError(f"{folder}: {error}{other}") from None


def _network_in(form, record):
    chosen, _ = choices.rounds_of(record["settings"], record["shape"])[-1]
    return choices.build_network(chosen, tuple(record["shape"]), record["classes"], form.vocabulary)


def _forms_on_bits(run):
    """The names of the forms, besides its own, in which the run's network has one on bits."""
    from .. import packed

    record, _, params, running = run
    names = []
    for name, form in choices.forms(record["settings"]).items():
        with contextlib.suppress(ValueError, TypeError):
            if not form.sample:
                packed.pack_network(_network_in(form, record), params, running, tuple(record["shape"]))
                names.append(name)
    return names
