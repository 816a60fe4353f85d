"""What the README shows of the rest, as `python notebooks/front_page.py` writes it: the picture of its first screen,
and two tables of five rows, drawn from the pages of all results.

The picture's numbers come from three runs of the command line's recipes on the digits, made anew in memory: minutes. They
are kept in the picture itself, as JSON; `--tables` writes the tables alone and leaves it as it is.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))                  # the package that stands here, not one that is installed

import contents

from bnn_ref import data  # noqa: E402
from bnn_ref.kernels import bits  # noqa: E402
from bnn_ref.nets import recipe  # noqa: E402
from bnn_ref.papers import PAPERS, measured  # noqa: E402
from bnn_ref.training import loop  # noqa: E402

README, PICTURE, SPEED = HERE.parent / "README.md", HERE / "front_page.svg", HERE / "speed.md"
COMMANDS = {"full precision": "bnn-ref train float", "BNN": "bnn-ref train bnn",
            "BinaryConnect": "bnn-ref train binaryconnect --variant deterministic"}
VARIANTS = {"full precision": ("float", "real"), "BNN": ("bnn", "deterministic"),
            "BinaryConnect": ("binaryconnect", "deterministic")}
LAYER, BINS, EPOCHS = "fc1.w", 32, (0, 5, 20, 120)   # whose weights, in how many classes, after which epochs


# --- the numbers of the picture ------------------------------------------------------------------------------------


def run(name, dataset, epochs=None):
    """{"command", "valid_error" of each epoch, "test_error", "weights" after some of EPOCHS} of a run; seed 0.

    weights: of LAYER, the share of each class between -1 and 1. epochs: fewer than the recipe's, to try this out.
    """
    paper, variant = VARIANTS[name]
    module = PAPERS[paper]
    chosen = recipe.choose(module.RECIPES, "digits", "mlp", "quick", variant)
    net = recipe.build(chosen, dataset.shape, dataset.classes, module.VOCABULARIES[variant])
    state = loop.start(net, chosen, seed=0)
    weights = {}

    def keep():
        if state.epoch in EPOCHS:
            counts, _ = np.histogram(state.params[LAYER], BINS, (-1, 1))
            weights[state.epoch] = [round(share, 4) for share in (counts / counts.sum()).tolist()]

    keep()
    for state in loop.train(net, chosen, dataset, state, seed=0):
        keep()
        if state.epoch == epochs:
            break
    error = loop.error_rate(net, state.best_params, state.best_running, dataset.test_x, dataset.test_y)
    return {"command": COMMANDS[name], "test_error": round(error, 2), "weights": weights,
            "valid_error": [round(record["valid_error"], 2) for record in state.history]}


def numbers(epochs=None):
    """All that the picture shows, as what JSON has: the runs by name, and the first digit as pixels and as a word."""
    dataset = data.load("digits")
    digit = dataset.train_x[0]
    (word,) = bits.pack(loop.scale_pixels(digit).reshape(-1))
    found = {"runs": {name: run(name, dataset, epochs) for name in COMMANDS},
             "digit": {"pixels": digit[0].tolist(), "word": f"0x{int(word):016x}"}}
    return json.loads(json.dumps(found))


# --- the picture ---------------------------------------------------------------------------------------------------

WIDTH, HEIGHT, PANEL, TOP, BOTTOM = 840, 318, 248, 62, 262         # of all; of a panel: its width, where it lies
STYLE = """
text { font-family: system-ui, sans-serif; font-size: 17px; fill: #57606a }
.title { font-size: 21px; font-weight: bold; fill: #1f2328 }
.card { fill: #ffffff; stroke: #d0d7de }
.axis { stroke: #8c959f; fill: none }
.binary { stroke: #c2410c; fill: none; stroke-width: 3 }
.real { stroke: #8c959f; fill: none; stroke-width: 2 }
.says { fill: #c2410c }
.weights { fill: #c2410c }
.ink { fill: #1f2328 }
.plus { fill: #c2410c }
.minus { fill: #ffedd5 }
@media (prefers-color-scheme: dark) {
  text { fill: #adbac7 }
  .title, .ink { fill: #f0f6fc }
  .card { fill: #161b22; stroke: #30363d }
  .axis, .real { stroke: #768390 }
  .binary { stroke: #fb923c }
  .says, .weights, .plus { fill: #fb923c }
  .minus { fill: #3d2a1c }
}
"""


def _text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{words}</text>'


def _curves(runs):
    """Validation error of each epoch, of full precision and of a network of signs."""
    highest = 8
    parts = [_text(0, 0, "Networks of signs learn", "title"), f'<path class="axis" d="M0,{TOP - 20} V{BOTTOM} H{PANEL}"/>']
    for name, kind, line in (("full precision", "real", 0), ("BNN", "binary", 1)):
        errors = runs[name]["valid_error"]
        step = PANEL / max(len(run["valid_error"]) for run in (runs["full precision"], runs["BNN"]))
        points = " ".join(f"{step * (epoch + 1):.1f},{BOTTOM - (BOTTOM - TOP) * min(error, highest) / highest:.1f}"
                          for epoch, error in enumerate(errors))
        parts.append(f'<polyline class="{kind}" points="{points}"/>')
        label = f"{name}: {runs[name]['test_error']:.1f} % test error"
        parts.append(_text(PANEL, TOP + 10 + 24 * line, label, "says" if kind == "binary" else "", "end"))
    epochs = max(len(runs[name]["valid_error"]) for name in ("full precision", "BNN"))
    parts.append(_text(0, BOTTOM + 22, f"validation error, {epochs} epochs"))
    return parts


def _drift(run):
    """Histograms of the real weights behind the binary ones, one below the other."""
    kept = {int(epoch): shares for epoch, shares in run["weights"].items()}
    left, high = 84, (BOTTOM - TOP + 20) / len(kept)
    width = (PANEL - left) / BINS
    largest = max(map(max, kept.values()))
    parts = [_text(0, 0, "Real weights go to ±1", "title")]
    for place, (epoch, shares) in enumerate(kept.items(), start=1):
        ground = TOP - 20 + high * place
        outline = "".join(f"V{ground - (high - 8) * share / largest:.1f} h{width:.3f} " for share in shares)
        parts.append(f'<path class="weights" d="M{left},{ground:.1f} {outline}V{ground:.1f} z"/>')
        parts.append(f'<path class="axis" d="M{left},{ground:.1f} H{PANEL}"/>')
        parts.append(_text(0, ground - 6, f"epoch {epoch}" if epoch else "at first"))
    parts += [_text(at, BOTTOM + 22, words, anchor="middle")
              for at, words in ((left + 4, "−1"), ((left + PANEL) / 2, "0"), (PANEL - 4, "+1"))]
    return parts


def _word(digit):
    """The digit in grey, and as signs; below, the word."""
    side, gap = 13.5, PANEL - 8 * 13.5
    parts = [_text(0, 0, "A digit is one word", "title")]
    above = TOP + 20
    for row, pixels in enumerate(digit["pixels"]):
        for column, pixel in enumerate(pixels):
            x, y = side * column, above + side * row
            box = f'x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}"'
            parts.append(f'<rect {box} class="ink" fill-opacity="{0.04 + 0.96 * pixel / 255:.2f}"/>')
            kind = "plus" if 2 * pixel >= 255 else "minus"
            parts.append(f'<rect x="{x + gap:g}" y="{y:g}" width="{side - 1:g}" height="{side - 1:g}" class="{kind}"/>')
    middle = above + 4 * side
    parts += [_text(PANEL / 2, middle + 6, "→", "title", "middle"),
              _text(0, above + 8 * side + 24, "64 pixels"), _text(PANEL, above + 8 * side + 24, "64 signs", "says", "end"),
              _text(PANEL / 2, BOTTOM + 22, digit["word"], "says", "middle")]
    return parts


def picture(found):
    """The picture of these numbers, as SVG that holds them too; its colours follow the reader's, light or dark."""
    panels = (_curves(found["runs"]), _drift(found["runs"]["BinaryConnect"]), _word(found["digit"]))
    gap = (WIDTH - 3 * PANEL) / 4
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
             f"<metadata>{json.dumps(found, ensure_ascii=False)}</metadata>", f"<style>{STYLE}</style>",
             f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="10"/>']
    for place, parts in enumerate(panels):
        lines += [f'<g transform="translate({gap + place * (PANEL + gap):g},34)">', *parts, "</g>"]
    return "\n".join([*lines, "</svg>"]) + "\n"


def shown(path=PICTURE):
    """The numbers that a picture holds."""
    return json.loads(re.search("<metadata>(.*?)</metadata>", path.read_text(encoding="utf-8"))[1])
