"""The command line. Whatever a user may get wrong ends in one line on stderr that says what to do, exit code 2."""

import argparse
import json
import os
import platform
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from . import __version__, data, recipe, runs, train
from .files import DamagedError
from .papers import PAPERS, measured
from .progress import Progress, duration


class UsageError(ValueError):
    """Options that do not go together; the message is one line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def _whole(least):
    def parse(text):
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} up, got {text!r}")
        return int(text)

    return parse


def _parser():
    parser = _Parser(prog="bnn-ref", description="Binarized neural networks: train them, verify them, read them.",
                     allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"bnn-ref {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)

    command = commands.add_parser("train", help="train a paper's network", allow_abbrev=False)
    command.set_defaults(run=_train)
    command.add_argument("paper", choices=PAPERS, metavar="PAPER", help=", ".join(PAPERS))
    command.add_argument("--data", help=f"{', '.join(data.NAMES)}, or a file FILE.npz of your own (default: digits)")
    command.add_argument("--data-dir", metavar="DIR", help="where data sets are (default: $BNN_REF_DATA, else a cache)")
    command.add_argument("--preset", choices=("quick", "long", "paper"), help="quick: minutes on two cores; long: an "
                         "hour or two; paper: as published (default: quick)")
    command.add_argument("--net", choices=("mlp", "convnet"), help="default: what the preset has for the data")
    command.add_argument("--weights", choices=("deterministic", "stochastic"),
                         help="how binaryconnect binarizes (default: stochastic)")
    command.add_argument("--epochs", type=_whole(1), help="default: the preset's; the learning rate decays over them")
    command.add_argument("--seed", type=_whole(0), help="default: 0")
    command.add_argument("--out", type=Path, metavar="RUN", help="run folder to write (default: runs/...)")
    command.add_argument("--resume", action="store_true", help="go on with the run in that folder, or begin it")

    command = commands.add_parser("evaluate", help="test error of a finished run, in floats or on bits",
                                  allow_abbrev=False)
    command.set_defaults(run=_evaluate)
    command.add_argument("source", type=Path, metavar="RUN|FILE", help="a run folder, or a file written by pack")
    command.add_argument("--rung", metavar="NAME", help="on bits, by this rung of the ladder (a packed file without: "
                         "the best)")
    command.add_argument("--data", help="other data than the run's")
    command.add_argument("--data-dir", metavar="DIR")

    command = commands.add_parser("pack", help="a finished run's network as bits, in a file", allow_abbrev=False)
    command.set_defaults(run=_pack)
    command.add_argument("folder", type=Path, metavar="RUN")
    command.add_argument("--out", type=Path, metavar="FILE", required=True, help="file to write, for example net.bnn")

    command = commands.add_parser("bench", help="verify the kernels, then time them against their rivals",
                                  allow_abbrev=False)
    command.set_defaults(run=_bench)
    command.add_argument("what", choices=("matmul", "mlp", "convnet", "train"),
                         help="the ladder; the MLP or the ConvNet on bits; a training step")
    command.add_argument("--json", type=Path, metavar="FILE", help="write every sample there, the picture beside it")
    command.add_argument("--readme", type=Path, metavar="FILE", help="put the tables between this file's markers")

    command = commands.add_parser("gradcheck", help="verify every backward pass numerically", allow_abbrev=False)
    command.set_defaults(run=_gradcheck)

    command = commands.add_parser("papers", help="the papers, their recipes, published and measured errors",
                                  allow_abbrev=False)
    command.set_defaults(run=_papers)
    return parser


def main(argv=None):
    """Run the program with the given arguments (default: the process's); returns the exit code."""
    try:
        options = _parser().parse_args(argv)
        return options.run(options)
    except (UsageError, data.DataError, runs.RunError, DamagedError, train.TrainingError) as error:
        return _fail(error)
    except BrokenPipeError:                            # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("\nbnn-ref: stopped", file=sys.stderr)
        return 130
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}")


def _fail(error):
    print(f"bnn-ref: error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


# --- train ---------------------------------------------------------------------------------------------------------


def _choose(options):
    """What the options ask for, completed by defaults: the settings that a run records (epochs may be None still)."""
    module = PAPERS[options.paper]
    source = options.data or "digits"
    if source.endswith(".npz"):
        source = str(Path(source).absolute())
    preset = options.preset or "quick"
    known = source if source in data.NAMES else "mnist"        # own pictures take the nets of MNIST
    nets = [net for name, net, of in module.RECIPES if (name, of) == (known, preset)]
    if not nets or (options.net and options.net not in nets):
        asked = " ".join(filter(None, [source, options.net, preset]))
        offered = ", ".join(" ".join(key) for key in module.RECIPES)
        raise UsageError(f"{options.paper} has no recipe for {asked}; it has: {offered}")
    kinds = list(module.VOCABULARIES)
    if options.weights and options.weights not in kinds:
        raise UsageError(f"--weights {options.weights}: {options.paper} has {' or '.join(kinds)} weights")
    return {"paper": options.paper, "data": source, "preset": preset, "net": options.net or nets[0],
            "weights": options.weights or kinds[0], "epochs": options.epochs, "seed": options.seed or 0}


def _recipe_and_network(settings, shape, classes, examples):
    """What the settings mean for data of this shape. Own pictures take the recipe of digits or MNIST, by number."""
    name = settings["data"]
    if name not in data.NAMES:
        name = "mnist" if examples >= 10_000 or settings["preset"] == "paper" else "digits"
    try:
        module = PAPERS[settings["paper"]]
        chosen = module.RECIPES[name, settings["net"], settings["preset"]]
        vocabulary = module.VOCABULARIES[settings["weights"]]
    except KeyError as error:
        raise runs.RunError(f"no recipe for {error}: a run of another version; choose another --out") from None
    if settings["epochs"] is not None:
        chosen = replace(chosen, epochs=settings["epochs"])
    try:
        return chosen, recipe.build(chosen, shape, classes, vocabulary)
    except ValueError as error:                        # pictures too small for the net
        raise UsageError(error) from None


def _default_folder(settings):
    parts = [settings["paper"], settings["weights"], settings["net"], Path(settings["data"]).stem, settings["preset"],
             f"seed{settings['seed']}"]
    return Path("runs") / "-".join(parts)


def _refuse_other_settings(options, asked, settings):
    """--resume: what was given on the command line must be what the run has; what was not is taken from it."""
    for name in ("paper", "data", "preset", "net", "weights", "epochs", "seed"):
        if getattr(options, name) is not None and asked[name] != settings[name]:
            raise runs.RunError(f"--resume: the run has {name} {settings[name]}, not {asked[name]}; leave that out, "
                                "or begin another run with --out")


def _train(options):
    settings = _choose(options)
    folder = options.out or _default_folder(settings)
    record = runs.read(folder) if options.resume and runs.exists(folder) else None
    if record:
        _refuse_other_settings(options, settings, record["settings"])
        settings = record["settings"]
    dataset = data.load(settings["data"], options.data_dir)
    chosen, net = _recipe_and_network(settings, dataset.shape, dataset.classes, len(dataset.train_x))
    described = {"settings": {**settings, "epochs": chosen.epochs}, "recipe": chosen.as_text(),
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
    return _go_on(options, folder, record, net, chosen, dataset)


def _go_on(options, folder, record, net, chosen, dataset):
    """Train from the last checkpoint, or from the start, to the end; say how to go on if that is not reached."""
    again = ["bnn-ref", "train", options.paper, "--out", str(folder), "--resume"]
    again = shlex.join(again + (["--data-dir", options.data_dir] if options.data_dir else []))
    seed = record["settings"]["seed"]
    try:
        state = runs.load_checkpoint(folder, train.start(net, chosen, seed))
        count = sum(int(np.prod(param.shape)) for step in net for param in step.params)
        print(f"{options.paper} on {record['settings']['data']}: {chosen.net}-{dataset.classes}FC, {count:,} "
              f"parameters, {record['settings']['weights']} weights, {len(dataset.train_x):,} training images -> "
              f"{folder}", flush=True)
        return _run_epochs(folder, record, net, chosen, dataset, state, seed)
    except KeyboardInterrupt:
        print(f"\nbnn-ref: stopped; go on with: {again}", file=sys.stderr)
        return 130
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror}; the last saved epoch is safe, go on with: "
                         f"{again}") from None


def _run_epochs(folder, record, net, chosen, dataset, state, seed):
    """The epochs, each saved before it is shown, then the pictures and the test error at the best of them."""
    from . import plots  # Matplotlib takes a second: only for those who draw

    progress = Progress(chosen.epochs, state.epoch)
    for new_state in train.train(net, chosen, dataset, state, seed, progress.tick):
        state = new_state
        runs.save_checkpoint(folder, state)
        progress.epoch(state.history[-1], state.best_epoch)
    plots.save(plots.curves(state.history), folder / "curves.png")
    binary = list(train.binary_shapes(net))
    if binary:
        plots.save(plots.weight_histograms(state.best_params, binary), folder / "weights.png")
    test_error = train.error_rate(net, state.best_params, state.best_running, dataset.test_x, dataset.test_y)
    seconds = sum(epoch["seconds"] for epoch in state.history)
    result = {"test_error": test_error, "best_epoch": state.best_epoch, "seconds": seconds}
    return _report(folder, runs.finish(folder, record, state, result))


def _report(folder, record):
    best = record["history"][record["best_epoch"] - 1]
    print(f"best validation error {best['valid_error']:.2f} % in epoch {record['best_epoch']}, "
          f"{duration(record['seconds'])} of training; pictures in {folder}")
    print(f"test error {record['test_error']:.2f} %")
    return 0


# --- evaluate ------------------------------------------------------------------------------------------------------


def _finished(folder):
    """(record, network, params, running statistics) of a finished run."""
    record = runs.read(folder)
    _, net = _recipe_and_network(record["settings"], tuple(record["shape"]), record["classes"], record["examples"])
    return record, net, *runs.load_params(folder, net)


def _fitting(options, default, shape, classes):
    """The data set to evaluate on, if the network is for such pictures."""
    dataset = data.load(options.data or default, options.data_dir)
    if dataset.shape != shape or dataset.classes > classes:
        raise UsageError(f"{options.source} is for pictures of shape {shape} in {classes} classes; the data have "
                         f"{dataset.shape} in {dataset.classes}")
    return dataset


def _evaluate(options):
    if options.source.is_dir() or not options.source.exists():
        record, net, params, running = _finished(options.source)
        dataset = _fitting(options, record["settings"]["data"], tuple(record["shape"]), record["classes"])
        if options.rung is None:
            error = train.error_rate(net, params, running, dataset.test_x, dataset.test_y)
            print(f"test error {error:.2f} %")
            return 0
        network = _on_bits(options.source, record, net, params, running)
    else:
        from . import packed

        network = packed.load_packed(options.source)
        try:
            trained_on = json.loads(network.text)["data"]
        except (ValueError, KeyError, TypeError):
            trained_on = None
        if not (options.data or isinstance(trained_on, str)):
            raise UsageError(f"{options.source} does not say what it was trained on: name the data with --data")
        dataset = _fitting(options, trained_on, network.shape, network.classes)
    return _evaluate_bits(options, network, dataset)


def _on_bits(folder, record, net, params, running):
    """The run's network as bits."""
    from . import packed

    text = json.dumps({key: record["settings"][key] for key in ("paper", "data", "preset", "net", "seed")})
    try:
        return packed.pack_network(net, params, running, tuple(record["shape"]), text)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{folder}: {error}") from None


def _evaluate_bits(options, network, dataset):
    from . import packed

    try:
        answers = packed.predict_labels(network, dataset.test_x, options.rung)
    except ValueError as error:                        # a rung that is unknown, or that cannot run here
        raise UsageError(error) from None
    print(f"test error {100 * float(np.mean(answers != dataset.test_y)):.2f} %")
    return 0


# --- pack and bench ------------------------------------------------------------------------------------------------


def _pack(options):
    from . import packed

    record, net, params, running = _finished(options.folder)
    network = _on_bits(options.folder, record, net, params, running)
    if options.out.is_dir():
        raise UsageError(f"{options.out} is a folder: name a file to write, for example {options.out / 'net.bnn'}")
    packed.save_packed(options.out, network)
    size, floats = options.out.stat().st_size, sum(array.nbytes for array in (*params.values(), *running.values()))
    print(packed.describe(network))
    print(f"{options.out}: {size:,} bytes, 1/{floats / size:.1f} of the {floats:,} bytes of float32 parameters")
    return 0


def _bench(options):
    from . import bench, bench_report, plots

    def say(text):
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    try:
        if options.readme:
            bench_report.check_markers(options.readme, options.what)
        result = bench.BENCHES[options.what](say)
    except ValueError as error:
        raise UsageError(error) from None
    say("")
    print(bench_report.tables(result))
    for what, ratio in bench_report.figures(result):
        print(f"{what}: {ratio:.2f}")
    picture = options.json.with_suffix(".png") if options.json else Path(f"bench-{options.what}.png")
    plots.save(plots.bars(*bench_report.bars(result)), picture)
    if options.json:
        bench_report.save_json(options.json, result)
    if options.readme:
        bench_report.write_readme(options.readme, result)
    print(f"picture in {picture}")
    return 0


# --- gradcheck and papers ------------------------------------------------------------------------------------------


def _gradcheck(options):
    from . import derivatives

    failures = 0
    print(f"{'operation':<32}{'its backward is':<44}{'checked':>8}{'worst error':>13}")
    for case in derivatives.CASES:
        try:
            report = case.check()
            print(f"{case.name:<32}{case.claim:<44}{report.checked:>8}{report.worst:>13.1e}", flush=True)
        except AssertionError as error:
            failures += 1
            print(f"{case.name:<32}{case.claim:<44}  FAILED: {' '.join(str(error).split())}", flush=True)
    print(f"{len(derivatives.CASES) - failures} of {len(derivatives.CASES)} agree with finite differences in float64")
    return 1 if failures else 0


def _papers(options):
    for name, module in PAPERS.items():
        print(f"{name}: {module.TITLE}\n  {module.SOURCE}")
        print(f"  published test error: {'; '.join(f'{key} {value} %' for key, value in module.PUBLISHED.items())}")
        for (source, net, preset), chosen in module.RECIPES.items():
            first, last = chosen.lr
            print(f"  {source} {net} {preset}: {chosen.net}, {chosen.epochs} epochs of batch {chosen.batch}, "
                  f"{chosen.optimizer.name} {first:g} -> {last:g}")
        for row in measured.rows(name):
            print(f"  measured: {measured.summary(row)} after {row['epochs']} epochs, {measured.duration(row)}: "
                  f"{row['command']}")
        print()
    return 0
