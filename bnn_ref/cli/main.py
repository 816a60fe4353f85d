"""The command line. Whatever a user may get wrong ends in one line on stderr that says what to do, exit code 2."""

import os
import sys
import warnings
from pathlib import Path

from .. import __version__, data
from ..files import DamagedError
from ..nets import recipe
from ..ops.checks import SettingError
from ..papers import PAPERS, measured
from ..training import loop, runs
from . import compare, evaluate, look, measure, pack, rate_table, show, train
from .options import Parser, UsageError, rate, whole

VARIANTS = tuple(dict.fromkeys(name for module in PAPERS.values() for name in module.VOCABULARIES))

def _parser():
    parser = Parser(prog="bnn-ref", description="Binarized neural networks: train them, verify them, read them.",
                     allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"bnn-ref {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)

    command = commands.add_parser("train", help="train a paper's network", allow_abbrev=False)
    command.set_defaults(run=train.run_train)
    command.add_argument("paper", choices=PAPERS, metavar="PAPER", help=", ".join(PAPERS))
    command.add_argument("--data", help=f"{', '.join(data.NAMES)}, or a file FILE.npz of your own (default: "
                         "digits); for ebp also a text task, such as reuters_i6")
    command.add_argument("--data-dir", metavar="DIR", help="where data sets are (default: $BNN_REF_DATA, else a cache)")
    command.add_argument("--preset", choices=recipe.PRESETS, help="quick: minutes on two cores; long: an "
                         "hour or two; paper: as published (default: quick)")
    command.add_argument("--net", choices=recipe.NETS, help="default: what the preset has for the data")
    command.add_argument("--variant", choices=VARIANTS, metavar="NAME",
                         help="what `bnn-ref papers` lists for the paper (default: the first there)")
    command.add_argument("--epochs", type=whole(1), help="default: the preset's; the learning rate decays over them; "
                         "of the last round, where there are two")
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
    command.add_argument("--out", type=Path, metavar="FILE", required=True, help="file to write, for example net.bnn")
    command.add_argument("--form", metavar="NAME", help="of the network at test time, where its own has none on "
                         "bits, such as binary or deterministic weights")
    command.add_argument("--data-dir", metavar="DIR")

    command = commands.add_parser("bench", help="verify the kernels, then time them against their rivals",
                                  allow_abbrev=False)
    command.set_defaults(run=show.show_bench)
    command.add_argument("what", choices=("matmul", "mlp", "convnet", "train"),
                         help="the ladder; the MLP or the ConvNet on bits; a training step")
    command.add_argument("--json", type=Path, metavar="FILE", help="write every sample there, the picture beside it")
    command.add_argument("--readme", type=Path, metavar="FILE", help="put the tables between this file's markers")

    command = commands.add_parser("gradcheck", help="verify every backward pass numerically", allow_abbrev=False)
    command.set_defaults(run=show.show_gradcheck)

    command = commands.add_parser("costs", help="memory, operations and energy of a network, layer by layer",
                                  allow_abbrev=False)
    command.set_defaults(run=look.show_costs)
    command.add_argument("source", metavar="PAPER|RUN", help=f"{', '.join(PAPERS)}, or a run folder")
    command.add_argument("--data", help="as of train; the pictures of the data sets need not be there")
    command.add_argument("--preset", choices=recipe.PRESETS, help="default: quick")
    command.add_argument("--net", choices=recipe.NETS, help="default: what the preset has for the data")
    command.add_argument("--variant", choices=VARIANTS, metavar="NAME", help="default: the paper's first")
    command.add_argument("--picture", type=Path, metavar="FILE.png", help="draw energy by layer")

    command = commands.add_parser("filters", help="how many filters of a finished run's convolutions are distinct",
                                  allow_abbrev=False)
    command.set_defaults(run=look.show_filters)
    command.add_argument("folder", type=Path, metavar="RUN")
    command.add_argument("--picture", type=Path, metavar="FILE.png", help="draw how often each occurs")

    command = commands.add_parser("features", help="the weights of a finished run's first layer as pictures",
                                  allow_abbrev=False)
    command.set_defaults(run=look.show_features)
    command.add_argument("folder", type=Path, metavar="RUN")
    command.add_argument("--out", type=Path, metavar="FILE.png", required=True, help="picture to write")
    command.add_argument("--binary", action="store_true", help="their signs")

    command = commands.add_parser("exponents", help="of which powers of two the inputs of a finished run's layers are",
                                  allow_abbrev=False)
    command.set_defaults(run=look.show_exponents)
    command.add_argument("folder", type=Path, metavar="RUN")
    command.add_argument("--out", type=Path, metavar="FILE.png", required=True, help="picture to write")
    command.add_argument("--data-dir", metavar="DIR")

    command = commands.add_parser("papers", help="the papers, their recipes, published and measured errors",
                                  allow_abbrev=False)
    command.set_defaults(run=show.show_papers)
    command.add_argument("--picture", type=Path, metavar="FILE.png", help="draw measured errors beside published ones")

    command = commands.add_parser("compare", help="runs side by side: their errors, and their curves in one picture",
                                  allow_abbrev=False)
    command.set_defaults(run=compare.show_compare)
    command.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders, finished or not")
    command.add_argument("--out", type=Path, metavar="FILE.png", default=Path("compare.png"),
                         help="picture to write (default: compare.png)")
    command.add_argument("--weights", type=Path, metavar="FILE.png",
                         help="draw the real weights of the first layer too, of finished runs")

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
        options = _parser().parse_args(argv)
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            code = options.run(options)
        sys.stdout.flush()                             # here, so that a reader who left is noticed below, not at exit
        return code
    except (UsageError, data.DataError, runs.RunError, DamagedError, loop.TrainingError, SettingError) as error:
        return _fail(error)
    except BrokenPipeError:                            # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt as stop:                  # with what to do next, where a command knows
        print(f"\nbnn-ref: {'; '.join(['stopped', *map(str, stop.args)])}", file=sys.stderr)
        return 130
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}")


def _warn(message, *_):
    print(f"bnn-ref: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _fail(error):
    print(f"bnn-ref: error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2
