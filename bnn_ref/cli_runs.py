"""The commands on runs: train, evaluate, pack."""

import contextlib
import functools
import json
import platform
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from . import __version__, cli_text, data, inference, network, preprocess, recipe, runs, train
from .cli_options import UsageError
from .papers import PAPERS
from .progress import Progress, duration

# --- train ---------------------------------------------------------------------------------------------------------


def choose_settings(options):
    """What the options ask for, completed by defaults: the settings that a run records (epochs may be None still)."""
    module = PAPERS[options.paper]
    source = options.data or "digits"
    if source.endswith(".npz"):
        source = str(Path(source).absolute())
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
    return {"paper": options.paper, "data": source, "preset": preset, "net": options.net or nets[0],
            "variant": variant, "epochs": options.epochs, "seed": options.seed or 0}


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
    if settings["epochs"] is not None:
        chosen = replace(chosen, epochs=settings["epochs"])
    return recipe.rounds(chosen, vocabulary)


def build_network(chosen, shape, classes, vocabulary):
    """The network of a recipe. Raises UsageError for pictures that do not fit it."""
    try:
        return recipe.build(chosen, shape, classes, vocabulary)
    except ValueError as error:                        # pictures too small for the net
        raise UsageError(error) from None


def _default_folder(settings):
    parts = [settings["paper"], settings["variant"], settings["net"], Path(settings["data"]).stem, settings["preset"],
             f"seed{settings['seed']}"]
    return Path("runs") / "-".join(parts)


def _refuse_other_settings(options, asked, settings):
    """--resume: what was given on the command line must be what the run has; what was not is taken from it."""
    for name in ("paper", "data", "preset", "net", "variant", "epochs", "seed"):
        if getattr(options, name) is not None and asked[name] != settings[name]:
            raise runs.RunError(f"--resume: the run has {name} {settings[name]}, not {asked[name]}; leave that out, "
                                "or begin another run with --out")


def run_train(options):
    """Train a network into a run folder, from the start or from where the run stands. Returns the exit code."""
    if cli_text.is_text(options.data):
        return cli_text.run_cross_validation(options)
    settings = choose_settings(options)
    folder = options.out or _default_folder(settings)
    record = runs.read(folder) if options.resume and runs.exists(folder) else None
    if record:
        _refuse_other_settings(options, settings, record["settings"])
        settings = record["settings"]
    dataset = data.load(settings["data"], options.data_dir)
    rounds = rounds_of(settings, len(dataset.train_x))
    nets = [build_network(chosen, dataset.shape, dataset.classes, vocabulary) for chosen, vocabulary in rounds]
    last = rounds[-1][0]
    described = {"settings": {**settings, "epochs": last.epochs}, "recipe": last.as_text(),
                 "shape": list(dataset.shape), "classes": dataset.classes, "examples": len(dataset.train_x),
                 "fingerprint": dataset.fingerprint,
                 "versions": {"bnn_ref": __version__, "numpy": np.__version__, "python": platform.python_version()}}
    if record:
        for name, what in (("fingerprint", "data"), ("recipe", "recipe")):
            if record.get(name) != described[name]:
                raise runs.RunError(f"{folder}: the {what} changed since this run began; begin another with --out")
    else:
        record = runs.begin(folder, described)
    if "test_error" in record:
        runs.tidy(folder)
        print(f"{folder} is finished already")
        return _report(folder, record)
    return _go_on(options, folder, record, [(net, chosen) for net, (chosen, _) in zip(nets, rounds)], dataset)


def _go_on(options, folder, record, rounds, dataset):
    """Train from the last checkpoint, or from the start, to the end; say how to go on if that is not reached."""
    again = ["bnn-ref", "train", options.paper, "--out", str(folder), "--resume"]
    again = shlex.join(again + (["--data-dir", options.data_dir] if options.data_dir else []))
    settings, (net, chosen) = record["settings"], rounds[-1]
    try:
        done = runs.epochs_done(folder)
        count = sum(int(np.prod(param.shape)) for step in net for param in step.params)
        print(f"{options.paper} on {settings['data']}: {chosen.net}-{dataset.classes}FC, {count:,} parameters, "
              f"{settings['variant']}, {len(dataset.train_x):,} training images -> {folder}", flush=True)
        cache = data.data_folder(options.data_dir), Path(settings["data"]).stem
        return _run_rounds(folder, record, rounds, dataset, done, cache)
    except KeyboardInterrupt:
        print(f"\nbnn-ref: stopped; go on with: {again}", file=sys.stderr)
        return 130
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror}; the last saved epoch is safe, go on with: "
                         f"{again}") from None


def _run_rounds(folder, record, rounds, dataset, done, cache):
    """The rounds one after another, each saved after every epoch; then the pictures and the test errors.

    done: epochs in the checkpoint. A round that ended before is not trained again. cache: folder and name for what
    takes long to fit to the data.
    """
    from . import plots  # Matplotlib takes a second: only for those who draw

    def fitted(step, x):
        if step.fit is not preprocess.zca_fit:         # half a minute, and the same for every net and seed
            return step.fit(x)
        return preprocess.fitted(step.fit, x, f"{cache[1]}-whitening", cache[0])

    seed, state, first = record["settings"]["seed"], None, 0
    progress = Progress(sum(chosen.epochs for _, chosen in rounds), done)
    errors = record.get("rounds", [])
    for number, (net, chosen) in enumerate(rounds):
        if done > first + chosen.epochs:
            first += chosen.epochs
            continue
        begun = train.start(net, chosen, seed) if state is None else train.go_on(net, chosen, seed, state)
        state = runs.load_checkpoint(folder, begun) if state is None else begun
        for after in train.train(net, chosen, dataset, state, seed, progress.tick, first, fitted):
            state = after
            runs.save_checkpoint(folder, state)
            progress.epoch(state.history[-1], state.best_epoch)
        first += chosen.epochs
        error = train.error_rate(net, state.best_params, state.best_running, dataset.test_x, dataset.test_y)
        errors = [*errors[:number], error]
        if number < len(rounds) - 1:
            print(f"round {number + 1} of {len(rounds)}: test error {error:.2f} %", flush=True)
            record = runs.note(folder, record, {"rounds": errors})
    return _finish(folder, record, rounds[-1], dataset, state, errors, plots, progress)


def _finish(folder, record, last, dataset, state, errors, plots, progress):
    """Pictures, the test errors, and the run folder complete. last: network and recipe of the last round."""
    net, chosen = last
    plots.save(plots.curves(state.history), folder / "curves.png")
    binary = list(train.binary_shapes(net))
    if binary:
        plots.save(plots.weight_histograms(state.best_params, binary), folder / "weights.png")
    result = {"test_error": errors[-1], "best_epoch": state.best_epoch,
              **{key: sum(epoch[key] for epoch in state.history) for key in ("seconds", "cpu_seconds")}}
    if len(errors) > 1:
        result["rounds"] = errors
    forms = _forms(record["settings"])
    if forms:
        result["forms"] = {name: inference.error_rate(form, chosen, binary, dataset, state.best_params,
                                                      state.best_running, functools.partial(progress.testing, name))
                           for name, form in forms.items()}
    return _report(folder, runs.finish(folder, record, state, result))


def _forms(settings):
    """{name: inference.Form}: what the paper's networks of this variant can be at test time besides."""
    return PAPERS[settings["paper"]].FORMS.get(settings["variant"], {})


def _report(folder, record):
    best = record["history"][record["best_epoch"] - 1]
    print(f"best validation error {best['valid_error']:.2f} % in epoch {record['best_epoch']}, "
          f"{duration(record['seconds'])} of training; pictures in {folder}")
    for name, error in record.get("forms", {}).items():
        print(f"test error with {name} {error:.2f} %")
    print(f"test error {record['test_error']:.2f} %")
    return 0


# --- evaluate ------------------------------------------------------------------------------------------------------


def finished_run(folder):
    """(record, network, params, running statistics) of a finished run."""
    record = runs.read(folder)
    if cli_text.is_text(record["settings"]["data"]):
        raise UsageError(f"{folder}: a cross-validation, which leaves an error and no network")
    chosen, vocabulary = rounds_of(record["settings"], record["examples"])[-1]
    net = build_network(chosen, tuple(record["shape"]), record["classes"], vocabulary)
    return record, net, *runs.load_params(folder, net)


def _fitting(options, default, shape, classes):
    """The data set to evaluate on, if the network is for such pictures."""
    dataset = data.load(options.data or default, options.data_dir)
    if dataset.shape != shape or dataset.classes > classes:
        raise UsageError(f"{options.source} is for pictures of shape {shape} in {classes} classes; the data have "
                         f"{dataset.shape} in {dataset.classes}")
    return dataset


def run_evaluate(options):
    """Print the test error of a run, in its own form, another or on bits, or of a packed file. Returns the exit
    code."""
    if options.source.is_dir() or not options.source.exists():
        record, net, params, running = finished_run(options.source)
        dataset = _fitting(options, record["settings"]["data"], tuple(record["shape"]), record["classes"])
        if options.rung is not None:
            on_bits = _on_bits(options, options.source, record, net, params, running)
        elif options.form is not None:
            return _evaluate_form(options, record, net, params, running, dataset)
        else:
            error = train.error_rate(net, params, running, dataset.test_x, dataset.test_y)
            print(f"test error {error:.2f} %")
            return 0
    else:
        if options.form is not None:
            raise UsageError(f"--form {options.form}: {options.source} is a packed file, whose form is settled")
        from . import packed

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
    chosen, _ = rounds_of(settings, record["examples"])[-1]
    answers = inference.outputs(form, chosen, train.binary_shapes(net), trained_on, params, running, dataset.test_x,
                                functools.partial(Progress(0, stream=sys.stderr).testing, options.form))
    error = 100 * float(np.mean(answers.argmax(axis=1) != dataset.test_y))
    print(f"test error with {options.form} {error:.2f} %")
    return 0


def _chosen_form(options, settings):
    forms = _forms(settings)
    if options.form not in forms:
        offered = " or ".join(forms) if forms else "none but its own"
        raise UsageError(f"--form {options.form}: {settings['paper']} {settings['variant']} has {offered}")
    return forms[options.form]


def _on_bits(options, folder, record, net, params, running):
    """The run's network as bits, in its own form or in the one that is asked for."""
    from . import packed

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
            running = inference.recompute_statistics(net, params, running, train_x)
    try:
        return packed.pack_network(net, params, running, tuple(record["shape"]), json.dumps(said))
    except (ValueError, TypeError) as error:
        forms = [] if options.form else _forms_on_bits(record, params, running)
        other = f"; on bits with --form {' or '.join(forms)}" if forms else ""
        raise UsageError(f"{folder}: {error}{other}") from None


def _form_network(record, form):
    chosen, _ = rounds_of(record["settings"], record["examples"])[-1]
    return build_network(chosen, tuple(record["shape"]), record["classes"], form.vocabulary)


def _forms_on_bits(record, params, running):
    """The names of the forms, besides its own, in which the run's network has one on bits."""
    from . import packed

    names = []
    for name, form in _forms(record["settings"]).items():
        with contextlib.suppress(ValueError, TypeError):
            if not form.sample:
                packed.pack_network(_form_network(record, form), params, running, tuple(record["shape"]))
                names.append(name)
    return names


def _evaluate_bits(options, on_bits, dataset):
    from . import packed

    try:
        answers = packed.predict_labels(on_bits, dataset.test_x, options.rung)
    except ValueError as error:                        # a rung that is unknown, or that cannot run here
        raise UsageError(error) from None
    print(f"test error {100 * float(np.mean(answers != dataset.test_y)):.2f} %")
    return 0


# --- pack ----------------------------------------------------------------------------------------------------------


def run_pack(options):
    """Write a finished run's network as bits. Returns the exit code."""
    from . import packed

    record, net, params, running = finished_run(options.folder)
    on_bits = _on_bits(options, options.folder, record, net, params, running)
    if options.out.is_dir():
        raise UsageError(f"{options.out} is a folder: name a file to write, for example {options.out / 'net.bnn'}")
    packed.save_packed(options.out, on_bits)
    size, floats = options.out.stat().st_size, sum(array.nbytes for array in (*params.values(), *running.values()))
    print(packed.describe(on_bits))
    print(f"{options.out}: {size:,} bytes, 1/{floats / size:.1f} of the {floats:,} bytes of float32 parameters")
    return 0
