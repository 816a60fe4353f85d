"""The command line. Whatever a user may get wrong ends in one line on stderr that says what to do, exit code 2."""

import warnings
from pathlib import Path

from .. import __version__, data, environment
from ..files import DamagedError
from ..nets import recipe
from ..papers import PAPERS, measured
from ..training import loop, runs
from . import compare, evaluate, look, measure, pack, rate_table, show, terminal, train
from .options import Parser, UsageError, add_output, epochs, layers, rate, settle_outputs, whole

VARIANTS = tuple(dict.fromkeys(name for module in PAPERS.values() for name in module.VOCABULARIES))

LAYERS = ("hidden layers, as in 3x512 (short for 512FC-512FC-512FC) or 32C3-MP2-64C3-MP2-256FC, in place of the "
          "preset's")


def _parser():
    parser = Parser(prog="bnn-ref", description="Binarized neural networks: train them, verify them, read them.",
                     allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"bnn-ref {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)

    command = commands.add_parser("train", help="train a paper's network", allow_abbrev=False)
    command.set_defaults(run=train.run_train)
    command.add_argument("paper", choices=PAPERS, metavar="PAPER", help=", ".join(PAPERS))
    command.add_argument("--data", help=f"{', '.join(data.NAMES)}, or a file FILE.npz of your own (default: "
                         "digits); for ebp also a text task, such as reuters_i6, or a file of your own texts")
    command.add_argument("--data-dir", metavar="DIR", help="where data sets are (default: $BNN_REF_DATA, else a cache)")
    command.add_argument("--preset", choices=recipe.PRESETS, help="quick: minutes on two cores; long: an "
                         "hour or two; paper: as published (default: quick)")
    command.add_argument("--net", choices=recipe.NETS, help="default: what the preset has for the data")
    command.add_argument("--variant", choices=VARIANTS, metavar="NAME",
                         help="what `bnn-ref papers` lists for the paper (default: the first there)")
    command.add_argument("--epochs", type=epochs, metavar="N", help="default: the preset's; the learning rate decays "
                         "over them. Where there are two rounds (bitwise): of both, shared out as the preset does, or "
                         "of each, as in 40+10")
    command.add_argument("--layers", type=layers, metavar="NET", help=LAYERS)
    command.add_argument("--lr", type=rate, metavar="X", help="learning rate of the first epoch, of each round; where "
                         "its decay ends scales along (default: the preset's)")
    command.add_argument("--batch", type=whole(1), metavar="N", help="pictures in a minibatch (default: the preset's)")
    command.add_argument("--seed", type=whole(0), help="default: 0")
    command.add_argument("--readable", action="store_true", help="run the equations as they are read, to step through "
                         "them, also where kernels would write the same bytes sooner")
    command.add_argument("--out", type=Path, metavar="RUN", help="run folder to write (default: runs/ and what the run "
                         "is; a second such run goes to the same name with -2 behind it, and so on)")
    command.add_argument("--resume", action="store_true", help="go on with the run in that folder, or begin it; "
                         "without --out, with the newest of those names that is not finished")
    command.add_argument("--exact", action="store_true", help="with --resume: only where sums round as they did when "
                         "the run began (same BLAS, threads and kind of processor)")

    command = commands.add_parser("evaluate", help="test error of a finished run, in floats or on bits",
                                  allow_abbrev=False)
    command.set_defaults(run=evaluate.run_evaluate)
    command.add_argument("source", type=Path, metavar="RUN|FILE", help="a run folder, or a file written by pack")
    command.add_argument("--rung", metavar="NAME", help="on bits, by this rung of the ladder (a packed file without: "
                         "the best)")
    command.add_argument("--form", metavar="NAME", help="of the network at test time: what `bnn-ref papers` lists, "
                         "such as binary or sampled weights")
    command.add_argument("--data", help="other data than the run's")
    command.add_argument("--data-dir", metavar="DIR")

    command = commands.add_parser("pack", help="a finished run's network as bits, in a file", allow_abbrev=False)
    command.set_defaults(run=pack.run_pack)
    command.add_argument("folder", type=Path, metavar="RUN")
    add_output(command, "--out", "file to write, for example net.bnn", required=True)
    command.add_argument("--form", metavar="NAME", help="of the network at test time, where its own has none on "
                         "bits, such as binary or deterministic weights")
    command.add_argument("--data-dir", metavar="DIR")

    command = commands.add_parser("bench", help="verify the kernels, then time them against their rivals",
                                  allow_abbrev=False)
    command.set_defaults(run=show.show_bench)
    command.add_argument("what", choices=("matmul", "mlp", "convnet", "train"),
                         help="the ladder; the MLP or the ConvNet on bits; a training step")
    add_output(command, "--json", "write every sample there")
    add_output(command, "--picture", "picture to write (default: beside --json, or bench-WHAT.png, or the next free "
               "name)", picture=True, default=show.bench_picture)
    command.add_argument("--thorough", action="store_true", help="larger products, and more rounds of everything")
    command.add_argument("--readme", type=Path, metavar="FILE", help="put the tables between this file's markers, "
                         "beside those of other machines")

    command = commands.add_parser("gradcheck", help="verify every backward pass numerically", allow_abbrev=False)
    command.set_defaults(run=show.show_gradcheck)

    command = commands.add_parser("costs", help="memory, operations and energy of a network, layer by layer",
                                  allow_abbrev=False)
    command.set_defaults(run=look.show_costs)
    command.add_argument("source", metavar="PAPER|RUN", help=f"{', '.join(PAPERS)}, or a run folder")
    command.add_argument("--data", help="as of train; the pictures of the data sets need not be there")
    command.add_argument("--preset", choices=recipe.PRESETS, help="default: quick")
    command.add_argument("--net", choices=recipe.NETS, help="default: what the preset has for the data")
    command.add_argument("--layers", type=layers, metavar="NET", help=LAYERS)
    command.add_argument("--variant", choices=VARIANTS, metavar="NAME", help="default: the paper's first")
    add_output(command, "--picture", "draw energy by layer", picture=True)

    command = commands.add_parser("filters", help="how many filters of a finished run's convolutions are distinct",
                                  allow_abbrev=False)
    command.set_defaults(run=look.show_filters)
    command.add_argument("folder", type=Path, metavar="RUN")
    add_output(command, "--picture", "draw how often each occurs", picture=True)

    command = commands.add_parser("features", help="the weights of a finished run's first layer as pictures",
                                  allow_abbrev=False)
    command.set_defaults(run=look.show_features)
    command.add_argument("folder", type=Path, metavar="RUN")
    add_output(command, "--out", "picture to write", picture=True, required=True)
    command.add_argument("--binary", action="store_true", help="their signs")

    command = commands.add_parser("exponents", help="of which powers of two the inputs of a finished run's layers are",
                                  allow_abbrev=False)
    command.set_defaults(run=look.show_exponents)
    command.add_argument("folder", type=Path, metavar="RUN")
    add_output(command, "--out", "picture to write", picture=True, required=True)
    command.add_argument("--data-dir", metavar="DIR")

    command = commands.add_parser("papers", help="the papers, their recipes, published and measured errors",
                                  allow_abbrev=False)
    command.set_defaults(run=show.show_papers)
    add_output(command, "--picture", "draw measured errors beside published ones", picture=True)

    command = commands.add_parser("compare", help="runs side by side: their errors, and their curves in one picture",
                                  allow_abbrev=False)
    command.set_defaults(run=compare.show_compare)
    command.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders, finished or not")
    add_output(command, "--out", "picture to write (default: compare.png, or the next free name)", picture=True,
               default=lambda options: Path("compare.png"))
    add_output(command, "--weights", "draw the real weights of the first layer too, of finished runs", picture=True)

    command = commands.add_parser("measure", help="put finished runs into the package's table of results",
                                  allow_abbrev=False)
    command.set_defaults(run=measure.run_measure)
    command.add_argument("runs", type=Path, nargs="*", metavar="RUN",
                         help="finished runs that differ in the seed alone")
    command.add_argument("--note", default="", metavar="TEXT", help="on the data: what is shown beside their name")
    command.add_argument("--readme", type=Path, metavar="FILE", help="put the table between the markers of this file")
    command.add_argument("--steps", dest="paper", choices=PAPERS, metavar="PAPER", help=f"time {measured.STEPS} "
                         "training steps of its recipe, on noise; the options below say which")
    command.add_argument("--data", choices=measure.TRAINING, help="default: cifar10")
    command.add_argument("--preset", choices=recipe.PRESETS, help="default: paper")
    command.add_argument("--net", choices=recipe.NETS, help="default: what the preset has for the data")
    command.add_argument("--variant", metavar="NAME", help="default: the paper's first")

    command = commands.add_parser("rates", help="BinaryConnect's Table 1 on a small network: update rules, with and "
                                  "without scaled learning rates", allow_abbrev=False)
    command.set_defaults(run=rate_table.show_rates)
    command.add_argument("--data", default="cifar10", help="default: cifar10, as in the paper; digits takes "
                         "two minutes")
    command.add_argument("--data-dir", metavar="DIR")
    command.add_argument("--epochs", type=whole(1), default=rate_table.SMALL.epochs,
                         help=f"default: {rate_table.SMALL.epochs}")
    command.add_argument("--seed", type=whole(0), default=0, help="default: 0")
    return parser


def main(argv=None):
    """Run the program with the given arguments (default: the process's); returns the exit code."""
    try:
        terminal.prepare()
        return _run(argv)
    except (UsageError, data.DataError, runs.RunError, DamagedError, loop.TrainingError,
            environment.SettingError) as error:
        return _fail(error)
    except BrokenPipeError as left:                    # `| head` has seen enough
        terminal.give_up()
        if left.errno is None:                         # raised by a command, with what to do next
            terminal.complain(f"nobody reads any more: stopped; {left}", whole=True)
        return 1
    except KeyboardInterrupt as stop:                  # with what to do next, where a command knows
        terminal.give_up()
        terminal.complain("; ".join(["stopped", *map(str, stop.args)]), start="\n", whole=True)
        return 130
    except MemoryError:
        return _fail("there is not enough memory for that; end other programs, or take a smaller network or batch")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}")


def _run(argv):
    try:
        options = _parser().parse_args(argv)
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            environment.threads()                      # whoever sets it wrongly learns it before hours of work
            settle_outputs(options)
            code = options.run(options)
    except SystemExit:                                 # of --help, say
        terminal.flush()
        raise
    terminal.flush()
    return code


def _warn(message, *_):
    terminal.complain(f"warning: {message}")


def _fail(error):
    terminal.give_up()
    terminal.complain(f"error: {error}")
    return 2
